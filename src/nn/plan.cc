#include "nn/plan.h"

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <tuple>

#include "base/flush_denormals.h"
#include "base/thread_pool.h"
#include "nn/cpu_level.h"
#include "nn/kernels.h"

namespace mfs {
namespace {

// Layers whose maps together outgrow the second-level cache run side by side, some rows at a time (one thread only).
constexpr size_t kStreamBytes = 160 << 10;   // smaller maps stay in the cache anyway
constexpr size_t kSegmentBytes = 448 << 10;  // weights and rows that layers running side by side may keep
constexpr int kMaxRows = 16;                 // of one call of conv_rows

class Buffer {
 public:
  explicit Buffer(size_t floats) : size_(floats), data_(hwy::AllocateAligned<float>(floats)) { std::fill(data_.get(), data_.get() + floats, 0.0f); }
  float* get() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  size_t size_;
  hwy::AlignedFreeUniquePtr<float[]> data_;
};

// Where a layer's output lies. Fewer rows than the map has: a ring.
struct Map {
  MapShape shape;
  int pixel = 0, left = 0, right = 0, rows = 0;
  size_t row_floats = 0;
  float* base = nullptr;  // pixel 0 of row 0
  float* row(int y) const { return base + (y % rows) * row_floats; }
};

struct Packed {
  ConvKernel conv;
  DepthwiseKernel depthwise;
  std::vector<float> slope, bias;  // padded
  std::unique_ptr<Buffer> weight;
  bool per_tap = false;  // segments: one per tap, else one per kernel row
  int batch = 1;         // rows of a step
};

struct Step {
  int layer, begin, end;  // output rows
};

struct Scratch {
  std::vector<const float*> pointers;
  ConvRow rows[kMaxRows];
};

bool HasWindow(LayerOp op) { return op == LayerOp::kConv || op == LayerOp::kDepthwise || op == LayerOp::kMaxPool || op == LayerOp::kAveragePool; }

// Input rows [first, last] that output rows [begin, end) of a layer read from its input number `which`.
std::pair<int, int> RowsRead(const GraphLayer& l, const GraphLayer& in, int which, int begin, int end) {
  int first = begin, last = end - 1;
  if (HasWindow(l.op) && which == 0) {
    first = begin * l.window.stride - l.window.pad.top;
    last = (end - 1) * l.window.stride - l.window.pad.top + (l.window.height - 1) * l.window.dilation;
  } else if (l.op == LayerOp::kUpsample) {
    const int n = in.shape.height;
    first = begin * (n - 1) / (2 * n - 1);
    last = (end - 1) * (n - 1) / (2 * n - 1) + 1;
  } else if (l.op == LayerOp::kPad) {
    first = begin - l.window.pad.top, last = end - 1 - l.window.pad.top;
  } else if (l.op == LayerOp::kGroupNorm) {
    first = 0, last = in.shape.height - 1;
  }
  return {std::clamp(first, 0, in.shape.height - 1), std::clamp(last, 0, in.shape.height - 1)};
}

}  // namespace

struct Plan::Impl {
  Graph graph;
  Kernels kernels;
  ThreadPool pool;
  std::vector<Map> maps;
  std::vector<Packed> packed;
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::unique_ptr<Buffer> zeros;
  std::vector<Step> steps;
  std::vector<Scratch> scratch;
  std::vector<MapView> outputs;
  MapView input;
  size_t bytes = 0;

  Impl(Graph g, const Kernels& k, int threads) : graph(std::move(g)), kernels(k), pool(threads) {}

