"""Compares frugal's SentencePiece BPE with `sentencepiece` and with Hugging Face `tokenizers`, string by string.

Vocabularies are trained here with `sentencepiece` on the texts below --texts and on drawn ones: with and without a dummy prefix,
with and without bytes as fallback, with pieces that hold a space in the middle, with user-defined pieces. Each is compared as a
tokenizer.model with `sentencepiece`, and as tokenizer.json files in the layouts of Llama 2, Mistral, Gemma and Phi-3 with
`tokenizers`. Both take well-formed text only; other bytes are compared with the byte pieces. Ends with 1 on the first difference.
"""
import argparse
import json
import pathlib
import random
import sys
import tempfile

import sentencepiece
import tokenizers

from differential_tokenizer import BLANKS, WORDS, added, compare, run, strings

MARK = "\u2581"
VARIANTS = {  # what the trainer is told
    "llama": {},
    "gemma": {"add_dummy_prefix": False, "user_defined_symbols": ["\n", "\n\n", "<start_of_turn>", "<end_of_turn>"]},
    "no-bytes": {"byte_fallback": False},
    "across-spaces": {"split_by_whitespace": False},
}


def train(folder, name, texts, seed):
    options = {"model_type": "bpe", "vocab_size": 1500, "character_coverage": 0.995, "byte_fallback": True, "hard_vocab_limit": False,
               "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "allow_whitespace_only_pieces": True,
               "split_digits": True, "num_threads": 2, "minloglevel": 2, "max_sentence_length": 100000, **VARIANTS[name]}
    rng = random.Random(seed)
    drawn = ["".join(rng.choice(WORDS) + rng.choice(BLANKS + [" "] * 20) for _ in range(60)) for _ in range(400)]
    sentences = [line for text in texts + drawn for line in text.split("\n") if line and "\0" not in line]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_prefix=str(folder / name), **options)
    return folder / (name + ".model")


def merges(sp):
    """As transformers converts a SentencePiece BPE: each split of a piece into two, by the piece's score."""
    pieces = {sp.id_to_piece(i): i for i in range(sp.get_piece_size()) if not (sp.is_control(i) or sp.is_unknown(i) or sp.is_byte(i))}
    ranked = []
    for piece, index in pieces.items():
        splits = [(piece[:n], piece[n:]) for n in range(1, len(piece)) if piece[:n] in pieces and piece[n:] in pieces]
        ranked += [(sp.get_score(index), left, right) for left, right in sorted(splits, key=lambda s: (pieces[s[0]], pieces[s[1]]))]
    return [[left, right] for _, left, right in sorted(ranked, key=lambda m: -m[0])]


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
PREPEND = {"type": "Prepend", "prepend": MARK}
UNMARK = [{"type": "Replace", "pattern": {"String": MARK}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def metaspace(scheme, split=False):
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": split}


LAYOUTS = {  # normalizer, pre_tokenizer, decoder, flags of the special tokens
    "Llama 2, TinyLlama": ({"type": "Sequence", "normalizers": [PREPEND, REPLACE]}, None, UNMARK + [STRIP], {}),
    "Llama 2, normalized specials": ({"type": "Sequence", "normalizers": [PREPEND, REPLACE]}, None, UNMARK + [STRIP], {"normalized": True}),
    "Phi-3": ({"type": "Sequence", "normalizers": [PREPEND, REPLACE]}, None, UNMARK + [STRIP], {"rstrip": True}),
    "Mistral 0.3": (None, metaspace("first"), UNMARK + [STRIP], {}),
    "Metaspace always": (None, metaspace("always"), UNMARK + [STRIP], {"normalized": True}),
    "Metaspace split": (None, metaspace("always", True), UNMARK + [STRIP], {"lstrip": True}),
    "Metaspace never": (None, metaspace("never"), UNMARK, {}),
    "Gemma": (REPLACE, {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}, UNMARK, {}),
}


def layout(sp, name):
    normalizer, pre, decoder, flags = LAYOUTS[name]
    special = [added(i, sp.id_to_piece(i), True, **flags) for i in range(sp.get_piece_size()) if sp.is_control(i) or sp.is_unknown(i)]
    user = [i for i in range(sp.get_piece_size()) if sp.id_to_piece(i) in ("\n", "\n\n", "<start_of_turn>", "<end_of_turn>")]
    special += [added(i, sp.id_to_piece(i), False) for i in user]
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": True, "byte_fallback": any(sp.is_byte(i) for i in range(sp.get_piece_size())), "ignore_merges": False,
             "vocab": {sp.id_to_piece(i): i for i in range(sp.get_piece_size())}, "merges": merges(sp)}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": normalizer, "pre_tokenizer": pre,
            "post_processor": None, "decoder": {"type": "Sequence", "decoders": decoder}, "model": model}


