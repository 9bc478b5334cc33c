// The C interface: checks what comes from outside, keeps the last error, catches what a library below may throw.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "capi/capi_state.h"

namespace {

using mfs::Status;
using mfs::StatusCode;
using mfs::capi::Guard;
using mfs::capi::Report;
using mfs::capi::ReportCaught;
using mfs::capi::Tell;

mfs::StatusOr<mfs::SwapOptions> OptionsOf(const mfs_swap_options& o) {
  int faces = 0;
  std::memcpy(&faces, &o.faces, sizeof faces);
  if (faces < MFS_FACES_LARGEST || faces > MFS_FACES_REFERENCE) return mfs::InvalidArgument("unknown face selection");
  if (!(o.strength >= 0 && o.strength <= 1)) return mfs::InvalidArgument("the strength must be 0 to 1");
  if (!(o.feather >= 0 && o.feather <= 0.25f)) return mfs::InvalidArgument("the feather must be 0 to 0.25");
  mfs::SwapOptions swap;
  swap.faces = static_cast<mfs::FaceSelection>(o.faces);
  swap.similarity = o.similarity;
  swap.compose.strength = o.strength;
  swap.compose.feather = o.feather;
  swap.compose.color_match = o.color_match != 0;
  swap.compose.detail_match = o.detail_match != 0;
  swap.compose.keep_mouth = o.keep_mouth != 0;
  swap.int8 = o.int8 != 0;
  swap.threads = o.threads;
  return swap;
}

mfs::StatusOr<mfs::FrameView> ViewOf(const mfs_image* image) {
  if (image == nullptr || image->data == nullptr) return mfs::InvalidArgument("the image is null");
  static const int kBytes[] = {3, 3, 4, 4, 1};
  // A caller in C may put any number there; loading it as the enum would be undefined.
  int format = 0;
  static_assert(sizeof format == sizeof image->format, "a C enum has the size of an int here");
  std::memcpy(&format, &image->format, sizeof format);
  if (format < 0 || format > 4) return mfs::InvalidArgument("unknown pixel format");
  mfs::FrameView view = mfs::Rgb8View(static_cast<uint8_t*>(image->data), image->width, image->height, image->stride, kBytes[format]);
  if (format == MFS_BGR8 || format == MFS_BGRA8) std::swap(view.component[0], view.component[2]);
  if (format == MFS_GRAY8) view.model = mfs::ColorModel::kGray;
  MFS_RETURN_IF_ERROR(mfs::ValidateFrame(view));
  if (image->stride < static_cast<ptrdiff_t>(image->width) * kBytes[format]) return mfs::InvalidArgument("the stride is smaller than a row");
  return view;
}

}  // namespace

