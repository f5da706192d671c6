"""decode: one sequence, token after token, greedy and drawn, and how much of the memory's bandwidth that uses."""
import json

from harness.rows import Row, interleave
from harness.setup import output_of
from suites.prefix import Server, post

TOKENS = 128


def llama_bench(bench, *arguments):
    """Tokens per second of one run of llama-bench."""
    text = output_of([bench.llama("llama-bench"), "-m", bench.model, "-t", bench.threads, "-r", "1", "-o", "json", *arguments])
    return json.loads(text)[0]["avg_ts"]


def server_draws(bench):
    """Tokens per second of llama-server's own clock, drawn as ours are and by no other filter."""
    body = {"prompt": "Once upon a time", "n_predict": TOKENS, "ignore_eos": True, "cache_prompt": False, "seed": 1, "temperature": 0.8,
            "top_p": 0.95, "top_k": 0, "min_p": 0.0, "samplers": ["top_p", "temperature"]}
    with Server(bench) as server:
        post(server.url + "/completion", body)
        return max(post(server.url + "/completion", body)["timings"]["predicted_per_second"] for _ in range(3))


def run(bench):
    ours = lambda: bench.frugal("decode", "--tokens", TOKENS)
    peer = (lambda: llama_bench(bench, "-p", 0, "-n", TOKENS)) if bench.peers else (lambda: None)
    mine, theirs = interleave(bench.rounds, ours, peer)
    best = max(mine, key=lambda m: m["tokens_per_second"])
    yield Row("decode", "batch 1", "speed", "tok/s", best["tokens_per_second"],
              max(theirs) if bench.peers else None, "llama.cpp", 1.6)
    drawn = lambda: bench.frugal("decode", "--tokens", TOKENS, "--temperature", 0.8, "--top-p", 0.95)["tokens_per_second"]
    mine_drawn, theirs_drawn = interleave(bench.rounds, drawn, (lambda: server_draws(bench)) if bench.peers else (lambda: None))
    yield Row("decode", "batch 1, temperature 0.8, top-p 0.95", "speed", "tok/s", max(mine_drawn),
              max(theirs_drawn) if bench.peers else None, "llama-server")
    read = best["weight_bytes"] * best["tokens_per_second"] / 1e9
    bandwidth = max(m["read_gb_per_second"] for m in mine)
    yield Row("decode", f"batch 1, {best['weight_bytes'] / 1e6:.1f} MB a token", "roofline", "GB/s", read, bandwidth, "memory reads")
