#include "weights/idn_weights.h"

#include <cmath>

namespace mfs {
namespace {

SeparableWeights Separable(int in, int out, int kernel) {
  SeparableWeights w{in, out, kernel, {}, {}, {}};
  w.depthwise.assign(static_cast<size_t>(in) * kernel * kernel, 0);
  w.pointwise.assign(static_cast<size_t>(out) * in, 0);
  w.bias.assign(out, 0);
  return w;
}

ConvWeights Conv(int in, int out, int kernel) {
  ConvWeights w{in, out, kernel, {}, {}};
  w.weight.assign(static_cast<size_t>(out) * in * kernel * kernel, 0);
  w.bias.assign(out, 0);
  return w;
}

}  // namespace

IdnWeights EmptyIdnWeights() {
  IdnWeights w;
  for (int i = 0; i < 5; ++i) w.encoder[i] = Separable(kEncoderChannels[i], kEncoderChannels[i + 1], 4);
  for (int i = 0; i < 4; ++i) w.decoder[i] = Separable(kDecoderIn[i], kDecoderOut[i], 3);
  w.head = {Conv(32, 8, 1), Conv(8, 3, 3), Conv(3, 3, 3)};
  for (int i = 0; i < 5; ++i) w.fusion[i] = Separable(kFusionChannels[i], kFusionChannels[i + 1], 3);
  w.fusion_out = Conv(2, 1, 3);
  return w;
}

std::vector<IdnArray> ListIdnArrays(IdnWeights* w) {
  std::vector<IdnArray> list;
  const auto separable = [&](const std::string& name, SeparableWeights* s, bool with_bias) {
    list.push_back({name + ".depthwise", {s->in, s->kernel, s->kernel}, &s->depthwise});
    list.push_back({name + ".pointwise", {s->out, s->in}, &s->pointwise});
    if (with_bias) list.push_back({name + ".bias", {s->out}, &s->bias});
  };
  const auto conv = [&](const std::string& name, ConvWeights* c) {
    list.push_back({name + ".weight", {c->out, c->in, c->kernel, c->kernel}, &c->weight});
    list.push_back({name + ".bias", {c->out}, &c->bias});
  };
  for (int i = 0; i < 5; ++i) separable("encoder." + std::to_string(i), &w->encoder[i], false);
  for (int i = 0; i < 4; ++i) separable("decoder." + std::to_string(i), &w->decoder[i], false);
  for (int i = 0; i < 3; ++i) conv("head." + std::to_string(i), &w->head[i]);
  for (int i = 0; i < 5; ++i) separable("fusion." + std::to_string(i), &w->fusion[i], true);
  conv("fusion.out", &w->fusion_out);
  return list;
}

Status ValidateIdnWeights(const IdnWeights& weights) {
  IdnWeights expected = EmptyIdnWeights();
  const std::vector<IdnArray> want = ListIdnArrays(&expected);
  const std::vector<IdnArray> have = ListIdnArrays(const_cast<IdnWeights*>(&weights));  // only read
  for (size_t i = 0; i < want.size(); ++i) {
    if (have[i].shape != want[i].shape || have[i].values->size() != want[i].values->size()) {
      return InvalidArgument("the identity's array " + want[i].name + " has a wrong size");
    }
    for (float v : *have[i].values) {
      if (!std::isfinite(v)) return InvalidArgument("the identity's array " + want[i].name + " holds NaN or infinity");
    }
  }
  return Status::Ok();
}

}  // namespace mfs
