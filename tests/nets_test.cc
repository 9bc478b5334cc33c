// Every network but the IDN: our plan at every CPU level against ONNX Runtime and the scalar reference (double sums).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <random>

#include "base/file.h"
#include "face/face_finder.h"
#include "face/face_mesh.h"
#include "face/face_nets.h"
#include "identity/embedder.h"
#include "identity/evaluation.h"
#include "identity/iin.h"
#include "media/picture.h"
#include "media_files.h"
#include "nn/cpu_level.h"
#include "nn/graph_reference.h"
#include "oracle/ort_session.h"
#include "weights/model_store.h"
#include "weights/onnx_graph.h"

namespace mfs {
namespace {

using Values = std::vector<float>;

class Nets : public testing::Test {
 protected:
  void SetUp() override {
    auto s = ModelStore::Open({});
    ASSERT_TRUE(s.ok()) << s.status().message();
    store = std::make_unique<ModelStore>(std::move(*s));
  }

  // Something smooth with edges and noise, in [low, high], channels innermost.
  static Values Picture(const MapShape& s, float low, float high) {
    std::mt19937 rng(4);
    std::uniform_real_distribution<float> noise(-0.1f, 0.1f);
    Values v;
    for (int y = 0; y < s.height; ++y) {
      for (int x = 0; x < s.width; ++x) {
        for (int c = 0; c < s.channels; ++c) {
          float t = 0.5f + 0.3f * std::sin(0.07f * x + c) * std::cos(0.05f * y) + noise(rng) + ((x / 23 + y / 31) % 2 ? 0.1f : -0.1f);
          t = std::min(std::max(t, 0.0f), 1.0f);
          v.push_back(low + t * (high - low));
        }
      }
    }
    return v;
  }
  static Values Planes(const Values& v, int channels) {
    const size_t pixels = v.size() / channels;
    Values out(v.size());
    for (size_t p = 0; p < pixels; ++p) {
      for (int c = 0; c < channels; ++c) out[c * pixels + p] = v[p * channels + c];
    }
    return out;
  }

  // Outputs are compared in units of scale[i].
  void Compare(const StatusOr<Graph>& graph, float low, float high, const std::function<std::vector<Values>(const Values& input)>& oracle, const std::vector<float>& scale) {
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    const Values input = Picture(graph->layers[0].shape, low, high);
    const std::vector<Values> reference = RunReference(*graph, input.data());
    if (oracle != nullptr) ExpectClose(reference, oracle(input), scale, "ONNX Runtime against the reference");
    for (const std::string& level : CpuLevels()) {
      PlanOptions options;
      options.cpu = level;
      auto plan = Plan::Create(*graph, options);
      ASSERT_TRUE(plan.ok()) << plan.status().message();
      (*plan)->Run(input.data());
      std::vector<Values> got(graph->outputs.size());
      for (size_t i = 0; i < got.size(); ++i) (*plan)->CopyOutput(static_cast<int>(i), &got[i]);
      ExpectClose(got, reference, scale, level);
    }
  }
  static void ExpectClose(const std::vector<Values>& got, const std::vector<Values>& want, const std::vector<float>& scale, const std::string& what) {
    ASSERT_EQ(got.size(), want.size()) << what;
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].size(), want[i].size()) << what;
      float worst = 0;
      for (size_t k = 0; k < got[i].size(); ++k) worst = std::max(worst, std::isfinite(got[i][k]) ? std::fabs(got[i][k] - want[i][k]) : INFINITY);
      EXPECT_LT(worst / scale[i % scale.size()], 1e-4f) << what << ", output " << i;
    }
  }
  static std::vector<Values> RunOrt(const std::string& file, const std::vector<std::string>& extra, const Values& input, const std::vector<int64_t>& shape) {
    std::vector<Values> outputs;
    auto session = OrtSession::Create(file, extra);
    EXPECT_TRUE(session.ok()) << session.status().message();
    if (session.ok()) {
      EXPECT_TRUE((*session)->Run(input.data(), shape, &outputs).ok());
    }
    return outputs;
  }
  // The graph itself in ONNX Runtime.
  static std::vector<Values> RunWritten(const Graph& graph, const Values& input) {
    auto onnx = GraphToOnnx(graph);
    EXPECT_TRUE(onnx.ok()) << onnx.status().message();
    const MapShape& s = graph.layers[0].shape;
    std::vector<Values> outputs = RunOrt(*onnx, {}, Planes(input, s.channels), {1, s.channels, s.height, s.width});
    for (size_t i = 0; i < outputs.size(); ++i) {
      const MapShape& o = graph.layers[graph.outputs[i]].shape;
      outputs[i] = Planes(outputs[i], o.height * o.width);  // the same turn, the other way round
    }
    return outputs;
  }

  std::unique_ptr<ModelStore> store;
};

