#include "ops.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "ops_stock.h"
#include "simd.h"

namespace mfs::train {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using Tensors = torch::autograd::tensor_list;

constexpr float kSlope = 0.1f;

// The operators of this file work on the CPU's memory.
bool Here(const Tensor& x) { return x.device().is_cpu(); }

// Calls f(i) for every sample, on libtorch's threads.
template <typename F>
void ForEachSample(int64_t n, const F& f) {
  at::parallel_for(0, n, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) f(i);
  });
}

Tensor Like(const Tensor& x, at::IntArrayRef sizes) { return torch::empty(sizes, x.options().requires_grad(false)); }

// What a loop writes is __restrict throughout: where arrays might overlap, GCC compiles a loop twice and contracts multiply-adds differently in the two, and then the bits depend on where
// the arrays happen to lie.

// ---- Depthwise ----

constexpr int kLane = 16, kHalfLane = 8;  // channels
typedef float Lane __attribute__((vector_size(64), aligned(4)));
// As template arguments, types would lose the alignment.
struct Full {
  static constexpr int kWidth = kLane;
  typedef Lane V;
};
struct Half {
  static constexpr int kWidth = kHalfLane;
  typedef float V __attribute__((vector_size(32), aligned(4)));
};

struct Shape {
  int h, w, c, ho, wo;
};

// One output pixel for 16 channels; kCheck: some taps may lie outside.
template <int K, int S, bool kCheck>
inline __attribute__((always_inline)) Lane Taps(const float* x, const Lane* k, const Shape& s, int oy, int ox) {
  Lane sum = {};
#pragma GCC unroll 4
  for (int ky = 0; ky < K; ++ky) {
    const int y = oy * S + ky - 1;
    if (kCheck && (y < 0 || y >= s.h)) continue;
#pragma GCC unroll 4
    for (int kx = 0; kx < K; ++kx) {
      const int px = ox * S + kx - 1;
      if (kCheck && (px < 0 || px >= s.w)) continue;
      sum += k[ky * K + kx] * *reinterpret_cast<const Lane*>(x + (static_cast<int64_t>(y) * s.w + px) * s.c);
    }
  }
  return sum;
}

template <int K, int S>
inline __attribute__((always_inline)) void ForwardLanes(const float* x, const float* kernel, float* __restrict out, const Shape& s) {
  for (int c = 0; c + kLane <= s.c; c += kLane) {
    Lane k[K * K];
    for (int t = 0; t < K * K; ++t) k[t] = *reinterpret_cast<const Lane*>(kernel + static_cast<int64_t>(t) * s.c + c);
    for (int oy = 0; oy < s.ho; ++oy) {
      const bool edge = oy == 0 || oy * S + K - 2 >= s.h;
      for (int ox = 0; ox < s.wo; ++ox) {
        const Lane v = edge || ox == 0 || ox * S + K - 2 >= s.w ? Taps<K, S, true>(x + c, k, s, oy, ox) : Taps<K, S, false>(x + c, k, s, oy, ox);
        *reinterpret_cast<Lane*>(out + (static_cast<int64_t>(oy) * s.wo + ox) * s.c + c) = v;
      }
    }
  }
}

// Channels that do not fill a lane.
template <int K, int S>
inline __attribute__((always_inline)) void ForwardRest(const float* x, const float* kernel, float* __restrict out, const Shape& s, int first) {
  for (int oy = 0; oy < s.ho; ++oy) {
    for (int ox = 0; ox < s.wo; ++ox) {
      float* o = out + (static_cast<int64_t>(oy) * s.wo + ox) * s.c;
      for (int c = first; c < s.c; ++c) o[c] = 0;
      for (int ky = 0; ky < K; ++ky) {
        const int y = oy * S + ky - 1;
        if (y < 0 || y >= s.h) continue;
        for (int kx = 0; kx < K; ++kx) {
          const int px = ox * S + kx - 1;
          if (px < 0 || px >= s.w) continue;
          const float* in = x + (static_cast<int64_t>(y) * s.w + px) * s.c;
          const float* k = kernel + static_cast<int64_t>(ky * K + kx) * s.c;
          for (int c = first; c < s.c; ++c) o[c] += k[c] * in[c];
        }
      }
    }
  }
}

// Gradient of the kernel from channel `first` on: per tap the sum over pixels of x * g.
template <int K, int S>
inline __attribute__((always_inline)) void KernelGradient(const float* x, const float* g, float* __restrict dk, const Shape& s, int first) {
  for (int c = first; c < s.c; c += kLane) {
    const int lanes = std::min(kLane, s.c - c);
    if (lanes == kLane) {
      Lane sum[K * K] = {};
      for (int oy = 0; oy < s.ho; ++oy) {
        const bool edge = oy == 0 || oy * S + K - 2 >= s.h;
        for (int ox = 0; ox < s.wo; ++ox) {
          const Lane gv = *reinterpret_cast<const Lane*>(g + (static_cast<int64_t>(oy) * s.wo + ox) * s.c + c);
          const bool check = edge || ox == 0 || ox * S + K - 2 >= s.w;
          const float* at = x + (static_cast<int64_t>(oy * S - 1) * s.w + ox * S - 1) * s.c + c;
          if (!check) {
#pragma GCC unroll 16
            for (int t = 0; t < K * K; ++t) sum[t] += gv * *reinterpret_cast<const Lane*>(at + (static_cast<int64_t>(t / K) * s.w + t % K) * s.c);
          } else {
            for (int t = 0; t < K * K; ++t) {
              const int y = oy * S + t / K - 1, px = ox * S + t % K - 1;
              if (y < 0 || y >= s.h || px < 0 || px >= s.w) continue;
              sum[t] += gv * *reinterpret_cast<const Lane*>(at + (static_cast<int64_t>(t / K) * s.w + t % K) * s.c);
            }
          }
        }
      }
      for (int t = 0; t < K * K; ++t) *reinterpret_cast<Lane*>(dk + static_cast<int64_t>(t) * s.c + c) = sum[t];
      continue;
    }
    for (int t = 0; t < K * K; ++t) {
      float sum[kLane] = {};
      for (int oy = 0; oy < s.ho; ++oy) {
        const int y = oy * S + t / K - 1;
        if (y < 0 || y >= s.h) continue;
        for (int ox = 0; ox < s.wo; ++ox) {
          const int px = ox * S + t % K - 1;
          if (px < 0 || px >= s.w) continue;
          for (int i = 0; i < lanes; ++i) sum[i] += g[(static_cast<int64_t>(oy) * s.wo + ox) * s.c + c + i] * x[(static_cast<int64_t>(y) * s.w + px) * s.c + c + i];
        }
      }
      for (int i = 0; i < lanes; ++i) dk[static_cast<int64_t>(t) * s.c + c + i] = sum[i];
    }
  }
}

// Gradient of the input, scattered: dx is zeroed first.
template <int K, int S>
inline __attribute__((always_inline)) void InputGradient(const float* g, const float* kernel, float* __restrict dx, const Shape& s) {
  std::fill(dx, dx + static_cast<int64_t>(s.h) * s.w * s.c, 0.0f);
  for (int oy = 0; oy < s.ho; ++oy) {
    for (int ky = 0; ky < K; ++ky) {
      const int y = oy * S + ky - 1;
      if (y < 0 || y >= s.h) continue;
      for (int ox = 0; ox < s.wo; ++ox) {
        const float* go = g + (static_cast<int64_t>(oy) * s.wo + ox) * s.c;
        for (int kx = 0; kx < K; ++kx) {
          const int px = ox * S + kx - 1;
          if (px < 0 || px >= s.w) continue;
          float* d = dx + (static_cast<int64_t>(y) * s.w + px) * s.c;
          const float* k = kernel + static_cast<int64_t>(ky * K + kx) * s.c;
          for (int c = 0; c < s.c; ++c) d[c] += k[c] * go[c];
        }
      }
    }
  }
}

