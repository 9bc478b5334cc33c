// Random changes of training faces, so that the student does not depend on the one alignment, light and picture quality that the
// photos happen to have.
#ifndef MFS_TRAIN_AUGMENT_H_
#define MFS_TRAIN_AUGMENT_H_

#include <random>
#include <vector>

#include "face_cache.h"

namespace mfs::train {

// Turns (up to 4 degrees), scales (4 %) and shifts (4 pixels) crop, mesh and landmarks together, as another detector or an
// unsteady track would; what comes in from outside repeats the border. labels: of the same face, moved along; may be null.
void MoveFace(FaceRecord* face, FaceLabels* labels, std::mt19937_64* rng);

// The face in a mirror: crop, labels (may be null), mesh and landmarks. The embedding is of the face as it was.
void MirrorFace(FaceRecord* face, FaceLabels* labels);

// A black and white photo, by luma.
void TakeColours(FaceRecord* face);
void TakeColours(std::vector<float>* rgb);

// Another exposure (gamma 0.65 to 1.5) and white balance (gains 0.9 to 1.1) for the crop.
void RelightFace(FaceRecord* face, std::mt19937_64* rng);

// Two lights: the crop's brightness and hue go over from one to the other across a line of random direction, place and softness, through the face. One side has the other's light times up to 0.25
// (encoded values), each colour times 0.7 to 1.4 of it: studio and street photos are seldom like that, concerts, screens and windows are.
void LightFromTwoSides(FaceRecord* face, std::mt19937_64* rng);

// The embedder's view of a source as a poor camera or a small face in an old photo would give it: blur (to a face of about 15 pixels), noise,
// another light, a colour cast, pale or no colours, and a slightly wrong alignment.
// out: 112 x 112 x 3 RGB in [0,1].
void DegradeSource(const FaceRecord& source, std::mt19937_64* rng, float* out);

// The same view of a source with the mean colour that the target's face has, in linear light; what would be white stays below.
// False, and out is untouched, where their lumas differ by less than `least` anyway.
bool LightSource(const FaceRecord& source, const FaceRecord& target, float least, float* out);

// The same view of a source as it is.
void HalveSource(const FaceRecord& source, float* out);

}  // namespace mfs::train

#endif  // MFS_TRAIN_AUGMENT_H_
