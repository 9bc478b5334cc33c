// Planar float images: what the networks and the compositing see.
#ifndef MFS_BASE_IMAGE_H_
#define MFS_BASE_IMAGE_H_

#include <cstddef>
#include <vector>

namespace mfs {

// channels planes of height rows of width floats, one after another (CHW). Colour is RGB in [0,1] unless said otherwise.
class ImageF {
 public:
  ImageF() = default;
  ImageF(int width, int height, int channels) { Reset(width, height, channels); }
  // Keeps the memory when it is large enough.
  void Reset(int width, int height, int channels) {
    width_ = width, height_ = height, channels_ = channels;
    data_.resize(static_cast<size_t>(width) * height * channels);
  }
  int width() const { return width_; }
  int height() const { return height_; }
  int channels() const { return channels_; }
  size_t plane_size() const { return static_cast<size_t>(width_) * height_; }
  float* data() { return data_.data(); }
  const float* data() const { return data_.data(); }
  float* plane(int c) { return data_.data() + c * plane_size(); }
  const float* plane(int c) const { return data_.data() + c * plane_size(); }
  float* row(int c, int y) { return plane(c) + static_cast<size_t>(y) * width_; }
  const float* row(int c, int y) const { return plane(c) + static_cast<size_t>(y) * width_; }
  std::vector<float>& vector() { return data_; }
  const std::vector<float>& vector() const { return data_; }

 private:
  int width_ = 0, height_ = 0, channels_ = 0;
  std::vector<float> data_;
};

}  // namespace mfs

#endif  // MFS_BASE_IMAGE_H_
