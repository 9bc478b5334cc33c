#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/sha256.h"
#include "command.h"
#include "media/video_encoder.h"
#include "swap/part_folder.h"
#include "swap/picture_swap.h"
#include "swap/video_swap.h"
#include "targets.h"

namespace mfs::app {
namespace {

using nlohmann::json;

struct SwapFlags {
  std::vector<std::string> sources, map, targets;
  std::string output, batch, faces = "largest", reference, side_by_side;
  std::string show = "none";
  bool overwrite = false, json_output = false, no_mark = false, no_color_match = false, no_detail_match = false;
  int threads = 0;
  SwapOptions swap;
  PictureWriteOptions picture;
  VideoSwapOptions video;
  std::string shard;
  std::vector<std::string> given;  // names of the options of this call
};

json TimesToJson(const StageTimes& t) {
  return {{"decode", t.decode}, {"detect", t.detect}, {"align", t.align}, {"swap", t.swap}, {"occlusion", t.occlusion}, {"looks", t.looks}, {"paste", t.paste}, {"encode", t.encode}};
}

std::string FormatTimes(const StageTimes& t) {
  char text[200];
  snprintf(text, sizeof text, "decode %.2f s, detect %.2f s, align %.2f s, swap %.2f s, looks %.2f s, paste %.2f s, encode %.2f s", t.decode, t.detect, t.align, t.swap, t.looks, t.paste, t.encode);
  return text;
}

// A line that rewrites itself on a terminal; a plain line every five seconds elsewhere.
class Progress {
 public:
  void operator()(const VideoProgress& p) {
    const double interval = terminal_ ? 0.2 : 5;
    if (p.seconds - last_ < interval) return;
    last_ = p.seconds;
    const double fps = p.seconds > 0 ? p.new_frames / p.seconds : 0;
    char text[160];
    if (p.total_frames > 0) {
      const double share = std::min(1.0, double(p.frames) / p.total_frames);
      const int eta = fps > 0 ? static_cast<int>(std::max<int64_t>(0, p.total_frames - p.frames) / fps + 0.5) : 0;
      char bar[26] = "";
      for (int i = 0; i < 25; ++i) bar[i] = i < share * 25 ? '#' : '.';
      bar[25] = 0;
      snprintf(text, sizeof text, "[%s] %3.0f %% %lld/%lld frames, %.1f fps, %d:%02d left", bar, share * 100, static_cast<long long>(p.frames), static_cast<long long>(p.total_frames), fps, eta / 60,
               eta % 60);
    } else {
      snprintf(text, sizeof text, "%lld frames, %.1f fps", static_cast<long long>(p.frames), fps);
    }
    std::fprintf(stderr, terminal_ ? "\r%-78s" : "%s\n", text);
    shown_ = true;
  }
  void End() {
    if (terminal_ && shown_) std::fprintf(stderr, "\r%-78s\r", "");
  }

 private:
  bool terminal_ = isatty(STDERR_FILENO) != 0, shown_ = false;
  double last_ = -1e9;
};

// What a run reads: no output may be one of these, however it is called and whatever -y says.
class InputFiles {
 public:
  void Add(const std::string& path) {
    struct stat st;
    if (!path.empty() && stat(path.c_str(), &st) == 0) files_.insert({st.st_dev, st.st_ino});
  }
  Status Check(const std::string& output) const {
    struct stat st;
    if (stat(output.c_str(), &st) != 0 || files_.count({st.st_dev, st.st_ino}) == 0) return Status::Ok();
    return InvalidArgument(output + ": input and output are the same file; choose another output");
  }

