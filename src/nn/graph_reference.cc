#include "nn/graph_reference.h"

#include <algorithm>
#include <cmath>

namespace mfs {
namespace {

struct Map {
  MapShape shape;
  std::vector<double> data;
  double at(int y, int x, int c) const { return data[(static_cast<size_t>(y) * shape.width + x) * shape.channels + c]; }
};

double Activated(double v, const GraphLayer& l, int c) {
  switch (l.activation) {
    case Activation::kNone: return v;
    case Activation::kRelu: return std::max(v, 0.0);
    case Activation::kRelu6: return std::min(std::max(v, 0.0), 6.0);
    case Activation::kPrelu: return v < 0 ? v * l.slope[c] : v;
  }
  return v;
}

// f(sy, sx, tap) for every tap of output (y, x) that lies inside the input.
template <typename F>
void ForTaps(const Window& w, const MapShape& in, int y, int x, const F& f) {
  for (int ky = 0; ky < w.height; ++ky) {
    const int sy = y * w.stride + ky * w.dilation - w.pad.top;
    if (sy < 0 || sy >= in.height) continue;
    for (int kx = 0; kx < w.width; ++kx) {
      const int sx = x * w.stride + kx * w.dilation - w.pad.left;
      if (sx >= 0 && sx < in.width) f(sy, sx, ky * w.width + kx);
    }
  }
}

// Value of one output, before residual and activation.
double Value(const GraphLayer& l, const std::vector<Map>& maps, int y, int x, int c) {
  const Map& in = maps[l.inputs[0]];
  const int channels = in.shape.channels;
  double v = 0;
  switch (l.op) {
    case LayerOp::kConv:
      v = l.bias[c];
      ForTaps(l.window, in.shape, y, x, [&](int sy, int sx, int tap) {
        const size_t w = static_cast<size_t>(tap) * channels * l.shape.channels + c;
        for (int i = 0; i < channels; ++i) v += in.at(sy, sx, i) * l.weight[w + static_cast<size_t>(i) * l.shape.channels];
      });
      return v;
    case LayerOp::kDepthwise:
      v = l.bias[c];
      ForTaps(l.window, in.shape, y, x, [&](int sy, int sx, int tap) { v += in.at(sy, sx, c) * l.weight[static_cast<size_t>(tap) * channels + c]; });
      return v;
    case LayerOp::kMaxPool:
      if (c >= channels) return 0;  // channels that a fused padding adds
      v = -INFINITY;
      ForTaps(l.window, in.shape, y, x, [&](int sy, int sx, int) { v = std::max(v, in.at(sy, sx, c)); });
      return v;
    case LayerOp::kAveragePool: ForTaps(l.window, in.shape, y, x, [&](int sy, int sx, int) { v += in.at(sy, sx, c); }); return v / (l.window.height * l.window.width);
    case LayerOp::kAdd: return in.at(y, x, c) + maps[l.inputs[1]].at(y, x, c);
    case LayerOp::kActivate: return in.at(y, x, c);
    case LayerOp::kConcat:
      for (int i : l.inputs) {
        if (c < maps[i].shape.channels) return maps[i].at(y, x, c);
        c -= maps[i].shape.channels;
      }
      return 0;
    case LayerOp::kUpsample: {
      const auto axis = [](int i, int n, int* first) {
        const double at = 2 * n == 1 ? 0 : static_cast<double>(i) * (n - 1) / (2 * n - 1);
        *first = std::min(static_cast<int>(at), std::max(n - 2, 0));
        return at - *first;
      };
      int iy, ix;
      const double fy = axis(y, in.shape.height, &iy), fx = axis(x, in.shape.width, &ix);
      const int ny = std::min(iy + 1, in.shape.height - 1), nx = std::min(ix + 1, in.shape.width - 1);
      return (1 - fy) * ((1 - fx) * in.at(iy, ix, c) + fx * in.at(iy, nx, c)) + fy * ((1 - fx) * in.at(ny, ix, c) + fx * in.at(ny, nx, c));
    }
    case LayerOp::kPad: {
      const int sy = y - l.window.pad.top, sx = x - l.window.pad.left;
      return c < channels && sy >= 0 && sx >= 0 && sy < in.shape.height && sx < in.shape.width ? in.at(sy, sx, c) : 0;
    }
    case LayerOp::kInput:
    case LayerOp::kGroupNorm: break;
  }
  return v;
}

void GroupNorm(const GraphLayer& l, const Map& in, Map* out) {
  const int channels = in.shape.channels, each = channels / l.groups, pixels = in.shape.height * in.shape.width;
  for (int g = 0; g < l.groups; ++g) {
    double sum = 0, squares = 0;
    for (int p = 0; p < pixels; ++p) {
      for (int c = g * each; c < (g + 1) * each; ++c) sum += in.data[static_cast<size_t>(p) * channels + c];
    }
    const double mean = sum / (static_cast<double>(each) * pixels);
    for (int p = 0; p < pixels; ++p) {
      for (int c = g * each; c < (g + 1) * each; ++c) squares += std::pow(in.data[static_cast<size_t>(p) * channels + c] - mean, 2);
    }
    const double inverse = 1 / std::sqrt(squares / (static_cast<double>(each) * pixels) + l.eps);
    for (int p = 0; p < pixels; ++p) {
      for (int c = g * each; c < (g + 1) * each; ++c) {
        const size_t i = static_cast<size_t>(p) * channels + c;
        out->data[i] = Activated((in.data[i] - mean) * inverse * l.weight[c] + l.bias[c], l, c);
      }
    }
  }
}

}  // namespace

std::vector<std::vector<float>> RunReference(const Graph& graph, const float* input) {
  std::vector<Map> maps;
  for (const GraphLayer& l : graph.layers) {
    Map m{l.shape, std::vector<double>(l.shape.size())};
    if (l.op == LayerOp::kInput) {
      std::copy(input, input + l.shape.size(), m.data.begin());
    } else if (l.op == LayerOp::kGroupNorm) {
      GroupNorm(l, maps[l.inputs[0]], &m);
    } else {
      const Map* residual = l.op == LayerOp::kConv && l.inputs.size() > 1 ? &maps[l.inputs[1]] : nullptr;
      size_t i = 0;
      for (int y = 0; y < l.shape.height; ++y) {
        for (int x = 0; x < l.shape.width; ++x) {
          for (int c = 0; c < l.shape.channels; ++c, ++i) {
            double v = Value(l, maps, y, x, c);
            if (residual != nullptr && !l.add_after) v += residual->data[i];
            v = Activated(v, l, c);
            if (residual != nullptr && l.add_after) v += residual->data[i];
            m.data[i] = v;
          }
        }
      }
    }
    maps.push_back(std::move(m));
  }
  std::vector<std::vector<float>> outputs;
  for (int o : graph.outputs) outputs.emplace_back(maps[o].data.begin(), maps[o].data.end());
  return outputs;
}

}  // namespace mfs
