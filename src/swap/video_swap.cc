#include "swap/video_swap.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/bounded_queue.h"
#include "base/file.h"
#include "base/sha256.h"
#include "media/segment_file.h"
#include "media/video_mux.h"
#include "swap/part_folder.h"

namespace mfs {
namespace {

using nlohmann::json;

std::string AbsolutePath(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  std::string result = resolved == nullptr ? path : resolved;
  std::free(resolved);
  return result;
}

// Everything the result depends on.
StatusOr<std::string> DescribeJob(const std::string& target, const std::string& output, const VideoSwapOptions& o) {
  MFS_ASSIGN_OR_RETURN(const FileEnds file, ReadEnds(target, 1 << 20));
  const std::string ends = file.first + file.last;
  return json{{"program", "MobileFaceSwap " MFS_VERSION},
              {"input_name", AbsolutePath(target)},
              {"input_bytes", file.size},
              {"input_sha256_of_ends", Sha256Hex(ends.data(), ends.size())},
              {"container", Extension(output)},
              {"trim", {o.read.trim_start, o.read.trim_end}},
              {"codec", o.write.codec},
              {"crf", o.write.crf},
              {"preset", o.write.preset},
              {"encoder_threads", o.write.threads},
              {"mark", o.write.mark},
              {"segment_seconds", o.segment_seconds},
              {"warm_up", {o.track_warm_up, o.swap_warm_up}},
              {"min_face", o.frame.min_face},
              {"max_faces", o.frame.max_faces},
              {"options", o.job}}
      .dump(1, ' ', false, json::error_handler_t::replace);
}

// ---- the stages ----

struct Item {
  VideoFrame frame;
  bool end = false;  // no frame: the segment is complete
  SegmentInfo info;  // end: of the segment
  int segment = -1;  // where the frame belongs; -1: it only warms up the next segment
  int warms = -1;    // segment that this frame warms up
  bool warms_swap = false;
  std::shared_ptr<FrameSwapper> swapper, next;
  FramePlan plan, next_plan;
};

// What all segments must agree on, however the film is divided and whenever they are made: taken from its beginning.
struct Opening {
  std::optional<VideoFrame> frame;        // the first, if it can be read: size, pixels, colours and the like of the encoder
  std::optional<PersonEmbedding> person;  // FaceSelection::kLargest: the first one seen
};

// Nothing here is an error: what is wrong with the film its own pass will say. with_person: is the person needed?
Opening LookAtOpening(Engine* engine, const std::string& target, const VideoSwapOptions& options, bool with_person) {
  constexpr int kFrames = 300, kEvery = 5;
  Opening opening;
  auto reader = VideoReader::Open(target, options.read);
  if (!reader.ok()) return opening;
  VideoFrame frame;
  for (int i = 0; i < kFrames; ++i) {
    const auto more = (*reader)->Read(&frame);
    if (!more.ok() || !*more) break;
    if (i == 0) {
      auto shared = frame.Share();
      if (shared.ok()) opening.frame = std::move(*shared);
    }
    if (!with_person) break;
    if (i % kEvery != 0) continue;
    const auto view = frame.ReadOnlyView();
    if (!view.ok()) break;
    const auto faces = engine->FindFaces(*view);
    if (!faces.ok()) break;
    if (faces->empty() || std::max((*faces)[0].box.width(), (*faces)[0].box.height()) < options.frame.min_face) continue;
    const auto embedding = engine->Embed(*view, (*faces)[0]);
    if (embedding.ok()) opening.person = embedding->z;
    break;
  }
  return opening;
}

class Pipeline {
 public:
  Pipeline(Engine* engine, const std::string& output, const VideoSwapOptions& options, VideoReader* reader, PartFolder* folder, int first, int end, VideoSwapReport* report)
      : engine_(engine),
        output_(output),
        options_(options),
        reader_(reader),
        folder_(folder),
        first_(first),
        end_(end),
        report_(report),
        decoded_(Capacity()),
        tracked_(Capacity()),
        swapped_(Capacity()) {
    for (const auto& [index, info] : folder->segments()) {
      present_.push_back(index);
      if (info.last) last_ = std::min(last_, index);
    }
  }
  ~Pipeline() { Stop(); }

