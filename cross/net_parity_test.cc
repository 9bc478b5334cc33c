// The networks around the IDN on this processor, read from the packages' files, against the scalar reference (double sums):
// net_parity_test FOLDER, where FOLDER holds what `mfs models fetch` brings.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>

#include "nn/graph_reference.h"
#include "nn/plan.h"
#include "weights/onnx_graph.h"
#include "weights/tflite_graph.h"

namespace mfs {
namespace {

std::string folder;

struct Net {
  const char* file;
  std::vector<std::string> outputs;
  std::vector<float> scale;  // of each output: 1e-4 of it is allowed
};

class NetParity : public testing::TestWithParam<Net> {};

TEST_P(NetParity, AgreesWithTheReference) {
  const Net& net = GetParam();
  std::ifstream file(folder + "/" + net.file, std::ios::binary);
  ASSERT_TRUE(file.is_open()) << folder << "/" << net.file << " is not there; run: mfs models fetch";
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const auto graph = std::string(net.file).find(".tflite") != std::string::npos ? GraphFromTflite(bytes) : GraphFromOnnx(bytes, net.outputs);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const MapShape& s = graph->layers[0].shape;
  std::vector<float> input;
  for (size_t i = 0; i < s.size(); ++i) {
    const int x = static_cast<int>(i / s.channels) % s.width, y = static_cast<int>(i / s.channels) / s.width, c = static_cast<int>(i) % s.channels;
    input.push_back(0.6f * std::sin(0.07f * x + c) * std::cos(0.05f * y) + ((x / 23 + y / 31) % 2 ? 0.3f : -0.3f));
  }
  const std::vector<std::vector<float>> want = RunReference(*graph, input.data());
  ASSERT_EQ(want.size(), net.scale.size());
  for (int threads : {1, 2}) {
    PlanOptions options;
    options.threads = threads;
    auto plan = Plan::Create(*graph, options);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    (*plan)->Run(input.data());
    for (size_t i = 0; i < want.size(); ++i) {
      std::vector<float> got;
      (*plan)->CopyOutput(static_cast<int>(i), &got);
      ASSERT_EQ(got.size(), want[i].size());
      float worst = 0;
      for (size_t k = 0; k < got.size(); ++k) {
        const float d = std::fabs(got[k] - want[i][k]);
        worst = std::isfinite(d) ? std::max(worst, d) : INFINITY;
      }
      EXPECT_LT(worst, 1e-4f * net.scale[i]) << "output " << i << ", threads " << threads;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Nets, NetParity,
                         testing::Values(Net{"face_detector_rfb320.onnx", {"319", "333", "365", "379", "405", "419", "437", "449"}, std::vector<float>(8, 10)},  // logits
                                         Net{"face_detector_blazeface256.onnx", {}, {10, 10, 256, 256}}, Net{"landmarks68.onnx", {}, {1}}, Net{"face_mesh468.tflite", {}, {192, 10}},
                                         Net{"embedder_mobilefacenet.onnx", {"output", "507"}, {1, 1}}),
                         [](const auto& info) {
                           std::string name = info.param.file;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace mfs

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) mfs::folder = argv[1];
  return RUN_ALL_TESTS();
}
