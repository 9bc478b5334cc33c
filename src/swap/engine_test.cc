#include "swap/engine.h"

#include <gtest/gtest.h>

#include "base/count_allocations.h"
#include "idn/idn_testing.h"
#include "swap/frame_swapper.h"

namespace mfs {
namespace {

// A swap of a made-up face: what the crop becomes depends on the identity alone.
std::vector<uint8_t> Swapped(Engine* engine) {
  std::vector<uint8_t> pixels(3 * 256 * 256);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7 / 3);
  FrameView view = Rgb8View(pixels.data(), 256, 256, 3 * 256);
  Face face;
  face.points = {{{100, 110}, {156, 110}, {128, 140}, {106, 170}, {150, 170}}};
  StageTimes times;
  EXPECT_TRUE(engine->SwapFace(&view, face, &times).ok());
  return pixels;
}

TEST(Engine, AnotherIdentityTakesTheNetworksThatAreThere) {
  Identity a, b;
  a.weights = RandomWeights(1), b.weights = RandomWeights(2);
  auto made = Engine::Create({});
  ASSERT_TRUE(made.ok()) << made.status().message();
  Engine* engine = made->get();
  SwapOptions options;
  ASSERT_TRUE(engine->SetIdentity(a, options).ok());
  const std::vector<uint8_t> first = Swapped(engine);
#ifdef MFS_COUNTS_ALLOCATIONS
  const int64_t before = g_allocations;
  bool ok = true;
  for (int i = 0; i < 4; ++i) ok = ok && engine->SetIdentity(i % 2 == 0 ? b : a, options).ok();
  const int64_t after = g_allocations;
  EXPECT_TRUE(ok);
  EXPECT_EQ(after, before);
#endif
  ASSERT_TRUE(engine->SetIdentity(b, options).ok());
  EXPECT_NE(Swapped(engine), first);
  Identity bad = a;
  bad.weights.decoder[1].bias[0] = NAN;
  EXPECT_FALSE(engine->SetIdentity(bad, options).ok());
  EXPECT_NE(Swapped(engine), first) << "the person in use must stay";
  options.threads = 2;  // other networks
  ASSERT_TRUE(engine->SetIdentity(a, options).ok());
  EXPECT_EQ(Swapped(engine), first);
  // One that was put in from outside may have other options: it is not written into.
  std::unique_ptr<Idn> own = engine->UseNetwork(Engine::MakeNetwork(b, {}).value());
  ASSERT_TRUE(engine->SetIdentity(a, options).ok());
  EXPECT_EQ(Swapped(engine), first);
}

// What was learned of a face's colours is of one person in one light.
TEST(FrameSwapper, AnotherPersonAndAnotherLightBeginAnew) {
  Identity a, b;
  a.weights = RandomWeights(1), b.weights = RandomWeights(2);
  auto engine = Engine::Create({});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  FramePlan plan;
  plan.tracks.resize(1), plan.chosen.resize(1);
  plan.tracks[0].id = plan.chosen[0].track = 1;
  plan.chosen[0].face.points = {{{100, 110}, {156, 110}, {128, 140}, {106, 170}, {150, 170}}};
  for (int i = 0; i < 68; ++i) plan.chosen[0].face.landmarks[i] = {95.0f + i, 105.0f + i};
  const auto frame = [&](FrameSwapper* swapper, int light) {
    std::vector<uint8_t> pixels(3 * 256 * 256);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(light + i * 7 / 3 % 100);
    FrameView view = Rgb8View(pixels.data(), 256, 256, 3 * 256);
    StageTimes times;
    EXPECT_TRUE(swapper->Swap(plan, &view, &times).ok());
    return pixels;
  };
  const auto fresh = [&](const Identity& who, int light) {
    EXPECT_TRUE((*engine)->SetIdentity(who, {}).ok());
    return frame(FrameSwapper::Create(engine->get())->get(), light);
  };
  const std::vector<uint8_t> b_alone = fresh(b, 20), b_lit = fresh(b, 140), a_alone = fresh(a, 20);
  auto swapper = FrameSwapper::Create(engine->get());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(frame(swapper->get(), 20), a_alone);
  ASSERT_TRUE((*engine)->SetIdentity(b, {}).ok());
  EXPECT_EQ(frame(swapper->get(), 20), b_alone);
  plan.tracks[0].jumped = true;
  EXPECT_EQ(frame(swapper->get(), 140), b_lit);
  plan.tracks[0].jumped = false;
  EXPECT_NE(frame(swapper->get(), 20), b_alone) << "else the light is followed slowly";
}

TEST(Engine, FacesThatAreNotSeenAreDoubtful) {
  auto engine = Engine::Create({});
  ASSERT_TRUE(engine.ok());
  Identity a;
  a.weights = RandomWeights(1);
  SwapOptions options;
  options.faces = FaceSelection::kAll;
  ASSERT_TRUE((*engine)->SetIdentity(a, options).ok());
  std::vector<uint8_t> pixels(3 * 64 * 64);
  const FrameView view = Rgb8View(pixels.data(), 64, 64, 3 * 64);
  std::vector<TrackedFace> tracks(3);
  tracks[0].id = 1, tracks[1].id = 2, tracks[2].id = 3;
  tracks[1].held = true;
  tracks[2].held = tracks[2].hidden = true;
  TrackSelection selection;
  const auto chosen = (*engine)->SelectTracks(view, tracks, &selection);
  ASSERT_TRUE(chosen.ok());
  ASSERT_EQ(chosen->size(), 2u);
  EXPECT_FALSE(chosen->at(0).doubtful);
  EXPECT_TRUE(chosen->at(1).doubtful);
}

}  // namespace
}  // namespace mfs
