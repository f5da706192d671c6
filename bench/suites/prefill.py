"""prefill: a prompt of 512 tokens to its first token, and the same with prompts in bf16, which differs where the processor has AMX."""
from harness.rows import Row, interleave
from harness.setup import output_of
from suites.decode import llama_bench

TOKENS = 512
OPENVINO = """
import sys, time, numpy, openvino, openvino_genai as ov
model, threads, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pipe = ov.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)
config = ov.GenerationConfig(max_new_tokens=1, do_sample=False, ignore_eos=True)
best = 1e9
for seed in range(4):  # another prompt each time: the pipeline keeps prefixes
    ids = [[1000 + (i + 1) * 2654435761 % 20011 + seed for i in range(tokens)]]
    start = time.perf_counter()
    pipe.generate(openvino.Tensor(numpy.asarray(ids, dtype="int64")), config)
    best = min(best, time.perf_counter() - start)
print(tokens / best)
"""


def run(bench):
    ours = lambda: bench.frugal("prefill", "--tokens", TOKENS)["tokens_per_second"]
    rounded = lambda: bench.frugal("prefill", "--tokens", TOKENS, "--bf16-prompts")["tokens_per_second"]
    if not bench.peers:
        mine, bf16 = interleave(bench.rounds, ours, rounded)
        yield Row("prefill", f"{TOKENS} tokens", "speed", "tok/s", max(mine))
        yield Row("prefill", f"{TOKENS} tokens, bf16", "speed", "tok/s", max(bf16))
        return
    llama = lambda: llama_bench(bench, "-p", TOKENS, "-n", 0)
    python = bench.peers.openvino_python()
    openvino = lambda: float(output_of([python, "-c", OPENVINO, bench.model, bench.threads, TOKENS]).split()[-1])
    mine, bf16, llamas, openvinos = interleave(bench.rounds, ours, rounded, llama, openvino)
    yield Row("prefill", f"{TOKENS} tokens", "speed", "tok/s", max(mine), max(llamas), "llama.cpp", 5.0)
    yield Row("prefill", f"{TOKENS} tokens", "speed", "tok/s", max(mine), max(openvinos), "OpenVINO GenAI", 3.0)
    yield Row("prefill", f"{TOKENS} tokens, bf16", "speed", "tok/s", max(bf16), max(llamas), "llama.cpp", None)
    yield Row("prefill", f"{TOKENS} tokens, bf16", "speed", "tok/s", max(bf16), max(openvinos), "OpenVINO GenAI", None)
