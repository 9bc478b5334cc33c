#include "run_loop.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>

#include "base/file.h"
#include "report.h"
#include "weights/safetensors.h"

namespace mfs::train {

using torch::Tensor;
namespace fs = std::filesystem;

namespace {

constexpr char kCheckpointFormat[] = "mobilefaceswap-checkpoint";

std::string Megabytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MB"; }

// Rows after the checkpoint belong to steps that are done again.
Status DropRowsAfter(const std::string& path, int step) {
  MFS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::istringstream lines(text);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    if (kept.empty() || std::atoi(line.c_str()) <= step) kept += line + "\n";
  }
  return kept == text ? Status::Ok() : WriteFileAtomically(path, kept.data(), kept.size());
}

// log.csv, opened to append.
class Log {
 public:
  static StatusOr<std::unique_ptr<Log>> Open(const std::string& path, int step, const std::vector<std::string>& columns) {
    std::string header = "step,seconds,samples_per_second,learning_rate";
    for (const std::string& name : columns) header += "," + name;
    const auto there = ReadFile(path);
    if (there.ok() && there->compare(0, header.size() + 1, header + "\n") != 0) {
      // Of a version with other columns: kept beside.
      MFS_RETURN_IF_ERROR(DropRowsAfter(path, step));
      std::string old = path + "-until-" + std::to_string(step);
      while (FileExists(old)) old += "-again";
      if (rename(path.c_str(), old.c_str()) != 0) return ErrnoStatus(old, errno);
    }
    if (FileExists(path)) {
      MFS_RETURN_IF_ERROR(DropRowsAfter(path, step));
    } else {
      header += "\n";
      MFS_RETURN_IF_ERROR(WriteFileAtomically(path, header.data(), header.size()));
    }
    auto log = std::make_unique<Log>();
    log->path_ = path;
    log->file_ = std::fopen(path.c_str(), "a");
    if (log->file_ == nullptr) return ErrnoStatus(path, errno);
    return log;
  }
  ~Log() {
    if (file_ != nullptr) std::fclose(file_);
  }
  Status Row(int step, double seconds, double speed, double rate, const std::vector<double>& figures) {
    std::fprintf(file_, "%d,%.1f,%.2f,%.6f", step, seconds, speed, rate);
    for (double v : figures) std::fprintf(file_, ",%.5f", v);
    std::fprintf(file_, "\n");
    return std::fflush(file_) == 0 ? Status::Ok() : ErrnoStatus(path_, errno);
  }

 private:
  std::string path_;
  std::FILE* file_ = nullptr;
};

}  // namespace

void Checkpoint::Add(const std::string& name, FlatAdam* adam) {
  tensors_.emplace_back(name + ".values", adam->values);
  tensors_.emplace_back(name + ".first", adam->first);
  tensors_.emplace_back(name + ".second", adam->second);
  optimisers_.emplace_back(name, adam);
}

void Checkpoint::Add(const std::map<std::string, Tensor>& buffers) {
  for (const auto& [name, t] : buffers) tensors_.emplace_back(name, t);
}

Status Checkpoint::Save(const std::string& path, int step) const {
  SafetensorsWriter w;
  w.SetMetadata("format", kCheckpointFormat);
  w.SetMetadata("stage", stage_);
  w.SetMetadata("step", std::to_string(step));
  for (const auto& [name, adam] : optimisers_) w.SetMetadata(name + "_steps", std::to_string(adam->steps));
  for (const auto& [name, required] : required_) w.SetMetadata(name, required.value);
  for (const auto& [name, t] : tensors_) {
    const Tensor host = t.detach().cpu().contiguous();
    MFS_RETURN_IF_ERROR(w.Add(name, host.sizes().vec(), host.data_ptr<float>(), DType::kF32));
  }
  return w.Save(path);
}

