#include "swap/engine.h"

#include <cstdlib>

#include "base/file.h"
#include "base/sha256.h"
#include "face/alignment.h"
#include "media/picture.h"
#include "weights/safetensors.h"

namespace mfs {
namespace {

constexpr char kInjectionModel[] = "mfs-slim-224.safetensors";
constexpr char kWeightsVariable[] = "MFS_WEIGHTS";  // a file of mfs-train export in place of the shipped weights
constexpr int kSize = 224;

bool IsIdentityName(const std::string& path) { return Extension(path) == "safetensors"; }

}  // namespace

Engine::Engine(ModelStore store) : store_(std::move(store)) {}
Engine::~Engine() = default;

StatusOr<std::unique_ptr<Engine>> Engine::Create(const ModelStoreOptions& options) {
  MFS_ASSIGN_OR_RETURN(ModelStore store, ModelStore::Open(options));
  return std::unique_ptr<Engine>(new Engine(std::move(store)));
}

StatusOr<std::shared_ptr<FaceFinder>> Engine::Finder() {
  if (finder_ == nullptr) {
    MFS_ASSIGN_OR_RETURN(finder_, FaceFinder::Create(store_));
  }
  return finder_;
}

StatusOr<std::vector<Face>> Engine::FindFaces(const FrameView& frame, const std::vector<Face>* previous) {
  MFS_RETURN_IF_ERROR(Finder().status());
  return finder_->Find(frame, previous);
}

StatusOr<Embedding> Engine::Embed(const FrameView& frame, const Face& face) {
  if (embedder_ == nullptr) {
    MFS_ASSIGN_OR_RETURN(embedder_, Embedder::Create(store_));
  }
  MFS_ASSIGN_OR_RETURN(const Affine align, ArcFaceAlignment(face.points, 112));
  ImageF crop;
  MFS_RETURN_IF_ERROR(ReadWarped(frame, align, 112, 112, &crop));
  return embedder_->Run(crop);
}

StatusOr<Identity> Engine::MakeIdentity(const std::vector<std::string>& photos, std::vector<std::string>* warnings) {
  std::vector<NamedEmbedding> embeddings;
  for (const std::string& path : photos) {
    MFS_ASSIGN_OR_RETURN(Picture picture, ReadPicture(path));
    for (const std::string& w : picture.warnings) warnings->push_back(path + ": " + w);
    const FrameView view = picture.View();
    MFS_ASSIGN_OR_RETURN(const std::vector<Face> faces, FindFaces(view));
    if (faces.empty()) return NoFace(path + ": no face found in the source; give a photo that shows the face well");
    if (faces.size() > 1) warnings->push_back(path + ": " + std::to_string(faces.size()) + " faces in the source, the largest is used");
    MFS_ASSIGN_OR_RETURN(Embedding e, Embed(view, faces[0]));
    embeddings.push_back({path, std::move(e)});
  }
  Identity identity;
  MFS_ASSIGN_OR_RETURN(const Embedding mean, AverageEmbeddings(embeddings, &identity.sources, warnings));
  if (iin_ == nullptr) {
    const char* own = std::getenv(kWeightsVariable);
    MFS_ASSIGN_OR_RETURN(std::string bytes, own != nullptr && *own != 0 ? ReadFile(own) : store_.Load(kInjectionModel));
    weights_sha256_ = Sha256Hex(bytes.data(), bytes.size());
    MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::FromBuffer(std::move(bytes)));
    MFS_ASSIGN_OR_RETURN(iin_, InjectionNetwork::Create(file));
  }
  MFS_ASSIGN_OR_RETURN(identity.weights, iin_->Run(mean.z.data(), mean.map.data()));
  identity.z = mean.z;
  identity.model_sha256 = weights_sha256_;
  identity.created_by = "MobileFaceSwap " MFS_VERSION;
  return identity;
}

