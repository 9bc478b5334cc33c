#include "live/connections.h"

#include <arpa/inet.h>
#include <linux/tcp.h>  // not <netinet/tcp.h>, whose tcp_info may lack the bytes received
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>

namespace mfs {

void ShutConnections(int port, int64_t received) {
  std::error_code error;
  for (std::filesystem::directory_iterator fd("/proc/self/fd", error), end; !error && fd != end; fd.increment(error)) {
    const int s = std::atoi(fd->path().filename().c_str());
    sockaddr_in here{}, there{};
    socklen_t size = sizeof here;
    if (getsockname(s, reinterpret_cast<sockaddr*>(&here), &size) != 0 || here.sin_family != AF_INET) continue;
    if (here.sin_port != htons(static_cast<uint16_t>(port)) || here.sin_addr.s_addr != htonl(INADDR_LOOPBACK)) continue;
    size = sizeof there;
    if (getpeername(s, reinterpret_cast<sockaddr*>(&there), &size) != 0) continue;  // it listens
    tcp_info info{};
    size = sizeof info;
    if (received >= 0 && (getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_bytes_received <= static_cast<uint64_t>(received))) continue;
    (void)shutdown(s, SHUT_RDWR);
  }
}

}  // namespace mfs
