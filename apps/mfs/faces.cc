#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "command.h"
#include "media/picture.h"
#include "media/video.h"

namespace mfs::app {
namespace {

using nlohmann::json;

json FaceToJson(const Face& f, int index) {
  json points = json::array();
  for (const Point& p : f.points) points.push_back({p.x, p.y});
  return {{"index", index}, {"box", {f.box.x0, f.box.y0, f.box.x1, f.box.y1}}, {"score", f.score}, {"points", points}, {"yaw", f.yaw}, {"pitch", f.pitch}, {"roll", f.roll}};
}

void PrintFace(const char* prefix, const Face& f, int index) {
  std::printf("%sface %d: box %.0f,%.0f %.0fx%.0f, score %.2f, yaw %.0f pitch %.0f roll %.0f, points", prefix, index, f.box.x0, f.box.y0, f.box.width(), f.box.height(),
              f.score, f.yaw, f.pitch, f.roll);
  for (const Point& p : f.points) std::printf(" %.1f,%.1f", p.x, p.y);
  std::printf("\n");
}

int RunFaces(const std::string& file, bool as_json) {
  auto engine = Engine::Create({});
  if (!engine.ok()) return Fail(engine.status());
  int total = 0;
  json out = {{"file", file}};
  const auto add = [&](const std::vector<Face>& faces, const char* prefix, json* list) {
    for (size_t i = 0; i < faces.size(); ++i, ++total) {
      if (as_json) {
        list->push_back(FaceToJson(faces[i], static_cast<int>(i)));
      } else {
        PrintFace(prefix, faces[i], static_cast<int>(i));
      }
    }
  };
  if (LooksLikePicture(file) || IsPictureName(file)) {
    auto picture = ReadPicture(file);
    if (!picture.ok()) return Fail(picture.status());
    for (const std::string& w : picture->warnings) Warn(file + ": " + w);
    const FrameView view = picture->View();
    auto faces = (*engine)->FindFaces(view);
    if (!faces.ok()) return Fail(faces.status());
    json list = json::array();
    add(*faces, "", &list);
    out["kind"] = "picture", out["width"] = view.width(), out["height"] = view.height(), out["faces"] = list;
  } else {
    VideoReadOptions options;
    options.keep_other_streams = false;
    auto reader = VideoReader::Open(file, options);
    if (!reader.ok()) return Fail(reader.status());
    VideoFrame frame;
    std::vector<Face> previous;
    json frames = json::array();
    for (int64_t n = 0;; ++n) {
      if (CancelFlag()->load()) return Fail(Cancelled("stopped"));
      auto more = (*reader)->Read(&frame);
      if (!more.ok()) return Fail(more.status());
      if (!*more) break;
      auto view = frame.View();
      if (!view.ok()) return Fail(view.status());
      auto faces = (*engine)->FindFaces(*view, &previous);
      if (!faces.ok()) return Fail(faces.status());
      previous = std::move(faces).value();
      char prefix[64];
      snprintf(prefix, sizeof prefix, "frame %lld (%.3f s) ", static_cast<long long>(n), frame.seconds());
      json list = json::array();
      add(previous, prefix, &list);
      if (as_json) frames.push_back({{"frame", n}, {"seconds", frame.seconds()}, {"faces", list}});
    }
    out["kind"] = "video", out["width"] = (*reader)->info().width, out["height"] = (*reader)->info().height, out["frames"] = frames;
  }
  if (as_json) std::printf("%s\n", out.dump(1, ' ', false, json::error_handler_t::replace).c_str());
  if (total == 0) return Fail(NoFace(file + ": no face found"));
  return kDone;
}

}  // namespace

void AddFaces(CLI::App* app, Run* run) {
  auto* c = app->add_subcommand("faces", "List the faces of a picture, or of every frame of a video");
  auto file = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  c->add_option("file", *file, "Picture or video")->required()->type_name("FILE");
  c->add_flag("--json", *as_json, "As JSON");
  c->callback([=] { *run = [=] { return RunFaces(*file, *as_json); }; });
}

}  // namespace mfs::app
