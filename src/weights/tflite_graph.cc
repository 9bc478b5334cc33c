#include "weights/tflite_graph.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "weights/float16.h"

namespace mfs {
namespace {

// A FlatBuffers file (https://flatbuffers.dev/internals/): tables are offsets to a list of field offsets. A read outside the file gives
// zero and is remembered.
class FlatFile {
 public:
  explicit FlatFile(const std::string& bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  template <typename T>
  T Read(size_t at) {
    T v{};
    if (at > bytes_.size() || bytes_.size() - at < sizeof(T)) {
      ok_ = false;
      return v;
    }
    std::memcpy(&v, bytes_.data() + at, sizeof(T));
    return v;
  }
  size_t Root() { return Read<uint32_t>(0); }
  // Where a field of a table lies; 0: it has its default value.
  size_t Field(size_t table, int number) {
    const int64_t vtable = static_cast<int64_t>(table) - Read<int32_t>(table);
    if (vtable < 0) {
      ok_ = false;
      return 0;
    }
    const size_t entry = 4 + 2 * static_cast<size_t>(number);
    if (entry + 2 > Read<uint16_t>(static_cast<size_t>(vtable))) return 0;
    const uint16_t offset = Read<uint16_t>(static_cast<size_t>(vtable) + entry);
    return offset == 0 ? 0 : table + offset;
  }
  template <typename T>
  T Scalar(size_t table, int number, T otherwise) {
    const size_t at = table == 0 ? 0 : Field(table, number);
    return at == 0 ? otherwise : Read<T>(at);
  }
  size_t Table(size_t table, int number) {
    const size_t at = Field(table, number);
    return at == 0 ? 0 : at + Read<uint32_t>(at);
  }
  // First element and number of elements of a vector whose elements have `width` bytes.
  std::pair<size_t, size_t> Vector(size_t table, int number, size_t width) {
    const size_t at = Table(table, number);
    if (at == 0) return {0, 0};
    const size_t count = Read<uint32_t>(at);
    if (!ok_ || count > (bytes_.size() - at - 4) / width) {
      ok_ = false;
      return {0, 0};
    }
    return {at + 4, count};
  }
  std::vector<size_t> Tables(size_t table, int number) {
    const auto [first, count] = Vector(table, number, 4);
    std::vector<size_t> tables;
    for (size_t i = 0; i < count; ++i) tables.push_back(first + 4 * i + Read<uint32_t>(first + 4 * i));
    return tables;
  }
  std::vector<int> Integers(size_t table, int number) {
    const auto [first, count] = Vector(table, number, 4);
    std::vector<int> values;
    for (size_t i = 0; i < count; ++i) values.push_back(Read<int32_t>(first + 4 * i));
    return values;
  }

 private:
  const std::string& bytes_;
  bool ok_ = true;
};

// Operators and field numbers: tensorflow/lite/schema/schema.fbs.
enum Op { kAdd = 0, kConv = 3, kDepthwise = 4, kDequantize = 6, kMaxPool = 17, kMul = 18, kRelu = 19, kRelu6 = 21, kReshape = 22, kPad = 34, kSub = 41, kPrelu = 54, kAbs = 101 };

struct Tensor {
  std::vector<int> shape;
  std::vector<float> constant;
  std::vector<int> integers;
  int layer = -1;
  // PReLU is written as relu(x) + a * (x - |x|) in some files: what of it this tensor is, and of which layer.
  enum { kPlain, kReluOf, kAbsOf, kMinusAbsOf, kScaledMinusAbsOf } form = kPlain;
  int of = -1;
};

class Importer {
 public:
  explicit Importer(const std::string& bytes) : bytes_(bytes), file_(bytes) {}

