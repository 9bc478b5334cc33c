// Videos through the whole pipeline without a swap: what is not the picture must come out as it went in, whatever the segments are.
// The clips are made with the ffmpeg program, and read with ffprobe.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

extern "C" {
#include <libavformat/avformat.h>
}

#include "base/frame.h"
#include "base/sha256.h"
#include "media/av_frame.h"
#include "media/packet_times.h"
#include "media/segment_file.h"
#include "media_files.h"
#include "swap/part_folder.h"
#include "swap/video_swap.h"

namespace mfs {
namespace {

class Video : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mfs_video_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir = name;
  }
  void TearDown() override { (void)std::system(("rm -rf " + dir).c_str()); }
  std::string At(const std::string& name) const { return dir + "/" + name; }
  // Runs ffmpeg in the test's folder.
  void Ffmpeg(const std::string& arguments) const { ASSERT_EQ(std::system(("cd " + dir + " && ffmpeg -v error -y " + arguments + " < /dev/null").c_str()), 0) << arguments; }
  std::string Probe(const std::string& file, const std::string& arguments) const {
    FILE* pipe = popen(("cd " + dir + " && ffprobe -v error -of compact " + arguments + " " + file + " 2>&1").c_str(), "r");
    std::string text;
    char buffer[4096];
    while (size_t n = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
    pclose(pipe);
    // x264 signs the key frames of each run in their side data, which ffprobe marks by a field or a line without content.
    for (const char* mark : {"side_data|\n", "|side_data|", "|side_data"}) {
      for (size_t at; (at = text.find(mark)) != std::string::npos;) text.erase(at, std::strlen(mark));
    }
    for (const char* mark : {"|\n", "\n\n"}) {
      for (size_t at; (at = text.find(mark)) != std::string::npos;) text.erase(at, 1);
    }
    return text;
  }
  // Transcodes without a swap, in segments of half a second.
  StatusOr<VideoSwapReport> Transcode(const std::string& in, const std::string& out, VideoSwapOptions options = {}) const {
    options.segment_seconds = 0.5;
    if (options.write.preset.empty() && options.write.codec == "x264") options.write.preset = "ultrafast";
    return SwapVideo(nullptr, At(in), At(out), options, nullptr, nullptr);
  }
  void ExpectSame(const std::string& in, const std::string& out, const std::string& arguments, size_t least = 20) const {
    const std::string a = Probe(in, arguments);
    EXPECT_GT(a.size(), least) << arguments;
    EXPECT_EQ(a, Probe(out, arguments)) << arguments;
  }
  // A hash of every frame's planes.
  static std::vector<std::string> FrameHashes(VideoReader* reader, std::vector<double>* times = nullptr) {
    std::vector<std::string> hashes;
    VideoFrame frame;
    for (;;) {
      auto more = reader->Read(&frame);
      EXPECT_TRUE(more.ok()) << more.status().message();
      if (!more.ok() || !*more) return hashes;
      const FrameView v = frame.ReadOnlyView().value();
      std::string bytes;
      for (int c = 0; c < v.num_components(); ++c) {
        const FrameComponent& k = v.component[c];
        const int w = (v.stored_width + (1 << k.shift_x) - 1) >> k.shift_x, h = (v.stored_height + (1 << k.shift_y) - 1) >> k.shift_y;
        for (int y = 0; y < h; ++y) bytes.append(reinterpret_cast<const char*>(k.data + y * k.stride), w * k.step);
      }
      hashes.push_back(Sha256Hex(bytes.data(), bytes.size()));
      if (times != nullptr) times->push_back(frame.seconds());
    }
  }
  std::string dir;
  static constexpr const char* kFrames = "-select_streams v -show_entries frame=pts,pkt_duration,best_effort_timestamp_time";
  static constexpr const char* kAudio = "-select_streams a -show_entries packet=pts,dts,duration,size,flags,data_hash -show_data_hash md5";
  static constexpr const char* kSubtitles = "-select_streams s -show_entries packet=pts_time,duration_time,data_hash:stream=codec_name:stream_tags=language -show_data_hash md5";
};

TEST_F(Video, ReaderJumpsExactly) {
  Ffmpeg("-f lavfi -i testsrc2=s=192x128:r=25:d=20 -c:v libx264 -preset fast -bf 3 -g 60 a.mp4");
  Ffmpeg("-i a.mp4 -c copy a.mkv");
  Ffmpeg("-itsoffset 3.2 -f lavfi -i testsrc2=s=192x128:r=25:d=12 -c:v libx264 -preset fast -x264-params open-gop=1:keyint=50 open.mp4");
  Ffmpeg("-i a.mp4 -c copy -bsf:v h264_mp4toannexb raw.h264");
  Ffmpeg("-i a.mp4 -c copy a.ts");
  for (const char* name : {"a.mp4", "a.mkv", "open.mp4", "raw.h264", "a.ts"}) {
    auto reader = VideoReader::Open(At(name));
    ASSERT_TRUE(reader.ok()) << reader.status().message();
    std::vector<double> times;
    const std::vector<std::string> all = FrameHashes(reader->get(), &times);
    ASSERT_GE(all.size(), 299u);
    for (double seconds : {7.3, 0.0, 11.0, 2.04, 9.999}) {
      ASSERT_TRUE((*reader)->Seek(seconds).ok()) << name;
      std::vector<double> some_times;
      const std::vector<std::string> some = FrameHashes(reader->get(), &some_times);
      ASSERT_FALSE(some.empty()) << name;
      EXPECT_TRUE(some_times[0] <= seconds + 1e-6 || some.size() == all.size()) << name << " " << seconds << " begins at " << some_times[0];
      ASSERT_LE(some.size(), all.size());
      const size_t skipped = all.size() - some.size();
      for (size_t i = 0; i < some.size(); ++i) {
        ASSERT_EQ(some[i], all[skipped + i]) << name << " from " << seconds << " frame " << i;
        ASSERT_DOUBLE_EQ(some_times[i], times[skipped + i]) << name;
      }
    }
  }
}

TEST_F(Video, SegmentFilesSurviveOnlyWhole) {
  StreamParameters p;
  p.time_base[0] = 1, p.time_base[1] = 90000;
  p.side_data.push_back({5, "bytes"});
  {
    auto w = SegmentWriter::Create(At("s"), p);
    ASSERT_TRUE(w.ok());
    for (int i = 0; i < 10; ++i) {
      const std::string data(1000 + i, static_cast<char>(i));
      ASSERT_TRUE((*w)->Write({i * 3000, 3000, i == 0, reinterpret_cast<const uint8_t*>(data.data()), data.size()}).ok());
    }
    ASSERT_TRUE((*w)->Close().ok());
  }
  const auto count = [&](const std::string& file) -> StatusOr<int> {
    MFS_ASSIGN_OR_RETURN(const auto r, SegmentReader::Open(file));
    EXPECT_EQ(r->parameters().Serialize(), p.Serialize());
    EncodedPacket packet;
    for (int n = 0;; ++n) {
      MFS_ASSIGN_OR_RETURN(const bool more, r->Read(&packet));
      if (!more) return n;
      EXPECT_EQ(packet.pts, n * 3000);
      EXPECT_EQ(packet.size, 1000u + n);
    }
  };
  ASSERT_TRUE(count(At("s")).ok());
  EXPECT_EQ(*count(At("s")), 10);
  const std::string whole = ReadFile(At("s")).value();
  for (size_t cut : {size_t{0}, size_t{5}, size_t{60}, whole.size() / 2, whole.size() - 1}) {
    ASSERT_TRUE(WriteFileAtomically(At("cut"), whole.data(), cut).ok());
    EXPECT_FALSE(count(At("cut")).ok()) << cut;
  }
  std::string changed = whole;
  changed[changed.size() / 2] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(At("changed"), changed.data(), changed.size()).ok());
  EXPECT_FALSE(count(At("changed")).ok());
}

