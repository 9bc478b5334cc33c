#!/usr/bin/env bash
# Milliseconds a frame in each stage of `mfs swap` at four sizes: pipeline.sh MFS CLIP SOURCE [FRAMES [HEIGHTS]]
# cold: the first 10 frames of a fresh process, start of the networks included; warm: the frames after the first 10, by difference.
set -euo pipefail
mfs=$1 clip=$2 source=$3 frames=${4:-60} heights=${5:-480 720 1080 2160}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$mfs" identity create "$source" -o "$work/person.safetensors" > /dev/null
for height in $heights; do
  for n in 10 "$frames"; do
    ffmpeg -v error -i "$clip" -vf "scale=-2:$height" -frames:v "$n" -an -c:v libx264 -preset veryfast -crf 18 "$work/$height.$n.mp4"
    # The best of three: other work can only slow it.
    for run in 1 2 3; do "$mfs" swap --json -s "$work/person.safetensors" -t "$work/$height.$n.mp4" -o "$work/out.mp4" -y > "$work/$height.$n.$run.json" 2> /dev/null; done
  done
done
python3 - "$work" "$frames" $heights << 'PY'
import json, sys
work, frames = sys.argv[1], int(sys.argv[2])
stages = ['decode', 'detect', 'align', 'swap', 'paste', 'encode']
print('| height | | ' + ' | '.join(stages) + ' | wall ms a frame |')
print('|---|---|' + '---|' * (len(stages) + 1))
for height in sys.argv[3:]:
    best = {}
    for n in (10, frames):
        runs = [json.load(open(f"{work}/{height}.{n}.{r}.json")) for r in (1, 2, 3)]
        runs = [r[0] if isinstance(r, list) else r for r in runs]
        best[n] = min(runs, key=lambda r: r['wall_seconds'])
    cold = [1e3 * best[10]['seconds'][s] / 10 for s in stages] + [1e3 * best[10]['wall_seconds'] / 10]
    warm = [1e3 * (best[frames]['seconds'][s] - best[10]['seconds'][s]) / (frames - 10) for s in stages] + [1e3 * (best[frames]['wall_seconds'] - best[10]['wall_seconds']) / (frames - 10)]
    for name, row in (('cold', cold), ('warm', warm)):
        print(f'| {height}p | {name} | ' + ' | '.join(f'{v:.1f}' for v in row) + ' |')
PY
