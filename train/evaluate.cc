#include "evaluate.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "base/file.h"
#include "face/alignment.h"
#include "face/face_finder.h"
#include "face/face_parser.h"
#include "face/face_tracker.h"
#include "face_cache.h"
#include "face_recorder.h"
#include "frozen_landmarks.h"
#include "identity/evaluation.h"
#include "media/video.h"
#include "mesh_teacher.h"
#include "pairs.h"
#include "pictures.h"
#include "sharpness.h"
#include "sheet.h"
#include "swap_generator.h"
#include "swapper.h"
#include "teachers.h"

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
    for (int i = 0; i < 3; ++i) {
      const auto& [top, bottom, left, right] = kMeshOpenings[i];
      s.openings[i] = Distance(mesh.points[top], mesh.points[bottom]) / std::max(Distance(mesh.points[left], mesh.points[right]), 1.0f);
    }
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

// The faces of the pairs: those of a cache, or the photos of a pairs file in memory.
struct FaceSet {
  std::unique_ptr<FaceCache> cache;
  std::vector<std::unique_ptr<FaceRecord>> records;
  std::vector<FaceInfo> infos;

  const FaceInfo& info(int i) const { return cache != nullptr ? cache->faces()[i] : infos[i]; }
  Status Read(int i, FaceRecord* record) const {
    if (cache != nullptr) return cache->Read(i, record);
    *record = *records[i];
    return Status::Ok();
  }
};

// "source<TAB>target" a line; every photo is looked at once. The pairs of one source come behind one another.
StatusOr<std::vector<std::pair<int, int>>> ReadPairs(const ModelStore& store, const std::string& path, FaceSet* set) {
  MFS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  MFS_ASSIGN_OR_RETURN(const auto recorder, FaceRecorder::Create(store));
  std::map<std::string, int> known;
  std::vector<std::pair<int, int>> pairs;
  std::istringstream lines(text);
  int number = 0;
  const auto look = [&](const std::string& photo) -> StatusOr<int> {
    if (const auto it = known.find(photo); it != known.end()) return it->second;
    MFS_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(photo));
    std::unique_ptr<FaceRecord> record;
    FaceInfo info;
    info.file = photo;
    MFS_ASSIGN_OR_RETURN(const std::string reason, recorder->Photo(bytes, {}, &record, &info));
    if (!reason.empty()) return NoFace(photo + ": of no use for a pair (" + reason + ")");
    set->records.push_back(std::move(record));
    set->infos.push_back(info);
    return known[photo] = static_cast<int>(set->records.size()) - 1;
  };
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line[0] == '#') continue;
    const size_t tab = line.find('\t');
    if (tab == std::string::npos || tab == 0 || tab + 1 == line.size() || line.find('\t', tab + 1) != std::string::npos) {
      return InvalidArgument(path + ": line " + std::to_string(number) + " must be the source photo, a tab and the target photo");
    }
    MFS_ASSIGN_OR_RETURN(const int source, look(line.substr(0, tab)));
    MFS_ASSIGN_OR_RETURN(const int target, look(line.substr(tab + 1)));
    pairs.emplace_back(source, target);
  }
  if (pairs.empty()) return InvalidArgument(path + ": no pairs in it");
  std::stable_sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return pairs;
}

void ToBytes(const float* values, size_t n, std::vector<uint8_t>* bytes) {
  bytes->resize(n);
  for (size_t i = 0; i < n; ++i) (*bytes)[i] = static_cast<uint8_t>(std::lround(std::clamp(values[i], 0.0f, 1.0f) * 255));
}

// One row of the table.
class Contender {
 public:
  explicit Contender(std::string name) : name_(std::move(name)) {}
  virtual ~Contender() = default;
  const std::string& name() const { return name_; }
  virtual Status SetSource(const FaceRecord&) { return Status::Ok(); }
  // mesh: what the mesh teacher makes of the pair. crop: 224 x 224 x 3, interleaved.
  virtual Status Run(const FaceRecord& source, const FaceRecord& target, const TeacherPicture& mesh, std::vector<uint8_t>* crop) = 0;

