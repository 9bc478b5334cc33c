#include "evaluate.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "face/alignment.h"
#include "face/face_finder.h"
#include "face_cache.h"
#include "identity/evaluation.h"
#include "identity/iin.h"
#include "idn/idn.h"
#include "mesh_teacher.h"
#include "pairs.h"
#include "sharpness.h"
#include "sheet.h"
#include "weights/float16.h"
#include "weights/safetensors.h"

namespace mfs::train {
namespace {

constexpr int kSide = kCropSize, kPixels = kSide * kSide;

// What is measured on a crop.
struct Seen {
  std::vector<float> z1, z2;
  float yaw = 0, pitch = 0, openings[3] = {};  // mouth, right eye, left eye
  bool face = false;
};

class Judge {
 public:
  static StatusOr<std::unique_ptr<Judge>> Create(const ModelStore& store) {
    auto j = std::make_unique<Judge>();
    MFS_ASSIGN_OR_RETURN(j->embedders_, EvaluationEmbedders::Create(store));
    MFS_ASSIGN_OR_RETURN(j->finder_, FaceFinder::Create(store));
    MFS_ASSIGN_OR_RETURN(j->mesher_, FaceMesher::Create(store));
    return j;
  }
  // place: the target's landmarks, so that no result profits from a better detection.
  StatusOr<Seen> Look(std::vector<uint8_t>* crop, const FaceRecord& place) {
    const FrameView view = Rgb8View(crop->data(), kSide, kSide, 3 * kSide);
    Face face;
    for (int i = 0; i < 68; ++i) face.landmarks[i] = {place.landmarks[2 * i], place.landmarks[2 * i + 1]};
    face.points = FivePoints(face.landmarks);
    face.box = BoundingBox(face.landmarks.data(), face.landmarks.size());
    Seen s;
    MFS_ASSIGN_OR_RETURN(s.z1, embedders_->Run1(view, face.points));
    MFS_ASSIGN_OR_RETURN(s.z2, embedders_->Run2(view, face.points));
    const std::vector<Face> previous{face};
    MFS_ASSIGN_OR_RETURN(const std::vector<Face> found, finder_->Find(view, &previous));
    if (!found.empty()) {
      s.face = true;
      EstimatePose(found[0].landmarks, &s.yaw, &s.pitch, &face.roll);
    }
    MFS_ASSIGN_OR_RETURN(const FaceMesh mesh, mesher_->Run(view, face));
    const auto opening = [&](int top, int bottom, int left, int right) { return Distance(mesh.points[top], mesh.points[bottom]) / std::max(Distance(mesh.points[left], mesh.points[right]), 1.0f); };
    s.openings[0] = opening(13, 14, 78, 308);
    s.openings[1] = opening(159, 145, 33, 133);
    s.openings[2] = opening(386, 374, 362, 263);
    return s;
  }

