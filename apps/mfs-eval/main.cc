// mfs-eval: how well does the swap carry the source's identity? Random pairs of two folders, judged by both evaluation embedders, next to
// "copy the target" as the zero line. mfs-eval SOURCES TARGETS [PAIRS] [SEED]
// mfs-eval clip ...: steadiness and right persons of a swapped video (clip.h).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "clip.h"
#include "identity/evaluation.h"
#include "media/picture.h"
#include "swap/engine.h"

namespace {

using namespace mfs;

// All pictures below a folder, in the order of their names.
std::vector<std::string> ListPictures(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir, error)) {
    if (entry.is_regular_file(error) && IsPictureName(entry.path().string())) names.push_back(entry.path().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct Judged {
  std::vector<float> z1, z2;
};

void PrintRow(const char* name, const std::vector<Judged>& results, const std::vector<Judged>& sources, const std::vector<Judged>& targets) {
  double s1 = 0, t1 = 0, s2 = 0, t2 = 0, hit1 = 0, hit2 = 0, nearer = 0;
  const size_t n = results.size();
  for (size_t i = 0; i < n; ++i) {
    s1 += DotProduct(results[i].z1, sources[i].z1), t1 += DotProduct(results[i].z1, targets[i].z1);
    s2 += SquaredDistance(results[i].z2, sources[i].z2), t2 += SquaredDistance(results[i].z2, targets[i].z2);
    nearer += DotProduct(results[i].z1, sources[i].z1) > DotProduct(results[i].z1, targets[i].z1);
    size_t best1 = 0, best2 = 0;
    for (size_t j = 1; j < n; ++j) {
      if (DotProduct(results[i].z1, sources[j].z1) > DotProduct(results[i].z1, sources[best1].z1)) best1 = j;
      if (SquaredDistance(results[i].z2, sources[j].z2) < SquaredDistance(results[i].z2, sources[best2].z2)) best2 = j;
    }
    hit1 += best1 == i, hit2 += best2 == i;
  }
  std::printf("| %-16s | %.3f | %.3f | %.1f | %.3f | %.3f | %.1f | %.1f |\n", name, s1 / n, t1 / n, 100 * hit1 / n, s2 / n, t2 / n, 100 * hit2 / n, 100 * nearer / n);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "clip") == 0) return RunClip(argc, argv);
  if (argc < 3) {
    std::fprintf(stderr, "mfs-eval SOURCES TARGETS [PAIRS=200] [SEED=1]: folders of photos with one face each\n");
    return 2;
  }
  const size_t pairs = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 200;
  std::mt19937 rng(argc > 4 ? std::atoi(argv[4]) : 1);
  std::vector<std::string> source_files = ListPictures(argv[1]), target_files = ListPictures(argv[2]);
  std::shuffle(source_files.begin(), source_files.end(), rng);
  std::shuffle(target_files.begin(), target_files.end(), rng);
  auto engine = Engine::Create({});
  if (!engine.ok()) return std::fprintf(stderr, "mfs-eval: %s\n", engine.status().message().c_str()), 1;
  auto judge = EvaluationEmbedders::Create((*engine)->store());
  if (!judge.ok()) return std::fprintf(stderr, "mfs-eval: %s\n", judge.status().message().c_str()), 1;
  const auto look = [&](const FrameView& view, const Face& face) -> StatusOr<Judged> {
    Judged j;
    MFS_ASSIGN_OR_RETURN(j.z1, (*judge)->Run1(view, face.points));
    MFS_ASSIGN_OR_RETURN(j.z2, (*judge)->Run2(view, face.points));
    return j;
  };
  std::vector<Judged> sources, targets, results;
  size_t skipped = 0;
  for (size_t s = 0, t = 0; results.size() < pairs && s < source_files.size() && t < target_files.size(); ++s, ++t) {
    std::vector<std::string> warnings;
    const auto step = [&]() -> Status {
      MFS_ASSIGN_OR_RETURN(Picture source, ReadPicture(source_files[s]));
      MFS_ASSIGN_OR_RETURN(const auto source_faces, (*engine)->FindFaces(source.View()));
      MFS_ASSIGN_OR_RETURN(Picture target, ReadPicture(target_files[t]));
      FrameView view = target.View();
      MFS_ASSIGN_OR_RETURN(const auto target_faces, (*engine)->FindFaces(view));
      if (source_faces.empty() || target_faces.empty()) return NoFace("no face");
      MFS_ASSIGN_OR_RETURN(const Identity identity, (*engine)->MakeIdentity({source_files[s]}, &warnings));
      MFS_RETURN_IF_ERROR((*engine)->SetIdentity(identity, {}));
      MFS_ASSIGN_OR_RETURN(Judged a, look(source.View(), source_faces[0]));
      MFS_ASSIGN_OR_RETURN(Judged b, look(view, target_faces[0]));
      StageTimes times;
      MFS_RETURN_IF_ERROR((*engine)->SwapFace(&view, target_faces[0], &times));
      // The result's points are those of the target: the judge must not profit from a better detection.
      MFS_ASSIGN_OR_RETURN(Judged c, look(view, target_faces[0]));
      sources.push_back(a), targets.push_back(b), results.push_back(c);
      return Status::Ok();
    };
    skipped += !step().ok();
    if (results.size() % 20 == 0) std::fprintf(stderr, "%zu pairs\n", results.size());
  }
  if (results.empty()) return std::fprintf(stderr, "mfs-eval: no pair with two faces in %s and %s\n", argv[1], argv[2]), 1;
  std::printf("%zu pairs, %zu without a face skipped\n", results.size(), skipped);
  std::printf(
      "|                  | cosine to source (1) | to target (1) | retrieval %% (1) | distance to source (2) | to target (2) | retrieval %% (2) | nearer to the source %% (1) "
      "|\n|---|---|---|---|---|---|---|---|\n");
  PrintRow("copy the target", targets, sources, targets);
  PrintRow("swap", results, sources, targets);
  return 0;
}