 private:
  std::string name_;
};

class Copy : public Contender {
 public:
  Copy() : Contender("copy the target") {}
  Status Run(const FaceRecord&, const FaceRecord& target, const TeacherPicture&, std::vector<uint8_t>* crop) override {
    crop->assign(target.crop, target.crop + 3 * kPixels);
    return Status::Ok();
  }
};

class Mesh : public Contender {
 public:
  Mesh() : Contender("mesh teacher") {}
  Status Run(const FaceRecord&, const FaceRecord&, const TeacherPicture& mesh, std::vector<uint8_t>* crop) override {
    ToBytes(mesh.image.data(), mesh.image.size(), crop);
    return Status::Ok();
  }
};

// As the distillation sees it: inside the mesh teacher's alpha.
class Net : public Contender {
 public:
  Net(const std::string& path, std::unique_ptr<NetworkTeacher> teacher) : Contender(path), teacher_(std::move(teacher)) {}
  Status Run(const FaceRecord& source, const FaceRecord& target, const TeacherPicture& mesh, std::vector<uint8_t>* crop) override {
    TeacherInput in{torch::empty({1, 512}), torch::empty({1, kSide, kSide, 3}), torch::empty({1, kSide, kSide, 3})};
    std::copy(source.z, source.z + 512, in.z.data_ptr<float>());
    CopyCrop(source, false, in.source.data_ptr<float>());
    CopyCrop(target, false, in.target.data_ptr<float>());
    MFS_ASSIGN_OR_RETURN(const torch::Tensor made, teacher_->Run(in));
    const torch::Tensor alpha = torch::from_blob(const_cast<float*>(mesh.alpha.data()), {1, kSide, kSide, 1});
    const torch::Tensor out = (in.target + alpha * (made - in.target)).contiguous();
    ToBytes(out.data_ptr<float>(), 3 * kPixels, crop);
    return Status::Ok();
  }

 private:
  std::unique_ptr<NetworkTeacher> teacher_;
};

class Weights : public Contender {
 public:
  Weights(const std::string& path, std::unique_ptr<Swapper> swapper) : Contender(path), swapper_(std::move(swapper)) {}
  Status SetSource(const FaceRecord& source) override { return swapper_->SetSource(source); }
  Status Run(const FaceRecord&, const FaceRecord& target, const TeacherPicture&, std::vector<uint8_t>* crop) override {
    MFS_RETURN_IF_ERROR(swapper_->Run(target.crop, &image_));
    ImageF planes(kSide, kSide, 3);
    std::copy(image_.begin(), image_.end(), planes.data());
    *crop = Rgb8FromPlanar(planes);
    return Status::Ok();
  }

 private:
  std::unique_ptr<Swapper> swapper_;
  std::vector<float> image_;
};

StatusOr<std::vector<std::unique_ptr<Contender>>> MakeContenders(const EvaluateOptions& o) {
  std::vector<std::unique_ptr<Contender>> all;
  all.push_back(std::make_unique<Copy>());
  if (o.teacher) all.push_back(std::make_unique<Mesh>());
  for (const std::string& path : o.weights) {
    if (Extension(path) == "pt") {
      MFS_ASSIGN_OR_RETURN(auto teacher, LoadScriptTeacher(path));
      all.push_back(std::make_unique<Net>(path, std::move(teacher)));
      continue;
    }
    MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
    if (file.Metadata("format") == "mobilefaceswap-net-teacher") {
      MFS_ASSIGN_OR_RETURN(auto teacher, LoadNetTeacher(path));
      all.push_back(std::make_unique<Net>(path, std::move(teacher)));
    } else {
      MFS_ASSIGN_OR_RETURN(auto swapper, Swapper::Create(path));
      all.push_back(std::make_unique<Weights>(path, std::move(swapper)));
    }
  }
  return all;
}

