#include "parser.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "face/face_finder.h"
#include "face/face_mesh.h"
#include "media/picture.h"
#include "parser_data.h"
#include "parser_net.h"

namespace mfs::train {
namespace {

namespace fs = std::filesystem;

Status WriteGrey(const std::string& path, int width, int height, const std::vector<uint8_t>& pixels) {
  Picture p;
  p.stored_width = width, p.stored_height = height, p.channels = 1, p.pixels = pixels;
  std::vector<std::string> warnings;
  return WritePicture(p, path, {}, &warnings);
}

// Frames of a clip with the points' box as skin: enough to go through every step.
class Parser : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    torch::set_num_threads(1);
    dir = testing::TempDir() + "mfs_train_parser." + std::to_string(getpid()) + "/";
    fs::remove_all(dir);
    fs::create_directories(dir + "data/images");
    fs::create_directories(dir + "data/labels");
    auto opened = ModelStore::Open({});
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    store = new ModelStore(std::move(*opened));
    const std::string command = "ffmpeg -v error -i " + DefaultCacheDir() + "/media/franck.mp4 -vf fps=1/18 " + dir + "data/images/%03d.jpg";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    auto finder = FaceFinder::Create(*store);
    ASSERT_TRUE(finder.ok());
    for (const auto& entry : fs::directory_iterator(dir + "data/images")) {
      auto picture = ReadPicture(entry.path().string());
      ASSERT_TRUE(picture.ok());
      const FrameView view = picture->View();
      auto faces = (*finder)->Find(view);
      ASSERT_TRUE(faces.ok());
      std::vector<uint8_t> label(static_cast<size_t>(view.width()) * view.height(), 0);
      for (const Face& f : *faces) {
        const Rect box = BoundingBox(f.landmarks.data(), f.landmarks.size());
        for (int y = std::max(0, static_cast<int>(box.y0)); y < std::min<int>(view.height(), static_cast<int>(box.y1)); ++y) {
          for (int x = std::max(0, static_cast<int>(box.x0)); x < std::min<int>(view.width(), static_cast<int>(box.x1)); ++x) label[static_cast<size_t>(y) * view.width() + x] = 1;
        }
      }
      ASSERT_TRUE(WriteGrey(dir + "data/labels/" + entry.path().stem().string() + ".png", view.width(), view.height(), label).ok());
    }
  }
  static void TearDownTestSuite() {
    fs::remove_all(dir);
    delete store;
    store = nullptr;
  }
  static ParserOptions Tiny(const std::string& output) {
    ParserOptions o;
    o.data = dir + "data";
    o.output = dir + output;
    o.steps = 4, o.batch = 2, o.sheet_every = 2;
    return o;
  }
  static Status Run(const ParserOptions& o) {
    auto alone = Processes::Join();
    return alone.ok() ? TrainParser(*store, alone->get(), o) : alone.status();
  }
  static std::string dir;
  static ModelStore* store;
};
std::string Parser::dir;
ModelStore* Parser::store = nullptr;

TEST_F(Parser, TheProductRunsWhatWasTrained) {
  torch::NoGradGuard guard;
  ParserNet net(3);
  const torch::Tensor image = torch::rand({2, kParserInput, kParserInput, 3});
  for (int i = 0; i < 3; ++i) net.Run(image, true);  // running statistics that are no ones and zeros
  const torch::Tensor p = torch::softmax(net.Run(image, false).slice(3, 0, kFaceParts), 3);
  for (const auto& [matrices, tolerance] : {std::pair<DType, float>{DType::kF32, 1e-4f}, {DType::kF16, 3e-2f}}) {
    const std::string path = dir + "parser.safetensors";
    ASSERT_TRUE(net.Save(path, {}, matrices).ok());
    auto file = SafetensorsFile::Open(path);
    ASSERT_TRUE(file.ok());
    auto parser = FaceParser::Create(*file);
    ASSERT_TRUE(parser.ok()) << parser.status().message();
    for (int n = 0; n < 2; ++n) {
      ImageF said;
      ASSERT_TRUE((*parser)->Run(image[n].permute({2, 0, 1}).contiguous().data_ptr<float>(), &said).ok());
      const torch::Tensor ours = torch::from_blob(said.data(), {kFaceParts, kParserOutput, kParserOutput}).permute({1, 2, 0});
      EXPECT_LT((ours - p[n]).abs().max().item<float>(), tolerance);
      EXPECT_GT(p[n].std().item<float>(), 0.02f);  // the weights say something
    }
  }
}

