"""fidelity: divergence from the fp32 forward pass of the same file, on stories nobody tuned for.

The first run lets the reference backend compute 10 chunks of 512 tokens (some minutes) and keeps its log-probabilities in .deps/bench;
llama-perplexity reads the same ones. KL divergence in nats over the later half of each chunk.
"""
import json
import re
import subprocess

from harness.rows import Row
from harness.setup import CACHE, output_of

CHUNKS, CHARACTERS = 10, 40000
MOST_KL, LEAST_SAME_TOP = 0.0029, 96.5


def text_file(bench):
    file = CACHE / "stories.txt"
    if not file.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        passages = dict.fromkeys(json.loads(line)["passage"] for line in bench.stories())
        file.write_text("\n\n".join(passages)[:CHARACTERS])
    return file


def llama_divergence(bench, base):
    done = subprocess.run([bench.llama("llama-perplexity"), "-m", bench.model, "-t", str(bench.threads), "-c", "512", "--kl-divergence",
                           "--kl-divergence-base", base], capture_output=True, text=True, check=True)
    find = lambda name: float(re.search(name + r"\s*:\s*([\d.]+)", done.stdout + done.stderr).group(1))
    return {"mean_kl": find("Mean    KLD"), "same_top": find("Same top p")}


def run(bench):
    base = CACHE / f"{bench.model.stem}.{CHUNKS}x512.logprobs"
    arguments = ["--model", bench.model, "--threads", bench.threads, "--chunks", CHUNKS, "--text", text_file(bench), "--base", base]
    mine = lambda *more: json.loads(output_of([bench.program("bench/bench_fidelity"), *arguments, *more]))
    default = mine()
    peer = llama_divergence(bench, base) if bench.peers else {"mean_kl": None, "same_top": None}
    case = f"{default['positions']} positions"
    yield Row("fidelity", case, "mean KL", "nats", default["mean_kl"], peer["mean_kl"], "llama.cpp", None, False)
    yield Row("fidelity", case, "same top token", "%", default["same_top"], peer["same_top"], "llama.cpp", None)
    yield Row("fidelity", case, "mean KL", "nats", default["mean_kl"], MOST_KL, "allowed", 1.0, False)
    yield Row("fidelity", case, "same top token", "%", default["same_top"], LEAST_SAME_TOP, "wanted", 1.0)
    yield Row("fidelity", case, "top five, 99 of 100", "nats", default["top_five_p99"])
    yield Row("fidelity", case, "top five, worst", "nats", default["top_five_worst"])
    for name, more in {"int8 KV": ["--kv", "int8"], "fp32 KV": ["--kv", "fp32"], "fine": ["--fine"], "prompts in bf16": ["--bf16-prompts"]}.items():
        other = mine(*more)
        yield Row("fidelity", name, "mean KL", "nats", other["mean_kl"])
        yield Row("fidelity", name, "same top token", "%", other["same_top"])
