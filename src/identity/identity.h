// One person: the weights of that person's IDN and the embedding they came from. Made once, loaded in milliseconds.
#ifndef MFS_IDENTITY_IDENTITY_H_
#define MFS_IDENTITY_IDENTITY_H_

#include <array>
#include <string>
#include <vector>

#include "base/status.h"
#include "identity/embedding.h"
#include "identity/iin.h"
#include "weights/idn_weights.h"

namespace mfs {

struct Identity {
  IdnWeights weights;
  std::array<float, 512> z{};  // L2-normalised mean embedding of the sources
  int sources = 0;             // photos used
  std::string model_sha256;    // of the injection network's file
  std::string created_by;      // program and version
};

// A source photo's embedding and what to call it in messages.
struct NamedEmbedding {
  std::string name;
  Embedding embedding;
};

// Photos whose embedding has a smaller cosine than this to the mean of the others do not show the same person (two photos of
// one person: 0.68 +- 0.12; of two persons: 0.005 +- 0.097, design/models.md).
inline constexpr float kOutlierCosine = 0.3f;

// Averages the embeddings (then normalises) and the maps. With three photos or more, those that do not fit the others are left
// out, one at a time, the worst first; with two that disagree the second is. Every photo left out gets a line in warnings.
// Errors: kInvalidArgument for an empty list.
StatusOr<Embedding> AverageEmbeddings(const std::vector<NamedEmbedding>& photos, int* used, std::vector<std::string>* warnings);

// A .safetensors of at most 1.1 MB: half precision, or single for an array that half cannot hold. Whole or not at all.
Status SaveIdentity(const Identity& identity, const std::string& path);
// The bytes of that file.
StatusOr<std::string> SerializeIdentity(const Identity& identity);

// Errors: kNotFound, kCorruptData (cut, NaN, wrong shapes, another kind of file), kUnsupported (version).
StatusOr<Identity> LoadIdentity(const std::string& path);
// From the bytes of such a file.
StatusOr<Identity> ParseIdentity(const void* data, size_t size);

}  // namespace mfs

#endif  // MFS_IDENTITY_IDENTITY_H_
