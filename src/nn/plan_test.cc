// Every layer, in odd sizes and at every CPU level of this machine, against the scalar reference; then the order of work: rows side by
// side, threads, memory.
#include "nn/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <random>
#include <set>

#include "base/count_allocations.h"
#include "nn/cpu_level.h"
#include "nn/graph_reference.h"

namespace mfs {
namespace {

using Values = std::vector<float>;

class PlanTest : public testing::Test {
 protected:
  Values Random(size_t n, float spread = 1) {
    std::normal_distribution<float> normal(0, spread);
    Values v(n);
    for (float& x : v) x = normal(rng);
    return v;
  }
  int Ok(const StatusOr<int>& layer) {
    EXPECT_TRUE(layer.ok()) << layer.status().message();
    return layer.ok() ? *layer : 0;
  }
  int RandomConv(Graph* g, int in, int out, const Window& w) {
    const size_t depth = static_cast<size_t>(w.height) * w.width * g->layers[in].shape.channels;
    return Ok(g->Conv(in, w, Random(depth * out, 1.4f / std::sqrt(static_cast<float>(depth))), Random(out, 0.2f)));
  }
  int RandomDepthwise(Graph* g, int in, const Window& w) {
    const int channels = g->layers[in].shape.channels, taps = w.height * w.width;
    return Ok(g->Depthwise(in, w, Random(static_cast<size_t>(taps) * channels, 1.2f / std::sqrt(static_cast<float>(taps))), Random(channels, 0.2f)));
  }

  // The graph as it stands in the reference, simplified and planned at every level and thread count.
  void Compare(const Graph& g, const std::string& what, float tolerance = 2e-5f) {
    const Values input = Random(g.layers[0].shape.size());
    const std::vector<Values> want = RunReference(g, input.data());
    Graph simple = g;
    simple.Simplify();
    EXPECT_LT(Worst(RunReference(simple, input.data()), want), 1e-5f) << what << ": Simplify changed the outputs";
    for (const std::string& level : CpuLevels()) {
      std::vector<Values> first;
      for (int threads : {1, 2, 3}) {
        PlanOptions options;
        options.cpu = level;
        options.threads = threads;
        auto plan = Plan::Create(g, options);
        ASSERT_TRUE(plan.ok()) << plan.status().message();
        std::vector<Values> got(want.size());
        for (int run = 0; run < 2; ++run) {  // the second finds the buffers used
          (*plan)->Run(input.data());
          for (size_t i = 0; i < got.size(); ++i) (*plan)->CopyOutput(static_cast<int>(i), &got[i]);
          EXPECT_LT(Worst(got, want), tolerance) << what << " at " << level << ", threads " << threads << ", run " << run;
        }
        if (threads == 1) {
          first = got;
        } else {
          EXPECT_EQ(got, first) << what << " at " << level << ": the result depends on the thread count";
        }
      }
    }
  }
  static float Worst(const std::vector<Values>& a, const std::vector<Values>& b) {
    EXPECT_EQ(a.size(), b.size());
    float worst = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].size(), b[i].size());
      for (size_t k = 0; k < a[i].size(); ++k) {
        const float d = std::fabs(a[i][k] - b[i][k]) / std::max(1.0f, std::fabs(b[i][k]));
        worst = std::isfinite(d) ? std::max(worst, d) : INFINITY;
      }
    }
    return worst;
  }

  std::mt19937 rng{5};
};

