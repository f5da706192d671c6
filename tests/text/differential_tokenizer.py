"""Compares frugal's tokenizer with Hugging Face `tokenizers`, string by string, for each pre-tokenizer.

One real vocabulary (SmolLM2's, read from its GGUF file), and one in which any two bytes merge, is put behind the five
pre-tokenizers, as tokenizer.json files with the regexes of GPT-2, SmolLM, Qwen2, Llama 3 and Tekken. Strings are drawn with a fixed
seed, plus real text from --texts. `tokenizers` takes well-formed text only, so malformed UTF-8 is compared with a twin of the
pre-tokenizers in Python's `regex` module. Prints one line a comparison; ends with 1 on the first difference.
"""
import argparse
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import unicodedata

import gguf
import regex
import tokenizers

CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
MODERN = r"(?i:%s)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = CONTRACTIONS + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = MODERN % (CONTRACTIONS, r"\p{N}")
LLAMA3 = MODERN % (CONTRACTIONS, r"\p{N}{1,3}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (r"[^\r\n\p{L}\p{N}]?%s*%s+|[^\r\n\p{L}\p{N}]?%s+%s*" % (UPPER, LOWER, UPPER, LOWER) +
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


PRE = {
    "gpt2": byte_level(True),
    "smollm": sequence({"type": "Digits", "individual_digits": True}, byte_level(True)),
    "qwen2": sequence(split(QWEN2), byte_level(False)),
    "llama3": sequence(split(LLAMA3), byte_level(False)),
    "tekken": sequence(split(TEKKEN), byte_level(False)),
}


def added(token_id, content, special, **flags):
    token = {"id": token_id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {**token, "special": special, **flags}


def letters():
    """GPT-2's character for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


class Vocabulary:
    def __init__(self, model):
        fields = gguf.GGUFReader(model).fields
        self.tokens = fields["tokenizer.ggml.tokens"].contents()
        self.kinds = fields["tokenizer.ggml.token_type"].contents()
        self.merges = fields["tokenizer.ggml.merges"].contents()

    def pairs_json(self, pre):
        """Every two bytes merge, in a drawn order: ids then show almost every place where text was cut."""
        alphabet = list(letters().values())
        pairs = [[a, b] for a in alphabet for b in alphabet]
        random.Random(5).shuffle(pairs)
        vocab = {t: i for i, t in enumerate(alphabet + [a + b for a, b in pairs])}
        spec = self.model_json(pre, "plain")
        spec["added_tokens"] = []
        spec["model"].update(vocab=vocab, merges=pairs)
        return spec

    def json(self, pre, variant):
        if variant == "pairs":
            return self.pairs_json(pre)
        return self.model_json(pre, variant)

    def model_json(self, pre, variant):
        """variant "plain": as the model has it. "rich": pair merges, NFC, ignore_merges, every byte, added tokens with flags."""
        vocab = {t: i for i, t in enumerate(self.tokens)}
        specials = [added(i, t, True) for i, t in enumerate(self.tokens) if self.kinds[i] == 3]
        rich = variant == "rich"
        if rich:
            for letter in letters().values():
                vocab.setdefault(letter, len(vocab))
            flagged = [("<tool_call>", False, {}), ("<|im_end|>\n", False, {}), ("<left>", False, {"lstrip": True}),
                       ("<right>", True, {"rstrip": True}), ("alone", False, {"single_word": True}),
                       ("\u00e9t\u00e9", False, {"normalized": True}), ("    ", False, {"normalized": True}),
                       ("<both>", True, {"lstrip": True, "rstrip": True, "normalized": True}), ("<|im", False, {})]
            for content, special, flags in flagged:
                specials.append(added(vocab.get(content), content, special, **flags))
            new = [t for t in specials if t["content"] not in vocab]
            for i, token in enumerate(new):  # their ids follow the vocabulary
                token["id"] = len(vocab) + i
        model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                 "fuse_unk": False, "byte_fallback": False, "ignore_merges": rich, "vocab": vocab,
                 "merges": [m.split(" ") for m in self.merges] if rich else self.merges}
        return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": specials,
                "normalizer": {"type": "NFC"} if rich else None, "pre_tokenizer": PRE[pre], "post_processor": None,
                "decoder": byte_level(True), "model": model}


WORDS = ["hello", "World", "I'm", "you'll", "THEY'RE", "we'Ve", "don'T", "it'S", "she'D", "'tis", "o'clock", "rock'n'roll", "'\u017f",
         "naive", "na\u00efve", "e\u0301te\u0301", "\u00e9t\u00e9", "\u4f60\u597d", "\u4e16\u754c", "\u3053\u3093\u306b\u3061\u306f",
         "\uc548\ub155", "\u1112\u1161\u11ab", "\u0645\u0631\u062d\u0628\u0627", "\u05e9\u05dc\u05d5\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "\U0001f1e9\U0001f1ea", "def f(x):",
         "\treturn x+=1;", "for(int i=0;i<10;++i){", "}\n\n", "/* c */", "0x1F", "3.14159", "1,000,000", "2024-01-31", "12345678",
         "\u0663\u0664", "\u00bd", "\u2167", "<|im_start|>", "<|im_end|>", "<|im_end|>\n", "<|endoftext|>", "<|im_", "<tool_call>",
         "<left>", "<right>", "<both>", "alone", "alones", "http://a.b/c?d=e&f", "foo_bar", "fooBar", "...", "!!!", "\u2014", "\u201cq\u201d",
         "\ufeff", "\u200b", "\u00a0", "\u3000", "\u2028", "\x00", "\x1c", "\x85", "\u0301", "\u0323\u0307", "\u1e9b\u0323", "'", "''"]
BLANKS = [" ", "  ", "   ", "    ", "\n", "\r\n", "\n\n", "\t", "\t\t", "\r", " \n", "\n ", "\x0b", "\x0c", "\u00a0", "\u3000", "\u2009 "]
RANGES = [(0, 0x7F), (0x80, 0x24F), (0x250, 0x6FF), (0x700, 0x1FFF), (0x2000, 0x2BFF), (0x2C00, 0xD7FF), (0xE000, 0xFFFF),
          (0x10000, 0x1FFFF), (0x20000, 0x3FFFF), (0x40000, 0xDFFFF), (0xE0000, 0x10FFFF)]


def draw(rng):
    kind = rng.randrange(6)
    if kind == 0:  # one block after another
        return "".join(chr(rng.randint(*rng.choice(RANGES))) for _ in range(rng.randint(1, 24)) )
    if kind == 1:  # one block
        low, high = rng.choice(RANGES)
        return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 40)))
    if kind == 2:  # words and blanks
        return "".join(rng.choice(WORDS) + rng.choice(BLANKS + [""] * 6) for _ in range(rng.randint(1, 20)))
    if kind == 3:  # blanks, digits, quotes, letters in any order
        return "".join(rng.choice("  \n\r\t'19asSdDtTmMlLrRvVeE.!/_\u00e9\u4e00\u00bd\u3000\u017f\u01c5\u0301") for _ in range(rng.randint(1, 60)))
    if kind == 4:  # long runs
        return "".join(rng.choice(["a", "ab", " ", "1", "\n", "!", "\u4e00", "e\u0301"]) * rng.randint(1, 120) for _ in range(rng.randint(1, 4)))
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 30)))


def strings(count, folder):
    rng = random.Random(20260)
    drawn = ["", " ", "\n"] + [draw(rng) for _ in range(count)]
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    drawn += ["".join(every[i : i + 256]) for i in range(0, len(every), 256)]  # each code point beside its neighbours
    drawn += ["a" + " ".join(every[i : i + 256]) for i in range(0, 0x3400, 256)]
    drawn += ["1".join(every[i : i + 128]) + "'" for i in range(0, 0x3400, 128)]
    files = [f for ext in ("hpp", "cpp", "py", "md", "txt", "cmake") for f in sorted(pathlib.Path(folder).glob("[a-z]*/**/*." + ext))]
    files = [f for f in files if f.parts[len(pathlib.Path(folder).parts)] != "build"] + sorted(pathlib.Path("/usr/share/doc").glob("*/copyright"))
    for file in files[:400]:
        drawn.append(re.sub("[\ud800-\udfff]", "?", file.read_text("utf-8", "replace")[:20000]))
    return drawn


def malformed(count):
    """Bytes that are not UTF-8: random ones, and well-formed text with bytes changed, dropped or cut off."""
    rng = random.Random(77)
    out = []
    for _ in range(count):
        data = bytearray(rng.choice(WORDS).join([" ", rng.choice(WORDS), rng.choice(BLANKS)]).encode() + b"".join(
            rng.choice([b"\xe4\xb8", b"\xf0\x9f\x98", b"\xc3", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b" a", b"1 ", b"\n", b"'s"])
            for _ in range(rng.randint(1, 8))))
        for _ in range(rng.randint(0, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        known = "Cn" not in {unicodedata.category(c) for c in data.decode("utf-8", "surrogateescape")}
        if known:  # a character that Unicode has since assigned may be a letter to `regex` and none to `tokenizers`
            out.append(bytes(data))
    return out


class Twin:
    """The pre-tokenizers over bytes: a byte that is no character is a lone surrogate, which is no letter, number or blank."""

    def __init__(self, pre, hf):
        self.pre, self.hf, self.letters = pre, hf, letters()
        body = {"gpt2": GPT2, "smollm": GPT2, "qwen2": QWEN2, "llama3": LLAMA3, "tekken": TEKKEN}[pre]
        self.words = regex.compile(body)

    def encode(self, data):
        text = data.decode("utf-8", "surrogateescape")
        pieces = regex.split(r"(\p{N})", text) if self.pre == "smollm" else [text]
        ids = []
        for piece in pieces:
            for word in self.words.findall(piece):
                written = "".join(self.letters[b] for b in word.encode("utf-8", "surrogateescape"))
                ids += [token.id for token in self.hf.model.tokenize(written)]
        return ids


def pack(items):
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def unpack(data, width):
    at = 0
    while at < len(data):
        (n,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + n * width]
        at += 4 + n * width


def run(driver, folder, spec, texts, *options):
    """What the driver makes of `texts`: lists of ids, or with --decode texts of lists."""
    source, target = folder / "strings", folder / "ids"
    decode = "--decode" in options
    source.write_bytes(b"".join(struct.pack("<I", len(t)) + struct.pack("<%di" % len(t), *t) for t in texts) if decode else pack(texts))
    subprocess.run([driver, str(spec), str(source), str(target), *options], check=True)
    found = list(unpack(target.read_bytes(), 1 if decode else 4))
    return found if decode else [list(struct.unpack("<%di" % (len(f) // 4), f)) for f in found]


def compare(name, inputs, ours, theirs):
    for text, a, b in zip(inputs, ours, theirs, strict=True):
        if a != b:
            print("%s differs on %s\n  frugal: %s\n  theirs: %s" % (name, ascii(text)[:2000], str(a)[:1500], str(b)[:1500]))
            sys.exit(1)
    print("%s: %d strings equal" % (name, len(inputs)), flush=True)


def compare_pre(pre, variant, vocabulary, texts, broken, driver, folder):
    spec = folder / ("%s-%s.json" % (pre, variant))
    spec.write_text(json.dumps(vocabulary.json(pre, variant)), "utf-8")
    name = "%s, %s" % (pre, variant)
    hf = tokenizers.Tokenizer.from_file(str(spec))
    encoded = [t.encode("utf-8") for t in texts]
    theirs = [e.ids for e in hf.encode_batch(texts, add_special_tokens=False)]
    compare(name, texts, run(driver, folder, spec, encoded), theirs)
    # The decoder over there reads an added token's text as byte letters, which garbles one that is not ASCII; ours gives the text.
    garbled = {i for i, token in hf.get_added_tokens_decoder().items() if not token.content.isascii()}
    plain = [ids for ids in theirs if ids and not garbled.intersection(ids)]
    compare(name + ", decoded", plain, run(driver, folder, spec, plain, "--decode"), [d.encode() for d in hf.decode_batch(plain)])
    hf.encode_special_tokens = True
    ordinary = [e.ids for e in hf.encode_batch(texts[:3000], add_special_tokens=False)]
    compare(name + ", special tokens as text", texts[:3000], run(driver, folder, spec, encoded[:3000], "--no-special"), ordinary)
    if variant != "rich":
        twin = Twin(pre, hf)
        compare(name + ", malformed UTF-8", broken, run(driver, folder, spec, broken, "--no-special"), [twin.encode(b) for b in broken])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--count", type=int, default=10000)
    options = parser.parse_args()
    if not pathlib.Path(options.model).exists():
        print("no model file; skipped")
        sys.exit(77)
    vocabulary = Vocabulary(options.model)
    texts, broken = strings(options.count, options.texts), malformed(3000)
    with tempfile.TemporaryDirectory() as folder:
        for pre in PRE:
            for variant in ("plain", "pairs", "rich"):
                compare_pre(pre, variant, vocabulary, texts, broken, options.driver, pathlib.Path(folder))


if __name__ == "__main__":
    main()