 private:
  std::set<std::pair<dev_t, ino_t>> files_;
};

// One name for one place, of a file that need not be there yet.
std::string Normalized(const std::string& path) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::canonical(DirName(path), error);
  return error ? path : (folder / BaseName(path)).string();
}

// PERSON=SOURCE of --map. File names may hold '=' themselves: the first one behind which the left side is a file.
StatusOr<std::pair<std::string, std::string>> SplitMap(const std::string& entry) {
  size_t equals = entry.find('=');
  while (equals != std::string::npos && !FileExists(entry.substr(0, equals))) equals = entry.find('=', equals + 1);
  if (equals == std::string::npos) equals = entry.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == entry.size()) {
    return InvalidArgument("--map " + entry + ": needs PERSON=SOURCE, both a photo or an identity file; mfs faces TARGET --persons DIR makes files of the persons");
  }
  return std::pair<std::string, std::string>(entry.substr(0, equals), entry.substr(equals + 1));
}

// What tells an identity from others, for the job that --resume compares.
std::string Describe(const Identity& identity) { return " identity=" + Sha256Hex(identity.z.data(), sizeof identity.z) + identity.model_sha256; }

// Has an earlier run with --resume made this output?
bool DoneBefore(const SwapFlags& f, const std::string& output) { return f.video.resume && FileExists(output) && !IsFolder(PartFolder::NameFor(output)); }

// WebM holds no x264: who names such an output and no codec wants VP9.
std::string CodecFor(const SwapFlags& f, const std::string& output) {
  const bool given = std::find(f.given.begin(), f.given.end(), "--codec") != f.given.end();
  return !given && Extension(output) == "webm" ? "vp9" : f.video.write.codec;
}

// What can be said of a target and its output by their names and first bytes.
Status CheckNames(const SwapFlags& f, const std::string& target, const std::string& output) {
  if (!FileExists(target)) return NotFound(target + ": no such file");
  if (SameFile(target, output)) return InvalidArgument(output + ": input and output are the same file; choose another output");
  if (!IsPicture(target)) {
    if (IsPictureName(output)) return InvalidArgument(output + ": the target is no picture; for a video name the output .mp4, .mkv, .mov, .webm or .avi");
    VideoWriteOptions write = f.video.write;
    write.codec = CodecFor(f, output);
    return CheckVideoOutput(output, write);
  }
  if (f.video.shards > 1) return InvalidArgument(target + ": is a picture; --shard divides one video");
  if (IsPictureName(output)) return Status::Ok();
  const std::string from = Extension(target);
  const std::string animated = from == "gif" || from == "apng" || from == "webp" ? "; to swap an animation make it a video first, as with ffmpeg -i " + target + " animation.mp4" : "";
  return InvalidArgument(output + ": the target is a picture; name the output .png, .jpg, .webp, .tif or .bmp" + animated);
}