  bool HasWork() const { return NextMissing(first_) >= 0; }
  Status Run(const std::string& target, VideoProgress progress_state, const std::function<void(const VideoProgress&)>& progress, const std::atomic<bool>* cancel);

 private:
  // Frames between two stages: enough to even out their times, few enough to keep memory small with large frames.
  size_t Capacity() const {
    const double bytes = 1.5 * reader_->info().width * reader_->info().height;
    return static_cast<size_t>(std::clamp(12e6 / std::max(1.0, bytes), 1.0, 4.0));
  }
  bool Needed(int segment) const { return segment >= first_ && segment < end_ && segment < last_ && !std::binary_search(present_.begin(), present_.end(), segment); }
  int NextMissing(int from) const {
    int s = std::max(from, first_);
    // Behind the last known segment everything that is allowed is missing.
    while (s < end_ && s < last_ && !Needed(s)) ++s;
    return Needed(s) ? s : -1;
  }
  double Begin(int segment) const { return options_.read.trim_start + segment * options_.segment_seconds; }
  int SegmentOf(double seconds) const { return static_cast<int>(std::clamp(std::floor((seconds - options_.read.trim_start) / options_.segment_seconds + 1e-9), 0.0, 1e9)); }

  void Decode();
  void Track();
  void SwapFrames();
  Status DecodeSegments();
  Status Encode(Item* item);
  void Fail(const Status& status) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (status_.ok()) status_ = status;
    }
    decoded_.Abort(), tracked_.Abort(), swapped_.Abort();
  }
  void Stop() {
    decoded_.Abort(), tracked_.Abort(), swapped_.Abort();
    for (std::thread& t : threads_) t.join();
    threads_.clear();
  }

  Engine* engine_;
  const std::string output_;
  const VideoSwapOptions& options_;
  Opening opening_;
  VideoReader* reader_;
  PartFolder* folder_;
  const int first_, end_;     // segments of this run; end: one behind
  int last_ = INT_MAX;        // the film is known to end with this segment, so nothing is needed from it on
  std::vector<int> present_;  // finished before, rising
  VideoSwapReport* report_;
  int64_t frames_decoded_ = 0;
  BoundedQueue<Item> decoded_, tracked_, swapped_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  Status status_;  // the first error of any stage
  // Encoding.
  std::unique_ptr<VideoEncoder> encoder_;
  std::unique_ptr<SegmentWriter> writer_;
  SegmentInfo info_;
};

// Reads the segments that are missing, run by run.
Status Pipeline::DecodeSegments() {
  for (int s = NextMissing(first_); s >= 0;) {
    // The reader stands at the start, or behind a run of segments.
    const double warm_from = s == 0 ? -std::numeric_limits<double>::infinity() : Begin(s) - options_.track_warm_up;
    if (s > 0) MFS_RETURN_IF_ERROR(reader_->Seek(std::max(0.0, warm_from)));
    int current = s;
    bool film_ended = false;
    for (;;) {
      Item item;
      {
        const StageTimer timer(&report_->times.decode);
        auto more = reader_->Read(&item.frame);
        if (!more.ok() || !*more) {
          Item last;
          last.end = true;
          last.info.index = current;
          last.info.last = true;
          if (!more.ok()) {
            // What was read so far is worth keeping; the caller learns why it ends.
            if (current == 0 && frames_decoded_ == 0) return more.status();
            last.info.end_code = static_cast<int>(more.status().code());
            last.info.end_message = more.status().message();
          }
          if (!decoded_.Push(std::move(last))) return Status::Ok();
          film_ended = true;
          break;
        }
      }
      const double seconds = item.frame.seconds();
      const int k = SegmentOf(seconds);
      if (k < s) {
        if (seconds < warm_from) continue;
        item.warms = s;
        item.warms_swap = seconds >= Begin(s) - options_.swap_warm_up;
        if (!decoded_.Push(std::move(item))) return Status::Ok();
        continue;
      }
      if (k - current > 100000) return CorruptData("the times of the video's frames jump by days; it is damaged");
      bool run_ended = false;
      while (current < k && !run_ended) {
        Item end;
        end.end = true;
        end.info.index = current++;
        if (!decoded_.Push(std::move(end))) return Status::Ok();
        run_ended = !Needed(current);
      }
      if (run_ended) break;
      item.segment = k;
      if (Needed(k + 1) && seconds >= Begin(k + 1) - options_.track_warm_up) {
        item.warms = k + 1;
        item.warms_swap = seconds >= Begin(k + 1) - options_.swap_warm_up;
      }
      ++frames_decoded_;
      if (!decoded_.Push(std::move(item))) return Status::Ok();
    }
    if (film_ended) break;
    s = NextMissing(current);
  }
  decoded_.Finish();
  return Status::Ok();
}

