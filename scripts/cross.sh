#!/usr/bin/env bash
# Builds the engine for another processor and runs its parity tests there: cross.sh arm64|wasm
#   arm64  g++-aarch64-linux-gnu, run by qemu-user
#   wasm   emscripten with SIMD128, run by Node; then timed against onnxruntime-web (wasm, SIMD, one thread)
# Installs the Debian packages that this needs (scripts/install_deps.sh cross-arm64 or cross-wasm).
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-}
build=build/cross-$target
mkdir -p build
cache=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}
fetched=$cache/models  # the networks around the IDN (scripts/fetch.sh)
case $target in
  arm64)
    scripts/install_deps.sh cross-arm64
    scripts/fetch.sh models
    cmake -S cross -B "$build" -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ > "$build.log" 2>&1 ||
      { cat "$build.log" >&2; exit 1; }
    cmake --build "$build"
    for test in idn_parity_test plan_test; do qemu-aarch64 "$build/$test"; done
    qemu-aarch64 "$build/net_parity_test" "$fetched"
    ;;
  wasm)
    scripts/install_deps.sh cross-wasm
    scripts/fetch.sh models web
    export NODE_PATH=/usr/share/nodejs${NODE_PATH:+:$NODE_PATH}  # where Debian keeps what emscripten needs, whatever node is in use
    emcmake cmake -S cross -B "$build" -G Ninja > "$build.log" 2>&1 || { cat "$build.log" >&2; exit 1; }
    cmake --build "$build"
    for test in idn_parity_test plan_test; do node "$build/$test.js"; done
    node "$build/net_parity_test.js" "$fetched"
    node cross/idn_wasm_bench.mjs "$build" "$cache/web"
    ;;
  *) echo "cross.sh: arm64 or wasm?" >&2; exit 2 ;;
esac
