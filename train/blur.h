// The Gaussian blur of what is drawn and warped in training crops.
#ifndef MFS_TRAIN_BLUR_H_
#define MFS_TRAIN_BLUR_H_

namespace mfs::train {

// Gaussian blur of `channels` interleaved channels of a square picture, zeros outside; sigma in pixels, up to 50. scratch has the size of data.
void Blur(float* data, int side, int channels, float sigma, float* scratch);

}  // namespace mfs::train

#endif  // MFS_TRAIN_BLUR_H_