  void Build();
  void ShapeMaps();
  void Pack(int i);
  bool SimulateSegment(int first, int last, const std::vector<int>& last_use, std::vector<Step>* order, std::vector<int>* rows) const;
  void Allocate(const std::vector<int>& segment_of, const std::vector<int>& last_use);
  void RunRows(int layer, int begin, int end, Scratch* s) const;
  void ConvolveRows(int layer, int begin, int end, Scratch* s) const;
  void NormaliseGroups(const GraphLayer& l, const Map& in, const Map& out) const;
  size_t RowBytes(int i) const { return maps[i].row_floats * sizeof(float); }
};

// Strides and borders of every map.
void Plan::Impl::ShapeMaps() {
  const size_t n = graph.layers.size();
  maps.resize(n);
  std::vector<char> vectors(n, 0);  // is the map read or written in whole vectors?
  for (size_t i = 0; i < n; ++i) {
    const GraphLayer& l = graph.layers[i];
    maps[i].shape = l.shape;
    if (i > 0) vectors[i] = 1;
    for (size_t k = 0; k < l.inputs.size(); ++k) {
      const int in = l.inputs[k];
      if (l.op != LayerOp::kConv || k > 0) vectors[in] = 1;
      if ((l.op != LayerOp::kConv && l.op != LayerOp::kDepthwise) || k > 0) continue;
      const int reach = (l.shape.width - 1) * l.window.stride + (l.window.width - 1) * l.window.dilation - l.window.pad.left;
      maps[in].left = std::max(maps[in].left, l.window.pad.left);
      maps[in].right = std::max(maps[in].right, reach - (maps[in].shape.width - 1));
    }
  }
  for (size_t i = 0; i < n; ++i) {
    Map& m = maps[i];
    m.pixel = vectors[i] ? PadToBlock(m.shape.channels) : m.shape.channels;
    m.row_floats = static_cast<size_t>(m.left + m.shape.width + m.right) * m.pixel;
    m.rows = m.shape.height;
  }
}

void Plan::Impl::Pack(int i) {
  const GraphLayer& l = graph.layers[i];
  Packed& p = packed[i];
  const int channels = l.shape.channels, pad = PadToBlock(channels);
  p.bias.assign(pad, 0);
  std::copy(l.bias.begin(), l.bias.end(), p.bias.begin());
  p.slope.assign(pad, 0);
  std::copy(l.slope.begin(), l.slope.end(), p.slope.begin());
  const Epilogue epilogue{p.bias.data(), l.activation, p.slope.data(), l.add_after};
  if (l.op == LayerOp::kDepthwise) {
    const int taps = l.window.height * l.window.width;
    p.weight = std::make_unique<Buffer>(static_cast<size_t>(taps) * pad);
    for (int t = 0; t < taps; ++t) std::copy_n(&l.weight[static_cast<size_t>(t) * channels], channels, p.weight->get() + static_cast<size_t>(t) * pad);
    p.depthwise = {l.window.height, l.window.width, l.window.stride, pad, p.weight->get(), epilogue};
    return;
  }
  p.conv.epilogue = epilogue;
  if (l.op != LayerOp::kConv) return;
  const Map &in = maps[l.inputs[0]], &out = maps[i];
  const int taps = l.window.height * l.window.width;
  p.per_tap = taps > 1 && (l.window.dilation != 1 || in.pixel != in.shape.channels);
  p.conv.num_segments = p.per_tap ? taps : l.window.height;
  p.conv.segment_length = p.per_tap ? in.shape.channels : l.window.width * in.shape.channels;
  p.conv.a_stride = l.window.stride * in.pixel;
  p.conv.out_pad = pad;
  p.conv.out_stride = out.pixel;
  p.conv.residual_stride = l.inputs.size() > 1 ? maps[l.inputs[1]].pixel : 0;
  const size_t depth = static_cast<size_t>(taps) * in.shape.channels;
  p.weight = std::make_unique<Buffer>(depth * pad);
  float* w = p.weight->get();
  for (int from = 0; from < pad;) {
    const int width = kernels.block_width(pad, from), real = std::min(width, channels - from);
    for (size_t k = 0; k < depth; ++k, w += width) std::copy_n(&l.weight[k * channels + from], std::max(real, 0), w);
    from += width;
  }
  p.conv.weight = p.weight->get();
  // Enough pixels to use every weight often, and few enough inputs for the first-level cache.
  const int pixels = std::clamp(8192 / in.shape.channels, 28, 64);
  p.batch = std::clamp((pixels + l.shape.width - 1) / l.shape.width, 1, kMaxRows);
}

// The order in which layers [first, last] run side by side, and the rows that each map must keep. False: it takes too much memory.
bool Plan::Impl::SimulateSegment(int first, int last, const std::vector<int>& last_use, std::vector<Step>* order, std::vector<int>* rows) const {
  const int count = last - first + 1;
  std::vector<int> done(count, 0);
  rows->assign(count, 0);
  order->clear();
  // The lowest row of layer i's map that somebody in the segment will still read.
  const auto lowest = [&](int i) {
    int low = graph.layers[i].shape.height;
    for (int c = i + 1; c <= last; ++c) {
      const GraphLayer& l = graph.layers[c];
      for (size_t k = 0; k < l.inputs.size(); ++k) {
        if (l.inputs[k] == i && done[c - first] < l.shape.height) low = std::min(low, RowsRead(l, graph.layers[i], static_cast<int>(k), done[c - first], done[c - first] + 1).first);
      }
    }
    return low;
  };
  const auto produce = [&](const auto& self, int i, int upto) -> void {
    const GraphLayer& l = graph.layers[i];
    while (done[i - first] < upto) {
      const int begin = done[i - first], end = std::min(l.shape.height, begin + packed[i].batch);
      for (size_t k = 0; k < l.inputs.size(); ++k) {
        if (l.inputs[k] >= first) self(self, l.inputs[k], RowsRead(l, graph.layers[l.inputs[k]], static_cast<int>(k), begin, end).second + 1);
      }
      order->push_back({i, begin, end});
      const int low = lowest(i);
      done[i - first] = end;
      (*rows)[i - first] = std::max((*rows)[i - first], end - std::min(low, end));
    }
  };
  produce(produce, last, graph.layers[last].shape.height);
  for (int i = first; i <= last; ++i) produce(produce, i, graph.layers[i].shape.height);
  size_t total = 0;
  for (int i = first; i <= last; ++i) {
    int& r = (*rows)[i - first];
    if (last_use[i] > last || r * 4 > graph.layers[i].shape.height * 3) r = graph.layers[i].shape.height;
    total += (last_use[i] > last ? 0 : r * RowBytes(i)) + (packed[i].weight == nullptr ? 0 : packed[i].weight->size() * sizeof(float));
  }
  return total <= kSegmentBytes;
}

void Plan::Impl::Build() {
  const int n = static_cast<int>(graph.layers.size());
  ShapeMaps();
  packed.resize(n);
  for (int i = 0; i < n; ++i) Pack(i);
  std::vector<int> last_use(n, 0);
  for (int i = 0; i < n; ++i) {
    for (int in : graph.layers[i].inputs) last_use[in] = i;
  }
  for (int o : graph.outputs) last_use[o] = n;
  std::vector<int> segment_of(n, 0);
  int segment = 0;
  for (int i = 1; i < n;) {
    int last = i;
    std::vector<Step> order, best;
    std::vector<int> rows, best_rows;
    const auto wide = [&](int k) { return graph.layers[k].op != LayerOp::kGroupNorm && RowBytes(k) * maps[k].shape.height > kStreamBytes; };
    if (pool.threads() == 1 && wide(i)) {
      for (int k = i + 1; k < n && wide(k); ++k) {
        if (!SimulateSegment(i, k, last_use, &order, &rows)) break;
        last = k, best = order, best_rows = rows;
      }
    }
    ++segment;
    if (last == i) {
      const int height = graph.layers[i].shape.height, batch = pool.threads() > 1 || graph.layers[i].op != LayerOp::kConv ? height : packed[i].batch;
      for (int y = 0; y < height; y += batch) steps.push_back({i, y, std::min(height, y + batch)});
    } else {
      steps.insert(steps.end(), best.begin(), best.end());
      for (int k = i; k <= last; ++k) maps[k].rows = best_rows[k - i];
    }
    for (int k = i; k <= last; ++k) segment_of[k] = segment;
    i = last + 1;
  }
  Allocate(segment_of, last_use);
}

void Plan::Impl::Allocate(const std::vector<int>& segment_of, const std::vector<int>& last_use) {
  const int n = static_cast<int>(graph.layers.size());
  // Maps of one geometry share memory when one is dead before the other begins: the borders keep their zeros.
  struct Slot {
    std::tuple<int, int, int, int, size_t> key;
    int free_from;  // segment
    float* data;
  };
  std::vector<Slot> slots;
  const auto death = [&](int i) { return last_use[i] >= n ? n + 1 : segment_of[std::max(last_use[i], i)]; };
  size_t widest = 0, pointers = 16;
  for (int i = 0; i < n; ++i) {
    Map& m = maps[i];
    const bool ring = m.rows < m.shape.height;
    const std::tuple<int, int, int, int, size_t> key{m.rows, m.left, m.shape.width, m.pixel, m.row_floats};
    float* data = nullptr;
    if (i > 0 && !ring) {
      for (Slot& s : slots) {
        if (s.key == key && s.free_from < segment_of[i]) {
          data = s.data, s.free_from = death(i);
          break;
        }
      }
    }
    if (data == nullptr) {
      // A stride-2 kernel may step over the last border column.
      buffers.push_back(std::make_unique<Buffer>(m.rows * m.row_floats + 2 * kChannelBlock));
      data = buffers.back()->get();
      bytes += buffers.back()->size() * sizeof(float);
      if (i > 0 && !ring) slots.push_back({key, death(i), data});
    }
    m.base = data + static_cast<size_t>(m.left) * m.pixel;
    widest = std::max(widest, m.row_floats);
    pointers = std::max(pointers, static_cast<size_t>(kMaxRows) * packed[i].conv.num_segments + graph.layers[i].window.height);
    if (packed[i].weight != nullptr) bytes += packed[i].weight->size() * sizeof(float);
  }
  zeros = std::make_unique<Buffer>(widest + 2 * kChannelBlock);
  scratch.resize(pool.threads());
  for (Scratch& s : scratch) s.pointers.resize(pointers);
  const auto view = [&](int i) { return MapView{maps[i].base, maps[i].shape, static_cast<ptrdiff_t>(maps[i].row_floats), maps[i].pixel}; };
  input = view(0);
  for (int o : graph.outputs) outputs.push_back(view(o));
}

void Plan::Impl::ConvolveRows(int layer, int begin, int end, Scratch* s) const {
  const GraphLayer& l = graph.layers[layer];
  const Packed& p = packed[layer];
  const Map &in = maps[l.inputs[0]], &out = maps[layer];
  const Map* residual = l.inputs.size() > 1 ? &maps[l.inputs[1]] : nullptr;
  const Window& w = l.window;
  const auto gapless = [&](const Map& m) { return m.row_floats == static_cast<size_t>(m.shape.width) * m.pixel && begin % m.rows + (end - begin) <= m.rows; };
  if (w.height * w.width == 1 && w.stride == 1 && w.pad.top + w.pad.bottom + w.pad.left + w.pad.right == 0 && gapless(in) && gapless(out) && (residual == nullptr || gapless(*residual))) {
    s->pointers[0] = in.row(begin);
    s->rows[0] = {s->pointers.data(), residual == nullptr ? nullptr : residual->row(begin), out.row(begin)};
    kernels.conv_rows(p.conv, s->rows, 1, (end - begin) * l.shape.width);
    return;
  }
  while (begin < end) {
    const int rows = std::min(end - begin, kMaxRows);
    const float** pointer = s->pointers.data();
    for (int r = 0; r < rows; ++r) {
      const int y = begin + r;
      s->rows[r] = {pointer, residual == nullptr ? nullptr : residual->row(y), out.row(y)};
      for (int ky = 0; ky < w.height; ++ky) {
        const int sy = y * w.stride + ky * w.dilation - w.pad.top;
        const float* row = (sy < 0 || sy >= in.shape.height ? zeros->get() + static_cast<size_t>(in.left) * in.pixel : in.row(sy)) - static_cast<ptrdiff_t>(w.pad.left) * in.pixel;
        if (!p.per_tap) {
          *pointer++ = row;
          continue;
        }
        for (int kx = 0; kx < w.width; ++kx) *pointer++ = row + static_cast<ptrdiff_t>(kx) * w.dilation * in.pixel;
      }
    }
    kernels.conv_rows(p.conv, s->rows, rows, l.shape.width);
    begin += rows;
  }
}

void Plan::Impl::NormaliseGroups(const GraphLayer& l, const Map& in, const Map& out) const {
  const int each = l.shape.channels / l.groups, height = l.shape.height, width = l.shape.width;
  const double count = static_cast<double>(each) * height * width;
  for (int g = 0; g < l.groups; ++g) {
    const auto for_values = [&](const auto& f) {
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          const size_t at = static_cast<size_t>(x) * in.pixel;
          for (int c = g * each; c < (g + 1) * each; ++c) f(in.row(y)[at + c], out.row(y)[at + c], c);
        }
      }
    };
    double sum = 0, squares = 0;
    for_values([&](float v, float&, int) { sum += v; });
    const double mean = sum / count;
    for_values([&](float v, float&, int) { squares += (v - mean) * (v - mean); });
    const double inverse = 1 / std::sqrt(squares / count + l.eps);
    for_values([&](float v, float& o, int c) {
      o = static_cast<float>((v - mean) * inverse) * l.weight[c] + l.bias[c];
      if (o < 0 && l.activation != Activation::kNone) o = l.activation == Activation::kPrelu ? o * l.slope[c] : 0;
      if (l.activation == Activation::kRelu6) o = std::min(o, 6.0f);
    });
  }
}

