#!/bin/bash
# The ablations of the paper's kind at one short budget each, all from the first weights: train/configs/short.json and what each leaves out (docs/method.md has the table).
#   scripts/ablations.sh CACHE OUTPUT [TRAINER]
# Two runs at a time, one process of one thread each: about an hour on two cores. A run that is there goes on or is left as it is. Needs the Q that short.json names (mfs-train quality).
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: scripts/ablations.sh CACHE OUTPUT [TRAINER]" >&2
  exit 2
fi
cache=$1 output=$2 trainer=${3:-build/release/bin/mfs-train}
root=$(dirname "$0")/..
config=$root/train/configs/short.json start=$root/tests/golden/bootstrap-slim-224.safetensors
mkdir -p "$output"

# NAME SETTINGS: the last of two settings of one name counts.
run() {
  local folder=$output/$1
  sed "s|^}|, $2 }|" "$config" > "$folder.json"
  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$trainer" distill "$cache" -o "$folder" --config "$folder.json" --start "$start" --threads 1 >> "$folder.log" 2>&1
}
both() {
  local failed=0
  run "$1" "$2" & local first=$!
  run "$3" "$4" || failed=1
  wait "$first" || failed=1
  if [ $failed = 1 ]; then
    echo "error: a run failed; see $output/$1.log and $output/$3.log" >&2
    exit 1
  fi
}
both all '"seed": 1' cos2 '"quality": ""'
both alpha1 '"quality": "", "alpha_power": 0' no-identity '"identity": 0'
both full-mask '"mask": 0, "cover": 0, "full_mask": 2' no-adversary '"adversarial": 0'
both prediction '"dynamics": "prediction"' modulation '"dynamics": "modulation"'
weights=()
for name in all alpha1 cos2 no-identity full-mask no-adversary prediction modulation; do
  cp "$output/$name/student.safetensors" "$output/$name.safetensors"
  weights+=("$output/$name.safetensors")
done
"$trainer" eval "$cache" --weights "${weights[@]}" --sources 102 --targets 2 --candidates 6 --sheet "$output/sheet.jpg" --first 16 --worst 4