// Stride 1, kernel 3: row by row, so that the three rows stay in the second-level cache, and along a row the columns move through
// registers: three loads for nine products. zeros: a row of them, for the rows outside.
struct Rows31 {
  Rows31(const float* x, const Shape& s, int y, const float* zeros) {
    const int64_t row = static_cast<int64_t>(s.w) * s.c;
    for (int k = 0; k < 3; ++k) at[k] = y + k - 1 < 0 || y + k - 1 >= s.h ? zeros : x + (y + k - 1) * row;
  }
  const float* at[3];
};
template <typename L>
inline __attribute__((always_inline)) typename L::V LoadLane(const float* p) {
  return *reinterpret_cast<const typename L::V*>(p);
}

// Channels from `first` on that fill lanes of L; returns the first that does not.
template <typename L>
inline __attribute__((always_inline)) int ForwardRows31(const float* x, const float* kernel, float* __restrict out, const Shape& s, const float* zeros, int first) {
  typedef typename L::V V;
  constexpr int kWidth = L::kWidth;
  const int end = first + (s.c - first) / kWidth * kWidth;
  for (int y = 0; y < s.h; ++y) {
    const Rows31 rows(x, s, y, zeros);
    for (int c = first; c < end; c += kWidth) {
      V k[9];
      for (int t = 0; t < 9; ++t) k[t] = LoadLane<L>(kernel + static_cast<int64_t>(t) * s.c + c);
      const float *r0 = rows.at[0] + c, *r1 = rows.at[1] + c, *r2 = rows.at[2] + c;
      float* o = out + static_cast<int64_t>(y) * s.w * s.c + c;
      V a0 = {}, a1 = {}, a2 = {}, b0 = LoadLane<L>(r0), b1 = LoadLane<L>(r1), b2 = LoadLane<L>(r2);
      for (int i = 1; i <= s.w; ++i, o += s.c) {
        V n0 = {}, n1 = {}, n2 = {};
        if (i < s.w) {
          const int64_t next = static_cast<int64_t>(i) * s.c;
          n0 = LoadLane<L>(r0 + next), n1 = LoadLane<L>(r1 + next), n2 = LoadLane<L>(r2 + next);
        }
        *reinterpret_cast<V*>(o) = (k[0] * a0 + k[1] * b0 + k[2] * n0) + (k[3] * a1 + k[4] * b1 + k[5] * n1) + (k[6] * a2 + k[7] * b2 + k[8] * n2);
        a0 = b0, a1 = b1, a2 = b2;
        b0 = n0, b1 = n1, b2 = n2;
      }
    }
  }
  return end;
}

template <typename L>
inline __attribute__((always_inline)) int KernelRows31(const float* x, const float* g, float* __restrict dk, const Shape& s, const float* zeros, int first) {
  typedef typename L::V V;
  constexpr int kWidth = L::kWidth;
  const int end = first + (s.c - first) / kWidth * kWidth;
  for (int t = 0; t < 9; ++t) std::fill(dk + static_cast<int64_t>(t) * s.c + first, dk + static_cast<int64_t>(t) * s.c + end, 0.0f);
  for (int y = 0; y < s.h; ++y) {
    const Rows31 rows(x, s, y, zeros);
    for (int c = first; c < end; c += kWidth) {
      V sum[9];
      for (int t = 0; t < 9; ++t) sum[t] = LoadLane<L>(dk + static_cast<int64_t>(t) * s.c + c);
      const float *r0 = rows.at[0] + c, *r1 = rows.at[1] + c, *r2 = rows.at[2] + c, *go = g + static_cast<int64_t>(y) * s.w * s.c + c;
      V a0 = {}, a1 = {}, a2 = {}, b0 = LoadLane<L>(r0), b1 = LoadLane<L>(r1), b2 = LoadLane<L>(r2);
      for (int i = 1; i <= s.w; ++i, go += s.c) {
        V n0 = {}, n1 = {}, n2 = {};
        if (i < s.w) {
          const int64_t next = static_cast<int64_t>(i) * s.c;
          n0 = LoadLane<L>(r0 + next), n1 = LoadLane<L>(r1 + next), n2 = LoadLane<L>(r2 + next);
        }
        const V v = LoadLane<L>(go);
        sum[0] += v * a0, sum[1] += v * b0, sum[2] += v * n0;
        sum[3] += v * a1, sum[4] += v * b1, sum[5] += v * n1;
        sum[6] += v * a2, sum[7] += v * b2, sum[8] += v * n2;
        a0 = b0, a1 = b1, a2 = b2;
        b0 = n0, b1 = n1, b2 = n2;
      }
      for (int t = 0; t < 9; ++t) *reinterpret_cast<V*>(dk + static_cast<int64_t>(t) * s.c + c) = sum[t];
    }
  }
  return end;
}

MFS_CLONES void Forward31(const float* x, const float* k, float* __restrict out, const Shape& s) {
  const std::vector<float> zeros(static_cast<size_t>(s.w) * s.c);
  int c = ForwardRows31<Full>(x, k, out, s, zeros.data(), 0);
  if (s.c - c >= kHalfLane) c = ForwardRows31<Half>(x, k, out, s, zeros.data(), c);
  if (c < s.c) ForwardRest<3, 1>(x, k, out, s, c);
}
MFS_CLONES void Kernel31(const float* x, const float* g, float* __restrict dk, const Shape& s) {
  const std::vector<float> zeros(static_cast<size_t>(s.w) * s.c);
  int c = KernelRows31<Full>(x, g, dk, s, zeros.data(), 0);
  if (s.c - c >= kHalfLane) c = KernelRows31<Half>(x, g, dk, s, zeros.data(), c);
  if (c < s.c) KernelGradient<3, 1>(x, g, dk, s, c);
}

#define MFS_DEPTHWISE(name, K, S)                                                             \
  MFS_CLONES void Forward##name(const float* x, const float* k, float* out, const Shape& s) { \
    ForwardLanes<K, S>(x, k, out, s);                                                         \
    if (s.c % kLane != 0) ForwardRest<K, S>(x, k, out, s, s.c / kLane * kLane);               \
  }                                                                                           \
  MFS_CLONES void Kernel##name(const float* x, const float* g, float* dk, const Shape& s) { KernelGradient<K, S>(x, g, dk, s, 0); }
MFS_DEPTHWISE(32, 3, 2)
MFS_DEPTHWISE(42, 4, 2)
#undef MFS_DEPTHWISE
MFS_CLONES void Input32(const float* g, const float* k, float* __restrict dx, const Shape& s) { InputGradient<3, 2>(g, k, dx, s); }
MFS_CLONES void Input42(const float* g, const float* k, float* __restrict dx, const Shape& s) { InputGradient<4, 2>(g, k, dx, s); }

// Stride 1: the input's gradient is a convolution with the kernel turned round.
MFS_CLONES void Input31(const float* g, const float* k, float* __restrict dx, const Shape& s) {
  std::vector<float> turned(static_cast<size_t>(9) * s.c);
  for (int t = 0; t < 9; ++t) std::copy(k + static_cast<int64_t>(t) * s.c, k + static_cast<int64_t>(t + 1) * s.c, turned.begin() + static_cast<int64_t>(8 - t) * s.c);
  Forward31(g, turned.data(), dx, s);
}