// Segments do not show: one segment or many give the same times, and every frame is there once.
TEST_F(Video, AudioSubtitlesChaptersAttachments) {
  ASSERT_TRUE(WriteFileAtomically(At("s.srt"), "1\n00:00:00,500 --> 00:00:01,200\nHello\n\n2\n00:00:02,000 --> 00:00:02,900\nWorld\n", 79).ok());
  const std::string meta = ";FFMETADATA1\ntitle=A film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=One\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=3000\ntitle=Two\n";
  ASSERT_TRUE(WriteFileAtomically(At("meta.txt"), meta.data(), meta.size()).ok());
  ASSERT_TRUE(WriteFileAtomically(At("font.ttf"), "not really a font", 17).ok());
  const std::string in =
      "-f lavfi -i testsrc2=s=160x120:r=30000/1001:d=3 -f lavfi -i sine=d=5 -f lavfi -i sine=f=600:d=2 -i s.srt -i meta.txt -map 0 -map 1 -map 2 -map 3 -map_metadata 4 "
      "-metadata:s:a:0 language=eng -metadata:s:a:1 language=deu -metadata:s:s language=fra -c:v libx264 -preset veryfast -bf 2 ";
  Ffmpeg(in + "-c:a aac -c:s mov_text in.mp4");
  Ffmpeg(in + "-c:a:0 libopus -c:a:1 flac -c:s srt -attach font.ttf -metadata:s:t mimetype=application/x-truetype-font in.mkv");
  for (const char* ext : {"mp4", "mkv"}) {
    const std::string a = std::string("in.") + ext, b = std::string("out.") + ext;
    const auto report = Transcode(a, b);
    ASSERT_TRUE(report.ok()) << report.status().message();
    EXPECT_TRUE(report->warnings.empty()) << report->warnings[0];
    EXPECT_EQ(report->frames, 90);
    ExpectSame(a, b, kFrames);
    ExpectSame(a, b, kAudio, 1000);
    ExpectSame(a, b, kSubtitles);
    ExpectSame(a, b, "-show_entries chapter=start_time,end_time:chapter_tags=title");
    ExpectSame(a, b, "-show_entries stream=index,codec_type,start_time:stream_tags=language,filename,mimetype");
    ExpectSame(a, b, "-show_entries format_tags=title", 5);
    ExpectSame(a, b, "-select_streams v -show_entries stream=r_frame_rate,avg_frame_rate,sample_aspect_ratio,field_order");
    EXPECT_FALSE(FileExists(PartFolder::NameFor(At(b))));
  }
  EXPECT_NE(Probe("out.mkv", "-show_entries stream_tags=filename").find("font.ttf"), std::string::npos);
  // An attached font cannot go into an MP4: it is named.
  const auto lost = Transcode("in.mkv", "lost.mp4");
  ASSERT_TRUE(lost.ok()) << lost.status().message();
  ASSERT_FALSE(lost->warnings.empty());
  EXPECT_NE(lost->warnings[0].find("left out"), std::string::npos);
}