// Sums of one row, and their means at the end.
struct Sums {
  EvaluationRow row;
  double dark = 0, light = 0, posed = 0;
  double second = 0;  // mean absolute second temporal difference, summed over frames
};

// Whether a face wears glasses, by the face parser.
class GlassesFinder {
 public:
  static StatusOr<std::unique_ptr<GlassesFinder>> Create(const ModelStore& store) {
    auto finder = std::make_unique<GlassesFinder>();
    MFS_ASSIGN_OR_RETURN(finder->parser_, FaceParser::Create(store));
    return finder;
  }
  StatusOr<bool> Wears(const FaceRecord& face) {
    MFS_RETURN_IF_ERROR(parser_->Run(PlanarFromRgb8(face.crop, kSide, kSide).data(), &parts_));
    const auto area = [&](FacePart part) {
      const float* plane = parts_.data() + static_cast<size_t>(part) * kParserOutput * kParserOutput;
      return std::accumulate(plane, plane + kParserOutput * kParserOutput, 0.0);
    };
    const double glasses = area(FacePart::kGlasses);
    double face_area = glasses;
    for (FacePart part : {FacePart::kSkin, FacePart::kBrow, FacePart::kEye, FacePart::kNose, FacePart::kLips, FacePart::kMouth}) face_area += area(part);
    return glasses > kShare * face_area;
  }

 private:
  static constexpr double kShare = 0.06;  // frames with what is seen through them are a tenth of a face and more
  std::unique_ptr<FaceParser> parser_;
  ImageF parts_;
};

std::vector<std::string> GroupsOf(const FaceInfo& source, const FaceInfo& target, bool source_glasses, bool target_glasses) {
  const float yaw = std::fabs(target.yaw);
  return {source.luma < 0.4f   ? "source's face dark in the photo (luma below 0.4)"
          : source.luma < 0.6f ? "source's face medium in the photo (luma 0.4 to 0.6)"
                               : "source's face light in the photo (luma above 0.6)",
          target.luma < 0.4f   ? "target's face dark in the photo (luma below 0.4)"
          : target.luma < 0.6f ? "target's face medium in the photo (luma 0.4 to 0.6)"
                               : "target's face light in the photo (luma above 0.6)",
          yaw < 10   ? "target yaw below 10 degrees"
          : yaw < 25 ? "target yaw 10 to 25 degrees"
                     : "target yaw above 25 degrees",
          source_glasses ? "source with glasses" : "source without glasses", target_glasses ? "target with glasses" : "target without glasses"};
}

void AddPictureMeasures(const std::vector<uint8_t>& crop, const std::vector<uint8_t>& original, const std::vector<float>& background, double target_sharpness, EvaluationRow* row) {
  row->sharpness += std::log(std::max(Sharpness(crop, background), 1e-3) / target_sharpness);
  double change = 0, outside = 0;
  for (int i = 0; i < kPixels; ++i) {
    if (background[i] == 0) continue;
    outside += 3;
    for (int c = 0; c < 3; ++c) change += std::abs(crop[3 * i + c] - original[3 * i + c]);
  }
  row->background += change / std::max(outside, 1.0);
}

constexpr int kClipSources = 3;