struct DepthwiseFunction : Function<DepthwiseFunction> {
  static Shape ShapeOf(const Tensor& x, int k, int stride) {
    const int h = static_cast<int>(x.size(1)), w = static_cast<int>(x.size(2));
    return {h, w, static_cast<int>(x.size(3)), (h + 2 - k) / stride + 1, (w + 2 - k) / stride + 1};
  }
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& kernel_in, int64_t k, int64_t stride) {
    const Tensor x = x_in.contiguous(), kernel = kernel_in.contiguous();
    const Shape s = ShapeOf(x, static_cast<int>(k), static_cast<int>(stride));
    TORCH_CHECK((k == 3 && (stride == 1 || stride == 2)) || (k == 4 && stride == 2), "Depthwise: unsupported kernel");
    TORCH_CHECK(kernel.size(1) == k * k && kernel.size(2) == s.c && (kernel.size(0) == 1 || kernel.size(0) == x.size(0)), "Depthwise: kernel shape");
    Tensor out = Like(x, {x.size(0), s.ho, s.wo, s.c});
    const int64_t in_step = x[0].numel(), out_step = out[0].numel(), k_step = kernel.size(0) == 1 ? 0 : kernel[0].numel();
    const float *xp = x.data_ptr<float>(), *kp = kernel.data_ptr<float>();
    float* op = out.data_ptr<float>();
    ForEachSample(x.size(0), [&](int64_t n) { (k == 4 ? Forward42 : stride == 1 ? Forward31 : Forward32)(xp + n * in_step, kp + n * k_step, op + n * out_step, s); });
    ctx->save_for_backward({x, kernel});
    ctx->saved_data["k"] = k;
    ctx->saved_data["stride"] = stride;
    ctx->saved_data["needs_x"] = x_in.requires_grad();
    ctx->saved_data["needs_kernel"] = kernel_in.requires_grad();
    return out;
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &kernel = saved[1];
    const int64_t k = ctx->saved_data["k"].toInt(), stride = ctx->saved_data["stride"].toInt();
    const Shape s = ShapeOf(x, static_cast<int>(k), static_cast<int>(stride));
    const Tensor g = grads[0].contiguous();
    Tensor dx, dk;
    const int64_t in_step = x[0].numel(), out_step = g[0].numel(), k_size = kernel[0].numel(), k_step = kernel.size(0) == 1 ? 0 : k_size;
    const float *xp = x.data_ptr<float>(), *kp = kernel.data_ptr<float>(), *gp = g.data_ptr<float>();
    if (ctx->saved_data["needs_x"].toBool()) {
      dx = Like(x, x.sizes());
      float* p = dx.data_ptr<float>();
      ForEachSample(x.size(0), [&](int64_t n) { (k == 4 ? Input42 : stride == 1 ? Input31 : Input32)(gp + n * out_step, kp + n * k_step, p + n * in_step, s); });
    }
    if (ctx->saved_data["needs_kernel"].toBool()) {
      dk = Like(x, {x.size(0), kernel.size(1), kernel.size(2)});
      float* p = dk.data_ptr<float>();
      ForEachSample(x.size(0), [&](int64_t n) { (k == 4 ? Kernel42 : stride == 1 ? Kernel31 : Kernel32)(xp + n * in_step, gp + n * out_step, p + n * k_size, s); });
      if (k_step == 0) dk = dk.sum(0, true);
    }
    return {dx, dk, Tensor(), Tensor()};
  }
};

// ---- Scale and LeakyReLU ----

MFS_CLONES void ScaleForward(const float* x, const float* d, float* __restrict y, int64_t pixels, int c) {
  for (int64_t p = 0; p < pixels; ++p, x += c, y += c) {
    for (int i = 0; i < c; ++i) {
      const float v = x[i] * d[i];
      y[i] = v > 0 ? v : kSlope * v;
    }
  }
}

// Works from the output alone: where y < 0 the scaled input was y / slope.
MFS_CLONES void ScaleBackward(const float* y, const float* g, const float* d, float* __restrict dx, float* __restrict dd, int64_t pixels, int c) {
  for (int i = 0; i < c; ++i) dd[i] = 0;
  for (int64_t p = 0; p < pixels; ++p, y += c, g += c, dx += c) {
    for (int i = 0; i < c; ++i) {
      dd[i] += g[i] * y[i];  // slope * (y / slope)
      dx[i] = g[i] * d[i] * (y[i] > 0 ? 1.0f : kSlope);
    }
  }
  for (int i = 0; i < c; ++i) dd[i] /= d[i];
}

struct ScaleFunction : Function<ScaleFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& scale_in) {
    const Tensor x = x_in.contiguous(), scale = scale_in.contiguous();
    Tensor y = Like(x, x.sizes());
    const int64_t step = x[0].numel();
    const int c = static_cast<int>(x.size(3));
    const float *xp = x.data_ptr<float>(), *dp = scale.data_ptr<float>();
    float* yp = y.data_ptr<float>();
    ForEachSample(x.size(0), [&](int64_t n) { ScaleForward(xp + n * step, dp + n * c, yp + n * step, step / c, c); });
    ctx->save_for_backward({y, scale});
    return y;
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &y = saved[0], &scale = saved[1];
    const Tensor g = grads[0].contiguous();
    Tensor dx = Like(y, y.sizes()), dd = Like(scale, scale.sizes());
    const int64_t step = y[0].numel();
    const int c = static_cast<int>(y.size(3));
    const float *yp = y.data_ptr<float>(), *gp = g.data_ptr<float>(), *dp = scale.data_ptr<float>();
    float *dxp = dx.data_ptr<float>(), *ddp = dd.data_ptr<float>();
    ForEachSample(y.size(0), [&](int64_t n) { ScaleBackward(yp + n * step, gp + n * step, dp + n * c, dxp + n * step, ddp + n * c, step / c, c); });
    return {dx, dd};
  }
};

// ---- Upsampling ----

struct Lerp {
  int low;
  float t;
};
std::vector<Lerp> Positions(int64_t n) {
  std::vector<Lerp> p(2 * n);
  for (int64_t i = 0; i < 2 * n; ++i) {
    const double at = n > 1 ? static_cast<double>(i) * (n - 1) / (2 * n - 1) : 0;
    const int low = std::min<int>(static_cast<int>(at), static_cast<int>(std::max<int64_t>(n - 2, 0)));
    p[i] = {low, static_cast<float>(at - low)};
  }
  return p;
}

MFS_CLONES void UpsampleForward(const float* x, float* __restrict y, int h, int w, int c, const Lerp* rows, const Lerp* columns, float* __restrict line) {
  const int next_row = h > 1 ? w * c : 0, next = w > 1 ? c : 0;
  for (int oy = 0; oy < 2 * h; ++oy) {
    const float* a = x + static_cast<int64_t>(rows[oy].low) * w * c;
    const float t = rows[oy].t;
    for (int i = 0; i < w * c; ++i) line[i] = a[i] + t * (a[next_row + i] - a[i]);
    for (int ox = 0; ox < 2 * w; ++ox, y += c) {
      const float* p = line + columns[ox].low * c;
      const float s = columns[ox].t;
      for (int i = 0; i < c; ++i) y[i] = p[i] + s * (p[next + i] - p[i]);
    }
  }
}

MFS_CLONES void UpsampleBackward(const float* g, float* __restrict dx, int h, int w, int c, const Lerp* rows, const Lerp* columns, float* __restrict line) {
  const int next_row = h > 1 ? w * c : 0, next = w > 1 ? c : 0;
  std::fill(dx, dx + static_cast<int64_t>(h) * w * c, 0.0f);
  for (int oy = 0; oy < 2 * h; ++oy) {
    std::fill(line, line + w * c, 0.0f);
    for (int ox = 0; ox < 2 * w; ++ox, g += c) {
      float* p = line + columns[ox].low * c;
      const float s = columns[ox].t;
      for (int i = 0; i < c; ++i) {
        p[i] += (1 - s) * g[i];
        p[next + i] += s * g[i];
      }
    }
    float* a = dx + static_cast<int64_t>(rows[oy].low) * w * c;
    const float t = rows[oy].t;
    for (int i = 0; i < w * c; ++i) {
      a[i] += (1 - t) * line[i];
      a[next_row + i] += t * line[i];
    }
  }
}

