"""baselines.py OUTCOMES [--seeds N]: what plain routers do with recorded outcomes of two tiers: the area of the gap recovered of random
mixing, a table by type, kNN and ridge regression on the prompt's words, and the oracle; fitted on one random half, measured on the
other. Needs numpy (.deps/venv). The figures are beside those of `frugal cascade eval` in docs/cascades.md."""
import argparse
import gzip
import json
import re
import zlib

import numpy as np


def read(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt") as file:
        return [json.loads(line) for line in file if line.strip()]


def grade(attempt):
    return float(attempt.get("quality", attempt.get("correct")))


def words_of(rows, size=2048):
    """TF-IDF over hashed words, each row of unit length."""
    x = np.zeros((len(rows), size), np.float32)
    for i, row in enumerate(rows):
        for word in re.findall(r"[a-z0-9]+", row.get("prompt", "").lower()):
            x[i, zlib.crc32(word.encode()) % size] += 1
    seen = (x > 0).sum(0)
    x = np.log1p(x) * np.log((1 + len(rows)) / (1 + seen))
    return x / np.maximum(1e-9, np.linalg.norm(x, axis=1, keepdims=True))


def area(score, weak, strong, weak_cost, strong_cost):
    """Requests go to the strong tier by falling score; the mean share of the gap in accuracy over the cost between the tiers."""
    order = np.argsort(-score, kind="stable")
    accuracy = np.concatenate([[weak.mean()], (weak.sum() + np.cumsum((strong - weak)[order])) / len(weak)])
    cost = np.concatenate([[weak_cost.sum()], weak_cost.sum() + np.cumsum((strong_cost - weak_cost)[order])])
    at = np.linspace(cost[0], cost[-1], 201)
    return float(np.mean(np.interp((at[1:] + at[:-1]) / 2, cost, accuracy) - accuracy[0]) / (accuracy[-1] - accuracy[0]))


def ridge(x, y, penalty=30.0):
    """Weights of a ridge regression on the gain, which is -1, 0 or 1."""
    gram = x.T @ x + penalty / 4 * np.eye(x.shape[1], dtype=np.float32)
    return np.linalg.solve(gram, x.T @ (y - y.mean()))


def scores(train, test, x, gain, types):
    yield "random mix", np.random.default_rng(0).random(len(test))
    names, number = np.unique(types, return_inverse=True)
    sums, counts = np.bincount(number[train], gain[train], len(names)), np.bincount(number[train], None, len(names))
    mean = gain[train].mean()
    yield "table by type", ((sums + 10 * mean) / (counts + 10))[number[test]]
    near = x[test] @ x[train].T
    k = min(60, len(train) - 1)
    places = np.argpartition(-near, k, axis=1)[:, :k]
    yield "kNN on words", gain[train][places].mean(1)
    yield "linear on words", x[test] @ ridge(x[train], gain[train].astype(np.float32))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outcomes")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    rows = read(options.outcomes)
    weak, strong = (np.array([grade(r["attempts"][i]) for r in rows]) for i in (0, -1))
    weak_cost, strong_cost = (np.array([r["attempts"][i]["cost"] for r in rows]) for i in (0, -1))
    types, x, found = np.array([r.get("type", "") for r in rows]), words_of(rows), {}
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(len(rows))
        train, test = order[: len(rows) // 2], order[len(rows) // 2:]
        for name, score in [*scores(train, test, x, strong - weak, types), ("oracle", (strong - weak)[test])]:
            found.setdefault(name, []).append(area(score, weak[test], strong[test], weak_cost[test], strong_cost[test]))
    print(json.dumps({"n": len(rows), "weak": weak.mean(), "strong": strong.mean(), "weak_cost_share": weak_cost.sum() / strong_cost.sum(),
                      "oracle_accuracy": np.maximum(weak, strong).mean(), "area_of_gap_recovered": {k: round(float(np.mean(v)), 3) for k, v in found.items()}}, indent=1))


main()
