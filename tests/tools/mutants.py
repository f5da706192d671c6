"""mutants.py FRUGAL CORPUS [--count N] [--first N] [--kind NAME]...: damaged files through the program, as users hand them over.

Each kind of file is damaged at random N times (environment FRUGAL_MUTANTS, else 60) and given to the command that reads it. A mutant
fails where the program crashes, computes for more than 10 s, needs more than 2 GB, ends with a code other than 0, 1 and 2, says nothing
about an error, or ends with 0 and a figure that is not finite. The mutants are the same in every run; those that fail are kept.
"""
import argparse
import array
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

PIECES = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"-1", b"0", b"1e308", b"1e999", b"NaN", b"0.5", b"{}", b"[]", b'""',
          b"18446744073709551615", b"4294967296", b"2147483647", b"9007199254740993", b"10000000000", b"\\u0000", b"\\ud800", b"\xff",
          b"[" * 300, b'{"a":' * 300, b"{{", b"{%", b"%}", b"range(99999)", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x80\x7f"]
FIGURE = re.compile(rb"(?<![\w\"-])-?(nan|inf|infinity)(?![\w\"-])", re.I)


def damaged(seed, rng):
    out = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(12)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif kind == 1 and out:
            out[at % len(out)] = rng.randrange(256)
        elif kind == 2 and rng.randrange(4) == 0:
            del out[at:]
        elif kind == 3:
            del out[at:at + rng.randint(1, 40)]
        elif kind == 4:
            out[at:at] = rng.choice(PIECES)
        elif kind == 5:
            begin = rng.randrange(len(out) + 1)
            out[at:at] = out[begin:begin + rng.randint(1, 200)]
        else:  # another value in the place of one
            found = list(re.finditer(rb'-?\d+(\.\d+)?|true|false|null|"[^"]{0,40}"', bytes(out[:20000])))
            if found:
                one = rng.choice(found)
                out[one.start():one.end()] = rng.choice(PIECES[7:22])
    return bytes(out)


def loaded_bytes(frugal):
    """What the program maps before it does anything: LibTorch, where it is linked, is half a gigabyte."""
    listed = subprocess.run(["ldd", frugal], capture_output=True, text=True).stdout
    return sum(os.path.getsize(path) for path in [frugal] + re.findall(r"(/\S+) \(0x", listed))


def limit_memory(size):
    """For the programs that are started from now on: setting it between fork and exec would cost more than the program."""
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def refused_constant(name):
    raise ValueError("the figure " + name)


def wrong(done, is_json, npy):
    """What is wrong with how a run ended, or nothing."""
    if done.returncode < 0:
        return "signal " + signal.Signals(-done.returncode).name
    if done.returncode not in (0, 1, 2):
        return "exit code %d" % done.returncode
    if done.returncode != 0:
        return None if done.stderr.strip() else "no word about the error"
    try:
        if is_json:
            answer = json.loads(done.stdout, parse_constant=refused_constant)
            if isinstance(answer, dict) and any(token["logprob"] is None for token in answer.get("logprobs") or []):
                return "a log-probability that is not finite"
        elif FIGURE.search(done.stdout):
            return "a figure that is not finite"
        if npy:
            blob = npy.read_bytes()
            begin = 10 + struct.unpack("<H", blob[8:10])[0]
            values = array.array("f", blob[begin:])
            if any(v != v or abs(v) == float("inf") for v in values):
                return "logits that are not finite"
    except (ValueError, UnicodeDecodeError, OSError) as e:
        return str(e)[:200]
    return None


def hugging_face_folder(folder, corpus):
    """A decoder of one layer with a tokenizer, small enough to be written by hand."""
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32,
              "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 64, "vocab_size": 300,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 32}, "tie_word_embeddings": True, "hidden_act": "silu",
              "eos_token_id": [1, 2], "sliding_window": None, "torch_dtype": "float32"}
    shapes = {"model.embed_tokens.weight": (300, 32), "model.norm.weight": (32,), "input_layernorm.weight": (32,),
              "post_attention_layernorm.weight": (32,), "self_attn.q_proj.weight": (32, 32), "self_attn.k_proj.weight": (16, 32),
              "self_attn.v_proj.weight": (16, 32), "self_attn.o_proj.weight": (32, 32), "mlp.gate_proj.weight": (32, 32),
              "mlp.up_proj.weight": (32, 32), "mlp.down_proj.weight": (32, 32)}
    rng, header, data = random.Random(1), {}, array.array("f")
    for name, shape in shapes.items():
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        begin = 4 * len(data)
        data.extend(rng.gauss(1 if len(shape) == 1 else 0, 0.2) for _ in range(size))
        full = name if name.startswith("model.") else "model.layers.0." + name
        header[full] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, 4 * len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data.tobytes())
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(corpus / "tokenizer_json" / "byte_level.json", folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE, "eos_token": "<|im_end|>", "add_bos_token": False}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))


TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m.role }}{% if m.content is string %}{{ m.content }}{% endif %}{% for t in m.tool_calls or [] %}"
            "{{ t.function.name }}{{ t.function.arguments | tojson }}{% endfor %}{% endfor %}{{ tools | tojson if tools }}")
MESSAGES = [[{"role": "user", "content": "hi"}],
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "a"}]},
                          {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {
                              "name": "f", "arguments": {"a": [1, 2.5, {"b": None}]}}}]}, {"role": "tool", "content": "3", "tool_call_id": "1"}],
             "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
             "chat_template_kwargs": {"enable_thinking": False}}]
TRACE = [{"timestamp": 1790000000.25, "id": "r1", "type": "chat", "tenant": "t", "model": "gpt-4o", "prompt_tokens": 64, "output_tokens": 9,
          "cached_tokens": 16, "queue_ms": 1, "ttft_ms": 50.5, "e2e_ms": 320.25, "pieces": 9, "finish": "stop", "max_tokens": 100,
          "prefix_blocks": [1, 2, 3, 4], "prompt_hash": 5, "answer_hash": 6, "attempts": [{"endpoint": "e", "model": "m", "usage": {
              "input": 64, "cached_read": 16, "output": 9}, "tokens": {"prompt_computed": 48, "prompt_cached": 16, "decoded": 9, "passes": 9,
              "rows": 60}, "score": 0.5, "accepted": True}]},
         {"model": "claude-sonnet-4-5", "usage": {"input_tokens": 3, "cache_creation_input_tokens": 124, "output_tokens": 50}, "e2e_ms": 900},
         {"timestamp": 27482, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]}]


MODELS = {"gemma2", "gemma3", "llama", "phi3", "qwen2", "qwen2moe", "qwen3"}


