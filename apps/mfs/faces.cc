#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "bitmap_text.h"
#include "command.h"
#include "media/picture.h"
#include "media/video.h"
#include "swap/person_survey.h"

namespace mfs::app {
namespace {

using nlohmann::json;

json FaceToJson(const Face& f, int index) {
  json points = json::array();
  for (const Point& p : f.points) points.push_back({p.x, p.y});
  return {{"index", index}, {"box", {f.box.x0, f.box.y0, f.box.x1, f.box.y1}}, {"score", f.score}, {"points", points}, {"yaw", f.yaw}, {"pitch", f.pitch}, {"roll", f.roll}};
}

void PrintFace(const char* prefix, const Face& f, int index) {
  std::printf("%sface %d: box %.0f,%.0f %.0fx%.0f, score %.2f, yaw %.0f pitch %.0f roll %.0f, points", prefix, index, f.box.x0, f.box.y0, f.box.width(), f.box.height(), f.score, f.yaw, f.pitch,
              f.roll);
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
  if (IsPicture(file)) {
    auto picture = ReadPicture(file);
    if (!picture.ok()) return Fail(picture.status());
    for (const std::string& w : picture->warnings) Warn(file + ": " + w);
    const FrameView view = picture->View();
    auto faces = (*engine)->FindFaces(view, nullptr, mfs::Search::kEveryone);
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
    Status broken;
    int width = (*reader)->info().width, height = (*reader)->info().height;
    for (int64_t n = 0;; ++n) {
      if (CancelFlag()->load()) return Fail(Cancelled("stopped"));
      auto more = (*reader)->Read(&frame);
      if (!more.ok()) broken = more.status();
      if (!more.ok() || !*more) break;
      auto view = frame.View();
      if (!view.ok()) return Fail(view.status());
      width = view->width(), height = view->height();
      auto faces = (*engine)->FindFaces(*view, &previous);
      if (!faces.ok()) return Fail(faces.status());
      previous = std::move(faces).value();
      char prefix[64];
      snprintf(prefix, sizeof prefix, "frame %lld (%.3f s) ", static_cast<long long>(n), frame.seconds());
      json list = json::array();
      add(previous, prefix, &list);
      if (as_json) frames.push_back({{"frame", n}, {"seconds", frame.seconds()}, {"faces", list}});
    }
    out["kind"] = "video", out["width"] = width, out["height"] = height, out["complete"] = broken.ok(), out["frames"] = frames;
    if (!broken.ok()) {
      // What could be read is a result, too.
      if (as_json && !frames.empty()) std::printf("%s\n", out.dump(1, ' ', false, json::error_handler_t::replace).c_str());
      return Fail(broken);
    }
  }
  if (as_json) std::printf("%s\n", out.dump(1, ' ', false, json::error_handler_t::replace).c_str());
  if (total == 0) return Fail(NoFace(file + ": no face found"));
  return kDone;
}

std::string PersonName(size_t index) { return "person-" + std::to_string(index + 1); }

std::string Clock(double seconds) {
  char text[32];
  const int s = static_cast<int>(seconds);
  snprintf(text, sizeof text, "%d:%02d", s / 60, s % 60);
  return text;
}

// A row of tiles for each person under its name.
ImageF ContactSheet(const PersonSurvey& survey) {
  constexpr int kGap = 8, kTitle = 32;
  size_t columns = 4;  // room for the title
  for (const SurveyedPerson& p : survey.persons) columns = std::max(columns, p.tiles.size());
  ImageF sheet(kGap + static_cast<int>(columns) * (kTile + kGap), static_cast<int>(survey.persons.size()) * (kTitle + kTile + kGap), 3);
  std::fill(sheet.vector().begin(), sheet.vector().end(), 0.12f);
  for (size_t i = 0; i < survey.persons.size(); ++i) {
    const SurveyedPerson& p = survey.persons[i];
    const int top = static_cast<int>(i) * (kTitle + kTile + kGap);
    std::string title = PersonName(i);
    if (survey.video) title += "   " + std::to_string(p.faces) + " samples  " + Clock(p.first) + " - " + Clock(p.last);
    DrawText(title, kGap, top + 9, 2, &sheet);
    for (size_t t = 0; t < p.tiles.size(); ++t) {
      for (int c = 0; c < 3; ++c) {
        for (int y = 0; y < kTile; ++y) std::copy_n(p.tiles[t].row(c, y), kTile, sheet.row(c, top + kTitle + y) + kGap + static_cast<int>(t) * (kTile + kGap));
      }
    }
  }
  return sheet;
}

// The people of a clip or picture, a reference file each and a sheet that shows them.
int RunPersons(const std::string& file, const std::string& dir, bool overwrite, bool as_json) {
  const std::string sheet = dir + "/persons.png";
  struct stat info {};
  if (stat(dir.c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) return Fail(InvalidArgument(dir + ": is a file; --persons needs a folder"));
  if (SameFile(file, sheet)) return Fail(InvalidArgument(sheet + ": is the picture that is looked at; choose another folder"));
  const auto person_file = [&](size_t i) { return dir + "/" + PersonName(i) + ".safetensors"; };
  // Before minutes of work: can all be written?
  for (const std::string& path : {sheet, person_file(0), person_file(1)}) {
    const Status free = CheckOutput(path, overwrite);
    if (!free.ok()) return Fail(free);
  }
  const bool made = mkdir(dir.c_str(), 0777) == 0;
  if (!made && errno != EEXIST) return Fail(IoError(dir + ": cannot make the folder: " + std::strerror(errno)));
  const auto fail = [&](const Status& s) {
    if (made) rmdir(dir.c_str());  // if nothing is in it
    return Fail(s);
  };
  const Status writable = CheckWritable(sheet);
  if (!writable.ok()) return fail(writable);
  auto engine = Engine::Create({});
  if (!engine.ok()) return fail(engine.status());
  auto survey = SurveyPersons(engine->get(), file, {}, CancelFlag());
  if (!survey.ok()) return fail(survey.status());
  if (!survey->input_end.ok()) Warn("only what could be read was looked at: " + survey->input_end.message());
  // A --map that took them for people of this film would swap wrong ones.
  if (const std::string left = person_file(survey->persons.size()); FileExists(left)) Warn(left + ": is of an earlier run, nobody of this one; remove it");
  json list = json::array();
  for (size_t i = 0; i < survey->persons.size(); ++i) {
    const SurveyedPerson& p = survey->persons[i];
    const std::string path = person_file(i);
    Status s = CheckOutput(path, overwrite);
    if (s.ok()) s = SaveIdentity(p.identity, path);
    if (!s.ok()) return fail(s);
    list.push_back({{"name", PersonName(i)}, {"file", path}, {"samples", p.faces}, {"first_seconds", p.first}, {"last_seconds", p.last}});
    if (!as_json) std::printf("%s: %d of %d samples, %s to %s\n", path.c_str(), p.faces, survey->frames, Clock(p.first).c_str(), Clock(p.last).c_str());
  }
  PictureWriteOptions options;
  options.mark = false;  // nothing is swapped in it
  std::vector<std::string> warnings;
  const Status written = WritePicture(PictureOf(ContactSheet(*survey)), sheet, options, &warnings);
  if (!written.ok()) return Fail(written);
  if (as_json) {
    const json out = {{"file", file},   {"frames_looked_at", survey->frames}, {"faces", survey->faces}, {"too_small", survey->too_small}, {"passers_by", survey->passers_by}, {"sheet", sheet},
                      {"persons", list}};
    std::printf("%s\n", out.dump(1, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s shows them. mfs swap --map %s/%s.safetensors=SOURCE ... gives each an identity\n", sheet.c_str(), dir.c_str(), PersonName(0).c_str());
  }
  return kDone;
}

}  // namespace

void AddFaces(CLI::App* app, Run* run) {
  auto* c = app->add_subcommand("faces", "List the faces of a picture, or of every frame of a video");
  auto file = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  c->add_option("file", *file, "Picture or video")->required()->type_name("FILE");
  auto persons = std::make_shared<std::string>();
  auto overwrite = std::make_shared<bool>(false);
  c->add_flag("--json", *as_json, "As JSON");
  c->add_option("--persons", *persons, "Tell the people apart: a file for each, for mfs swap --map, and a sheet that shows them")->type_name("FOLDER");
  c->add_flag("-y,--yes", *overwrite, "Overwrite what is in the folder");
  c->callback([=] { *run = [=] { return persons->empty() ? RunFaces(*file, *as_json) : RunPersons(*file, *persons, *overwrite, *as_json); }; });
}

}  // namespace mfs::app
