#include "pairs.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace mfs::train {
namespace {

constexpr int kLumaBins = 8, kYawBins = 4;

int LumaBin(const FaceInfo& f) { return std::clamp(static_cast<int>(f.luma * kLumaBins), 0, kLumaBins - 1); }
int YawBin(const FaceInfo& f) { return std::min(static_cast<int>(std::fabs(f.yaw) / 12), kYawBins - 1); }

// Degrees; a difference of the whole range of skin brightness counts as much as 40 degrees, since light carries over badly then.
// side: -1 when b is mirrored.
float Distance(const FaceInfo& a, const FaceInfo& b, float side = 1) { return std::hypot(a.yaw - side * b.yaw, a.pitch - b.pitch) + 40 * std::fabs(a.luma - b.luma); }

}  // namespace

std::string DescribePairs(const FaceCache& cache, const std::vector<std::pair<int, int>>& pairs) {
  std::string rows;
  for (const auto& [s, t] : pairs) rows += cache.faces()[s].file + "\t" + cache.faces()[t].file + "\n";
  return rows;
}

float SourceQuality(const FaceInfo& f) {
  // 0 at `bad`, 1 at `good`, linear between.
  const auto rate = [](float v, float bad, float good) { return std::clamp((v - bad) / (good - bad), 0.0f, 1.0f); };
  const float frontal = rate(std::fabs(f.yaw), 28, 10) * rate(std::fabs(f.pitch), 30, 12);
  const float sharp = std::max(0.05f, rate(f.sharpness, 20, 150)) * rate(f.scale, 0.35f, 0.7f);
  return frontal * sharp * rate(f.evenness, 0.5f, 0.8f) * (0.25f + 0.75f * rate(f.mouth_open, 0.4f, 0.12f));
}

PairSampler::PairSampler(const FaceCache& cache, bool validation, const PairOptions& options) : cache_(cache), options_(options), ids_(cache.Split(validation)) {
  std::array<float, kLumaBins> quality{}, lumas{};
  std::array<float, kLumaBins * kYawBins> count{};
  const auto bin = [](const FaceInfo& f) { return LumaBin(f) * kYawBins + YawBin(f); };
  for (int id : ids_) {
    const FaceInfo& f = cache.faces()[id];
    ++count[bin(f)], ++lumas[LumaBin(f)];
    quality[LumaBin(f)] += SourceQuality(f) + 1e-3f;
  }
  std::vector<double> s, t, any;
  for (int id : ids_) {
    const FaceInfo& f = cache.faces()[id];
    // The root lifts rare groups without showing the same few faces all the time.
    t.push_back(1 / std::sqrt(count[bin(f)]));
    any.push_back(1 / std::sqrt(lumas[LumaBin(f)]));
    s.push_back((SourceQuality(f) + 1e-3f) / std::sqrt(quality[LumaBin(f)]));
  }
  sources_ = std::discrete_distribution<int>(s.begin(), s.end());
  targets_ = std::discrete_distribution<int>(t.begin(), t.end());
  any_ = std::discrete_distribution<int>(any.begin(), any.end());
}

std::pair<int, int> PairSampler::Next(std::mt19937_64* rng, bool* mirrored) const {
  std::uniform_real_distribution<float> uniform;
  if (mirrored != nullptr) *mirrored = uniform(*rng) < 0.5f;
  const float side = mirrored != nullptr && *mirrored ? -1.0f : 1.0f;
  const int source = ids_[uniform(*rng) < options_.any_source ? any_(*rng) : sources_(*rng)];
  if (uniform(*rng) < options_.same) return {source, source};
  int best = ids_[targets_(*rng)];
  if (uniform(*rng) < options_.similar_pose) {
    const auto& faces = cache_.faces();
    for (int i = 1; i < options_.candidates; ++i) {
      const int other = ids_[targets_(*rng)];
      if (Distance(faces[source], faces[other], side) < Distance(faces[source], faces[best], side)) best = other;
    }
  }
  return {source, best};
}

std::vector<std::pair<int, int>> ValidationPairs(const FaceCache& cache, int sources, int targets, int candidates) {
  std::vector<int> ids = cache.Split(true), good;
  for (int id : ids) {
    if (SourceQuality(cache.faces()[id]) > 0.3f) good.push_back(id);
  }
  if (good.empty()) good = ids;
  std::mt19937_64 rng(2022);
  std::shuffle(good.begin(), good.end(), rng);
  std::shuffle(ids.begin(), ids.end(), rng);
  if (static_cast<int>(good.size()) > sources) good.resize(sources);
  std::vector<std::pair<int, int>> pairs;
  size_t next = 0;
  for (int source : good) {
    const auto another = [&] {
      if (ids[next % ids.size()] == source) ++next;
      return ids[next++ % ids.size()];
    };
    for (int i = 0; i < targets && ids.size() > 1; ++i) {
      int best = another();
      for (int k = 1; k < candidates; ++k) {
        const int other = another();
        if (Distance(cache.faces()[other], cache.faces()[source]) < Distance(cache.faces()[best], cache.faces()[source])) best = other;
      }
      pairs.emplace_back(source, best);
    }
  }
  return pairs;
}

}  // namespace mfs::train
