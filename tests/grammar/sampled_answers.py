"""sampled_answers.py --driver PROGRAM --model GGUF [--schemas N] [--maskbench FILE] [--tokens N] [--part I/N] [--close]: answers sampled at temperature 1 under JSON schemas.
Every finished answer must be valid by jsonschema. The schemas are random ones, or those of a sample of MaskBench. A part takes every N-th of them from I on.
With --close every document ends within its tokens (close_when_short), so every answer must be a valid one.
"""
import argparse
import collections
import decimal
import gzip
import json
import subprocess
import sys

import jsonschema

from random_schemas import Schemas


def schemas_of(options):
    if not options.maskbench:
        make = Schemas(3)
        return [make.make_object(3)[0] for _ in range(options.schemas)]
    with gzip.open(options.maskbench, "rt") as file:
        found = [json.loads(line)["schema"] for line in file]
    return found[:: max(1, len(found) // options.schemas)][: options.schemas]


def is_valid(schema, text):
    try:
        document = json.loads(text, parse_float=decimal.Decimal)  # 33.33 is a multiple of 0.01
    except decimal.InvalidOperation:  # an exponent beyond 10^18
        document = json.loads(text)
    schema = json.loads(json.dumps(schema), parse_float=decimal.Decimal)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return kind(schema, format_checker=kind.FORMAT_CHECKER).is_valid(document)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--driver", required=True)
    args.add_argument("--model", required=True)
    args.add_argument("--schemas", type=int, default=500)
    args.add_argument("--maskbench", help="a sample of MaskBench (JSON lines, gzip) instead of random schemas")
    args.add_argument("--tokens", type=int, default=400)
    args.add_argument("--part", default="0/1")
    args.add_argument("--close", action="store_true")
    options = args.parse_args()
    part, parts = map(int, options.part.split("/"))
    schemas = schemas_of(options)
    lines = [{"schema": s, "prompt": "Make up one JSON document for this schema, short: " + json.dumps(s)[:1500], "seed": i, "most": options.tokens,
              "close": options.close, "compact": i % 4 != 0}  # where white space is free, a small model at temperature 1 spends its tokens on it
             for i, s in enumerate(schemas)][part::parts]
    schemas = schemas[part::parts]
    done = subprocess.run([options.driver, options.model], input="\n".join(map(json.dumps, lines)) + "\n", capture_output=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(answers) == len(schemas), done.stderr[-2000:]
    counts, wrong = collections.Counter(), []
    for schema, answer in zip(schemas, answers):
        if "error" in answer:
            counts["refused: " + answer["error"][:100]] += 1
        elif not answer["complete"]:
            counts["cut by the limit of tokens"] += 1
            if options.close:
                wrong.append(f"{answer['text']} (not complete) by {json.dumps(schema)}")
        else:
            try:
                right = is_valid(schema, answer["text"])
            except Exception as error:  # a text that is no JSON, or a schema that jsonschema itself cannot judge
                right = False
                answer["text"] += f" ({type(error).__name__}: {str(error)[:200]})"
            counts["finished and valid" if right else "finished and INVALID"] += 1
            counts["  of these steered to their end"] += answer["closing"] > 0
            if not right:
                wrong.append(f"{answer['text']} by {json.dumps(schema)}")
    for name, count in counts.most_common():
        print(f"{count:6} {name}")
    for line in wrong[:20]:
        print("INVALID", line[:2000])
    sys.exit(1 if wrong or counts["finished and valid"] < len(schemas) // 6 else 0)  # most strings go on


main()