  StatusOr<Graph> Run() {
    if (bytes_.size() < 32 || std::memcmp(bytes_.data() + 4, "TFL3", 4) != 0) return CorruptData("this is no TFLite network");
    const Status s = Read();
    if (!file_.ok()) return CorruptData("the TFLite network is cut or damaged");
    MFS_RETURN_IF_ERROR(s);
    return std::move(graph_);
  }

 private:
  Status Read() {
    const size_t model = file_.Root();
    const std::vector<size_t> codes = file_.Tables(model, 1), graphs = file_.Tables(model, 2), buffers = file_.Tables(model, 4);
    if (!file_.ok() || graphs.size() != 1) return CorruptData("the TFLite network has no graph");
    for (size_t t : file_.Tables(graphs[0], 0)) {
      MFS_RETURN_IF_ERROR(ReadTensor(t, buffers));
    }
    const std::vector<int> inputs = file_.Integers(graphs[0], 1), outputs = file_.Integers(graphs[0], 2);
    if (inputs.size() != 1 || !Exists(inputs[0]) || tensors_[inputs[0]].shape.size() != 4) return Unsupported("the TFLite network does not have one input of four dimensions");
    const std::vector<int>& in = tensors_[inputs[0]].shape;
    MFS_RETURN_IF_ERROR(Set(graph_.Input({in[1], in[2], in[3]}), inputs[0]));
    for (size_t o : file_.Tables(graphs[0], 3)) {
      const uint32_t code = file_.Scalar<uint32_t>(o, 0, 0);
      if (code >= codes.size()) return CorruptData("the TFLite network has an operator without a kind");
      const int op = std::max<int>(file_.Scalar<int8_t>(codes[code], 0, 0), file_.Scalar<int32_t>(codes[code], 3, 0));
      const std::vector<int> from = file_.Integers(o, 1), to = file_.Integers(o, 2);
      if (from.empty() || to.size() != 1 || !Exists(to[0])) return CorruptData("an operator of the TFLite network has no input or output");
      for (int i : from) {
        if (!Exists(i)) return CorruptData("an operator of the TFLite network has no input or output");
      }
      const Status s = Node(op, from, to[0], file_.Field(o, 4) == 0 ? 0 : file_.Table(o, 4));
      if (!s.ok()) return s.WithPrefix("operator " + std::to_string(op) + " of the TFLite network: ");
      if (!file_.ok()) return CorruptData("the TFLite network is cut or damaged");
    }
    for (int o : outputs) {
      if (!Exists(o) || tensors_[o].layer < 0) return CorruptData("the TFLite network does not compute its outputs");
      graph_.outputs.push_back(tensors_[o].layer);
    }
    return graph_.outputs.empty() ? CorruptData("the TFLite network has no output") : Status::Ok();
  }

  Status ReadTensor(size_t t, const std::vector<size_t>& buffers) {
    Tensor tensor;
    tensor.shape = file_.Integers(t, 0);
    const int type = file_.Scalar<int8_t>(t, 1, 0);
    const uint32_t buffer = file_.Scalar<uint32_t>(t, 2, 0);
    if (buffer >= buffers.size()) return CorruptData("a tensor of the TFLite network has no buffer");
    const auto [first, bytes] = file_.Vector(buffers[buffer], 0, 1);
    const char* data = bytes_.data() + first;
    if (bytes > 0 && type == 0) {
      tensor.constant.resize(bytes / 4);
      std::memcpy(tensor.constant.data(), data, tensor.constant.size() * 4);
    } else if (bytes > 0 && type == 1) {
      tensor.constant.resize(bytes / 2);
      for (size_t i = 0; i < tensor.constant.size(); ++i) tensor.constant[i] = HalfToFloat(file_.Read<uint16_t>(first + 2 * i));
    } else if (bytes > 0 && type == 2) {
      tensor.integers.resize(bytes / 4);
      std::memcpy(tensor.integers.data(), data, tensor.integers.size() * 4);
    } else if (bytes > 0) {
      return Unsupported("the TFLite network has constants of an unknown type");
    }
    tensors_.push_back(std::move(tensor));
    return file_.ok() ? Status::Ok() : CorruptData("the TFLite network is cut or damaged");
  }