TEST_F(PlanTest, ConvolutionsOfOddSizes) {
  struct Case {
    MapShape in;
    int out;
    Window window;
  };
  const Case cases[] = {
      {{1, 1, 1}, 1, {}},                             // smallest of all
      {{1, 1, 512}, 136, {}},                         // fully connected: several blocks of one pixel
      {{1, 1, 37}, 192, {}},                          //
      {{7, 7, 33}, 40, {}},                           // pointwise, channels that fill no vector
      {{5, 13, 24}, 56, {}},                          //
      {{3, 29, 8}, 7, {}},                            // more pixels than a tile, fewer channels than a block
      {{9, 11, 3}, 16, {3, 3, 2, 1, {1, 1, 1, 1}}},   // stem
      {{8, 10, 3}, 24, {5, 5, 2, 1, {1, 2, 1, 2}}},   // TensorFlow's SAME
      {{8, 8, 3}, 16, {3, 3, 2, 1, {0, 1, 0, 1}}},    //
      {{6, 7, 12}, 16, {3, 3, 1, 1, {1, 1, 1, 1}}},   // channels with a gap behind them
      {{6, 7, 16}, 12, {3, 3, 1, 2, {2, 2, 2, 2}}},   // dilated
      {{11, 9, 16}, 16, {3, 3, 1, 5, {5, 5, 5, 5}}},  //
      {{4, 4, 128}, 48, {3, 3, 1, 1, {1, 1, 1, 1}}},  // of the injection network
      {{7, 7, 16}, 24, {4, 4, 1, 1, {}}},             //
      {{3, 3, 32}, 1404, {3, 3, 1, 1, {}}},           // the mesh's points
      {{5, 5, 6}, 9, {2, 3, 3, 1, {1, 0, 2, 1}}},     // nothing symmetric
  };
  for (const Case& c : cases) {
    Graph g;
    const int in = Ok(g.Input(c.in));
    g.outputs = {RandomConv(&g, in, c.out, c.window)};
    const MapShape& s = c.in;
    Compare(g, "conv of " + std::to_string(s.height) + "x" + std::to_string(s.width) + "x" + std::to_string(s.channels));
  }
}

TEST_F(PlanTest, EveryTileHeight) {
  for (int width = 1; width <= 30; ++width) {
    Graph g;
    const int in = Ok(g.Input({2, width, 9}));
    g.outputs = {RandomConv(&g, in, 64 + 16 + 8, {})};
    Compare(g, "conv of width " + std::to_string(width));
  }
}

TEST_F(PlanTest, Depthwise) {
  for (const Window& w : {Window{3, 3, 1, 1, {1, 1, 1, 1}}, Window{3, 3, 2, 1, {1, 1, 1, 1}}, Window{3, 3, 2, 1, {0, 1, 0, 1}}, Window{5, 5, 1, 1, {2, 2, 2, 2}}, Window{4, 4, 2, 1, {1, 1, 1, 1}},
                          Window{5, 5, 2, 1, {1, 2, 1, 2}}, Window{7, 7, 1, 1, {}}}) {
    for (int channels : {1, 8, 24, 33, 40, 64}) {
      for (int size : {7, 8, 15}) {
        Graph g;
        const int in = Ok(g.Input({size, size == 15 ? 9 : size, channels}));
        g.outputs = {RandomDepthwise(&g, in, w)};
        Compare(g, "depthwise " + std::to_string(w.height) + " stride " + std::to_string(w.stride) + " channels " + std::to_string(channels));
      }
    }
  }
}

TEST_F(PlanTest, ActivationsAndSumsAreFused) {
  for (Activation a : {Activation::kNone, Activation::kRelu, Activation::kRelu6, Activation::kPrelu}) {
    for (bool after : {false, true}) {
      for (bool own : {false, true}) {  // does the sum stand behind a convolution, or does something else read that, too?
        Graph g;
        const int in = Ok(g.Input({6, 9, 20}));
        const auto act = [&](int layer) {
          Values slope = a == Activation::kPrelu ? Random(g.layers[layer].shape.channels) : Values();
          return a == Activation::kNone ? layer : Ok(g.Activate(layer, a, slope));
        };
        const int d = act(RandomDepthwise(&g, in, {3, 3, 1, 1, {1, 1, 1, 1}}));
        int c = RandomConv(&g, d, 20, {});
        if (after) c = act(c);
        int sum = Ok(g.Add(c, in));
        if (!after) sum = act(sum);
        g.outputs = {sum};
        if (!own) g.outputs.push_back(c);
        Compare(g, "activation " + std::to_string(static_cast<int>(a)));
        Graph simple = g;
        simple.Simplify();
        if (own) {
          EXPECT_EQ(simple.layers.size(), 3u);
        }
      }
    }
  }
}

