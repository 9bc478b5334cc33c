#include "race.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace mfs::bench {

double Seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double Median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
  return v[v.size() / 2];
}

Status Race::Run(int rounds, int runs, double seconds_per_net) {
  std::vector<std::string> nets;
  for (const Contender& c : contenders_) {
    if (std::find(nets.begin(), nets.end(), c.net) == nets.end()) nets.push_back(c.net);
  }
  rows_.clear();
  for (const std::string& net : nets) {
    std::vector<Contender*> field;
    for (Contender& c : contenders_) {
      if (c.net == net) field.push_back(&c);
    }
    // The same result first, then the race.
    std::vector<float> expected;
    for (const Contender* c : field) {
      MFS_RETURN_IF_ERROR(c->run());
      if (!c->output) continue;
      const std::vector<float>& got = *c->output();
      if (expected.empty()) expected = got;
      if (got.size() != expected.size()) return Internal(net + ": " + c->engine + " gives " + std::to_string(got.size()) + " values, not " + std::to_string(expected.size()));
      double worst = 0;
      for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::isfinite(got[i]) ? std::fabs(double{got[i]} - expected[i]) : HUGE_VAL);
      if (!(worst <= c->tolerance)) return Internal(net + ": " + c->engine + " " + c->level + " disagrees by " + std::to_string(worst));
      largest_difference_ = std::max(largest_difference_, worst);
    }
    std::vector<std::vector<double>> times(field.size());
    const double start = Seconds();
    for (int r = 0; r < rounds && (r < 3 || Seconds() - start < seconds_per_net); ++r) {
      for (size_t i = 0; i < field.size(); ++i) {
        // The first run of a turn wakes the other cores and fills the caches, as the frame before does in a video.
        for (int k = 0; k <= runs; ++k) {
          const double begin = Seconds();
          MFS_RETURN_IF_ERROR(field[i]->run());
          if (k > 0) times[i].push_back(1e3 * (Seconds() - begin));
        }
      }
    }
    const size_t first_row = rows_.size();
    for (size_t i = 0; i < field.size(); ++i) {
      const double median = Median(times[i]);
      rows_.push_back({net, field[i]->engine, field[i]->level, field[i]->threads, median, *std::min_element(times[i].begin(), times[i].end()), field[i]->mmac / median, 0});
    }
    for (size_t i = first_row; i < rows_.size(); ++i) {
      for (size_t j = first_row; j < rows_.size(); ++j) {
        if (rows_[j].engine == "onnxruntime" && rows_[j].threads == rows_[i].threads) rows_[i].over_onnxruntime = rows_[j].median_ms / rows_[i].median_ms;
      }
    }
  }
  return Status::Ok();
}

std::string Race::Table() const {
  std::string text = "| net | engine | level | threads | median ms | min ms | GMAC/s | over ONNX Runtime, same threads |\n|---|---|---|---|---|---|---|---|\n";
  for (const Row& r : rows_) {
    char line[256];
    char over[16] = "-";
    if (r.over_onnxruntime > 0) std::snprintf(over, sizeof over, "%.2f", r.over_onnxruntime);
    std::snprintf(line, sizeof line, "| %s | %s | %s | %d | %.2f | %.2f | %.1f | %s |\n", r.net.c_str(), r.engine.c_str(), r.level.c_str(), r.threads, r.median_ms, r.min_ms, r.gmac_s, over);
    text += line;
  }
  return text;
}

nlohmann::ordered_json Race::Json(double fma_peak) const {
  nlohmann::ordered_json json{{"fma_peak_gmac_s", fma_peak}, {"largest_difference", largest_difference_}, {"rows", nlohmann::json::array()}};
  for (const Row& r : rows_) {
    json["rows"].push_back({{"net", r.net}, {"engine", r.engine}, {"level", r.level}, {"threads", r.threads}, {"median_ms", r.median_ms}, {"min_ms", r.min_ms}, {"gmac_s", r.gmac_s}});
  }
  return json;
}

}  // namespace mfs::bench
