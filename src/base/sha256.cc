#include "base/sha256.h"

#include <openssl/sha.h>

namespace mfs {

std::string Sha256Hex(const void* data, size_t size) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(static_cast<const unsigned char*>(data), size, digest);
  return HexOf(digest, sizeof digest);
}

}  // namespace mfs
