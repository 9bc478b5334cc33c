#include "live/page_control.h"

#include <algorithm>
#include <cmath>

namespace mfs {
namespace {

using nlohmann::json;

constexpr int kPictureSize = 160;

const char* SourceName(LiveStats::Source s) {
  switch (s) {
    case LiveStats::Source::kOpening: return "opening";
    case LiveStats::Source::kRunning: return "running";
    case LiveStats::Source::kLost: return "lost";
    case LiveStats::Source::kEnded: break;
  }
  return "ended";
}

// To a hundredth: more digits say nothing.
double Rounded(double x) { return std::round(x * 100) / 100; }

json LatencyToJson(const LatencySummary& l) { return {{"count", l.count}, {"p50", Rounded(l.p50)}, {"p99", Rounded(l.p99)}, {"max", Rounded(l.max)}}; }

// Numbers and switches of the look that the page may change.
struct Slider {
  const char* name;
  float ComposeOptions::*value;
  float least, most;
};
constexpr Slider kSliders[] = {{"strength", &ComposeOptions::strength, 0, 1}, {"edge_feather", &ComposeOptions::edge_feather, 0, 0.5f}};

}  // namespace

json LiveStatsToJson(const LiveStats& s) {
  const double n = static_cast<double>(std::max<int64_t>(1, s.processed));
  const auto ms = [n](double sum) { return Rounded(1000 * sum / n); };
  json sinks = json::array();
  for (const LiveSinkStats& k : s.sinks) sinks.push_back({{"name", k.name}, {"written", k.written}, {"dropped", k.dropped}, {"latency_ms", LatencyToJson(k.latency)}, {"error", k.error}});
  return {{"source", {{"state", SourceName(s.source)}, {"name", s.source_name}, {"error", s.source_error}}},
          {"seconds", Rounded(s.seconds)},
          {"width", s.width},
          {"height", s.height},
          {"captured", s.captured},
          {"dropped", s.dropped},
          {"garbage", s.garbage},
          {"processed", s.processed},
          {"swapped", s.swapped},
          {"without_face", s.without_face},
          {"hidden", s.hidden},
          {"skipped_faces", s.skipped_faces},
          {"reconnects", s.reconnects},
          {"fps", Rounded(s.mean_fps)},
          {"latency_ms", LatencyToJson(s.latency)},
          {"stages_ms", {{"track", ms(s.times.detect)}, {"align", ms(s.times.align)}, {"swap", ms(s.times.swap)}, {"looks", ms(s.times.occlusion + s.times.looks)}, {"paste", ms(s.times.paste)}}},
          {"paused", s.paused},
          {"mirror", s.mirror},
          {"sinks", sinks}};
}

void PageControl::Attach(LiveLoop* loop) {
  std::lock_guard<std::mutex> lock(mutex_);
  loop_ = loop;
}

LiveLoop* PageControl::loop() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return loop_;
}

json PageControl::State() const {
  LiveStats stats;
  if (LiveLoop* l = loop()) stats = l->Stats();
  json s = LiveStatsToJson(stats);
  s["fps"] = Rounded(stats.fps);  // of the moment, not of the run
  s["latency_ms"] = LatencyToJson(stats.recent);
  json people = json::array();
  for (const IdentityChoice& p : people_) people.push_back({{"name", p.name}, {"picture", !p.picture.empty()}});
  s["people"] = people;
  const IdentitySwitch identity = swapper_->identity();
  s["identity"] = {{"current", identity.current},           {"wanted", identity.wanted},    {"error", identity.error}, {"current_index", identity.current_index},
                   {"wanted_index", identity.wanted_index}, {"switches", identity.switches}};
  const ComposeOptions compose = swapper_->compose();
  for (const Slider& k : kSliders) s["look"][k.name] = Rounded(compose.*k.value);
  return s;
}

Status PageControl::Change(const std::string& text) {
  const json wanted = json::parse(text, nullptr, false);
  if (!wanted.is_object() || wanted.empty()) return InvalidArgument("not a JSON object");
  // All of it is checked before any of it is done.
  ComposeOptions compose = swapper_->compose();
  bool look = false;
  int person = -1;
  for (const auto& [key, value] : wanted.items()) {
    const auto slider = std::find_if(std::begin(kSliders), std::end(kSliders), [&k = key](const Slider& s) { return k == s.name; });
    if (slider != std::end(kSliders)) {
      if (!value.is_number() || !(value.get<double>() >= slider->least && value.get<double>() <= slider->most)) return InvalidArgument(key + ": not a number of its range");
      compose.*slider->value = value.get<float>();
      look = true;
    } else if (key == "identity") {
      if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() >= static_cast<int64_t>(people_.size())) return InvalidArgument("there is no such person");
      person = value.get<int>();
    } else if (key == "mirror" || key == "paused") {
      if (!value.is_boolean()) return InvalidArgument(key + ": true or false");
    } else {
      return InvalidArgument("'" + key + "' cannot be changed");
    }
  }
  if (look) MFS_RETURN_IF_ERROR(swapper_->SetCompose(compose));
  if (person >= 0) swapper_->SwitchTo(person, people_[static_cast<size_t>(person)].name, people_[static_cast<size_t>(person)].sources);
  if (LiveLoop* l = loop()) {
    if (wanted.contains("mirror")) l->SetMirror(wanted["mirror"].get<bool>());
    if (wanted.contains("paused")) l->SetPaused(wanted["paused"].get<bool>());
  }
  return Status::Ok();
}

StatusOr<std::string> PageControl::Picture(int person) {
  if (person < 0 || person >= static_cast<int>(people_.size()) || people_[static_cast<size_t>(person)].picture.empty()) return NotFound("no picture");
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto known = pictures_.find(person);
    if (known != pictures_.end()) return known->second;
  }
  MFS_ASSIGN_OR_RETURN(std::string jpeg, Thumbnail(people_[static_cast<size_t>(person)].picture, kPictureSize));
  std::lock_guard<std::mutex> lock(mutex_);
  return pictures_[person] = std::move(jpeg);
}

void PageControl::Next(int step) {
  const int n = static_cast<int>(people_.size());
  if (n == 0) return;
  const IdentitySwitch now = swapper_->identity();
  const int at = now.wanted_index >= 0 ? now.wanted_index : now.current_index;
  const int to = ((at + step) % n + n) % n;
  swapper_->SwitchTo(to, people_[static_cast<size_t>(to)].name, people_[static_cast<size_t>(to)].sources);
}

void PageControl::TogglePaused() {
  if (LiveLoop* l = loop()) l->SetPaused(!l->Stats().paused);
}
void PageControl::ToggleMirror() {
  if (LiveLoop* l = loop()) l->SetMirror(!l->Stats().mirror);
}

PageHost PageControl::Host() {
  return {[this] { return State().dump(-1, ' ', false, json::error_handler_t::replace); }, [this](const std::string& change) { return Change(change); },
          [this](int person) { return Picture(person); }};
}

}  // namespace mfs