  bool Exists(int tensor) const { return tensor >= 0 && tensor < static_cast<int>(tensors_.size()); }
  Status Set(const StatusOr<int>& layer, int tensor) {
    if (!layer.ok()) return CorruptData(layer.status().message());
    tensors_[tensor].layer = *layer;
    return Status::Ok();
  }

  Status Activate(int code, int tensor) {
    if (code == 0) return Status::Ok();
    if (code != 1 && code != 3) return Unsupported("an activation is unknown");
    return Set(graph_.Activate(tensors_[tensor].layer, code == 1 ? Activation::kRelu : Activation::kRelu6), tensor);
  }

  Status Convolution(bool depthwise, const std::vector<int>& from, int to, size_t options) {
    if (from.size() < 3) return Unsupported("it has no bias");
    const Tensor &in = tensors_[from[0]], &w = tensors_[from[1]], &b = tensors_[from[2]];
    if (in.layer < 0 || w.shape.size() != 4 || w.constant.empty()) return CorruptData("weights are missing");
    for (int s : w.shape) {
      if (s < 1 || s > 8192) return CorruptData("weights are missing");
    }
    const MapShape shape = graph_.layers[in.layer].shape;
    // Conv2DOptions: padding, stride_w, stride_h, activation, dilation_w, dilation_h; DepthwiseConv2DOptions has depth_multiplier behind the strides.
    const int shift = depthwise ? 1 : 0;
    const int stride = file_.Scalar<int32_t>(options, 1, 1);
    if (stride < 1 || stride > 16 || file_.Scalar<int32_t>(options, 2, 1) != stride || file_.Scalar<int32_t>(options, 4 + shift, 1) != 1 || file_.Scalar<int32_t>(options, 5 + shift, 1) != 1 ||
        (depthwise && file_.Scalar<int32_t>(options, 3, 1) != 1)) {
      return Unsupported("its stride, dilation or multiplier is unknown");
    }
    const int kernel_h = w.shape[1], kernel_w = w.shape[2];
    const Window window{kernel_h, kernel_w, stride, 1, file_.Scalar<int8_t>(options, 0, 0) == 0 ? SamePadding(shape.height, shape.width, kernel_h, kernel_w, stride) : Padding{}};
    std::vector<float> weight = w.constant;
    if (depthwise) {
      MFS_RETURN_IF_ERROR(Set(graph_.Depthwise(in.layer, window, std::move(weight), b.constant), to));
    } else {  // out, h, w, in -> h, w, in, out
      const size_t outs = w.shape[0], rest = w.constant.size() / outs;
      if (outs * rest != w.constant.size()) return CorruptData("weights have a wrong size");
      for (size_t i = 0; i < outs; ++i) {
        for (size_t j = 0; j < rest; ++j) weight[j * outs + i] = w.constant[i * rest + j];
      }
      MFS_RETURN_IF_ERROR(Set(graph_.Conv(in.layer, window, std::move(weight), b.constant), to));
    }
    return Activate(file_.Scalar<int8_t>(options, 3 + shift, 0), to);
  }