void Plan::Impl::RunRows(int layer, int begin, int end, Scratch* s) const {
  const GraphLayer& l = graph.layers[layer];
  const Packed& p = packed[layer];
  const Map &in = maps[l.inputs[0]], &out = maps[layer];
  const Window& w = l.window;
  switch (l.op) {
    case LayerOp::kInput: return;
    case LayerOp::kConv: return ConvolveRows(layer, begin, end, s);
    case LayerOp::kGroupNorm: return NormaliseGroups(l, in, out);
    default: break;
  }
  for (int y = begin; y < end; ++y) {
    float* o = out.row(y);
    switch (l.op) {
      case LayerOp::kDepthwise:
        for (int ky = 0; ky < w.height; ++ky) {
          const int sy = y * w.stride + ky - w.pad.top;
          s->pointers[ky] = (sy < 0 || sy >= in.shape.height ? zeros->get() + static_cast<size_t>(in.left) * in.pixel : in.row(sy)) - static_cast<ptrdiff_t>(w.pad.left) * in.pixel;
        }
        kernels.depthwise_row(p.depthwise, s->pointers.data(), o, l.shape.width);
        break;
      case LayerOp::kMaxPool:
      case LayerOp::kAveragePool:
        for (int ky = 0; ky < w.height; ++ky) {
          const int sy = y * w.stride + ky - w.pad.top;
          s->pointers[ky] = sy < 0 || sy >= in.shape.height ? nullptr : in.row(sy);
        }
        if (l.op == LayerOp::kMaxPool) {
          kernels.max_pool_row(s->pointers.data(), w.height, w.stride, w.pad.left, in.shape.width, in.pixel, o, l.shape.width, out.pixel);
        } else {
          kernels.average_pool_row(s->pointers.data(), w.height, w.width, w.stride, in.pixel, o, l.shape.width);
        }
        break;
      case LayerOp::kAdd: kernels.add_row(in.row(y), maps[l.inputs[1]].row(y), p.conv.epilogue, out.pixel, o, l.shape.width); break;
      case LayerOp::kActivate: kernels.add_row(in.row(y), nullptr, p.conv.epilogue, out.pixel, o, l.shape.width); break;
      case LayerOp::kConcat:
        for (int i : l.inputs) {
          const Map& part = maps[i];
          const float* from = part.row(y);
          for (int x = 0; x < l.shape.width; ++x) std::memcpy(o + static_cast<size_t>(x) * out.pixel, from + static_cast<size_t>(x) * part.pixel, sizeof(float) * part.shape.channels);
          o += part.shape.channels;
        }
        break;
      case LayerOp::kUpsample: {
        const int n = in.shape.height, numerator = y * (n - 1), denominator = 2 * n - 1, first = numerator / denominator;
        kernels.upsample_row(in.row(first), in.row(std::min(first + 1, n - 1)), static_cast<float>(static_cast<double>(numerator - first * denominator) / denominator), in.shape.width, in.pixel, o,
                             out.pixel);
        break;
      }
      case LayerOp::kPad: {
        std::memset(o, 0, sizeof(float) * static_cast<size_t>(l.shape.width) * out.pixel);
        const int sy = y - w.pad.top;
        if (sy < 0 || sy >= in.shape.height) break;
        for (int x = 0; x < in.shape.width; ++x) {
          std::memcpy(o + static_cast<size_t>(x + w.pad.left) * out.pixel, in.row(sy) + static_cast<size_t>(x) * in.pixel, sizeof(float) * in.shape.channels);
        }
        break;
      }
      default: break;
    }
  }
}