TEST_F(Video, CoverPictureStays) {
  Ffmpeg("-f lavfi -i testsrc2=s=64x64:d=0.04 -frames:v 1 cover.png");
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:d=1 -i cover.png -map 0 -map 1 -c:v:0 libx264 -c:v:1 copy -disposition:v:1 attached_pic in.mp4");
  ASSERT_TRUE(Transcode("in.mp4", "out.mp4").ok());
  ExpectSame("in.mp4", "out.mp4", "-show_entries stream=index,codec_name,width:stream_disposition=attached_pic");
  ASSERT_TRUE(Transcode("in.mp4", "out.mkv").ok());
  EXPECT_NE(Probe("out.mkv", "-show_entries stream=codec_name:stream_tags=filename").find("cover.png"), std::string::npos);
}

TEST_F(Video, TimesVariableOffsetAndEdited) {
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=4 -f lavfi -i sine=d=4 -vf \"select='mod(n,3)+gt(n,60)*mod(n,7)'\" -vsync vfr -c:v libx264 -preset veryfast -bf 3 -c:a aac vfr.mp4");
  Ffmpeg("-i vfr.mp4 -c copy vfr.mkv");
  // Everything begins late; only the sound begins late; the first second is cut away by an edit list.
  Ffmpeg("-itsoffset 1.5 -i vfr.mp4 -c copy late.mp4");
  Ffmpeg("-itsoffset 1.5 -i vfr.mp4 -c copy late.mkv");
  Ffmpeg("-i vfr.mp4 -itsoffset 0.7 -i vfr.mp4 -map 0:v -map 1:a -c copy latesound.mp4");
  Ffmpeg("-i vfr.mp4 -itsoffset 0.7 -i vfr.mp4 -map 1:v -map 0:a -c copy latepicture.mp4");
  Ffmpeg("-ss 1.02 -i vfr.mp4 -c copy edited.mp4");
  for (const char* name : {"vfr.mp4", "vfr.mkv", "late.mp4", "late.mkv", "latesound.mp4", "latepicture.mp4", "edited.mp4"}) {
    SCOPED_TRACE(name);
    const std::string out = std::string("out_") + name;
    const auto report = Transcode(name, out);
    ASSERT_TRUE(report.ok()) << report.status().message();
    ExpectSame(name, out, "-select_streams v -show_entries frame=best_effort_timestamp_time");
    ExpectSame(name, out, "-select_streams a -show_entries packet=pts_time,size,data_hash -show_data_hash md5", 500);
    ExpectSame(name, out, "-show_entries stream=codec_type,start_time");
    ExpectSame(name, out, "-show_entries format=start_time", 10);
  }
}

// Transport streams put behind one another: the times start anew, or leap; the film goes on, sound and picture together.
TEST_F(Video, JoinedStreamsGoOn) {
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=2 -f lavfi -i sine=d=2 -c:v libx264 -preset veryfast -bf 2 -c:a aac a.ts");
  Ffmpeg("-i a.ts -c copy -output_ts_offset 3600 later.ts");
  ASSERT_EQ(std::system(("cd " + dir + " && cat a.ts a.ts later.ts a.ts > in.ts").c_str()), 0);
  auto reader = VideoReader::Open(At("in.ts"));
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  std::vector<double> times;
  EXPECT_EQ(FrameHashes(reader->get(), &times).size(), 200u);
  for (size_t i = 1; i < times.size(); ++i) EXPECT_NEAR(times[i] - times[i - 1], 0.04, 0.045) << i;
  for (const char* out : {"o.mp4", "o.mkv", "o.ts"}) {
    SCOPED_TRACE(out);
    const auto report = Transcode("in.ts", out);
    ASSERT_TRUE(report.ok()) << report.status().message();
    EXPECT_TRUE(report->input_end.ok()) << report->input_end.message();
    EXPECT_EQ(report->frames, 200);
    // The sound's packets begin where they did beside the picture, in the last part, too.
    const auto last = [&](const char* stream) {
      const std::string text = Probe(out, std::string("-select_streams ") + stream + " -show_entries packet=pts_time");
      return std::atof(text.c_str() + text.rfind("pts_time=") + std::strlen("pts_time="));
    };
    EXPECT_NEAR(last("v"), last("a"), 0.2);
    EXPECT_NEAR(last("v"), 8, 0.4);
    EXPECT_NEAR(std::atof(Probe(out, "-show_entries format=start_time").c_str() + std::strlen("format|start_time=")), 0, 0.15);
  }
  // A part of it, from the third on.
  VideoSwapOptions part;
  part.read.trim_start = 4.5, part.read.trim_end = 6.5;
  const auto report = Transcode("in.ts", "part.mp4", part);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_NEAR(static_cast<double>(report->frames), 50, 1);
  EXPECT_NEAR(std::atof(Probe("part.mp4", "-select_streams a -show_entries stream=duration").c_str() + std::strlen("stream|duration=")), 2, 0.1);
}

