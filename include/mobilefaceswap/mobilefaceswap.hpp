// Thin C++ layer over mobilefaceswap.h: the objects free themselves, nothing throws.
//
//   mfs::Engine engine;                       // check engine.status()
//   mfs::Identity person = engine.CreateIdentity({"person.jpg"});
//   if (!person) std::puts(engine.last_error());
//   engine.SetIdentity(person);
//   engine.SwapPixels(image);
#ifndef MOBILEFACESWAP_MOBILEFACESWAP_HPP_
#define MOBILEFACESWAP_MOBILEFACESWAP_HPP_

#include <mobilefaceswap/mobilefaceswap.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mfs {
inline namespace api {

// Empty when it could not be made; then the engine's last_error() says why.
class Identity {
 public:
  Identity() = default;
  explicit Identity(mfs_identity* handle) : handle_(handle) {}
  explicit operator bool() const { return handle_ != nullptr; }
  mfs_identity* get() const { return handle_.get(); }

 private:
  struct Destroy {
    void operator()(mfs_identity* p) const { mfs_identity_destroy(p); }
  };
  std::unique_ptr<mfs_identity, Destroy> handle_;
};

class Engine {
 public:
  explicit Engine(const mfs_engine_options& options = mfs_engine_default_options()) {
    mfs_engine* handle = nullptr;
    status_ = mfs_engine_create(&options, &handle);
    handle_.reset(handle);
  }
  mfs_status status() const { return status_; }
  // Of the last call, also where it returned an object.
  mfs_status last_status() const { return last_status_; }
  const char* last_error() const { return mfs_last_error(handle_.get()); }
  const char* last_warnings() const { return mfs_last_warnings(handle_.get()); }
  mfs_engine* get() const { return handle_.get(); }

  Identity CreateIdentity(const std::vector<std::string>& photos) {
    std::vector<const char*> names;
    for (const std::string& p : photos) names.push_back(p.c_str());
    mfs_identity* out = nullptr;
    last_status_ = mfs_identity_create(get(), names.data(), names.size(), &out);
    return Identity(out);
  }
  // Pictures in memory, upright.
  Identity CreateIdentityFromImages(const std::vector<mfs_image>& photos) {
    mfs_identity* out = nullptr;
    last_status_ = mfs_identity_create_from_images(get(), photos.data(), photos.size(), &out);
    return Identity(out);
  }
  Identity LoadIdentity(const std::string& path) {
    mfs_identity* out = nullptr;
    last_status_ = mfs_identity_load(get(), path.c_str(), &out);
    return Identity(out);
  }
  mfs_status SaveIdentity(const Identity& identity, const std::string& path) { return last_status_ = mfs_identity_save(get(), identity.get(), path.c_str()); }
  // The bytes of such a file, and from them. Empty: failed.
  Identity LoadIdentity(const std::vector<unsigned char>& bytes) {
    mfs_identity* out = nullptr;
    last_status_ = mfs_identity_load_from_memory(get(), bytes.data(), bytes.size(), &out);
    return Identity(out);
  }
  std::vector<unsigned char> SerializeIdentity(const Identity& identity) {
    size_t size = 0;
    last_status_ = mfs_identity_save_to_memory(get(), identity.get(), nullptr, 0, &size);
    std::vector<unsigned char> bytes(size);
    if (last_status_ == MFS_OK) last_status_ = mfs_identity_save_to_memory(get(), identity.get(), bytes.data(), bytes.size(), &size);
    if (last_status_ != MFS_OK) bytes.clear();
    return bytes;
  }
  mfs_status SetIdentity(const Identity& identity, const mfs_swap_options& options = mfs_swap_default_options()) { return last_status_ = mfs_engine_set_identity(get(), identity.get(), &options); }
  // pairs: this person of the target becomes that one.
  mfs_status SetMap(const std::vector<std::pair<const Identity*, const Identity*>>& pairs, const mfs_swap_options& options = mfs_swap_default_options()) {
    std::vector<const mfs_identity*> persons, identities;
    const auto get_of = [](const Identity* i) { return i == nullptr ? nullptr : i->get(); };
    for (const auto& [person, identity] : pairs) persons.push_back(get_of(person)), identities.push_back(get_of(identity));
    return last_status_ = mfs_engine_set_map(get(), persons.data(), identities.data(), pairs.size(), &options);
  }
  // Largest first; none for last_status() other than MFS_OK.
  std::vector<mfs_face> FindFaces(const mfs_image& image, size_t most = 64) {
    std::vector<mfs_face> faces(most);
    size_t count = 0;
    last_status_ = mfs_find_faces(get(), &image, faces.data(), most, &count);
    faces.resize(count);
    return faces;
  }
  // Cosine of the two persons, -1..1; 0 for last_status() other than MFS_OK.
  float Compare(const Identity& a, const Identity& b) {
    float cosine = 0;
    last_status_ = mfs_identity_compare(get(), a.get(), b.get(), &cosine);
    return cosine;
  }
  mfs_status SwapPixels(const mfs_image& image, int* swapped = nullptr) { return last_status_ = mfs_swap_pixels(get(), &image, swapped); }
  mfs_status SwapPicture(const std::string& target, const std::string& output) { return last_status_ = mfs_swap_picture(get(), target.c_str(), output.c_str()); }
  mfs_status SwapVideo(const std::string& target, const std::string& output, mfs_progress progress = nullptr, void* user = nullptr, mfs_video_report* report = nullptr) {
    return last_status_ = mfs_swap_video(get(), target.c_str(), output.c_str(), progress, user, report);
  }

 private:
  struct Destroy {
    void operator()(mfs_engine* p) const { mfs_engine_destroy(p); }
  };
  std::unique_ptr<mfs_engine, Destroy> handle_;
  mfs_status status_ = MFS_INTERNAL, last_status_ = MFS_OK;
};

// The frames of a camera or film, one after the other. Must be gone before its engine. status() says whether it could be made.
class Stream {
 public:
  explicit Stream(Engine& engine) {
    mfs_stream* handle = nullptr;
    status_ = mfs_stream_create(engine.get(), &handle);
    handle_.reset(handle);
  }
  mfs_status status() const { return status_; }
  // seconds: when the frame is shown.
  mfs_status Swap(const mfs_image& frame, double seconds, int* swapped = nullptr) { return mfs_stream_swap(handle_.get(), &frame, seconds, swapped); }

 private:
  struct Destroy {
    void operator()(mfs_stream* p) const { mfs_stream_destroy(p); }
  };
  std::unique_ptr<mfs_stream, Destroy> handle_;
  mfs_status status_ = MFS_INTERNAL;
};

}  // namespace api
}  // namespace mfs

#endif  // MOBILEFACESWAP_MOBILEFACESWAP_HPP_
