#!/usr/bin/env bash
# Makes docs/looks.png, the pictures of docs/looks.md, from the synthetic faces of docs/golden.png: looks_pictures.sh path/to/mfs [OUTPUT]
set -euo pipefail
mfs=$(realpath "$1")
root=$(realpath "$(dirname "$0")/..")
out=$(realpath -m "${2:-$root/docs/looks.png}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
edit() { ffmpeg -v error -y -i "$1" -vf "$2" -frames:v 1 "$3"; }
swap() { "$mfs" swap -s source.png -t "$1" -o "$2" -y "${@:3}" > /dev/null; }
edit "$root/docs/golden.png" crop=224:224:0:0 source.png
edit "$root/docs/golden.png" crop=224:224:224:0 target.png
edit target.png "eq=gamma=0.6:gamma_r=1.3:gamma_b=0.7" warm.png      # another light
edit target.png "gblur=1.6,noise=alls=14:allf=t:all_seed=1" poor.png  # a soft, grainy camera
edit target.png "drawbox=x=150:y=60:w=22:h=164:color=0x35302b:t=fill" stick.png
cp warm.png 11.png; swap warm.png 12.png; swap warm.png 13.png --no-color-match
cp poor.png 21.png; swap poor.png 22.png; swap poor.png 23.png --no-detail-match
cp stick.png 31.png; swap stick.png 32.png; swap stick.png 33.png --occlusion
swap target.png 41.png --feather 0.15; swap target.png 42.png --keep-mouth; swap target.png 43.png --strength 0.5
swap target.png 51.png --show mask; swap target.png 52.png --show box; swap target.png 53.png --show points
rows=()
for row in 1 2 3 4 5; do
  ffmpeg -v error -y -i ${row}1.png -i ${row}2.png -i ${row}3.png -filter_complex hstack=3 row$row.png
  rows+=(-i row$row.png)
done
ffmpeg -v error -y "${rows[@]}" -filter_complex vstack=5 -pix_fmt rgb24 looks.png
mv looks.png "$out"
echo "$out"
