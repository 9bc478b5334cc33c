#include "identity/iin.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

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

// A CHW map of a few pixels.
struct Map {
  int channels = 0, side = 0;
  std::vector<float> data;
};

// out[o][p] = bias[o] + sum_k weight[o][k] * columns[k][p], with the pixels in the innermost loop so that they vectorise.
template <int kPixels>
void Gemm(const Conv& c, const std::vector<float>& columns, float* out) {
  const int depth = c.in * c.kernel * c.kernel;
  for (int o = 0; o < c.out; ++o) {
    float sum[kPixels];
    for (int p = 0; p < kPixels; ++p) sum[p] = c.bias[o];
    const float* w = c.weight.data() + static_cast<size_t>(o) * depth;
    const float* x = columns.data();
    for (int k = 0; k < depth; ++k, x += kPixels) {
      const float wk = w[k];
      for (int p = 0; p < kPixels; ++p) sum[p] += wk * x[p];
    }
    std::copy(sum, sum + kPixels, out + static_cast<size_t>(o) * kPixels);
  }
}

Map Convolve(const Conv& c, const Map& in, int pad) {
  Map out;
  out.channels = c.out;
  out.side = in.side + 2 * pad - c.kernel + 1;
  const int pixels = out.side * out.side;
  out.data.resize(static_cast<size_t>(c.out) * pixels);
  std::vector<float> columns(static_cast<size_t>(c.in) * c.kernel * c.kernel * pixels);
  float* column = columns.data();
  for (int i = 0; i < c.in; ++i) {
    const float* plane = in.data.data() + static_cast<size_t>(i) * in.side * in.side;
    for (int ky = 0; ky < c.kernel; ++ky) {
      for (int kx = 0; kx < c.kernel; ++kx) {
        for (int y = 0; y < out.side; ++y) {
          for (int x = 0; x < out.side; ++x) {
            const int sy = y + ky - pad, sx = x + kx - pad;
            *column++ = sy >= 0 && sx >= 0 && sy < in.side && sx < in.side ? plane[sy * in.side + sx] : 0.0f;
          }
        }
      }
    }
  }
  switch (pixels) {
    case 49: Gemm<49>(c, columns, out.data.data()); break;
    case 16: Gemm<16>(c, columns, out.data.data()); break;
    case 9: Gemm<9>(c, columns, out.data.data()); break;
  }
  return out;
}

void LeakyRelu(Map* m) {
  for (float& v : m->data) v = v > 0 ? v : kLeakySlope * v;
}

void Normalise(const Norm& n, float eps, Map* m) {
  const int pixels = m->side * m->side;
  if (n.groups == 0) {
    for (int c = 0; c < m->channels; ++c) {
      const float k = n.scale[c] / std::sqrt(n.variance[c] + eps), b = n.shift[c] - n.mean[c] * k;
      for (int p = 0; p < pixels; ++p) m->data[c * pixels + p] = m->data[c * pixels + p] * k + b;
    }
    return;
  }
  const int per_group = m->channels / n.groups, count = per_group * pixels;
  for (int g = 0; g < n.groups; ++g) {
    float* x = m->data.data() + static_cast<size_t>(g) * count;
    double sum = 0, squares = 0;
    for (int i = 0; i < count; ++i) sum += x[i];
    const double mean = sum / count;
    for (int i = 0; i < count; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const double inverse = 1 / std::sqrt(squares / count + eps);
    for (int i = 0; i < count; ++i) {
      const int c = g * per_group + i / pixels;
      x[i] = static_cast<float>((x[i] - mean) * inverse) * n.scale[c] + n.shift[c];
    }
  }
}

// Scale and shift of a batch norm behind a convolution, folded into it.
void FoldBatchNorm(const Norm& n, float eps, int per_output, std::vector<float>* weight, std::vector<float>* bias) {
  for (size_t o = 0; o < bias->size(); ++o) {
    const float k = n.scale[o] / std::sqrt(n.variance[o] + eps);
    for (int i = 0; i < per_output; ++i) (*weight)[o * per_output + i] *= k;
    (*bias)[o] = ((*bias)[o] - n.mean[o]) * k + n.shift[o];
  }
}

struct Modulation {
  std::vector<float> weight, bias;     // C_in x 512, C_in
  std::vector<float> pointwise;        // C_out x C_in, shared by all identities
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
  PredictedKernels base;             // empty vectors where the file has none
  std::array<Modulation, 5> encoder_modulation;
  std::array<Modulation, 4> decoder_modulation;
  IdnWeights shared;                 // head and fusion, folded; the dynamic blocks are filled per identity

  Status Load(const SafetensorsFile& file);
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
  for (const Number& n : {Number{"f_scale", &f_scale}, {"z_scale", &z_scale}, {"kernel_scale", &kernel_scale}, {"demodulation_gain", &gain},
                          {"modulation_eps", &modulation_eps}, {"norm_eps", &norm_eps}}) {
    const std::string text = f.Metadata(n.key);
    if (text.empty()) continue;  // the public checkpoint's constants are the defaults
    char* end = nullptr;
    *n.value = std::strtof(text.c_str(), &end);
    if (*end != '\0' || !std::isfinite(*n.value) || *n.value < 0) return CorruptData(std::string("the model's ") + n.key + " is no number");
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

  shared = EmptyIdnWeights();
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

StatusOr<std::unique_ptr<InjectionNetwork>> InjectionNetwork::Create(const SafetensorsFile& file) {
  auto impl = std::make_unique<Impl>();
  MFS_RETURN_IF_ERROR(impl->Load(file));
  return std::unique_ptr<InjectionNetwork>(new InjectionNetwork(std::move(impl)));
}

PredictedKernels InjectionNetwork::PredictKernels(const float* map) const {
  const Impl& m = *impl_;
  Map x{512, 7, std::vector<float>(map, map + 512 * 49)};
  for (float& v : x.data) v *= m.f_scale;
  if (m.has_reduce) {
    x = Convolve(m.reduce, x, 0);
    LeakyRelu(&x);
  }
  x = Convolve(m.first, x, 0);
  Normalise(m.first_norm, m.norm_eps, &x);
  LeakyRelu(&x);

  PredictedKernels result;
  const auto chain = [&](Map state, const ConvBlock* blocks, int count, const auto& emit) {
    for (int k = 0; k < count; ++k) {
      state = Convolve(blocks[k].conv, state, 1);
      Normalise(blocks[k].norm, m.norm_eps, &state);
      LeakyRelu(&state);
      emit(k, Convolve(blocks[k].kernels, state, 1).data);
    }
  };
  const auto finish = [&](std::vector<float> kernels, const std::vector<float>& base) {
    for (size_t i = 0; i < kernels.size(); ++i) kernels[i] = m.kernel_scale * kernels[i] + (base.empty() ? 0.0f : base[i]);
    return kernels;
  };
  chain(x, m.encoder.data(), 5, [&](int k, std::vector<float> out) { result.encoder[4 - k] = finish(std::move(out), m.base.encoder[4 - k]); });
  Map y = Convolve(m.first_decoder, x, 0);
  Normalise(m.first_decoder_norm, m.norm_eps, &y);
  LeakyRelu(&y);
  chain(y, m.decoder.data(), 4, [&](int k, std::vector<float> out) { result.decoder[k] = finish(std::move(out), m.base.decoder[k]); });
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
