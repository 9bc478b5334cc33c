// What 8-bit arithmetic would cost and gain in the IDN (docs/engine.md, "8 bits"): mfs_int8_study PAIRS [CALIBRATION=4]
// PAIRS: lines source photo<TAB>target photo, as for `mfs-train eval --pairs`. The pictures are made by a network whose numbers are rounded as
// 8-bit kernels would round them (weights: signed, a scale for each output channel; maps: unsigned with a zero point, a scale for each map, from
// the smallest and largest value seen on CALIBRATION other targets with the same person), then judged like the full-precision ones. The speed is
// that of the two inner loops at the shapes of the network's matrix products. Not a part of the program: the numbers are for the decision.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>

#include "face/alignment.h"
#include "identity/evaluation.h"
#include "media/picture.h"
#include "race.h"
#include "swap/engine.h"

#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's own header
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#endif

namespace {

using namespace mfs;

constexpr int kSide = 224;

// Channel-last.
struct Map {
  int side = 0, channels = 0;
  std::vector<float> v;
  Map() = default;
  Map(int s, int c) : side(s), channels(c), v(static_cast<size_t>(s) * s * c) {}
};

struct Range {
  float least = 0, most = 0;
};

enum class Mode { kFloat, kMatrices, kDynamic, kAll, kEngine };  // kEngine: IdnOptions.int8; kDynamic: the matrices of the nine dynamic blocks only; kAll: depthwise and 3x3 convolutions as well

// Rows of `weights` rounded to signed 8 bits.
void RoundRows(std::vector<float>* weights, int rows) {
  const size_t n = weights->size() / rows;
  for (int r = 0; r < rows; ++r) {
    float* w = weights->data() + r * n;
    float most = 0;
    for (size_t i = 0; i < n; ++i) most = std::max(most, std::fabs(w[i]));
    const float scale = most / 127;
    for (size_t i = 0; scale > 0 && i < n; ++i) w[i] = scale * std::round(w[i] / scale);
  }
}

class Network {
 public:
  Network(const IdnWeights& weights, Mode mode) : w_(weights), mode_(mode) {
    const auto matrix = [&](SeparableWeights* s, bool dynamic) {
      if (mode == Mode::kFloat || (mode == Mode::kDynamic && !dynamic)) return;
      RoundRows(&s->pointwise, s->out);
      if (mode == Mode::kAll) RoundRows(&s->depthwise, s->in);
    };
    for (auto& s : w_.encoder) matrix(&s, true);
    for (auto& s : w_.decoder) matrix(&s, true);
    for (auto& s : w_.fusion) matrix(&s, false);
    if (mode == Mode::kMatrices || mode == Mode::kAll) {
      RoundRows(&w_.head[0].weight, w_.head[0].out);
      if (w_.detail.out != 0) RoundRows(&w_.detail.weight, w_.detail.out);
    }
    if (mode != Mode::kAll) return;
    for (int i : {1, 2}) RoundRows(&w_.head[i].weight, w_.head[i].out);
    RoundRows(&w_.fusion_out.weight, w_.fusion_out.out);
  }

  // Without rounding of maps; widens the ranges.
  void Calibrate(const std::vector<float>& target) {
    calibrating_ = true;
    Run(target);
    calibrating_ = false;
  }

  // target and result: 224 x 224 x 3 interleaved, RGB in [0,1].
  std::vector<float> Run(const std::vector<float>& target) {
    next_ = 0;
    Map x(kSide, 3);
    for (size_t i = 0; i < x.v.size(); ++i) x.v[i] = 2 * target[i] - 1;
    std::array<Map, 5> e;
    for (int i = 0; i < 5; ++i) e[i] = Separable(i == 0 ? x : e[i - 1], w_.encoder[i], 2, true);
    Map d = e[4];
    for (int i = 0; i < 4; ++i) {
      d = Separable(Upsample(d), w_.decoder[i], 1, true);
      if (i < 3) d = Concatenate(d, e[3 - i]);
    }
    const bool all = mode_ == Mode::kAll;
    Map h = Upsample(d);
    for (int i = 0; i < 3; ++i) {
      Round(&h, i == 0 ? mode_ == Mode::kMatrices || all : all);
      h = Convolve(h, w_.head[i]);
      if (i < 2) Leaky(&h);
    }
    if (w_.detail.out != 0) {
      Round(&d, mode_ == Mode::kMatrices || all);
      const Map detail = Convolve(d, w_.detail);
      for (int y = 0; y < h.side; ++y) {
        for (int x = 0; x < h.side; ++x) {
          const float added = detail.v[(static_cast<size_t>(y / 2) * detail.side + x / 2) * kDetailChannels + y % 2 * 2 + x % 2];
          for (int c = 0; c < 3; ++c) h.v[(static_cast<size_t>(y) * h.side + x) * 3 + c] += added;
        }
      }
    }
    Map m = e[4];
    for (int i = 0; i < 5; ++i) m = Separable(Upsample(m), w_.fusion[i], 1, false);
    Round(&m, all);
    m = Convolve(m, w_.fusion_out);
    std::vector<float> out(target.size());
    for (size_t p = 0; p < out.size() / 3; ++p) {
      const float k = 1 / (1 + std::exp(-m.v[p]));
      for (int c = 0; c < 3; ++c) out[3 * p + c] = k * (1 + std::tanh(h.v[3 * p + c])) / 2 + (1 - k) * target[3 * p + c];
    }
    return out;
  }