// Second temporal differences of every contender on one clip, as the video pipeline would track it. Returns frames x sources.
StatusOr<int> AddFlicker(const ModelStore& store, const std::string& path, const EvaluateOptions& o, const FaceSet& set, const std::vector<int>& sources,
                         const std::vector<std::unique_ptr<Contender>>& contenders, std::vector<Sums>* sums) {
  MFS_ASSIGN_OR_RETURN(const auto reader, VideoReader::Open(path));
  MFS_ASSIGN_OR_RETURN(const auto tracker, FaceTracker::Create(store));
  MFS_ASSIGN_OR_RETURN(const auto recorder, FaceRecorder::Create(store));
  std::vector<std::unique_ptr<FaceRecord>> frames;
  VideoFrame frame;
  int id = -1;
  while (static_cast<int>(frames.size()) < o.clip_frames) {
    MFS_ASSIGN_OR_RETURN(const bool more, reader->Read(&frame));
    if (!more) break;
    MFS_ASSIGN_OR_RETURN(const FrameView view, frame.View());
    MFS_ASSIGN_OR_RETURN(const auto faces, tracker->Update(view, frame.seconds()));
    // The largest face of the first frame that has one, as long as it is followed.
    const auto it = std::find_if(faces.begin(), faces.end(), [&](const TrackedFace& f) { return id < 0 || f.id == id; });
    if (it == faces.end() || it->hidden) {
      if (id >= 0) break;
      continue;
    }
    id = it->id;
    auto record = std::make_unique<FaceRecord>();
    MFS_ASSIGN_OR_RETURN(const float score, recorder->Frame(view, it->face, record.get()));
    (void)score;
    frames.push_back(std::move(record));
  }
  if (frames.size() < 3) return NoFace(path + ": no face that is followed over three frames");
  MeshTeacher teacher;
  TeacherPicture picture;
  const auto source = std::make_unique<FaceRecord>();
  for (int s : sources) {
    MFS_RETURN_IF_ERROR(set.Read(s, source.get()));
    for (size_t k = 0; k < contenders.size(); ++k) MFS_RETURN_IF_ERROR(contenders[k]->SetSource(*source));
    std::vector<std::vector<uint8_t>> before(contenders.size()), last(contenders.size()), now(contenders.size());
    for (size_t f = 0; f < frames.size(); ++f) {
      if (o.cancel != nullptr && *o.cancel) return Cancelled("stopped");
      teacher.Run(*source, *frames[f], {}, &picture);
      for (size_t k = 0; k < contenders.size(); ++k) {
        before[k].swap(last[k]);
        last[k].swap(now[k]);
        MFS_RETURN_IF_ERROR(contenders[k]->Run(*source, *frames[f], picture, &now[k]));
        if (f < 2) continue;
        double sum = 0, count = 0;
        for (int i = 0; i < kPixels; ++i) {
          if (picture.background[i] > 0) continue;
          for (int c = 3 * i; c < 3 * i + 3; ++c) sum += std::abs(before[k][c] - 2 * last[k][c] + now[k][c]);
          count += 3;
        }
        (*sums)[k].second += sum / std::max(count, 1.0);
      }
    }
  }
  return static_cast<int>((frames.size() - 2) * sources.size());
}

// A cell of the table; "-" where there was no pair to measure.
std::string MeasuredCell(double value, int digits, int pairs) {
  if (pairs == 0) return " - |";
  char cell[32];
  std::snprintf(cell, sizeof(cell), " %.*f |", digits, value);
  return cell;
}

}  // namespace