struct UpsampleFunction : Function<UpsampleFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in) {
    const Tensor x = x_in.contiguous();
    const int h = static_cast<int>(x.size(1)), w = static_cast<int>(x.size(2)), c = static_cast<int>(x.size(3));
    Tensor y = Like(x, {x.size(0), 2 * h, 2 * w, c});
    const auto rows = Positions(h), columns = Positions(w);
    const float* xp = x.data_ptr<float>();
    float* yp = y.data_ptr<float>();
    ForEachSample(x.size(0), [&](int64_t n) {
      std::vector<float> line(static_cast<size_t>(w) * c);
      UpsampleForward(xp + n * h * w * c, yp + 4 * n * h * w * c, h, w, c, rows.data(), columns.data(), line.data());
    });
    ctx->saved_data["sizes"] = x.sizes().vec();
    return y;
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) {
    const Tensor g = grads[0].contiguous();
    const auto sizes = ctx->saved_data["sizes"].toIntVector();
    const int h = static_cast<int>(sizes[1]), w = static_cast<int>(sizes[2]), c = static_cast<int>(sizes[3]);
    Tensor dx = Like(g, sizes);
    const auto rows = Positions(h), columns = Positions(w);
    const float* gp = g.data_ptr<float>();
    float* p = dx.data_ptr<float>();
    ForEachSample(sizes[0], [&](int64_t n) {
      std::vector<float> line(static_cast<size_t>(w) * c);
      UpsampleBackward(gp + 4 * n * h * w * c, p + n * h * w * c, h, w, c, rows.data(), columns.data(), line.data());
    });
    return {dx};
  }
};

// ---- Batch norm and LeakyReLU ----

MFS_CLONES void AddSums(const float* x, int64_t pixels, int c, float* __restrict sum, float* __restrict squares) {
  for (int64_t p = 0; p < pixels; ++p, x += c) {
    for (int i = 0; i < c; ++i) sum[i] += x[i], squares[i] += x[i] * x[i];
  }
}
MFS_CLONES void AffineLeaky(const float* x, const float* a, const float* b, float* __restrict y, int64_t pixels, int c) {
  for (int64_t p = 0; p < pixels; ++p, x += c, y += c) {
    for (int i = 0; i < c; ++i) {
      const float v = a[i] * x[i] + b[i];
      y[i] = v > 0 ? v : kSlope * v;
    }
  }
}
// sum of g' and of g' * v, where v is the value before the LeakyReLU and g' the gradient there.
MFS_CLONES void LeakySums(const float* y, const float* g, int64_t pixels, int c, float* __restrict sum, float* __restrict product) {
  for (int64_t p = 0; p < pixels; ++p, y += c, g += c) {
    for (int i = 0; i < c; ++i) {
      sum[i] += g[i] * (y[i] > 0 ? 1.0f : kSlope);
      product[i] += g[i] * y[i];  // slope * g * (y / slope)
    }
  }
}
MFS_CLONES void NormBackward(const float* y, const float* g, const float* a, const float* b, const float* k, float* __restrict dx, int64_t pixels, int c) {
  for (int64_t p = 0; p < pixels; ++p, y += c, g += c, dx += c) {
    for (int i = 0; i < c; ++i) {
      const bool up = y[i] > 0;
      dx[i] = a[i] * (g[i] * (up ? 1.0f : kSlope)) + b[i] * (up ? y[i] : y[i] / kSlope) + k[i];
    }
  }
}

// Per-sample rows of c floats summed in double.
template <typename F>
std::pair<std::vector<double>, std::vector<double>> SumPair(int64_t n, int c, const F& f) {
  std::vector<float> a(n * c), b(n * c);
  ForEachSample(n, [&](int64_t i) { f(i, a.data() + i * c, b.data() + i * c); });
  std::vector<double> sa(c), sb(c);
  for (int64_t i = 0; i < n * c; ++i) sa[i % c] += a[i], sb[i % c] += b[i];
  return {sa, sb};
}

struct NormFunction : Function<NormFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& weight, const Tensor& bias, Tensor running_mean, Tensor running_var, bool training, double momentum, double eps) {
    const Tensor x = x_in.contiguous();
    const int64_t n = x.size(0), step = x[0].numel();
    const int c = static_cast<int>(x.size(3));
    const int64_t pixels = step / c, count = n * pixels;
    const float *xp = x.data_ptr<float>(), *wp = weight.data_ptr<float>(), *bp = bias.data_ptr<float>();
    float *mp = running_mean.data_ptr<float>(), *vp = running_var.data_ptr<float>();
    std::vector<float> a(c), b(c);
    Tensor inverse = Like(x, {c});
    if (training) {
      const auto [sum, squares] = SumPair(n, c, [&](int64_t i, float* s, float* q) { AddSums(xp + i * step, pixels, c, s, q); });
      for (int i = 0; i < c; ++i) {
        const double mean = sum[i] / count, variance = std::max(squares[i] / count - mean * mean, 0.0);
        const double inv = 1 / std::sqrt(variance + eps);
        inverse.data_ptr<float>()[i] = static_cast<float>(inv);
        a[i] = static_cast<float>(wp[i] * inv), b[i] = static_cast<float>(bp[i] - mean * wp[i] * inv);
        mp[i] += static_cast<float>(momentum * (mean - mp[i]));
        vp[i] += static_cast<float>(momentum * (variance * count / std::max<int64_t>(count - 1, 1) - vp[i]));
      }
    } else {
      for (int i = 0; i < c; ++i) {
        const double inv = 1 / std::sqrt(vp[i] + eps);
        inverse.data_ptr<float>()[i] = static_cast<float>(inv);
        a[i] = static_cast<float>(wp[i] * inv), b[i] = static_cast<float>(bp[i] - mp[i] * wp[i] * inv);
      }
    }
    Tensor y = Like(x, x.sizes());
    float* yp = y.data_ptr<float>();
    ForEachSample(n, [&](int64_t i) { AffineLeaky(xp + i * step, a.data(), b.data(), yp + i * step, pixels, c); });
    ctx->save_for_backward({y, weight, bias, inverse});
    ctx->saved_data["training"] = training;
    return y;
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &y = saved[0], &weight = saved[1], &bias = saved[2], &inverse = saved[3];
    const Tensor g = grads[0].contiguous();
    const int64_t n = y.size(0), step = y[0].numel();
    const int c = static_cast<int>(y.size(3));
    const int64_t pixels = step / c, count = n * pixels;
    const float *yp = y.data_ptr<float>(), *gp = g.data_ptr<float>(), *wp = weight.data_ptr<float>(), *bp = bias.data_ptr<float>(), *ip = inverse.data_ptr<float>();
    const auto [sum, product] = SumPair(n, c, [&](int64_t i, float* s, float* q) { LeakySums(yp + i * step, gp + i * step, pixels, c, s, q); });
    Tensor dw = Like(weight, weight.sizes()), db = Like(bias, bias.sizes()), dx = Like(y, y.sizes());
    std::vector<float> a(c), b(c), k(c);
    const bool training = ctx->saved_data["training"].toBool();
    for (int i = 0; i < c; ++i) {
      // v = w * xhat + bias, so xhat = (v - bias) / w; a weight of zero has lost it and its gradient stays zero.
      const double w = wp[i], safe = std::fabs(w) > 1e-12 ? w : 1e-12;
      const double dxhat = (product[i] - bp[i] * sum[i]) / safe;  // sum of g' * xhat
      dw.data_ptr<float>()[i] = static_cast<float>(dxhat);
      db.data_ptr<float>()[i] = static_cast<float>(sum[i]);
      a[i] = static_cast<float>(w * ip[i]);
      if (!training) continue;
      // dx = w inv (g' - mean(g') - xhat mean(g' xhat))
      b[i] = static_cast<float>(-w * ip[i] * dxhat / count / safe);
      k[i] = static_cast<float>(-w * ip[i] * (sum[i] / count - bp[i] * dxhat / count / safe));
    }
    float* dp = dx.data_ptr<float>();
    ForEachSample(n, [&](int64_t i) { NormBackward(yp + i * step, gp + i * step, a.data(), b.data(), k.data(), dp + i * step, pixels, c); });
    return {dx, dw, db, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// ---- Frozen bias and PReLU ----

MFS_CLONES void BiasPrelu(const float* x, const float* bias, const float* slope, float* __restrict y, int64_t pixels, int c) {
  for (int64_t p = 0; p < pixels; ++p, x += c, y += c) {
    for (int i = 0; i < c; ++i) {
      const float v = x[i] + bias[i];
      y[i] = v > 0 ? v : slope[i] * v;
    }
  }
}
MFS_CLONES void BiasPreluBackward(const float* x, const float* bias, const float* slope, const float* g, float* __restrict dx, int64_t pixels, int c) {
  for (int64_t p = 0; p < pixels; ++p, x += c, g += c, dx += c) {
    for (int i = 0; i < c; ++i) dx[i] = g[i] * (x[i] + bias[i] > 0 ? 1.0f : slope[i]);
  }
}

struct PreluFunction : Function<PreluFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& bias, const Tensor& slope) {
    const Tensor x = x_in.contiguous();
    Tensor y = Like(x, x.sizes());
    const int64_t step = x[0].numel();
    const int c = static_cast<int>(x.size(-1));
    const float *xp = x.data_ptr<float>(), *bp = bias.data_ptr<float>(), *sp = slope.data_ptr<float>();
    float* yp = y.data_ptr<float>();
    ForEachSample(x.size(0), [&](int64_t n) { BiasPrelu(xp + n * step, bp, sp, yp + n * step, step / c, c); });
    if (x_in.requires_grad()) ctx->save_for_backward({x, bias, slope});
    return y;
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor g = grads[0].contiguous();
    Tensor dx = Like(x, x.sizes());
    const int64_t step = x[0].numel();
    const int c = static_cast<int>(x.size(-1));
    const float *xp = x.data_ptr<float>(), *bp = saved[1].data_ptr<float>(), *sp = saved[2].data_ptr<float>(), *gp = g.data_ptr<float>();
    float* dp = dx.data_ptr<float>();
    ForEachSample(x.size(0), [&](int64_t n) { BiasPreluBackward(xp + n * step, bp, sp, gp + n * step, dp + n * step, step / c, c); });
    return {dx, Tensor(), Tensor()};
  }
};

