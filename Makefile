# Two commands do everything on a fresh Debian or Ubuntu: `make demo` and `make test`.
# PRESET=debug|asan|tsan|release chooses the build (CMakePresets.json); PREFIX is where `make install` puts it.
PRESET ?= release
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
BUILD = build/$(PRESET)
# One build at a time on a machine: they would only slow each other.
LOCK = flock $(or $(TMPDIR),/tmp)/mobilefaceswap-build.lock
TEST_OPTIONS ?=
# libtorch is not built for the sanitizers.
TRAIN = $(if $(filter asan tsan,$(PRESET)),OFF,ON)

.PHONY: all demo test soak train bench cross-arm64 wasm web web-test web-page-test live-page-test install format lint clean deps deps-demo deps-dev help

all: deps ## Install what is missing, fetch the weights, build mfs
	@$(LOCK) scripts/build.sh $(PRESET) $(JOBS) -DMFS_BUILD_TESTS=OFF

demo: deps-demo ## Swap a face in a real picture and a real clip; prints where the results are
	@$(LOCK) scripts/build.sh $(PRESET) $(JOBS) -DMFS_BUILD_TESTS=OFF
	@scripts/demo.sh $(BUILD)/bin/mfs

test: deps-dev ## The same set-up, then every test
	@$(LOCK) scripts/build.sh $(PRESET) $(JOBS) -DMFS_BUILD_TESTS=ON -DMFS_BUILD_TRAIN=$(TRAIN)
	@cd $(BUILD) && LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp ctest --output-on-failure -j $(JOBS) $(TEST_OPTIONS)

soak: deps-dev ## Half an hour of swapping without a pause: does memory stay? (MINUTES=30)
	@$(LOCK) scripts/build.sh release $(JOBS) -DMFS_BUILD_TESTS=OFF
	@tests/soak.sh $(CURDIR)/build/release/bin/mfs $(or $(MINUTES),30)

train: deps ## Build the trainer mfs-train (docs/training.md)
	@scripts/install_deps.sh train
	@scripts/fetch.sh eval
	@$(LOCK) scripts/build.sh release $(JOBS) -DMFS_BUILD_TRAIN=ON

bench: deps-dev ## Benchmarks: our engine against others, and the kernels (bench/README.md)
	@scripts/install_deps.sh bench
	@$(LOCK) scripts/build.sh bench $(JOBS)
	@build/bench/bin/mfs_engine_bench build/bench/engine.json
	@build/bench/bin/mfs_idn_gbench && build/bench/bin/mfs_base_gbench
	@bench/video_bench.sh build/bench/bin

cross-arm64: ## The engine for 64-bit ARM: cross-built, parity tests under qemu
	@scripts/cross.sh arm64

wasm: ## The engine for WebAssembly: parity tests under Node, timed against onnxruntime-web
	@scripts/cross.sh wasm

web: ## The page for the browser (build/web/site): the library in WebAssembly, for any static web server
	@scripts/web.sh

web-test: all ## The same, then the library under Node against the native program
	@scripts/web.sh test

web-page-test: ## The same, then the page in headless Chromium (installs chromium and playwright-core)
	@scripts/web.sh page-test

live-page-test: all ## The local page of `mfs live` in headless Chromium (installs chromium and playwright-core)
	@scripts/install_deps.sh browser
	@scripts/fetch.sh media
	@tests/live_page.sh $(BUILD)/bin/mfs

install: all ## Install program, library, headers and weights below PREFIX
	@cmake --install $(BUILD) --prefix $(PREFIX)

deps:
	@scripts/install_deps.sh run
	@scripts/fetch.sh models

deps-demo:
	@scripts/install_deps.sh run
	@scripts/fetch.sh models media

deps-dev:
	@scripts/install_deps.sh run dev train
	@scripts/fetch.sh models runtime eval media

format: ## clang-format every source file
	@git ls-files '*.h' '*.hpp' '*.c' '*.cc' | xargs clang-format -i

lint: deps-dev ## clang-format check and clang-tidy
	@git ls-files '*.h' '*.hpp' '*.c' '*.cc' | xargs clang-format --dry-run -Werror
	@$(LOCK) scripts/build.sh release $(JOBS)
	@git ls-files 'src/*.cc' 'apps/*.cc' | xargs -P $(JOBS) -n 4 clang-tidy -p build/release --quiet

clean: ## Remove what was built (never the weights in the cache)
	rm -rf build

help: ## This list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
