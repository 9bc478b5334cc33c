// SHA-256, by OpenSSL's libcrypto (it uses the CPU's SHA instructions).
#ifndef MFS_BASE_SHA256_H_
#define MFS_BASE_SHA256_H_

#include <cstddef>
#include <string>

namespace mfs {

// 64 lower-case hexadecimal digits.
std::string Sha256Hex(const void* data, size_t size);

}  // namespace mfs

#endif  // MFS_BASE_SHA256_H_
