#include "identity/identity.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "weights/safetensors.h"

namespace mfs {
namespace {

constexpr char kFormat[] = "mobilefaceswap-identity";
constexpr char kVersion[] = "1";
constexpr uint64_t kMost = uint64_t{64} << 20;  // identities are 1 MB, the model that makes them is 11

std::array<float, 512> Normalised(const std::array<double, 512>& sum) {
  double squares = 0;
  for (double v : sum) squares += v * v;
  std::array<float, 512> z;
  for (int i = 0; i < 512; ++i) z[i] = static_cast<float>(sum[i] / std::sqrt(std::max(squares, 1e-30)));
  return z;
}

// Half precision keeps 11 bits between 6e-5 and 65504; an array that lives elsewhere is stored in single.
DType StorageFor(const std::vector<float>& values) {
  float largest = 0;
  for (float v : values) largest = std::max(largest, std::fabs(v));
  return largest > 60000 || (largest > 0 && largest < 1e-2f) ? DType::kF32 : DType::kF16;
}

StatusOr<SafetensorsWriter> Write(const Identity& identity) {
  MFS_RETURN_IF_ERROR(ValidateIdnWeights(identity.weights));
  SafetensorsWriter writer;
  writer.SetMetadata("format", kFormat);
  writer.SetMetadata("version", kVersion);
  writer.SetMetadata("sources", std::to_string(identity.sources));
  writer.SetMetadata("model_sha256", identity.model_sha256);
  writer.SetMetadata("created_by", identity.created_by);
  MFS_RETURN_IF_ERROR(writer.Add("z", {512}, identity.z.data(), DType::kF32));
  IdnWeights copy = identity.weights;
  for (const IdnArray& a : ListIdnArrays(&copy)) {
    MFS_RETURN_IF_ERROR(writer.Add(a.name, a.shape, a.values->data(), a.shape.size() == 1 ? DType::kF32 : StorageFor(*a.values)));
  }
  return writer;
}

// path: what messages call it.
StatusOr<Identity> Read(const SafetensorsFile& file, const std::string& path) {
  const std::string format = file.Metadata("format");
  if (format == "mobilefaceswap-model") {
    return CorruptData(path + ": this is the model that makes identities, not an identity; use `mfs identity create PHOTO -o FILE`");
  }
  if (format != kFormat) return CorruptData(path + ": this is no identity file of MobileFaceSwap; make one with `mfs identity create`");
  if (file.Metadata("version") != kVersion) {
    return Unsupported(path + ": identity version '" + file.Metadata("version").substr(0, 16) + "' is not known to this program; make it again from the photos");
  }
  Identity identity;
  identity.weights = EmptyIdnWeights(file.Find("head.detail.weight") != nullptr);
  const auto read = [&](const std::string& name, const std::vector<int64_t>& shape, float* out) -> Status {
    auto values = file.ReadFloat(name, shape);
    if (!values.ok()) return values.status().WithPrefix(path + ": ");
    std::copy(values->begin(), values->end(), out);
    return Status::Ok();
  };
  MFS_RETURN_IF_ERROR(read("z", {512}, identity.z.data()));
  double squares = 0;
  for (float v : identity.z) squares += double{v} * v;
  if (std::fabs(squares - 1) > 1e-2) return CorruptData(path + ": the embedding z is not normalised");
  for (IdnArray& a : ListIdnArrays(&identity.weights)) MFS_RETURN_IF_ERROR(read(a.name, a.shape, a.values->data()));
  identity.sources = std::atoi(file.Metadata("sources").c_str());
  identity.model_sha256 = file.Metadata("model_sha256");
  identity.created_by = file.Metadata("created_by");
  return identity;
}

}  // namespace

StatusOr<Embedding> AverageEmbeddings(const std::vector<NamedEmbedding>& photos, int* used, std::vector<std::string>* warnings) {
  if (photos.empty()) return InvalidArgument("an identity needs at least one photo");
  std::vector<const NamedEmbedding*> kept;
  for (const NamedEmbedding& p : photos) kept.push_back(&p);
  while (kept.size() >= 2) {
    size_t worst = 0;
    float worst_cosine = 2;
    for (size_t i = 0; i < kept.size(); ++i) {
      std::array<double, 512> others{};
      for (size_t j = 0; j < kept.size(); ++j) {
        for (int k = 0; k < 512 && j != i; ++k) others[k] += kept[j]->embedding.z[k];
      }
      const float cosine = CosineSimilarity(kept[i]->embedding.z, Normalised(others));
      // <=: of two that disagree the later one goes.
      if (cosine <= worst_cosine) worst = i, worst_cosine = cosine;
    }
    if (worst_cosine >= kOutlierCosine) break;
    char cosine[16];
    snprintf(cosine, sizeof cosine, "%.2f", worst_cosine);
    warnings->push_back(kept[worst]->name + ": left out, it does not show the same person as the other photos (cosine " + cosine + ")");
    kept.erase(kept.begin() + worst);
  }
  std::array<double, 512> sum{};
  Embedding mean;
  mean.map.assign(512 * 49, 0);
  for (const NamedEmbedding* p : kept) {
    if (p->embedding.map.size() != mean.map.size()) return InvalidArgument("a feature map must be 512 x 7 x 7");
    for (int k = 0; k < 512; ++k) sum[k] += p->embedding.z[k];
    for (size_t k = 0; k < mean.map.size(); ++k) mean.map[k] += p->embedding.map[k] / kept.size();
  }
  mean.z = Normalised(sum);
  *used = static_cast<int>(kept.size());
  return mean;
}

Status SaveIdentity(const Identity& identity, const std::string& path) {
  MFS_ASSIGN_OR_RETURN(const SafetensorsWriter writer, Write(identity));
  return writer.Save(path);
}

StatusOr<std::string> SerializeIdentity(const Identity& identity) {
  MFS_ASSIGN_OR_RETURN(const SafetensorsWriter writer, Write(identity));
  return writer.Serialize();
}

StatusOr<Identity> LoadIdentity(const std::string& path) {
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path, kMost));
  return Read(file, path);
}

StatusOr<Identity> ParseIdentity(const void* data, size_t size) {
  const std::string name = "the identity in memory";
  if (size > kMost) return CorruptData(name + ": " + std::to_string(size) + " bytes are too many for an identity");
  auto file = SafetensorsFile::FromBuffer(std::string(static_cast<const char*>(data), size));
  if (!file.ok()) return file.status().WithPrefix(name + ": ");
  return Read(*file, name);
}

}  // namespace mfs
