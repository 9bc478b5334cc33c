#include "config.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "base/file.h"

namespace mfs::train {
namespace {

// Calls f(name, field, least, most) for every setting: the one list of names.
template <typename Config, typename F>
void ForEachSetting(Config& c, const F& f) {
  f("batch", c.batch, 1, 4096);
  f("same", c.same, 0, 1);
  f("similar_pose", c.similar_pose, 0, 1);
  f("moved", c.moved, 0, 1);
  f("relit", c.relit, 0, 1);
  f("degraded", c.degraded, 0, 1);
  f("steps", c.steps, 1, 100000000);
  f("learning_rate", c.learning_rate, 0, 1);
  f("beta1", c.beta1, 0, 0.9999);
  f("beta2", c.beta2, 0, 0.99999);
  f("clip", c.clip, 0, 1e9);
  f("decay", c.decay, 0, 1);
  f("warmup", c.warmup, 0, 1000000);
  f("l1", c.l1, 0, 1e6);
  f("gradient", c.gradient, 0, 1e6);
  f("colour", c.colour, 0, 1e6);
  f("raw", c.raw, 0, 1e6);
  f("perceptual", c.perceptual, 0, 1e6);
  f("identity", c.identity, 0, 1e6);
  f("mask", c.mask, 0, 1e6);
  f("adversarial", c.adversarial, 0, 1e6);
  f("adversarial_start", c.adversarial_start, 0, 100000000);
  f("discriminator_rate", c.discriminator_rate, 0, 1);
  f("discriminator_crop", c.discriminator_crop, 32, 224);
  f("jitter", c.jitter, 0, 10);
  f("save_every", c.save_every, 1, 1000000);
  f("sheet_every", c.sheet_every, 1, 1000000);
  f("seed", c.seed, 0, 1e15);
}

int EditDistance(const std::string& a, const std::string& b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    int corner = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const int next = std::min({row[j] + 1, row[j + 1] + 1, corner + (a[i] != b[j])});
      corner = row[j + 1];
      row[j + 1] = next;
    }
  }
  return row.back();
}

}  // namespace

StatusOr<DistillConfig> ReadDistillConfig(const std::string& path) {
  MFS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const auto json = nlohmann::json::parse(text, nullptr, false, true);
  if (!json.is_object()) return CorruptData(path + ": no JSON object");
  DistillConfig c;
  for (const auto& [key, value] : json.items()) {
    Status status = InvalidArgument(path + ": unknown setting '" + key + "'");
    std::string nearest;
    ForEachSetting(c, [&, &key = key, &value = value](const char* name, auto& field, double least, double most) {
      if (nearest.empty() || EditDistance(key, name) < EditDistance(key, nearest)) nearest = name;
      if (key != name) return;
      if (!value.is_number() || value.template get<double>() < least || value.template get<double>() > most) {
        status = InvalidArgument(path + ": " + key + " must be a number from " + nlohmann::json(least).dump() + " to " + nlohmann::json(most).dump());
        return;
      }
      field = value.template get<std::decay_t<decltype(field)>>();
      status = Status::Ok();
    });
    if (!status.ok() && nearest != key) return InvalidArgument(status.message() + "; did you mean '" + nearest + "'?");
    MFS_RETURN_IF_ERROR(status);
  }
  return c;
}

std::string FormatDistillConfig(const DistillConfig& config) {
  nlohmann::ordered_json json;
  ForEachSetting(config, [&](const char* name, const auto& field, double, double) { json[name] = field; });
  return json.dump(1) + "\n";
}

}  // namespace mfs::train