void Pipeline::Decode() {
  const Status status = DecodeSegments();
  if (!status.ok()) Fail(status);
}

void Pipeline::Track() {
  std::shared_ptr<FrameSwapper> current, next;
  int current_segment = -1, next_segment = -1;
  Item item;
  const auto track = [&](FrameSwapper* swapper, FramePlan* plan) -> Status {
    MFS_ASSIGN_OR_RETURN(const FrameView view, item.frame.ReadOnlyView());
    MFS_ASSIGN_OR_RETURN(*plan, swapper->Track(view, item.frame.seconds(), &report_->times));
    return Status::Ok();
  };
  FrameSwapperOptions frame = options_.frame;
  if (!frame.person) frame.person = opening_.person;
  const auto make = [&](std::shared_ptr<FrameSwapper>* swapper) -> Status {
    MFS_ASSIGN_OR_RETURN(*swapper, FrameSwapper::Create(engine_, frame));
    return Status::Ok();
  };
  while (decoded_.Pop(&item)) {
    Status status;
    const auto turn_to = [&](int segment) {
      if (current_segment == segment) return;
      current = next_segment == segment ? next : nullptr;
      current_segment = segment;
      if (current == nullptr) status = make(&current);
    };
    if (item.end) {
      if (current_segment == item.info.index) item.info.detections = current->tracker().detections();
    } else {
      if (item.segment >= 0) {
        turn_to(item.segment);
        item.swapper = current;
        if (status.ok()) status = track(current.get(), &item.plan);
      }
      if (status.ok() && item.warms >= 0) {
        if (next_segment != item.warms) {
          next_segment = item.warms;
          status = make(&next);
        }
        item.next = next;
        if (status.ok()) status = track(next.get(), &item.next_plan);
      }
    }
    if (!status.ok()) return Fail(status);
    if (!tracked_.Push(std::move(item))) return;
  }
  tracked_.Finish();
}

void Pipeline::SwapFrames() {
  Item item;
  const auto swap_in = [&](FrameSwapper* swapper, const FramePlan& plan, VideoFrame* frame) -> Status {
    FrameView view;  // with nobody to swap the frame is not touched, but the swapper has to know of the tracks
    if (!plan.chosen.empty()) {
      MFS_ASSIGN_OR_RETURN(view, frame->View());
    }
    return swapper->Swap(plan, &view, &report_->times);
  };
  const auto swap = [&]() -> Status {
    if (item.next != nullptr && item.warms_swap) {
      // On a copy: only what the swapper remembers counts. The original must not have been swapped yet.
      MFS_ASSIGN_OR_RETURN(VideoFrame copy, item.frame.Share());
      MFS_RETURN_IF_ERROR(swap_in(item.next.get(), item.next_plan, &copy));
    }
    return item.segment >= 0 ? swap_in(item.swapper.get(), item.plan, &item.frame) : Status::Ok();
  };
  while (tracked_.Pop(&item)) {
    if (!item.end) {
      const Status status = swap();
      if (!status.ok()) return Fail(status);
      item.swapper = item.next = nullptr;
      if (item.segment < 0) continue;
    }
    if (!swapped_.Push(std::move(item))) return;
  }
  swapped_.Finish();
}

