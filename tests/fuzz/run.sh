#!/usr/bin/env bash
# Fuzzes each target with libFuzzer, address and undefined-behaviour sanitizers, starting from its corpus.
#   tests/fuzz/run.sh [SECONDS per target, 60] [TARGET ...]
# New inputs stay in build/fuzz/found; a crash is left there as crash-* and makes the script fail. Needs clang++ (CXX names another one).
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
shift || true
cxx=${CXX:-$(command -v clang++-14 || command -v clang++ || true)}
[ -n "$cxx" ] || { echo "tests/fuzz/run.sh: clang++ is missing (apt-get install clang-14)" >&2; exit 1; }

build=${FRUGAL_FUZZ_BUILD:-build/fuzz}
generator=$(command -v ninja >/dev/null && echo Ninja || echo "Unix Makefiles")
cmake -S "${FRUGAL_FUZZ_SOURCE:-.}" -B "$build" -G "$generator" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DFRUGAL_SANITIZE=fuzzer-no-link,address,undefined -DFRUGAL_BUILD_TORCH=OFF -DFRUGAL_BUILD_EXAMPLES=OFF -DFRUGAL_BUILD_TOOLS=OFF \
  -DFRUGAL_INSTALL=OFF >/dev/null
cmake --build "$build" --target fuzz_targets --parallel

failed=0
for program in "$build"/bin/fuzz/fuzz_*; do
  name=${program##*/fuzz_}
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  found=$build/found/$name
  mkdir -p "$found"
  echo "== $name, $seconds s"
  "$program" "$found" "tests/fuzz/corpus/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=20000 \
    -artifact_prefix="$found/" -print_final_stats=1 2>"$found.log" || failed=1
  grep -E '^stat::number_of_executed_units|^stat::peak_rss_mb|ERROR|runtime error' "$found.log" || true
done
exit $failed
