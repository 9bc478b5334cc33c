#include "swap/engine.h"

#include <gtest/gtest.h>

#include "base/count_allocations.h"
#include "idn/idn_testing.h"

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

}  // namespace
}  // namespace mfs
