#include "swap/frame_swapper.h"

#include <algorithm>

namespace mfs {

StatusOr<std::unique_ptr<FrameSwapper>> FrameSwapper::Create(Engine* engine, const FrameSwapperOptions& options) {
  if (!(options.min_face >= 0) || options.max_faces < 1) return InvalidArgument("the smallest face must be 0 pixels or more and the number of faces at least 1");
  std::unique_ptr<FrameSwapper> swapper(new FrameSwapper(engine, options));
  MFS_ASSIGN_OR_RETURN(std::shared_ptr<FaceFinder> finder, engine->Finder());
  swapper->tracker_ = FaceTracker::Create(std::move(finder), options.tracker);
  if (options.person) swapper->selection_.largest.Seed(*options.person);
  return swapper;
}

StatusOr<FramePlan> FrameSwapper::Track(const FrameView& frame, double seconds, StageTimes* times) {
  const StageTimer timer(&times->detect);
  FramePlan plan;
  MFS_ASSIGN_OR_RETURN(plan.tracks, tracker_->Update(frame, seconds));
  MFS_ASSIGN_OR_RETURN(plan.chosen, engine_->SelectTracks(frame, plan.tracks, &selection_));
  const auto small = [this](const ChosenFace& c) { return std::max(c.face.box.width(), c.face.box.height()) < options_.min_face; };
  const auto end = std::remove_if(plan.chosen.begin(), plan.chosen.end(), small);
  plan.too_small = static_cast<int>(plan.chosen.end() - end);
  plan.chosen.erase(end, plan.chosen.end());
  if (plan.chosen.size() > static_cast<size_t>(options_.max_faces)) {  // tracks come largest first
    plan.too_many = static_cast<int>(plan.chosen.size()) - options_.max_faces;
    plan.chosen.resize(options_.max_faces);
  }
  return plan;
}

Status FrameSwapper::Swap(const FramePlan& plan, FrameView* frame, StageTimes* times) {
  for (const ChosenFace& c : plan.chosen) MFS_RETURN_IF_ERROR(engine_->SwapFace(frame, c.face, times, &looks_[c.track], c.identity));
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
