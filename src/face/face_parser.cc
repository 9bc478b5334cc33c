#include "face/face_parser.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "nn/plan.h"

namespace mfs {
namespace {

constexpr char kModel[] = "face-parser.safetensors";
constexpr Padding kAround = {1, 1, 1, 1};

// Adds the layers of the network, with the weights of the file, one after another.
class Builder {
 public:
  Builder(const SafetensorsFile& file, Graph* graph) : file_(file), graph_(*graph) {}

  // The file has out x in x kernel x kernel, the graph wants kernel x kernel x in x out.
  StatusOr<int> Conv(int x, const std::string& name, int out, int in, int kernel, int stride, bool activate) {
    std::vector<int64_t> shape = {out, in};
    if (kernel > 1) shape.insert(shape.end(), {kernel, kernel});
    MFS_ASSIGN_OR_RETURN(const std::vector<float> w, file_.ReadFloat(name + ".weight", shape));
    MFS_ASSIGN_OR_RETURN(std::vector<float> bias, file_.ReadFloat(name + ".bias", {out}));
    const int taps = kernel * kernel;
    std::vector<float> weight(w.size());
    for (int o = 0; o < out; ++o) {
      for (int i = 0; i < in; ++i) {
        for (int t = 0; t < taps; ++t) weight[(static_cast<size_t>(t) * in + i) * out + o] = w[(static_cast<size_t>(o) * in + i) * taps + t];
      }
    }
    Window window{kernel, kernel, stride, 1, {}};
    if (kernel > 1) window.pad = kAround;
    MFS_ASSIGN_OR_RETURN(x, graph_.Conv(x, window, std::move(weight), std::move(bias)));
    return activate ? graph_.Activate(x, Activation::kPrelu, std::vector<float>(out, 0.1f)) : StatusOr<int>(x);
  }

  StatusOr<int> Block(int x, const std::string& name, const ParserBlock& b) {
    MFS_ASSIGN_OR_RETURN(const std::vector<float> w, file_.ReadFloat(name + ".depthwise.weight", {b.in, 3, 3}));
    std::vector<float> weight(w.size());
    for (int c = 0; c < b.in; ++c) {
      for (int t = 0; t < 9; ++t) weight[static_cast<size_t>(t) * b.in + c] = w[static_cast<size_t>(c) * 9 + t];
    }
    MFS_ASSIGN_OR_RETURN(int y, graph_.Depthwise(x, {3, 3, b.stride, 1, kAround}, std::move(weight), std::vector<float>(b.in, 0.0f)));
    MFS_ASSIGN_OR_RETURN(y, Conv(y, name + ".pointwise", b.out, b.in, 1, 1, true));
    return b.residual() ? graph_.Add(y, x) : StatusOr<int>(y);
  }