Plan::Plan(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Plan::~Plan() = default;

StatusOr<std::unique_ptr<Plan>> Plan::Create(Graph graph, const PlanOptions& options) {
  if (options.threads < 1 || options.threads > 64) return InvalidArgument("the number of threads must be 1 to 64");
  if (graph.layers.empty() || graph.layers[0].op != LayerOp::kInput || graph.outputs.empty()) return InvalidArgument("the network has no input or no output");
  MFS_ASSIGN_OR_RETURN(const int64_t target, CpuTarget(options.cpu));
  graph.Simplify();
  auto impl = std::make_unique<Impl>(std::move(graph), KernelsFor(target), options.threads);
  impl->Build();
  return std::unique_ptr<Plan>(new Plan(std::move(impl)));
}

const MapView& Plan::input() const { return impl_->input; }
int Plan::num_outputs() const { return static_cast<int>(impl_->outputs.size()); }
const MapView& Plan::output(int i) const { return impl_->outputs[i]; }
double Plan::macs() const { return impl_->graph.Macs(); }
size_t Plan::buffer_bytes() const { return impl_->bytes; }

void Plan::Run() {
  Impl& m = *impl_;
  if (m.pool.threads() == 1) {
    [[maybe_unused]] const ScopedFlushDenormals flush;
    for (const Step& s : m.steps) m.RunRows(s.layer, s.begin, s.end, &m.scratch[0]);
    return;
  }
  for (const Step& s : m.steps) {
    const int rows = s.end - s.begin, chunks = m.graph.layers[s.layer].op == LayerOp::kGroupNorm ? 1 : std::min(rows, m.pool.threads());
    m.pool.Run(chunks, [&](int i) {
      [[maybe_unused]] const ScopedFlushDenormals flush;
      m.RunRows(s.layer, s.begin + rows * i / chunks, s.begin + rows * (i + 1) / chunks, &m.scratch[i]);
    });
  }
}

std::vector<LayerCost> Plan::Profile(int runs) {
  Impl& m = *impl_;
  const size_t n = m.graph.layers.size();
  std::vector<std::vector<double>> times(n);
  for (int r = 0; r < runs; ++r) {
    [[maybe_unused]] const ScopedFlushDenormals flush;
    std::vector<double> spent(n, 0);
    for (const Step& s : m.steps) {
      const auto start = std::chrono::steady_clock::now();
      m.RunRows(s.layer, s.begin, s.end, &m.scratch[0]);
      spent[s.layer] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    for (size_t i = 0; i < n; ++i) times[i].push_back(spent[i]);
  }
  static const char* const kOps[] = {"input", "conv", "depthwise", "max pool", "average pool", "add", "join", "activation", "group norm", "upsample", "pad"};
  static const char* const kActivations[] = {"", ", relu", ", relu6", ", prelu"};
  const auto text = [](const MapShape& s) { return std::to_string(s.height) + "x" + std::to_string(s.width) + "x" + std::to_string(s.channels); };
  std::vector<LayerCost> costs;
  for (size_t i = 1; i < n; ++i) {
    const GraphLayer& l = m.graph.layers[i];
    LayerCost c;
    c.what = kOps[static_cast<int>(l.op)];
    if (HasWindow(l.op)) c.what += " " + std::to_string(l.window.height) + "x" + std::to_string(l.window.width) + " stride " + std::to_string(l.window.stride);
    c.what += ", " + text(m.graph.layers[l.inputs[0]].shape) + " -> " + text(l.shape) + kActivations[static_cast<int>(l.activation)] + (l.op == LayerOp::kConv && l.inputs.size() > 1 ? ", sum" : "");
    if (m.maps[i].rows < l.shape.height) c.what += ", " + std::to_string(m.maps[i].rows) + " rows kept";
    c.mmac = l.op == LayerOp::kConv || l.op == LayerOp::kDepthwise ? 1e-6 * static_cast<double>(l.weight.size()) * l.shape.height * l.shape.width : 0;
    std::nth_element(times[i].begin(), times[i].begin() + times[i].size() / 2, times[i].end());
    c.ms = times[i].empty() ? 0 : 1e3 * times[i][times[i].size() / 2];
    costs.push_back(std::move(c));
  }
  return costs;
}

void Plan::Run(const float* input) {
  const MapView& to = impl_->input;
  for (int y = 0; y < to.shape.height; ++y) {
    for (int x = 0; x < to.shape.width; ++x, input += to.shape.channels) std::copy_n(input, to.shape.channels, to.at(y, x));
  }
  Run();
}

void Plan::CopyOutput(int i, std::vector<float>* values) const {
  const MapView& from = impl_->outputs[i];
  values->resize(from.shape.size());
  float* to = values->data();
  for (int y = 0; y < from.shape.height; ++y) {
    for (int x = 0; x < from.shape.width; ++x, to += from.shape.channels) std::copy_n(from.at(y, x), from.shape.channels, to);
  }
}

}  // namespace mfs
