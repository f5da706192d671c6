#!/bin/sh
# format.sh CLANG_FORMAT [--fix]: every C++ source is as .clang-format says. Exit 4 (skipped) where the formatter is another version:
# two versions rarely agree. cmake/bootstrap.sh --tests brings the pinned one.
set -eu
cd "$(dirname "$0")/../.."
formatter=$1
if ! "$formatter" --version 2>/dev/null | grep -q 'version 14\.'; then
  echo "clang-format 14 is not here: run cmake/bootstrap.sh --tests"
  exit 4
fi
if [ "${2:-}" = --fix ]; then action=-i; else action="--dry-run --Werror"; fi
find include src tests examples bench -name '*.hpp' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' | sort |
  xargs "$formatter" $action --style=file
echo "format: clean"
