#include <mobilefaceswap/mobilefaceswap.h>
#include <stdio.h>

int main(void) {
  mfs_engine* engine = NULL;
  mfs_status status = mfs_engine_create(NULL, &engine);
  if (status != MFS_OK) fprintf(stderr, "%s: %s\n", mfs_status_name(status), mfs_last_error(engine));
  mfs_engine_destroy(engine);
  return status == MFS_OK ? 0 : 1;
}
