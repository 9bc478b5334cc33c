#!/usr/bin/env bash
# Installs the build into an empty folder, then builds and runs a C and a C++ program against it: with CMake's find_package, and
# with pkg-config. Runs the installed mfs from there, too. run.sh BUILD_FOLDER
set -euo pipefail
build=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" > /dev/null
libdir=$(dirname "$(find "$work/prefix" -name 'libmobilefaceswap.so' | head -n 1)")
cmake -S "$here" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" > /dev/null
cmake --build "$work/build" > /dev/null
"$work/build/consumer_c"
"$work/build/consumer_cc"
flags=$(PKG_CONFIG_PATH="$libdir/pkgconfig" pkg-config --cflags --libs mobilefaceswap)
cc "$here/consumer.c" $flags -Wl,-rpath,"$libdir" -o "$work/pc"
"$work/pc"
"$work/prefix/bin/mfs" doctor > /dev/null
if /usr/bin/python3 -c "import numpy" 2> /dev/null; then
  PYTHONPATH=$work/prefix/share/mobilefaceswap/python /usr/bin/python3 -c "import mobilefaceswap as mfs; mfs.Engine(); assert mfs._lib._name.startswith('$work/'), mfs._lib._name"
fi
# Only the C interface is visible.
if nm -D --defined-only "$libdir/libmobilefaceswap.so" | awk '{print $3}' | grep -v '^mfs_' | grep -q .; then
  echo "other symbols than mfs_* are exported:" >&2
  nm -D --defined-only "$libdir/libmobilefaceswap.so" | awk '{print $3}' | grep -v '^mfs_' | head >&2
  exit 1
fi
echo "installed tree: C, C++ and pkg-config consumers run"
