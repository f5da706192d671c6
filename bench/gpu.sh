#!/usr/bin/env bash
# The LibTorch backend on an NVIDIA device: that it is right, then what it does. On this machine, or carried to one that has a GPU but no
# network and none of our libraries.
#
#   bench/gpu.sh [PART ...]     build, then run these parts (all of them where none is named); one line where there is no NVIDIA device
#   bench/gpu.sh --pack FOLDER  build, and put all that travels into FOLDER (64 MB at most: programs, kernels and this script)
#   FOLDER/gpu.sh [PART ...]    there: run what was carried over that machine's LibTorch
#   bench/gpu.sh --dry-run      the same parts on this machine's processor with a tiny model: shows that they run, measures nothing
#
# Parts, in order: correct (the tests labelled gpu), copy, decode, prefill, verify, graphs, attention, speculate, ttft, peers (a plain loop of torch's, and vLLM,
# where python3 has them). Each has a limit of time of its own, all together 8 minutes (LIMIT=SECONDS); a part that fails does not stop the others.
# SHAPES="llama-3-8b olmoe-1b-7b" (bench/gpu/shapes.hpp has all of them) and FORMATS="bf16 q8_0" choose what is measured. Figures go to a table and to
# gpu.json beside it (OUT=FOLDER).
# Where cmake/bootstrap.sh --flashinfer was run, attention that reads pages in place is built and compared.
# FRUGAL_GPU_BUILD=FOLDER takes the programs from a build folder as it is.
# LibTorch: python3's own torch first, then FRUGAL_LIBTORCH_ROOT, then .deps/libtorch/torch (with CUDA's libraries: cmake/bootstrap.sh --cuda).
# Exits 0 where all parts passed, or where there is no NVIDIA device; where there is one and it was not used, that is a failure.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
began=$SECONDS whole=${LIMIT:-480} device=cuda
shapes=${SHAPES:-llama-3-8b llama-3.2-1b smollm2-135m} formats=${FORMATS:-bf16 q8_0}

die() { echo "gpu: $*" >&2; exit 2; }

libtorch() {
  local root
  for root in "$(python3 -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])' 2>/dev/null || true)" \
    "${FRUGAL_LIBTORCH_ROOT:-}" "$here/../.deps/libtorch/torch"; do
    if [ -n "$root" ] && [ -f "$root/lib/libtorch_cpu.so" ]; then (cd "$root" && pwd) && return; fi
  done
  die "no LibTorch: set FRUGAL_LIBTORCH_ROOT, or run cmake/bootstrap.sh --torch"
}