 private:
  // One of the places where an 8-bit kernel would read its map.
  void Round(Map* m, bool rounded) {
    if (!rounded) return;
    if (next_ == ranges_.size()) ranges_.push_back({});
    Range& r = ranges_[next_++];
    if (calibrating_) {
      for (float v : m->v) r.least = std::min(r.least, v), r.most = std::max(r.most, v);
      return;
    }
    const float scale = std::max(r.most - r.least, 1e-9f) / 255, zero = std::round(-r.least / scale);
    for (float& v : m->v) v = scale * (std::clamp(std::round(v / scale) + zero, 0.0f, 255.0f) - zero);
  }
  static void Leaky(Map* m) {
    for (float& v : m->v) v = v > 0 ? v : kLeakySlope * v;
  }
  static Map Concatenate(const Map& a, const Map& b) {
    Map out(a.side, a.channels + b.channels);
    for (int p = 0; p < a.side * a.side; ++p) {
      std::copy_n(&a.v[static_cast<size_t>(p) * a.channels], a.channels, &out.v[static_cast<size_t>(p) * out.channels]);
      std::copy_n(&b.v[static_cast<size_t>(p) * b.channels], b.channels, &out.v[static_cast<size_t>(p) * out.channels + a.channels]);
    }
    return out;
  }
  static Map Upsample(const Map& in) {
    Map out(2 * in.side, in.channels);
    const float scale = static_cast<float>(in.side - 1) / (out.side - 1);
    for (int y = 0; y < out.side; ++y) {
      const int y0 = std::min(static_cast<int>(y * scale), in.side - 2);
      const float fy = y * scale - y0;
      for (int x = 0; x < out.side; ++x) {
        const int x0 = std::min(static_cast<int>(x * scale), in.side - 2);
        const float fx = x * scale - x0;
        const float *a = &in.v[(static_cast<size_t>(y0) * in.side + x0) * in.channels], *b = a + static_cast<size_t>(in.side) * in.channels;
        float* o = &out.v[(static_cast<size_t>(y) * out.side + x) * in.channels];
        for (int c = 0; c < in.channels; ++c) o[c] = (1 - fy) * ((1 - fx) * a[c] + fx * a[c + in.channels]) + fy * ((1 - fx) * b[c] + fx * b[c + in.channels]);
      }
    }
    return out;
  }
  Map Separable(Map in, const SeparableWeights& w, int stride, bool dynamic) {
    Round(&in, mode_ == Mode::kAll);
    Map mid(in.side / stride, w.in);
    for (int y = 0; y < mid.side; ++y) {
      for (int x = 0; x < mid.side; ++x) {
        float* o = &mid.v[(static_cast<size_t>(y) * mid.side + x) * w.in];
        for (int ky = 0; ky < w.kernel; ++ky) {
          for (int kx = 0; kx < w.kernel; ++kx) {
            const int sy = y * stride + ky - 1, sx = x * stride + kx - 1;
            if (sy < 0 || sx < 0 || sy >= in.side || sx >= in.side) continue;
            const float* i = &in.v[(static_cast<size_t>(sy) * in.side + sx) * w.in];
            for (int c = 0; c < w.in; ++c) o[c] += w.depthwise[(static_cast<size_t>(c) * w.kernel + ky) * w.kernel + kx] * i[c];
          }
        }
      }
    }
    Round(&mid, mode_ == Mode::kAll || mode_ == Mode::kMatrices || (mode_ == Mode::kDynamic && dynamic));
    Map out(mid.side, w.out);
    Product(mid, w.pointwise, w.bias, &out);
    Leaky(&out);
    return out;
  }
  // out = weights (out x in) times every pixel + bias.
  static void Product(const Map& in, const std::vector<float>& weights, const std::vector<float>& bias, Map* out) {
    std::vector<float> turned(weights.size());
    for (int o = 0; o < out->channels; ++o) {
      for (int i = 0; i < in.channels; ++i) turned[static_cast<size_t>(i) * out->channels + o] = weights[static_cast<size_t>(o) * in.channels + i];
    }
    for (int p = 0; p < in.side * in.side; ++p) {
      float* o = &out->v[static_cast<size_t>(p) * out->channels];
      std::copy(bias.begin(), bias.end(), o);
      for (int i = 0; i < in.channels; ++i) {
        const float v = in.v[static_cast<size_t>(p) * in.channels + i];
        const float* w = &turned[static_cast<size_t>(i) * out->channels];
        for (int c = 0; c < out->channels; ++c) o[c] += v * w[c];
      }
    }
  }
  static Map Convolve(const Map& in, const ConvWeights& w) {
    Map out(in.side, w.out);
    if (w.kernel == 1) {
      Product(in, w.weight, w.bias, &out);
      return out;
    }
    for (int y = 0; y < in.side; ++y) {
      for (int x = 0; x < in.side; ++x) {
        for (int o = 0; o < w.out; ++o) {
          float sum = w.bias[o];
          for (int ky = 0; ky < 3; ++ky) {
            for (int kx = 0; kx < 3; ++kx) {
              const int sy = y + ky - 1, sx = x + kx - 1;
              if (sy < 0 || sx < 0 || sy >= in.side || sx >= in.side) continue;
              for (int c = 0; c < w.in; ++c) sum += w.weight[((static_cast<size_t>(o) * w.in + c) * 3 + ky) * 3 + kx] * in.v[(static_cast<size_t>(sy) * in.side + sx) * w.in + c];
            }
          }
          out.v[(static_cast<size_t>(y) * in.side + x) * w.out + o] = sum;
        }
      }
    }
    return out;
  }

