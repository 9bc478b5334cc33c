#include "live/page_server.h"

#include <httplib.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "live/connections.h"
#include "live/page_files.h"
#include "live/preview_encoder.h"

namespace mfs {
namespace {

constexpr char kHost[] = "127.0.0.1";
constexpr int kThreads = 12;  // every viewer of the preview keeps one
constexpr size_t kMostViewers = 6;
constexpr size_t kMostBody = 1 << 16;
constexpr int64_t kMostRequest = 1 << 17;  // with its head

StatusOr<std::string> RandomToken() {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return Internal("this machine gives no random numbers");
  std::string token;
  for (const unsigned char b : bytes) {
    token += "0123456789abcdef"[b >> 4];
    token += "0123456789abcdef"[b & 15];
  }
  return token;
}

// In a time that does not tell how much of it was right.
bool SameToken(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned char different = 0;
  for (size_t i = 0; i < a.size(); ++i) different = static_cast<unsigned char>(different | (a[i] ^ b[i]));
  return different == 0;
}

}  // namespace

struct PageServer::Impl {
  PageOptions options;
  PageHost host;
  httplib::Server server;
  std::thread thread, guard;
  int port = 0;
  std::string base;  // "/TOKEN/"

  std::mutex mutex;  // of everything below
  std::condition_variable fresh;
  std::shared_ptr<const std::string> jpeg;
  int64_t number = 0;                  // of jpeg, counted up
  std::multiset<std::string> viewers;  // the names that they gave themselves
  bool stop = false;