TEST_F(PlanTest, PoolsJoinsAndTheRest) {
  Graph g;
  const int in = Ok(g.Input({12, 10, 8}));
  const int pool = Ok(g.MaxPool(in, {2, 2, 2, 1, {}}));
  const int odd = Ok(g.MaxPool(in, {3, 3, 2, 1, {1, 1, 1, 0}}));
  const int average = Ok(g.AveragePool(in, {2, 2, 2, 1, {}}));
  const int all = Ok(g.AveragePool(in, {12, 10, 1, 1, {}}));
  const int wider = Ok(g.Pad(pool, {}, 24));
  const int around = Ok(g.Pad(average, {1, 0, 2, 1}, 11));
  const int conv = RandomConv(&g, pool, 13, {});
  const int joined = Ok(g.Concat({conv, pool, average}));
  const int up = Ok(g.Upsample(joined));
  const int norm = Ok(g.Activate(Ok(g.GroupNorm(joined, 29, 1e-5f, Random(29), Random(29))), Activation::kPrelu, Values(29, 0.1f)));
  const int alone = Ok(g.Activate(in, Activation::kPrelu, Random(8)));
  const int sum = Ok(g.Activate(Ok(g.Add(in, alone)), Activation::kRelu));
  g.outputs = {odd, all, wider, around, up, norm, alone, sum};
  Compare(g, "pools");
  Graph tiny;
  const int one = Ok(tiny.Input({1, 1, 5}));
  tiny.outputs = {Ok(tiny.Upsample(one))};
  Compare(tiny, "a map of one pixel, doubled");
}

// A channel whose depthwise weights are dead, one that nobody reads, and what the activation makes of their biases.
TEST_F(PlanTest, DeadChannelsAreLeftOut) {
  for (Activation a : {Activation::kRelu, Activation::kPrelu}) {
    Graph g;
    const int in = Ok(g.Input({9, 9, 6}));
    const auto act = [&](int layer) { return Ok(g.Activate(layer, a, a == Activation::kPrelu ? Random(24) : Values())); };
    const int first = act(RandomConv(&g, in, 24, {}));
    Values depth = Random(9 * 24), point = Random(24 * 10);
    for (int t = 0; t < 9; ++t) depth[t * 24 + 3] = depth[t * 24 + 17] = 1e-30f;
    for (int o = 0; o < 10; ++o) point[5 * 10 + o] = -1e-38f;
    const int middle = act(Ok(g.Depthwise(first, {3, 3, 1, 1, {1, 1, 1, 1}}, depth, Random(24))));
    g.outputs = {Ok(g.Conv(middle, {}, point, Random(10)))};
    Compare(g, "dead channels");
    Graph simple = g;
    simple.Simplify();
    EXPECT_EQ(simple.layers[1].shape.channels, 21);
    EXPECT_LT(simple.Macs(), g.Macs());
  }
}

// Where every channel is dead the layers stay, and so must the biases; and where the 1x1 reads beyond the border no constant may be put there.
TEST_F(PlanTest, ConstantsAreCountedOnce) {
  for (const Padding& pad : {Padding{}, Padding{1, 1, 1, 1}}) {
    for (int alive : {0, 3}) {
      Graph g;
      const int in = Ok(g.Input({5, 6, 3}));
      const int first = Ok(g.Activate(RandomConv(&g, in, 8, {}), Activation::kRelu));
      Values depth(9 * 8, 0.0f), bias(8, 1.0f);
      for (int t = 0; t < 9; ++t) std::fill_n(&depth[t * 8], alive, 0.3f);
      const int middle = Ok(g.Depthwise(first, {3, 3, 1, 1, {1, 1, 1, 1}}, depth, bias));
      g.outputs = {Ok(g.Conv(middle, {1, 1, 1, 1, pad}, Random(8 * 8), Random(8)))};
      Compare(g, "constants, " + std::to_string(alive) + " alive, pad " + std::to_string(pad.top));
    }
  }
}

// Of one row's length and number of rows, but not of one width: what one writes is border for the other.
TEST_F(PlanTest, MapsOfOtherWidthsShareNoMemory) {
  Graph g;
  const int in = Ok(g.Input({4, 8, 8}));
  const int a = RandomConv(&g, in, 8, {});
  const int b = RandomConv(&g, a, 8, {1, 3, 1, 1, {0, 0, 1, 1}});
  const int c = Ok(g.Pad(b, {0, 0, 1, 0}, 8));
  g.outputs = {RandomConv(&g, c, 8, {1, 3, 1, 1, {0, 0, 1, 0}})};
  Compare(g, "widths");
}