build() {  # build FOLDER: with the kernels where there is nvcc
  local nvcc kernels=()
  nvcc=$(command -v nvcc || command -v /usr/local/cuda/bin/nvcc) && kernels=(-DFRUGAL_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc")
  if [ -n "$nvcc" ] && [ -d "$here/../.deps/flashinfer" ]; then kernels+=(-DFRUGAL_FLASHINFER=ON); fi
  [ -n "$nvcc" ] || echo "gpu: there is no nvcc, so frugal's own kernels are left out"
  cmake -S "$here/.." -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFRUGAL_BUILD_TOOLS=OFF -DFRUGAL_BUILD_EXAMPLES=OFF \
    "-DFRUGAL_LIBTORCH_ROOT=${FRUGAL_LIBTORCH_ROOT:-$here/../.deps/libtorch/torch}" ${kernels[@]+"${kernels[@]}"} >"$1.log" ||
    { tail -n 20 "$1.log" >&2; exit 2; }
  cmake --build "$1" --target test_gpu bench_gpu || exit 2
}

pack() {  # pack FOLDER
  local made=${FRUGAL_GPU_BUILD:-$here/../build/gpu} bytes
  mkdir -p "$1"
  [ -n "${FRUGAL_GPU_BUILD:-}" ] || build "$made"
  cp "$made/bin/tests/test_gpu" "$made/bin/bench/bench_gpu" "$here/gpu.sh" "$here"/gpu/*.py "$1"
  strip "$1/test_gpu" "$1/bench_gpu"
  bytes=$(du -sb "$1" | cut -f 1)
  [ "$bytes" -le 67108864 ] || die "$1 holds $bytes bytes, more than 64 MB"
  echo "gpu: $bytes bytes in $1"
}

# The devices, a line each; nothing where there are none. A driver without a tool that lists devices counts as one.
devices() {
  local listed
  if listed=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null) && [ -n "$listed" ]; then
    echo "$listed"
  elif compgen -G '/dev/nvidia[0-9]*' >/dev/null; then
    echo "an NVIDIA device that nvidia-smi does not describe"
  fi
}

# part SECONDS NAME command...: its lines of JSON are figures; what else it says goes to the log and, where it fails, to the terminal.
part() {
  local limit=$1 name=$2 status=0 left
  shift 2
  left=$((whole - (SECONDS - began)))
  if [ $left -lt 5 ]; then echo "gpu: $name: left out, the time is over"; return; fi
  if [ "$limit" -gt $left ]; then limit=$left; fi
  timeout "$limit" "$@" >"$out/part.log" 2>&1 || status=$?
  grep '^{' "$out/part.log" >>"$out/figures.jsonl"
  cat "$out/part.log" >>"$out/gpu.log"
  case $status in
    0) passed=$((passed + 1)) ;;
    4) unused=$((unused + 1)); grep -v '^{' "$out/part.log" | tail -n 3 ;;
    124) failed=$((failed + 1)); echo "gpu: $name: stopped after $limit s" ;;
    *) failed=$((failed + 1)); echo "gpu: $name: FAILED ($status)"; grep -v '^{' "$out/part.log" | tail -n 30 ;;
  esac
}

run_part() {
  local shape format
  case $1 in
    correct)
      [ $device = cpu ] && return
      part 150 correct "$tests" --colour-mode none ;;
    copy) part 20 copy "$bench" $device copy ;;
    decode) for shape in $shapes; do for format in $formats; do part 60 "decode $shape $format" "$bench" $device decode "$shape" "$format"; done; done ;;
    prefill) for shape in $shapes; do part 40 "prefill $shape" "$bench" $device prefill "$shape" bf16; done ;;
    verify) for shape in $shapes; do for format in $formats; do part 40 "verify $shape $format" "$bench" $device verify "$shape" "$format"; done; done ;;
    graphs) part 60 "graphs ${shapes%% *}" "$bench" $device graphs "${shapes%% *}" bf16 ;;
    attention) part 60 "attention ${shapes%% *}" "$bench" $device attention "${shapes%% *}" bf16 ;;
    speculate) part 90 speculate "$bench" $device speculate "${shapes%% *}" bf16 ;;
    ttft) part 60 ttft "$bench" $device ttft "${ttft_shape:-llama-3.2-1b}" bf16 ;;
    peers)
      [ $device = cpu ] && return
      python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null || { echo "gpu: peers: python3 has no torch with CUDA"; return; }
      for shape in ${shapes//olmoe-1b-7b/}; do part 60 "torch loop $shape" python3 "$loops/torch_loop.py" "$shape"; done
      python3 -c 'import vllm' 2>/dev/null || { echo "gpu: peers: python3 has no vLLM"; return; }
      part 120 vllm python3 "$loops/vllm_loop.py" "${ttft_shape:-llama-3.2-1b}"
      ;;
    *) die "unknown part $1 (see --help)" ;;
  esac
}

table() {
  python3 - "$out/figures.jsonl" "$out/gpu.json" "$1" <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
json.dump({"device": sys.argv[3], "figures": rows}, open(sys.argv[2], "w"), indent=1)
for r in rows:
    print(f"{r['shape']:14} {r['format']:5} {r['name']:44} {r['value']:12.5g} {r['unit']}")
PY
}

all_parts() {  # all_parts DEVICE-NAME PART...
  local name=$1 one
  shift
  export LD_LIBRARY_PATH
  LD_LIBRARY_PATH=$(libtorch)/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} || exit 2
  out=${OUT:-$(pwd)/gpu-out} passed=0 failed=0 unused=0
  mkdir -p "$out"
  : >"$out/figures.jsonl"
  : >"$out/gpu.log"
  for one in "$@"; do run_part "$one"; done
  table "$name"
  echo "gpu: $passed parts passed, $failed failed, $unused without the device; figures in $out/gpu.json"
  if [ $unused != 0 ]; then
    echo "gpu: FAILED, the device was not used: the reason stands above (LibTorch's CUDA libraries come by cmake/bootstrap.sh --cuda)" >&2
    exit 1
  fi
  [ $failed = 0 ] && [ $passed != 0 ]
}

dry=0
case ${1:-} in
  --pack) [ -n "${2:-}" ] || die "--pack needs a folder"; mkdir -p "$here/../build"; pack "$2"; exit ;;
  --dry-run) dry=1; shift ;;
  -h | --help) sed -n '2,20s/^# \{0,1\}//p' "$0"; exit ;;
  -*) die "unknown option $1 (see --help)" ;;
esac
if [ $# = 0 ]; then set -- correct copy decode prefill verify graphs attention speculate ttft peers; fi
found=$(devices)
if [ $dry = 1 ]; then
  device=cpu shapes="tiny tiny-experts" formats="bf16 q8_0" ttft_shape=tiny found="this machine's processor, nothing measured"
elif [ -z "$found" ]; then
  echo "gpu: skipped, there is no NVIDIA device here"
  exit 0
fi
echo "$found"
if [ -x "$here/test_gpu" ]; then
  tests=$here/test_gpu bench=$here/bench_gpu loops=$here
else
  mkdir -p "$here/../build"
  [ -n "${FRUGAL_GPU_BUILD:-}" ] || build "$here/../build/gpu"
  made=${FRUGAL_GPU_BUILD:-$here/../build/gpu}
  tests=$made/bin/tests/test_gpu bench=$made/bin/bench/bench_gpu loops=$here/gpu
fi
began=$SECONDS
all_parts "$found" "$@"
