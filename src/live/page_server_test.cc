#include "live/page_server.h"

#include <gtest/gtest.h>
#include <httplib.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
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
