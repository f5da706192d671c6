"""neighbours: one sequence beside busy programs on the same cores: time for a token, beside the same program on the idle machine."""
import contextlib
import subprocess
import sys
import time

from harness.rows import Row, interleave
from suites.decode import llama_bench

TOKENS, PEER_TOKENS = 400, 32  # ours take as long as the threads need to find out who is there; llama.cpp may take 0.4 s a token
ALLOWED = {1: 1.8, 2: 3.0}


@contextlib.contextmanager
def busy(programs):
    """Programs that do nothing but use a core each."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    time.sleep(0.3 if started else 0.0)
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def run(bench):
    def beside(programs, speed):
        with busy(programs):
            return 1e3 / speed()

    ours = lambda: bench.frugal("decode", "--tokens", TOKENS, "--repeat", 1)["tokens_per_second"]
    theirs = (lambda: llama_bench(bench, "-p", 0, "-n", PEER_TOKENS)) if bench.peers else None
    counts = [0, *ALLOWED]
    mine, other = interleave(bench.rounds, lambda: [beside(n, ours) for n in counts],
                             (lambda: [beside(n, theirs) for n in counts]) if theirs else (lambda: None))
    at = lambda runs, i: sorted(r[i] for r in runs)[len(runs) // 2]
    for i, n in enumerate(counts):
        yield Row("neighbours", f"{n} busy programs", "a token, median", "ms", at(mine, i), at(other, i) if theirs else None, "llama.cpp",
                  more_is_better=False)
    for i, n in enumerate(counts[1:], 1):
        yield Row("neighbours", f"{n} busy programs", "a token, median", "ms", at(mine, i), at(mine, 0), "idle machine", 1 / ALLOWED[n],
                  more_is_better=False)
