#include "clip.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "compose/detail_match.h"
#include "identity/evaluation.h"
#include "media/picture.h"
#include "media/video.h"
#include "swap/engine.h"

namespace {

using namespace mfs;
using nlohmann::json;

struct Person {
  std::string reference, source;  // photos; an empty reference is everybody
  std::vector<float> reference_z, source_z;
};

// What one face of one frame looks like to embedder 1, in the target and in the output.
struct Look {
  double seconds;
  int person;  // index, -1 nobody that is mapped, -2 not sure
  std::vector<float> target, output;
};

constexpr double kSurelyIs = 0.45, kSurelyOther = 0.15;  // cosines of embedder 1 to the right reference, and how far the next one must be below

StatusOr<std::vector<float>> LookAtPhoto(Engine* engine, EvaluationEmbedders* judge, const std::string& path) {
  MFS_ASSIGN_OR_RETURN(Picture picture, ReadPicture(path));
  MFS_ASSIGN_OR_RETURN(const auto faces, engine->FindFaces(picture.View()));
  if (faces.empty()) return NoFace(path + ": no face found");
  return judge->Run1(picture.View(), faces[0].points);
}

// Three frames of luma, oldest first.
struct Recent {
  ImageF luma[3];
  void Push(const FrameView& view) {
    std::swap(luma[0], luma[1]);
    std::swap(luma[1], luma[2]);
    ImageF rgb;
    if (ReadScaled(view, view.width(), view.height(), &rgb).ok()) LumaOf(rgb, {view.kr, 1 - view.kr - view.kb, view.kb}, &luma[2]);
  }
  // Mean |a - 2b + c| over a box.
  double SecondDifference(const IntRect& box) const {
    double sum = 0;
    for (int y = box.y0; y < box.y1; ++y) {
      const float *a = luma[0].row(0, y), *b = luma[1].row(0, y), *c = luma[2].row(0, y);
      for (int x = box.x0; x < box.x1; ++x) sum += std::fabs(a[x] - 2 * b[x] + c[x]);
    }
    return sum / std::max(1, box.width() * box.height());
  }
};

IntRect FaceBox(const Face& f, int width, int height) {
  return Intersect({static_cast<int>(f.box.x0), static_cast<int>(f.box.y0), static_cast<int>(f.box.x1) + 1, static_cast<int>(f.box.y1) + 1}, {0, 0, width, height});
}

Status Run(const std::string& target_path, const std::string& output_path, std::vector<Person> persons, json* result) {
  MFS_ASSIGN_OR_RETURN(const auto engine, Engine::Create({}));
  MFS_ASSIGN_OR_RETURN(const auto judge, EvaluationEmbedders::Create(engine->store()));
  for (Person& p : persons) {
    if (!p.reference.empty()) {
      MFS_ASSIGN_OR_RETURN(p.reference_z, LookAtPhoto(engine.get(), judge.get(), p.reference));
    }
    MFS_ASSIGN_OR_RETURN(p.source_z, LookAtPhoto(engine.get(), judge.get(), p.source));
  }
  MFS_ASSIGN_OR_RETURN(const auto a, VideoReader::Open(target_path));
  MFS_ASSIGN_OR_RETURN(const auto b, VideoReader::Open(output_path));
  MFS_ASSIGN_OR_RETURN(const auto tracker, FaceTracker::Create(engine->store()));
  VideoFrame fa, fb;
  Recent target, output;
  std::vector<TrackedFace> faces;  // of the frame before
  std::vector<Look> looks;
  struct Second {
    double target = 0, output = 0;
  };
  std::map<int, Second> flicker;
  double flicker_target = 0, flicker_output = 0;
  int frames = 0, without_face = 0;
  for (;; ++frames) {
    MFS_ASSIGN_OR_RETURN(const bool more_a, a->Read(&fa));
    MFS_ASSIGN_OR_RETURN(const bool more_b, b->Read(&fb));
    if (!more_a || !more_b) {
      if (more_a != more_b) return InvalidArgument("the clips do not have the same number of frames");
      break;
    }
    MFS_ASSIGN_OR_RETURN(const FrameView va, fa.View());
    MFS_ASSIGN_OR_RETURN(const FrameView vb, fb.View());
    if (va.width() != vb.width() || va.height() != vb.height()) return InvalidArgument("the clips do not have the same size");
    target.Push(va);
    output.Push(vb);
    const std::vector<TrackedFace> before = faces;
    MFS_ASSIGN_OR_RETURN(faces, tracker->Update(va, fa.seconds()));
    without_face += faces.empty();
    // The second difference belongs to the middle frame, and is none over a cut.
    for (const TrackedFace& f : before) {
      const bool goes_on = std::any_of(faces.begin(), faces.end(), [&](const TrackedFace& t) { return t.id == f.id; });
      if (frames < 2 || f.age < 1 || f.held || !goes_on) continue;
      const IntRect box = FaceBox(f.face, va.width(), va.height());
      if (box.empty()) continue;
      const double t = target.SecondDifference(box), o = output.SecondDifference(box);
      flicker_target += t, flicker_output += o;
      Second& s = flicker[static_cast<int>(fa.seconds())];
      s.target += t, s.output += o;
    }
    for (const TrackedFace& f : faces) {
      if (f.held || std::max(f.face.box.width(), f.face.box.height()) < 24) continue;
      Look look{fa.seconds(), -2, {}, {}};
      MFS_ASSIGN_OR_RETURN(look.target, judge->Run1(va, f.face.points));
      MFS_ASSIGN_OR_RETURN(look.output, judge->Run1(vb, f.face.points));
      if (persons.size() == 1 && persons[0].reference.empty()) {
        look.person = 0;
      } else {
        int best = 0;
        double best_cosine = -2, second = -2;
        for (size_t p = 0; p < persons.size(); ++p) {
          const double c = DotProduct(look.target, persons[p].reference_z);
          if (c > best_cosine) {
            second = best_cosine, best_cosine = c, best = static_cast<int>(p);
          } else {
            second = std::max(second, c);
          }
        }
        if (best_cosine >= kSurelyIs && best_cosine - second >= kSurelyOther) look.person = best;
        if (best_cosine < 0.2) look.person = -1;
      }
      looks.push_back(std::move(look));
    }
  }
  if (looks.empty()) return NoFace(target_path + ": no face found");
  // The target people as they are on the whole.
  std::vector<std::vector<float>> mean(persons.size());
  for (const Look& l : looks) {
    if (l.person < 0) continue;
    std::vector<float>& m = mean[l.person];
    m.resize(l.target.size());
    for (size_t i = 0; i < m.size(); ++i) m[i] += l.target[i];
  }
  for (std::vector<float>& m : mean) {
    const double norm = std::sqrt(std::max(1e-12, DotProduct(m, m)));
    for (float& v : m) v = static_cast<float>(v / norm);
  }
  int judged = 0, nearer = 0, nearer_frame = 0, wrong = 0, sure = 0, not_swapped = 0;
  double to_source = 0, to_target = 0;
  std::vector<std::pair<double, double>> worst;  // margin, seconds
  json wrong_at = json::array();
  for (const Look& l : looks) {
    if (l.person == -2) continue;
    const double own = DotProduct(l.output, l.target);
    double other = -2;
    for (size_t p = 0; p < persons.size(); ++p) {
      if (static_cast<int>(p) != l.person) other = std::max(other, DotProduct(l.output, persons[p].source_z));
    }
    const double right = l.person >= 0 ? DotProduct(l.output, persons[l.person].source_z) : own;
    ++sure;
    if (other > right && other > own) {
      ++wrong;
      if (wrong_at.size() < 20) wrong_at.push_back({{"seconds", l.seconds}, {"right", right}, {"other", other}, {"target", own}});
    }
    if (l.person < 0) continue;
    ++judged;
    const double person = DotProduct(l.output, mean[l.person]);
    to_source += right, to_target += person;
    nearer += person > right;
    nearer_frame += own > right;
    not_swapped += own > 0.98;
    worst.push_back({right - person, l.seconds});
  }
  std::sort(worst.begin(), worst.end());
  json moments = json::array(), flickers = json::array();
  double last = -10;
  for (const auto& [margin, seconds] : worst) {
    if (moments.size() >= 5 || margin > 0.1) break;
    if (std::fabs(seconds - last) < 1) continue;
    moments.push_back({{"seconds", seconds}, {"source_minus_target", margin}});
    last = seconds;
  }
  std::vector<std::pair<double, int>> by_flicker;
  for (const auto& [second, f] : flicker) by_flicker.push_back({f.output / std::max(f.target, 1e-9), second});
  std::sort(by_flicker.rbegin(), by_flicker.rend());
  for (size_t i = 0; i < std::min<size_t>(5, by_flicker.size()); ++i) flickers.push_back({{"second", by_flicker[i].second}, {"ratio", by_flicker[i].first}});
  const double n = std::max(1, judged);
  *result = {{"target", target_path},
             {"output", output_path},
             {"frames", frames},
             {"frames_without_face", without_face},
             {"detector_share", double(tracker->detections()) / std::max(1, frames)},
             {"flicker_ratio", flicker_output / std::max(flicker_target, 1e-9)},
             {"worst_flicker", flickers},
             {"faces_judged", judged},
             {"nearer_to_target_percent", 100 * nearer / n},
             {"nearer_to_same_frame_percent", 100 * nearer_frame / n},
             {"not_swapped", not_swapped},
             {"cosine_to_source", to_source / n},
             {"cosine_to_target", to_target / n},
             {"worst_moments", moments},
             {"faces_told_apart", sure},
             {"wrong_person", wrong},
             {"wrong_at", wrong_at}};
  return Status::Ok();
}

}  // namespace

