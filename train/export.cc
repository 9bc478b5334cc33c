#include "export.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"
#include "base/sha256.h"
#include "face_cache.h"
#include "optimiser.h"
#include "pairs.h"
#include "run_loop.h"
#include "student.h"
#include "swapper.h"
#include "weights/safetensors.h"

namespace mfs::train {

namespace {

// Seconds and samples of all runs of a folder: the log's seconds begin at 0 each time a run goes on.
struct Effort {
  double seconds = 0;
  std::string last_row;
};
Effort ReadEffort(const std::string& log) {
  Effort e;
  double before = 0;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    const size_t comma = line.find(',');
    if (comma == std::string::npos || std::atoi(line.c_str()) == 0) continue;
    const double seconds = std::atof(line.c_str() + comma + 1);
    e.seconds += seconds >= before ? seconds - before : seconds;
    before = seconds;
    e.last_row = line;
  }
  return e;
}

// A row for each object of the list; numbers as eval writes them.
StatusOr<std::string> ScoreTable(const std::string& path) {
  MFS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  const auto& rows = json.is_object() && json.contains("rows") ? json["rows"] : json;
  if (!rows.is_array() || rows.empty() || !rows[0].is_object() || !rows[0].contains("name")) return CorruptData(path + ": no scores of mfs-train eval --json");
  std::string head = "|", rule = "|", body;
  std::vector<std::string> keys;
  for (const auto& [key, value] : rows[0].items()) {
    if (!value.is_number() && !value.is_string()) continue;
    keys.push_back(key);
    head += " " + (key == "name" ? "" : key) + " |";
    rule += "---|";
  }
  for (const auto& row : rows) {
    body += "|";
    for (const std::string& key : keys) {
      char number[32] = "";
      if (row.contains(key) && row[key].is_number()) std::snprintf(number, sizeof(number), "%.4g", row[key].get<double>());
      body += " " + (row.contains(key) && row[key].is_string() ? row[key].get<std::string>() : number) + " |";
    }
    body += "\n";
  }
  std::string table = head + "\n" + rule + "\n" + body;
  const auto groups = rows[0].find("groups");
  if (groups == rows[0].end() || !groups->is_object()) return table;
  table += "\n| cosine 1 | pairs |", rule = "|---|---|";
  for (const auto& row : rows) table += " " + row["name"].get<std::string>() + " |", rule += "---|";
  table += "\n" + rule + "\n";
  for (const auto& [name, first] : groups->items()) {
    table += "| " + name + " | " + std::to_string(first.value("pairs", 0)) + " |";
    for (const auto& row : rows) {
      char number[32] = "";
      const nlohmann::ordered_json::json_pointer at = nlohmann::ordered_json::json_pointer("/groups") / name / "cosine";
      if (row.contains(at) && row[at].is_number()) std::snprintf(number, sizeof(number), "%.3f", row[at].get<double>());
      table += std::string(" ") + number + " |";
    }
    table += "\n";
  }
  return table;
}

// Both files on the same pairs.
Status Compare(const FaceCache& cache, const std::string& half, const std::string& single, ExportReport* report, int pairs_wanted) {
  MFS_ASSIGN_OR_RETURN(const auto a, Swapper::Create(half));
  MFS_ASSIGN_OR_RETURN(const auto b, Swapper::Create(single));
  auto pairs = ValidationPairs(cache, pairs_wanted, 1);
  if (pairs.empty()) pairs = {{0, 0}};
  const auto source = std::make_unique<FaceRecord>(), target = std::make_unique<FaceRecord>();
  std::vector<float> one, other;
  double sum = 0, count = 0;
  for (const auto& [s, t] : pairs) {
    MFS_RETURN_IF_ERROR(cache.Read(s, source.get()));
    MFS_RETURN_IF_ERROR(cache.Read(t, target.get()));
    for (Swapper* swapper : {a.get(), b.get()}) MFS_RETURN_IF_ERROR(swapper->SetSource(*source));
    MFS_RETURN_IF_ERROR(a->Run(target->crop, &one));
    MFS_RETURN_IF_ERROR(b->Run(target->crop, &other));
    for (size_t i = 0; i < one.size(); ++i) {
      const double d = 255 * std::fabs(one[i] - other[i]);
      report->difference = std::max(report->difference, d);
      sum += d, count += 1;
    }
  }
  report->mean_difference = sum / count;
  report->pairs = static_cast<int>(pairs.size());
  return Status::Ok();
}

}  // namespace