  Status Node(int op, const std::vector<int>& from, int to, size_t options) {
    const Tensor in = op == kDequantize ? Tensor() : tensors_[from[0]];
    const Tensor* other = from.size() > 1 ? &tensors_[from[1]] : nullptr;
    Tensor& out = tensors_[to];
    switch (op) {
      case kDequantize:  // half precision constants, already converted
        out.constant = tensors_[from[0]].constant;
        return Status::Ok();
      case kConv: return Convolution(false, from, to, options);
      case kDepthwise: return Convolution(true, from, to, options);
      default: break;
    }
    if (op == kMul && in.layer < 0 && !in.constant.empty() && other != nullptr && other->form == Tensor::kMinusAbsOf) {
      out.form = Tensor::kScaledMinusAbsOf, out.of = other->of, out.constant = in.constant;
      return Status::Ok();
    }
    if (op == kAdd && other != nullptr && in.form == Tensor::kReluOf && other->form == Tensor::kScaledMinusAbsOf && in.of == other->of) {
      // relu(x) + a (x - |x|): 2 a x below zero.
      const int channels = graph_.layers[in.of].shape.channels;
      std::vector<float> slope(channels);
      if (other->constant.size() != 1 && other->constant.size() != slope.size()) return CorruptData("an activation does not have a slope for every channel");
      for (int c = 0; c < channels; ++c) slope[c] = 2 * other->constant[other->constant.size() == 1 ? 0 : c];
      return Set(graph_.Activate(in.of, Activation::kPrelu, std::move(slope)), to);
    }
    if (in.layer < 0) return Unsupported("its input is constant or missing");
    const MapShape& shape = graph_.layers[in.layer].shape;
    switch (op) {
      case kRelu: out.form = Tensor::kReluOf, out.of = in.layer; return Set(graph_.Activate(in.layer, Activation::kRelu), to);
      case kRelu6: return Set(graph_.Activate(in.layer, Activation::kRelu6), to);
      case kAbs: out.form = Tensor::kAbsOf, out.of = in.layer; return Status::Ok();
      case kSub:
        if (other == nullptr || other->form != Tensor::kAbsOf || other->of != in.layer) return Unsupported("it is of an unknown kind");
        out.form = Tensor::kMinusAbsOf, out.of = in.layer;
        return Status::Ok();
      case kAdd:
        if (other == nullptr || other->layer < 0) return Unsupported("it is of an unknown kind");
        MFS_RETURN_IF_ERROR(Set(graph_.Add(in.layer, other->layer), to));
        return Activate(file_.Scalar<int8_t>(options, 0, 0), to);
      case kPrelu:
        if (other == nullptr) return CorruptData("the slopes are missing");
        return Set(graph_.Activate(in.layer, Activation::kPrelu, other->constant), to);
      case kMaxPool: {
        const int stride = file_.Scalar<int32_t>(options, 1, 1), kernel = file_.Scalar<int32_t>(options, 3, 1);
        if (stride < 1 || stride > 16 || kernel < 1 || kernel > 16 || file_.Scalar<int32_t>(options, 2, 1) != stride || file_.Scalar<int32_t>(options, 4, 1) != kernel) {
          return Unsupported("its stride or size is unknown");
        }
        const bool same = file_.Scalar<int8_t>(options, 0, 0) == 0;
        MFS_RETURN_IF_ERROR(Set(graph_.MaxPool(in.layer, {kernel, kernel, stride, 1, same ? SamePadding(shape.height, shape.width, kernel, kernel, stride) : Padding{}}), to));
        return Activate(file_.Scalar<int8_t>(options, 5, 0), to);
      }
      case kPad: {  // batch, height, width, channels: before and after
        const std::vector<int> p = other == nullptr ? std::vector<int>() : other->integers;
        if (p.size() != 8 || p[0] != 0 || p[1] != 0 || p[6] != 0 || p[7] < 0 || p[7] > 8192) return Unsupported("it is of an unknown kind");
        return Set(graph_.Pad(in.layer, {p[2], p[3], p[4], p[5]}, shape.channels + p[7]), to);
      }
      case kReshape: return Set(in.layer, to);  // only the outputs are reshaped; their order stays
      default: return Unsupported("our networks do not have this operator");
    }
  }

  const std::string& bytes_;
  FlatFile file_;
  std::vector<Tensor> tensors_;
  Graph graph_;
};

}  // namespace

StatusOr<Graph> GraphFromTflite(const std::string& bytes) { return Importer(bytes).Run(); }

}  // namespace mfs
