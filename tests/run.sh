#!/usr/bin/env bash
# Everything CI runs, in the order of what fails soonest: all tests, then the sanitizers over what is free of torch, then the kernels of
# other processors.
#
#   tests/run.sh [--quick] [--no-bootstrap] [--minutes N]
#     --quick         no sanitizer builds, nothing for other processors
#     --no-bootstrap  use the machine as it is
#     --minutes N     what follows the tests (sanitizers, CUDA, ARM) begins only where a slow machine would end it within N minutes of the start;
#                     what is left out is said and counts as skipped
# Ends in one line "N passed, N failed, N skipped" over all steps; exits non-zero where a step or a test failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=0 bootstrap=1 minutes=0
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=1 ;;
    --no-bootstrap) bootstrap=0 ;;
    --minutes) minutes=${2:?run.sh: --minutes needs a number}; shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "run.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

jobs=$(nproc)
# A compiler cache tells compilations apart by folder and locale; the hosts of tests/consumer compile the same sources in other folders.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 LANG=C.UTF-8
unset LC_ALL LC_CTYPE LC_MESSAGES
passed=0 failed=0 skipped=0
times=()
shared=

finish() {
  printf '\ntimes:\n'
  printf '  %s\n' "${times[@]}"
  printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
  exit $((failed > 0))
}

# step NAME command...: runs it, notes the time; a failing step counts as one failed test.
step() {
  local name=$1 began=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || status=$?
  times+=("$(printf '%5d s  %s%s' $((SECONDS - began)) "$name" "$([ $status = 0 ] || echo '  FAILED')")")
  if [ $status != 0 ]; then failed=$((failed + 1)); fi
  return $status
}

launcher() { if command -v ccache >/dev/null; then echo -DCMAKE_CXX_COMPILER_LAUNCHER=ccache; fi; }

configure() {  # configure FOLDER option...
  local folder=$1
  shift
  # shellcheck disable=SC2046 # no launcher is no argument
  cmake -S . -B "$folder" -G Ninja $(launcher) "$@" >"$folder.configure.log" 2>&1 ||
    { tail -n 30 "$folder.configure.log"; return 1; }
}

build() {  # build FOLDER target...: one line where all is well
  local folder=$1
  shift
  cmake --build "$folder" -j "$jobs" --target "$@" >"$folder.build.log" 2>&1 ||
    { grep -E -A 6 'error|FAILED|undefined' "$folder.build.log" | head -n 60; return 1; }
  echo "$(grep -c 'warning:' "$folder.build.log" || true) warnings" # grep fails where it counts none
}

