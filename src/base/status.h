// Errors as values: the library never throws across its rooms, never prints and never aborts.
#ifndef MFS_BASE_STATUS_H_
#define MFS_BASE_STATUS_H_

#include <cassert>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace mfs {

// The numbers are those of mfs_status_t in include/mobilefaceswap/mobilefaceswap.h.
enum class StatusCode : int {
  kOk = 0,
  kInvalidArgument = 1,  // the caller asked for something that makes no sense
  kNotFound = 2,         // a file, model or stream is not there
  kAlreadyExists = 3,    // would overwrite
  kIoError = 4,          // reading or writing failed
  kDiskFull = 5,         // no space left
  kCorruptData = 6,      // file cut, tampered with or not what it says it is
  kUnsupported = 7,      // valid, but this build cannot do it
  kNoFace = 8,           // no face where one is needed
  kOutOfMemory = 9,      // too large for this machine or for the limits set
  kCancelled = 10,       // stopped on request
  kInternal = 11,        // a bug in this library
};

const char* StatusCodeName(StatusCode code);

// A code and, when it is not kOk, one plain sentence that says what is wrong and what to do.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}
  static Status Ok() { return Status(); }

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // The same error with words put in front, as in "photo.jpg: no face found".
  Status WithPrefix(const std::string& prefix) const { return ok() ? *this : Status(code_, prefix + message_); }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status InvalidArgument(std::string m) { return {StatusCode::kInvalidArgument, std::move(m)}; }
inline Status NotFound(std::string m) { return {StatusCode::kNotFound, std::move(m)}; }
inline Status AlreadyExists(std::string m) { return {StatusCode::kAlreadyExists, std::move(m)}; }
inline Status IoError(std::string m) { return {StatusCode::kIoError, std::move(m)}; }
inline Status DiskFull(std::string m) { return {StatusCode::kDiskFull, std::move(m)}; }
inline Status CorruptData(std::string m) { return {StatusCode::kCorruptData, std::move(m)}; }
inline Status Unsupported(std::string m) { return {StatusCode::kUnsupported, std::move(m)}; }
inline Status NoFace(std::string m) { return {StatusCode::kNoFace, std::move(m)}; }
inline Status OutOfMemory(std::string m) { return {StatusCode::kOutOfMemory, std::move(m)}; }
inline Status Cancelled(std::string m) { return {StatusCode::kCancelled, std::move(m)}; }
inline Status Internal(std::string m) { return {StatusCode::kInternal, std::move(m)}; }

// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] StatusOr {
 public:
  StatusOr(Status status) : status_(std::move(status)) {  // NOLINT: implicit by design
    assert(!status_.ok());
    if (status_.ok()) status_ = Internal("StatusOr built from an Ok status");
  }
  template <typename U, typename = std::enable_if_t<std::is_convertible_v<U&&, T> && !std::is_same_v<std::decay_t<U>, Status> && !std::is_same_v<std::decay_t<U>, StatusOr>>>
  StatusOr(U&& value) : value_(std::forward<U>(value)) {}  // NOLINT: implicit by design

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  // Only when ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return std::move(*value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

#define MFS_CONCAT_INNER(a, b) a##b
#define MFS_CONCAT(a, b) MFS_CONCAT_INNER(a, b)
// Leaves the function with the error, if expr is one.
#define MFS_RETURN_IF_ERROR(expr)              \
  do {                                         \
    ::mfs::Status mfs_status_ = (expr);        \
    if (!mfs_status_.ok()) return mfs_status_; \
  } while (0)
// MFS_ASSIGN_OR_RETURN(auto x, F()): declares or assigns x, or leaves the function with F's error.
#define MFS_ASSIGN_OR_RETURN(lhs, expr) MFS_ASSIGN_OR_RETURN_INNER(MFS_CONCAT(mfs_status_or_, __LINE__), lhs, expr)
#define MFS_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                               \
  if (!tmp.ok()) return tmp.status();              \
  lhs = std::move(tmp).value()

}  // namespace mfs

#endif  // MFS_BASE_STATUS_H_
