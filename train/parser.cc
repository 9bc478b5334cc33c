#include "parser.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "optimiser.h"
#include "parser_data.h"
#include "parser_net.h"
#include "report.h"
#include "run_loop.h"
#include "sheet.h"
#include "weights/safetensors.h"

namespace mfs::train {
namespace {

using torch::Tensor;
namespace fs = std::filesystem;
constexpr int kSide = kParserInput, kHalf = kParserOutput, kOutPixels = kHalf * kHalf;
constexpr int kWarmup = 100;
constexpr uint64_t kCoveredSeed = 2022;  // of the things before the faces of the evaluation

bool IsFace(int part) {
  switch (static_cast<FacePart>(part)) {
    case FacePart::kSkin:
    case FacePart::kBrow:
    case FacePart::kEye:
    case FacePart::kNose:
    case FacePart::kLips:
    case FacePart::kMouth: return true;
    default: return false;
  }
}

// Small and rare parts weigh more.
constexpr float kPartWeight[kFaceParts] = {1, 1, 2, 2, 1, 2, 3, 2, 1, 2, 1, 1.5f, 1.5f};

// Colours of the sheets.
constexpr uint8_t kPaint[kFaceParts][3] = {{0, 0, 0},     {255, 170, 120}, {120, 60, 0},  {0, 120, 255},  {255, 220, 0},   {255, 0, 90}, {160, 0, 0},
                                           {0, 255, 255}, {0, 160, 0},     {150, 0, 200}, {120, 120, 60}, {255, 120, 255}, {255, 0, 0}};

struct Batch {
  Tensor image, label;  // [n,224,224,3], [n,112,112] int64; -1: no label
};

StatusOr<int> LoadCheckpoint(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& tensors, FlatAdam* adam) {
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  if (file.Metadata("format") != "mobilefaceswap-parser-checkpoint") return CorruptData(path + ": no checkpoint of mfs-train parser");
  torch::NoGradGuard guard;
  for (auto [name, t] : tensors) {
    auto values = file.ReadFloat(name, t.sizes().vec());
    if (!values.ok()) return CorruptData(path + ": a checkpoint of another architecture, or damaged (" + values.status().message() + ")");
    t.copy_(torch::tensor(*values).reshape(t.sizes()));
  }
  adam->steps = std::atoi(file.Metadata("step").c_str());
  return static_cast<int>(adam->steps);
}

Status SaveCheckpoint(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& tensors, int step) {
  SafetensorsWriter w;
  w.SetMetadata("format", "mobilefaceswap-parser-checkpoint");
  w.SetMetadata("step", std::to_string(step));
  for (const auto& [name, t] : tensors) MFS_RETURN_IF_ERROR(w.Add(name, t.sizes().vec(), t.data_ptr<float>(), DType::kF32));
  return w.Save(path);
}

Batch MakeBatch(const ParserData& data, int n, uint64_t seed) {
  Batch b;
  b.image = torch::empty({n, kSide, kSide, 3});
  b.label = torch::empty({n, kHalf, kHalf}, torch::kInt64);
  float* images = b.image.data_ptr<float>();
  int64_t* labels = b.label.data_ptr<int64_t>();
  at::parallel_for(0, n, 1, [&](int64_t first, int64_t last) {
    ParserSample sample;
    for (int64_t i = first; i < last; ++i) {
      std::mt19937_64 rng(seed * 4096 + static_cast<uint64_t>(i));
      data.Make(data.Draw(&rng), Change::kAll, &rng, &sample);
      std::copy(sample.image.begin(), sample.image.end(), images + i * kSide * kSide * 3);
      for (int p = 0; p < kOutPixels; ++p) labels[i * kOutPixels + p] = sample.label[p] == kNoLabel ? -1 : sample.label[p];
    }
  });
  return b;
}

// Cross-entropy of the parts, and of face against all else; means over the labelled pixels.
std::pair<Tensor, Tensor> Losses(const Tensor& logits, const Tensor& label) {
  static const Tensor part_weight = torch::tensor(at::ArrayRef<float>(kPartWeight, kFaceParts));
  static const Tensor is_face = [] {
    Tensor t = torch::zeros({kFaceParts});
    for (int k = 0; k < kFaceParts; ++k) t[k] = IsFace(k) ? 1.0f : 0.0f;
    return t;
  }();
  const Tensor known = label.ge(0).to(torch::kFloat32), safe = label.clamp_min(0);
  const Tensor log_p = torch::log_softmax(logits.slice(3, 0, kFaceParts), 3);
  const Tensor weight = part_weight.index({safe}) * known;
  const Tensor parts = -(log_p.gather(3, safe.unsqueeze(3)).squeeze(3) * weight).sum() / (weight.sum() + 1);
  const Tensor face = torch::matmul(log_p.exp(), is_face).clamp(1e-4, 1 - 1e-4), truth = is_face.index({safe});
  const Tensor region = -((truth * face.log() + (1 - truth) * (1 - face).log()) * known).sum() / (known.sum() + 1);
  return {parts, region};
}

ImageF PlanesOf(const float* hwc, int side) {
  ImageF image(side, side, 3);
  for (int i = 0; i < side * side; ++i) {
    for (int k = 0; k < 3; ++k) image.plane(k)[i] = hwc[3 * i + k];
  }
  return image;
}

ImageF OneHot(const uint8_t* label) {
  ImageF p(kHalf, kHalf, kFaceParts);
  std::fill(p.vector().begin(), p.vector().end(), 0.0f);
  for (int i = 0; i < kOutPixels; ++i) {
    if (label[i] != kNoLabel) p.plane(label[i])[i] = 1;
  }
  return p;
}

// Rows of crop, labels, what the network says.
Status SaveSamples(const std::string& path, const Batch& b, const Tensor& logits) {
  Sheet sheet{kSide, 9, {}};
  const Tensor p = torch::softmax(logits.detach().slice(3, 0, kFaceParts), 3).permute({0, 3, 1, 2}).contiguous();
  std::vector<uint8_t> label(kOutPixels);
  for (int64_t i = 0; i < std::min<int64_t>(b.image.size(0), 18); ++i) {
    const ImageF crop = PlanesOf(b.image[i].data_ptr<float>(), kSide);
    for (int k = 0; k < kOutPixels; ++k) label[k] = static_cast<uint8_t>(b.label[i].data_ptr<int64_t>()[k]);  // -1 becomes kNoLabel
    ImageF said(kHalf, kHalf, kFaceParts);
    std::copy_n(p[i].data_ptr<float>(), p[i].numel(), said.data());
    sheet.cells.push_back(crop);
    sheet.cells.push_back(PaintParts(crop, OneHot(label.data())));
    sheet.cells.push_back(PaintParts(crop, said));
  }
  return sheet.Save(path);
}

double LearningRate(const ParserOptions& o, int step) {
  const double warm = std::min(1.0, (step + 1.0) / kWarmup), done = std::min(1.0, static_cast<double>(step) / std::max(o.steps, 1));
  return o.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + std::cos(M_PI * done)));
}

