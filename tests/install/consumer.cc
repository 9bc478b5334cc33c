#include <cstdio>
#include <mobilefaceswap/mobilefaceswap.hpp>

int main() {
  mfs::Engine engine;
  if (engine.status() != MFS_OK) std::fprintf(stderr, "%s\n", engine.last_error());
  return engine.status() == MFS_OK ? 0 : 1;
}