// What a recording may hold besides: a track that only begins later, one packet of garbage.
TEST_F(Video, RecordingsWithLateAndDamagedSound) {
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=12 -c:v libx264 -preset veryfast silent.ts");
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=3 -f lavfi -i sine=d=3 -c:v libx264 -preset veryfast -c:a aac both.ts");
  ASSERT_EQ(std::system(("cd " + dir + " && cat silent.ts both.ts > late.ts").c_str()), 0);
  std::string bytes = ReadFile(At("both.ts")).value();
  int sound = 0;
  for (size_t i = 0; i + 188 <= bytes.size(); i += 188) {
    const int pid = (static_cast<uint8_t>(bytes[i + 1]) & 0x1f) << 8 | static_cast<uint8_t>(bytes[i + 2]);
    if (pid == 0x101 && ++sound % 40 > 34) std::fill(bytes.begin() + static_cast<ptrdiff_t>(i) + 4, bytes.begin() + static_cast<ptrdiff_t>(i) + 188, '\x5a');
  }
  ASSERT_GT(sound, 40);
  ASSERT_TRUE(WriteFileAtomically(At("damaged.ts"), bytes.data(), bytes.size()).ok());
  for (const char* out : {"o.mp4", "o.mkv"}) {
    const auto late = Transcode("late.ts", std::string("late_") + out), damaged = Transcode("damaged.ts", std::string("damaged_") + out);
    ASSERT_TRUE(late.ok()) << late.status().message();
    EXPECT_EQ(late->frames, 375);
    ASSERT_FALSE(late->warnings.empty());
    EXPECT_NE(late->warnings[0].find("left out"), std::string::npos) << late->warnings[0];
    ASSERT_TRUE(damaged.ok()) << damaged.status().message();
    EXPECT_EQ(damaged->frames, 75);
  }
}

// Streams are joined in the middle of their packets' disorder: each goes on by its own times.
TEST(PacketTimes, EveryStreamFollowsWhenItsOwnTimesBreak) {
  AVFormatContext* format = avformat_alloc_context();
  format->iformat = av_find_input_format("mpegts");
  for (const AVMediaType type : {AVMEDIA_TYPE_VIDEO, AVMEDIA_TYPE_AUDIO, AVMEDIA_TYPE_SUBTITLE}) {
    AVStream* s = avformat_new_stream(format, nullptr);
    s->codecpar->codec_type = type;
    s->time_base = {1, 1000};
  }
  format->start_time = 2 * AV_TIME_BASE;
  AVPacket* packet = av_packet_alloc();
  PacketTimes times;
  const auto mend = [&](int stream, int64_t pts, int64_t duration, int64_t dts) {
    packet->stream_index = stream, packet->pts = pts, packet->dts = dts, packet->duration = duration;
    times.Mend(format, packet);
    return packet->pts;
  };
  EXPECT_TRUE(PacketTimes::MayBreak(format));
  EXPECT_EQ(PacketTimes::Origin(format), 0);
  for (int64_t t = 2000; t < 8000; t += 40) {
    EXPECT_EQ(mend(1, t, 40, t), t - 2000);
    if (t < 7960) {
      EXPECT_EQ(mend(0, t, 40, t), t - 2000);
    }
  }
  EXPECT_FALSE(times.broken());
  // The next part's sound comes before the last picture.
  EXPECT_EQ(mend(1, 2000, 40, 2000), 6000);
  EXPECT_TRUE(times.broken());
  EXPECT_EQ(mend(0, 7960, 40, 7960), 5960);
  EXPECT_EQ(mend(0, 2000, 40, 2000), 6000);
  EXPECT_EQ(mend(1, 2040, 40, 2040), 6040);
  EXPECT_EQ(mend(2, 2500, 1000, 2500), 6500);
  EXPECT_EQ(mend(0, 2040, 40, 2040), 6040);
  // A picture whose time of display has a flipped bit.
  EXPECT_EQ(mend(0, 2080 + (int64_t{1} << 31), 40, 2080), 6080);
  // The sound pauses for longer than a hole may be.
  for (int64_t t = 2120; t < 22000; t += 40) EXPECT_EQ(mend(0, t, 40, t), t + 4000);
  EXPECT_EQ(mend(1, 22000, 40, 22000), 26000);
  // A hole of an hour.
  EXPECT_EQ(mend(0, 3622000, 40, 3622000), 26040);
  EXPECT_EQ(mend(1, 3622000, 40, 3622000), 26040);
  av_packet_free(&packet);
  format->iformat = nullptr;
  avformat_free_context(format);
}

