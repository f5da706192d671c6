"""prefill: a prompt of 512 tokens to its first token."""
from harness.rows import Row, interleave
from harness.setup import output_of
from suites.decode import llama_bench

TOKENS = 512
OPENVINO = """
import sys, time, openvino_genai as ov
model, threads, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pipe = ov.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)
word = pipe.get_tokenizer().encode(" the" * tokens).input_ids
import openvino, numpy
ids = openvino.Tensor(numpy.asarray(word.data)[:, :tokens].astype("int64"))
config = ov.GenerationConfig(max_new_tokens=1, do_sample=False, ignore_eos=True)
best = 1e9
for _ in range(4):
    start = time.perf_counter()
    pipe.generate(ids, config)
    best = min(best, time.perf_counter() - start)
print(ids.shape[1] / best)
"""


def run(bench):
    ours = lambda: bench.frugal("prefill", "--tokens", TOKENS)["tokens_per_second"]
    if not bench.peers:
        yield Row("prefill", f"{TOKENS} tokens", "speed", "tok/s", max(interleave(bench.rounds, ours)[0]))
        return
    llama = lambda: llama_bench(bench, "-p", TOKENS, "-n", 0)
    python = bench.peers.openvino_python()
    openvino = lambda: float(output_of([python, "-c", OPENVINO, bench.model, bench.threads, TOKENS]).split()[-1])
    mine, llamas, openvinos = interleave(bench.rounds, ours, llama, openvino)
    yield Row("prefill", f"{TOKENS} tokens", "speed", "tok/s", max(mine), max(llamas), "llama.cpp", 5.0)
    yield Row("prefill", f"{TOKENS} tokens", "speed", "tok/s", max(mine), max(openvinos), "OpenVINO GenAI", 3.0)