struct Overlap {
  std::array<int64_t, kFaceParts> both{}, either{};
  int64_t face_both = 0, face_either = 0;
  void Add(const ImageF& p, const std::vector<uint8_t>& label) {
    for (int i = 0; i < kOutPixels; ++i) {
      if (label[i] == kNoLabel) continue;
      int best = 0;
      float face = 0;
      for (int k = 0; k < kFaceParts; ++k) {
        if (p.plane(k)[i] > p.plane(best)[i]) best = k;
        if (IsFace(k)) face += p.plane(k)[i];
      }
      if (best == label[i]) {
        ++both[best], ++either[best];
      } else {
        ++either[best], ++either[label[i]];
      }
      const bool said = face >= 0.5f, truth = IsFace(label[i]);
      face_both += said && truth, face_either += said || truth;
    }
  }
};

double Ratio(int64_t a, int64_t b) { return b == 0 ? -1 : static_cast<double>(a) / static_cast<double>(b); }

}  // namespace

ImageF PaintParts(const ImageF& crop, const ImageF& p) {
  ImageF out = crop;
  for (int y = 0; y < crop.height(); ++y) {
    for (int x = 0; x < crop.width(); ++x) {
      const int at = y * p.height() / crop.height() * p.width() + x * p.width() / crop.width();
      for (int k = 0; k < kFaceParts; ++k) {
        const float a = 0.6f * p.plane(k)[at];
        for (int c = 0; c < 3; ++c) out.row(c, y)[x] += a * (kPaint[k][c] / 255.0f - crop.row(c, y)[x]);
      }
    }
  }
  return out;
}

