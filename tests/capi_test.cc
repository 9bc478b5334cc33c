// The C interface: what a caller may do wrong becomes a status, and a swap works in the caller's own memory.
#include <gtest/gtest.h>
#include <mobilefaceswap/mobilefaceswap.hpp>

#include <cmath>
#include <vector>

#include "media/picture.h"
#include "media_files.h"

namespace {

TEST(CApi, NullsAndNonsenseAreStatuses) {
  EXPECT_EQ(mfs_engine_create(nullptr, nullptr), MFS_INVALID_ARGUMENT);
  EXPECT_STREQ(mfs_version(), MFS_VERSION);
  EXPECT_STREQ(mfs_status_name(MFS_NO_FACE), "no face");
  mfs_engine_destroy(nullptr);
  mfs_identity_destroy(nullptr);
  EXPECT_NE(mfs_last_error(nullptr), nullptr);
  EXPECT_EQ(mfs_swap_picture(nullptr, "a", "b"), MFS_INVALID_ARGUMENT);

  mfs_engine_options nowhere = mfs_engine_default_options();
  nowhere.models_dir = "/nowhere";
  mfs_engine* broken = nullptr;
  EXPECT_EQ(mfs_engine_create(&nowhere, &broken), MFS_NOT_FOUND);
  EXPECT_NE(std::string(mfs_last_error(broken)).find("models"), std::string::npos);
  EXPECT_EQ(mfs_swap_picture(broken, "a", "b"), MFS_INVALID_ARGUMENT);
  mfs_engine_destroy(broken);

  mfs::Engine engine;
  ASSERT_EQ(engine.status(), MFS_OK) << engine.last_error();
  mfs_identity* identity = nullptr;
  EXPECT_EQ(mfs_identity_create(engine.get(), nullptr, 1, &identity), MFS_INVALID_ARGUMENT);
  const char* missing[] = {"/nowhere/a.jpg"};
  EXPECT_EQ(mfs_identity_create(engine.get(), missing, 1, &identity), MFS_NOT_FOUND);
  EXPECT_EQ(identity, nullptr);
  EXPECT_EQ(mfs_engine_set_identity(engine.get(), nullptr, nullptr), MFS_INVALID_ARGUMENT);
  uint8_t px[12] = {};
  size_t count = 0;
  const mfs_image bad[] = {{nullptr, 2, 2, 6, MFS_RGB8}, {px, 0, 2, 6, MFS_RGB8}, {px, 2, -2, 6, MFS_RGB8}, {px, 2, 2, 5, MFS_RGB8}, {px, 2, 2, 6, static_cast<mfs_pixel_format>(9)}};
  for (const mfs_image& image : bad) EXPECT_EQ(mfs_find_faces(engine.get(), &image, nullptr, 0, &count), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_find_faces(engine.get(), nullptr, nullptr, 0, &count), MFS_INVALID_ARGUMENT);
  const mfs_image small = {px, 2, 2, 6, MFS_RGB8};
  EXPECT_EQ(mfs_find_faces(engine.get(), &small, nullptr, 0, &count), MFS_OK);
  EXPECT_EQ(count, 0u);
}

TEST(CApi, SwapsInTheCallersBuffer) {
  mfs::Engine engine;
  ASSERT_EQ(engine.status(), MFS_OK);
  const mfs::api::Identity person = engine.CreateIdentity({mfs::MediaFile("franck_02159.jpg")});
  ASSERT_TRUE(static_cast<bool>(person)) << engine.last_error();
  mfs::Picture picture = mfs::ReadPicture(mfs::MediaFile("sample3.jpg")).value();
  const mfs_image image = {picture.pixels.data(), picture.stored_width, picture.stored_height, ptrdiff_t{3} * picture.stored_width, MFS_RGB8};
  int swapped = 0;
  EXPECT_EQ(engine.SwapPixels(image, &swapped), MFS_INVALID_ARGUMENT) << "no identity was set";
  mfs_swap_options options = mfs_swap_default_options();
  options.strength = NAN;
  EXPECT_EQ(engine.SetIdentity(person, options), MFS_INVALID_ARGUMENT);
  options.strength = 1;
  options.faces = MFS_FACES_ALL;
  ASSERT_EQ(engine.SetIdentity(person, options), MFS_OK);
  const std::vector<uint8_t> before = picture.pixels;
  ASSERT_EQ(engine.SwapPixels(image, &swapped), MFS_OK) << engine.last_error();
  EXPECT_EQ(swapped, 3);
  EXPECT_NE(picture.pixels, before);
  // Of the three only the first found becomes the person: a map says who.
  options = mfs_swap_default_options();
  const mfs::api::Identity somebody = engine.CreateIdentity({mfs::MediaFile("sample3.jpg")});
  ASSERT_TRUE(static_cast<bool>(somebody)) << engine.last_error();
  EXPECT_EQ(mfs_engine_set_map(engine.get(), nullptr, nullptr, 0, nullptr), MFS_INVALID_ARGUMENT);
  options.feather = 2;
  EXPECT_EQ(engine.SetMap({{&somebody, &person}}, options), MFS_INVALID_ARGUMENT);
  options.feather = 0;
  options.keep_mouth = 1;
  options.color_match = 0;
  ASSERT_EQ(engine.SetMap({{&somebody, &person}}, options), MFS_OK) << engine.last_error();
  std::copy(before.begin(), before.end(), picture.pixels.begin());
  ASSERT_EQ(engine.SwapPixels(image, &swapped), MFS_OK) << engine.last_error();
  EXPECT_EQ(swapped, 1);
  float cosine = 0;
  EXPECT_EQ(mfs_identity_compare(engine.get(), person.get(), person.get(), &cosine), MFS_OK);
  EXPECT_NEAR(cosine, 1, 1e-4);
}

}  // namespace