class Bench:
    def __init__(self, frugal, corpus, scratch):
        self.frugal, self.corpus, self.scratch = frugal, corpus, scratch
        self.own = loaded_bytes(frugal)
        self.folder = scratch / "hf"
        hugging_face_folder(self.folder, corpus)
        self.npy = scratch / "out.npy"
        self.ids = scratch / "ids.json"
        self.ids.write_text("[0, 1, 2]")
        self.seeds = {
            "gguf": [p.read_bytes() for p in sorted((corpus / "gguf").glob("*.gguf")) if p.stem in MODELS],
            "tokenizer": [p.read_bytes() for p in sorted((corpus / "tokenizer_json").glob("*.json"))],
            "config": [(self.folder / n).read_bytes() for n in ("config.json", "config.json", "tokenizer_config.json", "generation_config.json")],
            "safetensors": [(self.folder / "model.safetensors").read_bytes()],
            "messages": [json.dumps(m).encode() for m in MESSAGES],
            "trace": ["".join(json.dumps(r) + "\n" for r in TRACE).encode()],
        }

    def answer(self, model, i):
        """Every second time the logits instead of an answer."""
        common = ["--model", str(model), "--backend", ("cpu", "reference")[i // 2 % 2], "--threads", "1", "--quiet"]
        if i % 2:
            self.npy.unlink(missing_ok=True)
            return ["score", *common[:4], *common[6:], "--ids-file", str(self.ids), "--out", str(self.npy)], False, self.npy
        return ["generate", *common, "--kv-mib", "1", "--prompt", "He", "--max-tokens", "3", "--logprobs", "2", "--json"], True, None

    def job(self, kind, data, i):
        """The command line for this mutant, whether it prints JSON, and the array that it writes."""
        path = self.scratch / ("mutant." + kind)
        if kind == "gguf":
            path.write_bytes(data)
            return self.answer(path, i)
        if kind in ("config", "safetensors"):
            names = {"config": ("config.json", "config.json", "tokenizer_config.json", "generation_config.json"), "safetensors": ("model.safetensors",)}
            name = names[kind][self.chosen]
            path = self.scratch / "mutant"
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(self.folder, path)
            (path / name).write_bytes(data)
            return self.answer(path, i)
        path = self.scratch / ("mutant.jsonl" if kind == "trace" else "mutant.json")
        path.write_bytes(data)
        if kind == "tokenizer":
            return ["tokenize", "--model", str(path), "--quiet"], True, None
        if kind == "messages":
            if i % 4 == 0:
                return ["generate", "--model", str(self.folder), "--messages", str(path), "--max-tokens", "2", "--kv-mib", "1", "--threads", "1",
                        "--quiet", "--json"], True, None
            return ["render", "--model", str(self.folder), "--messages", str(path), "--quiet", *(["--json"] if i % 2 else [])], bool(i % 2), None
        command = ("advise", "replay")[i % 2]
        return [command, str(path), "--quiet", *(["--json"] if i // 2 % 2 else [])], bool(i // 2 % 2), None

    def run(self, kind, count, first=0):
        """The seeds as they are come first: they must be served, or the mutants would test nothing. Mutants before `first` are made and passed
        over."""
        rng, failed, ended, seeds = random.Random("20261126" + kind), 0, {}, self.seeds[kind]
        for i in range(-2 * len(seeds), count):
            self.chosen = i % len(seeds) if i < 0 else rng.randrange(len(seeds))
            data = seeds[self.chosen] if i < 0 else damaged(seeds[self.chosen], rng)
            if 0 <= i < first:
                continue
            command, is_json, npy = self.job(kind, data, i)
            before = children_seconds()
            done = subprocess.run([self.frugal, *command], capture_output=True, input=b"Hello w\xc3\xb6rld <|im_end|>" if kind == "tokenizer" else b"",
                                  timeout=300)
            seconds = children_seconds() - before
            if i >= 0:
                ended[done.returncode] = ended.get(done.returncode, 0) + 1
            fault = wrong(done, is_json, npy) or ("%.1f s of computing" % seconds if seconds > 10 else None) or ("the seed is not served" if i < 0 and done.returncode else None)
            if i and i % 1000 == 0:
                print("%s: %d so far" % (kind, i), flush=True)
            if fault:
                failed += 1
                kept = pathlib.Path("mutant_%s_%d" % (kind, i))
                kept.write_bytes(data)
                print("%s mutant %d: %s: frugal %s\n  kept as %s; %s" % (kind, i, fault, " ".join(command), kept.resolve(),
                                                                        done.stderr[-300:].decode(errors="replace")))
        print("%s: %d mutants, exit codes %s, %d wrong" % (kind, max(0, count - first), dict(sorted(ended.items())), failed), flush=True)
        return failed


def line_that_does_not_fit(bench):
    """A line that memory has no room for ends the reading with its own number; nothing is taken for the end of the file."""
    path, good = bench.scratch / "long.jsonl", json.dumps(TRACE[1]) + "\n"
    path.write_text(good * 2 + '{"x": "' + "a" * (100 << 20) + '"}\n' + good)
    limit_memory(bench.own + (150 << 20))
    done = subprocess.run([bench.frugal, "replay", str(path), "--quiet"], capture_output=True, timeout=300)
    limit_memory(bench.own + (2 << 30))
    if done.returncode == 2 and b"long.jsonl:3: not enough memory for the line" in done.stderr:
        return 0
    print("a line that does not fit: code %d, %s" % (done.returncode, done.stderr[-300:]))
    return 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("frugal")
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=int(os.environ.get("FRUGAL_MUTANTS", "0")),
                        help="of each kind; 60, or 15 where LibTorch is linked and each start takes a third of a second")
    parser.add_argument("--first", type=int, default=0, help="go on from here: the mutants are the same in every run")
    parser.add_argument("--kind", action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(os.path.abspath(options.frugal), options.corpus, pathlib.Path(scratch))
        count = options.count or (15 if bench.own > 200 << 20 else 60)
        failed = line_that_does_not_fit(bench) + sum(bench.run(kind, count, options.first) for kind in options.kind or bench.seeds)
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