StatusOr<ExportReport> AverageWeights(const std::vector<std::string>& files, const std::string& output, const std::string& cache_folder) {
  if (files.size() < 2) return InvalidArgument("two or more weight files are needed");
  if (Extension(output) != "safetensors") return InvalidArgument(output + ": the name must end in .safetensors");
  MFS_RETURN_IF_ERROR(CheckWritable(output));
  for (const std::string& file : files) {
    if (SameFile(file, output)) return InvalidArgument(output + ": input and output are the same file; choose another output");
  }
  std::unique_ptr<FaceCache> cache;
  if (!cache_folder.empty()) {
    MFS_ASSIGN_OR_RETURN(cache, FaceCache::Open(cache_folder));
  }
  torch::NoGradGuard guard;
  Student mean(1), one(1);
  for (size_t i = 0; i < files.size(); ++i) {
    MFS_RETURN_IF_ERROR((i == 0 ? mean : one).Load(files[i]));
    if (i == 0) continue;
    const double share = 1.0 / static_cast<double>(i + 1);
    for (const auto member : {&Student::parameters, &Student::buffers}) {
      for (const auto& [name, value] : (mean.*member)()) torch::Tensor(value).lerp_((one.*member)().at(name), share);
    }
  }
  const std::map<std::string, std::string> metadata{{"licence", "as the training data allow"}};
  ExportReport report;
  MFS_RETURN_IF_ERROR(mean.Save(output, metadata));
  if (cache == nullptr) return report;
  const std::string single = TemporaryName(output + ".single.safetensors");
  MFS_RETURN_IF_ERROR(mean.Save(single, metadata, DType::kF32));
  const Status compared = Compare(*cache, output, single, &report, ExportOptions().pairs);
  RemoveFile(single);
  MFS_RETURN_IF_ERROR(compared);
  return report;
}

StatusOr<ExportReport> Export(const ExportOptions& o) {
  if (Extension(o.output) != "safetensors") return InvalidArgument(o.output + ": the name must end in .safetensors");
  MFS_RETURN_IF_ERROR(CheckWritable(o.output));
  std::string scores;
  if (!o.scores.empty()) {
    MFS_ASSIGN_OR_RETURN(scores, ScoreTable(o.scores));
  }
  MFS_ASSIGN_OR_RETURN(const auto cache, FaceCache::Open(o.cache));
  Student student(1);
  FlatAdam adam(student.parameters(), {});
  Checkpoint checkpoint("distill");
  checkpoint.Add("student", &adam);
  checkpoint.Add(student.buffers());
  const std::string from = o.run + "/checkpoint.safetensors";
  if (!FileExists(from)) return NotFound(o.run + ": no checkpoint of mfs-train distill here");
  ExportReport report;
  MFS_ASSIGN_OR_RETURN(report.steps, checkpoint.Load(from));
  const std::map<std::string, std::string> metadata{{"steps", std::to_string(report.steps)}, {"licence", "as the training data allow"}};

  const std::string half = TemporaryName(o.output), single = TemporaryName(o.output + ".single.safetensors");
  const Status compared = [&]() -> Status {
    MFS_RETURN_IF_ERROR(student.Save(half, metadata));
    MFS_RETURN_IF_ERROR(student.Save(single, metadata, DType::kF32));
    MFS_RETURN_IF_ERROR(Compare(*cache, half, single, &report, o.pairs));
    char line[160];
    std::snprintf(line, sizeof(line), "half precision changes a pixel by up to %.1f of 255 (allowed: %.1f): ", report.difference, o.largest_difference);
    return report.difference <= o.largest_difference ? Status::Ok() : Unsupported(o.run + ": " + line + "train on with a smaller learning_rate");
  }();
  RemoveFile(single);
  if (!compared.ok()) {
    RemoveFile(half);
    return compared;
  }
  MFS_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(half));
  report.sha256 = Sha256Hex(bytes.data(), bytes.size());
  MFS_RETURN_IF_ERROR(CommitTemporary(half, o.output));

  const auto log = ReadFile(o.run + "/log.csv"), config = ReadFile(o.run + "/config.json");
  const Effort effort = log.ok() ? ReadEffort(*log) : Effort();
  const size_t validation = cache->Split(true).size();
  char numbers[1024];
  std::snprintf(numbers, sizeof(numbers),
                "- steps: %d; time of training: %.0f minutes\n"
                "- data: %zu faces prepared by `mfs-train prepare`, %zu of them held back for validation\n"
                "- size: %.1f MB (matrices and kernels in half precision); against single precision a pixel changes by at most %.2f of 255, %.4f in the mean (%d validation pairs)\n",
                report.steps, effort.seconds / 60, cache->faces().size() - validation, validation, bytes.size() / 1e6, report.difference, report.mean_difference, report.pairs);
  std::string card = "# " + BaseName(o.output) + "\n\nMobileFaceSwap student (slim injection network and IDN), written by `mfs-train export`. `MFS_WEIGHTS=" + BaseName(o.output) +
                     " mfs ...` runs it.\n\n" + numbers + "- SHA-256: " + report.sha256 + "\n- licence: as the training photos allow\n- not for deceiving people: say that a picture was swapped\n";
  if (!scores.empty()) card += "\n## Scores (`mfs-train eval`; docs/training.md says what the columns are)\n\n" + scores;
  if (config.ok()) card += "\n## Settings\n\n```json\n" + *config + "```\n";
  report.card = o.output.substr(0, o.output.size() - std::string("safetensors").size()) + "md";
  MFS_RETURN_IF_ERROR(WriteFileAtomically(report.card, card.data(), card.size()));
  return report;
}

}  // namespace mfs::train