extern "C" {

const char* mfs_version(void) { return MFS_VERSION; }
const char* mfs_status_name(mfs_status status) { return mfs::StatusCodeName(static_cast<StatusCode>(status)); }
mfs_engine_options mfs_engine_default_options(void) { return {nullptr, nullptr, nullptr}; }
mfs_swap_options mfs_swap_default_options(void) { return {MFS_FACES_LARGEST, nullptr, 0.35f, 1.0f, 1, 0.01f, 1, 1, 0, 0}; }

mfs_status mfs_engine_create(const mfs_engine_options* options, mfs_engine** engine) {
  if (engine == nullptr) return MFS_INVALID_ARGUMENT;
  *engine = new (std::nothrow) mfs_engine;
  if (*engine == nullptr) return MFS_OUT_OF_MEMORY;
  try {
    mfs::EngineOptions made;
    if (options != nullptr && options->models_dir != nullptr) made.store.models_dir = options->models_dir;
    if (options != nullptr && options->cache_dir != nullptr) made.store.cache_dir = options->cache_dir;
    if (options != nullptr && options->cpu != nullptr) made.cpu = options->cpu;
    auto impl = mfs::Engine::Create(made);
    if (!impl.ok()) return Report(*engine, impl.status());
    (*engine)->impl = std::move(impl).value();
    return MFS_OK;
  } catch (const std::bad_alloc&) {
    return ReportCaught(*engine, StatusCode::kOutOfMemory, "not enough memory");
  } catch (const std::exception& e) {
    return ReportCaught(*engine, StatusCode::kInternal, e.what());
  }
}

void mfs_engine_destroy(mfs_engine* engine) { delete engine; }
const char* mfs_last_error(const mfs_engine* engine) { return engine == nullptr ? "the engine is null" : engine->error.c_str(); }
const char* mfs_last_warnings(const mfs_engine* engine) { return engine == nullptr ? "" : engine->warnings.c_str(); }

mfs_status mfs_identity_create(mfs_engine* engine, const char* const* photos, size_t count, mfs_identity** identity) {
  if (identity != nullptr) *identity = nullptr;
  return Guard(engine, [&]() -> Status {
    if (identity == nullptr || photos == nullptr || count == 0) return mfs::InvalidArgument("photos and a place for the identity are needed");
    std::vector<std::string> names, warnings;
    for (size_t i = 0; i < count; ++i) {
      if (photos[i] == nullptr) return mfs::InvalidArgument("a photo's name is null");
      names.push_back(photos[i]);
    }
    auto made = engine->impl->MakeIdentity(names, &warnings);
    Tell(engine, warnings);
    if (!made.ok()) return made.status();
    *identity = new mfs_identity{std::move(*made)};
    return Status::Ok();
  });
}

mfs_status mfs_identity_create_from_images(mfs_engine* engine, const mfs_image* photos, size_t count, mfs_identity** identity) {
  if (identity != nullptr) *identity = nullptr;
  return Guard(engine, [&]() -> Status {
    if (identity == nullptr || photos == nullptr || count == 0) return mfs::InvalidArgument("photos and a place for the identity are needed");
    std::vector<mfs::NamedEmbedding> embeddings;
    std::vector<std::string> warnings;
    for (size_t i = 0; i < count; ++i) {
      const std::string name = "photo " + std::to_string(i + 1);
      const auto view = ViewOf(&photos[i]);
      if (!view.ok()) return view.status().WithPrefix(name + ": ");
      MFS_ASSIGN_OR_RETURN(mfs::NamedEmbedding e, engine->impl->EmbedPhoto(*view, name, &warnings));
      embeddings.push_back(std::move(e));
    }
    auto made = engine->impl->MakeIdentity(embeddings, &warnings);
    Tell(engine, warnings);
    if (!made.ok()) return made.status();
    *identity = new mfs_identity{std::move(*made)};
    return Status::Ok();
  });
}

mfs_status mfs_identity_load(mfs_engine* engine, const char* path, mfs_identity** identity) {
  if (identity != nullptr) *identity = nullptr;
  return Guard(engine, [&]() -> Status {
    if (identity == nullptr || path == nullptr) return mfs::InvalidArgument("a path and a place for the identity are needed");
    MFS_ASSIGN_OR_RETURN(mfs::Identity loaded, mfs::LoadIdentity(path));
    *identity = new mfs_identity{std::move(loaded)};
    return Status::Ok();
  });
}

mfs_status mfs_identity_save(mfs_engine* engine, const mfs_identity* identity, const char* path) {
  return Guard(engine, [&]() -> Status {
    if (identity == nullptr || path == nullptr) return mfs::InvalidArgument("an identity and a path are needed");
    return mfs::SaveIdentity(identity->impl, path);
  });
}

mfs_status mfs_identity_load_from_memory(mfs_engine* engine, const void* data, size_t size, mfs_identity** identity) {
  if (identity != nullptr) *identity = nullptr;
  return Guard(engine, [&]() -> Status {
    if (identity == nullptr || data == nullptr) return mfs::InvalidArgument("the bytes of an identity file and a place for the identity are needed");
    MFS_ASSIGN_OR_RETURN(mfs::Identity loaded, mfs::ParseIdentity(data, size));
    *identity = new mfs_identity{std::move(loaded)};
    return Status::Ok();
  });
}

mfs_status mfs_identity_save_to_memory(mfs_engine* engine, const mfs_identity* identity, void* data, size_t capacity, size_t* size) {
  if (size != nullptr) *size = 0;
  return Guard(engine, [&]() -> Status {
    if (identity == nullptr || size == nullptr) return mfs::InvalidArgument("an identity and a place for the number of bytes are needed");
    MFS_ASSIGN_OR_RETURN(const std::string bytes, mfs::SerializeIdentity(identity->impl));
    *size = bytes.size();
    if (data == nullptr) return Status::Ok();
    if (capacity < bytes.size()) return mfs::InvalidArgument("the identity has " + std::to_string(bytes.size()) + " bytes, there is room for " + std::to_string(capacity));
    std::memcpy(data, bytes.data(), bytes.size());
    return Status::Ok();
  });
}

mfs_status mfs_identity_compare(mfs_engine* engine, const mfs_identity* a, const mfs_identity* b, float* cosine) {
  return Guard(engine, [&]() -> Status {
    if (a == nullptr || b == nullptr || cosine == nullptr) return mfs::InvalidArgument("two identities and a place for the cosine are needed");
    *cosine = mfs::CosineSimilarity(a->impl.z, b->impl.z);
    return Status::Ok();
  });
}

void mfs_identity_destroy(mfs_identity* identity) { delete identity; }

mfs_status mfs_engine_set_identity(mfs_engine* engine, const mfs_identity* identity, const mfs_swap_options* options) {
  return Guard(engine, [&]() -> Status {
    if (identity == nullptr) return mfs::InvalidArgument("the identity is null");
    const mfs_swap_options o = options == nullptr ? mfs_swap_default_options() : *options;
    MFS_ASSIGN_OR_RETURN(mfs::SwapOptions swap, OptionsOf(o));
    if (o.reference_photo != nullptr) {
      // Who names a person means that one, not the largest face.
      if (swap.faces == mfs::FaceSelection::kAll) return mfs::InvalidArgument("a reference photo and all faces contradict each other; leave one out");
      swap.faces = mfs::FaceSelection::kReference;
      std::vector<std::string> warnings;
      auto reference = engine->impl->LoadOrMakeIdentity({o.reference_photo}, &warnings);
      Tell(engine, warnings);
      if (!reference.ok()) return reference.status().WithPrefix("reference: ");
      swap.references.push_back(reference->z);
    }
    return engine->impl->SetIdentity(identity->impl, swap);
  });
}

mfs_status mfs_engine_set_map(mfs_engine* engine, const mfs_identity* const* persons, const mfs_identity* const* identities, size_t count, const mfs_swap_options* options) {
  return Guard(engine, [&]() -> Status {
    if (persons == nullptr || identities == nullptr || count == 0) return mfs::InvalidArgument("persons and identities are needed");
    MFS_ASSIGN_OR_RETURN(mfs::SwapOptions swap, OptionsOf(options == nullptr ? mfs_swap_default_options() : *options));
    swap.faces = mfs::FaceSelection::kReference;
    std::vector<const mfs::Identity*> pointers;
    for (size_t i = 0; i < count; ++i) {
      if (persons[i] == nullptr || identities[i] == nullptr) return mfs::InvalidArgument("a person or an identity is null");
      swap.references.push_back(persons[i]->impl.z);
      pointers.push_back(&identities[i]->impl);
    }
    return engine->impl->SetIdentities(pointers, swap);
  });
}

mfs_status mfs_find_faces(mfs_engine* engine, const mfs_image* image, mfs_face* faces, size_t capacity, size_t* count) {
  return Guard(engine, [&]() -> Status {
    if (count == nullptr || (faces == nullptr && capacity > 0)) return mfs::InvalidArgument("a place for the faces and their number is needed");
    *count = 0;
    MFS_ASSIGN_OR_RETURN(const mfs::FrameView view, ViewOf(image));
    MFS_ASSIGN_OR_RETURN(const std::vector<mfs::Face> found, engine->impl->FindFaces(view));
    *count = std::min(found.size(), capacity);
    for (size_t i = 0; i < *count; ++i) {
      const mfs::Face& f = found[i];
      mfs_face& o = faces[i];
      o.x0 = f.box.x0, o.y0 = f.box.y0, o.x1 = f.box.x1, o.y1 = f.box.y1;
      o.score = f.score, o.yaw = f.yaw, o.pitch = f.pitch, o.roll = f.roll;
      for (int p = 0; p < 5; ++p) o.points[2 * p] = f.points[p].x, o.points[2 * p + 1] = f.points[p].y;
    }
    return Status::Ok();
  });
}

mfs_status mfs_swap_pixels(mfs_engine* engine, const mfs_image* image, int* swapped) {
  if (swapped != nullptr) *swapped = 0;
  return Guard(engine, [&]() -> Status {
    MFS_ASSIGN_OR_RETURN(mfs::FrameView view, ViewOf(image));
    // For the largest face a quick look is enough; a person or everybody is looked for as in a picture's file.
    const mfs::Search search = engine->impl->options().faces == mfs::FaceSelection::kLargest ? mfs::Search::kQuick : mfs::Search::kEveryone;
    MFS_ASSIGN_OR_RETURN(const std::vector<mfs::Face> faces, engine->impl->FindFaces(view, nullptr, search));
    MFS_ASSIGN_OR_RETURN(const std::vector<mfs::ChosenFace> chosen, engine->impl->SelectFaces(view, faces));
    mfs::StageTimes times;
    for (const mfs::ChosenFace& c : chosen) MFS_RETURN_IF_ERROR(engine->impl->SwapFace(&view, c.face, &times, nullptr, c.identity));
    if (swapped != nullptr) *swapped = static_cast<int>(chosen.size());
    return Status::Ok();
  });
}

mfs_status mfs_stream_create(mfs_engine* engine, mfs_stream** stream) {
  if (stream != nullptr) *stream = nullptr;
  return Guard(engine, [&]() -> Status {
    if (stream == nullptr) return mfs::InvalidArgument("a place for the stream is needed");
    *stream = new mfs_stream{engine, nullptr};
    return Status::Ok();
  });
}

mfs_status mfs_stream_swap(mfs_stream* stream, const mfs_image* frame, double seconds, int* swapped) {
  if (swapped != nullptr) *swapped = 0;
  return Guard(stream == nullptr ? nullptr : stream->engine, [&]() -> Status {
    if (!std::isfinite(seconds)) return mfs::InvalidArgument("the seconds are not finite");
    MFS_ASSIGN_OR_RETURN(mfs::FrameView view, ViewOf(frame));
    mfs::Engine* engine = stream->engine->impl.get();
    const mfs::SwapOptions& wanted = engine->options();
    if (stream->impl == nullptr || stream->faces != wanted.faces || stream->references != wanted.references) {
      MFS_ASSIGN_OR_RETURN(stream->impl, mfs::FrameSwapper::Create(engine));
      stream->faces = wanted.faces;
      stream->references = wanted.references;
    }
    mfs::StageTimes times;
    MFS_ASSIGN_OR_RETURN(const mfs::FramePlan plan, stream->impl->Process(&view, seconds, &times));
    if (swapped != nullptr) *swapped = static_cast<int>(plan.chosen.size());
    return Status::Ok();
  });
}

void mfs_stream_destroy(mfs_stream* stream) { delete stream; }

}  // extern "C"
