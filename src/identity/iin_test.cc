#include "identity/iin.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace mfs {
namespace {

// The public variant (network.md: BatchNorm, no reduction, no base kernels, plain demodulation) at a narrow width, computed
// here from its definition, one output at a time and unfactored.
class PublicVariant : public testing::Test {
 protected:
  static constexpr int kWidth = 6;
  using Values = std::vector<float>;

  void Put(const std::string& name, std::vector<int64_t> shape, float spread, float mean = 0, bool positive = false) {
    size_t count = 1;
    for (int64_t s : shape) count *= s;
    Values v(count);
    std::normal_distribution<float> normal(mean, spread);
    for (float& x : v) x = positive ? std::fabs(normal(rng)) + 0.1f : normal(rng);
    ASSERT_TRUE(writer.Add(name, shape, v.data(), DType::kF32).ok());
    tensors[name] = v;
  }
  void PutConv(const std::string& name, int out, int in, int kernel) {
    Put(name + ".weight", {out, in, kernel, kernel}, 1 / std::sqrt(static_cast<float>(in * kernel * kernel)));
    Put(name + ".bias", {out}, 0.1f);
  }
  void PutNorm(const std::string& name, int channels) {
    Put(name + ".weight", {channels}, 0.2f, 1);
    Put(name + ".bias", {channels}, 0.2f);
    Put(name + ".running_mean", {channels}, 0.2f);
    Put(name + ".running_var", {channels}, 0.5f, 1, true);
  }

  void SetUp() override {
    writer.SetMetadata("format", "mobilefaceswap-model");
    writer.SetMetadata("version", "1");
    writer.SetMetadata("iin_norm", "batch");
    writer.SetMetadata("normalisation", "demodulation");
    PutConv("iin.first", kWidth, 512, 4);
    PutNorm("iin.first_norm", kWidth);
    PutConv("iin.first_decoder", kWidth, kWidth, 2);
    PutNorm("iin.first_decoder_norm", kWidth);
    for (int k = 0; k < 5; ++k) PutBlock("iin.encoder." + std::to_string(k), kEncoderChannels[4 - k]);
    for (int k = 0; k < 4; ++k) PutBlock("iin.decoder." + std::to_string(k), kDecoderIn[k]);
    for (int i = 0; i < 5; ++i) PutModulation("encoder." + std::to_string(i), kEncoderChannels[i], kEncoderChannels[i + 1]);
    for (int i = 0; i < 4; ++i) PutModulation("decoder." + std::to_string(i), kDecoderIn[i], kDecoderOut[i]);
    const int head_in[3] = {32, 8, 3}, head_out[3] = {8, 3, 3};
    for (int i = 0; i < 3; ++i) PutConv("idn.head.conv" + std::to_string(i), head_out[i], head_in[i], i == 0 ? 1 : 3);
    for (int i = 0; i < 2; ++i) PutNorm("idn.head.norm" + std::to_string(i), head_out[i]);
    for (int i = 0; i < 5; ++i) {
      const std::string name = "idn.fusion." + std::to_string(i);
      PutConv(name + ".depthwise", kFusionChannels[i], 1, 3);
      PutConv(name + ".pointwise", kFusionChannels[i + 1], kFusionChannels[i], 1);
      PutNorm(name + ".norm", kFusionChannels[i + 1]);
    }
    PutConv("idn.fusion.out", 1, 2, 3);
  }
  void PutBlock(const std::string& name, int kernels) {
    PutConv(name + ".conv", kWidth, kWidth, 3);
    PutNorm(name + ".norm", kWidth);
    PutConv(name + ".kernels", kernels, kWidth, 3);
  }
  void PutModulation(const std::string& which, int in, int out) {
    Put("iin.modulation." + which + ".weight", {in, 512}, 0.3f);
    Put("iin.modulation." + which + ".bias", {in}, 0.1f);
    Put("idn." + which + ".pointwise.weight", {out, in}, 0.3f);
  }

