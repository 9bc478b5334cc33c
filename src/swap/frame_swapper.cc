#include "swap/frame_swapper.h"

#include <algorithm>

namespace mfs {

StatusOr<std::unique_ptr<FrameSwapper>> FrameSwapper::Create(Engine* engine, const FrameSwapperOptions& options) {
  if (!(options.min_face >= 0) || options.max_faces < 1) return InvalidArgument("the smallest face must be 0 pixels or more and the number of faces at least 1");
  std::unique_ptr<FrameSwapper> swapper(new FrameSwapper(engine, options));
  MFS_ASSIGN_OR_RETURN(std::shared_ptr<FaceFinder> finder, engine->Finder());
  FaceTrackerOptions tracker = options.tracker;
  tracker.everyone = tracker.everyone || engine->options().faces != FaceSelection::kLargest;
  swapper->tracker_ = FaceTracker::Create(std::move(finder), tracker);
  if (options.keep_person) swapper->selection_.largest.KeepPerson();
  if (options.person) swapper->selection_.largest.Seed(*options.person);
  return swapper;
}

StatusOr<FramePlan> FrameSwapper::Track(const FrameView& frame, double seconds, StageTimes* times) {
  const StageTimer timer(&times->detect);
  FramePlan plan;
  MFS_ASSIGN_OR_RETURN(plan.tracks, tracker_->Update(frame, seconds));
  MFS_ASSIGN_OR_RETURN(plan.chosen, engine_->SelectTracks(frame, plan.tracks, &selection_));
  // Who was swapped in the frame before stays so a little longer: at the limits a face would flicker between old and new.
  constexpr float kStay = 0.85f;  // of a side
  const auto size = [this](const ChosenFace& c) { return std::max(c.face.box.width(), c.face.box.height()) / (swapped_.count(c.track) > 0 ? kStay : 1); };
  const auto end = std::remove_if(plan.chosen.begin(), plan.chosen.end(), [&](const ChosenFace& c) { return size(c) < options_.min_face; });
  plan.too_small = static_cast<int>(plan.chosen.end() - end);
  plan.chosen.erase(end, plan.chosen.end());
  if (plan.chosen.size() > static_cast<size_t>(options_.max_faces)) {
    std::stable_sort(plan.chosen.begin(), plan.chosen.end(), [&](const ChosenFace& a, const ChosenFace& b) { return size(a) > size(b); });
    plan.too_many = static_cast<int>(plan.chosen.size()) - options_.max_faces;
    plan.chosen.resize(options_.max_faces);
  }
  swapped_.clear();
  for (const ChosenFace& c : plan.chosen) swapped_.insert(c.track);
  return plan;
}

Status FrameSwapper::Swap(const FramePlan& plan, FrameView* frame, StageTimes* times) {
  for (const TrackedFace& t : plan.tracks) {
    if (t.jumped) looks_.erase(t.id);  // another light at once: a flash, another take
  }
  for (const ChosenFace& c : plan.chosen) {
    Look& look = looks_[c.track];
    // What was learned of the former person's colours does not hold for the next one.
    if (look.identity != c.identity || look.identities != engine_->identities_set()) look = {{}, c.identity, engine_->identities_set()};
    MFS_RETURN_IF_ERROR(engine_->SwapFace(frame, c.face, times, &look.state, c.identity));
  }
  // What belonged to tracks that have ended.
  for (auto look = looks_.begin(); look != looks_.end();) {
    const bool lives = std::any_of(plan.tracks.begin(), plan.tracks.end(), [&](const TrackedFace& t) { return t.id == look->first; });
    look = lives ? std::next(look) : looks_.erase(look);
  }
  return Status::Ok();
}

StatusOr<FramePlan> FrameSwapper::Process(FrameView* frame, double seconds, StageTimes* times) {
  MFS_ASSIGN_OR_RETURN(FramePlan plan, Track(*frame, seconds, times));
  MFS_RETURN_IF_ERROR(Swap(plan, frame, times));
  return plan;
}

}  // namespace mfs
