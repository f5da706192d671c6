#!/usr/bin/env bash
# The main job in one command: brings what is missing, builds frugal, and runs a support desk on a real model: plainly,
# with the lever that the advisor recommends, and frugally; ends with a report of prediction and outcome. Arguments go
# to the program (see build/bin/quickstart --help); --backend torch fetches LibTorch as well (530 MB).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

torch=() option=OFF
case " $* " in *" --backend torch "* | *" --backend=torch "*) torch=(--torch) option=ON ;; esac

cmake/bootstrap.sh "${torch[@]}"
echo "building (a few minutes the first time)"
mkdir -p build
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DFRUGAL_BUILD_TESTS=OFF -DFRUGAL_BUILD_TORCH=$option >build/configure.log ||
  { tail -n 20 build/configure.log >&2; exit 1; }
cmake --build build --target example_quickstart frugal_program
exec build/bin/quickstart "$@"
