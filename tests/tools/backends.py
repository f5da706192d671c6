#!/usr/bin/env python3
"""The same jobs through frugal::cpu and through LibTorch, compared.

  backends.py QUICKSTART FRUGAL MODEL FOLDER

1. The quickstart's support desk. Both backends must count the same prompt tokens, reuse the same prefix, serve every
   type, and keep the tokens of the plain run when the levers are pulled.
2. The logits of its policy text, all positions. frugal::cpu rounds activations to 8 bits and LibTorch computes in fp32,
   so they differ a little; how much they may differ is stated here, in the terms of issue reports about quantisation:
   mean Kullback-Leibler divergence and the share of positions whose likeliest token is the same.
Greedy texts are not compared: a near-tie turns out one way or the other, and everything after it differs.
"""
import json
import pathlib
import subprocess
import sys

import numpy as np

REQUESTS = 3  # one of each type
MAX_MEAN_KL = 0.0029  # nats; llama.cpp's own figure on this file against fp32
MIN_SAME_TOP = 0.965


def output(*command, stdin=None):
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True).stdout


def desk(quickstart, model, backend, folder):
    path = folder / f"quickstart_{backend}.json"
    output(quickstart, "--model", model, "--backend", backend, "--requests", str(REQUESTS), "--json", path,
           "--report", path.with_suffix(".html"))
    return json.loads(path.read_text())


def what_must_agree(figures):
    """Per run and type: what does not depend on how a forward pass rounds."""
    return {
        run["name"]: {
            kind: (row["requests"], row["prompt_tokens"]["computed"], row["prompt_tokens"]["cached"])
            for kind, row in [("all", {**run, "requests": REQUESTS}), *run["by_type"].items()]
        }
        for run in figures["runs"]
    }


def compare_desks(quickstart, model, folder):
    both = {backend: desk(quickstart, model, backend, folder) for backend in ("cpu", "torch")}
    for backend, figures in both.items():
        used = {run["backend"] for run in figures["runs"]}
        assert len(used) == 1, used
        assert figures["same_tokens"] is True, f"{backend}: the levers changed an answer"
        plain, frugal = figures["runs"]
        assert plain["prompt_tokens"]["cached"] == 0 < frugal["prompt_tokens"]["cached"], backend
        for run in figures["runs"]:
            print(f"{backend:6} {run['name']:7} TTFT p50 {run['ttft_ms']['p50']:8.1f} ms  TPOT p50 {run['tpot_ms']['p50']:6.1f} ms"
                  f"  computed {run['prompt_tokens']['computed']:6}  cached {run['prompt_tokens']['cached']:6}")
    assert both["cpu"]["runs"][0]["backend"] != both["torch"]["runs"][0]["backend"], "one backend ran twice"
    cpu, torch = (what_must_agree(both[backend]) for backend in ("cpu", "torch"))
    assert cpu == torch, f"the backends count differently:\n  cpu   {cpu}\n  torch {torch}"


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def compare_logits(frugal, model, text, folder):
    ids = output(frugal, "tokenize", "--model", model, stdin=text)
    (folder / "backends_ids.json").write_bytes(ids)
    logits = {}
    for backend in ("cpu", "torch"):
        path = folder / f"backends_{backend}.npy"
        output(frugal, "score", "--model", model, "--backend", backend, "--ids-file", folder / "backends_ids.json", "--out", path)
        logits[backend] = log_softmax(np.load(path))
        path.unlink()
    exact, rounded = logits["torch"], logits["cpu"]
    n = len(exact)
    mean = float((np.exp(exact) * (exact - rounded)).sum(axis=1).mean())
    share = float((exact.argmax(axis=1) == rounded.argmax(axis=1)).mean())
    print(f"{n} positions: mean KL(torch || cpu) {mean:.5f} nats, same top token {share:.1%}")
    assert 0 < mean <= MAX_MEAN_KL, mean
    assert share >= MIN_SAME_TOP, share


def main():
    quickstart, frugal, model, folder = sys.argv[1:]
    folder = pathlib.Path(folder)
    compare_desks(quickstart, model, folder)
    policy = pathlib.Path(__file__).parents[2] / "examples/data/support_policy.txt"
    compare_logits(frugal, model, policy.read_bytes(), folder)


if __name__ == "__main__":
    main()