  void Guard();
  bool Allowed(const httplib::Request& request, httplib::Response& response) const;
  bool Admits(const httplib::Request& request, httplib::Response& response) const;
  void Serve(const httplib::Request& request, httplib::Response& response);
  void Stream(const httplib::Request& request, httplib::Response& response);
};

namespace {

void Text(httplib::Response& response, int status, const std::string& text) {
  response.status = status;
  response.set_content(text + "\n", "text/plain; charset=utf-8");
}

}  // namespace

// Other web pages that the user has open must reach nothing: they do not know the token, and a name that was bent to 127.0.0.1 (DNS
// rebinding) shows in the Host field.
bool PageServer::Impl::Allowed(const httplib::Request& request, httplib::Response& response) const {
  const std::string name = request.get_header_value("Host"), port_text = ":" + std::to_string(port);
  if (name != kHost + port_text && name != "localhost" + port_text) {
    Text(response, 403, "This page answers under http://127.0.0.1 only.");
    return false;
  }
  const std::string& path = request.path;
  const size_t end = path.find('/', 1);
  if (path.empty() || path[0] != '/' || !SameToken(path.substr(1, end == std::string::npos ? end : end - 1), options.token)) {
    Text(response, 403, "The address lacks its token. Open the whole address that `mfs live` printed.");
    return false;
  }
  return true;
}

// The library sets no bound to the length of a head, and asks nobody before it has all of it. A connection serves one request, so what has come
// over it tells who goes too far.
void PageServer::Impl::Guard() {
  std::unique_lock<std::mutex> lock(mutex);
  while (!fresh.wait_for(lock, std::chrono::milliseconds(100), [this] { return stop; })) {
    lock.unlock();
    ShutConnections(port, kMostRequest);
    lock.lock();
  }
}

// Asked before the body of a request is read: of one that comes in chunks, packed or without a length the library would keep as much as is sent.
bool PageServer::Impl::Admits(const httplib::Request& request, httplib::Response& response) const {
  response.set_header("Cache-Control", "no-store");
  response.set_header("X-Content-Type-Options", "nosniff");
  response.set_header("Referrer-Policy", "no-referrer");
  response.set_header("Cross-Origin-Resource-Policy", "same-origin");
  response.set_header("Content-Security-Policy",
                      "default-src 'none'; img-src 'self' data:; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  if (!Allowed(request, response)) return false;
  if (request.method == "GET" || request.method == "HEAD") return true;
  const std::string length = request.get_header_value("Content-Length");
  if (request.method != "POST") {
    Text(response, 405, "This page is read and posted to, nothing else.");
  } else if (request.has_header("Transfer-Encoding") || length.empty()) {
    Text(response, 411, "The length must be said.");
  } else if (request.has_header("Content-Encoding")) {
    Text(response, 415, "The body must not be packed.");
  } else if (length.size() > 9 || length.find_first_not_of("0123456789") != std::string::npos || std::stoul(length) > kMostBody) {
    Text(response, 413, "So long a change there is not.");
  } else {
    return true;
  }
  return false;
}

void PageServer::Impl::Serve(const httplib::Request& request, httplib::Response& response) {
  const std::string what = request.path.size() >= base.size() ? request.path.substr(base.size()) : "?";
  if (request.method == "POST") {
    if (what != "change") return Text(response, 404, "There is nothing here.");
    const Status status = host.change(request.body);
    return Text(response, status.ok() ? 200 : 400, status.ok() ? "ok" : status.message());
  }
  for (const PageFile& file : kPageFiles) {
    if (what == file.name || (what.empty() && std::string(file.name) == "index.html")) return response.set_content(reinterpret_cast<const char*>(file.data), file.size, file.type);
  }
  if (what == "state") {
    if (request.has_param("preview")) {
      std::lock_guard<std::mutex> lock(mutex);
      response.set_header("X-Preview", viewers.count(request.get_param_value("preview")) > 0 ? "live" : "gone");
    }
    return response.set_content(host.state(), "application/json");
  }
  if (what == "preview") return Stream(request, response);
  if (what.rfind("person/", 0) == 0 && what.size() > 7 && what.size() < 12 && what.find_first_not_of("0123456789", 7) == std::string::npos) {
    auto jpeg_or = host.picture(std::stoi(what.substr(7)));
    if (jpeg_or.ok()) {
      response.set_header("Cache-Control", "private, max-age=3600");
      return response.set_content(*jpeg_or, "image/jpeg");
    }
  }
  Text(response, 404, "There is nothing here.");
}

// One JPEG after another in a response that does not end: what an <img> shows as a moving picture. A stream that was closed because its viewer
// did not read stands still there without an error, therefore the page names it (preview?id=NAME) and asks after it (state?preview=NAME).
void PageServer::Impl::Stream(const httplib::Request& request, httplib::Response& response) {
  const std::string id = request.get_param_value("id");
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (viewers.size() >= kMostViewers) return Text(response, 503, "Too many windows show the preview; close one.");
    viewers.insert(id);
  }
  response.set_chunked_content_provider(
      "multipart/x-mixed-replace; boundary=frame",
      [this, seen = int64_t{0}, begun = false](size_t /*offset*/, httplib::DataSink& sink) mutable {
        std::shared_ptr<const std::string> picture;
        {
          std::unique_lock<std::mutex> lock(mutex);
          fresh.wait_for(lock, std::chrono::seconds(1), [&] { return stop || number != seen; });
          if (stop) {
            sink.done();
            return true;
          }
          if (number == seen && jpeg != nullptr && sink.is_writable()) return true;  // nothing new; is the viewer still there?
          picture = jpeg;
          seen = number;
        }
        if (!sink.is_writable()) return false;
        if (picture == nullptr) return true;
        // The boundary behind a picture tells the browser that it is complete, one picture earlier than the next head would.
        const std::string part = (begun ? "" : "--frame\r\n") + ("Content-Type: image/jpeg\r\nContent-Length: " + std::to_string(picture->size())) + "\r\n\r\n" + *picture + "\r\n--frame\r\n";
        begun = true;
        return sink.write(part.data(), part.size());
      },
      [this, id](bool /*success*/) {
        std::lock_guard<std::mutex> lock(mutex);
        viewers.erase(viewers.find(id));
      });
}

namespace {

class PreviewSink : public LiveSink {
 public:
  PreviewSink(double fps, int width, std::function<bool()> watched, std::function<void(std::string)> publish)
      : gap_(std::chrono::duration_cast<LiveClock::duration>(std::chrono::duration<double>(1 / fps))), width_(width), watched_(std::move(watched)), publish_(std::move(publish)) {}
  std::string Name() const override { return "page"; }
  Status Start(const std::atomic<bool>* /*stop*/) override { return Status::Ok(); }
  Status Write(const LiveFrame& frame) override {
    const LiveClock::time_point now = LiveClock::now();
    if (!watched_() || now < next_) return Status::Ok();
    next_ = std::max(next_ + gap_, now - gap_);
    MFS_ASSIGN_OR_RETURN(std::string jpeg, encoder_.Encode(frame, width_));
    publish_(std::move(jpeg));
    return Status::Ok();
  }
  bool wants_repeats() const override { return true; }  // who opens the page during a pause shall see something

