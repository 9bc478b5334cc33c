#include "live/page_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

namespace mfs {
namespace {

struct Fixture {
  std::string changed;
  std::unique_ptr<PageServer> page;
  std::string base;  // "/TOKEN/"
  explicit Fixture(PageOptions options = {}) {
    PageHost host{[] { return std::string("{\"fps\":1}"); },
                  [this](const std::string& json) {
                    if (json == "{}") return InvalidArgument("nothing to change");
                    changed = json;
                    return Status::Ok();
                  },
                  [](int person) -> StatusOr<std::string> {
                    if (person != 3) return NotFound("nobody");
                    return std::string("\xff\xd8jpeg");
                  }};
    page = PageServer::Start(options, host).value();
    base = page->url().substr(page->url().find('/', 8));
  }
  httplib::Client client() const { return httplib::Client("127.0.0.1", page->port()); }
};

TEST(PageServer, ServesWithItsTokenOnly) {
  Fixture f;
  auto c = f.client();
  EXPECT_EQ(f.base.size(), 34u);
  auto r = c.Get(f.base.c_str());
  ASSERT_TRUE(r);
  EXPECT_EQ(r->status, 200);
  EXPECT_NE(r->body.find("<title>mfs live</title>"), std::string::npos);
  EXPECT_NE(r->get_header_value("Content-Security-Policy").find("default-src 'none'"), std::string::npos);
  EXPECT_EQ(r->get_header_value("Cache-Control"), "no-store");
  for (const char* file : {"page.css", "page.js", "state", "person/3"}) EXPECT_EQ(c.Get((f.base + file).c_str())->status, 200) << file;
  for (const char* file : {"person/4", "person/x", "person/99999999", "person/", "../secret", "..%2f..%2fetc/passwd", "nothing", "change"})
    EXPECT_EQ(c.Get((f.base + file).c_str())->status, 404) << file;
  std::string almost = f.base;
  almost[5] = almost[5] == 'a' ? 'b' : 'a';
  for (const std::string& wrong : {std::string("/"), std::string("/state"), std::string("//"), almost, almost + "state", f.base.substr(0, 20) + "/", std::string("/favicon.ico")}) {
    auto refused = c.Get(wrong.c_str());
    ASSERT_TRUE(refused) << wrong;
    EXPECT_EQ(refused->status, 403) << wrong;
    EXPECT_EQ(refused->body.find("fps"), std::string::npos);
    EXPECT_EQ(c.Post((wrong + "change").c_str(), "{\"paused\":true}", "application/json")->status, 403) << wrong;
  }
  EXPECT_EQ(f.changed, "");
  EXPECT_EQ(c.Post((f.base + "change").c_str(), "{\"paused\":true}", "application/json")->status, 200);
  EXPECT_EQ(f.changed, "{\"paused\":true}");
  EXPECT_EQ(c.Post((f.base + "change").c_str(), "{}", "application/json")->status, 400);
  EXPECT_EQ(c.Post((f.base + "state").c_str(), "{}", "application/json")->status, 404);
  const auto large = c.Post((f.base + "change").c_str(), std::string(1 << 20, ' '), "application/json");
  EXPECT_TRUE(!large || large->status == 413);
}

TEST(PageServer, RefusesNamesThatWereBentToThisMachine) {
  Fixture f;
  auto c = f.client();
  EXPECT_EQ(c.Get((f.base + "state").c_str(), {{"Host", "evil.example:" + std::to_string(f.page->port())}})->status, 403);
  EXPECT_EQ(c.Get((f.base + "state").c_str(), {{"Host", "localhost:" + std::to_string(f.page->port())}})->status, 200);
}

TEST(PageServer, ListensOnTheLoopbackOnly) {
  Fixture f;
  // /proc/net/tcp names what every listening socket is bound to: 0100007F is 127.0.0.1.
  char port[8];
  snprintf(port, sizeof port, ":%04X", f.page->port());
  FILE* tcp = std::fopen("/proc/net/tcp", "r");
  ASSERT_NE(tcp, nullptr);
  char line[512];
  int found = 0;
  while (std::fgets(line, sizeof line, tcp) != nullptr) {
    char local[64] = "", state[8] = "";
    if (std::sscanf(line, "%*d: %63s %*s %7s", local, state) != 2 || std::strcmp(state, "0A") != 0 || std::strstr(local, port) == nullptr) continue;
    ++found;
    EXPECT_STREQ(local, (std::string("0100007F") + port).c_str());
  }
  std::fclose(tcp);
  EXPECT_EQ(found, 1);
  // And every other address of this machine refuses the connection.
  ifaddrs* all = nullptr;
  ASSERT_EQ(getifaddrs(&all), 0);
  for (const ifaddrs* a = all; a != nullptr; a = a->ifa_next) {
    if (a->ifa_addr == nullptr || a->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in to = *reinterpret_cast<const sockaddr_in*>(a->ifa_addr);
    if (ntohl(to.sin_addr.s_addr) >> 24 == 127) continue;
    to.sin_port = htons(static_cast<uint16_t>(f.page->port()));
    const int s = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_NE(connect(s, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    close(s);
  }
  freeifaddrs(all);
}

TEST(PageServer, APortThatIsTakenIsAnError) {
  Fixture f;
  PageOptions same;
  same.port = f.page->port();
  const auto second = PageServer::Start(same, {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("port " + std::to_string(same.port)), std::string::npos);
}

TEST(PageServer, ThePreviewShowsPicturesWhileSomebodyLooks) {
  PageOptions options;
  options.preview_width = 64;
  Fixture f(options);
  const std::unique_ptr<LiveSink> sink = f.page->MakeSink();
  LiveFrame frame;
  ASSERT_TRUE(frame.Reset(AV_PIX_FMT_NV12, 128, 96).ok());
  std::memset(frame.av->data[0], 100, 128 * 96);
  std::memset(frame.av->data[1], 128, 128 * 48);
  std::atomic<bool> done{false};
  std::string got;
  std::thread viewer([&] {
    auto c = f.client();
    (void)c.Get((f.base + "preview").c_str(), [&](const char* data, size_t size) {
      got.append(data, size);
      size_t parts = 0;
      for (size_t at = 0; (at = got.find("Content-Type: image/jpeg", at)) != std::string::npos; ++at) ++parts;
      return parts < 4;  // then the viewer goes away
    });
    done = true;
  });
  for (int i = 0; i < 1000 && !done; ++i) {
    ASSERT_TRUE(sink->Write(frame).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  viewer.join();
  EXPECT_EQ(got.rfind("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ", 0), 0u) << got.substr(0, 60);
  const size_t head = got.find("\r\n\r\n");
  const size_t length = static_cast<size_t>(std::atoi(got.c_str() + got.find("Length: ") + 8));
  EXPECT_EQ(got.substr(head + 4, 2), "\xff\xd8");
  EXPECT_EQ(got.substr(head + 4 + length, 9), "\r\n--frame");
}

// A connection by hand.
class Plain {
 public:
  explicit Plain(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval limit{1, 0};  // of a send to a server that takes no more
    EXPECT_EQ(setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~Plain() { close(socket_); }
  void Send(const std::string& text) { EXPECT_EQ(send(socket_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size())); }
  bool TrySend(const std::string& text) { return send(socket_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()); }
  // The first piece of what comes, or nothing when none comes within two seconds.
  std::string Answer() {
    pollfd p{socket_, POLLIN, 0};
    if (poll(&p, 1, 2000) <= 0) return "";
    std::string text(4096, 0);
    const ssize_t n = recv(socket_, text.data(), text.size(), 0);
    text.resize(static_cast<size_t>(std::max<ssize_t>(0, n)));
    return text;
  }

 private:
  const int socket_;
};

// The bodies are announced and never sent: who is answered was not waited for, and so could not have filled the memory.
TEST(PageServer, RefusesBeforeItReadsABody) {
  Fixture f;
  const std::string host = "Host: 127.0.0.1:" + std::to_string(f.page->port()) + "\r\n", chunked = "Transfer-Encoding: chunked\r\n", good = f.base + "change";
  const struct {
    std::string first, fields;
    int status;
  } kCases[] = {
      {"POST /nobody/change", host + chunked, 403},
      {"POST /nobody/change", host, 403},
      {"POST /nobody/change", host + "Content-Length: 1000\r\n", 403},
      {"PUT /nobody/change", host + chunked, 403},
      {"POST " + good, "Host: evil.example\r\n" + chunked, 403},
      {"POST " + good, host + chunked, 411},
      {"POST " + good, host, 411},
      {"POST " + good, host + "Content-Length: 10\r\n" + chunked, 411},
      {"POST " + good, host + "Content-Length: 10\r\nContent-Encoding: gzip\r\n", 415},
      {"POST " + good, host + "Content-Length: 65537\r\n", 413},
      {"POST " + good, host + "Content-Length: -1\r\n", 413},
      {"POST " + good, host + "Content-Length: 99999999999999999999\r\n", 413},
      {"PUT " + good, host + "Content-Length: 10\r\n", 405},
      {"DELETE " + good, host + chunked, 405},
  };
  for (const auto& c : kCases) {
    Plain p(f.page->port());
    p.Send(c.first + " HTTP/1.1\r\n" + c.fields + "\r\n");
    EXPECT_EQ(p.Answer().substr(0, 13), "HTTP/1.1 " + std::to_string(c.status) + " ") << c.first << "\n" << c.fields;
  }
  EXPECT_EQ(f.changed, "");
}

TEST(PageServer, EndsHeadsWithoutAnEnd) {
  Fixture f;
  for (const bool fields : {false, true}) {
    Plain p(f.page->port());
    p.Send(fields ? "GET / HTTP/1.1\r\n" : "GET /");
    std::string piece(1 << 16, 'a');
    if (fields) {
      for (size_t i = 0; i + 1 < piece.size(); i += 32) piece[i] = ':', piece[i + 30] = '\r', piece[i + 31] = '\n';
    }
    bool ended = false;
    for (int i = 0; i < 400 && !ended; ++i) {
      ended = !p.TrySend(piece);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_TRUE(ended) << fields;
  }
  EXPECT_EQ(f.client().Get((f.base + "state").c_str())->status, 200);
}

// Browsers open connections that they do not use yet, and a viewer may have stopped reading.
TEST(PageServer, EndsAtOnceWhateverIsConnected) {
  PageOptions options;
  options.preview_fps = 1000;
  auto f = std::make_unique<Fixture>(options);
  const std::string host = "Host: 127.0.0.1:" + std::to_string(f->page->port()) + "\r\n";
  Plain silent(f->page->port()), kept(f->page->port()), half(f->page->port()), asleep(f->page->port());
  kept.Send("GET " + f->base + "state HTTP/1.1\r\n" + host + "\r\n");
  EXPECT_NE(kept.Answer(), "");
  half.Send("POST " + f->base + "change HTTP/1.1\r\n" + host + "Content-Length: 10\r\n\r\n");
  asleep.Send("GET " + f->base + "preview HTTP/1.1\r\n" + host + "\r\n");
  EXPECT_NE(asleep.Answer(), "");
  // Pictures until the sleeper's socket is full.
  const std::unique_ptr<LiveSink> sink = f->page->MakeSink();
  LiveFrame frame;
  ASSERT_TRUE(frame.Reset(AV_PIX_FMT_NV12, 960, 720).ok());
  for (int i = 0; i < 960 * 720; ++i) frame.av->data[0][i] = static_cast<uint8_t>((i * 2654435761u) >> 24);  // noise, which is long as a JPEG
  std::memset(frame.av->data[1], 128, 960 * 360);
  for (int i = 0; i < 150; ++i) {
    ASSERT_TRUE(sink->Write(frame).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const auto start = LiveClock::now();
  f.reset();
  EXPECT_LT(LiveClock::now() - start, std::chrono::milliseconds(1000));
}

TEST(PageServer, SaysWhetherAPreviewStillRuns) {
  Fixture f;
  auto c = f.client();
  const auto ask = [&](const std::string& name) { return c.Get((f.base + "state?preview=" + name).c_str())->get_header_value("X-Preview"); };
  EXPECT_EQ(c.Get((f.base + "state").c_str())->get_header_value("X-Preview"), "");
  EXPECT_EQ(ask("mine"), "gone");
  {
    Plain viewer(f.page->port());
    viewer.Send("GET " + f.base + "preview?id=mine HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(f.page->port()) + "\r\n\r\n");
    EXPECT_NE(viewer.Answer(), "");
    EXPECT_EQ(ask("mine"), "live");
    EXPECT_EQ(ask("other"), "gone");
  }
  std::string now;
  for (int i = 0; i < 100 && now != "gone"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    now = ask("mine");
  }
  EXPECT_EQ(now, "gone");
}

TEST(PageServer, EndsWhileSomebodyLooks) {
  auto f = std::make_unique<Fixture>();
  std::thread viewer([&, base = f->base, port = f->page->port()] {
    httplib::Client c("127.0.0.1", port);
    (void)c.Get((base + "preview").c_str(), [](const char*, size_t) { return true; });
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  f->page.reset();
  viewer.join();
}

}  // namespace
}  // namespace mfs