// ---- Small convolutions, channel planes with a border of zeros inside ----

// One sample's channels as planes of (h+2) x (w+2).
MFS_CLONES void ToPlanes(const float* x, float* __restrict planes, int h, int w, int c) {
  const int64_t row = w + 2, plane = (h + 2) * row;
  std::fill(planes, planes + c * plane, 0.0f);
  for (int i = 0; i < c; ++i) {
    for (int y = 0; y < h; ++y) {
      const float* from = x + static_cast<int64_t>(y) * w * c + i;
      float* __restrict to = planes + i * plane + (y + 1) * row + 1;
      for (int p = 0; p < w; ++p) to[p] = from[static_cast<int64_t>(p) * c];
    }
  }
}

// kernel [co][ci][9]; turned: as a transposed convolution wants it, [ci][co] with the taps from the end.
MFS_CLONES void SmallConvForward(const float* planes, const float* kernel, const float* bias, float* __restrict out, int h, int w, int ci, int co, bool turned) {
  const int64_t row = w + 2, plane = (h + 2) * row;
  std::vector<float> line(w);
  float* __restrict sum = line.data();
  for (int y = 0; y < h; ++y) {
    for (int o = 0; o < co; ++o) {
      std::fill(sum, sum + w, bias == nullptr ? 0.0f : bias[o]);
      for (int i = 0; i < ci; ++i) {
        const float *a = planes + i * plane + y * row, *b = a + row, *c = b + row;
        float k[9];
        for (int t = 0; t < 9; ++t) k[t] = turned ? kernel[(static_cast<int64_t>(i) * co + o) * 9 + 8 - t] : kernel[(static_cast<int64_t>(o) * ci + i) * 9 + t];
        for (int x = 0; x < w; ++x) {
          sum[x] += (k[0] * a[x] + k[1] * a[x + 1] + k[2] * a[x + 2]) + (k[3] * b[x] + k[4] * b[x + 1] + k[5] * b[x + 2]) + (k[6] * c[x] + k[7] * c[x + 1] + k[8] * c[x + 2]);
        }
      }
      float* to = out + static_cast<int64_t>(y) * w * co + o;
      for (int x = 0; x < w; ++x) to[static_cast<int64_t>(x) * co] = sum[x];
    }
  }
}

// dw [co][ci][9] of one sample; g: planes of the output's gradient, with the border.
MFS_CLONES void SmallConvKernel(const float* planes, const float* g, float* __restrict dw, int h, int w, int ci, int co) {
  const int64_t row = w + 2, plane = (h + 2) * row;
  const int full = w / kLane * kLane;
  for (int o = 0; o < co; ++o) {
    for (int i = 0; i < ci; ++i) {
      Lane sum[9] = {};
      float rest[9] = {};
      for (int y = 0; y < h; ++y) {
        const float *go = g + o * plane + (y + 1) * row + 1, *a = planes + i * plane + y * row;
        for (int x = 0; x < full; x += kLane) {
          const Lane v = LoadLane<Full>(go + x);
#pragma GCC unroll 9
          for (int t = 0; t < 9; ++t) sum[t] += v * LoadLane<Full>(a + (t / 3) * row + t % 3 + x);
        }
        for (int x = full; x < w; ++x) {
          for (int t = 0; t < 9; ++t) rest[t] += go[x] * a[(t / 3) * row + t % 3 + x];
        }
      }
      for (int t = 0; t < 9; ++t) {
        float total = rest[t];
        for (int l = 0; l < kLane; ++l) total += sum[t][l];
        dw[(static_cast<int64_t>(o) * ci + i) * 9 + t] = total;
      }
    }
  }
}

struct SmallConvFunction : Function<SmallConvFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& weight_in, const Tensor& bias) {
    const Tensor x = x_in.contiguous(), weight = weight_in.contiguous();
    const int h = static_cast<int>(x.size(1)), w = static_cast<int>(x.size(2)), ci = static_cast<int>(x.size(3)), co = static_cast<int>(weight.size(0));
    const int64_t pixels = static_cast<int64_t>(h) * w;
    Tensor y = Like(x, {x.size(0), h, w, co}), planes = Like(x, {x.size(0), ci, h + 2, w + 2});
    const int64_t in_step = planes[0].numel();
    const float *xp = x.data_ptr<float>(), *kp = weight.data_ptr<float>(), *bp = bias.data_ptr<float>();
    float *yp = y.data_ptr<float>(), *pp = planes.data_ptr<float>();
    ForEachSample(x.size(0), [&](int64_t n) {
      ToPlanes(xp + n * ci * pixels, pp + n * in_step, h, w, ci);
      SmallConvForward(pp + n * in_step, kp, bp, yp + n * co * pixels, h, w, ci, co, false);
    });
    ctx->save_for_backward({planes, weight});
    return y;
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &planes = saved[0], &weight = saved[1];
    const Tensor g = grads[0].contiguous();
    const int64_t n_all = g.size(0), in_step = planes[0].numel();
    const int ci = static_cast<int>(planes.size(1)), h = static_cast<int>(g.size(1)), w = static_cast<int>(g.size(2)), co = static_cast<int>(weight.size(0));
    const int64_t pixels = static_cast<int64_t>(h) * w;
    Tensor dx = Like(g, {n_all, h, w, ci}), dw = Like(g, {n_all, co, ci, 3, 3});
    const float *pp = planes.data_ptr<float>(), *kp = weight.data_ptr<float>(), *gp = g.data_ptr<float>();
    float *dxp = dx.data_ptr<float>(), *dwp = dw.data_ptr<float>();
    ForEachSample(n_all, [&](int64_t n) {
      std::vector<float> go(static_cast<size_t>(co) * (h + 2) * (w + 2));
      ToPlanes(gp + n * co * pixels, go.data(), h, w, co);
      SmallConvKernel(pp + n * in_step, go.data(), dwp + n * co * ci * 9, h, w, ci, co);
      SmallConvForward(go.data(), kp, nullptr, dxp + n * ci * pixels, h, w, co, ci, true);
    });
    return {dx, dw.sum(0), g.sum({0, 1, 2})};
  }
};

