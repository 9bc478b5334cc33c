#include "media/segment_file.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/crc.h>
}

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"

namespace mfs {
namespace {

constexpr char kMagic[8] = {'M', 'F', 'S', 'S', 'E', 'G', '1', '\n'};
constexpr uint32_t kPacket = 0x544b4350, kEnd = 0x20444e45;  // "PCKT", "END "
constexpr size_t kLargest = size_t{1} << 30;

// Before every packet; the checksum covers what stands before it and the data.
struct PacketHeader {
  uint32_t tag = kPacket, key = 0;
  int64_t pts = 0, duration = 0;
  uint64_t size = 0;
  uint32_t checksum = 0, reserved = 0;
};

uint32_t Checksum(const PacketHeader& h, const void* data) {
  const AVCRC* table = av_crc_get_table(AV_CRC_32_IEEE_LE);
  const uint32_t head = av_crc(table, 0, reinterpret_cast<const uint8_t*>(&h), offsetof(PacketHeader, checksum));
  return av_crc(table, head, static_cast<const uint8_t*>(data), h.size);
}

// The parameters that a container looks at, as numbers.
template <typename Codec, typename Use>
void ForEachField(Codec* c, const Use& use) {
  use(c->codec_type), use(c->codec_id), use(c->format), use(c->bit_rate), use(c->bits_per_coded_sample), use(c->bits_per_raw_sample);
  use(c->profile), use(c->level), use(c->width), use(c->height), use(c->sample_aspect_ratio.num), use(c->sample_aspect_ratio.den);
  use(c->field_order), use(c->color_range), use(c->color_primaries), use(c->color_trc), use(c->color_space), use(c->chroma_location), use(c->video_delay);
}

void PutNumber(std::string* out, int64_t v) { out->append(reinterpret_cast<const char*>(&v), sizeof v); }
void PutBytes(std::string* out, const void* data, size_t size) {
  PutNumber(out, static_cast<int64_t>(size));
  out->append(static_cast<const char*>(data), size);
}

struct Cursor {
  const std::string& bytes;
  size_t at = 0;
  bool ok = true;
  int64_t Number() {
    int64_t v = 0;
    if (at + sizeof v > bytes.size()) {
      ok = false;
      return 0;
    }
    std::memcpy(&v, bytes.data() + at, sizeof v);
    at += sizeof v;
    return v;
  }
  std::string Bytes() {
    const int64_t size = Number();
    if (!ok || size < 0 || static_cast<uint64_t>(size) > bytes.size() - at) {
      ok = false;
      return {};
    }
    at += size;
    return bytes.substr(at - size, size);
  }
};

}  // namespace

StreamParameters::StreamParameters() : codec(avcodec_parameters_alloc()) {}
StreamParameters::~StreamParameters() { avcodec_parameters_free(&codec); }
StreamParameters::StreamParameters(StreamParameters&& other) noexcept : StreamParameters() { *this = std::move(other); }
StreamParameters& StreamParameters::operator=(StreamParameters&& other) noexcept {
  std::swap(codec, other.codec);
  std::swap(time_base, other.time_base);
  std::swap(frame_rate, other.frame_rate);
  std::swap(side_data, other.side_data);
  return *this;
}

std::string StreamParameters::Serialize() const {
  std::string out;
  ForEachField(codec, [&](auto field) { PutNumber(&out, static_cast<int64_t>(field)); });
  for (int v : {time_base[0], time_base[1], frame_rate[0], frame_rate[1]}) PutNumber(&out, v);
  PutBytes(&out, codec->extradata, codec->extradata == nullptr ? 0 : codec->extradata_size);
  PutNumber(&out, static_cast<int64_t>(side_data.size()));
  for (const SideData& d : side_data) {
    PutNumber(&out, d.type);
    PutBytes(&out, d.bytes.data(), d.bytes.size());
  }
  return out;
}

StatusOr<StreamParameters> StreamParameters::Parse(const std::string& bytes) {
  StreamParameters p;
  if (p.codec == nullptr) return OutOfMemory("not enough memory for a video stream");
  Cursor in{bytes};
  ForEachField(p.codec, [&](auto& field) { field = static_cast<std::remove_reference_t<decltype(field)>>(in.Number()); });
  for (int* v : {&p.time_base[0], &p.time_base[1], &p.frame_rate[0], &p.frame_rate[1]}) *v = static_cast<int>(in.Number());
  const std::string extradata = in.Bytes();
  if (!extradata.empty()) {
    p.codec->extradata = static_cast<uint8_t*>(av_mallocz(extradata.size() + AV_INPUT_BUFFER_PADDING_SIZE));
    if (p.codec->extradata == nullptr) return OutOfMemory("not enough memory for a video stream");
    std::memcpy(p.codec->extradata, extradata.data(), extradata.size());
    p.codec->extradata_size = static_cast<int>(extradata.size());
  }
  const int64_t count = in.Number();
  for (int64_t i = 0; in.ok && i < count; ++i) {
    SideData d;
    d.type = static_cast<int>(in.Number());
    d.bytes = in.Bytes();
    p.side_data.push_back(std::move(d));
  }
  if (!in.ok || in.at != bytes.size() || p.time_base[0] <= 0 || p.time_base[1] <= 0) return CorruptData("the parameters of the video stream are damaged");
  return p;
}

// ---- writing ----

SegmentWriter::~SegmentWriter() {
  if (file_ != nullptr) std::fclose(file_);
}

Status SegmentWriter::Put(const void* data, size_t size) { return std::fwrite(data, 1, size, file_) == size ? Status::Ok() : ErrnoStatus(path_, errno); }

StatusOr<std::unique_ptr<SegmentWriter>> SegmentWriter::Create(const std::string& path, const StreamParameters& parameters) {
  std::unique_ptr<SegmentWriter> w(new SegmentWriter(path));
  w->file_ = std::fopen(path.c_str(), "wbe");
  if (w->file_ == nullptr) return ErrnoStatus(path, errno);
  std::setvbuf(w->file_, nullptr, _IOFBF, 1 << 18);
  std::string head(kMagic, sizeof kMagic);
  const std::string bytes = parameters.Serialize();
  PutBytes(&head, bytes.data(), bytes.size());
  MFS_RETURN_IF_ERROR(w->Put(head.data(), head.size()));
  return w;
}

Status SegmentWriter::Write(const EncodedPacket& packet) {
  PacketHeader h;
  h.key = packet.key;
  h.pts = packet.pts, h.duration = packet.duration, h.size = packet.size;
  h.checksum = Checksum(h, packet.data);
  MFS_RETURN_IF_ERROR(Put(&h, sizeof h));
  return Put(packet.data, packet.size);
}

Status SegmentWriter::Close() {
  PacketHeader h;
  h.tag = kEnd;
  h.checksum = Checksum(h, "");
  MFS_RETURN_IF_ERROR(Put(&h, sizeof h));
  if (std::fflush(file_) != 0 || (fsync(fileno(file_)) != 0 && errno != EINVAL)) return ErrnoStatus(path_, errno);
  std::FILE* file = std::exchange(file_, nullptr);
  return std::fclose(file) == 0 ? Status::Ok() : ErrnoStatus(path_, errno);
}

// ---- reading ----

SegmentReader::~SegmentReader() {
  if (file_ != nullptr) std::fclose(file_);
}

StatusOr<std::unique_ptr<SegmentReader>> SegmentReader::Open(const std::string& path) {
  std::unique_ptr<SegmentReader> r(new SegmentReader(path));
  r->file_ = std::fopen(path.c_str(), "rbe");
  if (r->file_ == nullptr) return ErrnoStatus(path, errno);
  char magic[sizeof kMagic];
  int64_t size = 0;
  if (std::fread(magic, 1, sizeof magic, r->file_) != sizeof magic || std::memcmp(magic, kMagic, sizeof kMagic) != 0 || std::fread(&size, 1, sizeof size, r->file_) != sizeof size || size < 0 ||
      size > (1 << 24)) {
    return CorruptData(path + ": is no segment of a video");
  }
  std::string bytes(size, 0);
  if (std::fread(bytes.data(), 1, bytes.size(), r->file_) != bytes.size()) return CorruptData(path + ": the segment is cut");
  auto parameters = StreamParameters::Parse(bytes);
  if (!parameters.ok()) return parameters.status().WithPrefix(path + ": ");
  r->parameters_ = std::move(*parameters);
  return r;
}

StatusOr<bool> SegmentReader::Read(EncodedPacket* packet) {
  PacketHeader h;
  if (std::fread(&h, 1, sizeof h, file_) != sizeof h || (h.tag != kPacket && h.tag != kEnd) || h.size > kLargest) return CorruptData(path_ + ": the segment is cut or damaged");
  buffer_.resize(h.size);
  if (std::fread(buffer_.data(), 1, h.size, file_) != h.size || Checksum(h, buffer_.data()) != h.checksum) return CorruptData(path_ + ": the segment is cut or damaged");
  if (h.tag == kEnd) return false;
  *packet = {h.pts, h.duration, h.key != 0, reinterpret_cast<const uint8_t*>(buffer_.data()), buffer_.size()};
  return true;
}

}  // namespace mfs