// One target; result receives the summary.
Status SwapOne(Engine* engine, const SwapFlags& f, const std::string& target, const std::string& output, json* result) {
  // A run that was stopped while it tidied up has its result in place already.
  const bool goes_on = f.video.resume && IsFolder(PartFolder::NameFor(output));
  if (!goes_on && f.video.shards == 1) MFS_RETURN_IF_ERROR(CheckOutput(output, f.overwrite));
  MFS_RETURN_IF_ERROR(CheckNames(f, target, output));
  if (IsPicture(target)) {
    MFS_ASSIGN_OR_RETURN(const PictureSwapReport r, SwapPicture(engine, target, output, f.picture));
    for (const std::string& w : r.warnings) Warn(target + ": " + w);
    *result = {{"kind", "picture"},
               {"target", target},
               {"output", output},
               {"width", r.width},
               {"height", r.height},
               {"faces_found", r.faces_found},
               {"faces_swapped", r.faces_swapped},
               {"seconds", TimesToJson(r.times)},
               {"warnings", r.warnings}};
    if (!f.json_output) std::printf("%s: %d of %d faces swapped (%dx%d)\n", output.c_str(), r.faces_swapped, r.faces_found, r.width, r.height);
    return Status::Ok();
  }
  Progress progress;
  VideoSwapOptions options = f.video;
  options.write.codec = CodecFor(f, output);
  auto report = SwapVideo(engine, target, output, options, std::ref(progress), CancelFlag());
  progress.End();
  if (!report.ok()) return report.status();
  const VideoSwapReport& r = *report;
  for (const std::string& w : r.warnings) Warn(target + ": " + w);
  const double fps = r.seconds > 0 ? r.new_frames / r.seconds : 0;
  *result = {{"kind", "video"},
             {"target", target},
             {"output", output},
             {"width", r.width},
             {"height", r.height},
             {"frames", r.frames},
             {"swapped", r.swapped},
             {"passed_through", r.passed_through},
             {"detector_share", r.frames > 0 ? double(r.detections) / r.frames : 0},
             {"fps", fps},
             {"wall_seconds", r.seconds},
             {"seconds", TimesToJson(r.times)},
             {"complete", r.input_end.ok()},
             {"joined", r.joined},
             {"new_frames", r.new_frames},
             {"detections", r.detections},
             {"too_small", r.too_small},
             {"too_many", r.too_many},
             {"warnings", r.warnings}};
  if (!f.json_output && !r.joined) {
    std::printf("part %d of %d of %s: %lld frames, %lld swapped, %.1f fps; mfs join -o %s when all parts are there\n", f.video.shard, f.video.shards, output.c_str(), static_cast<long long>(r.frames),
                static_cast<long long>(r.swapped), fps, output.c_str());
  } else if (!f.json_output) {
    std::printf("%s: %lld frames, %lld swapped, %lld passed through, %.1f fps (%s)\n", output.c_str(), static_cast<long long>(r.frames), static_cast<long long>(r.swapped),
                static_cast<long long>(r.passed_through), fps, FormatTimes(r.times).c_str());
  }
  if (!r.input_end.ok()) return r.input_end.WithPrefix("what could be read was written to " + output + ", but ");
  return Status::Ok();
}

// Source photo, target and result next to each other, all 480 pixels high.
Status WriteSideBySide(const std::vector<std::string>& files, const std::string& output, bool mark) {
  constexpr int kHeight = 480;
  std::vector<ImageF> panels;
  int width = 0;
  for (const std::string& file : files) {
    MFS_ASSIGN_OR_RETURN(Picture picture, ReadPicture(file));
    const FrameView view = picture.View();
    const int w = std::max(1, std::min(4 * kHeight, static_cast<int>(int64_t{view.width()} * kHeight / view.height())));
    panels.emplace_back();
    MFS_RETURN_IF_ERROR(ReadScaled(view, w, kHeight, &panels.back()));
    width += w;
  }
  ImageF sheet(width, kHeight, 3);
  int x0 = 0;
  for (const ImageF& panel : panels) {
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < kHeight; ++y) std::copy_n(panel.row(c, y), panel.width(), sheet.row(c, y) + x0);
    }
    x0 += panel.width();
  }
  PictureWriteOptions options;
  options.mark = mark;
  std::vector<std::string> warnings;
  return WritePicture(PictureOf(sheet), output, options, &warnings);
}

