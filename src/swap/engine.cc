#include "swap/engine.h"

#include <cstdlib>

#include "base/file.h"
#include "base/sha256.h"
#include "face/alignment.h"
#include "media/picture.h"
#include "nn/cpu_level.h"
#include "weights/safetensors.h"

namespace mfs {
namespace {

constexpr char kInjectionModel[] = "mfs-slim-224.safetensors";
constexpr char kWeightsVariable[] = "MFS_WEIGHTS";  // a file of mfs-train export in place of the shipped weights
constexpr int kSize = 224;

bool IsIdentityName(const std::string& path) { return Extension(path) == "safetensors"; }

}  // namespace

Engine::Engine(ModelStore store, const std::string& cpu) : store_(std::move(store)) { nets_.cpu = cpu; }
Engine::~Engine() = default;

StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options) {
  MFS_ASSIGN_OR_RETURN(const std::string cpu, ChooseCpuLevel(options.cpu));
  MFS_ASSIGN_OR_RETURN(ModelStore store, ModelStore::Open(options.store));
  return std::unique_ptr<Engine>(new Engine(std::move(store), cpu));
}

StatusOr<std::shared_ptr<FaceFinder>> Engine::Finder() {
  if (finder_ == nullptr) {
    FaceFinderOptions options;
    options.plan = nets_;
    MFS_ASSIGN_OR_RETURN(finder_, FaceFinder::Create(store_, options));
  }
  return finder_;
}

StatusOr<std::vector<Face>> Engine::FindFaces(const FrameView& frame, const std::vector<Face>* previous, Search search) {
  MFS_RETURN_IF_ERROR(Finder().status());
  return finder_->Find(frame, previous, search);
}

StatusOr<Embedding> Engine::Embed(const FrameView& frame, const Face& face) {
  if (embedder_ == nullptr) {
    MFS_ASSIGN_OR_RETURN(embedder_, Embedder::Create(store_, nets_));
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
    MFS_ASSIGN_OR_RETURN(NamedEmbedding e, EmbedPhoto(picture.View(), path, warnings));
    embeddings.push_back(std::move(e));
  }
  return MakeIdentity(embeddings, warnings);
}

StatusOr<NamedEmbedding> Engine::EmbedPhoto(const FrameView& photo, const std::string& name, std::vector<std::string>* warnings) {
  MFS_ASSIGN_OR_RETURN(const std::vector<Face> faces, FindFaces(photo));
  if (faces.empty()) return NoFace(name + ": no face found in the source; give a photo that shows the face well");
  if (faces.size() > 1) warnings->push_back(name + ": " + std::to_string(faces.size()) + " faces in the source, the largest is used");
  MFS_ASSIGN_OR_RETURN(Embedding e, Embed(photo, faces[0]));
  return NamedEmbedding{name, std::move(e)};
}

