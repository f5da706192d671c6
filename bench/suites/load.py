"""load: a new process answers with one token: time from its start to its end, and the most memory it held."""
from harness.rows import Row, interleave
from harness.setup import timed_process

PROMPT = "The capital of France is"
KV_MIB = 45  # 2,048 tokens of the default model in fp16


def run(bench):
    ours = lambda: timed_process([bench.program("frugal"), "generate", "--model", bench.model, "--backend", "cpu", "--threads",
                                  bench.threads, "--kv-mib", KV_MIB, "--prompt", PROMPT, "--max-tokens", 1, "--quiet"])
    llama = lambda: timed_process([bench.llama("llama-completion"), "-m", bench.model, "-t", bench.threads, "-c", 2048, "-n", 1,
                                   "-p", PROMPT, "-no-cnv", "--no-warmup", "--temp", "0"])
    mine, theirs = interleave(2 * bench.rounds, ours, llama if bench.peers else lambda: (None, None))
    least = lambda side, index: min(s[index] for s in side) if bench.peers or side is mine else None
    yield Row("load", "cold process, one token", "time", "s", least(mine, 0), least(theirs, 0), "llama-completion", 1.0, False)
    yield Row("load", "cold process, one token", "most memory", "MB", least(mine, 1), least(theirs, 1), "llama-completion", None, False)
    allowed = 1.3 * bench.model.stat().st_size / 1e6 + KV_MIB * 1.048576
    yield Row("load", f"1.3 x file + {KV_MIB} MiB of KV", "most memory", "MB", least(mine, 1), allowed, "allowed", 1.0, False)