// Maps that outgrow the cache: inverted residuals, a branch that waits for its partner, a shortcut over several layers.
TEST_F(PlanTest, LayersSideBySide) {
  Graph g;
  const int in = Ok(g.Input({67, 91, 3}));
  const int stem = Ok(g.Activate(RandomConv(&g, in, 24, {3, 3, 1, 1, {1, 1, 1, 1}}), Activation::kRelu));
  int x = stem;
  for (int block = 0; block < 3; ++block) {
    const int wide = Ok(g.Activate(RandomConv(&g, x, 40, {}), Activation::kPrelu, Random(40)));
    const int depth = Ok(g.Activate(RandomDepthwise(&g, wide, {3, 3, 1, 1, {1, 1, 1, 1}}), Activation::kPrelu, Random(40)));
    x = Ok(g.Add(x, RandomConv(&g, depth, 24, {})));
  }
  const int branch = RandomConv(&g, RandomConv(&g, x, 8, {3, 3, 1, 3, {3, 3, 3, 3}}), 24, {3, 3, 1, 1, {1, 1, 1, 1}});
  const int joined = Ok(g.Concat({branch, stem, x}));
  const int down = RandomDepthwise(&g, joined, {3, 3, 2, 1, {0, 1, 0, 1}});
  const int pool = Ok(g.Pad(Ok(g.MaxPool(joined, {2, 2, 2, 1, {}})), {0, 0, 0, 0}, 80));
  const int last = Ok(g.Add(RandomConv(&g, down, 80, {}), RandomConv(&g, pool, 80, {2, 1, 1, 1, {1, 0, 0, 0}})));
  g.outputs = {last, branch};
  // 67 rows give 33 or 34 behind the two kinds of padding; the test wants them equal.
  EXPECT_EQ(g.layers[down].shape.height, 33);
  Compare(g, "side by side", 2e-4f);  // thirty layers of random weights
}

TEST_F(PlanTest, RunAllocatesNothing) {
  Graph g;
  const int in = Ok(g.Input({64, 64, 3}));
  int x = RandomConv(&g, in, 32, {3, 3, 1, 1, {1, 1, 1, 1}});
  x = RandomConv(&g, RandomDepthwise(&g, x, {3, 3, 1, 1, {1, 1, 1, 1}}), 48, {});
  g.outputs = {Ok(g.GroupNorm(Ok(g.MaxPool(x, {2, 2, 2, 1, {}})), 8, 1e-5f, Random(48), Random(48)))};
  for (int threads : {1, 2}) {
    PlanOptions options;
    options.threads = threads;
    auto plan = Plan::Create(g, options);
    ASSERT_TRUE(plan.ok());
    const Values input = Random(64 * 64 * 3);
    (*plan)->Run(input.data());
    const int64_t before = g_allocations;
    for (int i = 0; i < 3; ++i) (*plan)->Run(input.data());
    EXPECT_EQ(g_allocations, before) << threads << " threads";
  }
}

TEST_F(PlanTest, DenormalsAreFlushedInsideOnly) {
#if defined(__wasm__)
  GTEST_SKIP() << "WebAssembly has no floating point state to set";
#endif
  Graph g;
  const int in = Ok(g.Input({1, 1, 8}));
  g.outputs = {Ok(g.Conv(in, {}, Values(64, 1e-10f), Values(8, 0)))};
  auto plan = Plan::Create(g, {});
  ASSERT_TRUE(plan.ok());
  const Values input(8, 1e-30f);
  (*plan)->Run(input.data());
  EXPECT_EQ((*plan)->output(0).data[0], 0);
  volatile float tiny = std::numeric_limits<float>::denorm_min();
  EXPECT_GT(tiny * 1.0f, 0) << "the caller's floating point state was not put back";
}

