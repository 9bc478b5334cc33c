// The IDN for JavaScript: one network at a time. The weights are made up from a seed, the same that idn_onnx() writes for the opponent.
#include <emscripten/emscripten.h>

#include <cmath>
#include <memory>
#include <random>

#include "idn/idn.h"
#include "idn/idn_onnx.h"

namespace {

std::unique_ptr<mfs::Idn> idn;
std::string onnx;

mfs::IdnWeights Weights() {
  mfs::IdnWeights w = mfs::EmptyIdnWeights(true);
  std::mt19937 rng(1);
  for (mfs::IdnArray& a : mfs::ListIdnArrays(&w)) {
    size_t fan = 1;
    for (size_t i = 1; i < a.shape.size(); ++i) fan *= a.shape[i];
    const float scale = a.shape.size() == 1 ? 0.1f : 1.4f / std::sqrt(static_cast<float>(fan));
    for (float& v : *a.values) v = std::normal_distribution<float>(0, scale)(rng);
  }
  return w;
}

}  // namespace

extern "C" {

// 0 when all is well.
EMSCRIPTEN_KEEPALIVE int idn_create(int size) {
  mfs::IdnOptions options;
  options.size = size;
  auto made = mfs::Idn::Create(Weights(), options);
  if (!made.ok()) return 1;
  idn = std::move(*made);
  return 0;
}
// target and image: 3 planes of floats; mask: 1.
EMSCRIPTEN_KEEPALIVE int idn_run(const float* target, float* mask, float* image) { return idn != nullptr && idn->Run(target, nullptr, mask, image).ok() ? 0 : 1; }
// The same network as an ONNX file; its length.
EMSCRIPTEN_KEEPALIVE int idn_onnx(int size) {
  onnx = mfs::IdnToOnnx(Weights(), size);
  return static_cast<int>(onnx.size());
}
EMSCRIPTEN_KEEPALIVE const char* idn_onnx_data() { return onnx.data(); }

}  // extern "C"
