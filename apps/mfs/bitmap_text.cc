#include "bitmap_text.h"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace mfs::app {
namespace {

constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-:.,%";
// Seven rows each, five bits a row, the left column is the highest bit.
constexpr unsigned char kGlyphs[][7] = {
    {14, 17, 17, 31, 17, 17, 17}, {30, 17, 17, 30, 17, 17, 30}, {14, 17, 16, 16, 16, 17, 14}, {30, 17, 17, 17, 17, 17, 30}, {31, 16, 16, 30, 16, 16, 31}, {31, 16, 16, 30, 16, 16, 16},
    {14, 17, 16, 23, 17, 17, 15}, {17, 17, 17, 31, 17, 17, 17}, {14, 4, 4, 4, 4, 4, 14},      {7, 2, 2, 2, 2, 18, 12},      {17, 18, 20, 24, 20, 18, 17}, {16, 16, 16, 16, 16, 16, 31},
    {17, 27, 21, 21, 17, 17, 17}, {17, 25, 21, 19, 17, 17, 17}, {14, 17, 17, 17, 17, 17, 14}, {30, 17, 17, 30, 16, 16, 16}, {14, 17, 17, 17, 21, 18, 13}, {30, 17, 17, 30, 20, 18, 17},
    {15, 16, 16, 14, 1, 1, 30},   {31, 4, 4, 4, 4, 4, 4},       {17, 17, 17, 17, 17, 17, 14}, {17, 17, 17, 17, 17, 10, 4},  {17, 17, 17, 21, 21, 27, 17}, {17, 17, 10, 4, 10, 17, 17},
    {17, 17, 10, 4, 4, 4, 4},     {31, 1, 2, 4, 8, 16, 31},     {14, 17, 19, 21, 25, 17, 14}, {4, 12, 4, 4, 4, 4, 14},      {14, 17, 1, 2, 4, 8, 31},     {31, 2, 4, 2, 1, 17, 14},
    {2, 6, 10, 18, 31, 2, 2},     {31, 16, 30, 1, 1, 17, 14},   {6, 8, 16, 30, 17, 17, 14},   {31, 1, 2, 4, 8, 8, 8},       {14, 17, 17, 14, 17, 17, 14}, {14, 17, 17, 15, 1, 2, 12},
    {0, 0, 0, 31, 0, 0, 0},       {0, 4, 0, 0, 0, 4, 0},        {0, 0, 0, 0, 0, 0, 4},        {0, 0, 0, 0, 0, 4, 8},        {24, 25, 2, 4, 8, 19, 3}};

}  // namespace

void DrawText(const std::string& text, int x, int y, int scale, ImageF* rgb) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char* at = std::strchr(kLetters, std::toupper(static_cast<unsigned char>(text[i])));
    if (at == nullptr || *at == 0) continue;
    const unsigned char* glyph = kGlyphs[at - kLetters];
    for (int row = 0; row < 7 * scale; ++row) {
      for (int column = 0; column < 5 * scale; ++column) {
        const int px = x + static_cast<int>(i) * kGlyphWidth * scale + column, py = y + row;
        if ((glyph[row / scale] >> (4 - column / scale) & 1) == 0 || px < 0 || py < 0 || px >= rgb->width() || py >= rgb->height()) continue;
        for (int c = 0; c < 3; ++c) rgb->row(c, py)[px] = 1;
      }
    }
  }
}

}  // namespace mfs::app
