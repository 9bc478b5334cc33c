#include "identity/iin.h"

#include <algorithm>
#include <cmath>
#include <locale>
#include <sstream>

namespace mfs {
namespace {

struct Conv {
  int out = 0, in = 0, kernel = 0;
  std::vector<float> weight, bias;
};

// Group norm (groups > 0) or batch norm with running statistics (groups == 0).
struct Norm {
  int groups = 0;
  std::vector<float> scale, shift, mean, variance;
};

struct ConvBlock {
  Conv conv, kernels;
  Norm norm;
};

// Scale and shift of a batch norm behind a convolution, folded into it.
void FoldBatchNorm(const Norm& n, float eps, int per_output, std::vector<float>* weight, std::vector<float>* bias) {
  for (size_t o = 0; o < bias->size(); ++o) {
    const float k = n.scale[o] / std::sqrt(n.variance[o] + eps);
    for (int i = 0; i < per_output; ++i) (*weight)[o * per_output + i] *= k;
    (*bias)[o] = ((*bias)[o] - n.mean[o]) * k + n.shift[o];
  }
}

// c, its norm and LeakyReLU behind layer `in`; with norm null the convolution alone.
StatusOr<int> AddConv(Graph* g, int in, const Conv& c, int pad, const Norm* norm, float eps, bool activate) {
  std::vector<float> weight = c.weight, bias = c.bias;
  const size_t taps = static_cast<size_t>(c.kernel) * c.kernel;
  if (norm != nullptr && norm->groups == 0) FoldBatchNorm(*norm, eps, static_cast<int>(c.in * taps), &weight, &bias);
  std::vector<float> packed(weight.size());  // out, in, tap -> tap, in, out
  for (int o = 0; o < c.out; ++o) {
    for (int i = 0; i < c.in; ++i) {
      for (size_t t = 0; t < taps; ++t) packed[(t * c.in + i) * c.out + o] = weight[(static_cast<size_t>(o) * c.in + i) * taps + t];
    }
  }
  MFS_ASSIGN_OR_RETURN(int x, g->Conv(in, {c.kernel, c.kernel, 1, 1, {pad, pad, pad, pad}}, std::move(packed), std::move(bias)));
  if (norm != nullptr && norm->groups > 0) {
    MFS_ASSIGN_OR_RETURN(x, g->GroupNorm(x, norm->groups, eps, norm->scale, norm->shift));
  }
  if (!activate) return x;
  return g->Activate(x, Activation::kPrelu, std::vector<float>(c.out, kLeakySlope));
}

struct Modulation {
  std::vector<float> weight, bias;  // C_in x 512, C_in
  std::vector<float> pointwise;     // C_out x C_in, shared by all identities
};

}  // namespace

struct InjectionNetwork::Impl {
  bool has_reduce = false, composite = false;
  float f_scale = 1, z_scale = 1, kernel_scale = 1, gain = 1, modulation_eps = 1e-16f, norm_eps = 1e-5f;
  int groups = 0;
  Conv reduce, first, first_decoder;
  Norm first_norm, first_decoder_norm;
  std::array<ConvBlock, 5> encoder;  // in chain order: block 0 predicts the IDN's last encoder kernels
  std::array<ConvBlock, 4> decoder;
  PredictedKernels base;  // empty vectors where the file has none
  std::array<Modulation, 5> encoder_modulation;
  std::array<Modulation, 4> decoder_modulation;
  IdnWeights shared;  // head and fusion, folded; the dynamic blocks are filled per identity

  std::unique_ptr<Plan> plan;  // map -> the kernels of encoder[0..4] in chain order, then of decoder[0..3]

