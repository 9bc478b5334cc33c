#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing: install_deps.sh GROUP...
#   run  what building and running mfs needs
#   dev  what tests, benchmarks and formatting need as well
#   bench  other engines that the benchmarks compare with (where the distribution has them)
#   cross-arm64, cross-wasm  compilers and runners of scripts/cross.sh
#   web      what the browser build needs besides cross-wasm
#   browser  what `make live-page-test` and `make web-page-test` need as well (Chromium, 350 MB)
#   train  what the trainer mfs-train needs as well (libtorch, about 250 MB)
# Touches nothing, and no network, when all are there.
set -euo pipefail
run=(g++ cmake ninja-build make pkg-config git npm nodejs ca-certificates ccache curl
  libavformat-dev libavcodec-dev libavutil-dev libswscale-dev libavdevice-dev
  libjpeg62-turbo-dev libpng-dev libwebp-dev libtiff-dev libexiv2-dev
  libhwy-dev libcli11-dev nlohmann-json3-dev libssl-dev libcpp-httplib-dev libsdl2-dev)
dev=(libgtest-dev libgmock-dev libbenchmark-dev ffmpeg python3-numpy clang-format clang-tidy)
bench=(libxnnpack-dev libpthreadpool-dev libopencv-dnn-dev)
cross_arm64=(cmake ninja-build g++-aarch64-linux-gnu qemu-user libhwy-dev googletest)
cross_wasm=(cmake ninja-build emscripten nodejs npm libhwy-dev googletest)
web=(nlohmann-json3-dev)
browser=(chromium)
train=(libtorch-dev libgloo-dev libopenblas0-pthread libgoogle-perftools-dev)

wanted=()
for group in "$@"; do
  case $group in
    run) wanted+=("${run[@]}") ;;
    dev) wanted+=("${dev[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    cross-arm64) wanted+=("${cross_arm64[@]}") ;;
    cross-wasm) wanted+=("${cross_wasm[@]}") ;;
    web) wanted+=("${web[@]}") ;;
    browser) wanted+=("${browser[@]}") ;;
    train) wanted+=("${train[@]}") ;;
    *) echo "install_deps.sh: unknown group '$group' (run, dev, bench, cross-arm64, cross-wasm, web, browser, train)" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query > /dev/null; then
  echo "install_deps.sh: this is not Debian or Ubuntu; install what the lists at the top of this script name, by your own packages' names" >&2
  exit 0
fi
# Ubuntu names libjpeg62-turbo-dev libjpeg-turbo8-dev.
if [ "$(. /etc/os-release && echo "$ID")" = ubuntu ]; then
  wanted=("${wanted[@]/libjpeg62-turbo-dev/libjpeg-turbo8-dev}")
fi
missing=()
for package in "${wanted[@]}"; do
  case $package in
    # Node.js and npm may have come from elsewhere.
    nodejs) command -v node > /dev/null && continue ;;
    npm) command -v npm > /dev/null && continue ;;
  esac
  status=$(dpkg-query -W -f='${Status}' "$package" 2> /dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || { echo "install_deps.sh: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  sudo=sudo
fi
echo "installing: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { $sudo apt-get install -y --no-install-recommends "${missing[@]}" > "$log" 2>&1; }
# Package lists may be missing or old: then fetch them once.
install || { $sudo apt-get update > "$log" 2>&1 && install; } || { cat "$log" >&2; exit 1; }
