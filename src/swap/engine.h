// Everything that the pipelines share: the networks around the IDN, identities, and the swap of one frame.
#ifndef MFS_SWAP_ENGINE_H_
#define MFS_SWAP_ENGINE_H_

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/frame.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "compose/compose.h"
#include "face/face.h"
#include "face/face_finder.h"
#include "face/face_parser.h"
#include "face/face_tracker.h"
#include "identity/embedder.h"
#include "identity/identity.h"
#include "identity/iin.h"
#include "idn/idn.h"
#include "swap/persons.h"
#include "weights/model_store.h"

namespace mfs {

// Which faces of a target are swapped.
enum class FaceSelection { kLargest, kAll, kReference };

struct SwapOptions {
  FaceSelection faces = FaceSelection::kLargest;
  // kReference: faces whose embedding has at least this cosine to one of the reference persons' are swapped.
  float similarity = 0.35f;
  std::vector<std::array<float, 512>> references;  // L2-normalised; required for kReference. Person i becomes identity i (SetIdentities)
  ComposeOptions compose;
  bool occlusion = false;  // the face parser cuts out hands, hair, glasses and what else lies in front of the face
  int threads = 1;         // of the IDN and of the paste; the result is the same with any number
  std::string cpu;         // its instruction set (nn/cpu_level.h); empty: the engine's
  bool int8 = false;       // its matrices in 8 bits (IdnOptions); kUnsupported where the CPU cannot
};

// Seconds spent in each stage.
struct StageTimes {
  double decode = 0, detect = 0, align = 0, swap = 0, occlusion = 0, looks = 0, paste = 0, encode = 0;  // occlusion: the parser; looks: the rest of docs/looks.md before the paste
};

// Adds the time from its construction to its end to *sum.
class StageTimer {
 public:
  explicit StageTimer(double* sum) : sum_(sum), start_(std::chrono::steady_clock::now()) {}
  ~StageTimer() { *sum_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  double* sum_;
  std::chrono::steady_clock::time_point start_;
};

// A face that is to be swapped.
struct ChosenFace {
  Face face;
  int track = 0;          // of a video; 0 in a picture
  int identity = 0;       // index into SetIdentities
  bool doubtful = false;  // of a video: not seen in this frame but shown where it was, or kLargest and not the person that was followed until now
};

// What SelectTracks remembers from frame to frame of one video.
struct TrackSelection {
  LargestKeeper largest;  // kLargest
  PersonKeeper persons;   // kReference
};

struct EngineOptions {
  ModelStoreOptions store;
  std::string cpu;  // instruction set of all networks (nn/cpu_level.h); empty: $MFS_CPU, else the best one
};

// Networks are loaded when first needed, so that a swap with a ready identity pays for no embedder. Not thread-safe: one
// Engine per thread; FrameSwapper says which parts two threads may use at once.
class Engine {
 public:
  // Errors: kNotFound (models), kUnsupported (cpu).
  static StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options);
  ~Engine();

  const ModelStore& store() const { return store_; }
  const SwapOptions& options() const { return options_; }  // of the last SetIdentity
  const std::string& cpu() const { return nets_.cpu; }     // the level in use

  // The detector and landmark networks, loaded at the first call. One thread at a time.
  StatusOr<std::shared_ptr<FaceFinder>> Finder();
  // Faces of a picture, largest first; previous: those of the frame before; search: how far it is looked for more (see FaceFinder).
  StatusOr<std::vector<Face>> FindFaces(const FrameView& frame, const std::vector<Face>* previous = nullptr, Search search = Search::kQuick);
  StatusOr<Embedding> Embed(const FrameView& frame, const Face& face);

  // One or several photos of one person. warnings receives a line per photo with several faces (the largest is used), per
  // photo left out as an outlier, and so on. Errors: kNoFace when a photo shows none.
  StatusOr<Identity> MakeIdentity(const std::vector<std::string>& photos, std::vector<std::string>* warnings);
  // A photo's part in that: the embedding of its largest face. name: what messages call it.
  StatusOr<NamedEmbedding> EmbedPhoto(const FrameView& photo, const std::string& name, std::vector<std::string>* warnings);
  // The same from embeddings that are there already.
  StatusOr<Identity> MakeIdentity(const std::vector<NamedEmbedding>& photos, std::vector<std::string>* warnings);
  // A saved identity (.safetensors), or a photo from which one is made.
  StatusOr<Identity> LoadOrMakeIdentity(const std::vector<std::string>& sources, std::vector<std::string>* warnings);

  // Another identity with the same threads and instruction set (and number of people) changes the weights of the networks that are there: well below 1 ms.
  Status SetIdentity(const Identity& identity, const SwapOptions& options);
  // Several people of one film: identities[i] is for options.references[i]; with one identity all references become it.
  Status SetIdentities(const std::vector<const Identity*>& identities, const SwapOptions& options);
  // For live use, where the identity changes between two frames: makes the network that SetIdentity would make, on any thread. An empty
  // options.cpu is the best level here.
  static StatusOr<std::unique_ptr<Idn>> MakeNetwork(const Identity& identity, const SwapOptions& options);
  // Takes the place of the network in use, at once; returns that one. Called by the thread that swaps.
  std::unique_ptr<Idn> UseNetwork(std::unique_ptr<Idn> network);
  // How often SetIdentity, SetIdentities and UseNetwork have changed who is swapped in.
  int64_t identities_set() const { return identities_set_; }
  void SetCompose(const ComposeOptions& compose) { options_.compose = compose; }
  // Swaps one face in place. An identity must be set. look: of this face's track in a video, kept by the caller; null for a picture.
  Status SwapFace(FrameView* frame, const Face& face, StageTimes* times, LookState* look = nullptr, int identity = 0);
  // Those of the faces that the options choose, in the same order. A reference person is one face of a picture, the most similar.
  StatusOr<std::vector<ChosenFace>> SelectFaces(const FrameView& frame, const std::vector<Face>& faces);
  // The same for a video: a person is looked at when its track begins, when others come near, and every ten frames.
  StatusOr<std::vector<ChosenFace>> SelectTracks(const FrameView& frame, const std::vector<TrackedFace>& tracks, TrackSelection* selection);

 private:
  Engine(ModelStore store, const std::string& cpu);
  Status SetIdentities(const Identity* const* identities, size_t count, const SwapOptions& options);

  ModelStore store_;
  PlanOptions nets_;  // of all networks but the IDN
  std::shared_ptr<FaceFinder> finder_;
  std::unique_ptr<Embedder> embedder_;
  std::unique_ptr<InjectionNetwork> iin_;
  std::vector<std::unique_ptr<Idn>> idns_;
  int64_t identities_set_ = 0;
  bool reusable_ = false;       // idns_ were made by SetIdentities, with options_
  std::string weights_sha256_;  // of the file that iin_ came from
  SwapOptions options_;
  std::unique_ptr<FaceParser> parser_;
  ImageF target_, raw_, mask_, parts_, visible_;
  FaceComposer composer_;
  std::unique_ptr<ThreadPool> pool_;  // of the paste
};

}  // namespace mfs

#endif  // MFS_SWAP_ENGINE_H_
