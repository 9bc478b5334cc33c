// SHA-256 by the JavaScript library that the page hands to the module (Module.sha256: bytes to bytes).
#include "base/sha256.h"

#include <emscripten/emscripten.h>

#include <cstdint>

// clang-format off
EM_JS(void, mfs_js_sha256, (const void* data, size_t size, uint8_t* digest), {
  HEAPU8.set(Module.sha256(HEAPU8.subarray(data, data + size)), digest);
});
// clang-format on

namespace mfs {

std::string Sha256Hex(const void* data, size_t size) {
  uint8_t digest[32];
  mfs_js_sha256(data, size, digest);
  return HexOf(digest, sizeof digest);
}

}  // namespace mfs