// Several targets into a folder, with one summary. A target without a face is no failure: there is nothing to do.
int RunMany(Engine* engine, const SwapFlags& f, const std::vector<std::string>& targets, const InputFiles& inputs) {
  int done = 0, failed = 0, without_face = 0, there = 0;
  json results = json::array();
  std::set<std::string> outputs;
  Status stopped;
  for (const std::string& target : targets) {
    if (CancelFlag()->load()) {
      stopped = Cancelled("stopped after " + std::to_string(done) + " of " + std::to_string(targets.size()) + " targets; --resume goes on");
      break;
    }
    const std::string output = OutputInFolder(target, f.output, CodecFor(f, target));
    json result{{"target", target}, {"output", output}};
    Status status;
    if (!outputs.insert(output).second) {
      status = InvalidArgument(target + ": another target has the same name; its result would overwrite " + output);
    } else if (status = inputs.Check(output); !status.ok()) {
      // said below
    } else if (DoneBefore(f, output)) {
      ++there;
      results.push_back(result);
      continue;
    } else {
      status = SwapOne(engine, f, target, output, &result);
    }
    if (status.ok()) {
      ++done;
    } else if (status.code() == StatusCode::kNoFace) {
      ++without_face;
      Warn(status.message());
    } else {
      ++failed;
      (void)Fail(status);
    }
    if (!status.ok()) result["error"] = status.message();
    results.push_back(result);
  }
  if (f.json_output) std::printf("%s\n", results.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  std::fprintf(stderr, "%d done, %d without a face, %d failed", done, without_face, failed);
  if (f.video.resume) std::fprintf(stderr, ", %d were there already", there);
  std::fprintf(stderr, "\n");
  if (!stopped.ok()) return Fail(stopped);
  return failed == 0 ? kDone : kFailed;
}

struct BatchLine {
  int number = 0;
  std::vector<std::string> fields;
};

std::vector<BatchLine> ParseBatch(const std::string& text) {
  std::vector<BatchLine> lines;
  std::istringstream in(text.compare(0, 3, "\xEF\xBB\xBF") == 0 ? text.substr(3) : text);  // Windows' editors put a mark before UTF-8
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line[0] == '#') continue;
    lines.push_back({number, {}});
    std::istringstream columns(line);
    for (std::string field; std::getline(columns, field, '\t');) lines.back().fields.push_back(field);
  }
  return lines;
}

