// Who is who: the faces of a picture or a video told apart by their embeddings.
#ifndef MFS_SWAP_PERSONS_H_
#define MFS_SWAP_PERSONS_H_

#include <array>
#include <functional>
#include <map>
#include <vector>

#include "base/status.h"
#include "face/face_tracker.h"
#include "identity/embedding.h"

namespace mfs {

using PersonEmbedding = std::array<float, 512>;  // L2-normalised

// Which reference each face is, -1: none. A person appears once: the best pairs are taken first, down to the similarity.
std::vector<int> AssignPersons(const std::vector<PersonEmbedding>& faces, const std::vector<PersonEmbedding>& references, float similarity);

// The same for the tracks of a video. A face is embedded when its track begins (until it is known, at most kTries times in a row), in every
// frame in which another face is near (that is where tracks can be mixed up), and every kCheckEvery frames besides. A track that is known
// keeps its person through a turned head; a track near others is in doubt whenever its face does not look like its person, and nobody then.
class PersonKeeper {
 public:
  // Person of each track, -1: none of the references, or in doubt.
  StatusOr<std::vector<int>> Update(const std::vector<TrackedFace>& tracks, const std::vector<PersonEmbedding>& references, float similarity,
                                    const std::function<StatusOr<PersonEmbedding>(const Face&)>& embed);
  int embeddings() const { return embeddings_; }  // made so far

 private:
  struct Known {
    int person = -1;
    int checked_at = -1;  // age of the track
    int tries = 0;        // looks in a row without a person
    int misses = 0;       // looks in a row in which it did not look like its person
    int crowded_until = -1;
    bool doubt = false;  // of the last look
    float cosine = -1;   // of the last look, to its person
    int last_frame = 0;
  };
  std::map<int, Known> tracks_;  // by id
  int frame_ = 0, embeddings_ = 0;
};

// The one track of `--faces largest`: the largest face at first, and the same person from then on. It changes to another face that becomes clearly
// larger; behind a cut or a loss it goes back to its person as soon as that one is there, and takes the largest face until then.
class LargestKeeper {
 public:
  // Who is wanted is known beforehand (another part of the same film begins): taken where seen, else whoever is the largest until then.
  void Seed(const PersonEmbedding& person) { person_ = person, known_ = seeded_ = true, own_ = false; }
  // Index of the chosen track, which may be hidden; tracks come largest first, at least one.
  StatusOr<size_t> Update(const std::vector<TrackedFace>& tracks, float similarity, const std::function<StatusOr<PersonEmbedding>(const Face&)>& embed);
  // Size never makes another person the chosen one: who was chosen first is waited for.
  void KeepPerson() { keep_ = true; }
  // Is the track of the last Update the person, and not whoever is the largest while that person is not there?
  bool own() const { return own_; }

 private:
  int track_ = 0;             // id; 0: none yet
  std::vector<int> there_;    // ids of the last frame that have been looked at
  bool own_ = true;           // the track is the person
  bool found_again_ = false;  // by the embedding: size does not count any more
  bool known_ = false, seeded_ = false, keep_ = false;
  int doubts_ = 0;  // frames in which whoever stands in was not looked at again
  PersonEmbedding person_{};
};

// People among many faces: average-linkage clustering by cosine. Returns the cluster of every face, numbered by size, the largest first
// (equal ones by their first face).
std::vector<int> ClusterPersons(const std::vector<PersonEmbedding>& faces, float similarity = 0.4f);

}  // namespace mfs

#endif  // MFS_SWAP_PERSONS_H_