TEST_F(Video, RotationColoursHdrInterlaceDepth) {
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:d=1 -c:v libx264 -preset ultrafast flat.mp4");
  Ffmpeg("-i flat.mp4 -c copy -metadata:s:v rotate=90 turned.mp4");
  const struct {
    const char *make, *name, *codec;
  } kClips[] = {
      {"", "turned.mp4", "x264"},
      {"-pix_fmt yuv420p -color_range pc -colorspace bt470bg -color_primaries bt470bg -color_trc gamma28 -c:v libx264", "full601.mp4", "x264"},
      {"-pix_fmt yuv422p -color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709 -c:v libx264", "709.mkv", "x264"},
      {"-pix_fmt yuv444p10le -color_range tv -colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084 -c:v libx264", "2020.mkv", "x264"},
      {"-pix_fmt yuv422p10le -colorspace bt709 -c:v ffv1 -level 3", "ten.mkv", "ffv1"},
      {"-pix_fmt yuv420p -vf setsar=16/15,interlace -c:v libx264 -flags +ilme+ildct -x264-params tff=1", "interlaced.mkv", "x264"},
      {"-pix_fmt yuv420p10le -color_range tv -colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084 -c:v libx265 -preset ultrafast "
       "-x265-params log-level=none:hdr10=1:repeat-headers=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400",
       "hdr.mp4", "x265"},
  };
  for (const auto& c : kClips) {
    SCOPED_TRACE(c.name);
    if (*c.make != 0)
      Ffmpeg(std::string("-f lavfi -i testsrc2=s=160x120:r=25:d=1.2 ") + (std::strchr(c.make, '(') != nullptr ? "" : "") +
             [&] {
               // The shell must not see the parentheses of the HDR line.
               std::string quoted = c.make;
               const size_t at = quoted.find("log-level");
               if (at != std::string::npos) quoted = quoted.substr(0, at) + "'" + quoted.substr(at) + "'";
               return quoted;
             }() +
             " " + c.name);
    VideoSwapOptions options;
    options.write.codec = c.codec;
    if (std::string(c.codec) == "x265") options.write.preset = "ultrafast";
    const std::string out = std::string("out_") + c.name;
    const auto report = Transcode(c.name, out, options);
    ASSERT_TRUE(report.ok()) << report.status().message();
    for (const std::string& w : report->warnings) EXPECT_NE(w.find("few players"), std::string::npos) << w;
    ExpectSame(c.name, out, "-select_streams v -show_entries stream=pix_fmt,width,height,sample_aspect_ratio,color_range,color_space,color_transfer,color_primaries,chroma_location,field_order");
    ExpectSame(c.name, out, "-select_streams v -show_entries stream_side_data=rotation,side_data_type", 0);
    ExpectSame(c.name, out, "-select_streams v -show_entries frame=best_effort_timestamp_time,interlaced_frame,top_field_first,color_range,color_space");
  }
  const std::string hdr = "-select_streams v -read_intervals %+#1 -show_entries frame=side_data_list -show_frames";
  ExpectSame("hdr.mp4", "out_hdr.mp4", "-select_streams v -read_intervals %+#1 -show_entries frame_side_data");
  EXPECT_NE(Probe("out_hdr.mp4", hdr).find("Mastering display"), std::string::npos);
}

TEST_F(Video, WhatAContainerOrACodecCannotSay) {
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:d=0.4 -c:v libx264 -preset ultrafast upright.mp4");
  // FFmpeg 6 has an option for it, and does not know the old way any more.
  ASSERT_EQ(
      std::system(
          ("cd " + dir + " && { ffmpeg -v quiet -y -display_rotation 90 -i upright.mp4 -c copy side.mp4 || ffmpeg -v error -y -i upright.mp4 -c copy -metadata:s:v rotate=90 side.mp4; }").c_str()),
      0);
  // FFmpeg's Matroska writer drops the rotation: the video would lie on its side.
  const Status refused = Transcode("side.mp4", "side.mkv").status();
  EXPECT_NE(refused.message().find("name the output .mp4"), std::string::npos) << refused.message();
  EXPECT_TRUE(Transcode("upright.mp4", "upright.mkv").ok());
  ASSERT_TRUE(Transcode("upright.mp4", "upright.avi").ok());
  const std::string avi = Probe("upright.avi", "-count_packets -select_streams v -show_entries stream=r_frame_rate,nb_read_packets");
  EXPECT_NE(avi.find("r_frame_rate=25/1"), std::string::npos) << avi;
  EXPECT_NE(avi.find("nb_read_packets=10"), std::string::npos) << avi;
  // Apple's players refuse hev1.
  VideoSwapOptions hevc;
  hevc.write.codec = "x265", hevc.write.preset = "ultrafast";
  ASSERT_TRUE(Transcode("upright.mp4", "hevc.mp4", hevc).ok());
  EXPECT_NE(Probe("hevc.mp4", "-select_streams v -show_entries stream=codec_tag_string").find("hvc1"), std::string::npos);
  // RGB becomes YUV by the rule that is written down.
  Ffmpeg("-f lavfi -i color=c=red:s=160x120:d=0.4,format=gbrp -c:v libx264rgb -preset ultrafast -qp 0 rgb.mkv");
  VideoSwapOptions yuv;
  yuv.write.codec = "vp9";
  for (const char* out : {"rgb_out.mp4", "rgb_out.webm"}) {
    ASSERT_TRUE(Transcode("rgb.mkv", out, std::strstr(out, "webm") != nullptr ? yuv : VideoSwapOptions{}).ok()) << out;
    const std::string probed = Probe(out, "-select_streams v -show_entries stream=pix_fmt,color_space,color_range");
    EXPECT_TRUE(probed.find("color_space=bt709") != std::string::npos || probed.find("gbrp") != std::string::npos) << probed;
    const auto reader = VideoReader::Open(At(out));
    ASSERT_TRUE(reader.ok());
    VideoFrame frame;
    ASSERT_TRUE(*(*reader)->Read(&frame));
    ImageF shown;
    ASSERT_TRUE(ReadScaled(*frame.View(), 16, 12, &shown).ok());
    EXPECT_NEAR(shown.plane(0)[100], 254 / 255.0, 0.03) << out;
    EXPECT_NEAR(shown.plane(1)[100], 0, 0.03) << out;
  }
}

