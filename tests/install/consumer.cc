#include <cstdio>
#include <mobilefaceswap/mobilefaceswap.hpp>

int main() {
  mfs::Engine engine;
  if (engine.status() != MFS_OK) std::fprintf(stderr, "%s\n", engine.last_error());
  // Two literals, as users write it.
  if (engine.CreateIdentity({"nowhere/a.jpg", "nowhere/b.jpg"}) || engine.last_status() != MFS_NOT_FOUND) return 1;
  return engine.status() == MFS_OK ? 0 : 1;
}
