#include "live/identity_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace mfs {
namespace {

TEST(IdentityFolder, AllPhotosOfAPersonAreKept) {
  char name[] = "/tmp/mfs_people_XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string dir = name;
  for (const char* file : {"anna.jpg", "anna.safetensors", "bert.png", "cara.jpg"}) std::ofstream(dir + "/" + file) << "x";
  const auto path = [&](const char* file) { return dir + "/" + file; };

  // Two people may have one name: the photo on the command line and the file in the folder.
  const auto both = ListPeople({path("anna.jpg"), path("bert.png")}, dir).value();
  ASSERT_EQ(both.size(), 4u);
  EXPECT_EQ(both[0].name, "anna");
  EXPECT_EQ(both[0].sources, (std::vector<std::string>{path("anna.jpg"), path("bert.png")}));
  EXPECT_EQ(both[0].picture, path("anna.jpg"));
  EXPECT_EQ(both[1].name, "anna");
  EXPECT_EQ(both[1].sources, std::vector<std::string>{path("anna.safetensors")});
  EXPECT_EQ(both[2].name, "bert");

  // One that is in the folder itself is listed once, first.
  const auto one = ListPeople({path("./bert.png")}, dir).value();
  ASSERT_EQ(one.size(), 3u);
  EXPECT_EQ(one[0].name, "bert");
  EXPECT_EQ(one[1].name, "anna");
  EXPECT_EQ(one[2].name, "cara");

  // A saved identity keeps the photo beside it as its picture.
  const auto saved = ListPeople({path("anna.safetensors")}, dir).value();
  ASSERT_EQ(saved.size(), 3u);
  EXPECT_EQ(saved[0].picture, path("anna.jpg"));

  EXPECT_EQ(ListPeople({}, dir).value().size(), 3u);
  EXPECT_EQ(ListPeople({path("cara.jpg")}, "").value().size(), 1u);
  EXPECT_FALSE(ListPeople({path("cara.jpg")}, dir + "/nothing").ok());
  (void)!std::system(("rm -rf " + dir).c_str());
}

}  // namespace
}  // namespace mfs