StatusOr<std::vector<EvaluationRow>> Evaluate(const ModelStore& store, const EvaluateOptions& o) {
  // What is quick to find wrong, first.
  if (!o.sheet.empty()) MFS_RETURN_IF_ERROR(CheckSheet(o.sheet, 1, 1, kSide));
  for (const std::string& clip : o.clips) MFS_RETURN_IF_ERROR(VideoReader::Open(clip).status());
  MFS_ASSIGN_OR_RETURN(const auto contenders, MakeContenders(o));
  FaceSet set;
  std::vector<std::pair<int, int>> pairs;
  if (!o.pairs.empty()) {
    MFS_ASSIGN_OR_RETURN(pairs, ReadPairs(store, o.pairs, &set));
  } else {
    MFS_ASSIGN_OR_RETURN(set.cache, FaceCache::Open(o.cache));
    pairs = ValidationPairs(*set.cache, o.sources, o.targets, o.candidates);
    if (pairs.empty()) return InvalidArgument(o.cache + ": too few validation faces for a pair; prepare more photos");
  }
  const size_t rows_count = contenders.size();
  if (!o.sheet.empty()) {
    const int shown = static_cast<int>(std::min<size_t>(o.first, pairs.size()) + std::min<size_t>(o.worst, pairs.size()));
    MFS_RETURN_IF_ERROR(CheckSheet(o.sheet, static_cast<int>(rows_count) + 1, shown, kSide));
  }
  MFS_ASSIGN_OR_RETURN(const auto judge, Judge::Create(store));
  MFS_ASSIGN_OR_RETURN(const auto glasses, GlassesFinder::Create(store));
  std::vector<Sums> sums(rows_count);
  for (size_t r = 0; r < rows_count; ++r) sums[r].row.name = contenders[r]->name();

  auto source = std::make_unique<FaceRecord>(), target = std::make_unique<FaceRecord>();
  std::vector<int> source_ids;
  std::vector<Seen> sources;
  for (const auto& [s, t] : pairs) {
    if (!source_ids.empty() && source_ids.back() == s) continue;
    MFS_RETURN_IF_ERROR(set.Read(s, source.get()));
    std::vector<uint8_t> crop(source->crop, source->crop + 3 * kPixels);
    MFS_ASSIGN_OR_RETURN(Seen seen, judge->Look(&crop, *source));
    source_ids.push_back(s);
    sources.push_back(std::move(seen));
  }

  // Before the pairs, which take longer: a clip without a face must not cost the table.
  int differences = 0;
  for (const std::string& clip : o.clips) {
    const std::vector<int> some(source_ids.begin(), source_ids.begin() + std::min<size_t>(source_ids.size(), kClipSources));
    MFS_ASSIGN_OR_RETURN(const int n, AddFlicker(store, clip, o, set, some, contenders, &sums));
    differences += n;
    if (o.progress) o.progress(clip + ": " + std::to_string(n) + " differences");
  }

  MeshTeacher teacher;
  TeacherPicture picture;
  std::vector<ImageF> first;                         // cells of the sheet
  std::multimap<double, std::vector<ImageF>> worst;  // by cosine
  int n_dark = 0, n_light = 0, done = 0;
  size_t current = 0;
  FaceLabels source_labels, target_labels;
  std::vector<uint8_t> crop;
  for (const auto& [s, t] : pairs) {
    if (o.cancel != nullptr && *o.cancel) return Cancelled("stopped");
    MFS_RETURN_IF_ERROR(set.Read(s, source.get()));
    MFS_RETURN_IF_ERROR(set.Read(t, target.get()));
    if (source_ids[current] != s) ++current;
    if (done == 0 || pairs[done - 1].first != s) {
      for (const auto& contender : contenders) MFS_RETURN_IF_ERROR(contender->SetSource(*source));
    }
    TeacherVisible visible;
    if (set.cache != nullptr && set.cache->has_labels()) {
      MFS_RETURN_IF_ERROR(set.cache->ReadLabels(s, &source_labels));
      MFS_RETURN_IF_ERROR(set.cache->ReadLabels(t, &target_labels));
      visible = {source_labels.visible.data(), target_labels.visible.data(), target_labels.glasses.data()};
    }
    teacher.Run(*source, *target, visible, &picture);
    std::vector<uint8_t> original(target->crop, target->crop + 3 * kPixels);
    MFS_ASSIGN_OR_RETURN(const Seen before, judge->Look(&original, *target));
    const double target_sharpness = std::max(Sharpness(original, picture.background), 1e-3);
    const FaceInfo &source_info = set.info(s), &target_info = set.info(t);
    const float step = target_info.luma - source_info.luma;
    n_dark += step<-0.15f, n_light += step> 0.15f;
    MFS_ASSIGN_OR_RETURN(const bool source_glasses, glasses->Wears(*source));
    MFS_ASSIGN_OR_RETURN(const bool target_glasses, glasses->Wears(*target));
    const auto groups = GroupsOf(source_info, target_info, source_glasses, target_glasses);
    std::vector<ImageF> cells;
    const auto show = [&](const std::vector<uint8_t>& picture_bytes) {
      if (!o.sheet.empty()) cells.push_back(PlanarFromRgb8(picture_bytes.data(), kSide, kSide));
    };
    show(std::vector<uint8_t>(source->crop, source->crop + 3 * kPixels));
    double cosine = 0;
    for (size_t r = 0; r < rows_count; ++r) {
      MFS_RETURN_IF_ERROR(contenders[r]->Run(*source, *target, picture, &crop));
      show(crop);
      MFS_ASSIGN_OR_RETURN(const Seen after, judge->Look(&crop, *target));
      EvaluationRow& row = sums[r].row;
      cosine = DotProduct(after.z1, sources[current].z1);
      row.cosine += cosine;
      row.distance2 += SquaredDistance(after.z2, sources[current].z2);
      if (step < -0.15f) sums[r].dark += cosine;
      if (step > 0.15f) sums[r].light += cosine;
      for (const std::string& group : groups) ++row.groups[group].pairs, row.groups[group].cosine += cosine;
      size_t best1 = 0, best2 = 0;
      for (size_t i = 1; i < sources.size(); ++i) {
        if (DotProduct(after.z1, sources[i].z1) > DotProduct(after.z1, sources[best1].z1)) best1 = i;
        if (SquaredDistance(after.z2, sources[i].z2) < SquaredDistance(after.z2, sources[best2].z2)) best2 = i;
      }
      row.retrieval1 += best1 == current, row.retrieval2 += best2 == current;
      row.nearer += DotProduct(after.z1, before.z1) > cosine;
      if (before.face && after.face) {
        row.pose += (std::fabs(after.yaw - before.yaw) + std::fabs(after.pitch - before.pitch)) / 2;
        sums[r].posed += 1;
      }
      for (int k = 0; k < 3; ++k) row.expression += std::fabs(after.openings[k] - before.openings[k]) / 3;
      AddPictureMeasures(crop, original, picture.background, target_sharpness, &row);
    }
    if (!o.sheet.empty() && done < o.first) first.insert(first.end(), cells.begin(), cells.end());
    if (!o.sheet.empty() && o.worst > 0) {
      worst.emplace(cosine, std::move(cells));
      if (static_cast<int>(worst.size()) > o.worst) worst.erase(std::prev(worst.end()));
    }
    if (++done % 40 == 0 && o.progress) o.progress(std::to_string(done) + " of " + std::to_string(pairs.size()) + " pairs");
  }

  std::vector<EvaluationRow> rows;
  for (Sums& sum : sums) {
    EvaluationRow& row = sum.row;
    for (double* v : {&row.retrieval1, &row.retrieval2, &row.nearer}) *v *= 100.0 / done;
    for (double* v : {&row.cosine, &row.distance2, &row.expression, &row.sharpness, &row.background}) *v /= done;
    row.sharpness = std::exp(row.sharpness);  // ratios: their geometric mean
    row.pose /= std::max(sum.posed, 1.0);
    row.pairs = done, row.sources = static_cast<int>(sources.size());
    row.pose_pairs = static_cast<int>(sum.posed), row.dark_pairs = n_dark, row.light_pairs = n_light;
    row.cosine_dark = sum.dark / std::max(n_dark, 1), row.cosine_light = sum.light / std::max(n_light, 1);
    for (auto& [name, group] : row.groups) group.cosine /= group.pairs;
    if (differences > 0) {
      row.flicker = (sum.second - sums[0].second) / differences;  // the first row is the target itself
      row.flicker_ratio = sum.second / std::max(sums[0].second, 1e-9);
    }
    rows.push_back(row);
  }
  if (!o.sheet.empty()) {
    Sheet sheet{kSide, static_cast<int>(rows_count) + 1, std::move(first)};
    for (auto& [cosine, cells] : worst) {
      for (ImageF& cell : cells) sheet.cells.push_back(std::move(cell));
    }
    MFS_RETURN_IF_ERROR(sheet.Save(o.sheet));
  }
  return rows;
}