  // [channels][side][side] in and out; with_norm: BatchNorm and LeakyReLU behind it.
  Values Conv(const Values& x, int side, const std::string& name, int kernel, int pad, const std::string& norm) {
    const Values &w = tensors.at(name + ".weight"), &b = tensors.at(name + ".bias");
    const int out_channels = static_cast<int>(b.size()), in_channels = static_cast<int>(w.size() / b.size()) / (kernel * kernel);
    const int out_side = side + 2 * pad - kernel + 1;
    Values y;
    for (int o = 0; o < out_channels; ++o) {
      for (int p = 0; p < out_side * out_side; ++p) {
        double sum = b[o];
        for (int i = 0; i < in_channels; ++i) {
          for (int t = 0; t < kernel * kernel; ++t) {
            const int sy = p / out_side + t / kernel - pad, sx = p % out_side + t % kernel - pad;
            if (sy < 0 || sx < 0 || sy >= side || sx >= side) continue;
            sum += double{w[(o * in_channels + i) * kernel * kernel + t]} * x[(i * side + sy) * side + sx];
          }
        }
        if (!norm.empty()) {
          sum = (sum - tensors.at(norm + ".running_mean")[o]) / std::sqrt(tensors.at(norm + ".running_var")[o] + 1e-5);
          sum = sum * tensors.at(norm + ".weight")[o] + tensors.at(norm + ".bias")[o];
          if (sum < 0) sum *= 0.1;
        }
        y.push_back(static_cast<float>(sum));
      }
    }
    return y;
  }

  // Kernel of channel i, then W'' = W' / sqrt(sum W'^2 + eps) with W' = W (1 + s_i): their product is what the block computes.
  void ExpectBlock(const std::string& which, const Values& kernels, const Values& z, const SeparableWeights& got) {
    const Values &a = tensors.at("iin.modulation." + which + ".weight"), &b = tensors.at("iin.modulation." + which + ".bias");
    const Values& w = tensors.at("idn." + which + ".pointwise.weight");
    const int in = static_cast<int>(b.size()), out = static_cast<int>(w.size()) / in, taps = static_cast<int>(kernels.size()) / in;
    std::vector<double> s(in);
    for (int i = 0; i < in; ++i) {
      s[i] = b[i];
      for (int j = 0; j < 512; ++j) s[i] += double{a[i * 512 + j]} * z[j];
    }
    double worst = 0;
    for (int o = 0; o < out; ++o) {
      double squares = 1e-16;
      for (int i = 0; i < in; ++i) squares += std::pow(w[o * in + i] * (1 + s[i]), 2);
      for (int i = 0; i < in; ++i) {
        for (int t = 0; t < taps; ++t) {
          const double want = w[o * in + i] * (1 + s[i]) / std::sqrt(squares) * kernels[i * taps + t];
          worst = std::max(worst, std::fabs(want - double{got.pointwise[o * in + i]} * got.depthwise[i * taps + t]));
        }
      }
    }
    EXPECT_LT(worst, 1e-5) << which;
  }

  std::mt19937 rng{11};
  SafetensorsWriter writer;
  std::map<std::string, Values> tensors;
};

TEST_F(PublicVariant, MatchesTheUnfactoredDefinition) {
  auto file = SafetensorsFile::FromBuffer(writer.Serialize());
  ASSERT_TRUE(file.ok()) << file.status().message();
  auto network = InjectionNetwork::Create(*file);
  ASSERT_TRUE(network.ok()) << network.status().message();
  std::normal_distribution<float> normal;
  Values z(512), map(512 * 49);
  for (float& v : z) v = normal(rng) / std::sqrt(512.0f);
  for (float& v : map) v = normal(rng);
  auto weights = (*network)->Run(z.data(), map.data());
  ASSERT_TRUE(weights.ok()) << weights.status().message();

  const Values first = Conv(map, 7, "iin.first", 4, 0, "iin.first_norm");
  Values state = first;
  for (int k = 0; k < 5; ++k) {
    const std::string name = "iin.encoder." + std::to_string(k);
    state = Conv(state, 4, name + ".conv", 3, 1, name + ".norm");
    ExpectBlock("encoder." + std::to_string(4 - k), Conv(state, 4, name + ".kernels", 3, 1, ""), z, weights->encoder[4 - k]);
  }
  state = Conv(first, 4, "iin.first_decoder", 2, 0, "iin.first_decoder_norm");
  for (int k = 0; k < 4; ++k) {
    const std::string name = "iin.decoder." + std::to_string(k);
    state = Conv(state, 3, name + ".conv", 3, 1, name + ".norm");
    ExpectBlock("decoder." + std::to_string(k), Conv(state, 3, name + ".kernels", 3, 1, ""), z, weights->decoder[k]);
  }
}

}  // namespace
}  // namespace mfs
