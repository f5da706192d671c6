"""baselines.py OUTCOMES [--seeds N] [--max-loss D]: what plain routers do with recorded outcomes of two tiers, fitted on one random half and
measured on the other: the area of the gap recovered, and the cost share at a threshold tuned on the first half to lose at most D (with
nothing that certifies it). Random mixing, a table by type, kNN and ridge regression on the prompt's words, logistic regression on type and
form of the texts, and the oracle. Needs numpy (.deps/venv). halves.py puts a certified cascade beside them."""
import argparse
import gzip
import json
import re
import zlib

import numpy as np

FOLDS = 5


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


def form_of(text):
    end, n = text.strip()[-1:], max(1, len(text))
    return [np.log1p(len(text)), np.log1p(text.count("\n")), sum(c.isdigit() for c in text) / n, sum(c.isupper() for c in text) / n,
            float(end.isdigit()), float(end in ".!?}"), np.log1p(len(text.strip().split("\n")[-1]))]


class Table:
    """The outcomes as arrays: one row a request, the first tier against the last."""

    def __init__(self, rows):
        self.weak, self.strong = (np.array([grade(r["attempts"][i]) for r in rows]) for i in (0, -1))
        self.weak_cost, self.strong_cost = (np.array([r["attempts"][i]["cost"] for r in rows]) for i in (0, -1))
        self.type_count, self.type = (lambda u: (len(u[0]), u[1]))(np.unique([r.get("type", "") for r in rows], return_inverse=True))
        self.words = words_of(rows)
        self.prompt = np.array([form_of(r.get("prompt", "")) for r in rows])
        answers = [r["attempts"][0].get("output") for r in rows]
        self.answer = np.array([form_of(a) for a in answers]) if all(a is not None for a in answers) else None
        self.gain = self.strong - self.weak


def area(score, t, rows):
    """Requests go to the strong tier by falling score; the mean share of the gap in accuracy over the cost between the tiers."""
    order = rows[np.argsort(-score, kind="stable")]
    weak, strong = t.weak[rows].mean(), t.strong[rows].mean()
    accuracy = weak + np.concatenate([[0], np.cumsum(t.gain[order])]) / len(rows)
    cost = t.weak_cost[rows].sum() + np.concatenate([[0], np.cumsum((t.strong_cost - t.weak_cost)[order])])
    at = np.linspace(cost[0], cost[-1], 201)
    return float(np.mean(np.interp((at[1:] + at[:-1]) / 2, cost, accuracy) - weak) / (strong - weak))


def spending(t, rows, to_strong, judged):
    """(cost share of always asking the strong tier, accuracy lost)"""
    cost = np.where(to_strong, t.strong_cost[rows] + (t.weak_cost[rows] if judged else 0), t.weak_cost[rows])
    return float(cost.sum() / t.strong_cost[rows].sum()), float((t.gain[rows] * ~to_strong).sum() / len(rows))


def tuned(score, t, rows, limit):
    """The threshold at which fewest requests go to the strong tier and at most `limit` is lost on these rows."""
    order = np.argsort(score, kind="stable")
    loss = np.concatenate([[0], np.cumsum(t.gain[rows][order])]) / len(rows)
    most = int(np.flatnonzero(loss <= limit).max())
    return -np.inf if most == 0 else score[order[most - 1]]


def ridge(x, y, penalty=30.0):
    gram = x.T @ x + penalty / 4 * np.eye(x.shape[1], dtype=np.float32)
    return np.linalg.solve(gram, x.T @ (y - y.mean()))


def logistic(x, y, penalty):
    w, own = np.zeros(x.shape[1]), np.full(x.shape[1], penalty / 4)
    own[0] = 1e-6
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        move = np.linalg.solve((x.T * (p * (1 - p) + 1e-9)) @ x + np.diag(own), x.T @ (y - p) - own * w)
        w += move
        if np.abs(move).max() < 1e-8:
            break
    return w


def by_mix(t, train, test):
    return np.random.default_rng(len(train)).random(len(test))


def by_type(t, train, test):
    sums, counts = np.bincount(t.type[train], t.gain[train], t.type_count), np.bincount(t.type[train], None, t.type_count)
    return ((sums + 10 * t.gain[train].mean()) / (counts + 10))[t.type[test]]


def by_neighbours(t, train, test, k=60):
    k = min(k, len(train) - 1)
    places = np.argpartition(-(t.words[test] @ t.words[train].T), k, axis=1)[:, :k]
    return t.gain[train][places].mean(1)


def by_words(t, train, test):
    return t.words[test] @ ridge(t.words[train], t.gain[train].astype(np.float32))


def logistic_on(form, penalty):
    def scores(t, train, test):
        x = form(t)
        x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-9)
        x = np.hstack([np.ones((len(x), 1)), x, np.eye(t.type_count)[t.type]])
        strong, weak = (x[test] @ logistic(x[train], y[train], penalty) for y in (t.strong, t.weak))
        return 1 / (1 + np.exp(-strong)) - 1 / (1 + np.exp(-weak))
    return scores


def routers(t):
    """name -> (scores of test rows, whether the weak tier is always paid)"""
    all = {"random mix": (by_mix, False), "table by type": (by_type, False), "kNN on words": (by_neighbours, False),
           "ridge on words": (by_words, False), "logistic on type and prompt": (logistic_on(lambda t: t.prompt, 10), False)}
    if t.answer is not None:
        all["logistic on type, prompt and answer"] = (logistic_on(lambda t: np.hstack([t.prompt, t.answer]), 160), True)
    return all


def measured(t, train, test, limit):
    """name -> area, cost, loss on the test rows; the thresholds are tuned on held-out scores of the train rows."""
    found, folds = {}, np.arange(len(train)) % FOLDS
    for name, (scores, judged) in routers(t).items():
        held = np.zeros(len(train))
        for f in range(FOLDS):
            held[folds == f] = scores(t, train[folds != f], train[folds == f])
        own = scores(t, train, test)
        cost, loss = spending(t, test, own > tuned(held, t, train, limit), judged)
        found[name] = {"area": area(own, t, test), "cost": cost, "loss": loss, "held": loss <= limit}
    best = t.gain[test] > 0
    cost, loss = spending(t, test, best, False)
    found["oracle"] = {"area": area(t.gain[test], t, test), "cost": cost, "loss": loss, "held": True}
    return found


def summary(runs):
    return {name: {key: round(float(np.mean([r[name][key] for r in runs])), 4) for key in ("area", "cost", "loss", "held")} for name in runs[0]}


def halves(n, seed):
    order = np.random.default_rng(seed).permutation(n)
    return order[: n // 2], order[n // 2:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outcomes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-loss", type=float, default=0.03)
    options = parser.parse_args()
    t = Table(read(options.outcomes))
    runs = [measured(t, *halves(len(t.weak), seed), options.max_loss) for seed in range(options.seeds)]
    print(json.dumps({"n": len(t.weak), "weak": t.weak.mean(), "strong": t.strong.mean(), "weak_cost_share": t.weak_cost.sum() / t.strong_cost.sum(),
                      "oracle_accuracy": np.maximum(t.weak, t.strong).mean(), "routers": summary(runs)}, indent=1))


if __name__ == "__main__":
    main()
