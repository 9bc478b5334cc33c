// The open connections of a server inside this program, which the HTTP library keeps to itself. Linux.
#ifndef MFS_LIVE_CONNECTIONS_H_
#define MFS_LIVE_CONNECTIONS_H_

#include <cstdint>

namespace mfs {

// Shuts those connections to 127.0.0.1:port, on the serving side, over which more than `received` bytes have come; -1: all. Whoever waits on
// one finds it ended. Descriptors stay open: the library closes them.
void ShutConnections(int port, int64_t received);

}  // namespace mfs

#endif  // MFS_LIVE_CONNECTIONS_H_
