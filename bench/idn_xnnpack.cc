// The IDN on XNNPACK's subgraphs (Debian's libxnnpack-dev). Channels innermost, as it wants them; its version there has no concatenation, so a block with a
// skip is the sum of two halves, which spares it the copy.
#include <pthreadpool.h>
#include <xnnpack.h>

#include <cmath>
#include <deque>

#include "nets.h"

namespace mfs::bench {
namespace {

class XnnIdn {
 public:
  static StatusOr<std::shared_ptr<XnnIdn>> Create(const IdnWeights& w, int threads) {
    auto net = std::make_shared<XnnIdn>();
    if (!net->Build(w, threads)) return Internal("XNNPACK refused the IDN");
    return net;
  }
  ~XnnIdn() {
    if (runtime_ != nullptr) xnn_delete_runtime(runtime_);
    if (subgraph_ != nullptr) xnn_delete_subgraph(subgraph_);
    if (pool_ != nullptr) pthreadpool_destroy(pool_);
  }

  Status Run(const std::vector<float>& target) {
    constexpr int kPixels = kIdnSize * kIdnSize;
    for (int p = 0; p < kPixels; ++p) {
      for (int c = 0; c < 3; ++c) in_[3 * p + c] = 2 * target[c * kPixels + p] - 1;
    }
    if (xnn_invoke_runtime(runtime_) != xnn_status_success) return Internal("XNNPACK failed");
    for (int p = 0; p < kPixels; ++p) {
      for (int c = 0; c < 3; ++c) {
        const float t = target[c * kPixels + p];
        image_[c * kPixels + p] = t + mask_[p] * (raw_[3 * p + c] - t);
      }
    }
    return Status::Ok();
  }
  const std::vector<float>& image() const { return image_; }

 private:
  struct Value {
    uint32_t id;
    int side, channels;
  };
  static constexpr float kInf = INFINITY;

  void Check(xnn_status s) { ok_ = ok_ && s == xnn_status_success; }
  uint32_t Constant(std::vector<float> values, std::vector<size_t> shape) {
    values.resize(values.size() + XNN_EXTRA_BYTES / sizeof(float));
    constants_.push_back(std::move(values));
    uint32_t id = XNN_INVALID_VALUE_ID;
    Check(xnn_define_tensor_value(subgraph_, xnn_datatype_fp32, shape.size(), shape.data(), constants_.back().data(), XNN_INVALID_VALUE_ID, 0, &id));
    return id;
  }
  Value Make(int side, int channels, uint32_t external = XNN_INVALID_VALUE_ID, uint32_t flags = 0) {
    const size_t shape[4] = {1, static_cast<size_t>(side), static_cast<size_t>(side), static_cast<size_t>(channels)};
    uint32_t id = XNN_INVALID_VALUE_ID;
    Check(xnn_define_tensor_value(subgraph_, xnn_datatype_fp32, 4, shape, nullptr, external, flags, &id));
    return {id, side, channels};
  }
  Value Upsample(Value v) {
    const Value out = Make(2 * v.side, v.channels);
    Check(xnn_define_static_resize_bilinear_2d(subgraph_, 2 * v.side, 2 * v.side, v.id, out.id, XNN_FLAG_ALIGN_CORNERS));
    return out;
  }
  // weights: channels [c0, c0 + v.channels) of channel x kernel x kernel.
  Value Depthwise(Value v, const std::vector<float>& weights, int kernel, int stride, int c0) {
    const int taps = kernel * kernel;
    std::vector<float> filter(static_cast<size_t>(taps) * v.channels);
    for (int c = 0; c < v.channels; ++c) {
      for (int t = 0; t < taps; ++t) filter[static_cast<size_t>(t) * v.channels + c] = weights[static_cast<size_t>(c0 + c) * taps + t];
    }
    const uint32_t f = Constant(filter, {1, static_cast<size_t>(kernel), static_cast<size_t>(kernel), static_cast<size_t>(v.channels)});
    const Value out = Make(v.side / stride, v.channels);
    Check(xnn_define_depthwise_convolution_2d(subgraph_, 1, 1, 1, 1, kernel, kernel, stride, stride, 1, 1, 1, v.channels, -kInf, kInf, v.id, f, XNN_INVALID_VALUE_ID, out.id, 0));
    return out;
  }
  // weights: out x in x kernel x kernel, of which the inputs [c0, c0 + v.channels) are taken.
  Value Conv(Value v, const std::vector<float>& weights, const std::vector<float>* bias, int in, int out_channels, int kernel, int c0 = 0, Value to = {XNN_INVALID_VALUE_ID, 0, 0}) {
    const int taps = kernel * kernel;
    std::vector<float> filter;
    for (int o = 0; o < out_channels; ++o) {
      for (int t = 0; t < taps; ++t) {
        for (int i = 0; i < v.channels; ++i) filter.push_back(weights[(static_cast<size_t>(o) * in + c0 + i) * taps + t]);
      }
    }
    const size_t k = kernel, n = out_channels;
    const uint32_t f = Constant(filter, {n, k, k, static_cast<size_t>(v.channels)});
    const uint32_t b = bias == nullptr ? XNN_INVALID_VALUE_ID : Constant(*bias, {n});
    const Value out = to.id != XNN_INVALID_VALUE_ID ? to : Make(v.side, out_channels);
    const uint32_t pad = kernel / 2;
    Check(xnn_define_convolution_2d(subgraph_, pad, pad, pad, pad, kernel, kernel, 1, 1, 1, 1, 1, v.channels, out_channels, -kInf, kInf, v.id, f, b, out.id, 0));
    return out;
  }
  // Twice the detail branch: its four channels as 2x2 pixels, which a transposed convolution of ones and zeros does.
  Value Detail(Value v, const ConvWeights& w) {
    std::vector<float> twice = w.weight, twice_bias = w.bias, places(16, 0.0f);
    for (float& x : twice) x *= 2;
    for (float& x : twice_bias) x *= 2;
    for (int i = 0; i < 4; ++i) places[i * 4 + i] = 1;
    const Value four = Conv(v, twice, &twice_bias, w.in, w.out, 1), out = Make(2 * v.side, 1);
    const uint32_t f = Constant(places, {1, 2, 2, 4}), b = Constant({0.0f}, {1});
    Check(xnn_define_deconvolution_2d(subgraph_, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 1, 1, 1, 4, 1, -kInf, kInf, four.id, f, b, out.id, 0));
    return out;
  }
  Value Add(Value a, Value b) {
    const Value out = Make(a.side, a.channels);
    Check(xnn_define_add2(subgraph_, -kInf, kInf, a.id, b.id, out.id, 0));
    return out;
  }
  Value Leaky(Value v) {
    const Value out = Make(v.side, v.channels);
    Check(xnn_define_leaky_relu(subgraph_, kLeakySlope, v.id, out.id, 0));
    return out;
  }
  Value Separable(const std::vector<Value>& in, const SeparableWeights& w, bool upsample) {
    Value sum{};
    int c0 = 0;
    for (const Value& v : in) {
      const Value d = Depthwise(upsample ? Upsample(v) : v, w.depthwise, w.kernel, upsample ? 1 : 2, c0);
      const Value p = Conv(d, w.pointwise, c0 == 0 ? &w.bias : nullptr, w.in, w.out, 1, c0);
      if (c0 == 0) {
        sum = p;
      } else {
        const Value out = Make(p.side, p.channels);
        Check(xnn_define_add2(subgraph_, -kInf, kInf, sum.id, p.id, out.id, 0));
        sum = out;
      }
      c0 += v.channels;
    }
    return Leaky(sum);
  }