 private:
  const LiveClock::duration gap_;
  const int width_;
  std::function<bool()> watched_;
  std::function<void(std::string)> publish_;
  LiveClock::time_point next_{};
  PreviewEncoder encoder_;
};

}  // namespace

PageServer::PageServer() : impl_(std::make_unique<Impl>()) {}

PageServer::~PageServer() {
  Impl& m = *impl_;
  {
    std::lock_guard<std::mutex> lock(m.mutex);
    m.stop = true;
  }
  m.fresh.notify_all();
  m.server.stop();
  ShutConnections(m.port, -1);  // the library would sit out its waits for them, seconds each
  if (m.thread.joinable()) m.thread.join();
  if (m.guard.joinable()) m.guard.join();
}

std::string PageServer::url() const { return "http://" + std::string(kHost) + ":" + std::to_string(impl_->port) + impl_->base; }
int PageServer::port() const { return impl_->port; }

StatusOr<std::unique_ptr<PageServer>> PageServer::Start(const PageOptions& options, PageHost host) {
  std::unique_ptr<PageServer> page(new PageServer());
  Impl& m = *page->impl_;
  m.options = options;
  m.host = std::move(host);
  if (m.options.token.empty()) {
    MFS_ASSIGN_OR_RETURN(m.options.token, RandomToken());
  }
  m.base = "/" + m.options.token + "/";
  m.server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  m.server.set_payload_max_length(kMostBody);
  m.server.set_keep_alive_max_count(1);  // a connection that is kept open keeps a thread
  m.server.set_keep_alive_timeout(3);    // until the first byte
  m.server.set_read_timeout(5);
  m.server.set_write_timeout(5);
  m.server.set_tcp_nodelay(true);
  // Not the library's choice, SO_REUSEPORT: with it another program of the same user could share the port unseen.
  m.server.set_socket_options([](socket_t s) {
    const int yes = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, reinterpret_cast<const char*>(&yes), sizeof yes);
  });
  const auto serve = [&m](const httplib::Request& request, httplib::Response& response) { m.Serve(request, response); };
  m.server.set_pre_routing_handler([&m](const httplib::Request& request, httplib::Response& response) {
    return m.Admits(request, response) ? httplib::Server::HandlerResponse::Unhandled : httplib::Server::HandlerResponse::Handled;
  });
  m.server.Get(".*", serve);
  m.server.Post(".*", serve);
  if (m.options.port == 0) {
    m.port = m.server.bind_to_any_port(kHost);
  } else if (m.server.bind_to_port(kHost, m.options.port)) {
    m.port = m.options.port;
  }
  if (m.port <= 0) return IoError("the page cannot use port " + std::to_string(m.options.port) + "; another program has it, choose another with --page PORT");
  m.thread = std::thread([&m] { m.server.listen_after_bind(); });
  m.guard = std::thread([&m] { m.Guard(); });
  for (int i = 0; i < 500 && !m.server.is_running(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return page;
}

std::unique_ptr<LiveSink> PageServer::MakeSink() {
  Impl& m = *impl_;
  return std::make_unique<PreviewSink>(
      m.options.preview_fps, m.options.preview_width,
      [&m] {
        std::lock_guard<std::mutex> lock(m.mutex);
        return !m.viewers.empty();
      },
      [&m](std::string jpeg) {
        {
          std::lock_guard<std::mutex> lock(m.mutex);
          m.jpeg = std::make_shared<const std::string>(std::move(jpeg));
          ++m.number;
        }
        m.fresh.notify_all();
      });
}

}  // namespace mfs