  Status Load(const SafetensorsFile& file);
  StatusOr<Graph> BuildGraph() const;
  Status LoadConv(const SafetensorsFile& f, const std::string& name, int64_t out, int64_t in, int kernel, Conv* c);
  Status LoadNorm(const SafetensorsFile& f, const std::string& name, int groups, int64_t channels, Norm* n);
  Status LoadBlock(const SafetensorsFile& f, const std::string& name, int in, int kernels, ConvBlock* b);
  Status LoadModulation(const SafetensorsFile& f, const std::string& which, int in, int out, Modulation* m);
  void Fold(const Modulation& m, const float* z, std::vector<float> kernels, SeparableWeights* w) const;
};

Status InjectionNetwork::Impl::LoadConv(const SafetensorsFile& f, const std::string& name, int64_t out, int64_t in, int kernel, Conv* c) {
  MFS_ASSIGN_OR_RETURN(c->weight, f.ReadFloat(name + ".weight", {out, in, kernel, kernel}));
  const TensorView* t = f.Find(name + ".weight");
  c->out = static_cast<int>(t->shape[0]);
  c->in = static_cast<int>(t->shape[1]);
  c->kernel = kernel;
  if (f.Find(name + ".bias") == nullptr) {
    c->bias.assign(c->out, 0);
    return Status::Ok();
  }
  MFS_ASSIGN_OR_RETURN(c->bias, f.ReadFloat(name + ".bias", {c->out}));
  return Status::Ok();
}

Status InjectionNetwork::Impl::LoadNorm(const SafetensorsFile& f, const std::string& name, int groups_wanted, int64_t channels, Norm* n) {
  n->groups = groups_wanted;
  if (groups_wanted > 0 && channels % groups_wanted != 0) return CorruptData(name + ": the channels do not split into the groups");
  MFS_ASSIGN_OR_RETURN(n->scale, f.ReadFloat(name + ".weight", {channels}));
  MFS_ASSIGN_OR_RETURN(n->shift, f.ReadFloat(name + ".bias", {channels}));
  if (groups_wanted > 0) return Status::Ok();
  MFS_ASSIGN_OR_RETURN(n->mean, f.ReadFloat(name + ".running_mean", {channels}));
  MFS_ASSIGN_OR_RETURN(n->variance, f.ReadFloat(name + ".running_var", {channels}));
  for (float v : n->variance) {
    if (v < 0) return CorruptData(name + ": a variance is negative");
  }
  return Status::Ok();
}

Status InjectionNetwork::Impl::LoadBlock(const SafetensorsFile& f, const std::string& name, int in, int kernels, ConvBlock* b) {
  MFS_RETURN_IF_ERROR(LoadConv(f, name + ".conv", -1, in, 3, &b->conv));
  MFS_RETURN_IF_ERROR(LoadNorm(f, name + ".norm", groups, b->conv.out, &b->norm));
  return LoadConv(f, name + ".kernels", kernels, b->conv.out, 3, &b->kernels);
}

Status InjectionNetwork::Impl::LoadModulation(const SafetensorsFile& f, const std::string& which, int in, int out, Modulation* m) {
  MFS_ASSIGN_OR_RETURN(m->weight, f.ReadFloat("iin.modulation." + which + ".weight", {in, 512}));
  MFS_ASSIGN_OR_RETURN(m->bias, f.ReadFloat("iin.modulation." + which + ".bias", {in}));
  MFS_ASSIGN_OR_RETURN(m->pointwise, f.ReadFloat("idn." + which + ".pointwise.weight", {out, in}));
  return Status::Ok();
}

Status InjectionNetwork::Impl::Load(const SafetensorsFile& f) {
  if (f.Metadata("format") != "mobilefaceswap-model") {
    return CorruptData("this is no MobileFaceSwap model (its metadata has no format mobilefaceswap-model)");
  }
  if (f.Metadata("version") != "1") return Unsupported("the model has version '" + f.Metadata("version") + "'; this program reads version 1");
  const std::string norm = f.Metadata("iin_norm"), normalisation = f.Metadata("normalisation");
  if (norm == "group8") {
    groups = 8;
  } else if (norm != "batch") {
    return Unsupported("the model's iin_norm is '" + norm + "'; group8 and batch are known");
  }
  composite = normalisation == "composite-l1";
  if (!composite && normalisation != "demodulation") {
    return Unsupported("the model's normalisation is '" + normalisation + "'; composite-l1 and demodulation are known");
  }
  struct Number {
    const char* key;
    float* value;
  };
  for (const Number& n :
       {Number{"f_scale", &f_scale}, {"z_scale", &z_scale}, {"kernel_scale", &kernel_scale}, {"demodulation_gain", &gain}, {"modulation_eps", &modulation_eps}, {"norm_eps", &norm_eps}}) {
    const std::string text = f.Metadata(n.key);
    if (text.empty()) continue;  // the public checkpoint's constants are the defaults
    // Not strtof: in a host with a decimal comma "0.3" would be 0. (std::from_chars has no floats in emscripten's library.)
    std::istringstream in(text);
    in.imbue(std::locale::classic());
    in >> *n.value;
    if (in.fail() || !in.eof() || !std::isfinite(*n.value) || *n.value < 0) return CorruptData(std::string("the model's ") + n.key + " is no number");
  }
  int width_in = 512;
  if (f.Find("iin.reduce.weight") != nullptr) {
    has_reduce = true;
    MFS_RETURN_IF_ERROR(LoadConv(f, "iin.reduce", -1, 512, 1, &reduce));
    width_in = reduce.out;
  }
  MFS_RETURN_IF_ERROR(LoadConv(f, "iin.first", -1, width_in, 4, &first));
  MFS_RETURN_IF_ERROR(LoadNorm(f, "iin.first_norm", groups, first.out, &first_norm));
  MFS_RETURN_IF_ERROR(LoadConv(f, "iin.first_decoder", -1, first.out, 2, &first_decoder));
  MFS_RETURN_IF_ERROR(LoadNorm(f, "iin.first_decoder_norm", groups, first_decoder.out, &first_decoder_norm));
  int in = first.out;
  for (int k = 0; k < 5; ++k) {
    MFS_RETURN_IF_ERROR(LoadBlock(f, "iin.encoder." + std::to_string(k), in, kEncoderChannels[4 - k], &encoder[k]));
    in = encoder[k].conv.out;
  }
  in = first_decoder.out;
  for (int k = 0; k < 4; ++k) {
    MFS_RETURN_IF_ERROR(LoadBlock(f, "iin.decoder." + std::to_string(k), in, kDecoderIn[k], &decoder[k]));
    in = decoder[k].conv.out;
  }
  for (int i = 0; i < 5; ++i) {
    const std::string which = "encoder." + std::to_string(i), base_name = "iin.kernel_base." + which;
    MFS_RETURN_IF_ERROR(LoadModulation(f, which, kEncoderChannels[i], kEncoderChannels[i + 1], &encoder_modulation[i]));
    if (f.Find(base_name) == nullptr) continue;
    MFS_ASSIGN_OR_RETURN(base.encoder[i], f.ReadFloat(base_name, {kEncoderChannels[i], 4, 4}));
  }
  for (int i = 0; i < 4; ++i) {
    const std::string which = "decoder." + std::to_string(i), base_name = "iin.kernel_base." + which;
    MFS_RETURN_IF_ERROR(LoadModulation(f, which, kDecoderIn[i], kDecoderOut[i], &decoder_modulation[i]));
    if (f.Find(base_name) == nullptr) continue;
    MFS_ASSIGN_OR_RETURN(base.decoder[i], f.ReadFloat(base_name, {kDecoderIn[i], 3, 3}));
  }

  const char* const detail = "idn.head.detail";
  shared = EmptyIdnWeights(f.Find(std::string(detail) + ".weight") != nullptr);
  if (shared.detail.out != 0) {
    Conv c;
    MFS_RETURN_IF_ERROR(LoadConv(f, detail, shared.detail.out, shared.detail.in, 1, &c));
    shared.detail.weight = c.weight;
    shared.detail.bias = c.bias;
  }
  for (int i = 0; i < 3; ++i) {
    ConvWeights& h = shared.head[i];
    Conv c;
    MFS_RETURN_IF_ERROR(LoadConv(f, "idn.head.conv" + std::to_string(i), h.out, h.in, h.kernel, &c));
    if (i < 2) {
      Norm n;
      MFS_RETURN_IF_ERROR(LoadNorm(f, "idn.head.norm" + std::to_string(i), 0, h.out, &n));
      FoldBatchNorm(n, norm_eps, h.in * h.kernel * h.kernel, &c.weight, &c.bias);
    }
    h.weight = c.weight;
    h.bias = c.bias;
  }
  for (int i = 0; i < 5; ++i) {
    SeparableWeights& s = shared.fusion[i];
    const std::string name = "idn.fusion." + std::to_string(i);
    Conv depthwise, pointwise;
    Norm n;
    MFS_RETURN_IF_ERROR(LoadConv(f, name + ".depthwise", s.in, 1, 3, &depthwise));
    MFS_RETURN_IF_ERROR(LoadConv(f, name + ".pointwise", s.out, s.in, 1, &pointwise));
    MFS_RETURN_IF_ERROR(LoadNorm(f, name + ".norm", 0, s.out, &n));
    // A bias of the depthwise convolution passes through the matrix as one more constant.
    for (int o = 0; o < s.out; ++o) {
      for (int c = 0; c < s.in; ++c) pointwise.bias[o] += pointwise.weight[static_cast<size_t>(o) * s.in + c] * depthwise.bias[c];
    }
    FoldBatchNorm(n, norm_eps, s.in, &pointwise.weight, &pointwise.bias);
    s.depthwise = depthwise.weight;
    s.pointwise = pointwise.weight;
    s.bias = pointwise.bias;
  }
  Conv out;
  MFS_RETURN_IF_ERROR(LoadConv(f, "idn.fusion.out", 1, 2, 3, &out));
  shared.fusion_out.weight = out.weight;
  shared.fusion_out.bias = out.bias;
  return Status::Ok();
}

InjectionNetwork::InjectionNetwork(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
InjectionNetwork::~InjectionNetwork() = default;

StatusOr<Graph> InjectionNetwork::Impl::BuildGraph() const {
  Graph g;
  MFS_ASSIGN_OR_RETURN(int x, g.Input({7, 7, 512}));
  if (has_reduce) {
    MFS_ASSIGN_OR_RETURN(x, AddConv(&g, x, reduce, 0, nullptr, norm_eps, true));
  }
  MFS_ASSIGN_OR_RETURN(x, AddConv(&g, x, first, 0, &first_norm, norm_eps, true));
  MFS_ASSIGN_OR_RETURN(int y, AddConv(&g, x, first_decoder, 0, &first_decoder_norm, norm_eps, true));
  for (const ConvBlock& b : encoder) {
    MFS_ASSIGN_OR_RETURN(x, AddConv(&g, x, b.conv, 1, &b.norm, norm_eps, true));
    MFS_ASSIGN_OR_RETURN(const int kernels, AddConv(&g, x, b.kernels, 1, nullptr, norm_eps, false));
    g.outputs.push_back(kernels);
  }
  for (const ConvBlock& b : decoder) {
    MFS_ASSIGN_OR_RETURN(y, AddConv(&g, y, b.conv, 1, &b.norm, norm_eps, true));
    MFS_ASSIGN_OR_RETURN(const int kernels, AddConv(&g, y, b.kernels, 1, nullptr, norm_eps, false));
    g.outputs.push_back(kernels);
  }
  return g;
}

StatusOr<Graph> InjectionNetwork::LoadGraph(const SafetensorsFile& file) {
  Impl impl;
  MFS_RETURN_IF_ERROR(impl.Load(file));
  return impl.BuildGraph();
}

StatusOr<std::unique_ptr<InjectionNetwork>> InjectionNetwork::Create(const SafetensorsFile& file, const PlanOptions& options) {
  auto impl = std::make_unique<Impl>();
  MFS_RETURN_IF_ERROR(impl->Load(file));
  MFS_ASSIGN_OR_RETURN(Graph graph, impl->BuildGraph());
  MFS_ASSIGN_OR_RETURN(impl->plan, Plan::Create(std::move(graph), options));
  return std::unique_ptr<InjectionNetwork>(new InjectionNetwork(std::move(impl)));
}

PredictedKernels InjectionNetwork::PredictKernels(const float* map) const {
  const Impl& m = *impl_;
  const MapView& in = m.plan->input();
  for (int p = 0; p < 49; ++p) {
    for (int c = 0; c < 512; ++c) in.at(p / 7, p % 7)[c] = m.f_scale * map[c * 49 + p];
  }
  m.plan->Run();
  // Channel c's map is the kernel of channel c.
  const auto kernels = [&](int output, const std::vector<float>& base) {
    const MapView& out = m.plan->output(output);
    const int side = out.shape.width, taps = side * side;
    std::vector<float> k(out.shape.size());
    for (int t = 0; t < taps; ++t) {
      const float* from = out.at(t / side, t % side);
      for (int c = 0; c < out.shape.channels; ++c) k[static_cast<size_t>(c) * taps + t] = m.kernel_scale * from[c] + (base.empty() ? 0.0f : base[static_cast<size_t>(c) * taps + t]);
    }
    return k;
  };
  PredictedKernels result;
  for (int k = 0; k < 5; ++k) result.encoder[4 - k] = kernels(k, m.base.encoder[4 - k]);
  for (int k = 0; k < 4; ++k) result.decoder[k] = kernels(5 + k, m.base.decoder[k]);
  return result;
}

void InjectionNetwork::Impl::Fold(const Modulation& m, const float* z, std::vector<float> kernels, SeparableWeights* w) const {
  const int taps = w->kernel * w->kernel;
  std::vector<float> q(w->in);  // what channel i contributes to the normalisation
  for (int i = 0; i < w->in; ++i) {
    float dot = 0;
    for (int j = 0; j < 512; ++j) dot += m.weight[static_cast<size_t>(i) * 512 + j] * z[j];
    const float s = 1 + z_scale * dot + m.bias[i];
    float l1 = 0;
    for (int t = 0; t < taps; ++t) l1 += std::fabs(kernels[static_cast<size_t>(i) * taps + t]);
    q[i] = composite ? s * l1 : s;
    for (int t = 0; t < taps; ++t) kernels[static_cast<size_t>(i) * taps + t] *= s;
  }
  w->depthwise = std::move(kernels);
  for (int o = 0; o < w->out; ++o) {
    double sum = modulation_eps;
    for (int i = 0; i < w->in; ++i) {
      const double v = m.pointwise[static_cast<size_t>(o) * w->in + i] * q[i];
      sum += v * v;
    }
    const float d = static_cast<float>(gain / std::sqrt(sum));
    for (int i = 0; i < w->in; ++i) {
      w->pointwise[static_cast<size_t>(o) * w->in + i] = m.pointwise[static_cast<size_t>(o) * w->in + i] * d;
    }
  }
}

StatusOr<IdnWeights> InjectionNetwork::Run(const float* z, const float* map) const {
  for (int i = 0; i < 512; ++i) {
    if (!std::isfinite(z[i])) return InvalidArgument("the embedding holds NaN or infinity");
  }
  for (int i = 0; i < 512 * 49; ++i) {
    if (!std::isfinite(map[i])) return InvalidArgument("the feature map holds NaN or infinity");
  }
  PredictedKernels kernels = PredictKernels(map);
  IdnWeights w = impl_->shared;
  for (int i = 0; i < 5; ++i) impl_->Fold(impl_->encoder_modulation[i], z, std::move(kernels.encoder[i]), &w.encoder[i]);
  for (int i = 0; i < 4; ++i) impl_->Fold(impl_->decoder_modulation[i], z, std::move(kernels.decoder[i]), &w.decoder[i]);
  MFS_RETURN_IF_ERROR(ValidateIdnWeights(w));
  return w;
}

}  // namespace mfs
