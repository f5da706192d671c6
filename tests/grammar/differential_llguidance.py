"""differential_llguidance.py --driver PROGRAM --model GGUF [--pairs N] [--seed S]: random schemas and documents, judged by the engine, by
llguidance and by jsonschema; and the allowed tokens at each place of each document, compared bit by bit with llguidance's.

jsonschema is the judge of documents: the engine must agree with it wherever it compiles. llguidance is the oracle of masks. Every difference must
be one of those named in EXPLAINED, or the test fails.
"""
import argparse
import collections
import json
import re
import subprocess
import sys

import gguf
import jsonschema
import llguidance
import numpy
from llguidance import numpy as llnumpy

from random_schemas import Schemas, in_order

OURS = "allowed here, not by llguidance"
THEIRS = "allowed by llguidance, not here"


def bytes_of_letters():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {**{chr(b): b for b in printable}, **{chr(256 + i): b for i, b in enumerate(others)}}


FORMATS = jsonschema.FormatChecker(formats=("date", "ipv4", "uuid"))


@FORMATS.checks("time")  # jsonschema's own needs another package, and says yes without it
def is_time(text):
    return not isinstance(text, str) or re.fullmatch(
        r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([zZ]|[+-]([01]\d|2[0-3]):[0-5]\d)", text, re.ASCII) is not None


class GgufTokens:
    """What llguidance asks of a tokenizer: the bytes of each token. Texts are split by the driver."""
    def __init__(self, model):
        fields = gguf.GGUFReader(model).fields
        kinds = fields["tokenizer.ggml.token_type"].contents()
        table = bytes_of_letters()
        texts = fields["tokenizer.ggml.tokens"].contents()
        self.special_token_ids = [i for i, k in enumerate(kinds) if k != 1]
        self.tokens = [t.encode() if kinds[i] != 1 else bytes(table[c] for c in t) for i, t in enumerate(texts)]
        self.eos_token_id = fields["tokenizer.ggml.eos_token_id"].contents()
        self.bos_token_id = None

    def __call__(self, text):
        return [self.tokens.index(bytes([b])) for b in (text if isinstance(text, bytes) else text.encode())]


class Engine:
    def __init__(self, driver, model):
        self.process = subprocess.Popen([driver, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **line):
        self.process.stdin.write(json.dumps({"compact": True, "in_order": True, **line}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


NUMBER_BEGUN = re.compile(rb"(^|[\[,:])-?[0-9.eE+-]*$")
ESCAPE_BEGUN = re.compile(rb"(^|[^\\])(\\\\)*\\(u[0-9a-fA-F]{0,3})?$")
CLOCK_BEGUN = re.compile(rb"[0-9]{2}:[0-9]{2}:$")
EXPLAINED = {
    "forced": "where bytes are forced, llguidance allows one way to cut them into tokens, the engine any",
    "number": "a number as JSON may spell it (exponents, -0, 12.0 for 12), where llguidance has plain digits only",
    "leap": "a leap second, which formats here leave out",
    "delete": "the byte 127, which JSON allows in strings and llguidance does not",
    "escape": "a character spelled by an escape, where llguidance has one spelling",
}


def explained(side, before, token, forced):
    """Why the two engines may differ on a token, or None."""
    if side == OURS and forced and (forced.startswith(token) or token.startswith(forced)):
        return "forced"
    if side == OURS and NUMBER_BEGUN.search(before) and (token[:1] in b"-0123456789.eE+" or before[-1:].isdigit()):
        return "number"
    if side == OURS and (b"\\" in token or ESCAPE_BEGUN.search(before)):
        return "escape"
    if side == THEIRS and token[:1] == b"6" and CLOCK_BEGUN.search(before):
        return "leap"
    if side == OURS and b"\x7f" in token:
        return "delete"
    return None


class Differences:
    def __init__(self, tokens):
        self.tokens, self.counts, self.unexplained = tokens, collections.Counter(), []

    def compare(self, schema, before, mine, theirs, forced):
        for side, ids in ((OURS, numpy.flatnonzero(mine & ~theirs)), (THEIRS, numpy.flatnonzero(theirs & ~mine))):
            for i in ids:
                why = explained(side, before, self.tokens.tokens[i], forced)
                self.counts[f"{side}: {EXPLAINED.get(why)}"] += 1
                if why is None and len(self.unexplained) < 40:
                    self.unexplained.append(f"{side}: {self.tokens.tokens[i]!r} after {before!r} of {json.dumps(schema)}")


def bits(words, size):
    return numpy.unpackbits(words, bitorder="little")[:size].astype(bool)


def masks_of(grammar, tokenizer, answer, size):
    """llguidance's masks along the same tokens; None where it cannot compile the schema."""
    matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
    if matcher.is_error():
        return None, False
    space = llnumpy.allocate_token_bitmask(1, size)
    out = []
    for place in range(answer["taken"] + 1):
        llnumpy.fill_next_token_bitmask(matcher, space)
        if matcher.is_error():
            return None, False
        out.append((bits(space.view(numpy.uint8)[0], size), matcher.compute_ff_bytes()))
        if place < answer["taken"] and not matcher.consume_token(answer["tokens"][place]):
            return out, False
    return out, matcher.is_accepting()


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--driver", required=True)
    args.add_argument("--model", required=True)
    args.add_argument("--pairs", type=int, default=1000)
    args.add_argument("--seed", type=int, default=1)
    options = args.parse_args()
    tokens = GgufTokens(options.model)
    size = len(tokens.tokens)
    engine, schemas, differences = Engine(options.driver, options.model), Schemas(options.seed), Differences(tokens)
    ends = engine.ask(schema=True, text="0")["ends"]
    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(tokens), eos_token=ends, slices=[])
    counts, wrong = collections.Counter(), []
    for _ in range(options.pairs):
        schema, document = schemas.pair()
        if schemas.random.random() < 0.5:
            document = schemas.mutated(document)
        document = in_order(schema, document)
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        truth = jsonschema.Draft202012Validator(schema, format_checker=FORMATS).is_valid(document)
        answer = engine.ask(schema=schema, text=text)
        if "error" in answer:
            counts["refused here: " + answer["error"][:80]] += 1
            continue
        counts["valid" if truth else "invalid"] += 1
        if answer["complete"] != truth:
            wrong.append(f"{'accepted' if answer['complete'] else 'rejected'}: {text} by {json.dumps(schema)}")
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(
                schema, overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"})
        except ValueError:
            counts["refused by llguidance"] += 1
            continue
        theirs, accepts = masks_of(grammar, tokenizer, answer, size)
        if theirs is None:
            counts["refused by llguidance"] += 1
            continue
        counts["compared with llguidance"] += 1
        if accepts != answer["complete"]:
            counts["judged otherwise by llguidance, which is " + ("right" if accepts == truth else "wrong")] += 1
        before = b""
        for place, (theirs_here, forced) in enumerate(theirs):
            mine = bits(numpy.frombuffer(bytes.fromhex(answer["masks"][place]), dtype=numpy.uint8), size)
            counts["masks"] += 1
            counts["equal masks"] += bool((mine == theirs_here).all())
            differences.compare(schema, before, mine, theirs_here, forced)
            if place < answer["taken"]:
                before += tokens.tokens[answer["tokens"][place]]
    for name, count in sorted(counts.items()):
        print(f"{count:8} {name}")
    for name, count in differences.counts.most_common():
        print(f"{count:8} tokens {name}")
    for line in wrong[:20] + differences.unexplained:
        print("UNEXPLAINED", line)
    enough = counts["compared with llguidance"] >= options.pairs // 2
    sys.exit(1 if wrong or differences.unexplained or not enough else 0)


main()
