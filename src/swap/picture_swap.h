// Swapping a face in a picture file.
#ifndef MFS_SWAP_PICTURE_SWAP_H_
#define MFS_SWAP_PICTURE_SWAP_H_

#include <string>
#include <vector>

#include "media/picture.h"
#include "swap/engine.h"

namespace mfs {

struct PictureSwapReport {
  int width = 0, height = 0;
  int faces_found = 0, faces_swapped = 0;
  StageTimes times;
  std::vector<std::string> warnings;
};

// Reads target, swaps the chosen faces with the identity set in the engine, writes output (under a temporary name, then
// renamed). Errors: kNoFace when no face is found or, by reference, none is the reference person.
StatusOr<PictureSwapReport> SwapPicture(Engine* engine, const std::string& target, const std::string& output, const PictureWriteOptions& write_options);

}  // namespace mfs

#endif  // MFS_SWAP_PICTURE_SWAP_H_
