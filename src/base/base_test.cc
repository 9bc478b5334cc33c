// Geometry, files and the thread pool.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>
#include <cmath>

#include "base/file.h"
#include "base/geometry.h"
#include "base/sha256.h"
#include "base/thread_pool.h"

namespace mfs {
namespace {

TEST(Geometry, InverseUndoes) {
  const Affine m{1.3f, -0.4f, 12, 0.4f, 1.3f, -7};
  const Point p = m.Inverse().Apply(m.Apply({31, 45}));
  EXPECT_NEAR(p.x, 31, 1e-4);
  EXPECT_NEAR(p.y, 45, 1e-4);
  const Affine id = Compose(m, m.Inverse());
  EXPECT_NEAR(id.a, 1, 1e-6);
  EXPECT_NEAR(id.tx, 0, 1e-4);
}

TEST(Geometry, UmeyamaFindsTheSimilarity) {
  const Affine truth = SquareCrop({40, 30}, 77, 25, 224);
  const Point from[4] = {{10, 12}, {50, 14}, {33, 60}, {20, 44}};
  Point to[4];
  for (int i = 0; i < 4; ++i) to[i] = truth.Apply(from[i]);
  auto m = UmeyamaSimilarity(from, to, 4);
  ASSERT_TRUE(m.ok());
  EXPECT_NEAR(m->a, truth.a, 1e-4);
  EXPECT_NEAR(m->b, truth.b, 1e-4);
  EXPECT_NEAR(m->tx, truth.tx, 1e-2);
  const Point same[2] = {{1, 1}, {1, 1}};
  EXPECT_FALSE(UmeyamaSimilarity(same, to, 2).ok());
}

TEST(Geometry, SquareCropCentresAndTurnsUpright) {
  // A head turned clockwise by 90 degrees: its up points right. The crop must show it upright.
  const Affine m = SquareCrop({100, 50}, 40, 90, 40);
  const Point c = m.Apply({100, 50});
  EXPECT_NEAR(c.x, 19.5, 1e-4);
  EXPECT_NEAR(c.y, 19.5, 1e-4);
  const Point up = m.Apply({110, 50});
  EXPECT_NEAR(up.x, 19.5, 1e-4);
  EXPECT_NEAR(up.y, 9.5, 1e-4);
}

TEST(Sha256, KnownDigest) { EXPECT_EQ(Sha256Hex("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); }

TEST(File, AtomicWriteReplacesAndLeavesNothing) {
  const std::string dir = testing::TempDir() + "mfs_file_test";
  mkdir(dir.c_str(), 0755);
  const std::string path = dir + "/a.txt";
  ASSERT_TRUE(WriteFileAtomically(path, "one", 3).ok());
  ASSERT_TRUE(WriteFileAtomically(path, "three", 5).ok());
  EXPECT_EQ(*ReadFile(path), "three");
  EXPECT_EQ(ReadEnds(path, 9)->first, "three");
  EXPECT_EQ(ReadEnds(path, 9)->last, "");
  EXPECT_EQ(ReadEnds(path, 3)->size, 5u);
  EXPECT_EQ(ReadEnds(path, 3)->first + "|" + ReadEnds(path, 3)->last, "thr|ee");
  EXPECT_EQ(ReadEnds(path, 2)->last, "ee");
  EXPECT_EQ(ReadEnds(dir, 2).status().code(), ReadFile(dir).status().code());
  EXPECT_EQ(WriteFileAtomically(dir + "/missing/a.txt", "x", 1).code(), StatusCode::kNotFound);
  EXPECT_EQ(ReadFile(dir).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadFile(path, 2).status().code(), StatusCode::kOutOfMemory);
  EXPECT_TRUE(SameFile(path, dir + "/./a.txt"));
  RemoveFile(path);
  EXPECT_EQ(rmdir(dir.c_str()), 0) << "a temporary file was left";
}

TEST(File, WritesKeepLinksAndModesAndRefuseDevices) {
  const std::string dir = testing::TempDir() + "mfs_file_kinds." + std::to_string(getpid());
  mkdir(dir.c_str(), 0755);
  const std::string path = dir + "/secret.txt", link = dir + "/link.txt", pipe = dir + "/pipe.txt";
  ASSERT_TRUE(WriteFileAtomically(path, "one", 3).ok());
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  ASSERT_EQ(symlink("secret.txt", link.c_str()), 0);
  ASSERT_TRUE(WriteFileAtomically(link, "two", 3).ok());
  struct stat st;
  ASSERT_EQ(lstat(link.c_str(), &st), 0);
  EXPECT_TRUE(S_ISLNK(st.st_mode));
  EXPECT_EQ(*ReadFile(path), "two");
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  // A link to nothing, and one to itself.
  RemoveFile(path);
  ASSERT_TRUE(WriteFileAtomically(link, "three", 5).ok());
  EXPECT_EQ(*ReadFile(path), "three");
  const std::string loop = dir + "/loop.txt";
  ASSERT_EQ(symlink("loop.txt", loop.c_str()), 0);
  EXPECT_FALSE(WriteFileAtomically(loop, "x", 1).ok());
  RemoveFile(loop);
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(WriteFileAtomically(pipe, "x", 1).code(), StatusCode::kInvalidArgument);
  ASSERT_EQ(lstat(pipe.c_str(), &st), 0);
  EXPECT_TRUE(S_ISFIFO(st.st_mode));
  for (const std::string& file : {path, link, pipe}) RemoveFile(file);
  EXPECT_EQ(rmdir(dir.c_str()), 0);
}

TEST(File, ThreadsMayWriteTheSamePath) {
  const std::string path = testing::TempDir() + "mfs_file_race." + std::to_string(getpid());
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) failed += !WriteFileAtomically(path, "x", 1).ok();
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(failed, 0);
  RemoveFile(path);
}

TEST(File, Names) {
  EXPECT_EQ(Extension("/x/a.b/Photo.JPeG"), "jpeg");
  EXPECT_EQ(Extension("/x/a.b/photo"), "");
  EXPECT_EQ(DirName("photo.png"), ".");
  EXPECT_EQ(BaseName("/x/y.png"), "y.png");
}

TEST(ThreadPool, EveryTaskOnceForAnyThreadCount) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 50; ++round) {
      std::vector<std::atomic<int>> hits(37);
      pool.Run(37, [&](int i) { hits[i]++; });
      for (auto& h : hits) EXPECT_EQ(h.load(), 1);
    }
  }
}

}  // namespace
}  // namespace mfs