// Another pixel shape, colour tag or field order in the middle: all segments must be encoded alike, or they cannot be joined.
// Containers that say yes and refuse when the header is written: all would be encoded by then.
TEST_F(Video, WhatAContainerRefusesIsKnownBeforehand) {
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i sine=d=1 -c:v libx264 -preset veryfast -c:a libopus in.mkv");
  const auto opus = Transcode("in.mkv", "out.mov");
  ASSERT_TRUE(opus.ok()) << opus.status().message();
  ASSERT_FALSE(opus->warnings.empty());
  EXPECT_NE(opus->warnings[0].find("opus) does not fit into .mov"), std::string::npos) << opus->warnings[0];
  for (const auto& [name, codec] : {std::pair<const char*, const char*>{"o.mov", "vp9"}, {"o.gif", "x264"}, {"o.apng", "x264"}}) {
    VideoWriteOptions write;
    write.codec = codec;
    EXPECT_EQ(CheckVideoOutput(At(name), write).code(), StatusCode::kInvalidArgument) << name;
  }
  VideoWriteOptions usual;
  for (const char* name : {"o.mov", "o.ts", "o.mp4", "o.mkv", "o.avi", "o.flv", "o.mpg"}) EXPECT_TRUE(CheckVideoOutput(At(name), usual).ok()) << name;
  // Two frames in one tick of an AVI, and an encoder that keeps none back.
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=1 -vf \"setpts='if(eq(mod(N,5),4),PTS-0.03/TB,PTS)'\" -fps_mode vfr -video_track_timescale 90000 -c:v libx264 -preset veryfast -bf 0 vfr.mp4");
  VideoSwapOptions lossless;
  lossless.write.codec = "ffv1";
  const auto avi = Transcode("vfr.mp4", "o.avi", lossless);
  EXPECT_TRUE(avi.ok()) << avi.status().message();
}

TEST_F(Video, WhatIsNotSwappedOrLostIsSaid) {
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i testsrc=s=160x120:r=25:d=1 -map 0 -map 1 -c:v libx264 -preset veryfast two.mkv");
  Ffmpeg("-f lavfi -i \"testsrc2=s=160x120:r=25:d=1,format=yuva420p\" -c:v libvpx-vp9 -auto-alt-ref 0 alpha.webm");
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=1,format=yuv420p10le -c:v libx265 -x265-params log-level=error ten.mkv");
  const auto warnings = [&](const std::string& in, const std::string& out, VideoSwapOptions options = {}) {
    const auto report = Transcode(in, out, options);
    EXPECT_TRUE(report.ok()) << report.status().message();
    std::string text;
    for (const std::string& w : report.ok() ? report->warnings : std::vector<std::string>()) text += w + "\n";
    return text;
  };
  EXPECT_NE(warnings("two.mkv", "o.mkv").find("no face was swapped in it"), std::string::npos);
  VideoSwapOptions vp9;
  vp9.write.codec = "vp9";
  EXPECT_NE(warnings("alpha.webm", "o.webm", vp9).find("transparency is lost"), std::string::npos);
  EXPECT_EQ(Probe("o.webm", "-show_entries stream_tags=alpha_mode").find("alpha_mode"), std::string::npos);
  EXPECT_NE(warnings("ten.mkv", "o.mp4").find("few players"), std::string::npos);
  EXPECT_NE(warnings("two.mkv", "o.mpg").find("cannot carry the note"), std::string::npos);
}

TEST_F(Video, ChaptersOfATrimmedFilm) {
  const std::string meta =
      ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=900\ntitle=One\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=900\nEND=2000\ntitle=Two\n[CHAPTER]\nTIMEBASE=1/"
      "1000\nSTART=2000\nEND=3000\ntitle=Three\n";
  ASSERT_TRUE(WriteFileAtomically(At("meta.txt"), meta.data(), meta.size()).ok());
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=3 -i meta.txt -map 0 -map_chapters 1 -c:v libx264 -preset veryfast in.mkv");
  VideoSwapOptions options;
  options.read.trim_start = 1, options.read.trim_end = 2.5;
  ASSERT_TRUE(Transcode("in.mkv", "out.mkv", options).ok());
  EXPECT_EQ(Probe("out.mkv", "-show_entries chapter=start_time,end_time:chapter_tags=title"),
            "chapter|start_time=0.000000|end_time=1.000000|tag:title=Two\nchapter|start_time=1.000000|end_time=1.500000|tag:title=Three\n");
}

TEST_F(Video, PropertiesThatChangeOnTheWay) {
  Ffmpeg("-f lavfi -i testsrc=s=160x120:d=1.2 -c:v libx264 -preset ultrafast -vf setsar=1 a.ts");
  Ffmpeg("-f lavfi -i testsrc=s=160x120:d=1.2 -c:v libx264 -preset ultrafast -vf setsar=4/3 -flags +ilme+ildct -colorspace bt709 -color_primaries bt709 -color_trc bt709 b.ts");
  Ffmpeg("-i 'concat:a.ts|b.ts' -c copy in.ts");
  for (const char* out : {"o.mkv", "o.mp4"}) {
    const auto report = Transcode("in.ts", out);
    ASSERT_TRUE(report.ok()) << out << ": " << report.status().message();
    EXPECT_EQ(report->frames, 60) << out;
  }
}