Status Pipeline::Encode(Item* item) {
  const StageTimer timer(&report_->times.encode);
  const auto sink = [this](const EncodedPacket& p) { return writer_->Write(p); };
  if (!item->end) {
    if (encoder_ == nullptr) {
      info_ = {};
      MFS_ASSIGN_OR_RETURN(encoder_, VideoEncoder::Create(output_, *reader_, opening_.frame ? *opening_.frame : item->frame, options_.write));
      MFS_ASSIGN_OR_RETURN(writer_, SegmentWriter::Create(folder_->SegmentFile(item->segment), encoder_->parameters()));
      info_.warnings = encoder_->warnings();
    }
    MFS_RETURN_IF_ERROR(encoder_->Send(item->frame, sink));
    ++info_.frames;
    info_.swapped += !item->plan.chosen.empty();
    info_.too_small += item->plan.too_small;
    info_.too_many += item->plan.too_many;
    return Status::Ok();
  }
  if (encoder_ != nullptr) {
    MFS_RETURN_IF_ERROR(encoder_->Finish(sink));
    info_.reorder = encoder_->reorder();
    encoder_.reset();
    MFS_RETURN_IF_ERROR(writer_->Close());
    writer_.reset();
  } else {
    info_ = {};
  }
  info_.index = item->info.index, info_.last = item->info.last, info_.detections = item->info.detections;
  info_.end_code = item->info.end_code, info_.end_message = item->info.end_message;
  return folder_->Commit(info_);
}

Status Pipeline::Run(const std::string& target, VideoProgress state, const std::function<void(const VideoProgress&)>& progress, const std::atomic<bool>* cancel) {
  const auto start = std::chrono::steady_clock::now();
  // Nobody knows how long some files are.
  const double length = reader_->info().seconds;
  const bool divided = !(length > 0) || !reader_->info().sure || length - options_.read.trim_start > options_.segment_seconds;
  opening_ = LookAtOpening(engine_, target, options_, divided && engine_ != nullptr && engine_->options().faces == FaceSelection::kLargest);
  // A thread that throws would end the whole program.
  const auto stage = [this](void (Pipeline::*work)()) {
    threads_.emplace_back([this, work] {
      try {
        (this->*work)();
      } catch (const std::bad_alloc&) {
        Fail(OutOfMemory("not enough memory for frames of this size"));
      } catch (const std::exception& e) {
        Fail(Internal(e.what()));
      }
    });
  };
  stage(&Pipeline::Decode);
  if (engine_ != nullptr) {
    stage(&Pipeline::Track);
    stage(&Pipeline::SwapFrames);
  }
  BoundedQueue<Item>& input = engine_ == nullptr ? decoded_ : swapped_;
  Item item;
  Status status;
  int writing = -1;
  while (status.ok() && input.Pop(&item)) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
      status = Cancelled("stopped");
      break;
    }
    if (!item.end && item.segment < 0) continue;
    if (!item.end) writing = item.segment;
    status = Encode(&item);
    if (!status.ok() || item.end) continue;
    item.frame = VideoFrame();
    ++state.frames, ++state.new_frames, ++report_->new_frames;
    if (progress) {
      state.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      progress(state);
    }
  }
  Stop();
  if (status.ok()) status = status_;
  if (!status.ok()) {
    writer_.reset();
    if (writing >= 0 && folder_->segments().count(writing) == 0) RemoveFile(folder_->SegmentFile(writing));
  }
  return status;
}

// ---- joining ----

void AddUp(const SegmentInfo& info, VideoSwapReport* report) {
  report->frames += info.frames;
  report->swapped += info.swapped;
  report->detections += info.detections;
  report->too_small += info.too_small;
  report->too_many += info.too_many;
  for (const std::string& w : info.warnings) {
    if (std::find(report->warnings.begin(), report->warnings.end(), w) == report->warnings.end()) report->warnings.push_back(w);
  }
  if (info.last && info.end_code != 0) report->input_end = Status(static_cast<StatusCode>(info.end_code), info.end_message);
}

// Where the film is put together: in its part folder if that lies beside it.
std::string JoinedName(const PartFolder& folder, const std::string& output) {
  return folder.path() == PartFolder::NameFor(output) ? folder.path() + "/joined." + Extension(output) : TemporaryName(output);
}

