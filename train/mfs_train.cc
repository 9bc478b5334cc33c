// mfs-train: everything from folders of photos to released weights, one subcommand per stage. Progress and errors go to stderr,
// results to stdout.
extern "C" {
#include <libavutil/log.h>
}

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "distill.h"
#include "evaluate.h"
#include "export.h"
#include "glasses.h"
#include "label.h"
#include "mesh_teacher.h"
#include "pairs.h"
#include "parser.h"
#include "prepare.h"
#include "quality.h"
#include "sheet.h"
#include "teacher_net.h"

namespace {

using mfs::Status;
using mfs::StatusOr;

std::atomic<bool> g_cancel{false};  // a signal handler can reach nothing else

void OnSignal(int) { g_cancel = true; }

int Fail(const Status& status) {
  std::fprintf(stderr, "mfs-train: %s\n", status.message().c_str());
  return 1;
}

void Progress(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

struct Command {
  mfs::ModelStoreOptions store;
  std::function<Status()> run;
  int silent = 0;  // exit status of a failure that was told already
};

void AddPrepare(CLI::App* app, Command* command) {
  auto* sub = app->add_subcommand("prepare", "Detect, align and measure the faces of photo folders into a cache");
  auto o = std::make_shared<mfs::train::PrepareOptions>();
  sub->add_option("folders", o->folders, "Folders with photos, one person each photo (searched recursively)")->required();
  sub->add_option("-o,--output", o->output, "Folder of the cache")->required();
  sub->add_option("--threads", o->threads, "Threads")->capture_default_str()->check(CLI::Range(1, 256));
  sub->add_option("--limit", o->limit, "At most so many pictures, evenly spread; 0: all")->capture_default_str();
  sub->add_option("--min-scale", o->min_scale, "Smallest face: photo pixels per pixel of the 224 crop")->capture_default_str();
  sub->add_option("--min-sharpness", o->min_sharpness, "Least variance of the Laplacian")->capture_default_str();
  sub->callback([=] {
    command->run = [=]() -> Status {
      o->cancel = &g_cancel;
      o->progress = Progress;
      MFS_ASSIGN_OR_RETURN(const mfs::ModelStore store, mfs::ModelStore::Open(command->store));
      MFS_ASSIGN_OR_RETURN(const auto report, mfs::train::Prepare(store, *o));
      std::printf("%d pictures, %d faces kept, %d of them for validation\n", report.pictures, report.kept, report.validation);
      for (const auto& [reason, count] : report.dropped) std::printf("dropped %d: %s\n", count, reason.c_str());
      return Status::Ok();
    };
  });
}

// Runs f on this many processes: in the parent it starts them and waits, in each of them it joins the others. What follows from another process's error is not told again.
Status WithProcesses(int processes, int threads, char** argv, Command* command, const std::function<Status(mfs::train::Processes*)>& f) {
  if (processes > 1 && std::getenv("WORLD_SIZE") == nullptr) {
    command->silent = mfs::train::SpawnProcesses(processes, argv, threads, &g_cancel);
    return Status::Ok();
  }
  torch::set_num_threads(threads);
  at::set_num_interop_threads(1);
  at::globalContext().setFlushDenormal(true);
  MFS_ASSIGN_OR_RETURN(const auto group, mfs::train::Processes::Join());
  Status status;
  try {
    status = f(group.get());
  } catch (const std::exception& e) {  // libtorch throws: out of memory, a device that fails
    const std::string what = e.what();
    status = mfs::Internal("libtorch: " + what.substr(0, what.find('\n')));
  }
  if (!status.ok() && group->rank() > 0) {
    command->silent = 1;
    const bool follows = status.code() == mfs::StatusCode::kCancelled || mfs::train::IsProcessGone(status);
    if (!follows) std::fprintf(stderr, "mfs-train: process %d: %s\n", group->rank(), status.message().c_str());
  }
  return command->silent != 0 ? Status::Ok() : status;
}

void AddParser(CLI::App* app, Command* command, char** argv) {
  auto* sub = app->add_subcommand("parser", "Train the face parser (skin, eyes, hair, glasses, hands ...) on photos with label maps, and judge it");
  auto o = std::make_shared<mfs::train::ParserOptions>();
  auto judge = std::make_shared<std::string>(), sheet = std::make_shared<std::string>();
  auto processes = std::make_shared<int>(1), threads = std::make_shared<int>(1);
  sub->add_option("data", o->data, "Folder with images/ and labels/ (classes of CelebAMask-HQ, docs/training.md)")->required();
  auto* output = sub->add_option("-o,--output", o->output, "Folder of the run; a run that is there goes on");
  sub->add_option("--evaluate", *judge, "Train nothing: judge this weight file on the photos held back")->excludes(output);
  sub->add_option("--sheet", *sheet, "With --evaluate: picture sheet to write");
  sub->add_option("--steps", o->steps, "Steps")->capture_default_str()->check(CLI::Range(1, 100000000));
  sub->add_option("--batch", o->batch, "Samples a step, over all processes")->capture_default_str()->check(CLI::Range(1, 4096));
  sub->add_option("--learning-rate", o->learning_rate, "Highest learning rate")->capture_default_str()->check(CLI::Range(0.0, 1.0));
  sub->add_option("--seed", o->seed, "Seed")->capture_default_str();
  sub->add_option("--stop-after", o->stop_after, "End this run after so many steps");
  sub->add_option("--processes", *processes, "Processes on this machine, gradients averaged")->capture_default_str()->check(CLI::Range(1, 64));
  sub->add_option("--threads", *threads, "Threads of each process")->capture_default_str()->check(CLI::Range(1, 256));
  sub->callback([=] {
    if (o->output.empty() && judge->empty()) throw CLI::RequiredError("--output or --evaluate");
    command->run = [=]() -> Status {
      MFS_ASSIGN_OR_RETURN(const mfs::ModelStore store, mfs::ModelStore::Open(command->store));
      std::string weights = *judge;
      if (weights.empty()) {
        o->threads = *threads;
        o->cancel = &g_cancel;
        o->progress = Progress;
        bool last = false;  // the process that judges
        MFS_RETURN_IF_ERROR(WithProcesses(*processes, *threads, argv, command, [&](mfs::train::Processes* group) {
          last = group->rank() == 0;
          return mfs::train::TrainParser(store, group, *o);
        }));
        if (!last) return Status::Ok();
        weights = o->output + "/face-parser.safetensors";
        if (sheet->empty()) *sheet = o->output + "/held-back.jpg";
      }
      MFS_ASSIGN_OR_RETURN(const auto report, mfs::train::EvaluateParser(store, weights, o->data, *threads, *sheet));
      std::printf("%s", mfs::train::FormatParserReport(report).c_str());
      return Status::Ok();
    };
  });
}

void AddLabel(CLI::App* app, Command* command) {
  auto* sub = app->add_subcommand("label", "Find what covers the faces of a cache (hair, hands, glasses) with the face parser");
  auto o = std::make_shared<mfs::train::LabelOptions>();
  sub->add_option("cache", o->cache, "Folder made by prepare")->required();
  sub->add_option("--weights", o->weights, "Weights of the parser, in place of the committed ones");
  sub->add_option("--threads", o->threads, "Threads")->capture_default_str()->check(CLI::Range(1, 256));
  sub->callback([=] {
    command->run = [=]() -> Status {
      o->cancel = &g_cancel;
      o->progress = Progress;
      MFS_ASSIGN_OR_RETURN(const mfs::ModelStore store, mfs::ModelStore::Open(command->store));
      MFS_ASSIGN_OR_RETURN(const int faces, mfs::train::LabelFaces(store, *o));
      std::printf("%d faces labelled\n", faces);
      return Status::Ok();
    };
  });
}

// Rows of source, target, output, how much the target shows for its own sake. Where the cache has labels: output without and with them, that, and what is
// seen of source and target.
void AddTeacherMesh(CLI::App* app, Command* command) {
  auto* sub = app->add_subcommand("teacher-mesh", "Preview what the training-free mesh teacher makes of random pairs");
  auto cache_dir = std::make_shared<std::string>(), preview = std::make_shared<std::string>();
  auto rows = std::make_shared<int>(12), seed = std::make_shared<int>(1);
  auto covered = std::make_shared<bool>(false), glasses = std::make_shared<bool>(false);
  sub->add_option("cache", *cache_dir, "Folder made by prepare")->required();
  sub->add_option("--preview", *preview, "Picture sheet to write (png or jpg)")->required();
  sub->add_option("--pairs", *rows, "Pairs shown")->capture_default_str()->check(CLI::Range(1, 200));
  sub->add_option("--seed", *seed, "Seed of the choice")->capture_default_str();
  sub->add_flag("--covered", *covered, "Only pairs whose faces are covered in part (needs a cache with labels)");
  sub->add_flag("--glasses", *glasses, "Draw glasses on the targets that wear none, as the distillation does");
  sub->callback([=] {
    command->run = [=]() -> Status {
      MFS_ASSIGN_OR_RETURN(const auto cache, mfs::train::FaceCache::Open(*cache_dir));
      if (*covered && !cache->has_labels()) return mfs::InvalidArgument(*cache_dir + ": has no labels; make them with mfs-train label " + *cache_dir);
      const mfs::train::PairSampler sampler(*cache, false, {0, 0.8f, 6});
      if (sampler.empty()) return mfs::InvalidArgument(*cache_dir + ": no faces for training, all are for validation; prepare more photos");
      std::mt19937_64 rng(*seed);
      mfs::train::MeshTeacher teacher;
      mfs::train::TeacherPicture out;
      auto source = std::make_unique<mfs::train::FaceRecord>(), target = std::make_unique<mfs::train::FaceRecord>();
      mfs::train::FaceLabels source_labels, target_labels;
      mfs::train::GlassesLayer layer;
      constexpr int n = mfs::train::kCropSize;
      mfs::train::Sheet sheet{n, cache->has_labels() ? 7 : 8, {}};
      const auto add_plane = [&](const std::vector<float>& plane) {
        mfs::ImageF image(n, n, 1);
        std::copy(plane.begin(), plane.end(), image.data());
        sheet.cells.push_back(std::move(image));
      };
      const auto add_output = [&] {
        mfs::ImageF image(n, n, 3);
        for (int p = 0; p < n * n; ++p) {
          for (int c = 0; c < 3; ++c) image.plane(c)[p] = out.image[3 * p + c];
        }
        sheet.cells.push_back(std::move(image));
      };
      // How much of the middle of the crop, where cheeks, eyes, nose, mouth and forehead lie, is covered.
      const auto hidden = [](const std::vector<float>& visible) {
        int count = 0;
        for (int y = 64; y < 192; ++y) {
          for (int x = 64; x < 160; ++x) count += visible[y * n + x] < 0.5f;
        }
        return count / (128.0 * 96);
      };
      std::map<int, bool> looked_at;  // faces whose labels were looked at: is much of them covered?
      const auto is_covered = [&](int face) -> StatusOr<bool> {
        if (const auto it = looked_at.find(face); it != looked_at.end()) return it->second;
        mfs::train::FaceLabels labels;
        MFS_RETURN_IF_ERROR(cache->ReadLabels(face, &labels));
        return looked_at[face] = hidden(labels.visible) >= 0.12;
      };
      for (int i = 0, tries = 0; i < *rows && tries < 1000000; ++tries) {
        if (g_cancel) return mfs::Cancelled("stopped; nothing was written");
        const auto [s, t] = sampler.Next(&rng);
        if (*covered) {
          MFS_ASSIGN_OR_RETURN(const bool wanted, is_covered(i % 2 == 0 ? s : t));
          if (!wanted) continue;
        }
        if (cache->has_labels()) {
          MFS_RETURN_IF_ERROR(cache->ReadLabels(s, &source_labels));
          MFS_RETURN_IF_ERROR(cache->ReadLabels(t, &target_labels));
        }
        ++i;
        MFS_RETURN_IF_ERROR(cache->Read(s, source.get()));
        MFS_RETURN_IF_ERROR(cache->Read(t, target.get()));
        sheet.cells.push_back(mfs::train::PlanarFromRgb8(source->crop, n, n));
        const auto without = std::make_unique<mfs::train::FaceRecord>(*target);
        const bool wear = *glasses && !(cache->has_labels() && target_labels.WearsGlasses());
        if (wear) {
          mfs::train::DrawGlasses(*target, cache->faces()[t], &rng, &layer);
          PutOn(layer, target.get());
        }
        sheet.cells.push_back(mfs::train::PlanarFromRgb8(target->crop, n, n));
        const auto run = [&](const mfs::train::TeacherVisible& visible) {
          teacher.Run(*source, *without, visible, &out);
          if (wear) PutOn(layer, &out);
        };
        run({});
        add_output();
        if (cache->has_labels()) {
          run({source_labels.visible.data(), target_labels.visible.data(), target_labels.glasses.data()});
          add_output();
        }
        add_plane(out.open);
        if (cache->has_labels()) add_plane(source_labels.visible), add_plane(target_labels.visible);
      }
      if (sheet.cells.empty()) return mfs::NotFound(*cache_dir + ": no face that is covered in part was found; leave --covered out");
      return sheet.Save(*preview);
    };
  });
}

// What the stages that train have in common.
struct Training {
  std::string config, device = "cpu";
  int steps = 0, processes = 1, threads = 1;

  template <typename Options>
  void Add(CLI::App* sub, Options* o, const std::string& files) {
    sub->add_option("-o,--output", o->output, "Folder of the run; a run that is there goes on")->required();
    sub->add_option("--config", config, "Settings (" + files + ")");
    sub->add_option("--steps", steps, "Steps, in place of the config's");
    sub->add_option("--stop-after", o->stop_after, "End this run after so many steps");
    sub->add_option("--processes", processes, "Processes on this machine, gradients averaged")->capture_default_str()->check(CLI::Range(1, 64));
    sub->add_option("--device", device, "cpu or cuda")->capture_default_str()->check(CLI::IsMember({"cpu", "cuda"}));
    sub->add_option("--threads", threads, "Threads of each process")->capture_default_str()->check(CLI::Range(1, 256));
  }
  template <typename Options>
  Status Read(Options* o) const {
    if (!config.empty()) {
      MFS_ASSIGN_OR_RETURN(o->config, mfs::train::ReadConfig<decltype(o->config)>(config));
    }
    if (steps > 0) o->config.steps = steps;
    MFS_ASSIGN_OR_RETURN(o->device, mfs::train::ChooseDevice(device));
    o->cancel = &g_cancel;
    o->progress = Progress;
    return Status::Ok();
  }
};

const CLI::Validator kSizes = CLI::IsMember({0, 128, 224});

void AddDistill(CLI::App* app, Command* command, char** argv) {
  auto* sub = app->add_subcommand("distill", "Train the student (injection network and IDN) from the teachers' pictures");
  auto o = std::make_shared<mfs::train::DistillOptions>();
  auto t = std::make_shared<Training>();
  auto teachers = std::make_shared<std::vector<std::string>>();
  auto size = std::make_shared<int>(0);
  sub->add_option("cache", o->cache, "Folder made by prepare")->required();
  t->Add(sub, o.get(), "train/configs/release.json, paper.json");
  sub->add_option("--teacher", *teachers, "mesh[:WEIGHT], net:FILE[:WEIGHT] or script:FILE[:WEIGHT]; may be given several times (default: mesh)");
  sub->add_option("--size", *size, "Pixels, 128 or 224, in place of the config's")->check(kSizes);
  sub->add_option("--start", o->start, "Weights to start from (safetensors); without it: from scratch");
  sub->callback([=] {
    command->run = [=]() -> Status {
      MFS_RETURN_IF_ERROR(t->Read(o.get()));
      if (*size > 0) o->config.size = *size;
      if (!teachers->empty()) o->config.teachers = CLI::detail::join(*teachers, ",");
      MFS_ASSIGN_OR_RETURN(const mfs::ModelStore store, mfs::ModelStore::Open(command->store));
      return WithProcesses(t->processes, t->threads, argv, command, [&](auto* group) { return mfs::train::Distill(store, group, *o); });
    };
  });
}

void AddTeacherNet(CLI::App* app, Command* command, char** argv) {
  auto* sub = app->add_subcommand("teacher-net", "Train a network teacher of SimSwap's kind, keeping numbered checkpoints");
  auto o = std::make_shared<mfs::train::TeacherNetOptions>();
  auto t = std::make_shared<Training>();
  auto size = std::make_shared<int>(0);
  sub->add_option("cache", o->cache, "Folder made by prepare")->required();
  t->Add(sub, o.get(), "train/configs/teacher-net.json");
  sub->add_option("--size", *size, "Pixels, 128 or 224, in place of the config's")->check(kSizes);
  sub->callback([=] {
    command->run = [=]() -> Status {
      MFS_RETURN_IF_ERROR(t->Read(o.get()));
      if (*size > 0) o->config.size = *size;
      MFS_ASSIGN_OR_RETURN(const mfs::ModelStore store, mfs::ModelStore::Open(command->store));
      return WithProcesses(t->processes, t->threads, argv, command, [&](auto* group) { return mfs::train::TrainNetTeacher(store, group, *o); });
    };
  });
}

void AddQuality(CLI::App* app, Command* command, char** argv) {
  auto* sub = app->add_subcommand("quality", "Train the quality scorer Q on a network teacher's numbered checkpoints");
  auto o = std::make_shared<mfs::train::QualityOptions>();
  auto t = std::make_shared<Training>();
  sub->add_option("cache", o->cache, "Folder made by prepare")->required();
  sub->add_option("--teacher", o->teacher, "Folder of a teacher-net run")->required();
  t->Add(sub, o.get(), "train/configs/quality.json");
  sub->callback([=] {
    command->run = [=]() -> Status {
      MFS_RETURN_IF_ERROR(t->Read(o.get()));
      MFS_ASSIGN_OR_RETURN(const mfs::ModelStore store, mfs::ModelStore::Open(command->store));
      return WithProcesses(t->processes, t->threads, argv, command, [&](mfs::train::Processes* group) -> Status {
        MFS_ASSIGN_OR_RETURN(const auto report, mfs::train::TrainQuality(store, group, *o));
        if (group->rank() == 0) std::printf("%s", mfs::train::FormatQualityReport(report).c_str());
        return Status::Ok();
      });
    };
  });
}

void AddEval(CLI::App* app, Command* command) {
  auto* sub = app->add_subcommand("eval", "Judge weights and teachers on the validation pairs, any pairs of photos, and clips");
  auto o = std::make_shared<mfs::train::EvaluateOptions>();
  auto json = std::make_shared<bool>(false);
  auto* cache = sub->add_option("cache", o->cache, "Folder made by prepare");
  auto* pairs = sub->add_option("--pairs", o->pairs, "File with a line for each pair: source photo, tab, target photo; in place of the cache");
  sub->add_option("--weights", o->weights, "Students, network teachers (safetensors) and TorchScript swappers (.pt), a row each");
  sub->add_option("--clips", o->clips, "Videos with a face, for the flicker");
  sub->add_option("--clip-frames", o->clip_frames, "Frames of each clip")->capture_default_str()->check(CLI::Range(3, 100000));
  sub->add_option("--sources", o->sources, "Sources")->capture_default_str()->check(CLI::Range(1, 100000));
  sub->add_option("--targets", o->targets, "Targets of each source")->capture_default_str()->check(CLI::Range(1, 1000));
  sub->add_option("--candidates", o->candidates, "Each target is the nearest to its source in pose and brightness of so many")->capture_default_str()->check(CLI::Range(1, 1000));
  sub->add_option("--sheet", o->sheet, "Picture sheet to write: source, then a column per row of the table; the first pairs, then the worst");
  sub->add_option("--first", o->first, "Pairs on the sheet from the beginning")->capture_default_str()->check(CLI::Range(0, 1000));
  sub->add_option("--worst", o->worst, "Pairs on the sheet by the least cosine of the last row")->capture_default_str()->check(CLI::Range(0, 1000));
  sub->add_flag("!--no-teacher", o->teacher, "Leave the mesh teacher out");
  sub->add_flag("--json", *json, "JSON with groups in place of a Markdown table");
  sub->callback([=] {
    if (cache->count() + pairs->count() != 1) throw CLI::ValidationError("eval", "needs the folder of a cache or --pairs FILE, not both");
    command->run = [=]() -> Status {
      o->cancel = &g_cancel;
      o->progress = Progress;
      MFS_ASSIGN_OR_RETURN(const mfs::ModelStore store, mfs::ModelStore::Open(command->store));
      MFS_ASSIGN_OR_RETURN(const auto rows, mfs::train::Evaluate(store, *o));
      const bool clips = !o->clips.empty();
      std::printf("%s", (*json ? mfs::train::FormatJson(rows, clips) : mfs::train::FormatMarkdown(rows, clips)).c_str());
      return Status::Ok();
    };
  });
}

void PrintPrecision(const mfs::train::ExportReport& report) {
  std::printf("half against single precision on %d pairs: at most %.2f of 255, %.4f in the mean\n", report.pairs, report.difference, report.mean_difference);
}

void AddExport(CLI::App* app, Command* command) {
  auto* sub = app->add_subcommand("export", "Write a run's checkpoint as a weight file for mfs, with a model card");
  auto o = std::make_shared<mfs::train::ExportOptions>();
  sub->add_option("run", o->run, "Folder of a distill run")->required();
  sub->add_option("cache", o->cache, "Folder made by prepare")->required();
  sub->add_option("-o,--output", o->output, "Weight file to write (.safetensors)")->required();
  sub->add_option("--scores", o->scores, "JSON of mfs-train eval --json, for the card");
  sub->callback([=] {
    command->run = [=]() -> Status {
      MFS_ASSIGN_OR_RETURN(const auto report, mfs::train::Export(*o));
      std::printf("%s: step %d, SHA-256 %s\n", o->output.c_str(), report.steps, report.sha256.c_str());
      PrintPrecision(report);
      std::printf("card: %s\n", report.card.c_str());
      return Status::Ok();
    };
  });
}

void AddAverage(CLI::App* app, Command* command) {
  auto* sub = app->add_subcommand("average", "The mean of the weights of several students that were trained one from the other");
  auto files = std::make_shared<std::vector<std::string>>();
  auto output = std::make_shared<std::string>();
  sub->add_option("weights", *files, "Weight files (.safetensors)")->required();
  sub->add_option("-o,--output", *output, "Weight file to write (.safetensors)")->required();
  auto faces = std::make_shared<std::string>();
  sub->add_option("--faces", *faces, "Folder made by prepare: say how far half precision is from single precision on its pairs");
  sub->callback([=] {
    command->run = [=]() -> Status {
      MFS_ASSIGN_OR_RETURN(const auto report, mfs::train::AverageWeights(*files, *output, *faces));
      if (report.pairs > 0) PrintPrecision(report);
      return Status::Ok();
    };
  });
}

}  // namespace

int main(int argc, char** argv) {
  // OpenBLAS of Debian takes some CPUs with AVX-512 for older ones; its choice is made when it is loaded.
  if (std::getenv("OPENBLAS_CORETYPE") == nullptr && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
    setenv("OPENBLAS_CORETYPE", "SKYLAKEX", 1);
    execv("/proc/self/exe", argv);
  }
  av_log_set_level(AV_LOG_QUIET);  // our own messages say it better
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
  CLI::App app{"mfs-train: train MobileFaceSwap on a CPU. Use photos only as their terms allow."};
  app.set_version_flag("--version", std::string("mfs-train " MFS_VERSION));
  app.require_subcommand(1);
  Command command;
  AddPrepare(&app, &command);
  AddParser(&app, &command, argv);
  AddLabel(&app, &command);
  AddTeacherMesh(&app, &command);
  AddTeacherNet(&app, &command, argv);
  AddQuality(&app, &command, argv);
  AddDistill(&app, &command, argv);
  AddEval(&app, &command);
  AddExport(&app, &command);
  AddAverage(&app, &command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  const Status status = command.run();
  return status.ok() ? command.silent : Fail(status);
}