TEST_F(Nets, Embedder) {
  auto graph = LoadEmbedderGraph(*store);
  Compare(graph, -1, 1,
          [&](const Values& input) {
            auto out = RunOrt(*store->Load("embedder_mobilefacenet.onnx"), {"507"}, Planes(input, 3), {1, 3, 112, 112});
            out[1] = Planes(out[1], 49);
            return out;
          },
          {1});
  auto plan = Plan::Create(*graph, {});
  ASSERT_TRUE(plan.ok());
  EXPECT_LT((*plan)->macs(), 0.65 * graph->Macs()) << "dead channels are computed";
}

TEST_F(Nets, Landmarks) {
  Compare(LoadLandmarkGraph(*store), 0, 1, [&](const Values& input) { return RunOrt(*store->Load("landmarks68.onnx"), {}, input, {1, 1, 64, 64}); }, {1});
}

TEST_F(Nets, BlazeFace) {
  // Logits, and pixels of 256.
  Compare(LoadBlazeGraph(*store), -1, 1, [&](const Values& input) { return RunOrt(*store->Load("face_detector_blazeface256.onnx"), {}, input, {1, 256, 256, 3}); }, {10, 10, 256, 256});
}

TEST_F(Nets, Rfb) {
  auto graph = LoadRfbGraph(*store);
  Compare(graph, -1, 1, nullptr, {10});
  const Values input = Picture(graph->layers[0].shape, -1, 1);
  const std::vector<Values> want = RunOrt(*store->Load("face_detector_rfb320.onnx"), {}, Planes(input, 3), {1, 3, kRfbHeight, kRfbWidth});
  ASSERT_EQ(want.size(), 2u);
  for (const std::string& level : CpuLevels()) {
    PlanOptions options;
    options.cpu = level;
    auto plan = Plan::Create(*graph, options);
    ASSERT_TRUE(plan.ok());
    (*plan)->Run(input.data());
    std::vector<RfbBox> boxes;
    DecodeRfb(**plan, -1, &boxes);
    ASSERT_EQ(boxes.size(), static_cast<size_t>(kRfbAnchors));
    float worst = 0;
    for (int i = 0; i < kRfbAnchors; ++i) {
      const float* b = &want[1][4 * i];
      for (float d : {boxes[i].score - want[0][2 * i + 1], boxes[i].box.x0 - b[0], boxes[i].box.y0 - b[1], boxes[i].box.x1 - b[2], boxes[i].box.y1 - b[3]}) worst = std::max(worst, std::fabs(d));
    }
    EXPECT_LT(worst, 1e-4f) << level;
  }
}

TEST_F(Nets, Mesh) {
  auto graph = LoadMeshGraph(*store);
  Compare(graph, 0, 1, [&](const Values& input) { return RunWritten(*graph, input); }, {192, 10});
}

TEST_F(Nets, EvaluationEmbedders) {
  auto first = LoadEvaluationGraph1(*store), second = LoadEvaluationGraph2(*store);
  Compare(first, -1, 1, [&](const Values& input) { return RunWritten(*first, input); }, {1});
  Compare(second, -0.45f, 0.55f, [&](const Values& input) { return RunWritten(*second, input); }, {1});
}

TEST_F(Nets, InjectionNetwork) {
  auto file = SafetensorsFile::Open(store->models_dir() + "/mfs-slim-224.safetensors");
  ASSERT_TRUE(file.ok());
  Compare(InjectionNetwork::LoadGraph(*file), -1, 2, nullptr, {1});
}