Status TrainParser(const ModelStore& store, Processes* processes, const ParserOptions& o) {
  const bool first = processes->rank() == 0;
  if (o.batch % processes->size() != 0) return InvalidArgument("batch (" + std::to_string(o.batch) + ") must be a multiple of the number of processes (" + std::to_string(processes->size()) + ")");
  MFS_ASSIGN_OR_RETURN(const ParserData data, ParserData::Load(store, o.data, o.threads, o.cancel, first ? o.progress : nullptr));
  if (first && o.progress) {
    for (const auto& [reason, count] : data.dropped()) o.progress("left out " + std::to_string(count) + ": " + reason);
  }
  std::error_code error;
  fs::create_directories(o.output, error);
  if (error) return IoError(o.output + ": the folder cannot be made (" + error.message() + ")");
  if (const auto space = fs::space(o.output, error); !error && space.available < (50u << 20)) return DiskFull(o.output + ": less than 50 MB are free");

  ParserNet net(o.seed);
  FlatAdam adam(net.parameters(), {0.9, 0.99, 1e-8, 5});
  std::vector<std::pair<std::string, Tensor>> tensors{{"values", adam.values}, {"first", adam.first}, {"second", adam.second}};
  for (const auto& [name, t] : net.buffers()) tensors.emplace_back(name, t);
  const std::string checkpoint = o.output + "/checkpoint.safetensors", weights = o.output + "/face-parser.safetensors", log_path = o.output + "/log.csv";
  std::vector<Tensor> shared;
  for (const auto& [name, t] : tensors) shared.push_back(t);
  MFS_ASSIGN_OR_RETURN(int step, RestoreTogether(processes, shared, {&adam}, [&]() -> StatusOr<int> {
                         if (FileExists(checkpoint)) return LoadCheckpoint(checkpoint, tensors, &adam);
                         return 0;
                       }));
  if (step > 0 && first && o.progress) o.progress("going on from step " + std::to_string(step));
  std::FILE* log = nullptr;
  if (first) {
    const bool fresh = !FileExists(log_path);
    log = std::fopen(log_path.c_str(), "a");
    if (log == nullptr) return ErrnoStatus(log_path, errno);
    if (fresh) std::fprintf(log, "step,seconds,samples_per_second,learning_rate,parts,region,accuracy\n");
  }
  const auto save = [&]() -> Status {
    MFS_RETURN_IF_ERROR(processes->Average(net.buffers()));
    if (!first) return Status::Ok();
    MFS_RETURN_IF_ERROR(SaveCheckpoint(checkpoint, tensors, step));
    MFS_RETURN_IF_ERROR(WriteReport(o.output, "crop, labels, network"));
    return net.Save(weights, {{"steps", std::to_string(step)}, {"licence", "as the training data allow"}});
  };
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); };
  const auto start = Clock::now();
  auto saved = start;
  const int last = o.stop_after > 0 ? std::min(o.steps, step + o.stop_after) : o.steps, first_step = step;
  double smooth[3] = {};
  const Status done = [&]() -> Status {
    while (step < last) {
      const Batch batch = MakeBatch(data, o.batch / processes->size(), (o.seed * 1000003 + static_cast<uint64_t>(step)) * 64 + static_cast<uint64_t>(processes->rank()));
      adam.ZeroGradient();
      const Tensor logits = net.Run(batch.image, true);
      const auto [parts, region] = Losses(logits, batch.label);
      const Tensor total = parts + o.region * region;
      total.backward();
      const double loss = total.item<double>();
      // One flag for all, so that nobody waits for a process that has given up; and whether it is time to save.
      Tensor flag = torch::zeros({2});
      flag[0] = std::isfinite(loss) ? (o.cancel != nullptr && *o.cancel ? 1.0 : 0.0) : std::nan("");
      flag[1] = first && seconds_since(saved) > 60 * o.save_minutes ? 1.0 : 0.0;
      MFS_RETURN_IF_ERROR(processes->Average(&flag));
      if (std::isnan(flag[0].item<double>())) return Internal("the loss is no number at step " + std::to_string(step) + "; lower --learning-rate and run again: it goes on from the last checkpoint");
      // The step is ended first: the running statistics have moved already, and a step that is done again would move them twice.
      const bool stop = flag[0].item<double>() > 0;
      const double rate = LearningRate(o, step);
      MFS_RETURN_IF_ERROR(StepTogether(processes, rate, &adam).status());
      ++step;
      const Tensor right = logits.detach().slice(3, 0, kFaceParts).argmax(3).eq(batch.label).to(torch::kFloat32), known = batch.label.ge(0).to(torch::kFloat32);
      const double now[3] = {parts.item<double>(), region.item<double>(), (right.sum() / known.sum().clamp_min(1)).item<double>()};
      for (int i = 0; i < 3; ++i) smooth[i] = step == first_step + 1 ? now[i] : smooth[i] + 0.05 * (now[i] - smooth[i]);
      if (first && (step % 10 == 0 || step == last)) {
        const double seconds = seconds_since(start), speed = (step - first_step) * static_cast<double>(o.batch) / seconds;
        std::fprintf(log, "%d,%.1f,%.2f,%.6f,%.5f,%.5f,%.5f\n", step, seconds, speed, rate, smooth[0], smooth[1], smooth[2]);
        std::fflush(log);
        if (o.progress) {
          char line[200];
          std::snprintf(line, sizeof(line), "step %d of %d, %.1f samples/s, %.0f min left; parts %.4f region %.4f accuracy %.4f", step, o.steps, speed,
                        (o.steps - step) * static_cast<double>(o.batch) / speed / 60, smooth[0], smooth[1], smooth[2]);
          o.progress(line);
        }
      }
      if (first && o.sheet_every > 0 && step % o.sheet_every == 0) {
        char name[64];
        std::snprintf(name, sizeof(name), "/samples-%07d.jpg", step);
        MFS_RETURN_IF_ERROR(SaveSamples(o.output + name, batch, logits));
      }
      if (stop || flag[1].item<double>() > 0 || step == last) {
        MFS_RETURN_IF_ERROR(save());
        saved = Clock::now();
      }
      if (stop) return Cancelled("stopped at step " + std::to_string(step) + "; the same command goes on from here");
    }
    return Status::Ok();
  }();
  if (log != nullptr) std::fclose(log);
  return done;
}