StatusOr<Identity> Engine::LoadOrMakeIdentity(const std::vector<std::string>& sources, std::vector<std::string>* warnings) {
  if (sources.empty()) return InvalidArgument("no source is given");
  if (sources.size() == 1 && IsIdentityName(sources[0])) return LoadIdentity(sources[0]);
  for (const std::string& s : sources) {
    if (IsIdentityName(s)) return InvalidArgument(s + ": give either one identity file or photos, not both");
  }
  return MakeIdentity(sources, warnings);
}

Status Engine::SetIdentity(const Identity& identity, const SwapOptions& options) {
  if (options.faces == FaceSelection::kReference && !options.reference) return InvalidArgument("--faces reference needs a reference photo");
  if (!(options.similarity >= -1 && options.similarity <= 1)) return InvalidArgument("the similarity must be -1 to 1");
  options_ = options;
  IdnOptions idn_options;
  idn_options.size = kSize;
  idn_options.threads = options.threads;
  idn_options.cpu = options.cpu;
  MFS_ASSIGN_OR_RETURN(idn_, Idn::Create(identity.weights, idn_options));
  return Status::Ok();
}

Status Engine::SwapFace(FrameView* frame, const Face& face, StageTimes* times) {
  if (idn_ == nullptr) return InvalidArgument("no identity is set");
  Affine align;
  {
    const StageTimer timer(&times->align);
    MFS_ASSIGN_OR_RETURN(align, ArcFaceAlignment(face.points, kSize));
    MFS_RETURN_IF_ERROR(ReadWarped(*frame, align, kSize, kSize, &target_));
  }
  {
    const StageTimer timer(&times->swap);
    raw_.Reset(kSize, kSize, 3);
    mask_.Reset(kSize, kSize, 1);
    MFS_RETURN_IF_ERROR(idn_->Run(target_.data(), raw_.data(), mask_.data(), nullptr));
  }
  const StageTimer timer(&times->paste);
  return PasteFace(raw_, mask_, align, options_.compose, frame);
}

StatusOr<std::vector<Face>> Engine::SelectFaces(const FrameView& frame, const std::vector<Face>& faces) {
  if (options_.faces == FaceSelection::kAll || faces.empty()) return faces;
  if (options_.faces == FaceSelection::kLargest) return std::vector<Face>(faces.begin(), faces.begin() + 1);
  std::vector<Face> chosen;
  for (const Face& face : faces) {
    MFS_ASSIGN_OR_RETURN(const bool wanted, IsReferencePerson(frame, face));
    if (wanted) chosen.push_back(face);
  }
  return chosen;
}

StatusOr<bool> Engine::IsReferencePerson(const FrameView& frame, const Face& face) {
  MFS_ASSIGN_OR_RETURN(const Embedding e, Embed(frame, face));
  return CosineSimilarity(e.z, *options_.reference) >= options_.similarity;
}

StatusOr<std::vector<Face>> Engine::SelectTracks(const FrameView& frame, const std::vector<TrackedFace>& tracks, TrackSelection* selection) {
  constexpr int kCheckEvery = 25;              // frames
  constexpr float kClearlyLarger = 1.4f;       // in area
  std::vector<Face> chosen;
  if (tracks.empty()) return chosen;
  if (options_.faces == FaceSelection::kLargest) {
    const TrackedFace* current = nullptr;
    for (const TrackedFace& t : tracks) {
      if (t.id == selection->largest) current = &t;
    }
    if (current == nullptr || tracks[0].face.box.area() > kClearlyLarger * current->face.box.area()) current = &tracks[0];
    selection->largest = current->id;
    chosen.push_back(current->face);
    return chosen;
  }
  for (const TrackedFace& t : tracks) {
    bool wanted = true;
    if (options_.faces == FaceSelection::kReference) {
      const auto [person, is_new] = selection->persons.try_emplace(t.id);
      if (!t.held && (is_new || t.age - person->second.checked_at >= kCheckEvery)) {
        person->second.checked_at = t.age;
        MFS_ASSIGN_OR_RETURN(person->second.wanted, IsReferencePerson(frame, t.face));
      }
      wanted = person->second.wanted;
    }
    if (wanted) chosen.push_back(t.face);
  }
  return chosen;
}

}  // namespace mfs
