#include "swap/person_survey.h"

#include <algorithm>
#include <cmath>

#include "media/picture.h"
#include "media/video.h"

namespace mfs {
namespace {

constexpr float kTurned = 45;        // degrees of yaw above which a face does not decide who there is
constexpr size_t kMostFaces = 1500;  // that are told apart; clustering takes the cube of it

struct Sample {
  double seconds = 0;
  float quality = 0;  // large and frontal is better
  bool decides = false;
  Embedding embedding;
  ImageF tile;
};

Status LookAt(Engine* engine, const FrameView& view, double seconds, const SurveyOptions& options, PersonSurvey* survey, std::vector<Sample>* samples) {
  MFS_ASSIGN_OR_RETURN(const std::vector<Face> faces, engine->FindFaces(view, nullptr, Search::kEveryone));
  ++survey->frames;
  for (const Face& face : faces) {
    const float size = std::max(face.box.width(), face.box.height());
    ++survey->faces;
    if (size < options.min_face) {
      ++survey->too_small;
      continue;
    }
    if (samples->size() >= kMostFaces) continue;
    Sample s;
    s.seconds = seconds;
    s.decides = std::fabs(face.yaw) < kTurned;
    s.quality = std::min(size, 200.0f) * std::cos(std::min(80.0f, std::fabs(face.yaw)) * static_cast<float>(M_PI / 180)) * face.score;
    MFS_ASSIGN_OR_RETURN(s.embedding, engine->Embed(view, face));
    MFS_RETURN_IF_ERROR(ReadWarped(view, SquareCrop(face.box.center(), 1.35f * size, face.roll, kTile), kTile, kTile, &s.tile));
    samples->push_back(std::move(s));
  }
  return Status::Ok();
}

Status LookAtVideo(Engine* engine, const std::string& path, const SurveyOptions& options, const std::atomic<bool>* cancel, PersonSurvey* survey, std::vector<Sample>* samples) {
  VideoReadOptions read;
  read.keep_other_streams = false;
  MFS_ASSIGN_OR_RETURN(const auto reader, VideoReader::Open(path, read));
  const VideoInfo& info = reader->info();
  int64_t every = 12;  // of a video that does not say how long it is
  if (info.frames > 0) every = std::max<int64_t>(1, info.frames / std::max(1, options.samples));
  VideoFrame frame;
  for (int64_t n = 0;; ++n) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return Cancelled("stopped; nothing was written");
    const auto more = reader->Read(&frame);
    if (!more.ok() && samples->empty()) return more.status();
    survey->input_end = more.status();
    if (!more.ok() || !*more) return Status::Ok();  // of a broken file what could be read
    if (n % every != 0) continue;
    MFS_ASSIGN_OR_RETURN(const FrameView view, frame.View());
    MFS_RETURN_IF_ERROR(LookAt(engine, view, frame.seconds(), options, survey, samples));
  }
}

}  // namespace

StatusOr<PersonSurvey> SurveyPersons(Engine* engine, const std::string& path, const SurveyOptions& options, const std::atomic<bool>* cancel) {
  PersonSurvey survey;
  std::vector<Sample> samples;
  survey.video = !IsPicture(path);
  if (survey.video) {
    MFS_RETURN_IF_ERROR(LookAtVideo(engine, path, options, cancel, &survey, &samples));
  } else {
    MFS_ASSIGN_OR_RETURN(Picture picture, ReadPicture(path));
    MFS_RETURN_IF_ERROR(LookAt(engine, picture.View(), 0, options, &survey, &samples));
  }
  // Turned heads look like nobody in particular: the others say who there is.
  std::vector<size_t> deciding;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].decides) deciding.push_back(i);
  }
  if (deciding.empty()) {
    for (size_t i = 0; i < samples.size(); ++i) deciding.push_back(i);
  }
  if (deciding.empty()) return NoFace(path + ": no face of " + std::to_string(static_cast<int>(options.min_face)) + " pixels or more found");
  std::vector<PersonEmbedding> embeddings;
  for (size_t i : deciding) embeddings.push_back(samples[i].embedding.z);
  const std::vector<int> cluster = ClusterPersons(embeddings, options.similarity);
  std::vector<std::vector<size_t>> members(*std::max_element(cluster.begin(), cluster.end()) + 1);
  for (size_t i = 0; i < deciding.size(); ++i) members[cluster[i]].push_back(deciding[i]);
  for (std::vector<size_t>& m : members) {
    if (survey.video && survey.frames > 2 && m.size() < 2 && members.size() > 1) {  // somebody who passes by, or no face at all
      ++survey.passers_by;
      continue;
    }
    SurveyedPerson person;
    person.faces = static_cast<int>(m.size());
    person.first = samples[m.front()].seconds, person.last = samples[m.back()].seconds;
    std::stable_sort(m.begin(), m.end(), [&](size_t a, size_t b) { return samples[a].quality > samples[b].quality; });
    // The better half of the samples, evenly: different moments say more than the same one again.
    std::vector<NamedEmbedding> best;
    const size_t pool = std::max<size_t>(1, (m.size() + 1) / 2), tiles = std::min<size_t>(pool, std::max(1, options.tiles));
    for (size_t i = 0; i < tiles; ++i) {
      const Sample& s = samples[m[i * pool / tiles]];
      best.push_back({"sample", s.embedding});
      person.tiles.push_back(s.tile);
    }
    std::vector<std::string> left_out;  // outliers of a cluster are of no interest to the user
    MFS_ASSIGN_OR_RETURN(person.identity, engine->MakeIdentity(best, &left_out));
    survey.persons.push_back(std::move(person));
  }
  if (survey.persons.empty()) return NoFace(path + ": every face is seen in one sample only; the clip is too short to tell people apart");
  return survey;
}

}  // namespace mfs