StatusOr<ParserReport> EvaluateParser(const ModelStore& store, const std::string& weights, const std::string& folder, int threads, const std::string& sheet_path) {
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(weights));
  auto created = FaceParser::Create(file);
  if (!created.ok()) return created.status().WithPrefix(weights + ": ");
  FaceParser& parser = **created;
  MFS_ASSIGN_OR_RETURN(const ParserData data, ParserData::Load(store, folder, threads, nullptr, nullptr));
  ParserReport report;
  report.dropped = data.dropped();
  report.photos = static_cast<int>(data.held_back().size());
  for (const TensorView& t : file.tensors()) {
    int64_t n = 1;
    for (int64_t s : t.shape) n *= s;
    report.weights += n, report.bytes += static_cast<int64_t>(t.bytes);
  }
  Overlap plain, covered;
  Sheet sheet{kSide, 12, {}};
  ParserSample sample;
  ImageF p;
  std::vector<double> times;
  const int shown_every = std::max<int>(1, report.photos / 32);
  for (int i = 0; i < report.photos; ++i) {
    for (const Change change : {Change::kNone, Change::kOccluders}) {
      std::mt19937_64 rng(kCoveredSeed + static_cast<uint64_t>(i));
      data.Make(data.held_back()[i], change, &rng, &sample);
      const ImageF crop = PlanesOf(sample.image.data(), kSide);
      const auto start = std::chrono::steady_clock::now();
      MFS_RETURN_IF_ERROR(parser.Run(crop.data(), &p));
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() * 1e3);
      (change == Change::kNone ? plain : covered).Add(p, sample.label);
      if (!sheet_path.empty() && i % shown_every == 0) {
        sheet.cells.push_back(crop);
        sheet.cells.push_back(PaintParts(crop, OneHot(sample.label.data())));
        sheet.cells.push_back(PaintParts(crop, p));
      }
    }
  }
  for (int k = 0; k < kFaceParts; ++k) {
    const Overlap& o = k == static_cast<int>(FacePart::kOccluder) ? covered : plain;
    report.part.push_back(Ratio(o.both[k], o.either[k]));
  }
  report.face = Ratio(plain.face_both, plain.face_either);
  report.covered_face = Ratio(covered.face_both, covered.face_either);
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  report.ms = times.empty() ? 0 : times[times.size() / 2];
  if (!sheet_path.empty()) MFS_RETURN_IF_ERROR(sheet.Save(sheet_path));
  return report;
}

std::string FormatParserReport(const ParserReport& r) {
  char line[128];
  std::string text;
  const auto add = [&](const std::string& name, double value) {
    if (value < 0) {
      text += "| " + name + " | not there |\n";
    } else {
      std::snprintf(line, sizeof(line), "| %s | %.4f |\n", name.c_str(), value);
      text += line;
    }
  };
  std::snprintf(line, sizeof(line), "%d photos held back; %lld weights, %lld KB; %.2f ms a crop, one thread\n\n", r.photos, static_cast<long long>(r.weights), static_cast<long long>(r.bytes / 1024),
                r.ms);
  text += line;
  for (const auto& [reason, count] : r.dropped) text += std::to_string(count) + " left out: " + reason + "\n";
  text += "| part | IoU |\n|---|---|\n";
  add("face region", r.face);
  add("face region, something drawn before every face", r.covered_face);
  for (int k = 0; k < kFaceParts; ++k) add(kFacePartNames[k], r.part[k]);
  return text;
}

}  // namespace mfs::train