  IdnWeights w_;
  Mode mode_;
  std::vector<Range> ranges_;
  size_t next_ = 0;
  bool calibrating_ = false;
};

StatusOr<std::vector<float>> RunEngine(const IdnWeights& weights, const std::vector<float>& target) {
  constexpr int n = kSide * kSide;
  IdnOptions options;
  options.int8 = true;
  MFS_ASSIGN_OR_RETURN(const auto idn, Idn::Create(weights, options));
  std::vector<float> planes(3 * n), mask(n), image(3 * n), result(3 * n);
  for (int i = 0; i < 3 * n; ++i) planes[i % 3 * n + i / 3] = target[i];
  MFS_RETURN_IF_ERROR(idn->Run(planes.data(), nullptr, mask.data(), image.data()));
  for (int i = 0; i < 3 * n; ++i) result[i] = image[i % 3 * n + i / 3];
  return result;
}

struct Sums {
  double difference = 0, largest = 0, squares = 0, cosine = 0, own = 0, distance = 0, hits1 = 0, hits2 = 0;
};

struct Pair {
  size_t source = 0, target = 0;
};

struct Photo {
  std::vector<float> crop;      // 224 x 224 x 3
  std::array<Point, 5> points;  // in the crop
  std::vector<float> z1, z2;
  Identity identity;  // sources only
};

Status Judge(EvaluationEmbedders* judge, const std::vector<float>& image, const std::array<Point, 5>& points, std::vector<float>* z1, std::vector<float>* z2) {
  std::vector<uint8_t> bytes(image.size());
  for (size_t i = 0; i < image.size(); ++i) bytes[i] = static_cast<uint8_t>(std::lround(std::clamp(image[i], 0.0f, 1.0f) * 255));
  const FrameView view = Rgb8View(bytes.data(), kSide, kSide, 3 * kSide);
  MFS_ASSIGN_OR_RETURN(*z1, judge->Run1(view, points));
  MFS_ASSIGN_OR_RETURN(*z2, judge->Run2(view, points));
  return Status::Ok();
}

Status Pictures(const std::string& pairs_file, int calibration) {
  MFS_ASSIGN_OR_RETURN(const auto engine, Engine::Create({}));
  MFS_ASSIGN_OR_RETURN(const auto judge, EvaluationEmbedders::Create(engine->store()));
  std::vector<Photo> photos;
  std::map<std::string, size_t> known;
  std::vector<Pair> pairs;
  std::vector<size_t> sources;
  const auto look = [&](const std::string& file) -> StatusOr<size_t> {
    if (const auto it = known.find(file); it != known.end()) return it->second;
    MFS_ASSIGN_OR_RETURN(Picture picture, ReadPicture(file));
    const FrameView view = picture.View();
    MFS_ASSIGN_OR_RETURN(const auto faces, engine->FindFaces(view));
    if (faces.empty()) return NoFace(file + ": no face");
    MFS_ASSIGN_OR_RETURN(const Affine align, ArcFaceAlignment(faces[0].points, kSide));
    ImageF crop;
    MFS_RETURN_IF_ERROR(ReadWarped(view, align, kSide, kSide, &crop));
    Photo p;
    p.crop.resize(3 * kSide * kSide);
    for (int i = 0; i < kSide * kSide; ++i) {
      for (int c = 0; c < 3; ++c) p.crop[3 * i + c] = crop.plane(c)[i];
    }
    for (int i = 0; i < 5; ++i) p.points[i] = align.Apply(faces[0].points[i]);
    MFS_RETURN_IF_ERROR(Judge(judge.get(), p.crop, p.points, &p.z1, &p.z2));
    photos.push_back(std::move(p));
    return known[file] = photos.size() - 1;
  };
  std::ifstream lines(pairs_file);
  if (!lines) return NotFound(pairs_file + ": cannot be read");
  for (std::string line; std::getline(lines, line);) {
    const size_t tab = line.find('\t');
    if (tab == std::string::npos) continue;
    const auto s = look(line.substr(0, tab)), t = look(line.substr(tab + 1));
    if (!s.ok() || !t.ok()) continue;
    if (photos[*s].identity.sources == 0) {
      std::vector<std::string> warnings;
      MFS_ASSIGN_OR_RETURN(photos[*s].identity, engine->MakeIdentity(std::vector<std::string>{line.substr(0, tab)}, &warnings));
      sources.push_back(*s);
    }
    pairs.push_back({*s, *t});
  }
  if (pairs.empty()) return InvalidArgument(pairs_file + ": no pairs with a face in both photos");

  const std::vector<std::pair<const char*, Mode>> modes = {{"single precision", Mode::kFloat},
                                                           {"matrices of the dynamic blocks", Mode::kDynamic},
                                                           {"all matrices", Mode::kMatrices},
                                                           {"everything", Mode::kAll},
                                                           {"as the engine does it (--int8)", Mode::kEngine}};
  std::vector<Sums> sums(modes.size());
  for (size_t n = 0; n < pairs.size(); ++n) {
    const Photo &source = photos[pairs[n].source], &target = photos[pairs[n].target];
    std::vector<float> exact, exact_z;
    for (size_t k = 0; k < modes.size(); ++k) {
      std::vector<float> image;
      if (modes[k].second == Mode::kEngine) {
        MFS_ASSIGN_OR_RETURN(image, RunEngine(source.identity.weights, target.crop));
      } else {
        Network net(source.identity.weights, modes[k].second);
        for (int i = 1; k > 0 && i <= calibration; ++i) net.Calibrate(photos[pairs[(n + 7 * i) % pairs.size()].target].crop);
        image = net.Run(target.crop);
      }
      std::vector<float> z1, z2;
      MFS_RETURN_IF_ERROR(Judge(judge.get(), image, target.points, &z1, &z2));
      if (k == 0) exact = image, exact_z = z1;
      Sums& s = sums[k];
      double difference = 0, squares = 0;
      for (size_t i = 0; i < image.size(); ++i) {
        const double d = 255 * std::fabs(image[i] - exact[i]);
        difference += d, squares += d * d;
        s.largest = std::max(s.largest, d);
      }
      s.difference += difference / image.size(), s.squares += squares / image.size();
      s.cosine += DotProduct(z1, source.z1), s.own += DotProduct(z1, exact_z), s.distance += SquaredDistance(z2, source.z2);
      size_t best1 = sources[0], best2 = sources[0];
      for (size_t o : sources) {
        if (DotProduct(z1, photos[o].z1) > DotProduct(z1, photos[best1].z1)) best1 = o;
        if (SquaredDistance(z2, photos[o].z2) < SquaredDistance(z2, photos[best2].z2)) best2 = o;
      }
      s.hits1 += best1 == pairs[n].source, s.hits2 += best2 == pairs[n].source;
    }
    if ((n + 1) % 10 == 0) std::fprintf(stderr, "%zu of %zu pairs\n", n + 1, pairs.size());
  }
  std::printf("%zu pairs of %zu sources, ranges from %d other targets\n\n", pairs.size(), sources.size(), calibration);
  std::printf(
      "| in 8 bits | mean difference (of 255) | largest | PSNR (dB) | cosine to single precision | cosine to the source | distance 2 | retrieval 1 / 2 (%%) |\n|---|---|---|---|---|---|---|---|\n");
  for (size_t k = 0; k < modes.size(); ++k) {
    const Sums& s = sums[k];
    const double n = static_cast<double>(pairs.size());
    std::printf("| %s | %.2f | %.0f | %.1f | %.4f | %.3f | %.3f | %.1f / %.1f |\n", modes[k].first, s.difference / n, s.largest, k == 0 ? INFINITY : 10 * std::log10(255.0 * 255 * n / s.squares),
                s.own / n, s.cosine / n, s.distance / n, 100 * s.hits1 / n, 100 * s.hits2 / n);
  }
  return Status::Ok();
}

#if defined(__x86_64__)

constexpr int kPixels = 12, kVectors = 2;  // of a tile; 24 sums in registers

// Twelve pixels of `in` channels, times 32 output channels of a matrix packed as [in][32].
__attribute__((target("avx512f,avx512bw,avx512vnni"))) void FloatTile(const float* pixels, const float* weights, int in, float* out, int out_stride) {
  __m512 sum[kPixels][kVectors];
#pragma GCC unroll 12
  for (int p = 0; p < kPixels; ++p) sum[p][0] = sum[p][1] = _mm512_setzero_ps();
  for (int i = 0; i < in; ++i) {
    const __m512 w0 = _mm512_loadu_ps(weights + 32 * i), w1 = _mm512_loadu_ps(weights + 32 * i + 16);
#pragma GCC unroll 12
    for (int p = 0; p < kPixels; ++p) {
      const __m512 v = _mm512_set1_ps(pixels[p * in + i]);
      sum[p][0] = _mm512_fmadd_ps(v, w0, sum[p][0]), sum[p][1] = _mm512_fmadd_ps(v, w1, sum[p][1]);
    }
  }
  const __m512 slope = _mm512_set1_ps(kLeakySlope);
#pragma GCC unroll 12
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(out + p * out_stride + 16 * v, _mm512_max_ps(sum[p][v], _mm512_mul_ps(sum[p][v], slope)));
  }
}

