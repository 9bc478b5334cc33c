// A few words on a picture, without a font: 5 x 7 letters of A-Z (lower case is drawn as upper), 0-9 and - : . , %
#ifndef MFS_APPS_MFS_BITMAP_TEXT_H_
#define MFS_APPS_MFS_BITMAP_TEXT_H_

#include <string>

#include "base/image.h"

namespace mfs::app {

inline constexpr int kGlyphWidth = 6, kGlyphHeight = 7;  // in units of `scale` pixels, with the gap to the next letter

// White letters from (x, y), clipped at the picture's border; unknown characters are blanks.
void DrawText(const std::string& text, int x, int y, int scale, ImageF* rgb);

}  // namespace mfs::app

#endif  // MFS_APPS_MFS_BITMAP_TEXT_H_
