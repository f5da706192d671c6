#!/usr/bin/env bash
# Unpacks what the tests need for 64-bit ARM beside the cross compiler, Catch2 and rapidcheck, under FOLDER/usr. Nothing is
# installed, and apt's own state stays as it is: the packages come from the system's sources, by lists kept in FOLDER.
#   aarch64_packages.sh FOLDER
# Exits 4 where the system's sources have no packages for arm64 (Ubuntu keeps them on other servers).
set -euo pipefail
folder=$(realpath -m "$1")
[ -f "$folder/usr/lib/libCatch2.a" ] && exit 0
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/packages"
chmod 755 "$folder" "$folder/packages"
options=(-qq -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o APT::Architecture=arm64 -o APT::Architectures=arm64
  -o APT::Sandbox::User=root)
apt-get "${options[@]}" update >/dev/null 2>&1 || true  # sources of others may lack arm64; what is missing shows below
version=$(apt-cache "${options[@]}" madison libcatch2-dev catch2 2>/dev/null |
  awk -F ' *[|] *' '{ gsub(/ /, "", $1); if ($2 + 0 >= 3) { print $1 "=" $2; exit } }')
[ -n "$version" ] || { echo "no Catch2 3 for arm64 in the system's package sources"; exit 4; }
(cd "$folder/packages" && apt-get "${options[@]}" download "$version" librapidcheck-dev) ||
  { echo "the packages for arm64 cannot be fetched"; exit 4; }
for package in "$folder"/packages/*.deb; do dpkg-deb -x "$package" "$folder"; done
rm -r "$folder/lists" "$folder/cache" "$folder/packages"
