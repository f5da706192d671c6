#!/usr/bin/env bash
# The tests labelled `gpu`, on this machine or carried to one that has a GPU but no network and none of our libraries.
#
#   bench/gpu.sh                build test_gpu and run it; one line where there is no NVIDIA device
#   bench/gpu.sh --pack FOLDER  build it and put all that travels into FOLDER (a few MB: the program and this script)
#   FOLDER/gpu.sh               there: run the carried program over that machine's LibTorch
# LibTorch of the version built with is looked for in FRUGAL_LIBTORCH_ROOT, .deps/libtorch/torch (with CUDA's libraries:
# cmake/bootstrap.sh --cuda), and python3's torch. Exits 0 where all tests passed, or where there is no NVIDIA device; where there is one and
# the tests could not use it, that is a failure.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() { echo "gpu: $*" >&2; exit 2; }

libtorch() {
  local root
  for root in "${FRUGAL_LIBTORCH_ROOT:-}" "$here/../.deps/libtorch/torch" \
    "$(python3 -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])' 2>/dev/null || true)"; do
    if [ -n "$root" ] && [ -f "$root/lib/libtorch_cpu.so" ]; then (cd "$root" && pwd) && return; fi
  done
  die "no LibTorch: set FRUGAL_LIBTORCH_ROOT, or run cmake/bootstrap.sh --torch"
}

build() {  # build FOLDER
  cmake -S "$here/.." -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFRUGAL_BUILD_TOOLS=OFF -DFRUGAL_BUILD_EXAMPLES=OFF \
    "-DFRUGAL_LIBTORCH_ROOT=$(libtorch)" >"$1.log" || { tail -n 20 "$1.log" >&2; exit 2; }
  cmake --build "$1" --target test_gpu
}

pack() {  # pack FOLDER
  mkdir -p "$1"
  build "$here/../build/gpu"
  cp "$here/../build/gpu/bin/tests/test_gpu" "$here/gpu.sh" "$1"
  strip "$1/test_gpu"
  du -sh "$1"
}

run() {  # run PROGRAM
  local root
  root=$(libtorch)
  export LD_LIBRARY_PATH=$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  local status=0
  "$1" --colour-mode none || status=$?
  if [ $status = 4 ]; then # all skipped: the program has said why
    echo "gpu: FAILED, the device was not used: the reason stands above (LibTorch's CUDA libraries come by cmake/bootstrap.sh --cuda)" >&2
    exit 1
  fi
  exit $status
}

# The devices, a line each; nothing where there are none. A driver without a tool that lists devices counts as one.
devices() {
  local listed
  if listed=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null) && [ -n "$listed" ]; then
    echo "$listed"
  elif compgen -G '/dev/nvidia[0-9]*' >/dev/null; then
    echo "an NVIDIA device that nvidia-smi does not describe"
  fi
}

case ${1:-} in
  --pack) [ -n "${2:-}" ] || die "--pack needs a folder"; mkdir -p "$here/../build"; pack "$2" ;;
  "")
    found=$(devices)
    if [ -z "$found" ]; then
      echo "gpu: skipped, there is no NVIDIA device here"
      exit 0
    fi
    echo "$found"
    if [ -x "$here/test_gpu" ]; then run "$here/test_gpu"; fi
    mkdir -p "$here/../build"
    build "$here/../build/gpu"
    run "$here/../build/gpu/bin/tests/test_gpu"
    ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] || [ "$1" = -h ] || exit 2 ;;
esac