TEST_F(Video, OddInput) {
  // One frame; odd sides; no times; a size that changes; a tail cut off; 8K.
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=0.04 -f lavfi -i sine=d=2 -c:v libx264 -c:a aac one.mp4");
  auto r = Transcode("one.mp4", "one_out.mp4");
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_EQ(r->frames, 1);
  ExpectSame("one.mp4", "one_out.mp4", kAudio, 500);

  // testsrc2 itself rounds odd sides down.
  Ffmpeg("-f lavfi -i testsrc2=s=176x144:r=25:d=1 -vf scale=161:121 -pix_fmt yuv420p -c:v ffv1 odd.mkv");
  {
    const std::string message = Transcode("odd.mkv", "odd_out.mp4").status().message();
    EXPECT_NE(message.find("even sides"), std::string::npos) << message;
  }
  EXPECT_FALSE(FileExists(PartFolder::NameFor(At("odd_out.mp4"))));
  VideoSwapOptions lossless;
  lossless.write.codec = "ffv1";
  ASSERT_TRUE(Transcode("odd.mkv", "odd_out.mkv", lossless).ok());
  const auto a = VideoReader::Open(At("odd.mkv")), b = VideoReader::Open(At("odd_out.mkv"));
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(FrameHashes(a->get()), FrameHashes(b->get()));

  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=2 -c:v libx264 -bf 2 raw.h264");
  r = Transcode("raw.h264", "raw_out.mp4");
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_EQ(r->frames, 50);
  EXPECT_NE(Probe("raw_out.mp4", "-select_streams v -show_entries stream=nb_frames,duration").find("nb_frames=50"), std::string::npos);

  Ffmpeg("-f lavfi -i testsrc2=s=128x96:r=25:d=1 -c:v libx264 -bsf:v h264_mp4toannexb small.ts");
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=1 -c:v libx264 -bsf:v h264_mp4toannexb large.ts");
  ASSERT_EQ(std::system(("cd " + dir + " && cat small.ts large.ts > changing.ts").c_str()), 0);
  r = Transcode("changing.ts", "changing_out.mp4");
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_NE(r->input_end.message().find("size or format changes"), std::string::npos);
  EXPECT_EQ(r->frames, 25);

  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=4 -f lavfi -i sine=d=4 -c:v libx264 -c:a aac -movflags +faststart whole.mp4");
  const std::string whole = ReadFile(At("whole.mp4")).value();
  ASSERT_TRUE(WriteFileAtomically(At("tail.mp4"), whole.data(), whole.size() * 6 / 10).ok());
  r = Transcode("tail.mp4", "tail_out.mp4");
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_NE(r->input_end.message().find("breaks off at"), std::string::npos);
  EXPECT_GT(r->frames, 20);

  Ffmpeg("-f lavfi -i testsrc2=s=7680x4320:r=25:d=0.12 -c:v libx264 -preset ultrafast 8k.mp4");
  r = Transcode("8k.mp4", "8k_out.mp4");
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_EQ(r->frames, 3);
}

// Segments, resumption and shards of the plain transcode: cheap enough to try all the ways. tests/resume_test.cc does it with faces and kills.
TEST_F(Video, StoppedAnywhereItEndsTheSame) {
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=6 -f lavfi -i sine=d=6 -vf \"select='gt(mod(n,5),0)'\" -vsync vfr -c:v libx264 -preset veryfast -bf 3 -g 40 -c:a aac in.mp4");
  ASSERT_TRUE(Transcode("in.mp4", "whole.mp4").ok());
  const std::string whole = ReadFile(At("whole.mp4")).value();
  VideoSwapOptions options;
  options.segment_seconds = 0.5;
  options.write.preset = "ultrafast";
  for (int stop : {1, 20, 47, 70, 100}) {
    std::atomic<bool> cancel{false};
    const auto stopped = SwapVideo(
        nullptr, At("in.mp4"), At("o.mp4"), options, [&](const VideoProgress& p) { cancel = p.frames >= stop; }, &cancel);
    ASSERT_EQ(stopped.status().code(), StatusCode::kCancelled);
    EXPECT_EQ(FileExists(PartFolder::NameFor(At("o.mp4"))), stop > 10) << stop;
    if (stop > 10) {
      EXPECT_EQ(SwapVideo(nullptr, At("in.mp4"), At("o.mp4"), options, nullptr, nullptr).status().code(), StatusCode::kAlreadyExists);
      VideoSwapOptions other = options;
      other.write.crf = 30;
      other.resume = true;
      EXPECT_NE(SwapVideo(nullptr, At("in.mp4"), At("o.mp4"), other, nullptr, nullptr).status().message().find("crf"), std::string::npos);
    }
    VideoSwapOptions resume = options;
    resume.resume = true;
    const auto resumed = SwapVideo(nullptr, At("in.mp4"), At("o.mp4"), resume, nullptr, nullptr);
    ASSERT_TRUE(resumed.ok()) << resumed.status().message();
    EXPECT_EQ(resumed->frames, 120);
    EXPECT_TRUE(ReadFile(At("o.mp4")).value() == whole) << stop;
    EXPECT_FALSE(FileExists(PartFolder::NameFor(At("o.mp4"))));
    RemoveFile(At("o.mp4"));
  }
  // A segment that was damaged or is missing in the middle is made anew.
  {
    std::atomic<bool> cancel{false};
    ASSERT_FALSE(SwapVideo(
                     nullptr, At("in.mp4"), At("o.mp4"), options, [&](const VideoProgress& p) { cancel = p.frames >= 100; }, &cancel)
                     .ok());
    const std::string folder = PartFolder::NameFor(At("o.mp4"));
    RemoveFile(folder + "/000001.json");
    ASSERT_TRUE(WriteFileAtomically(folder + "/000003.segment", "cut", 3).ok());
    VideoSwapOptions resume = options;
    resume.resume = true;
    ASSERT_TRUE(SwapVideo(nullptr, At("in.mp4"), At("o.mp4"), resume, nullptr, nullptr).ok());
    EXPECT_TRUE(ReadFile(At("o.mp4")).value() == whole);
    RemoveFile(At("o.mp4"));
  }
  for (int shards : {2, 3, 40}) {
    for (int i = shards; i >= 1; --i) {
      VideoSwapOptions shard = options;
      shard.shard = i, shard.shards = shards;
      if (i == 1 && shards < 40) {  // of 40, the first has nothing to do
        EXPECT_EQ(JoinVideo({PartFolder::NameFor(At("o.mp4"))}, "", At("o.mp4"), nullptr).status().code(), StatusCode::kNotFound);
      }
      const auto part = SwapVideo(nullptr, At("in.mp4"), At("o.mp4"), shard, nullptr, nullptr);
      ASSERT_TRUE(part.ok()) << part.status().message();
      EXPECT_FALSE(part->joined);
    }
    // No frame was swapped here, and mfs join says so.
    EXPECT_EQ(JoinVideo({PartFolder::NameFor(At("o.mp4"))}, "", At("o.mp4"), nullptr).status().code(), StatusCode::kNoFace);
  }
}

