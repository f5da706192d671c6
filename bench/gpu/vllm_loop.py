"""vllm_loop.py SHAPE: vLLM's decode rate at 1, 8 and 64 sequences on random weights of bench_gpu's shapes, bfloat16, its own defaults: 512 tokens
of prompt, then 16 and 80 tokens of answer; the difference is 64 steps. Prints its figures as bench_gpu does."""
import json
import os
import sys
import tempfile
import time

from peer_shapes import SHAPES


def config(folder, shape):
    count, d, ff, heads, kv, vocab = SHAPES[shape]
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "num_hidden_layers": count, "hidden_size": d,
                   "intermediate_size": ff, "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocab, "rms_norm_eps": 1e-5,
                   "rope_theta": 500000.0, "max_position_embeddings": 2048, "tie_word_embeddings": shape != "llama-3-8b",
                   "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2}, out)


def main():
    from vllm import LLM, SamplingParams

    shape = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        config(folder, shape)
        llm = LLM(model=folder, load_format="dummy", skip_tokenizer_init=True, dtype="bfloat16", max_model_len=1024, enable_prefix_caching=False)

        def seconds(batch, tokens):
            prompts = [{"prompt_token_ids": [7 + i] * 512} for i in range(batch)]
            settings = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True, detokenize=False)
            before = time.perf_counter()
            llm.generate(prompts, settings, use_tqdm=False)
            return time.perf_counter() - before

        for batch in (1, 8, 64):
            seconds(batch, 4)
            step = sorted(seconds(batch, 80) - seconds(batch, 16) for _ in range(3))[1] / 64
            print(json.dumps({"part": "peers", "shape": shape, "format": "bf16", "name": f"vLLM at batch {batch}", "value": batch / step,
                              "unit": "tok/s"}), flush=True)


main()