def compare_model(name, model, sp, texts, driver, folder):
    """tokenizer.model. Control pieces are text; `sentencepiece` drops NUL and reads a piece at the text's start as a user-defined one
    only after its dummy prefix, so strings with them are left out."""
    texts = [t for t in texts if "\0" not in t and not t.startswith("<")]
    theirs = [sp.encode(t) for t in texts]
    compare("%s.model" % name, texts, run(driver, folder, model, [t.encode() for t in texts], "--no-special"), theirs)
    known = [(t, ids) for t, ids in zip(texts, theirs, strict=True) if ids and sp.unk_id() not in ids and MARK not in t]
    compare("%s.model, decoded" % name, [t for t, _ in known], run(driver, folder, model, [ids for _, ids in known], "--decode"),
            [t.encode() for t, _ in known])


def compare_layout(variant, name, sp, texts, driver, folder):
    spec = folder / "tokenizer.json"
    spec.write_text(json.dumps(layout(sp, name)), "utf-8")
    hf = tokenizers.Tokenizer.from_file(str(spec))
    label = "%s as %s" % (variant, name)
    specials = ["<s>", "</s>", "<s>hi", "hi</s> there", "<s> hi </s>", " <s>", "<unk>", "a<s>b</s>c", "</s>\n x", "<start_of_turn>user\nhi<end_of_turn>\n"]
    texts = texts + specials + [s + t[:200] for s in specials for t in texts[1:60]]
    encoded = [t.encode("utf-8") for t in texts]
    theirs = [e.ids for e in hf.encode_batch(texts, add_special_tokens=False)]
    compare(label, texts, run(driver, folder, spec, encoded), theirs)
    hf.encode_special_tokens = True
    ordinary = [e.ids for e in hf.encode_batch(texts, add_special_tokens=False)]
    compare(label + ", special tokens as text", texts, run(driver, folder, spec, encoded, "--no-special"), ordinary)
    whole = [ids for ids in ordinary if ids and sp.unk_id() not in ids]
    compare(label + ", decoded", whole, run(driver, folder, spec, whole, "--decode"), [d.encode() for d in hf.decode_batch(whole)])


def compare_bytes(variant, model, sp, driver, folder):
    """Bytes that are not UTF-8 are byte pieces, each by itself."""
    broken = [b"\xff", b"\xe4\xb8", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]
    pieces = [[sp.piece_to_id("<0x%02X>" % b) for b in data] for data in broken]
    ours = run(driver, folder, model, broken, "--no-special")
    mark = [] if variant == "gemma" else [sp.piece_to_id(MARK)]  # the dummy prefix
    compare("%s.model, malformed UTF-8" % variant, broken, ours, [mark + p for p in pieces])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--count", type=int, default=600)
    options = parser.parse_args()
    texts = strings(options.count, options.texts)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        real = [t[:20000] for t in texts[-60:]]
        for variant in VARIANTS:
            model = train(folder, variant, real, 3)
            sp = sentencepiece.SentencePieceProcessor(model_file=str(model))
            compare_model(variant, model, sp, texts, options.driver, folder)
            if variant in ("llama", "gemma"):
                compare_bytes(variant, model, sp, options.driver, folder)
            for i, name in enumerate(LAYOUTS):
                compare_layout(variant, name, sp, texts[i % 4 :: 4], options.driver, folder)


if __name__ == "__main__":
    sys.exit(main())
