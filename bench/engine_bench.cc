// The IDN on our engine at every CPU level and on ONNX Runtime, taking turns. engine_bench [OUTPUT.json] [ROUNDS]
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "base/file.h"
#include "oracle/ort_session.h"
#include "identity/iin.h"
#include "idn/cpu_level.h"
#include "idn/idn.h"
#include "idn/idn_onnx.h"
#include "weights/model_store.h"
#include "weights/safetensors.h"

namespace {

using namespace mfs;

constexpr int kSize = 224;
constexpr double kGmac = 0.2961;

double Seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// GMAC/s of independent multiply-adds on registers.
#if defined(__x86_64__)
__attribute__((target("avx512f"))) float FmaLoop512(int64_t n) {
  __m512 a[12];
  const __m512 x = _mm512_set1_ps(0.9999f), y = _mm512_set1_ps(1e-7f);
  for (int i = 0; i < 12; ++i) a[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = _mm512_fmadd_ps(a[i], x, y);
  }
  __m512 sum = a[0];
  for (int i = 1; i < 12; ++i) sum = _mm512_add_ps(sum, a[i]);
  return _mm512_cvtss_f32(sum);
}
__attribute__((target("avx2,fma"))) float FmaLoop256(int64_t n) {
  __m256 a[12];
  const __m256 x = _mm256_set1_ps(0.9999f), y = _mm256_set1_ps(1e-7f);
  for (int i = 0; i < 12; ++i) a[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = _mm256_fmadd_ps(a[i], x, y);
  }
  __m256 sum = a[0];
  for (int i = 1; i < 12; ++i) sum = _mm256_add_ps(sum, a[i]);
  return _mm256_cvtss_f32(sum);
}
double FmaPeak() {
  constexpr int64_t kLoops = 2000000;
  volatile float sink = 0;
  const bool wide = __builtin_cpu_supports("avx512f");
  if (!wide && !__builtin_cpu_supports("fma")) return 0;
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const double start = Seconds();
    sink = wide ? FmaLoop512(kLoops) : FmaLoop256(kLoops);
    best = std::max(best, 12.0 * (wide ? 16 : 8) * kLoops / (Seconds() - start) / 1e9);
  }
  (void)sink;
  return best;
}
#else
double FmaPeak() { return 0; }
#endif

struct Contender {
  std::string engine, level;
  int threads;
  std::function<Status()> run;
  std::vector<double> times;
};

int Fail(const Status& s) {
  std::fprintf(stderr, "engine_bench: %s\n", s.message().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 30;
  auto store = ModelStore::Open({});
  if (!store.ok()) return Fail(store.status());
  auto bytes = store->Load("mfs-slim-224.safetensors");
  if (!bytes.ok()) return Fail(bytes.status());
  auto file = SafetensorsFile::FromBuffer(*bytes);
  auto network = file.ok() ? InjectionNetwork::Create(*file) : StatusOr<std::unique_ptr<InjectionNetwork>>(file.status());
  if (!network.ok()) return Fail(network.status());
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<float> z(512), map(512 * 49), target(3 * kSize * kSize), image(target.size()), mask(kSize * kSize);
  double squares = 0;
  for (float& v : z) v = normal(rng), squares += v * v;
  for (float& v : z) v /= static_cast<float>(std::sqrt(squares));
  for (float& v : map) v = 0.2f * normal(rng);
  for (float& v : target) v = std::uniform_real_distribution<float>(0, 1)(rng);
  auto weights = (*network)->Run(z.data(), map.data());
  if (!weights.ok()) return Fail(weights.status());

  std::vector<std::unique_ptr<Idn>> idns;
  std::vector<std::unique_ptr<OrtSession>> sessions;
  std::vector<std::vector<float>> outputs;
  std::vector<Contender> contenders;
  for (const std::string& level : CpuLevels()) {
    for (int threads : {1, 2}) {
      if (threads == 2 && level != CpuLevels()[0]) continue;
      IdnOptions options;
      options.cpu = level;
      options.threads = threads;
      auto idn = Idn::Create(*weights, options);
      if (!idn.ok()) return Fail(idn.status());
      idns.push_back(std::move(*idn));
      contenders.push_back({"mfs", level, threads, [&, i = idns.back().get()] { return i->Run(target.data(), nullptr, mask.data(), image.data()); }, {}});
    }
  }
  for (int threads : {1, 2}) {
    auto session = OrtSession::Create(IdnToOnnx(*weights, kSize), {}, threads);
    if (!session.ok()) return Fail(session.status());
    sessions.push_back(std::move(*session));
    contenders.push_back({"onnxruntime", "-", threads, [&, s = sessions.back().get()] { return s->Run(target.data(), {1, 3, kSize, kSize}, &outputs); }, {}});
  }
  // The same picture first, then the race.
  for (Contender& c : contenders) {
    if (const Status s = c.run(); !s.ok()) return Fail(s);
  }
  float worst = 0;
  for (size_t i = 0; i < image.size(); ++i) worst = std::max(worst, std::fabs(image[i] - outputs[0][i]));
  if (!(worst < 1e-3f)) return Fail(Internal("the engines disagree by " + std::to_string(worst)));
  const double peak = FmaPeak();
  for (int r = 0; r < rounds; ++r) {
    for (Contender& c : contenders) {
      // The first run of a turn wakes the second core and fills the caches, as the frame before does in a video.
      for (int i = 0; i < 3; ++i) {
        const double start = Seconds();
        if (const Status s = c.run(); !s.ok()) return Fail(s);
        if (i > 0) c.times.push_back(1e3 * (Seconds() - start));
      }
    }
  }
  double opponent[3] = {};
  const auto median = [](std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
    return v[v.size() / 2];
  };
  for (const Contender& c : contenders) {
    if (c.engine == "onnxruntime") opponent[c.threads] = median(c.times);
  }
  nlohmann::ordered_json json{{"fma_peak_gmac_s", peak}, {"largest_difference", worst}, {"rounds", rounds}, {"rows", nlohmann::json::array()}};
  std::printf("IDN 224, %d rounds of two runs, contenders in turn; largest difference of the pictures %.1e; fma peak of one core %.1f GMAC/s\n", rounds, worst, peak);
  std::printf("| engine | level | threads | median ms | min ms | GMAC/s | over ONNX Runtime, same threads |\n|---|---|---|---|---|---|---|\n");
  for (const Contender& c : contenders) {
    const double m = median(c.times), least = *std::min_element(c.times.begin(), c.times.end());
    std::printf("| %s | %s | %d | %.2f | %.2f | %.1f | %.2f |\n", c.engine.c_str(), c.level.c_str(), c.threads, m, least, kGmac / m * 1e3, opponent[c.threads] / m);
    json["rows"].push_back({{"net", "idn224"}, {"engine", c.engine}, {"level", c.level}, {"threads", c.threads}, {"median_ms", m}, {"min_ms", least}, {"gmac_s", kGmac / m * 1e3}});
  }
  if (argc > 1) {
    const std::string text = json.dump(1) + "\n";
    if (const Status s = WriteFileAtomically(argv[1], text.data(), text.size()); !s.ok()) return Fail(s);
  }
  return 0;
}