// bench/models lists the layers as the plans run them; plan_test.cc reads it. MFS_WRITE_LAYERS=1 writes it anew.
TEST_F(Nets, LayerListsAreUpToDate) {
  const auto file = SafetensorsFile::Open(store->models_dir() + "/mfs-slim-224.safetensors");
  ASSERT_TRUE(file.ok());
  std::vector<std::pair<std::string, StatusOr<Graph>>> nets;
  nets.emplace_back("mobilefacenet", LoadEmbedderGraph(*store));
  nets.emplace_back("rfb", LoadRfbGraph(*store));
  nets.emplace_back("landmarks", LoadLandmarkGraph(*store));
  nets.emplace_back("blazeface", LoadBlazeGraph(*store));
  nets.emplace_back("mesh", LoadMeshGraph(*store));
  nets.emplace_back("iin", InjectionNetwork::LoadGraph(*file));
  static const char* const kOps[] = {"input", "conv", "depthwise", "maxpool", "averagepool", "add", "join", "activation", "groupnorm", "upsample", "pad"};
  static const char* const kActivations[] = {"none", "relu", "relu6", "prelu"};
  const auto text = [](const MapShape& s) { return std::to_string(s.height) + "x" + std::to_string(s.width) + "x" + std::to_string(s.channels); };
  for (auto& [name, graph] : nets) {
    ASSERT_TRUE(graph.ok()) << name;
    graph->Simplify();
    std::string list = "# " + name + ": layers in the order of execution: kernel, stride, dilation, padding (top bottom left right), input -> output, activation, sum with a shortcut\n";
    for (size_t i = 1; i < graph->layers.size(); ++i) {
      const GraphLayer& l = graph->layers[i];
      const Window& w = l.window;
      list += kOps[static_cast<int>(l.op)];
      if (l.op == LayerOp::kConv || l.op == LayerOp::kDepthwise || l.op == LayerOp::kMaxPool || l.op == LayerOp::kAveragePool) {
        list += " " + std::to_string(w.height) + "x" + std::to_string(w.width) + " stride " + std::to_string(w.stride) + " dilation " + std::to_string(w.dilation) + " pad " +
                std::to_string(w.pad.top) + " " + std::to_string(w.pad.bottom) + " " + std::to_string(w.pad.left) + " " + std::to_string(w.pad.right) + ",";
      }
      list += " " + text(graph->layers[l.inputs[0]].shape) + " -> " + text(l.shape) + " " + kActivations[static_cast<int>(l.activation)] +
              (l.op == LayerOp::kConv && l.inputs.size() > 1 ? " sum" : "") + "\n";
    }
    const std::string path = MFS_SOURCE_DIR "/bench/models/" + name + ".txt";
    if (std::getenv("MFS_WRITE_LAYERS") != nullptr) {
      ASSERT_TRUE(WriteFileAtomically(path, list.data(), list.size()).ok()) << path;
    }
    const auto there = ReadFile(path);
    EXPECT_EQ(there.ok() ? *there : "", list) << "run mfs_nets_test with MFS_WRITE_LAYERS=1";
  }
}

// The TFLite file is read rightly: the mesh lies where the 68 points lie.
TEST_F(Nets, MeshAgreesWithTheLandmarks) {
  auto picture = ReadPicture(MediaFile("sample6.jpg"));
  ASSERT_TRUE(picture.ok()) << picture.status().message();
  auto finder = FaceFinder::Create(*store);
  auto mesher = FaceMesher::Create(*store);
  ASSERT_TRUE(finder.ok() && mesher.ok());
  const FrameView view = picture->View();
  auto faces = (*finder)->Find(view);
  ASSERT_TRUE(faces.ok());
  ASSERT_FALSE(faces->empty());
  const Face& face = faces->front();
  auto mesh = (*mesher)->Run(view, face);
  ASSERT_TRUE(mesh.ok());
  EXPECT_GT(mesh->score, 0.9f);
  const auto points = FivePoints(mesh->points);
  const float eyes = Distance(face.points[0], face.points[1]);
  for (int i = 0; i < 5; ++i) EXPECT_LT(Distance(points[i], face.points[i]), 0.15f * eyes) << i;
}

}  // namespace
}  // namespace mfs
