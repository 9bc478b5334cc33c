// The people of a clip or picture: found in samples of it, told apart, one reference each.
#ifndef MFS_SWAP_PERSON_SURVEY_H_
#define MFS_SWAP_PERSON_SURVEY_H_

#include <atomic>
#include <string>
#include <vector>

#include "swap/engine.h"

namespace mfs {

struct SurveyOptions {
  int samples = 240;        // frames of a video that are looked at, spread over its length
  float min_face = 24;      // pixels; smaller faces are counted only
  int tiles = 8;            // pictures kept of each person
  float similarity = 0.4f;  // mean cosine between faces of one person
};

struct SurveyedPerson {
  int faces = 0;               // samples that show the person
  double first = 0, last = 0;  // seconds; 0 in a picture
  Identity identity;           // from the best tiles' faces; a reference for --map as well as a source
  std::vector<ImageF> tiles;   // 3 planes of kTile x kTile, the best first
};

struct PersonSurvey {
  bool video = false;
  int frames = 0, faces = 0, too_small = 0, passers_by = 0;  // frames looked at; faces in them; of video faces: seen in one sample only
  Status input_end;                                          // of a video that broke off: why
  std::vector<SurveyedPerson> persons;                       // most often seen first; the same file gives the same order
};

inline constexpr int kTile = 128;  // pixels

// Errors: kNoFace; kCancelled when cancel turned true; what reading gives.
StatusOr<PersonSurvey> SurveyPersons(Engine* engine, const std::string& path, const SurveyOptions& options, const std::atomic<bool>* cancel);

}  // namespace mfs

#endif  // MFS_SWAP_PERSON_SURVEY_H_