StatusOr<Identity> Engine::MakeIdentity(const std::vector<NamedEmbedding>& embeddings, std::vector<std::string>* warnings) {
  Identity identity;
  MFS_ASSIGN_OR_RETURN(const Embedding mean, AverageEmbeddings(embeddings, &identity.sources, warnings));
  if (iin_ == nullptr) {
    const char* own = std::getenv(kWeightsVariable);
    MFS_ASSIGN_OR_RETURN(std::string bytes, own != nullptr && *own != 0 ? ReadFile(own) : store_.Load(kInjectionModel));
    weights_sha256_ = Sha256Hex(bytes.data(), bytes.size());
    // Which file it was: without this the user's own would be reported without a name.
    const std::string name = own != nullptr && *own != 0 ? std::string(kWeightsVariable) + "=" + own + ": " : std::string(kInjectionModel) + ": ";
    const auto file = SafetensorsFile::FromBuffer(std::move(bytes));
    if (!file.ok()) return file.status().WithPrefix(name);
    auto made = InjectionNetwork::Create(*file, nets_);
    if (!made.ok()) return made.status().WithPrefix(name);
    iin_ = std::move(*made);
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
  const Identity* one = &identity;
  return SetIdentities(&one, 1, options);
}

Status Engine::SetIdentities(const std::vector<const Identity*>& identities, const SwapOptions& options) { return SetIdentities(identities.data(), identities.size(), options); }

Status Engine::SetIdentities(const Identity* const* identities, size_t count, const SwapOptions& options) {
  if (count == 0) return InvalidArgument("no identity is given");
  if (options.faces == FaceSelection::kReference && options.references.empty()) return InvalidArgument("to swap one person a reference photo of that person is needed");
  if (count > 1 && (options.faces != FaceSelection::kReference || count != options.references.size())) {
    return InvalidArgument("several identities need one reference person each");
  }
  if (!(options.similarity >= -1 && options.similarity <= 1)) return InvalidArgument("the similarity must be -1 to 1");
  SwapOptions wanted = options;
  if (wanted.cpu.empty()) wanted.cpu = nets_.cpu;
  if (reusable_ && idns_.size() == count && wanted.threads == options_.threads && wanted.cpu == options_.cpu && wanted.int8 == options_.int8) {
    // The networks stay, only their weights change. All are looked at first: a bad one must not leave half of the people changed.
    for (size_t i = 1; i < count; ++i) MFS_RETURN_IF_ERROR(ValidateIdnWeights(identities[i]->weights));
    for (size_t i = 0; i < count; ++i) MFS_RETURN_IF_ERROR(idns_[i]->SetIdentity(identities[i]->weights));
  } else {
    std::vector<std::unique_ptr<Idn>> idns;
    for (size_t i = 0; i < count; ++i) {
      MFS_ASSIGN_OR_RETURN(auto idn, MakeNetwork(*identities[i], wanted));
      idns.push_back(std::move(idn));
    }
    idns_ = std::move(idns);
    reusable_ = true;
  }
  if (pool_ == nullptr || pool_->threads() != wanted.threads) pool_ = std::make_unique<ThreadPool>(wanted.threads);
  options_ = std::move(wanted);
  ++identities_set_;
  return Status::Ok();
}

StatusOr<std::unique_ptr<Idn>> Engine::MakeNetwork(const Identity& identity, const SwapOptions& options) {
  IdnOptions idn_options;
  idn_options.size = kSize;
  idn_options.threads = options.threads;
  idn_options.cpu = options.cpu;
  idn_options.int8 = options.int8;
  return Idn::Create(identity.weights, idn_options);
}

std::unique_ptr<Idn> Engine::UseNetwork(std::unique_ptr<Idn> network) {
  if (idns_.empty()) idns_.resize(1);
  reusable_ = false;  // nobody knows which options it was made with
  ++identities_set_;
  std::swap(idns_[0], network);
  return network;
}

Status Engine::SwapFace(FrameView* frame, const Face& face, StageTimes* times, LookState* look, int identity) {
  if (idns_.empty()) return InvalidArgument("no identity is set");
  if (identity < 0 || identity >= static_cast<int>(idns_.size())) identity = 0;  // one identity for all references
  SwappedFace swapped;
  {
    const StageTimer timer(&times->align);
    MFS_ASSIGN_OR_RETURN(swapped.crop_from_frame, ArcFaceAlignment(face.points, kSize));
    MFS_RETURN_IF_ERROR(ReadWarped(*frame, swapped.crop_from_frame, kSize, kSize, &target_));
  }
  {
    const StageTimer timer(&times->swap);
    raw_.Reset(kSize, kSize, 3);
    mask_.Reset(kSize, kSize, 1);
    MFS_RETURN_IF_ERROR(idns_[identity]->Run(target_.data(), raw_.data(), mask_.data(), nullptr));
  }
  if (options_.occlusion) {
    const StageTimer timer(&times->occlusion);
    if (parser_ == nullptr) {
      MFS_ASSIGN_OR_RETURN(parser_, FaceParser::Create(store_, nets_));
    }
    MFS_RETURN_IF_ERROR(parser_->Run(target_.data(), &parts_));
    VisibleFace(parts_, {}, kSize, &visible_);
    swapped.visible = &visible_;
  }
  {
    const StageTimer timer(&times->looks);
    swapped.target = &target_, swapped.raw = &raw_, swapped.mask = &mask_, swapped.landmarks = &face.landmarks;
    MFS_RETURN_IF_ERROR(composer_.Prepare(swapped, options_.compose, *frame, look));
  }
  const StageTimer timer(&times->paste);
  MFS_RETURN_IF_ERROR(composer_.Paste(frame, nullptr, pool_.get()));
  if (options_.compose.show == ShowOverlay::kBox) return ShowBox(face.box, frame);
  if (options_.compose.show == ShowOverlay::kPoints) return ShowPoints(face.landmarks, face.points, frame);
  return Status::Ok();
}

StatusOr<std::vector<ChosenFace>> Engine::SelectFaces(const FrameView& frame, const std::vector<Face>& faces) {
  std::vector<ChosenFace> chosen;
  if (options_.faces != FaceSelection::kReference) {
    for (const Face& face : faces) {
      chosen.push_back({face});
      if (options_.faces == FaceSelection::kLargest) break;
    }
    return chosen;
  }
  std::vector<std::array<float, 512>> embeddings;
  for (const Face& face : faces) {
    MFS_ASSIGN_OR_RETURN(const Embedding e, Embed(frame, face));
    embeddings.push_back(e.z);
  }
  const std::vector<int> persons = AssignPersons(embeddings, options_.references, options_.similarity);
  for (size_t i = 0; i < faces.size(); ++i) {
    if (persons[i] >= 0) chosen.push_back({faces[i], 0, persons[i]});
  }
  return chosen;
}

StatusOr<std::vector<ChosenFace>> Engine::SelectTracks(const FrameView& frame, const std::vector<TrackedFace>& tracks, TrackSelection* selection) {
  std::vector<ChosenFace> chosen;
  if (tracks.empty()) return chosen;
  const auto embed = [&](const Face& face) -> StatusOr<std::array<float, 512>> {
    MFS_ASSIGN_OR_RETURN(const Embedding e, Embed(frame, face));
    return e.z;
  };
  if (options_.faces == FaceSelection::kLargest) {
    MFS_ASSIGN_OR_RETURN(const size_t i, selection->largest.Update(tracks, options_.similarity, embed));
    if (!tracks[i].hidden) chosen.push_back({tracks[i].face, tracks[i].id, 0, tracks[i].held || !selection->largest.own()});
    return chosen;
  }
  std::vector<int> persons(tracks.size(), 0);
  if (options_.faces == FaceSelection::kReference) {
    MFS_ASSIGN_OR_RETURN(persons, selection->persons.Update(tracks, options_.references, options_.similarity, embed));
  }
  for (size_t i = 0; i < tracks.size(); ++i) {
    if (persons[i] >= 0 && !tracks[i].hidden) chosen.push_back({tracks[i].face, tracks[i].id, persons[i], tracks[i].held});
  }
  return chosen;
}

}  // namespace mfs