TEST_F(Video, TwoProcessesOneOutput) {
  Ffmpeg("-f lavfi -i testsrc2=s=160x120:r=25:d=3 -c:v libx264 in.mp4");
  Status second;
  const auto first = SwapVideo(
      nullptr, At("in.mp4"), At("o.mp4"), {},
      [&](const VideoProgress& p) {
        if (p.frames != 10) return;
        VideoSwapOptions resume;
        resume.resume = true;
        second = SwapVideo(nullptr, At("in.mp4"), At("o.mp4"), resume, nullptr, nullptr).status();
      },
      nullptr);
  EXPECT_TRUE(first.ok());
  EXPECT_EQ(second.code(), StatusCode::kAlreadyExists);
  EXPECT_NE(second.message().find("another mfs is at work"), std::string::npos) << second.message();
}

TEST_F(Video, MirroredAndNarrowPixelsAreShownAsTheyShould) {
  // x' = m0 x + m3 y, y' = m1 x + m4 y, 16.16.
  const struct {
    int m0, m1, m3, m4, orientation;
  } kCases[] = {{1, 0, 0, 1, 1}, {-1, 0, 0, 1, 2}, {-1, 0, 0, -1, 3}, {1, 0, 0, -1, 4}, {0, 1, 1, 0, 5}, {0, 1, -1, 0, 6}, {0, -1, -1, 0, 7}, {0, -1, 1, 0, 8}};
  AVFormatContext* format = avformat_alloc_context();
  for (const auto& c : kCases) {
    AVStream* stream = avformat_new_stream(format, nullptr);
    const int32_t matrix[9] = {c.m0 << 16, c.m1 << 16, 0, c.m3 << 16, c.m4 << 16, 0, 0, 0, 1 << 30};
    AddSideData(stream, AV_PKT_DATA_DISPLAYMATRIX, std::string(reinterpret_cast<const char*>(matrix), sizeof matrix));
    EXPECT_EQ(OrientationOf(stream), c.orientation);
    // As the frames are read: what the matrix says must be where the view shows it.
    FrameView view;
    view.stored_width = view.stored_height = 3, view.orientation = c.orientation;
    const Point to = StoredFromDisplay(view).Inverse().Apply({2, 1});
    EXPECT_EQ(to.x, 1 + c.m0) << c.orientation;
    EXPECT_EQ(to.y, 1 + c.m1) << c.orientation;
  }
  avformat_free_context(format);
  Ffmpeg("-f lavfi -i testsrc2=s=360x288:r=25:d=0.2 -vf setsar=64/45 -c:v libx264 narrow.mkv");
  auto reader = VideoReader::Open(At("narrow.mkv"));
  ASSERT_TRUE(reader.ok());
  VideoFrame frame;
  ASSERT_TRUE(*(*reader)->Read(&frame));
  EXPECT_EQ(frame.View()->width(), 512);
  EXPECT_EQ(frame.View()->height(), 288);
  // The container has the first word, as in players, and the result says the same.
  Ffmpeg("-i narrow.mkv -c copy -aspect 5:2 wide.mp4");
  reader = VideoReader::Open(At("wide.mp4"));
  ASSERT_TRUE(reader.ok() && *(*reader)->Read(&frame));
  EXPECT_EQ(frame.View()->width(), 720);
  ASSERT_TRUE(Transcode("wide.mp4", "wide_out.mp4").ok());
  ExpectSame("wide.mp4", "wide_out.mp4", "-show_entries stream=display_aspect_ratio", 5);
}

}  // namespace
}  // namespace mfs
