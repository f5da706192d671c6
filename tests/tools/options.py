"""Wrong options of the program: each is refused by its name, before a model is read and before a file is made.

Usage: options.py PROGRAM
"""
import json
import os
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]


def run(*arguments, out=subprocess.PIPE):
    done = subprocess.run([PROGRAM, *arguments], stdout=out, stderr=subprocess.PIPE, text=True, timeout=60)
    return done.returncode, done.stderr


def refused(said, *arguments):
    code, err = run(*arguments)
    assert code == 2 and said in err, (arguments, code, err)


def numbers():
    generate = ["generate", "--model", "none.gguf", "--prompt", "a"]
    for value in (str(2**70), "-1", "1.5", "x"):
        refused("--seed: must be a whole number from 0 to 18446744073709551615, not " + value, *generate, "--seed=" + value)
    for value in ("inf", "nan", "-inf", "1e999"):
        for option in ("--temperature", "--top-p", "--min-p"):
            refused(option, *generate, option + "=" + value)
    for value in ("inf", "nan", "1e999"):
        refused("--temperature: must be a finite number, not " + value, *generate, "--temperature=" + value)
    refused("--max-tokens", *generate, "--max-tokens", str(2**40))
    refused("--confidence: must be a finite number, not nan", "cascade", "fit", "x", "--confidence", "nan", "-o", "y")
    refused("--accept-score", "advise", "x", "--accept-score", "7")
    refused("--worth: must be a finite number, not nan", "advise", "x", "--worth", "nan")


def without_effect():
    generate = ["generate", "--model", "none.gguf", "--prompt", "a"]
    for options in (["--lenient", "format"], ["--set", "a=1"], ["--close-when-short"], ["--top-p", "0.5"],
                    ["--logprobs", "3"]):
        refused(options[0] + " has no effect", *generate, *options)
    batch = ["batch", "in.jsonl", "out.jsonl", "--model", "m"]
    refused("--poll has no effect without --provider", *batch, "--poll", "5")
    refused("--parallel has no effect with --provider", *batch, "--provider", "openai", "--parallel", "5")
    refused("--choices has no effect with --expect exact", "cascade", "record", "--tier", "a", "--tier", "b",
            "--requests", "q", "--expect", "exact", "--choices", "a,b", "-o", "o")


def files(folder):
    log, lines = os.path.join(folder, "log.jsonl"), os.path.join(folder, "in.jsonl")
    with open(log, "w", encoding="utf-8") as file:
        file.write('{"prompt_tokens": 3, "output_tokens": 1, "type": "faq"}\n' * 3)
    refused("--deferrable fag: no request has this type; there are faq", "advise", log, "--quiet", "--deferrable", "fag")
    for command in (["cascade", "fit", log, "--max-loss", "0.1", "-o", "-"], ["replay", log, "--report", "-"],
                    ["score", "--model", "m", "--ids-file", log, "--out", "-"], ["batch", log, "-", "--model", "m"],
                    ["train", "head", "--model", "m", "--data", log, "-o", "-"]):
        refused("-: the output must be a file", *command)
    with open(lines, "w", encoding="utf-8") as file:
        file.write(json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/completions",
                               "body": {"model": "m", "prompt": "a"}}) + "\n")
    out = os.path.join(folder, "out.jsonl")
    refused("none.gguf", "batch", lines, out, "--model", os.path.join(folder, "none.gguf"), "--quiet")
    assert not os.path.exists(out)


def full_disk():
    if not os.path.exists("/dev/full"):
        return
    with open("/dev/full", "w", encoding="utf-8") as full:
        for arguments in (["--help"], ["--version"], ["generate", "--help"], ["cascade", "fit", "--help"]):
            code, err = run(*arguments, out=full)
            assert code == 2 and "standard output: cannot write" in err, (arguments, code, err)


def outcomes(folder):
    def fit(attempt):
        path = os.path.join(folder, "outcomes.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"id": "1", "prompt": "a", "attempts": [{"tier": "s", "input_tokens": 1, "output_tokens": 1, %s}]}\n'
                       % attempt)
        return ["cascade", "fit", path, "--max-loss", "0.1", "-o", os.path.join(folder, "policy.json")]

    refused('line 1: tier "s": "quality" must lie between 0 and 1', *fit('"correct": true, "quality": 7, "cost": 1'))
    refused("is more than any answer costs", *fit('"correct": true, "cost": 1e300'))
    refused("say the opposite", *fit('"correct": true, "quality": 0, "cost": 1'))


numbers()
without_effect()
full_disk()
with tempfile.TemporaryDirectory() as place:
    files(place)
    outcomes(place)
print("all refused")