int RunBatch(Engine* engine, SwapFlags f, const SwapOptions& swap, InputFiles inputs) {
  const std::string job = f.video.job;
  auto text = ReadFile(f.batch);
  if (!text.ok()) return Fail(text.status());
  const std::vector<BatchLine> lines = ParseBatch(*text);
  // No result may take the place of what another line reads. A line may go on with what a line before it makes.
  std::set<std::string> made, outputs;
  for (const BatchLine& line : lines) {
    if (line.fields.size() != 3) continue;
    inputs.Add(line.fields[0]);
    if (made.count(Normalized(line.fields[1])) == 0) inputs.Add(line.fields[1]);
    made.insert(Normalized(line.fields[2]));
  }
  std::string last_source;
  Status stopped;
  int done = 0, failed = 0, without_face = 0, there = 0;
  json results = json::array();
  for (const auto& [number, fields] : lines) {
    bool source_fits = false;
    if (CancelFlag()->load()) {
      stopped = Cancelled("stopped before line " + std::to_string(number));
      break;
    }
    json result = json::object();
    Status status;
    if (fields.size() != 3) {
      status = InvalidArgument("needs source<TAB>target<TAB>output");
    } else if (!outputs.insert(Normalized(fields[2])).second) {
      status = InvalidArgument(fields[2] + ": is the output of a line before, too; choose another");
    } else if (status = inputs.Check(fields[2]); !status.ok()) {
      // said below
    } else if (DoneBefore(f, fields[2])) {
      ++there;
      result = {{"line", number}, {"target", fields[1]}, {"output", fields[2]}};
      results.push_back(result);
      continue;
    } else {
      if (fields[0] != last_source) {  // neighbours often share their source
        last_source.clear();
        std::vector<std::string> warnings;
        auto identity = engine->LoadOrMakeIdentity({fields[0]}, &warnings);
        for (const std::string& w : warnings) Warn(w);
        status = identity.ok() ? engine->SetIdentity(*identity, swap) : identity.status();
        if (status.ok()) last_source = fields[0], f.video.job = job + Describe(*identity);
      }
      source_fits = status.ok();
      if (source_fits) status = SwapOne(engine, f, fields[1], fields[2], &result);
    }
    const Status told = status.ok() ? status : status.WithPrefix(f.batch + " line " + std::to_string(number) + ": ");
    if (status.ok()) {
      ++done;
    } else if (source_fits && status.code() == StatusCode::kNoFace) {
      ++without_face;
      Warn(told.message());
    } else {
      ++failed;
      (void)Fail(told);
    }
    result["line"] = number;
    if (fields.size() == 3) result["target"] = fields[1], result["output"] = fields[2];
    if (!status.ok()) result["error"] = status.message();
    results.push_back(result);
  }
  if (f.json_output) std::printf("%s\n", results.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  std::fprintf(stderr, "%d done, %d without a face, %d failed", done, without_face, failed);
  if (f.video.resume) std::fprintf(stderr, ", %d were there already", there);
  std::fprintf(stderr, "\n");
  if (!stopped.ok()) return Fail(stopped);
  if (done + without_face + failed + there == 0) return Fail(InvalidArgument(f.batch + ": holds no line source<TAB>target<TAB>output"));
  return failed == 0 ? kDone : kFailed;
}

// The source for everybody, or of --map one for each person.
// job: gets what tells these identities from others.
Status SetIdentities(Engine* engine, const SwapFlags& f, SwapOptions* swap, std::string* job) {
  std::vector<std::string> warnings;
  std::vector<Identity> identities;
  const auto load = [&](const std::vector<std::string>& sources) -> StatusOr<Identity> {
    warnings.clear();
    auto identity = engine->LoadOrMakeIdentity(sources, &warnings);
    for (const std::string& w : warnings) Warn(w);
    return identity;
  };
  if (f.map.empty()) {
    MFS_ASSIGN_OR_RETURN(const Identity identity, load(f.sources));
    *job += Describe(identity);
    return engine->SetIdentity(identity, *swap);
  }
  swap->faces = FaceSelection::kReference;
  for (const std::string& entry : f.map) {
    MFS_ASSIGN_OR_RETURN(const auto names, SplitMap(entry));
    MFS_ASSIGN_OR_RETURN(const Identity person, load({names.first}));
    MFS_ASSIGN_OR_RETURN(Identity identity, load({names.second}));
    for (size_t i = 0; i < swap->references.size(); ++i) {
      if (CosineSimilarity(person.z, swap->references[i]) > 0.6f) Warn("--map " + entry + ": looks like the person of --map " + f.map[i] + "; each person should be given once");
    }
    *job += Describe(person) + Describe(identity);
    swap->references.push_back(person.z);
    identities.push_back(std::move(identity));
  }
  std::vector<const Identity*> pointers;
  for (const Identity& i : identities) pointers.push_back(&i);
  return engine->SetIdentities(pointers, *swap);
}

// Of one target.
Status CheckSideBySide(const SwapFlags& f, const InputFiles& inputs) {
  const std::string& sheet = f.side_by_side;
  if (f.sources.empty() || Extension(f.sources[0]) == "safetensors") return InvalidArgument("--side-by-side needs a photo as -s, to show it");
  if (!IsPicture(f.targets[0])) return InvalidArgument("--side-by-side is for pictures; the target is a video");
  if (!IsPictureName(sheet)) return InvalidArgument(sheet + ": name the sheet of --side-by-side .png, .jpg, .webp, .tif or .bmp");
  if (Normalized(sheet) == Normalized(f.output) || SameFile(sheet, f.output)) return InvalidArgument(sheet + ": is the output; choose another name for --side-by-side");
  MFS_RETURN_IF_ERROR(inputs.Check(sheet));
  MFS_RETURN_IF_ERROR(CheckOutput(sheet, f.overwrite));
  return CheckWritable(sheet);
}

// Options that change nothing for these targets: the user may think that they did.
void WarnOfIgnored(const SwapFlags& f, const std::vector<std::string>& targets) {
  if (targets.empty()) return;
  bool video = false, webp = false;
  for (const std::string& t : targets) {
    video = video || !IsPicture(t);
    webp = webp || Extension(targets.size() == 1 && !IsFolder(f.output) ? f.output : t) == "webp";
  }
  std::string names;
  for (const std::string& name : f.given) {
    static const std::set<std::string> kOfVideos = {"--codec", "--crf", "--preset", "--trim-start", "--trim-end", "--encoder-threads", "--max-faces", "--segment"};
    if (!video && kOfVideos.count(name) > 0) names += (names.empty() ? "" : ", ") + name;
  }
  if (!names.empty()) Warn(names + ": only for videos; ignored, as the target is a picture");
  if (f.picture.lossless_webp && !webp) Warn("--lossless: only for .webp pictures; ignored (.png and .tif are lossless anyway, a video with --codec ffv1)");
}

int RunSwap(SwapFlags f) {
  const bool batch = !f.batch.empty();
  if (batch == (!f.sources.empty() || !f.map.empty() || !f.targets.empty() || !f.output.empty()) || (!batch && (f.sources.empty() == f.map.empty() || f.targets.empty() || f.output.empty()))) {
    std::fprintf(stderr, "mfs: swap needs -s SOURCE (or --map PERSON=SOURCE for each person) -t TARGET -o OUTPUT, or --batch PAIRS.tsv alone (mfs swap --help)\n");
    return kWrongUsage;
  }
  if (!f.map.empty() && (f.faces != "largest" || !f.reference.empty())) {
    std::fprintf(stderr, "mfs: --map says which faces are swapped; leave out --faces and --reference (mfs swap --help)\n");
    return kWrongUsage;
  }
  const auto selection = SelectionOf(f.faces, f.reference);
  if (!selection.ok()) {
    std::fprintf(stderr, "mfs: %s (mfs swap --help)\n", selection.status().message().c_str());
    return kWrongUsage;
  }
  if (!f.shard.empty()) {
    char rest = 0;
    if (std::sscanf(f.shard.c_str(), "%d/%d%c", &f.video.shard, &f.video.shards, &rest) != 2 || f.video.shard < 1 || f.video.shard > f.video.shards) {
      std::fprintf(stderr, "mfs: --shard needs I/N with I from 1 to N, as in --shard 2/8 (mfs swap --help)\n");
      return kWrongUsage;
    }
  }
  const bool many = f.targets.size() > 1 || (!batch && (NamesSeveral(f.targets[0]) || IsFolder(f.output)));
  std::vector<std::string> targets = f.targets;
  if (!f.side_by_side.empty() && (batch || many)) return Fail(InvalidArgument("--side-by-side shows one picture; leave it out when there are several targets"));
  if (many) {
    if (f.video.shards > 1) return Fail(InvalidArgument("--shard divides one video; give one target"));
    auto expanded = ExpandTargets(f.targets);
    if (!expanded.ok()) return Fail(expanded.status());
    targets = *expanded;
    if (!IsFolder(f.output) && mkdir(f.output.c_str(), 0777) != 0) {
      return Fail(InvalidArgument(f.output + ": several targets need a folder as output, and it cannot be made here: " + std::strerror(errno)));
    }
  }
  if (batch && f.video.shards > 1) return Fail(InvalidArgument("--shard divides one video; it does not go with --batch"));
  InputFiles inputs;
  for (const std::string& name : f.sources) inputs.Add(name);
  for (const std::string& name : targets) inputs.Add(name);
  inputs.Add(f.reference), inputs.Add(f.batch);
  for (const std::string& entry : f.map) {
    auto names = SplitMap(entry);
    if (!names.ok()) return Fail(names.status());
    inputs.Add(names->first), inputs.Add(names->second);
  }
  if (!batch && !many) {  // before any model is loaded
    if (DoneBefore(f, f.output)) {
      std::fprintf(stderr, "%s is complete already\n", f.output.c_str());
      if (f.json_output) std::printf("%s\n", json{{"target", targets[0]}, {"output", f.output}}.dump(2, ' ', false, json::error_handler_t::replace).c_str());
      return kDone;
    }
    const Status output = f.video.resume || f.video.shards > 1 ? Status::Ok() : CheckOutput(f.output, f.overwrite);
    if (!output.ok()) return Fail(output);
    const Status writable = CheckWritable(f.output);
    if (!writable.ok()) return Fail(writable);
    const Status own = inputs.Check(f.output);
    if (!own.ok()) return Fail(own);
    const Status names = CheckNames(f, targets[0], f.output);
    if (!names.ok()) return Fail(names);
  }
  if (!f.side_by_side.empty()) {
    const Status sheet = CheckSideBySide(f, inputs);
    if (!sheet.ok()) return Fail(sheet);
  }
  WarnOfIgnored(f, targets);
  auto engine = Engine::Create({});
  if (!engine.ok()) return Fail(engine.status());
  SwapOptions swap = f.swap;
  swap.faces = *selection;
  swap.threads = f.threads > 0 ? f.threads : std::max(1, std::min(4, static_cast<int>(std::thread::hardware_concurrency())));
  swap.compose.color_match = !f.no_color_match;
  swap.compose.detail_match = !f.no_detail_match;
  swap.compose.show = f.show == "mask" ? ShowOverlay::kMask : f.show == "box" ? ShowOverlay::kBox : f.show == "points" ? ShowOverlay::kPoints : ShowOverlay::kNone;
  std::vector<std::string> warnings;
  if (swap.faces == FaceSelection::kReference) {
    auto reference = (*engine)->LoadOrMakeIdentity({f.reference}, &warnings);
    for (const std::string& w : warnings) Warn("reference: " + w);
    if (!reference.ok()) return Fail(reference.status().WithPrefix("reference: "));
    swap.references.push_back(reference->z);
    f.video.job += Describe(*reference);
  }
  f.video.replace = f.overwrite;
  if (batch) return RunBatch(engine->get(), f, swap, inputs);
  Status status = SetIdentities(engine->get(), f, &swap, &f.video.job);
  if (!status.ok()) return Fail(status);
  if (many) return RunMany(engine->get(), f, targets, inputs);
  json result;
  status = SwapOne(engine->get(), f, f.targets[0], f.output, &result);
  if (status.ok() && !f.side_by_side.empty()) {
    status = WriteSideBySide({f.sources[0], f.targets[0], f.output}, f.side_by_side, f.picture.mark);
    if (!status.ok()) status = status.WithPrefix("the swap was written to " + f.output + ", but ");
  }
  if (f.json_output && !result.is_null()) std::printf("%s\n", result.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  return status.ok() ? kDone : Fail(status);
}

}  // namespace

void AddSwap(CLI::App* app, Run* run) {
  auto* c = app->add_subcommand("swap", "Swap the face of SOURCE into a picture or video");
  auto f = std::make_shared<SwapFlags>();
  c->add_option("-s,--source", f->sources, "One or several photos of a person, or an identity file. Of a group photo the largest face; mfs faces PHOTO --persons DIR makes an identity file of each")
      ->type_name("PHOTO|IDENTITY");
  c->add_option("-t,--target", f->targets, "Picture or video to change; or several, a folder, a quoted pattern such as 'clips/*.mp4'")->type_name("FILE");
  c->add_option("-o,--output", f->output, "Where the result goes; its extension chooses the format. With several targets a folder")->type_name("FILE");
  c->add_option("--batch", f->batch, "File with lines source<TAB>target<TAB>output; models are loaded once")->type_name("PAIRS.tsv");
  c->add_option("--faces", f->faces, "Which faces of the target are swapped")->check(CLI::IsMember({"largest", "all", "reference"}))->capture_default_str();
  c->add_option("--reference", f->reference, "Photo of the person to be replaced; the others stay as they are")->type_name("PHOTO");
  c->add_option("--map", f->map, "In place of -s, several times: this person of the target becomes that one")->type_name("PERSON=SOURCE");
  c->add_option("--similarity", f->swap.similarity, "Least cosine at which a face is the person of --reference or --map, or the largest face's person again")
      ->check(CLI::Range(-1.0, 1.0))
      ->capture_default_str();
  c->add_option("--strength", f->swap.compose.strength, "0 keeps the target, 1 swaps fully")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  c->add_option("--feather", f->swap.compose.feather, "Soft inner edge of the mask, as a share of the face's crop")->check(CLI::Range(0.0, 0.25))->capture_default_str();
  c->add_flag("--occlusion", f->swap.occlusion, "Leave out hands, hair, glasses and what else lies in front of the face (face parser)");
  c->add_flag("--keep-mouth", f->swap.compose.keep_mouth, "Keep the target's mouth");
  c->add_flag("--no-color-match", f->no_color_match, "Do not match the target's skin colour and light");
  c->add_flag("--no-detail-match", f->no_detail_match, "Do not match the target's sharpness and grain");
  c->add_option("--show", f->show, "Draw mask, box or points over the result, to find faults")->check(CLI::IsMember({"none", "mask", "box", "points"}))->capture_default_str();
  c->add_option("--side-by-side", f->side_by_side, "For a picture: also write source, target and result next to each other")->type_name("FILE");
  c->add_option("--quality", f->picture.quality, "JPEG and WebP quality")->check(CLI::Range(1, 100))->capture_default_str();
  c->add_flag("--lossless", f->picture.lossless_webp, "Lossless WebP");
  c->add_option("--codec", f->video.write.codec, "Video codec: x264, x265, vp9, av1, ffv1 (lossless), or an FFmpeg encoder; a .webm output has vp9 by default")->capture_default_str();
  c->add_option("--crf", f->video.write.crf, "Constant rate factor; lower is better (x264: 18)")->check(CLI::Range(0.0, 63.0));
  c->add_option("--preset", f->video.write.preset, "x264/x265 speed preset (veryfast)");
  c->add_option("--trim-start", f->video.read.trim_start, "Begin at this second")->check(CLI::NonNegativeNumber);
  c->add_option("--trim-end", f->video.read.trim_end, "End at this second")->check(CLI::NonNegativeNumber);
  c->add_flag("--int8", f->swap.int8, "The network's matrices in 8 bits: faster, a fifth of a grey level off in the mean (needs AVX-512 VNNI)");
  c->add_option("--threads", f->threads, "Threads of the swapping network (default: all, at most 4)")->check(CLI::Range(1, 64));
  c->add_option("--encoder-threads", f->video.write.threads, "Threads of the encoder; x264 and x265 give other bits with another number")->check(CLI::Range(1, 64))->capture_default_str();
  c->add_option("--max-faces", f->video.frame.max_faces, "Most faces swapped in one frame of a video, the largest first")->check(CLI::Range(1, 64))->capture_default_str();
  c->add_flag("--resume", f->video.resume, "Go on where an earlier run of the same command was stopped, or begin if there is nothing yet");
  c->add_option("--shard", f->shard, "Make part I of N of one video only; mfs join makes the film of them")->type_name("I/N");
  c->add_option("--segment", f->video.segment_seconds, "Length of the pieces in which a video is made and, after a crash, kept")
      ->check(CLI::Range(0.1, 3600.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  c->add_flag("--no-mark", f->no_mark, "Do not note in the metadata that a face-swapping tool made the file");
  c->add_flag("-y,--yes", f->overwrite, "Overwrite the output");
  c->add_flag("--json", f->json_output, "Summary as JSON on stdout");
  c->callback([c, f, run] {
    // What decides on the picture, to be compared on --resume: every option given but those that say where, how fast and how to report.
    static const std::set<std::string> kNoMatter = {"--source", "--target", "--output", "--batch", "--side-by-side", "--threads", "--resume", "--shard", "--yes", "--json"};
    for (const CLI::Option* o : c->get_options()) {
      if (o->count() > 0) f->given.push_back(o->get_name());
      if (o->count() == 0 || kNoMatter.count(o->get_name()) > 0) continue;
      f->video.job += o->get_name();
      for (const std::string& value : o->results()) f->video.job += " " + value;
      f->video.job += "; ";
    }
    *run = [f] {
      f->picture.mark = f->video.write.mark = !f->no_mark;
      return RunSwap(*f);
    };
  });
}

}  // namespace mfs::app