  bool Build(const IdnWeights& w, int threads) {
    constexpr size_t kPixels = static_cast<size_t>(kIdnSize) * kIdnSize;
    Check(xnn_initialize(nullptr));
    Check(xnn_create_subgraph(3, 0, &subgraph_));
    if (!ok_) return false;
    const Value x = Make(kIdnSize, 3, 0, XNN_VALUE_FLAG_EXTERNAL_INPUT);
    const Value raw = Make(kIdnSize, 3, 1, XNN_VALUE_FLAG_EXTERNAL_OUTPUT), mask = Make(kIdnSize, 1, 2, XNN_VALUE_FLAG_EXTERNAL_OUTPUT);
    Value e[5];
    for (int i = 0; i < 5; ++i) e[i] = Separable({i == 0 ? x : e[i - 1]}, w.encoder[i], false);
    Value d = Separable({e[4]}, w.decoder[0], true);
    for (int i = 1; i < 4; ++i) d = Separable({d, e[4 - i]}, w.decoder[i], true);
    Value h = Leaky(Upsample(Conv(d, w.head[0].weight, &w.head[0].bias, 32, 8, 1)));  // its 1x1 before the doubling, as we do
    h = Leaky(Conv(h, w.head[1].weight, &w.head[1].bias, 8, 3, 3));
    std::vector<float> twice = w.head[2].weight, twice_bias = w.head[2].bias;  // (1 + tanh(s)) / 2 = sigmoid(2 s)
    for (float& v : twice) v *= 2;
    for (float& v : twice_bias) v *= 2;
    h = Conv(h, twice, &twice_bias, 3, 3, 3);
    if (w.detail.out != 0) h = Add(h, Detail(d, w.detail));
    Check(xnn_define_sigmoid(subgraph_, h.id, raw.id, 0));
    Value m = e[4];
    for (int i = 0; i < 5; ++i) m = Separable({m}, w.fusion[i], true);
    m = Conv(m, w.fusion_out.weight, &w.fusion_out.bias, 2, 1, 3);
    Check(xnn_define_sigmoid(subgraph_, m.id, mask.id, 0));
    if (!ok_) return false;
    if (threads > 1) pool_ = pthreadpool_create(threads);
    Check(xnn_create_runtime_v2(subgraph_, pool_, 0, &runtime_));
    const size_t extra = XNN_EXTRA_BYTES / sizeof(float);
    in_.resize(3 * kPixels + extra), raw_.resize(3 * kPixels + extra), mask_.resize(kPixels + extra), image_.resize(3 * kPixels);
    const xnn_external_value values[3] = {{0, in_.data()}, {1, raw_.data()}, {2, mask_.data()}};
    if (ok_) Check(xnn_setup_runtime(runtime_, 3, values));
    return ok_;
  }

  bool ok_ = true;
  xnn_subgraph_t subgraph_ = nullptr;
  xnn_runtime_t runtime_ = nullptr;
  pthreadpool_t pool_ = nullptr;
  std::deque<std::vector<float>> constants_;  // the runtime refers to them
  std::vector<float> in_, raw_, mask_, image_;
};

}  // namespace

Status AddIdnXnnpack(std::shared_ptr<const IdnCase> c, Race* race) {
  for (int threads : {1, 2}) {
    MFS_ASSIGN_OR_RETURN(const std::shared_ptr<XnnIdn> net, XnnIdn::Create(c->weights, threads));
    race->Add({"idn224", "xnnpack", "-", threads, kIdnMmac, [=] { return net->Run(c->target); }, [=] { return &net->image(); }});
  }
  return Status::Ok();
}

}  // namespace mfs::bench