std::string FormatMarkdown(const std::vector<EvaluationRow>& rows, bool clips) {
  std::string text =
      "| | retrieval 1 (%) | retrieval 2 (%) | nearer to the target (%) | cosine 1 | distance 2 | cosine onto darker | onto lighter | pose (degrees) | expression | sharpness | background (of 255) |";
  std::string rule = "|---|---|---|---|---|---|---|---|---|---|---|---|";
  if (clips) text += " flicker (of 255) | over the target's |", rule += "---|---|";
  text += "\n" + rule + "\n";
  for (const EvaluationRow& r : rows) {
    char line[256];
    std::snprintf(line, sizeof(line), " | %.1f | %.1f | %.1f | %.3f | %.3f |", r.retrieval1, r.retrieval2, r.nearer, r.cosine, r.distance2);
    text += "| " + r.name + line + MeasuredCell(r.cosine_dark, 3, r.dark_pairs) + MeasuredCell(r.cosine_light, 3, r.light_pairs) + MeasuredCell(r.pose, 2, r.pose_pairs);
    std::snprintf(line, sizeof(line), " %.4f | %.2f | %.2f |", r.expression, r.sharpness, r.background);
    text += line;
    if (clips) {
      std::snprintf(line, sizeof(line), " %.2f | %.2f |", r.flicker, r.flicker_ratio);
      text += line;
    }
    text += "\n";
  }
  if (rows.empty() || rows[0].groups.empty()) return text;
  // The gallery of the retrieval are the sources.
  text += "\n" + std::to_string(rows[0].pairs) + " pairs of " + std::to_string(rows[0].sources) + " sources; pose of " + std::to_string(rows.back().pose_pairs) + "\n\n| cosine 1 | pairs |";
  rule = "|---|---|";
  for (const EvaluationRow& r : rows) text += " " + r.name + " |", rule += "---|";
  text += "\n" + rule + "\n";
  for (const auto& [name, first] : rows[0].groups) {
    text += "| " + name + " | " + std::to_string(first.pairs) + " |";
    for (const EvaluationRow& r : rows) text += MeasuredCell(r.groups.at(name).cosine, 3, first.pairs);
    text += "\n";
  }
  return text;
}

