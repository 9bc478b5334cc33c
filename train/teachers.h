// The teachers of the distillation: the mesh teacher, network teachers and any TorchScript swapper, mixed by weight.
#ifndef MFS_TRAIN_TEACHERS_H_
#define MFS_TRAIN_TEACHERS_H_

#include <torch/torch.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"

namespace mfs::train {

struct TeacherSpec {
  enum Kind { kMesh, kNet, kScript } kind = kMesh;
  std::string path;  // of net and script
  double weight = 1;
};

// "mesh", "mesh:0.7", "net:PATH", "net:PATH:0.3", "script:PATH:0.3". Errors: kInvalidArgument.
StatusOr<TeacherSpec> ParseTeacher(const std::string& text);

// What a network sees, on the CPU; one row a pair. Pictures are RGB in [0,1].
struct TeacherInput {
  torch::Tensor z;       // [n,512], of the sources
  torch::Tensor source;  // [n,224,224,3]
  torch::Tensor target;  // [n,224,224,3]
};

class NetworkTeacher {
 public:
  virtual ~NetworkTeacher() = default;
  // [n,224,224,3] in [0,1], on the CPU. Errors: kInvalidArgument (a script that does not do what it should).
  virtual StatusOr<torch::Tensor> Run(const TeacherInput& input) = 0;
};

// A checkpoint of teacher-net; its pictures are brought to 224 pixels. Errors: as SwapGenerator::Load.
StatusOr<std::unique_ptr<NetworkTeacher>> LoadNetTeacher(const std::string& path, const torch::Device& device = torch::kCPU);
// A TorchScript module with forward(source, target) -> picture; all [n,3,224,224] RGB in [0,1]. Errors: kNotFound, kCorruptData.
StatusOr<std::unique_ptr<NetworkTeacher>> LoadScriptTeacher(const std::string& path, const torch::Device& device = torch::kCPU);

// Draws teachers by weight and holds the networks.
class TeacherMix {
 public:
  // The texts of ParseTeacher with commas between; empty: the mesh teacher alone.
  static StatusOr<TeacherMix> Create(const std::string& teachers, const torch::Device& device = torch::kCPU);
  // -1: the mesh teacher; else a network. Takes nothing from rng when there is but one teacher.
  int Draw(std::mt19937_64* rng);
  NetworkTeacher* network(int index) { return networks_[index].get(); }
  int networks() const { return static_cast<int>(networks_.size()); }

 private:
  std::vector<int> index_;  // of each spec
  std::vector<double> weights_;
  std::vector<std::unique_ptr<NetworkTeacher>> networks_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_TEACHERS_H_
