#!/usr/bin/env bash
# Configure (only when something changed) and build: build.sh PRESET JOBS [cmake options...]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1 jobs=$2
shift 2
mkdir -p "build/$preset"
log=build/$preset/configure.log
if ! cmake --preset "$preset" "$@" > "$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
exec cmake --build "build/$preset" -j "$jobs"
