// The local page of a live loop: preview, persons, looks, numbers. Bound to 127.0.0.1 only, behind a random token in its address.
#ifndef MFS_LIVE_PAGE_SERVER_H_
#define MFS_LIVE_PAGE_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "live/live_sink.h"

namespace mfs {

struct PageOptions {
  int port = 0;             // 0: any free one
  std::string token;        // empty: 128 random bits in hexadecimal
  double preview_fps = 25;  // pictures a second that the page gets at most
  int preview_width = 960;  // of the preview at most, pixels
};

// What the page shows and changes. Called on the server's threads, several at once.
struct PageHost {
  std::function<std::string()> state;                        // a JSON object
  std::function<Status(const std::string& json)> change;     // what a control of the page asks for
  std::function<StatusOr<std::string>(int person)> picture;  // a JPEG; kNotFound where there is none
};

// The preview is a sink like any other: pictures are encoded only while somebody looks.
class PageServer {
 public:
  // Errors: kIoError when the port is taken.
  static StatusOr<std::unique_ptr<PageServer>> Start(const PageOptions& options, PageHost host);
  ~PageServer();  // ends the server; its sink must be gone or idle

  // "http://127.0.0.1:PORT/TOKEN/"
  std::string url() const;
  int port() const;
  // The preview; the server must outlive it.
  std::unique_ptr<LiveSink> MakeSink();

 private:
  struct Impl;
  PageServer();
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_LIVE_PAGE_SERVER_H_