# tests NAME FOLDER option...: ctest, and what its JUnit file says added to the sums.
tests() {
  local name=$1 folder=$2 report status=0 began=$SECONDS counted
  shift 2
  report=$PWD/$folder/junit-${name//[^a-z0-9]/-}.xml
  rm -f "$report"
  printf '\n== %s\n' "$name"
  ctest --test-dir "$folder" -j "$jobs" --output-on-failure --no-tests=error --output-junit "$report" \
    --test-output-size-passed 200000 "$@" || status=$?
  times+=("$(printf '%5d s  %s%s' $((SECONDS - began)) "$name" "$([ $status = 0 ] || echo '  FAILED')")")
  counted=$(python3 tests/checks/count.py "$report") || counted="0 1 0"
  local p f s
  read -r p f s <<<"$counted"
  if [ $status != 0 ] && [ "$f" = 0 ]; then f=1; fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# part MINUTES command...: runs it, unless the time that is left would not do on a slow machine without a warm compiler cache.
part() {
  local needs=$1 name
  shift
  name=$1
  if [ "$name" = sanitized ]; then name=$2; fi
  if [ "$minutes" -gt 0 ] && [ $((SECONDS / 60 + needs)) -gt "$minutes" ]; then
    printf '\n== %s: left out: it may take %d minutes, and %d of %d are over\n' "$name" "$needs" $((SECONDS / 60)) "$minutes"
    times+=("$(printf '    - s  %s  LEFT OUT' "$name")")
    skipped=$((skipped + 1))
    return
  fi
  "$@"
}

# sanitized NAME SANITIZERS "TARGETS" ctest-option...: builds these targets of the torch-free rooms and runs their tests.
sanitized() {
  local name=$1 sanitizers=$2 targets=$3 folder=build/$1
  shift 3
  step "$name: configure" configure "$folder" -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1" \
    -DFRUGAL_SANITIZE="$sanitizers" -DFRUGAL_BUILD_TORCH=OFF -DFRUGAL_BUILD_EXAMPLES=OFF -DFRUGAL_BUILD_TOOLS=OFF ${shared:+"$shared"} || return
  # shellcheck disable=SC2086 # a list of targets
  step "$name: build" build "$folder" $targets || return
  tests "$name: tests" "$folder" "$@"
}

# What a kernel keeps in registers must not go to memory.
no_spills() { ! grep -E '[1-9][0-9]* bytes (stack frame|spill)' "$1"; }

# The CUDA kernels, compiled for devices; nothing where there is no nvcc. The same source is tested on the host by cuda_kernels. Where a compiler
# cache has the rest from the build above, a host is built on a frugal::torch that contains them.
cuda() {
  local nvcc torch=OFF
  nvcc=$(command -v nvcc || command -v /usr/local/cuda/bin/nvcc) || { printf '\n== cuda: not compiled, there is no nvcc\n'; return; }
  if command -v ccache >/dev/null && [ -d .deps/libtorch/torch ]; then torch=ON; fi
  step "cuda: configure" configure build/cuda -DCMAKE_BUILD_TYPE=Release -DFRUGAL_WERROR=ON -DFRUGAL_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc" \
    -DFRUGAL_BUILD_TORCH=$torch -DFRUGAL_BUILD_TESTS=$torch -DFRUGAL_BUILD_EXAMPLES=OFF -DFRUGAL_BUILD_TOOLS=OFF -DFRUGAL_BUILD_CPU=OFF \
    -DFRUGAL_BUILD_HTTP=OFF -DFRUGAL_BUILD_SERVER=OFF || return
  step "cuda: build" build build/cuda frugal_obj_cuda_kernels || return
  step "cuda: registers suffice" no_spills build/cuda.build.log
  grep -E 'Compiling entry function|spill|Used' build/cuda.build.log | sed 's/^ptxas info *: *//; s/^ */  /'
  [ $torch = ON ] || return
  step "cuda: frugal::torch" build build/cuda frugal_engine frugal_torch || return
  tests "cuda: a host" build/cuda -R '^consumer_torch$'
}

# The CPU kernels of 64-bit ARM, cross-compiled and run in qemu; nothing where the compiler, qemu or the packages are not to be had.
aarch64() {
  local tool status=0
  for tool in aarch64-linux-gnu-g++ qemu-aarch64; do
    command -v $tool >/dev/null || { printf '\n== aarch64: not run, there is no %s\n' $tool; return; }
  done
  tests/support/aarch64_packages.sh .deps/aarch64 || status=$?
  if [ $status != 0 ]; then printf '\n== aarch64: not run (see above)\n'; return; fi
  step "aarch64: configure" configure build/aarch64 -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/aarch64-linux-gnu.cmake" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$PWD/.deps/aarch64/usr" -DFRUGAL_WERROR=ON -DFRUGAL_BUILD_TORCH=OFF -DFRUGAL_BUILD_EXAMPLES=OFF || return
  step "aarch64: build" build build/aarch64 test_cpu_kernels || return
  tests "aarch64: tests" build/aarch64 -R '^cpu_kernels$'
}

# The test programs of these rooms, as far as they are here.
programs() {
  local room
  for room in "$@"; do if [ -f "tests/$room/CMakeLists.txt" ]; then echo "test_$room"; fi; done
}

mkdir -p build
if [ $bootstrap = 1 ]; then step bootstrap cmake/bootstrap.sh --tests --torch || finish; fi
step configure configure build/ci -DCMAKE_BUILD_TYPE=Release -DFRUGAL_WERROR=ON || finish
step build build build/ci all || finish
tests tests build/ci
if [ $quick = 0 ]; then
  export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
  shared=-DBUILD_SHARED_LIBS=ON # tests link their rooms in either case; so the shared components are linked once as well
  part 36 sanitized asan address,undefined all -L 'unit|property|fuzz'
  shared=
  part 10 sanitized tsan thread "$(programs meter engine endpoint contracts) test_cpu_crew" -R '^(meter|engine|endpoint|contracts|cpu_crew)$'
  part 10 cuda
  part 6 aarch64
fi
if command -v ccache >/dev/null; then ccache --show-stats 2>/dev/null | grep -i -m 3 -E 'hit|miss' || true; fi
finish