// ---- Patches ----

struct PatchesFunction : Function<PatchesFunction> {
  // Calls f(pixel in, row out) for every tap inside.
  template <typename F>
  static void ForTaps(int h, int w, int k, int stride, int pad, const F& f) {
    const int ho = (h + 2 * pad - k) / stride + 1, wo = (w + 2 * pad - k) / stride + 1;
    for (int oy = 0; oy < ho; ++oy) {
      for (int ox = 0; ox < wo; ++ox) {
        for (int t = 0; t < k * k; ++t) {
          const int y = oy * stride + t / k - pad, x = ox * stride + t % k - pad;
          if (y >= 0 && y < h && x >= 0 && x < w) f(static_cast<int64_t>(y) * w + x, (static_cast<int64_t>(oy) * wo + ox) * k * k + t);
        }
      }
    }
  }
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, int64_t k, int64_t stride, int64_t pad) {
    const Tensor x = x_in.contiguous();
    const int h = static_cast<int>(x.size(1)), w = static_cast<int>(x.size(2));
    const int64_t c = x.size(3), ho = (h + 2 * pad - k) / stride + 1, wo = (w + 2 * pad - k) / stride + 1;
    Tensor y = torch::zeros({x.size(0), ho, wo, k * k * c}, x.options().requires_grad(false));
    const float* xp = x.data_ptr<float>();
    float* yp = y.data_ptr<float>();
    ForEachSample(x.size(0), [&](int64_t n) {
      const float* in = xp + n * h * w * c;
      float* out = yp + n * ho * wo * k * k * c;
      ForTaps(h, w, static_cast<int>(k), static_cast<int>(stride), static_cast<int>(pad), [&](int64_t from, int64_t to) { std::copy_n(in + from * c, c, out + to * c); });
    });
    ctx->saved_data["sizes"] = x.sizes().vec();
    ctx->saved_data["k"] = k, ctx->saved_data["stride"] = stride, ctx->saved_data["pad"] = pad;
    return y;
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) {
    const Tensor g = grads[0].contiguous();
    const auto sizes = ctx->saved_data["sizes"].toIntVector();
    const int64_t k = ctx->saved_data["k"].toInt(), stride = ctx->saved_data["stride"].toInt(), pad = ctx->saved_data["pad"].toInt();
    const int h = static_cast<int>(sizes[1]), w = static_cast<int>(sizes[2]);
    const int64_t c = sizes[3], step = g[0].numel();
    Tensor dx = torch::zeros(sizes, g.options());
    const float* gp = g.data_ptr<float>();
    float* p = dx.data_ptr<float>();
    ForEachSample(sizes[0], [&](int64_t n) {
      const float* from = gp + n * step;
      float* to = p + n * h * w * c;
      ForTaps(h, w, static_cast<int>(k), static_cast<int>(stride), static_cast<int>(pad), [&](int64_t pixel, int64_t row) {
        const float* a = from + row * c;
        float* b = to + pixel * c;
        for (int64_t i = 0; i < c; ++i) b[i] += a[i];
      });
    });
    return {dx, Tensor(), Tensor(), Tensor()};
  }
};

// ---- Fusion ----

MFS_CLONES void FuseForward(const float* image, const float* mask, const float* target, float* __restrict out, int64_t pixels) {
  for (int64_t p = 0; p < pixels; ++p) {
    for (int c = 0; c < 3; ++c) out[3 * p + c] = target[3 * p + c] + mask[p] * (image[3 * p + c] - target[3 * p + c]);
  }
}
MFS_CLONES void FuseBackward(const float* image, const float* mask, const float* target, const float* g, float* __restrict di, float* __restrict dm, int64_t pixels) {
  for (int64_t p = 0; p < pixels; ++p) {
    float sum = 0;
    for (int c = 0; c < 3; ++c) {
      di[3 * p + c] = mask[p] * g[3 * p + c];
      sum += g[3 * p + c] * (image[3 * p + c] - target[3 * p + c]);
    }
    dm[p] = sum;
  }
}

struct FuseFunction : Function<FuseFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& image_in, const Tensor& mask_in, const Tensor& target_in) {
    const Tensor image = image_in.contiguous(), mask = mask_in.contiguous(), target = target_in.contiguous();
    Tensor out = Like(image, image.sizes());
    FuseForward(image.data_ptr<float>(), mask.data_ptr<float>(), target.data_ptr<float>(), out.data_ptr<float>(), mask.numel());
    ctx->save_for_backward({image, mask, target});
    return out;
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor g = grads[0].contiguous();
    Tensor di = Like(g, g.sizes()), dm = Like(g, saved[1].sizes());
    FuseBackward(saved[0].data_ptr<float>(), saved[1].data_ptr<float>(), saved[2].data_ptr<float>(), g.data_ptr<float>(), di.data_ptr<float>(), dm.data_ptr<float>(), dm.numel());
    return {di, dm, Tensor()};
  }
};

// ---- Reconstruction loss ----

// Adds to grad and returns w times the mean over cells of kCell x kCell pixels and three colours of |the cell's mean difference|; kChroma: of that less the mean of the three.
template <int kCell, bool kChroma>
inline __attribute__((always_inline)) double CellLoss(const float* d, float* __restrict grad, int h, int row, float w) {
  const int cells_x = row / (3 * kCell), cells_y = h / kCell;
  const float k = w / (3.0f * cells_x * cells_y * kCell * kCell);
  double total = 0;
  for (int cy = 0; cy < cells_y; ++cy) {
    for (int cx = 0; cx < cells_x; ++cx) {
      const int64_t first = static_cast<int64_t>(cy * kCell) * row + cx * 3 * kCell;
      float sum[3] = {};
      for (int y = 0; y < kCell; ++y) {
        const float* a = d + first + static_cast<int64_t>(y) * row;
        for (int x = 0; x < kCell; ++x) {
          for (int c = 0; c < 3; ++c) sum[c] += a[3 * x + c];
        }
      }
      const float grey = kChroma ? (sum[0] + sum[1] + sum[2]) / 3 : 0;
      float s[3];
      for (int c = 0; c < 3; ++c) {
        const float v = sum[c] - grey;
        total += k * std::fabs(v);
        s[c] = v > 0 ? k : v < 0 ? -k : 0;
      }
      const float common = kChroma ? (s[0] + s[1] + s[2]) / 3 : 0;
      for (float& v : s) v -= common;
      for (int y = 0; y < kCell; ++y) {
        float* g = grad + first + static_cast<int64_t>(y) * row;
        for (int x = 0; x < kCell; ++x) {
          for (int c = 0; c < 3; ++c) g[3 * x + c] += s[c];
        }
      }
    }
  }
  return total;
}