 private:
  const SafetensorsFile& file_;
  Graph& graph_;
};

StatusOr<Graph> BuildGraph(const SafetensorsFile& f) {
  if (f.Metadata("format") != "mobilefaceswap-parser") return CorruptData("this is no face parser of MobileFaceSwap (its metadata has no format mobilefaceswap-parser)");
  if (f.Metadata("version") != "1") return Unsupported("the face parser has version '" + f.Metadata("version") + "'; this program reads version 1");
  Graph graph;
  Builder add(f, &graph);
  MFS_ASSIGN_OR_RETURN(int x, graph.Input({kParserInput, kParserInput, 3}));
  MFS_ASSIGN_OR_RETURN(const int stem, add.Conv(x, "stem", kParserStem, 3, 3, 2, true));
  x = stem;
  std::vector<int> maps;
  for (size_t i = 0; i < kParserEncoder.size(); ++i) {
    MFS_ASSIGN_OR_RETURN(x, add.Block(x, "encoder." + std::to_string(i), kParserEncoder[i]));
    maps.push_back(x);
  }
  for (size_t i = 0; i < kParserDecoder.size(); ++i) {
    const ParserStep& s = kParserDecoder[i];
    const std::string name = "decoder." + std::to_string(i);
    MFS_ASSIGN_OR_RETURN(x, add.Conv(x, name + ".narrow", s.out, s.in, 1, 1, true));
    MFS_ASSIGN_OR_RETURN(x, graph.Upsample(x));
    MFS_ASSIGN_OR_RETURN(x, graph.Concat({x, kParserSkips[i] < 0 ? stem : maps[kParserSkips[i]]}));
    for (int r = 0; r <= s.refine; ++r) {
      MFS_ASSIGN_OR_RETURN(x, add.Block(x, name + ".block." + std::to_string(r), {r == 0 ? 2 * s.out : s.out, s.out, 1}));
    }
  }
  MFS_ASSIGN_OR_RETURN(x, add.Conv(x, "head", kParserLogits, kParserStem, 1, 1, false));
  graph.outputs = {x};
  return graph;
}

}  // namespace

const std::array<const char*, kFaceParts> kFacePartNames = {"background", "skin", "brow", "eye", "nose", "lips", "mouth", "glasses", "hair", "hat", "neck", "ear", "occluder"};

struct FaceParser::Impl {
  std::unique_ptr<Plan> plan;
};

FaceParser::FaceParser(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FaceParser::~FaceParser() = default;

StatusOr<std::unique_ptr<FaceParser>> FaceParser::Create(const SafetensorsFile& file, const PlanOptions& options) {
  auto impl = std::make_unique<Impl>();
  MFS_ASSIGN_OR_RETURN(Graph graph, BuildGraph(file));
  MFS_ASSIGN_OR_RETURN(impl->plan, Plan::Create(std::move(graph), options));
  return std::unique_ptr<FaceParser>(new FaceParser(std::move(impl)));
}

StatusOr<std::unique_ptr<FaceParser>> FaceParser::Create(const ModelStore& store, const PlanOptions& options) {
  MFS_ASSIGN_OR_RETURN(std::string bytes, store.Load(kModel));
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::FromBuffer(std::move(bytes)));
  return Create(file, options);
}

Status FaceParser::Run(const float* crop, ImageF* probabilities) {
  Plan& plan = *impl_->plan;
  const MapView& in = plan.input();
  constexpr int kPixels = kParserInput * kParserInput;
  for (int y = 0; y < kParserInput; ++y) {
    const float* row = crop + static_cast<ptrdiff_t>(y) * kParserInput;
    for (int x = 0; x < kParserInput; ++x) {
      float* p = in.at(y, x);
      for (int c = 0; c < 3; ++c) p[c] = 2 * row[c * kPixels + x] - 1;
    }
  }
  plan.Run();
  const MapView& out = plan.output(0);
  probabilities->Reset(kParserOutput, kParserOutput, kFaceParts);
  for (int y = 0; y < kParserOutput; ++y) {
    for (int x = 0; x < kParserOutput; ++x) {
      const float* logits = out.at(y, x);
      float e[kFaceParts], most = logits[0], sum = 0;
      for (int k = 1; k < kFaceParts; ++k) most = std::max(most, logits[k]);
      for (int k = 0; k < kFaceParts; ++k) sum += e[k] = std::exp(logits[k] - most);
      for (int k = 0; k < kFaceParts; ++k) probabilities->row(k, y)[x] = e[k] / sum;
    }
  }
  return Status::Ok();
}

void ResizePlane(const ImageF& plane, int size, ImageF* out) {
  const int w = plane.width(), h = plane.height();
  out->Reset(size, size, 1);
  if (w == size && h == size) {
    std::copy_n(plane.data(), plane.plane_size(), out->data());
    return;
  }
  const auto place = [size](int i, int from, int* low, int* high, float* t) {
    const float at = std::clamp((i + 0.5f) * from / size - 0.5f, 0.0f, from - 1.0f);
    *low = static_cast<int>(at);
    *high = std::min(*low + 1, from - 1);
    *t = at - *low;
  };
  for (int y = 0; y < size; ++y) {
    int y0, y1, x0, x1;
    float fy, fx;
    place(y, h, &y0, &y1, &fy);
    const float *upper = plane.row(0, y0), *lower = plane.row(0, y1);
    for (int x = 0; x < size; ++x) {
      place(x, w, &x0, &x1, &fx);
      const float top = upper[x0] + fx * (upper[x1] - upper[x0]), bottom = lower[x0] + fx * (lower[x1] - lower[x0]);
      out->row(0, y)[x] = top + fy * (bottom - top);
    }
  }
}

void VisibleFace(const ImageF& probabilities, const VisibleOptions& options, int size, ImageF* visible) {
  ImageF sum(probabilities.width(), probabilities.height(), 1);
  std::fill(sum.vector().begin(), sum.vector().end(), 0.0f);
  const auto add = [&](FacePart part, float weight) {
    const float* p = probabilities.plane(static_cast<int>(part));
    for (size_t i = 0; i < sum.plane_size(); ++i) sum.data()[i] += weight * p[i];
  };
  for (FacePart part : {FacePart::kSkin, FacePart::kBrow, FacePart::kEye, FacePart::kNose, FacePart::kLips, FacePart::kMouth}) add(part, 1);
  if (options.glasses > 0) add(FacePart::kGlasses, options.glasses);
  for (float& v : sum.vector()) v = std::min(v, 1.0f);
  ResizePlane(sum, size, visible);
}

}  // namespace mfs