 private:
  std::unique_ptr<EvaluationEmbedders> embedders_;
  std::unique_ptr<FaceFinder> finder_;
  std::unique_ptr<FaceMesher> mesher_;
};

double Sharpness(const std::vector<uint8_t>& crop, const std::vector<float>& background) {
  return LaplacianVariance(CropLuma(crop.data()), [&](int i) { return background[i] <= 0; });
}

}  // namespace

StatusOr<std::vector<EvaluationRow>> Evaluate(const ModelStore& store, const EvaluateOptions& o) {
  MFS_ASSIGN_OR_RETURN(const auto cache, FaceCache::Open(o.cache));
  MFS_ASSIGN_OR_RETURN(const auto judge, Judge::Create(store));
  const auto pairs = ValidationPairs(*cache, o.sources, o.targets);
  if (pairs.empty()) return InvalidArgument(o.cache + ": too few validation faces for a pair; prepare more photos");
  std::vector<std::unique_ptr<InjectionNetwork>> networks;
  std::vector<std::unique_ptr<Idn>> idns;
  std::vector<std::string> names{"copy the target"};
  if (o.teacher) names.push_back("mesh teacher");
  for (const std::string& path : o.weights) {
    MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
    auto network = InjectionNetwork::Create(file);
    if (!network.ok()) return network.status().WithPrefix(path + ": ");
    networks.push_back(std::move(*network));
    MFS_ASSIGN_OR_RETURN(auto idn, Idn::Create(EmptyIdnWeights(), {}));
    idns.push_back(std::move(idn));
    names.push_back(path);
  }
  const size_t rows_count = names.size();
  std::vector<EvaluationRow> rows(rows_count);
  for (size_t r = 0; r < rows_count; ++r) rows[r].name = names[r];

  auto source = std::make_unique<FaceRecord>(), target = std::make_unique<FaceRecord>();
  std::vector<int> source_ids;
  std::vector<Seen> sources;
  for (const auto& [s, t] : pairs) {
    if (!source_ids.empty() && source_ids.back() == s) continue;
    MFS_RETURN_IF_ERROR(cache->Read(s, source.get()));
    std::vector<uint8_t> crop(source->crop, source->crop + 3 * kPixels);
    MFS_ASSIGN_OR_RETURN(Seen seen, judge->Look(&crop, *source));
    source_ids.push_back(s);
    sources.push_back(std::move(seen));
  }

  MeshTeacher teacher;
  TeacherPicture picture;
  Sheet sheet{kSide, static_cast<int>(rows_count) + 1, {}};
  std::vector<double> dark(rows_count), light(rows_count), posed(rows_count);
  int n_dark = 0, n_light = 0, done = 0;
  size_t current = 0;
  std::vector<float> planes(3 * kPixels), mask(kPixels), image(3 * kPixels), map(512 * 49);
  for (const auto& [s, t] : pairs) {
    if (o.cancel != nullptr && *o.cancel) return Cancelled("stopped");
    MFS_RETURN_IF_ERROR(cache->Read(s, source.get()));
    MFS_RETURN_IF_ERROR(cache->Read(t, target.get()));
    if (source_ids[current] != s) ++current;
    if (done == 0 || pairs[done - 1].first != s) {
      for (int i = 0; i < 512 * 49; ++i) map[i] = HalfToFloat(source->map[i]);
      for (size_t k = 0; k < networks.size(); ++k) {
        MFS_ASSIGN_OR_RETURN(const IdnWeights weights, networks[k]->Run(source->z, map.data()));
        MFS_RETURN_IF_ERROR(idns[k]->SetIdentity(weights));
      }
    }
    teacher.Run(*source, *target, nullptr, &picture);
    std::vector<uint8_t> original(target->crop, target->crop + 3 * kPixels);
    MFS_ASSIGN_OR_RETURN(const Seen before, judge->Look(&original, *target));
    const double target_sharpness = std::max(Sharpness(original, picture.background), 1e-3);
    const float step = cache->faces()[t].luma - cache->faces()[s].luma;
    n_dark += step < -0.15f, n_light += step > 0.15f;
    const bool shown = !o.sheet.empty() && done % std::max<int>(1, static_cast<int>(pairs.size()) / 24) == 0;
    if (shown) sheet.cells.push_back(PlanarFromRgb8(source->crop, kSide, kSide));
    for (size_t r = 0; r < rows_count; ++r) {
      std::vector<uint8_t> crop = original;
      const auto put = [&](int i, float v) { crop[i] = static_cast<uint8_t>(std::lround(std::clamp(v, 0.0f, 1.0f) * 255)); };
      if (r > 0 && names[r] == "mesh teacher") {
        for (int i = 0; i < 3 * kPixels; ++i) put(i, picture.image[i]);
      } else if (r > 0) {
        for (int i = 0; i < kPixels; ++i) {
          for (int c = 0; c < 3; ++c) planes[c * kPixels + i] = original[3 * i + c] / 255.0f;
        }
        MFS_RETURN_IF_ERROR(idns[r - (rows_count - networks.size())]->Run(planes.data(), nullptr, mask.data(), image.data()));
        for (int i = 0; i < kPixels; ++i) {
          for (int c = 0; c < 3; ++c) put(3 * i + c, image[c * kPixels + i]);
        }
      }
      if (shown) sheet.cells.push_back(PlanarFromRgb8(crop.data(), kSide, kSide));
      MFS_ASSIGN_OR_RETURN(const Seen after, judge->Look(&crop, *target));
      EvaluationRow& row = rows[r];
      const double cosine = DotProduct(after.z1, sources[current].z1);
      row.cosine += cosine;
      row.distance2 += SquaredDistance(after.z2, sources[current].z2);
      if (step < -0.15f) dark[r] += cosine;
      if (step > 0.15f) light[r] += cosine;
      size_t best1 = 0, best2 = 0;
      for (size_t i = 1; i < sources.size(); ++i) {
        if (DotProduct(after.z1, sources[i].z1) > DotProduct(after.z1, sources[best1].z1)) best1 = i;
        if (SquaredDistance(after.z2, sources[i].z2) < SquaredDistance(after.z2, sources[best2].z2)) best2 = i;
      }
      row.retrieval1 += best1 == current, row.retrieval2 += best2 == current;
      if (before.face && after.face) {
        row.pose += (std::fabs(after.yaw - before.yaw) + std::fabs(after.pitch - before.pitch)) / 2;
        posed[r] += 1;
      }
      for (int k = 0; k < 3; ++k) row.expression += std::fabs(after.openings[k] - before.openings[k]) / 3;
      row.sharpness += std::log(std::max(Sharpness(crop, picture.background), 1e-3) / target_sharpness);
      double change = 0, outside = 0;
      for (int i = 0; i < kPixels; ++i) {
        if (picture.background[i] == 0) continue;
        outside += 3;
        for (int c = 0; c < 3; ++c) change += std::abs(crop[3 * i + c] - original[3 * i + c]);
      }
      row.background += change / std::max(outside, 1.0);
    }
    if (++done % 40 == 0 && o.progress) o.progress(std::to_string(done) + " of " + std::to_string(pairs.size()) + " pairs");
  }
  for (size_t r = 0; r < rows_count; ++r) {
    EvaluationRow& row = rows[r];
    for (double* v : {&row.retrieval1, &row.retrieval2}) *v *= 100.0 / done;
    for (double* v : {&row.cosine, &row.distance2, &row.expression, &row.sharpness, &row.background}) *v /= done;
    row.sharpness = std::exp(row.sharpness);  // ratios: their geometric mean
    row.pose /= std::max(posed[r], 1.0);
    row.cosine_dark = dark[r] / std::max(n_dark, 1), row.cosine_light = light[r] / std::max(n_light, 1);
  }
  if (!o.sheet.empty()) MFS_RETURN_IF_ERROR(sheet.Save(o.sheet));
  return rows;
}

std::string FormatMarkdown(const std::vector<EvaluationRow>& rows) {
  std::string text = "| | retrieval 1 (%) | retrieval 2 (%) | cosine 1 | distance 2 | cosine onto darker | onto lighter | pose (degrees) | expression | sharpness | background (of 255) |\n|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const EvaluationRow& r : rows) {
    char line[256];
    std::snprintf(line, sizeof(line), " | %.1f | %.1f | %.3f | %.3f | %.3f | %.3f | %.2f | %.4f | %.2f | %.2f |\n", r.retrieval1, r.retrieval2, r.cosine, r.distance2, r.cosine_dark,
                  r.cosine_light, r.pose, r.expression, r.sharpness, r.background);
    text += "| " + r.name + line;
  }
  return text;
}

std::string FormatJson(const std::vector<EvaluationRow>& rows) {
  auto list = nlohmann::ordered_json::array();
  for (const EvaluationRow& r : rows) {
    list.push_back({{"name", r.name}, {"retrieval1", r.retrieval1}, {"retrieval2", r.retrieval2}, {"cosine", r.cosine}, {"distance2", r.distance2}, {"cosine_dark", r.cosine_dark},
                    {"cosine_light", r.cosine_light}, {"pose", r.pose}, {"expression", r.expression}, {"sharpness", r.sharpness}, {"background", r.background}});
  }
  return list.dump(1) + "\n";
}

}  // namespace mfs::train