// Adds the loss of one sample's difference d (h rows of `row` = 3 w values) and writes its gradient.
__attribute__((optimize("fast-math"))) MFS_CLONES double ReconstructionSample(const float* d, float* __restrict grad, int h, int row, float w_l1, float w_gradient, float w_colour, float w_chroma) {
  const int64_t n = static_cast<int64_t>(h) * row;
  double total = 0;
  const float k1 = w_l1 / n, kx = w_gradient / (static_cast<float>(h) * (row - 3)), ky = w_gradient / (static_cast<float>(h - 1) * row);
  for (int y = 0; y < h; ++y) {
    const float* a = d + static_cast<int64_t>(y) * row;
    float* g = grad + static_cast<int64_t>(y) * row;
    float s1 = 0;
    for (int i = 0; i < row; ++i) s1 += std::fabs(a[i]), g[i] = a[i] > 0 ? k1 : a[i] < 0 ? -k1 : 0;
    total += k1 * s1;
  }
  for (int y = 0; y < h; ++y) {
    const float* a = d + static_cast<int64_t>(y) * row;
    float* g = grad + static_cast<int64_t>(y) * row;
    float sx = 0;
    for (int i = 3; i < row; ++i) {
      const float e = a[i] - a[i - 3], s = e > 0 ? kx : e < 0 ? -kx : 0;
      sx += std::fabs(e);
      g[i] += s;
    }
    for (int i = 0; i < row - 3; ++i) {
      const float e = a[i + 3] - a[i];
      g[i] -= e > 0 ? kx : e < 0 ? -kx : 0;
    }
    total += kx * sx;
    if (y == 0) continue;
    float sy = 0;
    for (int i = 0; i < row; ++i) {
      const float e = a[i] - a[i - row], s = e > 0 ? ky : e < 0 ? -ky : 0;
      sy += std::fabs(e);
      g[i] += s;
      g[i - row] -= s;
    }
    total += ky * sy;
  }
  if (w_colour > 0) total += CellLoss<16, false>(d, grad, h, row, w_colour);
  if (w_chroma > 0) total += CellLoss<2, true>(d, grad, h, row, w_chroma);
  return total;
}

struct ReconstructionFunction : Function<ReconstructionFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& a, const Tensor& b, const Tensor& weight, double l1, double gradient, double colour, double chroma) {
    TORCH_CHECK(a.dim() == 4 && a.size(3) == 3 && a.size(1) % 16 == 0 && a.size(2) % 16 == 0, "ReconstructionLoss: shape");
    const Tensor d = (a - b).contiguous(), wt = weight.contiguous();
    Tensor grad = Like(d, d.sizes());
    const int64_t n = d.size(0), step = d[0].numel();
    std::vector<double> totals(n);
    const float* dp = d.data_ptr<float>();
    float* gp = grad.data_ptr<float>();
    ForEachSample(n, [&](int64_t i) {
      const float w = wt.data_ptr<float>()[i] / static_cast<float>(n);
      totals[i] = ReconstructionSample(dp + i * step, gp + i * step, static_cast<int>(d.size(1)), static_cast<int>(3 * d.size(2)), static_cast<float>(l1) * w, static_cast<float>(gradient) * w,
                                       static_cast<float>(colour) * w, static_cast<float>(chroma) * w);
    });
    ctx->save_for_backward({grad});
    double total = 0;
    for (double t : totals) total += t;
    return torch::full({}, total, d.options().requires_grad(false));
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) { return {ctx->get_saved_variables()[0] * grads[0], Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()}; }
};

// ---- Smaller pictures ----

// The old pixels that a new one covers, and their shares of it.
struct Span {
  int first;
  std::vector<float> shares;
};
std::vector<Span> Spans(int64_t from, int64_t to) {
  std::vector<Span> spans(to);
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  for (int64_t i = 0; i < to; ++i) {
    const double low = static_cast<double>(i) * scale, high = low + scale;
    spans[i].first = static_cast<int>(low);
    for (int64_t k = spans[i].first; k < std::min(from, static_cast<int64_t>(std::ceil(high))); ++k) {
      const double share = std::min(high, k + 1.0) - std::max(low, static_cast<double>(k));
      spans[i].shares.push_back(static_cast<float>(std::max(0.0, share) / scale));
    }
  }
  return spans;
}

// x: rows of w pixels of c channels.
MFS_CLONES void ShrinkForward(const float* x, float* __restrict y, int w, int c, const std::vector<Span>& rows, const std::vector<Span>& columns) {
  const int row = w * c;
  std::vector<float> line(row);
  float* __restrict sum = line.data();
  for (const Span& r : rows) {
    std::fill(sum, sum + row, 0.0f);
    for (size_t k = 0; k < r.shares.size(); ++k) {
      const float* from = x + static_cast<int64_t>(r.first + k) * row;
      const float share = r.shares[k];
      for (int i = 0; i < row; ++i) sum[i] += share * from[i];
    }
    for (const Span& column : columns) {
      for (int i = 0; i < c; ++i, ++y) {
        *y = 0;
        for (size_t k = 0; k < column.shares.size(); ++k) *y += column.shares[k] * sum[(column.first + k) * c + i];
      }
    }
  }
}
// dx is zeros before.
MFS_CLONES void ShrinkBackward(const float* g, float* __restrict dx, int w, int c, const std::vector<Span>& rows, const std::vector<Span>& columns) {
  const int row = w * c;
  std::vector<float> line(row);
  float* __restrict sum = line.data();
  for (const Span& r : rows) {
    std::fill(sum, sum + row, 0.0f);
    for (const Span& column : columns) {
      for (int i = 0; i < c; ++i, ++g) {
        for (size_t k = 0; k < column.shares.size(); ++k) sum[(column.first + k) * c + i] += column.shares[k] * *g;
      }
    }
    for (size_t k = 0; k < r.shares.size(); ++k) {
      float* to = dx + static_cast<int64_t>(r.first + k) * row;
      const float share = r.shares[k];
      for (int i = 0; i < row; ++i) to[i] += share * sum[i];
    }
  }
}

struct ShrinkFunction : Function<ShrinkFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, int64_t height, int64_t width) {
    const Tensor x = x_in.contiguous();
    const int w = static_cast<int>(x.size(2)), c = static_cast<int>(x.size(3));
    const auto rows = Spans(x.size(1), height), columns = Spans(w, width);
    Tensor y = Like(x, {x.size(0), height, width, c});
    const int64_t in_step = x[0].numel(), out_step = height * width * c;
    const float* xp = x.data_ptr<float>();
    float* yp = y.data_ptr<float>();
    ForEachSample(x.size(0), [&](int64_t n) { ShrinkForward(xp + n * in_step, yp + n * out_step, w, c, rows, columns); });
    ctx->saved_data["sizes"] = x.sizes().vec();
    return y;
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) {
    const Tensor g = grads[0].contiguous();
    const auto sizes = ctx->saved_data["sizes"].toIntVector();
    const int w = static_cast<int>(sizes[2]), c = static_cast<int>(sizes[3]);
    const auto rows = Spans(sizes[1], g.size(1)), columns = Spans(w, g.size(2));
    Tensor dx = torch::zeros(sizes, g.options());
    const int64_t in_step = dx[0].numel(), out_step = g[0].numel();
    const float* gp = g.data_ptr<float>();
    float* dxp = dx.data_ptr<float>();
    ForEachSample(g.size(0), [&](int64_t n) { ShrinkBackward(gp + n * out_step, dxp + n * in_step, w, c, rows, columns); });
    return {dx, Tensor(), Tensor()};
  }
};

// ---- L1 over some pixels ----

