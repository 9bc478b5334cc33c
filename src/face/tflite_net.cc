#include "face/tflite_net.h"

#include <flatbuffers/flatbuffers.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "weights/float16.h"

namespace mfs {
namespace {

// The schema (tensorflow/lite/schema/schema.fbs), as far as it is needed: field numbers of its tables.
constexpr flatbuffers::voffset_t Field(int i) { return static_cast<flatbuffers::voffset_t>(4 + 2 * i); }
using Table = flatbuffers::Table;
template <typename T>
using Vector = flatbuffers::Vector<T>;
using Tables = Vector<flatbuffers::Offset<Table>>;

enum Op { kAdd = 0, kConv = 3, kDepthwise = 4, kDequantize = 6, kMaxPool = 17, kMul = 18, kRelu = 19, kReshape = 22, kPad = 34, kSub = 41, kPrelu = 54, kAbs = 101 };

struct Tensor {
  std::vector<int> shape;
  std::vector<float> constant;  // empty: made by an operator
  std::vector<int> integers;
  bool is_constant = false;
};

struct Operator {
  int op = 0;
  std::vector<int> inputs;
  int output = 0;
  bool same_padding = false;
  int stride = 1, kernel = 1, activation = 0;  // activation: 0 none, 1 ReLU
  std::vector<float> weight;                   // convolutions: kernel_h x kernel_w x in x out
};

// Two tensors of one shape, or one of them a value per channel.
NhwcMap Elementwise(const NhwcMap& a, const NhwcMap& b, int op) {
  const bool swap = a.data.size() < b.data.size();
  NhwcMap out = swap ? b : a;
  const NhwcMap& small = swap ? a : b;
  for (size_t i = 0; i < out.data.size(); ++i) {
    const float large = out.data[i], other = small.data[small.data.size() == out.data.size() ? i : i % small.data.size()];
    out.data[i] = op == kAdd ? large + other : op == kMul ? large * other : swap ? other - large : large - other;
  }
  return out;
}

}  // namespace

struct TfliteNet::Impl {
  std::vector<Tensor> tensors;
  std::vector<Operator> operators;
  std::vector<int> inputs, outputs;
};

TfliteNet::TfliteNet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TfliteNet::~TfliteNet() = default;

// The files are checked by their SHA-256 before they come here; the flatbuffers are then read without a verifier.
StatusOr<std::unique_ptr<TfliteNet>> TfliteNet::Create(const std::string& bytes) {
  if (bytes.size() < 32 || std::memcmp(bytes.data() + 4, "TFL3", 4) != 0) return CorruptData("this is no TFLite network");
  auto impl = std::make_unique<Impl>();
  const Table* model = flatbuffers::GetRoot<Table>(bytes.data());
  const auto* codes = model->GetPointer<const Tables*>(Field(1));
  const auto* graphs = model->GetPointer<const Tables*>(Field(2));
  const auto* buffers = model->GetPointer<const Tables*>(Field(4));
  if (codes == nullptr || graphs == nullptr || graphs->size() != 1 || buffers == nullptr) return CorruptData("the TFLite network has no graph");
  const Table* graph = graphs->Get(0);
  const auto* tensors = graph->GetPointer<const Tables*>(Field(0));
  const auto* operators = graph->GetPointer<const Tables*>(Field(3));
  const auto list = [](const Table* t, int field) {
    const auto* v = t->GetPointer<const Vector<int32_t>*>(Field(field));
    return v == nullptr ? std::vector<int>() : std::vector<int>(v->begin(), v->end());
  };
  impl->inputs = list(graph, 1);
  impl->outputs = list(graph, 2);
  for (const Table* t : *tensors) {
    Tensor tensor;
    tensor.shape = list(t, 0);
    const int type = t->GetField<int8_t>(Field(1), 0);
    const auto* data = buffers->Get(t->GetField<uint32_t>(Field(2), 0))->GetPointer<const Vector<uint8_t>*>(Field(0));
    if (data != nullptr && data->size() > 0) {
      tensor.is_constant = true;
      if (type == 0) {
        tensor.constant.resize(data->size() / 4);
        std::memcpy(tensor.constant.data(), data->data(), tensor.constant.size() * 4);
      } else if (type == 1) {
        for (size_t i = 0; i + 1 < data->size(); i += 2) tensor.constant.push_back(HalfToFloat(static_cast<uint16_t>((*data)[i] | (*data)[i + 1] << 8)));
      } else if (type == 2) {
        tensor.integers.resize(data->size() / 4);
        std::memcpy(tensor.integers.data(), data->data(), tensor.integers.size() * 4);
      } else {
        return Unsupported("the TFLite network has constants of an unknown type");
      }
    }
    impl->tensors.push_back(std::move(tensor));
  }
  for (const Table* o : *operators) {
    const Table* code = codes->Get(o->GetField<uint32_t>(Field(0), 0));
    Operator op;
    op.op = std::max<int>(code->GetField<int8_t>(Field(0), 0), code->GetField<int32_t>(Field(3), 0));
    op.inputs = list(o, 1);
    op.output = list(o, 2).at(0);
    const auto* options = o->GetPointer<const Table*>(Field(4));
    switch (op.op) {
      case kDequantize:  // half precision constants, already converted
        impl->tensors[op.output].constant = impl->tensors[op.inputs[0]].constant;
        impl->tensors[op.output].is_constant = true;
        continue;
      case kConv:
      case kDepthwise: {
        op.same_padding = options->GetField<int8_t>(Field(0), 0) == 0;
        op.stride = options->GetField<int32_t>(Field(1), 1);
        op.activation = options->GetField<int8_t>(Field(op.op == kConv ? 3 : 4), 0);
        const Tensor& w = impl->tensors[op.inputs[1]];
        if (w.constant.empty() || w.shape.size() != 4 || options->GetField<int32_t>(Field(2), 1) != op.stride) return Unsupported("a convolution of the TFLite network is of an unknown kind");
        op.weight = w.constant;
        if (op.op == kConv) {  // out, h, w, in -> h, w, in, out
          const size_t outs = w.shape[0], rest = w.constant.size() / outs;
          for (size_t i = 0; i < outs; ++i) {
            for (size_t j = 0; j < rest; ++j) op.weight[j * outs + i] = w.constant[i * rest + j];
          }
        }
        break;
      }
      case kMaxPool:
        op.same_padding = options->GetField<int8_t>(Field(0), 0) == 0;
        op.stride = options->GetField<int32_t>(Field(1), 1);
        op.kernel = options->GetField<int32_t>(Field(3), 1);
        break;
      case kAdd:
      case kMul:
      case kSub: op.activation = options == nullptr ? 0 : options->GetField<int8_t>(Field(0), 0); break;
      case kRelu:
      case kReshape:
      case kPad:
      case kPrelu:
      case kAbs: break;
      default: return Unsupported("the TFLite network has an unknown operator (" + std::to_string(op.op) + ")");
    }
    if (op.activation > 1) return Unsupported("the TFLite network has an unknown activation");
    impl->operators.push_back(std::move(op));
  }
  return std::unique_ptr<TfliteNet>(new TfliteNet(std::move(impl)));
}

StatusOr<std::vector<NhwcMap>> TfliteNet::Run(const NhwcMap& input) const {
  const Impl& m = *impl_;
  std::vector<NhwcMap> values(m.tensors.size());
  values[m.inputs.at(0)] = input;
  const auto get = [&](int id) -> NhwcMap {
    if (!m.tensors[id].is_constant) return values[id];
    NhwcMap c(1, 1, static_cast<int>(m.tensors[id].constant.size()));
    c.data = m.tensors[id].constant;
    return c;
  };
  for (const Operator& op : m.operators) {
    const NhwcMap in = get(op.inputs[0]);
    NhwcMap out;
    switch (op.op) {
      case kConv:
      case kDepthwise: {
        const std::vector<int>& shape = m.tensors[op.inputs[1]].shape;
        const Padding pad = op.same_padding ? SamePadding(in.height, in.width, shape[1], shape[2], op.stride) : Padding{};
        const std::vector<float>& bias = m.tensors[op.inputs[2]].constant;
        const size_t expected = static_cast<size_t>(shape[1]) * shape[2] * in.channels * (op.op == kConv ? shape[0] : 1);
        if (op.weight.size() != expected || in.height + pad.top + pad.bottom < shape[1] || in.width + pad.left + pad.right < shape[2]) {
          return InvalidArgument("the TFLite network got an input of a wrong size");
        }
        out = op.op == kConv ? Convolve(in, op.weight, bias, shape[1], shape[2], op.stride, pad) : DepthwiseConvolve(in, op.weight, bias, shape[1], shape[2], op.stride, pad);
        break;
      }
      case kMaxPool: out = MaxPool(in, op.kernel, op.stride, op.same_padding ? SamePadding(in.height, in.width, op.kernel, op.kernel, op.stride) : Padding{}); break;
      case kAdd:
      case kMul:
      case kSub: out = Elementwise(in, get(op.inputs[1]), op.op); break;
      case kRelu:
        out = in;
        for (float& v : out.data) v = std::max(v, 0.0f);
        break;
      case kAbs:
        out = in;
        for (float& v : out.data) v = std::fabs(v);
        break;
      case kPrelu: {
        out = in;
        const std::vector<float>& slope = m.tensors[op.inputs[1]].constant;
        for (size_t i = 0; i < out.data.size(); ++i) {
          if (out.data[i] < 0) out.data[i] *= slope[i % slope.size()];
        }
        break;
      }
      case kPad: {  // batch, height, width, channels: before and after
        const std::vector<int>& p = m.tensors[op.inputs[1]].integers;
        if (p.size() != 8) return Unsupported("a padding of the TFLite network is of an unknown kind");
        out = NhwcMap(in.height + p[2] + p[3], in.width + p[4] + p[5], in.channels + p[6] + p[7]);
        for (int y = 0; y < in.height; ++y) {
          for (int x = 0; x < in.width; ++x) std::copy(in.at(y, x), in.at(y, x) + in.channels, out.at(y + p[2], x + p[4]) + p[6]);
        }
        break;
      }
      case kReshape: out = in; break;  // only to a flat vector, at the end
    }
    if (op.activation == 1) {
      for (float& v : out.data) v = std::max(v, 0.0f);
    }
    values[op.output] = std::move(out);
  }
  std::vector<NhwcMap> result;
  for (int id : m.outputs) result.push_back(std::move(values[id]));
  return result;
}

}  // namespace mfs
