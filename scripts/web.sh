#!/usr/bin/env bash
# Builds the library for the browser and lays the page out: web.sh [test|page-test]
#   (none)     build/web/site: a folder for any static web server
#   test       the same, then the library under Node: the same pictures as the native program's, and how fast
#   page-test  the same, then the page in headless Chromium with a real clip as the camera
# Installs the Debian packages that this needs (scripts/install_deps.sh cross-wasm, browser).
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/web site=build/web/site
cache=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}
scripts/install_deps.sh cross-wasm web
scripts/fetch.sh models page
mkdir -p "$build"
export NODE_PATH=/usr/share/nodejs${NODE_PATH:+:$NODE_PATH}  # where Debian keeps what emscripten needs, whatever node is in use
emcmake cmake -S web -B "$build" -G Ninja > "$build.log" 2>&1 || { cat "$build.log" >&2; exit 1; }
cmake --build "$build"

rm -rf "$site.new"
mkdir -p "$site.new/models" "$site.new/cache/models" "$site.new/noble-hashes"
cp web/site/* web/mobilefaceswap.js "$site.new/"
cp "$cache"/page/noble-hashes/*.js "$site.new/noble-hashes/"
cp "$build/mobilefaceswap.js" "$site.new/mobilefaceswap-wasm.js"
cp "$build/mobilefaceswap.wasm" "$site.new/"
cp LICENSE models/README.md "$site.new/"
cp models/{manifest.tsv,third_party.tsv,mfs-slim-224.safetensors} "$site.new/models/"
cp "$cache"/models/{face_detector_rfb320.onnx,face_detector_blazeface256.onnx,landmarks68.onnx,face_mesh468.tflite,embedder_mobilefacenet.onnx} "$site.new/cache/models/"
(cd "$site.new" && for file in models/* cache/models/*; do printf '%s{"name": "%s", "bytes": %d}' "${comma:-}" "$file" "$(stat -c %s "$file")"; comma=$',\n '; done |
  { printf '['; cat; printf ']\n'; } > files.json)
rm -rf "$site"
mv "$site.new" "$site"

case ${1:-} in
  '') echo "the page is in $site ($(du -sh "$site" | cut -f1)): put it on any static web server, or try it here: python3 -m http.server -b 127.0.0.1 -d $site 8000, then open http://127.0.0.1:8000" ;;
  test)
    scripts/install_deps.sh dev
    scripts/fetch.sh media
    web/test/library.sh "$site" build/release/bin/mfs
    ;;
  page-test)
    scripts/install_deps.sh dev browser
    scripts/fetch.sh media
    web/test/page.sh "$site"
    ;;
  *) echo "web.sh: test or page-test?" >&2; exit 2 ;;
esac