std::string FormatJson(const std::vector<EvaluationRow>& rows, bool clips) {
  auto list = nlohmann::ordered_json::array();
  const auto measured = [](double value, int pairs) { return pairs > 0 ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr); };
  for (const EvaluationRow& r : rows) {
    list.push_back({{"name", r.name},
                    {"pairs", r.pairs},
                    {"sources", r.sources},
                    {"retrieval1", r.retrieval1},
                    {"retrieval2", r.retrieval2},
                    {"nearer_to_target", r.nearer},
                    {"cosine", r.cosine},
                    {"distance2", r.distance2},
                    {"cosine_dark", measured(r.cosine_dark, r.dark_pairs)},
                    {"cosine_light", measured(r.cosine_light, r.light_pairs)},
                    {"pose", measured(r.pose, r.pose_pairs)},
                    {"pose_pairs", r.pose_pairs},
                    {"expression", r.expression},
                    {"sharpness", r.sharpness},
                    {"background", r.background}});
    if (clips) list.back()["flicker"] = r.flicker, list.back()["flicker_ratio"] = r.flicker_ratio;
    for (const auto& [name, group] : r.groups) list.back()["groups"][name] = {{"pairs", group.pairs}, {"cosine", group.cosine}};
  }
  return list.dump(1) + "\n";
}

}  // namespace mfs::train