// GCC 12 moves and spills the sums around its own intrinsic; the instruction itself leaves them where they are.
#define MFS_DOT(sum, pixel, weight) asm("vpdpbusd %2,%1,%0" : "+v"(sum) : "v"(pixel), "v"(weight))

// The same from bytes: groups of four input channels, matrix as [in/4][32][4]; the sums are scaled, pass the LeakyReLU and become bytes again.
__attribute__((target("avx512f,avx512bw,avx512vnni"))) void ByteTile(const uint8_t* pixels, const int8_t* weights, int in, const float* scale, const float* shift, uint8_t* out, int out_stride) {
  __m512i sum[kPixels][kVectors];
#pragma GCC unroll 12
  for (int p = 0; p < kPixels; ++p) sum[p][0] = sum[p][1] = _mm512_setzero_si512();
  for (int i = 0; i < in / 4; ++i) {
    const __m512i w0 = _mm512_loadu_si512(weights + 128 * i), w1 = _mm512_loadu_si512(weights + 128 * i + 64);
#pragma GCC unroll 12
    for (int p = 0; p < kPixels; ++p) {
      // From memory into all lanes at once: by way of a general register it would be the slowest instruction of the loop.
      const __m512i v = _mm512_broadcastd_epi32(_mm_loadu_si32(pixels + p * in + 4 * i));
      MFS_DOT(sum[p][0], v, w0);
      MFS_DOT(sum[p][1], v, w1);
    }
  }
  const __m512 slope = _mm512_set1_ps(kLeakySlope), zero = _mm512_set1_ps(25);
#pragma GCC unroll 12
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      __m512 x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[p][v]), _mm512_loadu_ps(scale + 16 * v), _mm512_loadu_ps(shift + 16 * v));
      x = _mm512_add_ps(_mm512_max_ps(x, _mm512_mul_ps(x, slope)), zero);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + p * out_stride + 16 * v), _mm512_cvtusepi32_epi8(_mm512_max_epi32(_mm512_cvtps_epi32(x), _mm512_setzero_si512())));
    }
  }
}

