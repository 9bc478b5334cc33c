// SHA-256, by OpenSSL's libcrypto (it uses the CPU's SHA instructions).
#ifndef MFS_BASE_SHA256_H_
#define MFS_BASE_SHA256_H_

#include <cstddef>
#include <string>

namespace mfs {

// 64 lower-case hexadecimal digits.
std::string Sha256Hex(const void* data, size_t size);

// Two lower-case digits a byte.
inline std::string HexOf(const unsigned char* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (size_t i = 0; i < size; ++i) {
    hex += kDigits[bytes[i] >> 4];
    hex += kDigits[bytes[i] & 15];
  }
  return hex;
}

}  // namespace mfs

#endif  // MFS_BASE_SHA256_H_
