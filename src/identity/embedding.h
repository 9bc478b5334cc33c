#ifndef MFS_IDENTITY_EMBEDDING_H_
#define MFS_IDENTITY_EMBEDDING_H_

#include <array>
#include <vector>

namespace mfs {

// What the embedder says of one aligned face.
struct Embedding {
  std::array<float, 512> z{};  // L2-normalised identity embedding
  std::vector<float> map;      // the last feature map, 512 x 7 x 7
};

// Cosine of two embeddings, -1..1.
inline float CosineSimilarity(const std::array<float, 512>& a, const std::array<float, 512>& b) {
  double dot = 0;
  for (int i = 0; i < 512; ++i) dot += double{a[i]} * b[i];
  return static_cast<float>(dot);
}

}  // namespace mfs

#endif  // MFS_IDENTITY_EMBEDDING_H_