// Sums up the segments of the folders and puts the film together.
Status Join(const std::vector<PartFolder*>& folders, const std::string& input, const std::string& output, bool needs_face, const std::atomic<bool>* cancel, VideoSwapReport* report) {
  const json job = json::parse(folders[0]->job(), nullptr, false);
  VideoMuxJob mux;
  double segment_seconds = 0;
  try {
    mux.input = input.empty() ? job.at("input_name").get<std::string>() : input;
    mux.read.trim_start = job.at("trim").at(0), mux.read.trim_end = job.at("trim").at(1);
    mux.write.mark = job.at("mark");
    segment_seconds = job.at("segment_seconds");
    if (Extension(output) != job.at("container")) {
      return InvalidArgument(output + ": the parts were made for a ." + job.at("container").get<std::string>() + " file; name the output so");
    }
  } catch (const json::exception&) {
    return CorruptData(folders[0]->path() + "/job.json: is damaged");
  }
  for (int i = 0;; ++i) {
    const SegmentInfo* info = nullptr;
    for (PartFolder* f : folders) {
      const auto found = f->segments().find(i);
      if (found == f->segments().end()) continue;
      info = &found->second;
      if (info->frames > 0) mux.segments.push_back(f->SegmentFile(i));
      break;
    }
    if (info == nullptr) {
      return NotFound(folders[0]->path() + ": the part from second " + std::to_string(std::lround(i * segment_seconds)) + " on is missing; has every shard finished?");
    }
    mux.reorder = std::max(mux.reorder, info->reorder);
    AddUp(*info, report);
    if (info->last) break;
  }
  report->passed_through = report->frames - report->swapped;
  if (needs_face && report->swapped == 0) {
    for (PartFolder* f : folders) f->Remove();
    const std::string size = report->too_small > 0 ? " large enough" : "";
    return NoFace(mux.input + ": no frame of the video shows a face" + size + " to swap (" + std::to_string(report->frames) + " frames); nothing was written");
  }
  if (SameFile(mux.input, output)) return InvalidArgument(output + ": input and output are the same file; choose another output");
  mux.name = output;
  mux.temporary = JoinedName(*folders[0], output);
  MFS_RETURN_IF_ERROR(MuxVideo(mux, &report->warnings, cancel));
  MFS_RETURN_IF_ERROR(folders[0]->MarkDone());
  const Status placed = CommitTemporary(mux.temporary, output);
  if (!placed.ok()) {
    folders[0]->UnmarkDone();  // else the next run would take what lies there for the film
    return placed;
  }
  for (PartFolder* f : folders) f->Remove();
  return Status::Ok();
}

std::string FacesLeftAlone(const VideoSwapReport& r, const FrameSwapperOptions& o) {
  std::string text;
  if (r.too_small > 0) text += "faces smaller than " + std::to_string(std::lround(o.min_face)) + " pixels were left alone (" + std::to_string(r.too_small) + " in all frames together)";
  if (r.too_many > 0) {
    text += (text.empty() ? "" : "; ") + std::string("of more than ") + std::to_string(o.max_faces) + " faces the largest were swapped, " + std::to_string(r.too_many) +
            " in all frames together left alone (--max-faces)";
  }
  return text;
}

}  // namespace

