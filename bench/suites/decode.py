"""decode: one sequence, token after token, and how much of the memory's bandwidth that uses."""
import json

from harness.rows import Row, interleave
from harness.setup import output_of

TOKENS = 128


def llama_bench(bench, *arguments):
    """Tokens per second of one run of llama-bench."""
    text = output_of([bench.llama("llama-bench"), "-m", bench.model, "-t", bench.threads, "-r", "1", "-o", "json", *arguments])
    return json.loads(text)[0]["avg_ts"]


def run(bench):
    ours = lambda: bench.frugal("decode", "--tokens", TOKENS)
    peer = (lambda: llama_bench(bench, "-p", 0, "-n", TOKENS)) if bench.peers else (lambda: None)
    mine, theirs = interleave(bench.rounds, ours, peer)
    best = max(mine, key=lambda m: m["tokens_per_second"])
    yield Row("decode", "batch 1", "speed", "tok/s", best["tokens_per_second"],
              max(theirs) if bench.peers else None, "llama.cpp", 1.6)
    read = best["weight_bytes"] * best["tokens_per_second"] / 1e9
    bandwidth = max(m["read_gb_per_second"] for m in mine)
    yield Row("decode", f"batch 1, {best['weight_bytes'] / 1e6:.1f} MB a token", "roofline", "GB/s", read, bandwidth, "memory reads")