TEST_F(Parser, StoppedTrainingGoesOnToTheSameWeights) {
  ASSERT_TRUE(Run(Tiny("whole")).ok());
  ParserOptions o = Tiny("parts");
  o.stop_after = 2;
  ASSERT_TRUE(Run(o).ok());
  // Cancelled during the third step: it is ended, and not done again.
  std::atomic<bool> cancel{false};
  o.cancel = &cancel;
  o.progress = [&](const std::string& line) {
    if (line.rfind("going on", 0) == 0) cancel = true;
  };
  const Status stopped = Run(o);
  EXPECT_EQ(stopped.code(), StatusCode::kCancelled);
  EXPECT_NE(stopped.message().find("at step 3;"), std::string::npos) << stopped.message();
  cancel = false;
  o.progress = nullptr;
  ASSERT_TRUE(Run(o).ok());
  for (const char* name : {"/checkpoint.safetensors", "/face-parser.safetensors"}) EXPECT_TRUE(*ReadFile(dir + "whole" + name) == *ReadFile(dir + "parts" + name)) << name;
  EXPECT_TRUE(FileExists(dir + "whole/samples-0000002.jpg"));
  EXPECT_NE(ReadFile(dir + "whole/report.html")->find("crop, labels, network"), std::string::npos);
  auto report = EvaluateParser(*store, dir + "whole/face-parser.safetensors", dir + "data", 1, dir + "sheet.jpg");
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_GT(report->photos, 0);
  EXPECT_EQ(report->part[static_cast<int>(FacePart::kHat)], -1);
  EXPECT_GE(report->part[static_cast<int>(FacePart::kSkin)], 0);
  EXPECT_GE(report->face, 0);
  EXPECT_NE(FormatParserReport(*report).find("| face region | "), std::string::npos);
}

TEST_F(Parser, SamplesRepeatAndOccludersAreLabelled) {
  auto data = ParserData::Load(*store, dir + "data", 1, nullptr, nullptr);
  ASSERT_TRUE(data.ok()) << data.status().message();
  EXPECT_EQ(data->training().size() + data->held_back().size(), 11u);
  EXPECT_EQ(data->held_back().size(), 2u);
  const LabelledPhoto& photo = data->held_back()[0];
  ParserSample plain, covered, again, changed;
  const auto make = [&](Change change, uint64_t seed, ParserSample* out) {
    std::mt19937_64 rng(seed);
    data->Make(photo, change, &rng, out);
  };
  make(Change::kNone, 1, &plain);
  EXPECT_EQ(plain.label[60 * kParserOutput + 56], static_cast<uint8_t>(FacePart::kSkin));
  int seen = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    make(Change::kOccluders, seed, &covered);
    make(Change::kOccluders, seed, &again);
    EXPECT_EQ(covered.image, again.image);
    EXPECT_EQ(covered.label, again.label);
    for (size_t i = 0; i < plain.label.size(); ++i) {
      if (covered.label[i] == plain.label[i]) continue;
      ++seen;
      EXPECT_EQ(covered.label[i], static_cast<uint8_t>(FacePart::kOccluder));
    }
    make(Change::kAll, seed, &changed);
    make(Change::kAll, seed, &again);
    EXPECT_EQ(changed.image, again.image);
    for (float v : changed.image) ASSERT_TRUE(v >= 0 && v <= 1);
  }
  EXPECT_GT(seen, 1000);
}

TEST_F(Parser, BadDataIsRefused) {
  const auto load = [&](const std::string& folder) { return ParserData::Load(*store, dir + folder, 1, nullptr, nullptr).status(); };
  EXPECT_EQ(load("missing").code(), StatusCode::kNotFound);
  fs::create_directories(dir + "bad/images");
  EXPECT_EQ(load("bad").code(), StatusCode::kNotFound);
  fs::copy(dir + "data/images/001.jpg", dir + "bad/images/001.jpg");
  EXPECT_NE(load("bad").message().find("labels/NAME.png"), std::string::npos);
  fs::create_directories(dir + "bad/labels");
  ASSERT_TRUE(WriteGrey(dir + "bad/labels/001.png", 10, 12, std::vector<uint8_t>(120, 0)).ok());
  EXPECT_NE(load("bad").message().find("10x12"), std::string::npos);
  auto picture = ReadPicture(dir + "data/images/001.jpg");
  ASSERT_TRUE(picture.ok());
  ASSERT_TRUE(WriteGrey(dir + "bad/labels/001.png", picture->stored_width, picture->stored_height, std::vector<uint8_t>(static_cast<size_t>(picture->stored_width) * picture->stored_height, 19)).ok());
  EXPECT_NE(load("bad").message().find("class 19"), std::string::npos);
}

TEST_F(Parser, BadCheckpointIsRefused) {
  fs::create_directories(dir + "broken");
  const std::string nonsense = "nonsense";
  ASSERT_TRUE(WriteFileAtomically(dir + "broken/checkpoint.safetensors", nonsense.data(), nonsense.size()).ok());
  EXPECT_EQ(Run(Tiny("broken")).code(), StatusCode::kCorruptData);
  SafetensorsWriter w;
  w.SetMetadata("format", "mobilefaceswap-parser-checkpoint");
  ASSERT_TRUE(w.Save(dir + "broken/checkpoint.safetensors").ok());
  EXPECT_NE(Run(Tiny("broken")).message().find("another architecture"), std::string::npos);
}

}  // namespace
}  // namespace mfs::train
