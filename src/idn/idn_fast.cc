#include "idn/idn_fast.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>

#include "base/flush_denormals.h"
#include "base/thread_pool.h"
#include "idn/idn_kernels.h"

namespace mfs {
namespace {

// Zeros at the start of a cache line.
class Buffer {
 public:
  void Allocate(size_t n) {
    data_.reset(static_cast<float*>(::operator new (n * sizeof(float), std::align_val_t{kAlignment})));
    std::fill(data_.get(), data_.get() + n, 0.0f);
  }
  float* get() const { return data_.get(); }

 private:
  static constexpr size_t kAlignment = 64;
  struct Free {
    void operator()(float* p) const { ::operator delete (p, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<float, Free> data_;
};

struct Block {
  PackedBlock packed{};
  int in = 0, taps = 0;
  Buffer depthwise, pointwise, bias;
  Buffer pointwise8, scale8, sum8;  // bytes, four to a float

  void Allocate(int in_channels, int out, int kernel, float slope = kLeakySlope) {
    in = in_channels, taps = kernel * kernel;
    const int in_blocks = ChannelBlocks(in), out_blocks = ChannelBlocks(out);
    depthwise.Allocate(static_cast<size_t>(in_blocks) * taps * kBlock);
    pointwise.Allocate(static_cast<size_t>(out_blocks) * in_blocks * kBlock * kBlock);
    bias.Allocate(static_cast<size_t>(out_blocks) * kBlock);
    packed = {in_blocks, out, depthwise.get(), pointwise.get(), bias.get(), slope};
  }
  // For PackBytes; outputs are a multiple of 32.
  void AllocateBytes() {
    pointwise8.Allocate(static_cast<size_t>(packed.out) * packed.in_blocks * kBlock / sizeof(float));
    scale8.Allocate(packed.out), sum8.Allocate(packed.out);
    packed.pointwise8 = reinterpret_cast<const int8_t*>(pointwise8.get()), packed.scale8 = scale8.get(), packed.sum8 = sum8.get();
  }
  // Every output's row rounded to -127..127 with a scale of its own.
  void PackBytes(const float* matrix) {
    const size_t group = static_cast<size_t>(packed.in_blocks) * kBlock * kBlock;
    int8_t* bytes = reinterpret_cast<int8_t*>(pointwise8.get());
    for (int o = 0; o < packed.out; ++o) {
      const float* row = matrix + static_cast<size_t>(o) * in;
      float most = 0;
      for (int i = 0; i < in; ++i) most = std::max(most, std::fabs(row[i]));
      const float scale = most / 127, inverse = most > 1e-30f ? 127 / most : 0;  // 127 / most would be infinite
      int8_t* p = bytes + o / kBlock * group + o % kBlock * 4;
      int sum = 0;
      for (int i = 0; i < in; ++i) {
        const int v = static_cast<int>(std::nearbyint(row[i] * inverse));
        p[static_cast<size_t>(i / 4) * 4 * kBlock + i % 4] = static_cast<int8_t>(v);
        sum += v;
      }
      scale8.get()[o] = scale, sum8.get()[o] = scale * static_cast<float>(sum);
    }
  }
  void PackPointwise(const float* matrix, const float* biases) {
    const size_t group = static_cast<size_t>(packed.in_blocks) * kBlock * kBlock;
    // Sixteen rows of the matrix are read side by side, the result is written in order.
    for (int o0 = 0; o0 < packed.out; o0 += kBlock) {
      const int n = std::min(kBlock, packed.out - o0);
      const float* m = matrix + static_cast<size_t>(o0) * in;
      float* p = pointwise.get() + o0 / kBlock * group;
      for (int i = 0; i < in; ++i, p += kBlock) {
        for (int o = 0; o < n; ++o) p[o] = m[static_cast<size_t>(o) * in + i];
      }
    }
    std::copy(biases, biases + packed.out, bias.get());
  }
  void Pack(const SeparableWeights& w) {
    for (int c = 0; c < in; ++c) {
      float* d = depthwise.get() + static_cast<size_t>(c / kBlock) * taps * kBlock + c % kBlock;
      for (int t = 0; t < taps; ++t) d[t * kBlock] = w.depthwise[static_cast<size_t>(c) * taps + t];
    }
    PackPointwise(w.pointwise.data(), w.bias.data());
    if (packed.pointwise8 != nullptr) PackBytes(w.pointwise.data());
  }
};

struct OwnedMap {
  BlockMap map{};
  Buffer buffer;
  void Allocate(int channels, int side) {
    const int blocks = ChannelBlocks(channels);
    const size_t row = static_cast<size_t>(side + 2) * kBlock, block = row * (side + 2);
    buffer.Allocate(block * blocks);
    map = {buffer.get() + row + kBlock, row, block, side, blocks};
  }
};

struct OwnedPlanes {
  PlaneMap map{};
  Buffer buffer;
  void Allocate(int planes, int side) {
    const size_t row = PlanarStride(side), plane = row * (side + 2);
    buffer.Allocate(plane * planes);
    map = {buffer.get() + row + kRowPad, row, plane};
  }
};

std::vector<Interval> Intervals(int n) {
  std::vector<Interval> v(n + 1);
  v[0] = {0, 0, 0, 1};
  for (int m = 0; m + 1 < n; ++m) {
    // Output i lies at i*(n-1)/(2n-1).
    const double t1 = double(n - 1 - m) / (2 * n - 1), t2 = double(2 * n - 2 - m) / (2 * n - 1);
    v[m + 1] = {static_cast<float>(1 - t1), static_cast<float>(t1), static_cast<float>(1 - t2), static_cast<float>(t2)};
  }
  v[n] = {1, 0, 0, 0};
  return v;
}

// [out][in][tap] to [in][tap][out].
void PackConv(const ConvWeights& w, float* to) {
  const int taps = w.kernel * w.kernel;
  for (int i = 0; i < w.in; ++i) {
    for (int t = 0; t < taps; ++t) {
      for (int o = 0; o < w.out; ++o) *to++ = w.weight[(static_cast<size_t>(o) * w.in + i) * taps + t];
    }
  }
}

class IdnFast : public Idn {
 public:
  IdnFast(const IdnWeights& weights, const IdnOptions& options, int64_t target) : Idn(options.size), kernels_(IdnKernelsFor(target)), pool_(options.threads) {
    for (int i = 0; i < 5; ++i) encoder_[i].Allocate(kEncoderChannels[i], kEncoderChannels[i + 1], 4);
    for (int i = 0; i < 4; ++i) decoder_[i].Allocate(kDecoderIn[i], kDecoderOut[i], 3);
    for (int i = 0; i < 4; ++i) fusion_[i].Allocate(kFusionChannels[i], kFusionChannels[i + 1], 3);
    if (options.int8) {  // the first block's 3 inputs are not worth it
      for (int i = 1; i < 5; ++i) encoder_[i].AllocateBytes();
      for (int i = 0; i < 4; ++i) decoder_[i].AllocateBytes();
      for (int i = 0; i < 3; ++i) fusion_[i].AllocateBytes();
    }
    head0_.Allocate(32, kHeadChannels + kDetailChannels, 1, 1.0f);  // LeakyReLU comes behind the upsampling, with which the 1x1 commutes exactly
    for (int i = 1; i < 5; ++i) e_[i].Allocate(kEncoderChannels[i + 1], size_ >> (i + 1));
    for (int i = 0; i < 3; ++i) d_[i].Allocate(kDecoderOut[i], size_ >> (4 - i));
    for (int i = 0; i < 3; ++i) f_[i].Allocate(kFusionChannels[i + 1], size_ >> (4 - i));
    head0_planes_.Allocate(kHeadChannels + kDetailChannels, size_ / 2);
    fusion3_planes_.Allocate(8, size_ / 2);
    for (int i = 0; i < 5; ++i) intervals_[i] = Intervals(size_ >> (5 - i));
    const std::vector<Interval>& last = intervals_[4];
    const size_t n = last.size() + 2 * kBlock;
    columns_.Allocate(4 * n);
    for (size_t i = 0; i < last.size(); ++i) {
      columns_.get()[i] = last[i].p, columns_.get()[n + i] = last[i].q, columns_.get()[2 * n + i] = last[i].r, columns_.get()[3 * n + i] = last[i].s;
    }
    tail_weights_.Allocate(512);
    tail_.size = size_;
    tail_.head0 = head0_planes_.map, tail_.fusion3 = fusion3_planes_.map;
    tail_.intervals = last.data();
    tail_.p = columns_.get(), tail_.q = tail_.p + n, tail_.r = tail_.q + n, tail_.s = tail_.r + n;
    float* w = tail_weights_.get();
    const auto take = [&w](const float** to, int count) { *to = w, w += count; };
    take(&tail_.w1, 216), take(&tail_.b1, 3), take(&tail_.w2, 81), take(&tail_.b2, 3), take(&tail_.dw, 72), take(&tail_.pw, 16), take(&tail_.pb, 2), take(&tail_.wf, 18), take(&tail_.bf, 1);
    buffers_.resize(pool_.threads());
    for (ThreadBuffers& b : buffers_) {
      b.tile.Allocate(TileFloats(size_));
      b.wide.Allocate(kWideFloats);
      b.e0.Allocate(8 * static_cast<size_t>(size_ / 2 + 2) * kBlock);
      b.rows.Allocate(static_cast<size_t>(kScratchRows) * PlanarStride(size_));
      b.scratch = {b.tile.get(), b.wide.get(), b.e0.get(), b.rows.get()};
      if (!options.int8) continue;
      b.tile8.Allocate(TileFloats(size_) / sizeof(float));
      b.pixels.Allocate(2 * kTilePixels);
      b.scratch.tile8 = reinterpret_cast<uint8_t*>(b.tile8.get());
      b.scratch.pixel_scale = b.pixels.get(), b.scratch.pixel_least = b.pixels.get() + kTilePixels;
    }
    Pack(weights);
  }

  Status SetIdentity(const IdnWeights& weights) override {
    MFS_RETURN_IF_ERROR(ValidateIdnWeights(weights));
    Pack(weights);
    return Status::Ok();
  }

  const char* name() const override { return kernels_.name; }

 private:
  struct ThreadBuffers {
    Buffer tile, wide, e0, rows, tile8, pixels;
    IdnScratch scratch;
  };

  void Compute(const IdnInput& input, const IdnOutput& output) override {
    const int s = size_;
    // Rows of 8 pixels and fewer do not divide well: the deep blocks are split by outputs, each thread with all the (cheap) depthwise work.
    Split(s / 4, [&](const IdnScratch& scratch, int y0, int y1) {
      Timed(y0 == 0, "encoder 0+1", 9.8, [&] { kernels_.encoder_start(encoder_[0].packed, encoder_[1].packed, input, s, e_[1].map, y0, y1, scratch); });
    });
    for (int i = 2; i < 5; ++i) {
      const bool by_rows = i < 3 || pool_.threads() == 1;
      Split(by_rows ? s >> (i + 1) : encoder_[i].packed.out / 32, [&](const IdnScratch& scratch, int a, int b) {
        Timed(a == 0, kEncoderNames[i], kEncoderMmac[i], [&] {
          if (by_rows) {
            kernels_.encoder(encoder_[i].packed, e_[i - 1].map, e_[i].map, a, b, 0, encoder_[i].packed.out, scratch);
          } else {
            kernels_.encoder(encoder_[i].packed, e_[i - 1].map, e_[i].map, 0, s >> (i + 1), 32 * a, 32 * b, scratch);
          }
        });
      });
    }
    const IdnHead head{head0_.packed, head0_planes_.map};
    for (int i = 0; i < 4; ++i) {
      Split(s >> (4 - i), [&](const IdnScratch& scratch, int y0, int y1) {
        Timed(y0 == 0, kDecoderNames[i], kDecoderMmac[i], [&] {
          const BlockMap in[2] = {i == 0 ? e_[4].map : d_[i - 1].map, e_[4 - i].map};
          kernels_.decoder(decoder_[i].packed, in, i == 0 ? 1 : 2, intervals_[i].data(), i < 3 ? &d_[i].map : nullptr, i < 3 ? nullptr : &head, nullptr, y0, y1, scratch);
        });
        Timed(y0 == 0, kFusionNames[i], kFusionMmac[i], [&] {
          kernels_.decoder(fusion_[i].packed, i == 0 ? &e_[4].map : &f_[i - 1].map, 1, intervals_[i].data(), i < 3 ? &f_[i].map : nullptr, nullptr, i < 3 ? nullptr : &fusion3_planes_.map, y0, y1,
                           scratch);
        });
      });
    }
    tail_.input = input, tail_.output = output;
    Split(s, [&](const IdnScratch& scratch, int y0, int y1) { Timed(y0 == 0, "tail at full size", 20.2, [&] { kernels_.tail(tail_, y0, y1, scratch); }); });
  }

  static constexpr const char* kEncoderNames[5] = {"", "", "encoder 2", "encoder 3", "encoder 4"};
  static constexpr double kEncoderMmac[5] = {0, 0, 7.2, 6.8, 6.6};
  static constexpr const char* kDecoderNames[4] = {"decoder 0", "decoder 1", "decoder 2", "decoder 3 + head 1x1"};
  static constexpr double kDecoderMmac[4] = {26.6, 55.0, 58.6, 69.0};
  static constexpr const char* kFusionNames[4] = {"fusion 0", "fusion 1", "fusion 2", "fusion 3"};
  static constexpr double kFusionMmac[4] = {13.7, 7.3, 8.2, 6.8};

  // f(scratch, begin, end) for [0,count) in one piece for each thread.
  template <typename F>
  void Split(int count, const F& f) {
    const int pieces = std::min(pool_.threads(), count);
    pool_.Run(pieces, [&](int i) {
      ScopedFlushDenormals flush;
      f(buffers_[i].scratch, count * i / pieces, count * (i + 1) / pieces);
    });
  }

  // The first thread's time stands for all.
  template <typename F>
  void Timed(bool first, const char* name, double mmac, const F& f) {
    if (stages_ == nullptr || !first) return f();
    const auto start = std::chrono::steady_clock::now();
    f();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (IdnStage& s : *stages_) {
      if (s.name == name) {
        s.seconds += seconds;
        return;
      }
    }
    stages_->push_back({name, mmac * (size_ / 224.0) * (size_ / 224.0), seconds});
  }

  void Pack(const IdnWeights& w) {
    for (int i = 0; i < 5; ++i) encoder_[i].Pack(w.encoder[i]);
    for (int i = 0; i < 4; ++i) decoder_[i].Pack(w.decoder[i]);
    for (int i = 0; i < 4; ++i) fusion_[i].Pack(w.fusion[i]);
    // The detail's rows behind the head's; zeros when there are none.
    std::array<float, (kHeadChannels + kDetailChannels) * kDecoderOut[3]> matrix{};
    std::array<float, kHeadChannels + kDetailChannels> bias{};
    std::copy(w.head[0].weight.begin(), w.head[0].weight.end(), matrix.begin());
    std::copy(w.head[0].bias.begin(), w.head[0].bias.end(), bias.begin());
    std::copy(w.detail.weight.begin(), w.detail.weight.end(), matrix.begin() + kHeadChannels * kDecoderOut[3]);
    std::copy(w.detail.bias.begin(), w.detail.bias.end(), bias.begin() + kHeadChannels);
    head0_.PackPointwise(matrix.data(), bias.data());
    tail_.detail = w.detail.out != 0;
    const auto copy = [](const std::vector<float>& from, const float* to) { std::copy(from.begin(), from.end(), const_cast<float*>(to)); };  // all in tail_weights_
    PackConv(w.head[1], const_cast<float*>(tail_.w1));
    PackConv(w.head[2], const_cast<float*>(tail_.w2));
    copy(w.head[1].bias, tail_.b1), copy(w.head[2].bias, tail_.b2);
    copy(w.fusion[4].depthwise, tail_.dw), copy(w.fusion[4].pointwise, tail_.pw), copy(w.fusion[4].bias, tail_.pb);
    PackConv(w.fusion_out, const_cast<float*>(tail_.wf));
    copy(w.fusion_out.bias, tail_.bf);
  }

  const IdnKernels& kernels_;
  ThreadPool pool_;
  Block encoder_[5], decoder_[4], fusion_[4], head0_;
  OwnedMap e_[5], d_[3], f_[3];
  OwnedPlanes head0_planes_, fusion3_planes_;
  std::vector<Interval> intervals_[5];
  Buffer columns_, tail_weights_;
  IdnTail tail_{};
  std::vector<ThreadBuffers> buffers_;
};

}  // namespace

StatusOr<std::unique_ptr<Idn>> CreateIdnFast(const IdnWeights& weights, const IdnOptions& options, int64_t target) {
  const IdnKernels& kernels = IdnKernelsFor(target);
  if (options.int8 && !kernels.has_bytes) {
    return Unsupported(std::string("8-bit arithmetic needs AVX-512 VNNI, which ") + kernels.name + " here has not; leave int8 away");
  }
  return std::unique_ptr<Idn>(std::make_unique<IdnFast>(weights, options, target));
}

}  // namespace mfs
