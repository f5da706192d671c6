#!/bin/sh
# host.sh CMAKE MAKE FOLDER option ...: configures a host in FOLDER, builds it and runs it. Not by ctest's own way to do that, which sets another
# locale: a compiler cache takes that for another compilation.
set -eu
cmake=$1 make=$2 folder=$3
shift 3
"$cmake" -B "$folder" "$@"
"$make" -C "$folder" consumer
exec "$folder/consumer"
