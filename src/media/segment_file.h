// A stretch of encoded video on disk, until it is joined with the others: codec parameters, then packets, each with a checksum.
#ifndef MFS_MEDIA_SEGMENT_FILE_H_
#define MFS_MEDIA_SEGMENT_FILE_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

struct AVCodecParameters;

namespace mfs {

// What a container must know of a video stream.
struct StreamParameters {
  StreamParameters();
  ~StreamParameters();
  StreamParameters(StreamParameters&& other) noexcept;
  StreamParameters& operator=(StreamParameters&& other) noexcept;

  AVCodecParameters* codec;    // with extradata; owned
  int time_base[2] = {1, 25};  // seconds per tick: numerator, denominator
  int frame_rate[2] = {0, 1};  // frames a second, 0/1: unknown
  struct SideData {
    int type = 0;  // AVPacketSideDataType
    std::string bytes;
  };
  std::vector<SideData> side_data;  // of the stream: rotation, HDR

  // All of it as bytes; two streams can be joined when these are equal.
  std::string Serialize() const;
  static StatusOr<StreamParameters> Parse(const std::string& bytes);
};

struct EncodedPacket {
  int64_t pts = 0, duration = 0;  // in the stream's time base
  bool key = false;
  const uint8_t* data = nullptr;
  size_t size = 0;
};

class SegmentWriter {
 public:
  // Overwrites. Errors: kDiskFull, kIoError, kNotFound.
  static StatusOr<std::unique_ptr<SegmentWriter>> Create(const std::string& path, const StreamParameters& parameters);
  ~SegmentWriter();
  Status Write(const EncodedPacket& packet);
  // Flushes to the disk; without it the file counts as broken off.
  Status Close();

 private:
  explicit SegmentWriter(std::string path) : path_(std::move(path)) {}
  Status Put(const void* data, size_t size);
  std::string path_;
  std::FILE* file_ = nullptr;
};

class SegmentReader {
 public:
  // Errors: kNotFound, kCorruptData.
  static StatusOr<std::unique_ptr<SegmentReader>> Open(const std::string& path);
  ~SegmentReader();
  const StreamParameters& parameters() const { return parameters_; }
  // false: the end. The packet's data stays until the next call. Errors: kCorruptData (cut, changed).
  StatusOr<bool> Read(EncodedPacket* packet);

 private:
  explicit SegmentReader(std::string path) : path_(std::move(path)) {}
  std::string path_;
  std::FILE* file_ = nullptr;
  StreamParameters parameters_;
  std::string buffer_;
};

}  // namespace mfs

#endif  // MFS_MEDIA_SEGMENT_FILE_H_