StatusOr<int> Checkpoint::Load(const std::string& path) const {
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  if (file.Metadata("format") != kCheckpointFormat) return CorruptData(path + ": no checkpoint of mfs-train");
  const std::string stage = file.Metadata("stage");
  if (!stage.empty() && stage != stage_) return CorruptData(path + ": a checkpoint of mfs-train " + stage + ", not of " + stage_ + "; take another folder");
  for (const auto& [name, required] : required_) {
    const bool older = file.metadata().count(name) == 0;
    const std::string made = older ? required.before : file.Metadata(name);
    if (made != required.value) {
      return CorruptData(path + ": made with " + name + " = " + made + (older ? " (taken so, an older checkpoint does not say it)" : "") + ", not " + required.value +
                         "; take another folder, or that setting");
    }
  }
  std::vector<std::vector<float>> values;
  for (const auto& [name, t] : tensors_) {
    auto read = file.ReadFloat(name, t.sizes().vec());
    if (!read.ok()) return CorruptData(path + ": a checkpoint of another architecture, or damaged (" + read.status().message() + ")");
    values.push_back(std::move(*read));
  }
  torch::NoGradGuard guard;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    Tensor to = tensors_[i].second;
    to.copy_(torch::from_blob(values[i].data(), to.sizes()));
  }
  const int step = std::atoi(file.Metadata("step").c_str());
  for (const auto& [name, adam] : optimisers_) {
    const std::string steps = file.Metadata(name + "_steps");
    adam->steps = steps.empty() ? step : std::atoi(steps.c_str());
  }
  return step;
}

StatusOr<int> Checkpoint::Restore(Processes* processes, const std::string& path, const std::function<Status()>& begin) const {
  std::vector<Tensor> tensors;
  for (const auto& [name, t] : tensors_) tensors.push_back(t);
  std::vector<FlatAdam*> optimisers;
  for (const auto& [name, adam] : optimisers_) optimisers.push_back(adam);
  return RestoreTogether(processes, tensors, optimisers, [&]() -> StatusOr<int> {
    if (FileExists(path)) return Load(path);
    if (begin) MFS_RETURN_IF_ERROR(begin());
    return 0;
  });
}

StatusOr<int> RestoreTogether(Processes* processes, const std::vector<Tensor>& tensors, const std::vector<FlatAdam*>& optimisers, const std::function<StatusOr<int>()>& load) {
  const bool first = processes->rank() == 0;
  StatusOr<int> step = 0;
  if (first) step = load();
  if (processes->size() == 1) return step;
  // Whether it worked, the step, and the steps of every optimiser.
  Tensor counts = torch::zeros({static_cast<int64_t>(2 + optimisers.size())}, torch::kLong);
  int64_t* count = counts.data_ptr<int64_t>();
  if (first && step.ok()) {
    count[0] = 1, count[1] = *step;
    for (size_t i = 0; i < optimisers.size(); ++i) count[2 + i] = optimisers[i]->steps;
  }
  const Status told = processes->Broadcast(&counts);
  if (!step.ok()) return step;  // says more than that the others are gone
  MFS_RETURN_IF_ERROR(told);
  if (count[0] == 0) return ProcessGone("the first one could not begin");
  for (Tensor t : tensors) MFS_RETURN_IF_ERROR(processes->Broadcast(&t));
  for (size_t i = 0; i < optimisers.size(); ++i) optimisers[i]->steps = count[2 + i];
  return static_cast<int>(count[1]);
}

StatusOr<double> StepTogether(Processes* processes, double rate, FlatAdam* adam) {
  MFS_RETURN_IF_ERROR(processes->Average(&adam->gradient()));
  const double norm = adam->Step(rate);  // of the mean gradient: the same in all processes
  if (!std::isfinite(norm)) return Internal("the gradient is no number; lower learning_rate and run again: it goes on from the last checkpoint");
  return norm;
}

double Schedule::Rate(double peak, int step) const {
  peak *= std::min(1.0, (step + 1.0) / std::max(warmup, 1));
  const double left = (steps - step) / std::max(decay * steps, 1.0);
  if (left >= 1) return peak;
  constexpr double kLast = 1.0 / 30;
  return peak * (kLast + (1 - kLast) * 0.5 * (1 - std::cos(M_PI * std::max(left, 0.0))));
}

Status OpenRunFolder(const std::string& folder, uint64_t bytes, uint64_t memory) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return IoError(folder + ": the folder cannot be made (" + error.message() + ")");
  if (const auto space = fs::space(folder, error); !error && space.available < bytes) {
    return DiskFull(folder + ": " + Megabytes(space.available) + " are free, the run needs " + Megabytes(bytes) + "; make room or take another folder");
  }
  // MemAvailable: what can be had without swapping.
  if (auto text = ReadFile("/proc/meminfo"); text.ok()) {
    const size_t at = text->find("MemAvailable:");
    const uint64_t free = at == std::string::npos ? UINT64_MAX : std::strtoull(text->c_str() + at + 13, nullptr, 10) << 10;
    if (free < memory) return OutOfMemory(Megabytes(free) + " of memory are free, this run needs about " + Megabytes(memory) + "; lower batch or size, or close other programs");
  }
  return Status::Ok();
}