// Every layer that a real network has (bench/models, kept up to date by tests/nets_test.cc), in its width and channels and in as many
// rows as show both borders and the middle.
TEST_F(PlanTest, LayersOfTheRealNetworks) {
  std::set<std::string> lines;
  for (const char* net : {"mobilefacenet", "rfb", "landmarks", "blazeface", "mesh", "iin"}) {
    std::ifstream file(std::string(MFS_SOURCE_DIR "/bench/models/") + net + ".txt");
    ASSERT_TRUE(file.is_open()) << net;
    for (std::string line; std::getline(file, line);) lines.insert(line);
  }
  int checked = 0;
  for (const std::string& line : lines) {
    char op[16], activation[16];
    int out_height = 0, out_width = 0, out = 0;
    Window w;
    MapShape in;
    const int fields = std::sscanf(line.c_str(), "%15s %dx%d stride %d dilation %d pad %d %d %d %d, %dx%dx%d -> %dx%dx%d %15s", op, &w.height, &w.width, &w.stride, &w.dilation, &w.pad.top,
                                   &w.pad.bottom, &w.pad.left, &w.pad.right, &in.height, &in.width, &in.channels, &out_height, &out_width, &out, activation);
    if (fields < 16) continue;  // a heading, or a layer without a window
    // The last row stays the last: whole strides are cut off.
    const int least = w.stride * 4 + (w.height - 1) * w.dilation + 1;
    if (in.height > least) in.height -= (in.height - least) / w.stride * w.stride;
    Graph g;
    const int first = Ok(g.Input(in));
    const std::string name = op, a = activation;
    int layer = name == "conv" ? RandomConv(&g, first, out, w) : name == "depthwise" ? RandomDepthwise(&g, first, w) : Ok(name == "maxpool" ? g.MaxPool(first, w) : g.AveragePool(first, w));
    if (line.find(" sum") != std::string::npos) layer = Ok(g.Add(layer, g.layers[layer].shape == in ? first : RandomConv(&g, first, out, w)));
    if (a != "none") layer = Ok(g.Activate(layer, a == "relu" ? Activation::kRelu : a == "relu6" ? Activation::kRelu6 : Activation::kPrelu, a == "prelu" ? Random(out, 0.3f) : Values()));
    g.outputs = {layer};
    EXPECT_EQ(g.layers[layer].shape.width, out_width) << line;
    Compare(g, line, 5e-5f);
    ++checked;
  }
  EXPECT_GT(checked, 60);
}

TEST_F(PlanTest, BadGraphs) {
  Graph g;
  EXPECT_FALSE(g.Conv(0, {}, {1}, {1}).ok());
  const int in = Ok(g.Input({4, 4, 2}));
  EXPECT_FALSE(g.Input({4, 4, 2}).ok());
  EXPECT_FALSE(g.Conv(in, {}, Values(3), Values(2)).ok());
  EXPECT_FALSE(g.Conv(in, {}, {1, NAN}, {0}).ok());
  EXPECT_FALSE(g.Conv(in, {5, 5, 1, 1, {}}, Values(50), Values(1)).ok());
  EXPECT_FALSE(g.Conv(in, {1, 1, 0, 1, {}}, Values(2), Values(1)).ok());
  EXPECT_FALSE(g.Conv(in, {1, 1, 1, 1, {-1, 0, 0, 0}}, Values(2), Values(1)).ok());
  EXPECT_FALSE(g.Depthwise(in, {3, 3, 1, 1, {}}, Values(9), Values(1)).ok());
  EXPECT_FALSE(g.MaxPool(in, {2, 2, 2, 1, {2, 0, 0, 0}}).ok());
  EXPECT_FALSE(g.Add(in, 7).ok());
  EXPECT_FALSE(g.Concat({}).ok());
  EXPECT_FALSE(g.Activate(in, Activation::kPrelu, {1}).ok());
  EXPECT_FALSE(g.GroupNorm(in, 3, 1e-5f, Values(2), Values(2)).ok());
  EXPECT_FALSE(g.Pad(in, {}, 1).ok());
  EXPECT_FALSE(Plan::Create(g, {}).ok());  // no output
  g.outputs = {in};
  PlanOptions options;
  options.threads = 0;
  EXPECT_FALSE(Plan::Create(g, options).ok());
  options.threads = 1;
  options.cpu = "abacus";
  EXPECT_EQ(Plan::Create(g, options).status().code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace mfs