void Speed() {
  if (!__builtin_cpu_supports("avx512vnni")) {
    std::printf("\nThis CPU has no AVX-512 VNNI: no speed measured.\n");
    return;
  }
  struct Shape {
    const char* name;
    int in, out, pixels;
  };
  std::vector<Shape> shapes;
  static const char* const kNames[] = {"encoder 1", "encoder 2", "encoder 3", "encoder 4", "decoder 0", "decoder 1", "decoder 2", "decoder 3"};
  for (int i = 1; i < 5; ++i) shapes.push_back({kNames[i - 1], kEncoderChannels[i], kEncoderChannels[i + 1], (kSide >> (i + 1)) * (kSide >> (i + 1))});
  for (int i = 0; i < 4; ++i) shapes.push_back({kNames[4 + i], kDecoderIn[i], kDecoderOut[i], (14 << i) * (14 << i)});
  std::printf("\n| matrix product | MMAC | single precision (GMAC/s) | 8 bits (GMAC/s) | ratio |\n|---|---|---|---|---|\n");
  double float_total = 0, byte_total = 0, macs = 0;
  for (const Shape& s : shapes) {
    const int tiles = s.pixels / kPixels;
    std::vector<float> a(static_cast<size_t>(tiles) * kPixels * s.in, 0.5f), w(static_cast<size_t>(s.in) * s.out, 0.25f), o(static_cast<size_t>(tiles) * kPixels * s.out), scale(s.out, 0.01f),
        shift(s.out, 1);
    std::vector<uint8_t> b(a.size(), 3), p(o.size());
    std::vector<int8_t> q(w.size(), 2);
    std::vector<double> float_times, byte_times;
    for (int round = 0; round < 41; ++round) {
      double start = bench::Seconds();
      for (int c = 0; c < s.out; c += 32) {
        for (int t = 0; t < tiles; ++t) FloatTile(&a[static_cast<size_t>(t) * kPixels * s.in], &w[static_cast<size_t>(c) * s.in], s.in, &o[static_cast<size_t>(t) * kPixels * s.out + c], s.out);
      }
      float_times.push_back(bench::Seconds() - start);
      start = bench::Seconds();
      for (int c = 0; c < s.out; c += 32) {
        for (int t = 0; t < tiles; ++t)
          ByteTile(&b[static_cast<size_t>(t) * kPixels * s.in], &q[static_cast<size_t>(c) * s.in], s.in, &scale[c], &shift[c], &p[static_cast<size_t>(t) * kPixels * s.out + c], s.out);
      }
      byte_times.push_back(bench::Seconds() - start);
    }
    const double f = bench::Median(float_times), n = bench::Median(byte_times), mac = static_cast<double>(tiles) * kPixels * s.in * s.out;
    float_total += f, byte_total += n, macs += mac;
    std::printf("| %s, %d to %d, %d pixels | %.1f | %.0f | %.0f | %.2f |\n", s.name, s.in, s.out, tiles * kPixels, mac / 1e6, mac / f / 1e9, mac / n / 1e9, f / n);
  }
  std::printf("| together | %.1f | %.0f | %.0f | %.2f |\n\n%.2f ms in single precision, %.2f ms in 8 bits, one thread\n", macs / 1e6, macs / float_total / 1e9, macs / byte_total / 1e9,
              float_total / byte_total, 1e3 * float_total, 1e3 * byte_total);
}

#else
void Speed() { std::printf("\nSpeed is measured on x86 only.\n"); }
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "mfs_int8_study PAIRS [CALIBRATION=4]: lines source photo<TAB>target photo; '-' for the speed only\n");
    return 2;
  }
  if (std::strcmp(argv[1], "-") != 0) {
    const Status done = Pictures(argv[1], argc > 2 ? std::max(1, std::atoi(argv[2])) : 4);
    if (!done.ok()) return std::fprintf(stderr, "mfs_int8_study: %s\n", done.message().c_str()), 1;
  }
  Speed();
  return 0;
}
