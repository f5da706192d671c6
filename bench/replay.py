#!/usr/bin/env python3
"""Seconds and peak memory of `frugal replay` over a trace of 1,000,000 requests (some 0.9 GB, made once beside the build).

    bench/replay.py [PROGRAM] [--requests N] [--trace FILE]
"""
import argparse
import os
import random
import resource
import subprocess
import sys
import time

PIECES = [(f"desk{i % 7}", 20 + 4 * i) for i in range(40)]  # type and blocks of each shared beginning


def write(path, n):
    """Forty shared beginnings of 20 to 176 blocks, each followed by 1 to 39 blocks of the request's own."""
    rng, at, fresh = random.Random(1), 1.79e9, 1 << 40
    shared = [[(i << 20) + b for b in range(blocks)] for i, (_, blocks) in enumerate(PIECES)]
    texts = [",".join(map(str, chain)) for chain in shared]
    with open(path + ".partial", "w") as out:
        for i in range(n):
            at += rng.expovariate(20)
            which = min(39, int(rng.expovariate(0.1)))
            own = rng.randrange(1, 40)
            fresh += own
            prompt, output = 16 * (PIECES[which][1] + own) + rng.randrange(16), rng.randrange(5, 300)
            ttft = 40 + 0.05 * prompt * rng.uniform(0.9, 1.1)
            out.write(f'{{"timestamp":{at:.3f},"type":"{PIECES[which][0]}","model":"gpt-4o","prompt_tokens":{prompt},'
                      f'"output_tokens":{output},"cached_tokens":0,"ttft_ms":{ttft:.2f},"e2e_ms":{ttft + 15 * output:.2f},'
                      f'"prefix_blocks":[{texts[which]},{",".join(map(str, range(fresh, fresh + own)))}]}}\n')
    os.rename(path + ".partial", path)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program", nargs="?", default="build/bin/frugal")
    options.add_argument("--requests", type=int, default=1000000)
    options.add_argument("--trace", default="build/replay_bench.jsonl")
    given = options.parse_args()
    path = f"{given.trace}.{given.requests}"
    if not os.path.exists(path):
        write(path, given.requests)
    begin = time.monotonic()
    done = subprocess.run([given.program, "replay", path, "--quiet", "--json"], stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{given.requests:,} requests, {os.path.getsize(path) / 1e6:,.0f} MB: {seconds:.1f} s, peak {peak:.0f} MiB")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
