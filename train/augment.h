// Random changes of training faces, so that the student does not depend on the one alignment, light and picture quality that the
// photos happen to have.
#ifndef MFS_TRAIN_AUGMENT_H_
#define MFS_TRAIN_AUGMENT_H_

#include <random>
#include <vector>

#include "face_cache.h"

namespace mfs::train {

// Turns (up to 4 degrees), scales (4 %) and shifts (4 pixels) crop, mesh and landmarks together, as another detector or an
// unsteady track would; what comes in from outside repeats the border. visible: 224 x 224 of the same face, moved along; may be null.
void MoveFace(FaceRecord* face, std::vector<float>* visible, std::mt19937_64* rng);

// The face in a mirror: crop, visible (may be null), mesh and landmarks. The embedding is of the face as it was.
void MirrorFace(FaceRecord* face, std::vector<float>* visible);

// Another exposure (gamma 0.65 to 1.5) and white balance (gains 0.9 to 1.1) for the crop.
void RelightFace(FaceRecord* face, std::mt19937_64* rng);

// The embedder's view of a source as a poor camera or a small face in an old photo would give it: blur (to a face of about 15 pixels), noise,
// another light, a colour cast, pale or no colours, and a slightly wrong alignment.
// out: 112 x 112 x 3 RGB in [0,1].
void DegradeSource(const FaceRecord& source, std::mt19937_64* rng, float* out);

}  // namespace mfs::train

#endif  // MFS_TRAIN_AUGMENT_H_
