// A weight file run as the product runs it, on the crops of the cache.
#ifndef MFS_TRAIN_SWAPPER_H_
#define MFS_TRAIN_SWAPPER_H_

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "face_cache.h"
#include "identity/iin.h"
#include "idn/idn.h"
#include "weights/float16.h"
#include "weights/safetensors.h"

namespace mfs::train {

class Swapper {
 public:
  // Errors: as SafetensorsFile::Open and InjectionNetwork::Create.
  static StatusOr<std::unique_ptr<Swapper>> Create(const std::string& path) {
    auto s = std::make_unique<Swapper>();
    MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
    auto network = InjectionNetwork::Create(file);
    if (!network.ok()) return network.status().WithPrefix(path + ": ");
    s->network_ = std::move(*network);
    MFS_ASSIGN_OR_RETURN(s->idn_, Idn::Create(EmptyIdnWeights(), {}));
    return s;
  }
  Status SetSource(const FaceRecord& source) {
    std::vector<float> map(512 * 49);
    for (size_t i = 0; i < map.size(); ++i) map[i] = HalfToFloat(source.map[i]);
    MFS_ASSIGN_OR_RETURN(const IdnWeights weights, network_->Run(source.z, map.data()));
    return idn_->SetIdentity(weights);
  }
  // crop: 224 x 224 x 3, interleaved -> image: three planes of 224 x 224, RGB in [0,1].
  Status Run(const uint8_t* crop, std::vector<float>* image) {
    constexpr int n = kCropSize * kCropSize;
    planes_.resize(3 * n), mask_.resize(n), image->resize(3 * n);
    for (int i = 0; i < n; ++i) {
      for (int c = 0; c < 3; ++c) planes_[c * n + i] = crop[3 * i + c] / 255.0f;
    }
    return idn_->Run(planes_.data(), nullptr, mask_.data(), image->data());
  }

 private:
  std::unique_ptr<InjectionNetwork> network_;
  std::unique_ptr<Idn> idn_;
  std::vector<float> planes_, mask_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_SWAPPER_H_