Status CheckBatch(int batch, const Processes& processes) {
  if (batch % processes.size() == 0) return Status::Ok();
  return InvalidArgument("batch (" + std::to_string(batch) + ") must be a multiple of the number of processes (" + std::to_string(processes.size()) + ")");
}

uint64_t PeakMemory() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) << 10;
}

Status RunLoop(Processes* processes, const LoopOptions& o, int first_step, Stage* stage) {
  const bool first = processes->rank() == 0;
  const std::vector<std::string> columns = stage->Columns();
  const std::string log_path = o.output + "/log.csv";
  std::unique_ptr<Log> log;
  const auto say = [&](const std::string& line) {
    if (first && o.progress) o.progress(line);
  };
  if (first) {
    MFS_RETURN_IF_ERROR(WriteFileAtomically(o.output + "/config.json", o.config.data(), o.config.size()));
    MFS_ASSIGN_OR_RETURN(log, Log::Open(log_path, first_step, columns));
    if (first_step > 0) say("going on from step " + std::to_string(first_step));
  }
  const auto start = std::chrono::steady_clock::now();
  const int last = o.stop_after > 0 ? std::min(o.steps, first_step + o.stop_after) : o.steps;
  int step = first_step;
  std::vector<double> smooth(columns.size());
  const auto save = [&]() -> Status {
    MFS_RETURN_IF_ERROR(stage->Synchronise(processes));
    if (!first) return Status::Ok();
    MFS_RETURN_IF_ERROR(stage->Save(step));
    return WriteReport(o.output, o.caption);
  };
  while (step < last) {
    std::mt19937_64 rng(o.seed * 1000003 + static_cast<uint64_t>(step) * 64 + processes->rank());
    std::vector<double> figures(columns.size());
    MFS_RETURN_IF_ERROR(stage->Backward(step, &rng, &figures));
    double sum = 0;
    for (double v : figures) sum += v;
    // One flag for all, so that nobody waits for a process that has given up.
    Tensor flag = torch::full({1}, std::isfinite(sum) ? (o.cancel != nullptr && *o.cancel ? 1.0 : 0.0) : std::nan(""));
    MFS_RETURN_IF_ERROR(processes->Average(&flag));
    if (std::isnan(flag.item<double>())) {
      if (!std::isfinite(sum)) {
        const std::string rows = stage->DescribeBatch();
        const Status ignored = WriteFileAtomically(o.output + "/nan-batch.tsv", rows.data(), rows.size());
        (void)ignored;
      }
      return Internal("the loss is no number at step " + std::to_string(step) + "; the batch's files are in " + o.output +
                      "/nan-batch.tsv; lower learning_rate and run again: it goes on from the last checkpoint");
    }
    // The step is ended first: Backward has moved running statistics and spectral norms already, and a step that is done again would move them twice.
    const bool stop = flag.item<double>() > 0;
    MFS_ASSIGN_OR_RETURN(const double rate, stage->Update(step, &figures));
    ++step;
    for (size_t i = 0; i < figures.size(); ++i) smooth[i] = step == first_step + 1 ? figures[i] : smooth[i] + 0.05 * (figures[i] - smooth[i]);
    if (first && (step % 10 == 0 || step == last)) {
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const double speed = (step - first_step) * static_cast<double>(o.batch) / seconds;
      MFS_RETURN_IF_ERROR(log->Row(step, seconds, speed, rate, smooth));
      char text[128];
      std::snprintf(text, sizeof(text), "step %d of %d, %.1f samples/s, %.0f min left;", step, o.steps, speed, (o.steps - step) * static_cast<double>(o.batch) / speed / 60);
      std::string line = text;
      for (size_t i = 0; i < std::min<size_t>(4, columns.size()); ++i) {
        std::snprintf(text, sizeof(text), " %s %.3f", columns[i].c_str(), smooth[i]);
        line += text;
      }
      say(line);
    }
    if (first && step % o.sheet_every == 0) {
      char name[64];
      std::snprintf(name, sizeof(name), "/samples-%07d.jpg", step);
      MFS_RETURN_IF_ERROR(stage->SaveSamples(o.output + name));
    }
    if (stop || step % o.save_every == 0 || step == last) MFS_RETURN_IF_ERROR(save());
    if (stop) return Cancelled("stopped at step " + std::to_string(step) + "; the same command goes on from here");
  }
  char line[96];
  std::snprintf(line, sizeof(line), "at step %d of %d; largest memory of a process %.2f GB", step, o.steps, PeakMemory() / 1e9);
  say(line);
  return Status::Ok();
}

}  // namespace mfs::train