// Adds |a - b| times each pixel's weight, and writes the weight with the difference's sign.
__attribute__((optimize("fast-math"))) MFS_CLONES double WeightedL1Sample(const float* a, const float* b, const float* weight, float* __restrict signs, int64_t pixels) {
  double total = 0;
  for (int64_t first = 0; first < pixels; first += 256) {
    float sum = 0;
    for (int64_t p = first; p < std::min(pixels, first + 256); ++p) {
      for (int c = 0; c < 3; ++c) {
        const float d = a[3 * p + c] - b[3 * p + c];
        sum += weight[p] * std::fabs(d);
        signs[3 * p + c] = d > 0 ? weight[p] : d < 0 ? -weight[p] : 0;
      }
    }
    total += sum;
  }
  return total;
}

struct WeightedL1Function : Function<WeightedL1Function> {
  static Tensor forward(AutogradContext* ctx, const Tensor& a_in, const Tensor& b_in, const Tensor& weight_in) {
    const Tensor a = a_in.contiguous(), b = b_in.contiguous(), weight = weight_in.contiguous();
    TORCH_CHECK(a.sizes() == b.sizes() && a.size(3) == 3 && weight.numel() * 3 == a.numel(), "WeightedL1: shape");
    Tensor signs = Like(a, a.sizes());
    const int64_t n = a.size(0), pixels = a.size(1) * a.size(2);
    std::vector<double> totals(n);
    const float *ap = a.data_ptr<float>(), *bp = b.data_ptr<float>(), *wp = weight.data_ptr<float>();
    float* sp = signs.data_ptr<float>();
    ForEachSample(n, [&](int64_t i) { totals[i] = WeightedL1Sample(ap + 3 * i * pixels, bp + 3 * i * pixels, wp + i * pixels, sp + 3 * i * pixels, pixels); });
    double total = 0;
    for (double t : totals) total += t;
    const double area = 3 * weight.sum().item<double>() + 1;
    ctx->save_for_backward({signs});
    ctx->saved_data["area"] = area;
    return torch::full({}, total / area, a.options().requires_grad(false));
  }
  static Tensors backward(AutogradContext* ctx, Tensors grads) { return {ctx->get_saved_variables()[0] * (grads[0] / ctx->saved_data["area"].toDouble()), Tensor(), Tensor()}; }
};

}  // namespace

Tensor Depthwise(const Tensor& x, const Tensor& kernel, int k, int stride) {
  return Here(x) ? DepthwiseFunction::apply(x, kernel, static_cast<int64_t>(k), static_cast<int64_t>(stride)) : stock::Depthwise(x, kernel, k, stride);
}
Tensor ScaleLeakyRelu(const Tensor& x, const Tensor& scale) { return Here(x) ? ScaleFunction::apply(x, scale) : stock::ScaleLeakyRelu(x, scale); }
Tensor Upsample2(const Tensor& x) { return Here(x) ? UpsampleFunction::apply(x) : stock::Upsample2(x); }
Tensor BatchNormLeakyRelu(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor running_mean, Tensor running_var, bool training, double momentum, double eps) {
  return Here(x) ? NormFunction::apply(x, weight, bias, running_mean, running_var, training, momentum, eps)
                 : stock::BatchNormLeakyRelu(x, weight, bias, running_mean, running_var, training, momentum, eps);
}
Tensor FrozenBiasPrelu(const Tensor& x, const Tensor& bias, const Tensor& slope) {
  return Here(x) ? PreluFunction::apply(x, bias.defined() ? bias : torch::zeros_like(slope), slope) : stock::FrozenBiasPrelu(x, bias, slope);
}
Tensor SmallConv3x3(const Tensor& x, const Tensor& weight, const Tensor& bias) { return Here(x) ? SmallConvFunction::apply(x, weight, bias) : stock::SmallConv3x3(x, weight, bias); }
Tensor Patches(const Tensor& x, int k, int stride, int pad) {
  return Here(x) ? PatchesFunction::apply(x, static_cast<int64_t>(k), static_cast<int64_t>(stride), static_cast<int64_t>(pad)) : stock::Patches(x, k, stride, pad);
}
Tensor Convolution(const Tensor& x, const Tensor& weight, const Tensor& bias, int stride, int pad) {
  // Seen as [n,c,h,w] our tensors are of the channels_last kind, which libtorch hands to oneDNN without a copy.
  return torch::conv2d(x.permute({0, 3, 1, 2}), weight, bias, stride, pad).permute({0, 2, 3, 1});
}
Tensor Pointwise(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  // oneDNN is 1.3 to 2.5 times as fast as Debian's OpenBLAS for these shapes, but falls back to a plain loop when the channels do not fill its vectors; and libtorch hands it
  // no small batch from a single thread.
  const bool vectors = weight.size(0) % 16 == 0 && weight.size(1) % 16 == 0, handed = x.size(0) >= 16 || at::get_num_threads() > 1;
  if (vectors && handed) return Convolution(x, weight.reshape({weight.size(0), weight.size(1), 1, 1}), bias, 1, 0);
  const Tensor rows = x.reshape({-1, x.size(3)});
  return (bias.defined() ? torch::addmm(bias, rows, weight.t()) : torch::mm(rows, weight.t())).reshape({x.size(0), x.size(1), x.size(2), weight.size(0)});
}
Tensor Shrink(const Tensor& x, int64_t height, int64_t width) {
  if (x.size(1) == height && x.size(2) == width) return x;
  return Here(x) ? ShrinkFunction::apply(x, height, width) : stock::Shrink(x, height, width);
}
Tensor Fuse(const Tensor& image, const Tensor& mask, const Tensor& target) { return Here(image) ? FuseFunction::apply(image, mask, target) : stock::Fuse(image, mask, target); }
Tensor WeightedL1(const Tensor& a, const Tensor& b, const Tensor& weight) { return Here(a) ? WeightedL1Function::apply(a, b, weight) : stock::WeightedL1(a, b, weight); }
Tensor ReconstructionLoss(const Tensor& a, const Tensor& b, const Tensor& weight, const ReconstructionWeights& w) {
  return !Here(a) ? stock::ReconstructionLoss(a, b, weight, w) : ReconstructionFunction::apply(a, b, weight, w.l1, w.gradient, w.colour, w.chroma);
}

Tensor SharpnessLoss(const Tensor& a, const Tensor& b, const Tensor& like, const Tensor& weight) {
  constexpr int64_t kCell = 32;
  constexpr double kFlat = 1e-4;  // a cell with less than this mean square, 2.5 of 255, is flat: noise, not detail
  // The outermost pixels, which have no Laplacian, get 0.
  const auto laplacian = [](const Tensor& x) {
    const Tensor y = 0.299 * x.select(3, 0) + 0.587 * x.select(3, 1) + 0.114 * x.select(3, 2), middle = y.slice(1, 1, -1).slice(2, 1, -1);
    const Tensor around = y.slice(1, 0, -2).slice(2, 1, -1) + y.slice(1, 2).slice(2, 1, -1) + y.slice(1, 1, -1).slice(2, 0, -2) + y.slice(1, 1, -1).slice(2, 2);
    return torch::constant_pad_nd(4 * middle - around, {1, 1, 1, 1});
  };
  const Tensor w = weight.squeeze(3).clamp_min(0);  // a product of shrunk planes may be a last bit below
  const auto cells = [&](const Tensor& x) { return (w * x).reshape({x.size(0), x.size(1) / kCell, kCell, x.size(2) / kCell, kCell}).mean({2, 4}); };
  const Tensor la = laplacian(a), lb = laplacian(b), area = cells(torch::ones_like(w));
  const Tensor detail = cells(lb * lb), scale = detail + kFlat * area + 1e-12;
  const Tensor aim = detail * (cells(laplacian(like).square()) / (detail + 1e-12)).sqrt().clamp_max(1);
  return (area * torch::relu((aim - cells(la * lb)) / scale)).sum() / (area.sum() + 1e-6);
}

}  // namespace mfs::train