int RunClip(int argc, char** argv) {
  std::vector<std::string> files;
  std::vector<Person> persons;
  bool usage = false;
  for (int i = 2; i < argc; ++i) {
    const std::string a = argv[i];
    if ((a == "--source" || a == "--map") && i + 1 < argc) {
      const std::string value = argv[++i];
      const size_t equals = a == "--map" ? value.find('=') : 0;
      usage = usage || equals == std::string::npos;
      if (a == "--source") persons.push_back({"", value, {}, {}});
      if (a == "--map" && equals != std::string::npos) persons.push_back({value.substr(0, equals), value.substr(equals + 1), {}, {}});
    } else {
      usage = usage || a.rfind("--", 0) == 0;
      files.push_back(a);
    }
  }
  const bool everybody = std::any_of(persons.begin(), persons.end(), [](const Person& p) { return p.reference.empty(); });
  if (usage || files.size() != 2 || persons.empty() || (everybody && persons.size() > 1)) {
    std::fprintf(stderr, "mfs-eval clip TARGET OUTPUT --source PHOTO, or --map REFERENCE=SOURCE once for each person (photos with one face)\n");
    return 2;
  }
  json result;
  const Status status = Run(files[0], files[1], persons, &result);
  if (!status.ok()) return std::fprintf(stderr, "mfs-eval: %s\n", status.message().c_str()), 1;
  std::printf("%s\n", result.dump(2).c_str());
  return 0;
}
