#include "weights/idn_weights.h"

#include <cstdint>
#include <cstring>

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

// In a form that compilers turn into vectors: an exponent of ones is infinity or NaN.
bool AllFinite(const std::vector<float>& values) {
  uint32_t found = 0;
  for (const float v : values) {
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    found |= (bits & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  }
  return found == 0;
}

}  // namespace

IdnWeights EmptyIdnWeights(bool detail) {
  IdnWeights w;
  for (int i = 0; i < 5; ++i) w.encoder[i] = Separable(kEncoderChannels[i], kEncoderChannels[i + 1], 4);
  for (int i = 0; i < 4; ++i) w.decoder[i] = Separable(kDecoderIn[i], kDecoderOut[i], 3);
  w.head = {Conv(32, 8, 1), Conv(8, 3, 3), Conv(3, 3, 3)};
  for (int i = 0; i < 5; ++i) w.fusion[i] = Separable(kFusionChannels[i], kFusionChannels[i + 1], 3);
  w.fusion_out = Conv(2, 1, 3);
  if (detail) w.detail = Conv(kDecoderOut[3], kDetailChannels, 1);
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
  if (w->detail.out != 0) conv("head.detail", &w->detail);
  return list;
}

Status ValidateIdnWeights(const IdnWeights& w) {
  // No names are made unless there is something to say: this runs when a live pipeline changes its person.
  const auto check = [](const std::vector<float>& v, size_t count, const char* block, int i, const char* what) -> Status {
    const bool right_size = v.size() == count;
    if (right_size && AllFinite(v)) return Status::Ok();
    const std::string name = std::string(block) + (i >= 0 ? "." + std::to_string(i) : "") + "." + what;
    return InvalidArgument("the identity's array " + name + (right_size ? " holds NaN or infinity" : " has a wrong size"));
  };
  const auto separable = [&](const SeparableWeights& s, int in, int out, int kernel, const char* block, int i) -> Status {
    if (s.in != in || s.out != out || s.kernel != kernel) return InvalidArgument("the identity's block " + std::string(block) + "." + std::to_string(i) + " has a wrong shape");
    MFS_RETURN_IF_ERROR(check(s.depthwise, static_cast<size_t>(in) * kernel * kernel, block, i, "depthwise"));
    MFS_RETURN_IF_ERROR(check(s.pointwise, static_cast<size_t>(out) * in, block, i, "pointwise"));
    return check(s.bias, out, block, i, "bias");
  };
  const auto conv = [&](const ConvWeights& c, int in, int out, int kernel, const char* block, int i) -> Status {
    if (c.in != in || c.out != out || c.kernel != kernel) return InvalidArgument("the identity's block " + std::string(block) + " has a wrong shape");
    MFS_RETURN_IF_ERROR(check(c.weight, static_cast<size_t>(out) * in * kernel * kernel, block, i, "weight"));
    return check(c.bias, out, block, i, "bias");
  };
  for (int i = 0; i < 5; ++i) MFS_RETURN_IF_ERROR(separable(w.encoder[i], kEncoderChannels[i], kEncoderChannels[i + 1], 4, "encoder", i));
  for (int i = 0; i < 4; ++i) MFS_RETURN_IF_ERROR(separable(w.decoder[i], kDecoderIn[i], kDecoderOut[i], 3, "decoder", i));
  MFS_RETURN_IF_ERROR(conv(w.head[0], 32, 8, 1, "head", 0));
  MFS_RETURN_IF_ERROR(conv(w.head[1], 8, 3, 3, "head", 1));
  MFS_RETURN_IF_ERROR(conv(w.head[2], 3, 3, 3, "head", 2));
  for (int i = 0; i < 5; ++i) MFS_RETURN_IF_ERROR(separable(w.fusion[i], kFusionChannels[i], kFusionChannels[i + 1], 3, "fusion", i));
  if (w.detail.out != 0) MFS_RETURN_IF_ERROR(conv(w.detail, kDecoderOut[3], kDetailChannels, 1, "head.detail", -1));
  return conv(w.fusion_out, 2, 1, 3, "fusion.out", -1);
}

}  // namespace mfs
