"""batch: several sequences decoded together, and what a step of several rows costs beside a step of one."""
import re

from harness.rows import Row, interleave
from harness.setup import output_of

SEQUENCES = [1, 4, 8, 16]
PROMPT, TOKENS = 16, 64
STEP_LIMIT = {4: 1.5, 8: 2.4}


def batched_bench(bench):
    """Sequences -> tokens a second over all of them, by llama-batched-bench."""
    text = output_of([bench.llama("llama-batched-bench"), "-m", bench.model, "-t", bench.threads, "-c", 4096, "-npp", PROMPT,
                      "-ntg", TOKENS, "-npl", ",".join(map(str, SEQUENCES))])
    cells = [[c.strip() for c in re.findall(r"[^|]+", line)] for line in text.splitlines() if re.match(r"\|\s*\d", line)]
    return {int(c[2]): float(c[7]) for c in cells}


def run(bench):
    ours = lambda: {n: bench.frugal("batch", "--sequences", n, "--prompt", PROMPT, "--tokens", TOKENS) for n in SEQUENCES}
    peer = (lambda: batched_bench(bench)) if bench.peers else (lambda: {n: None for n in SEQUENCES})
    mine, theirs = interleave(bench.rounds, ours, peer)
    speed = {n: max(m[n]["tokens_per_second"] for m in mine) for n in SEQUENCES}
    for n in SEQUENCES:
        yield Row("batch", f"{n} sequences", "speed of all", "tok/s", speed[n],
                  max(t[n] for t in theirs) if bench.peers else None, "llama.cpp", 5.0 if n == 16 else None)
    for n, limit in STEP_LIMIT.items():
        yield Row("batch", f"{n} rows beside 1", "step", "ms", 1e3 * n / speed[n], 1e3 / speed[1], "a step of one row", 1 / limit,
                  more_is_better=False)
