// The folder in which an unfinished video waits: a description of the job, finished segments, a lock. What a crash, a kill -9 or a full
// disk leaves behind is what is needed to go on, and several machines can fill one folder.
#ifndef MFS_SWAP_PART_FOLDER_H_
#define MFS_SWAP_PART_FOLDER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace mfs {

// Do two descriptions of a job say the same but for the input's name?
bool SameJob(const std::string& a, const std::string& b);

struct SegmentInfo {
  int index = 0;
  int64_t frames = 0, swapped = 0, detections = 0, too_small = 0, too_many = 0;
  int reorder = 0;     // VideoEncoder::reorder
  uint64_t bytes = 0;  // of the segment's file
  bool last = false;   // the film ends here
  int end_code = 0;    // StatusCode and words of why the input ended early
  std::string end_message;
  std::vector<std::string> warnings;
};

class PartFolder {
 public:
  enum class Mode {
    kFresh,    // fails when a folder is there
    kReplace,  // what is there is removed
    kResume,   // goes on with what is there, if anything is
    kJoin,     // opens what is there
  };
  static std::string NameFor(const std::string& output) { return output + ".mfs-part"; }

  // job: text that names everything the result depends on, as a JSON object; "" with kJoin. Its key "input_name" may differ from that of
  // the folder. shards > 1: other shards may work in the same folder at the same time.
  // Errors: kAlreadyExists (an earlier partial result, or another process is at work in it), kInvalidArgument (made with other settings),
  // kNotFound (kJoin), kIoError.
  static StatusOr<std::unique_ptr<PartFolder>> Open(const std::string& path, const std::string& job, Mode mode, int shard = 1, int shards = 1);
  ~PartFolder();
  PartFolder(const PartFolder&) = delete;
  PartFolder& operator=(const PartFolder&) = delete;

  const std::string& path() const { return path_; }
  const std::string& job() const { return job_; }
  std::string SegmentFile(int index) const;
  // Finished segments by number.
  const std::map<int, SegmentInfo>& segments() const { return segments_; }
  // The segment's file must be complete. From here on it survives everything.
  Status Commit(const SegmentInfo& info);
  // A note that the result has been put in its place and only tidying up is left.
  Status MarkDone();
  void UnmarkDone();
  bool done() const { return done_; }
  // Removes the folder with all that this program puts there.
  void Remove();
  // Gives the lock back and leaves the folder.
  void Close();

 private:
  PartFolder() = default;
  Status Lock(int shard, int shards, bool create);
  Status ReadSegments();

  std::string path_, job_;
  std::map<int, SegmentInfo> segments_;
  int locks_[2] = {-1, -1};
  bool done_ = false;
};

}  // namespace mfs

#endif  // MFS_SWAP_PART_FOLDER_H_
