#include "config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <type_traits>
#include <vector>

#include "base/file.h"

namespace mfs::train {
namespace {

// What all stages have.
template <typename Config, typename F>
void ForEachCommon(Config& c, const F& f) {
  f("batch", c.batch, 1, 4096);
  f("steps", c.steps, 1, 100000000);
  f("learning_rate", c.learning_rate, 0, 1);
  f("beta1", c.beta1, 0, 0.9999);
  f("beta2", c.beta2, 0, 0.99999);
  f("clip", c.clip, 0, 1e9);
  f("decay", c.decay, 0, 1);
  f("warmup", c.warmup, 0, 1000000);
  f("save_every", c.save_every, 1, 1000000);
  f("sheet_every", c.sheet_every, 1, 1000000);
  f("seed", c.seed, 0, 1e15);
}

// Calls f(name, field, least, most) for every setting: the one list of names. Config: const or not.
template <typename Config, typename F>
void ForEachOf(const DistillConfig*, Config& c, const F& f) {
  f("size", c.size, 128, 224);
  f("detail", c.detail, 0, 1);
  f("dynamics", c.dynamics, 0, 0);
  f("same", c.same, 0, 1);
  f("similar_pose", c.similar_pose, 0, 1);
  f("any_source", c.any_source, 0, 1);
  f("moved", c.moved, 0, 1);
  f("relit", c.relit, 0, 1);
  f("two_lights", c.two_lights, 0, 1);
  f("degraded", c.degraded, 0, 1);
  f("target_glasses", c.target_glasses, 0, 1);
  f("source_glasses", c.source_glasses, 0, 1);
  f("grey", c.grey, 0, 1);
  f("target_light", c.target_light, 0, 10);
  f("l1", c.l1, 0, 1e6);
  f("gradient", c.gradient, 0, 1e6);
  f("colour", c.colour, 0, 1e6);
  f("chroma", c.chroma, 0, 1e6);
  f("dark_colours", c.dark_colours, 0, 1);
  f("raw", c.raw, 0, 1e6);
  f("perceptual", c.perceptual, 0, 1e6);
  f("identity", c.identity, 0, 1e6);
  f("judged_eyes", c.judged_eyes, 0, 1);
  f("judged_rest", c.judged_rest, 0, 1);
  f("alpha_power", c.alpha_power, 0, 8);
  f("mask", c.mask, 0, 1e6);
  f("around", c.around, 0, 1e6);
  f("occluders", c.occluders, 0, 1e6);
  f("mask_gradient", c.mask_gradient, 0, 1);
  f("full_mask", c.full_mask, 0, 1e6);
  f("cover", c.cover, 0, 1e6);
  f("openings", c.openings, 0, 1e6);
  f("eyes", c.eyes, 0, 1);
  f("features", c.features, 0, 1e6);
  f("frames", c.frames, 0, 1e6);
  f("contrast", c.contrast, 0, 1e6);
  f("occluder_image", c.occluder_image, 0, 1e6);
  f("least_alpha", c.least_alpha, 0, 1);
  f("sharpness", c.sharpness, 0, 1e6);
  f("landmarks", c.landmarks, 0, 1e6);
  f("adversarial", c.adversarial, 0, 1e6);
  f("adversarial_start", c.adversarial_start, 0, 100000000);
  f("discriminator_rate", c.discriminator_rate, 0, 1);
  f("discriminator_crop", c.discriminator_crop, 32, 224);
  f("norms_fixed_from", c.norms_fixed_from, 0, 100000000);
  f("jitter", c.jitter, 0, 10);
  f("turned", c.turned, 0, 2);
  f("least_saturation", c.least_saturation, 0, 1);
  f("teachers", c.teachers, 0, 0);
  f("quality", c.quality, 0, 0);
}

template <typename Config, typename F>
void ForEachOf(const NetTeacherConfig*, Config& c, const F& f) {
  f("size", c.size, 128, 224);
  f("width", c.width, 4, 64);
  f("blocks", c.blocks, 1, 12);
  f("discriminator_width", c.discriminator_width, 4, 128);
  f("same", c.same, 0, 1);
  f("similar_pose", c.similar_pose, 0, 1);
  f("discriminator_rate", c.discriminator_rate, 0, 1);
  f("reconstruction", c.reconstruction, 0, 1e6);
  f("gradient", c.gradient, 0, 1e6);
  f("colour", c.colour, 0, 1e6);
  f("identity", c.identity, 0, 1e6);
  f("feature_matching", c.feature_matching, 0, 1e6);
  f("adversarial", c.adversarial, 0, 1e6);
  f("adversarial_start", c.adversarial_start, 0, 100000000);
  f("keep_every", c.keep_every, 1, 1000000);
}

template <typename Config, typename F>
void ForEachOf(const QualityConfig*, Config& c, const F& f) {
  f("pictures", c.pictures, 1, 100000);
  f("held_back", c.held_back, 2, 1000);
  f("mesh", c.mesh, 0, 0.9);
}

template <typename Config, typename F>
void ForEachSetting(Config& c, const F& f) {
  ForEachCommon(c, f);
  ForEachOf(static_cast<const std::remove_const_t<Config>*>(nullptr), c, f);
}

// A value into its field, or what is wrong with it.
template <typename Field>
Status Put(const nlohmann::json& value, const std::string& key, double least, double most, Field* field) {
  if constexpr (std::is_same_v<Field, std::string>) {
    if (!value.is_string()) return InvalidArgument(key + " must be a text");
    *field = value.get<std::string>();
  } else {
    const bool whole = std::is_floating_point_v<Field> || (value.is_number() && value.get<double>() == std::floor(value.get<double>()));
    if (!value.is_number() || !whole || value.get<double>() < least || value.get<double>() > most) {
      return InvalidArgument(key + " must be a " + (std::is_floating_point_v<Field> ? "number" : "whole number") + " from " + nlohmann::json(least).dump() + " to " + nlohmann::json(most).dump());
    }
    *field = value.get<Field>();
  }
  return Status::Ok();
}

Status Check(int size) { return size == 128 || size == 224 ? Status::Ok() : InvalidArgument("size must be 128 or 224"); }
Status CheckConfig(const DistillConfig& c) {
  MFS_RETURN_IF_ERROR(Check(c.size));
  const bool known = c.dynamics == "both" || c.dynamics == "prediction" || c.dynamics == "modulation";
  return known ? Status::Ok() : InvalidArgument("dynamics must be both, prediction or modulation");
}
Status CheckConfig(const NetTeacherConfig& c) { return Check(c.size); }
Status CheckConfig(const QualityConfig&) { return Status::Ok(); }

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

template <typename Config>
StatusOr<Config> ReadConfig(const std::string& path) {
  MFS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const auto json = nlohmann::json::parse(text, nullptr, false, true);
  if (!json.is_object()) return CorruptData(path + ": no JSON object");
  Config c;
  for (const auto& [key, value] : json.items()) {
    Status status = Status::Ok();
    std::string nearest;
    ForEachSetting(c, [&, &key = key, &value = value](const char* name, auto& field, double least, double most) {
      if (nearest.empty() || EditDistance(key, name) < EditDistance(key, nearest)) nearest = name;
      if (key == name) status = Put(value, key, least, most, &field);
    });
    if (nearest != key) return InvalidArgument(path + ": unknown setting '" + key + "'; did you mean '" + nearest + "'?");
    if (!status.ok()) return status.WithPrefix(path + ": ");
  }
  if (const Status status = CheckConfig(c); !status.ok()) return status.WithPrefix(path + ": ");
  return c;
}

template <typename Config>
std::string FormatConfig(const Config& config) {
  nlohmann::ordered_json json;
  ForEachSetting(config, [&](const char* name, const auto& field, double, double) { json[name] = field; });
  return json.dump(1) + "\n";
}

template StatusOr<DistillConfig> ReadConfig(const std::string&);
template StatusOr<NetTeacherConfig> ReadConfig(const std::string&);
template StatusOr<QualityConfig> ReadConfig(const std::string&);
template std::string FormatConfig(const DistillConfig&);
template std::string FormatConfig(const NetTeacherConfig&);
template std::string FormatConfig(const QualityConfig&);

}  // namespace mfs::train
