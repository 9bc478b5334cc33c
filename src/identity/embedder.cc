#include "identity/embedder.h"

#include <cmath>

namespace mfs {

StatusOr<std::unique_ptr<Embedder>> Embedder::Create(const ModelStore& store) {
  MFS_ASSIGN_OR_RETURN(const std::string bytes, store.Load("embedder_mobilefacenet.onnx"));
  auto embedder = std::make_unique<Embedder>();
  // 507 is the PReLU behind the last 1x1 convolution: the map that the injection network reads.
  MFS_ASSIGN_OR_RETURN(embedder->session_, OrtSession::Create(bytes, {"507"}));
  return embedder;
}

StatusOr<Embedding> Embedder::Run(const ImageF& aligned) {
  if (aligned.width() != 112 || aligned.height() != 112 || aligned.channels() != 3) {
    return InvalidArgument("the embedder needs an aligned RGB crop of 112 x 112 pixels");
  }
  const size_t plane = aligned.plane_size();
  input_.resize(3 * plane);
  for (int c = 0; c < 3; ++c) {  // the net was trained on BGR
    for (size_t i = 0; i < plane; ++i) input_[c * plane + i] = (aligned.plane(2 - c)[i] * 255 - 127) / 128;
  }
  MFS_RETURN_IF_ERROR(session_->Run(input_.data(), {1, 3, 112, 112}, &outputs_));
  if (outputs_.size() != 2 || outputs_[0].size() != 512 || outputs_[1].size() != 512 * 49) {
    return Internal("the embedder returned an unexpected shape");
  }
  Embedding e;
  double squares = 0;
  for (float v : outputs_[0]) squares += double{v} * v;
  const double norm = std::sqrt(squares);
  if (!(norm > 1e-6) || !std::isfinite(norm)) return Internal("the embedder returned no usable embedding");
  for (int i = 0; i < 512; ++i) e.z[i] = static_cast<float>(outputs_[0][i] / norm);
  e.map = std::move(outputs_[1]);
  return e;
}

}  // namespace mfs
