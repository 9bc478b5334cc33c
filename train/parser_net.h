// The face parser while it is trained: the layers of face/face_parser.h with a batch norm behind every pointwise convolution.
#ifndef MFS_TRAIN_PARSER_NET_H_
#define MFS_TRAIN_PARSER_NET_H_

#include <torch/torch.h>

#include <map>
#include <string>

#include "base/status.h"
#include "face/face_parser.h"
#include "weights/safetensors.h"

namespace mfs::train {

class ParserNet {
 public:
  explicit ParserNet(uint64_t seed);
  // image [n,224,224,3] RGB in [0,1] -> logits [n,112,112,16].
  torch::Tensor Run(const torch::Tensor& image, bool training);
  const std::map<std::string, torch::Tensor>& parameters() const { return parameters_; }
  const std::map<std::string, torch::Tensor>& buffers() const { return buffers_; }
  // What FaceParser reads: batch norms folded, matrices and kernels in the given precision, biases fp32; whole or not at all.
  Status Save(const std::string& path, const std::map<std::string, std::string>& extra_metadata, DType matrices = DType::kF16) const;

 private:
  void AddConv(const std::string& name, at::IntArrayRef shape);
  void AddBlock(const std::string& name, const ParserBlock& shape);
  const torch::Tensor& P(const std::string& name) const { return parameters_.at(name); }
  torch::Tensor Normalise(const torch::Tensor& x, const std::string& name, bool training);
  torch::Tensor Block(const torch::Tensor& x, const std::string& name, const ParserBlock& shape, bool training);

  std::map<std::string, torch::Tensor> parameters_, buffers_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_PARSER_NET_H_