StatusOr<VideoSwapReport> SwapVideo(Engine* engine, const std::string& target, const std::string& output, const VideoSwapOptions& options, const std::function<void(const VideoProgress&)>& progress,
                                    const std::atomic<bool>* cancel) {
  const auto start = std::chrono::steady_clock::now();
  VideoSwapReport report;
  if (!(options.segment_seconds >= 0.1)) return InvalidArgument("a segment must last 0.1 seconds or more");
  if (options.shards < 1 || options.shard < 1 || options.shard > options.shards) return InvalidArgument("--shard is I/N with I from 1 to N");
  MFS_RETURN_IF_ERROR(CheckWritable(output));
  if (SameFile(target, output)) return InvalidArgument(output + ": input and output are the same file; choose another output");
  MFS_ASSIGN_OR_RETURN(const auto reader, VideoReader::Open(target, options.read));
  MFS_RETURN_IF_ERROR(CheckVideoOutput(output, options.write));
  report.width = reader->info().width;
  report.height = reader->info().height;
  int first = 0, end = INT_MAX;
  if (options.shards > 1) {
    const double film_end = options.read.trim_end >= 0 ? std::min(options.read.trim_end, reader->info().seconds) : reader->info().seconds;
    if (!(reader->info().seconds > 0)) return Unsupported(target + ": the length of this video is not known, so it cannot be divided; put it into a .mkv or .mp4 first");
    const int64_t segments = std::max<int64_t>(1, static_cast<int64_t>(std::ceil((film_end - options.read.trim_start) / options.segment_seconds - 1e-9)));
    first = static_cast<int>((options.shard - 1) * segments / options.shards);
    if (options.shard < options.shards) end = static_cast<int>(options.shard * segments / options.shards);
  }
  MFS_ASSIGN_OR_RETURN(const std::string job, DescribeJob(target, output, options));
  const PartFolder::Mode mode = options.resume || options.shards > 1 ? PartFolder::Mode::kResume : options.replace ? PartFolder::Mode::kReplace : PartFolder::Mode::kFresh;
  MFS_ASSIGN_OR_RETURN(const auto folder, PartFolder::Open(options.parts.empty() ? PartFolder::NameFor(output) : options.parts, job, mode, options.shard, options.shards));
  VideoProgress state;
  state.total_frames = reader->info().frames;
  for (const auto& [index, info] : folder->segments()) state.frames += info.frames;

  // An earlier run may have been killed when only tidying up was left.
  const bool in_place = folder->done() && FileExists(output) && !FileExists(JoinedName(*folder, output));
  Status status;
  {
    Pipeline pipeline(engine, output, options, reader.get(), folder.get(), first, end, &report);
    if (!in_place && pipeline.HasWork()) status = pipeline.Run(target, state, progress, cancel);
  }
  if (status.ok() && (options.shards > 1 || in_place)) {
    for (const auto& [index, info] : folder->segments()) {
      if (index >= first && index < end) AddUp(info, &report);
    }
    report.passed_through = report.frames - report.swapped;
    report.joined = in_place;
    if (in_place) folder->Remove();
  } else if (status.ok()) {
    const StageTimer timer(&report.times.encode);
    status = Join({folder.get()}, target, output, engine != nullptr, cancel, &report);
  }
  if (!status.ok()) {
    if (status.code() == StatusCode::kNoFace && engine != nullptr && engine->options().faces == FaceSelection::kReference) {
      return NoFace(status.message() + ". Only who looks like the given person is swapped: another photo of that person, or a lower similarity, may help");
    }
    if (status.code() == StatusCode::kNoFace) return status;
    int64_t kept = 0;
    for (const auto& [index, info] : folder->segments()) kept += info.frames;
    if ((kept == 0 || !options.keep_parts) && options.shards == 1) {
      folder->Remove();
      return status.code() == StatusCode::kCancelled ? Cancelled("stopped; nothing was written") : status;
    }
    return Status(status.code(), status.message() + "; " + std::to_string(kept) + " finished frames are kept in " + folder->path() + ": run the same command with --resume to go on");
  }
  if (const std::string left = FacesLeftAlone(report, options.frame); !left.empty()) report.warnings.push_back(left);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

StatusOr<VideoSwapReport> JoinVideo(const std::vector<std::string>& folders, const std::string& input, const std::string& output, const std::atomic<bool>* cancel) {
  const auto start = std::chrono::steady_clock::now();
  if (folders.empty()) return InvalidArgument("no folder with parts is given");
  MFS_RETURN_IF_ERROR(CheckWritable(output));
  std::vector<std::unique_ptr<PartFolder>> open;
  std::vector<PartFolder*> parts;
  std::string job;
  for (const std::string& f : folders) {
    MFS_ASSIGN_OR_RETURN(auto folder, PartFolder::Open(f, job, PartFolder::Mode::kJoin));
    if (!open.empty() && !SameJob(open[0]->job(), folder->job())) return InvalidArgument(f + ": was made with another input or other options than " + folders[0]);
    parts.push_back(folder.get());
    open.push_back(std::move(folder));
  }
  VideoSwapReport report;
  MFS_RETURN_IF_ERROR(Join(parts, input, output, true, cancel, &report));
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace mfs
