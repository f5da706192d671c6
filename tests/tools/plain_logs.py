#!/usr/bin/env python3
"""`frugal advise LOG --json` on plain request logs that are made here, without any code of the advisor's own worlds: one kind of log
per lever, some where none helps, and the two classic mistakes. Each log says which levers may stand first and which must not be listed.

    plain_logs.py PROGRAM [--seeds N] [--only PART] [--show]
"""
import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile

LEVERS = {"prefix_cache", "cascade", "task_model", "speculation", "cap", "batch", "answer_cache", "context"}
LOGS = []


def log(first, never=(), bound=None):
    """A function (rng) -> list of records; `first`: levers that may stand first (empty = none may be listed)."""
    def add(function):
        LOGS.append((function.__name__, function, set(first), set(never), bound))
        return function
    return add


class Text:
    """Chained hashes: the same pieces in the same order have the same hashes, whatever follows."""

    def __init__(self, *pieces):  # (name, tokens)
        self.tokens = [f"{name}:{i}" for name, n in pieces for i in range(n)]

    def blocks(self):
        out, chain = [], 0
        for end in range(16, len(self.tokens) + 1, 16):
            chain = hash((chain, tuple(self.tokens[end - 16:end])))
            out.append(chain & (2**63 - 1))
        return out


def record(rng, at, text, output, tpot=22.0, prefill=0.12, overhead=60.0, cached=0, **other):
    ttft = (overhead + prefill * (len(text.tokens) - cached)) * rng.uniform(0.85, 1.2)
    e2e = ttft + tpot * max(0, output - 1) * rng.uniform(0.95, 1.06)
    return {"timestamp": round(at, 3), "prompt_tokens": len(text.tokens), "output_tokens": output, "cached_tokens": cached,
            "ttft_ms": round(ttft, 2), "e2e_ms": round(e2e, 2), "prefix_blocks": text.blocks(), **other}


def arrivals(rng, n, rate):
    at = 1.79e9
    for _ in range(n):
        at += rng.expovariate(rate)
        yield at


def lognormal(rng, median, sigma, least=1):
    return max(least, round(median * math.exp(rng.gauss(0, sigma))))


MODEL = {"model": "house-7b"}


# --- one per lever ---------------------------------------------------------------------------------------------------------------

@log(["prefix_cache"], never=["speculation"])
def system_prompt_sent_again(rng):
    system = rng.randint(1500, 4000)
    return [record(rng, at, Text(("system", system), (f"q{i}", rng.randint(10, 80))), rng.randint(20, 150), type="support", **MODEL)
            for i, at in enumerate(arrivals(rng, 600, 0.7))]


@log(["prefix_cache"], never=["speculation"])
def system_prompt_sent_again_slow_machine(rng):
    """The first token takes 3 s and the answer 6 more."""
    return [record(rng, at, Text(("system", 6000), (f"q{i}", rng.randint(10, 80))), rng.randint(100, 200), tpot=40, prefill=0.5,
                   type="support", **MODEL) for i, at in enumerate(arrivals(rng, 400, 0.2))]


@log(["prefix_cache"], never=["speculation"])
def system_prompt_sent_again_longish_answers(rng):
    """The whole answer takes some 15 s, and yet nine tenths of the bill are the prompt."""
    return [record(rng, at, Text(("system", 12000), (f"q{i}", rng.randint(10, 80))), rng.randint(250, 400), tpot=35, prefill=0.05,
                   type="support", **MODEL) for i, at in enumerate(arrivals(rng, 400, 0.5))]


@log(["prefix_cache"], never=["speculation"])
def growing_conversations(rng):
    rows = []
    for c, begin in enumerate(arrivals(rng, 80, 0.02)):
        pieces, at = [("system", 600)], begin
        for turn in range(rng.randint(4, 10)):
            pieces = pieces + [(f"u{c}.{turn}", rng.randint(20, 100))]
            answer = rng.randint(60, 200)
            rows.append(record(rng, at, Text(*pieces), answer, type="chat", **MODEL))
            pieces = pieces + [(f"a{c}.{turn}", answer)]
            at += rng.uniform(20, 90)
    return sorted(rows, key=lambda r: r["timestamp"])


@log(["prefix_cache"], never=["speculation"])
def system_prompt_on_a_hosted_model(rng):
    return [record(rng, at, Text(("system", 3000), (f"q{i}", rng.randint(10, 80))), rng.randint(20, 150), type="support",
                   model="claude-sonnet-4-5") for i, at in enumerate(arrivals(rng, 600, 0.7))]


@log(["prefix_cache"], never=["speculation", "answer_cache"])
def only_the_shared_blocks_are_logged(rng):
    """A log whose prefix_blocks stop where the system prompt ends, with prompts of one length."""
    rows = []
    for i, at in enumerate(arrivals(rng, 500, 0.7)):
        r = record(rng, at, Text(("system", 2048), (f"q{i}", 60)), rng.randint(20, 120), type="support", **MODEL)
        r["prefix_blocks"] = r["prefix_blocks"][:128]
        rows.append(r)
    return rows


@log(["speculation"], never=["prefix_cache"], bound="tpot")
def four_thousand_token_answers(rng):
    return [record(rng, at, Text((f"q{i}", rng.randint(100, 300))), rng.randint(3600, 4400), type="story", **MODEL)
            for i, at in enumerate(arrivals(rng, 300, 0.01))]


@log(["speculation"], never=["prefix_cache"], bound="tpot")
def four_thousand_token_answers_on_a_shared_prompt(rng):
    return [record(rng, at, Text(("system", 2000), (f"q{i}", rng.randint(10, 80))), 4000, type="story", **MODEL)
            for i, at in enumerate(arrivals(rng, 300, 0.01))]


@log(["speculation"], never=["prefix_cache"], bound="tpot")
def four_thousand_token_answers_many_at_once(rng):
    """Some eighty in flight, at the same pace as one: more machines, or rows that cost nothing."""
    return [record(rng, at, Text((f"q{i}", rng.randint(100, 300))), rng.randint(3000, 4400), type="story", **MODEL)
            for i, at in enumerate(arrivals(rng, 600, 1.0))]


@log(["speculation"], never=["prefix_cache"], bound="tpot")
def long_answers_without_time_stamps(rng):
    rows = [record(rng, at, Text((f"q{i}", rng.randint(100, 300))), lognormal(rng, 1500, 0.5), type="write", **MODEL)
            for i, at in enumerate(arrivals(rng, 400, 0.2))]
    for r in rows:
        del r["timestamp"]
    return rows


@log(["task_model"])
def intents(rng):
    return [record(rng, at, Text((f"q{i}", rng.randint(60, 300))), rng.randint(1, 6), type="intent", **MODEL) if rng.random() < 0.8 else
            record(rng, at, Text((f"q{i}", rng.randint(60, 300))), rng.randint(40, 200), type="chat", **MODEL)
            for i, at in enumerate(arrivals(rng, 800, 2))]


@log(["task_model"])
def few_intents(rng):
    return [record(rng, at, Text((f"q{i}", rng.randint(200, 400))), rng.choice([3, 4, 5]), type="classify", **MODEL)
            for i, at in enumerate(arrivals(rng, 150, 2))]


@log(["task_model"])
def labels_in_json(rng):
    return [record(rng, at, Text((f"q{i}", rng.randint(200, 400))), rng.randint(20, 23), type="route", model="gpt-4o") if rng.random() < 0.7
            else record(rng, at, Text((f"q{i}", rng.randint(60, 300))), rng.randint(40, 120), type="chat", model="gpt-4o")
            for i, at in enumerate(arrivals(rng, 800, 2))]


@log(["answer_cache"], never=["speculation"])
def the_same_questions(rng):
    pool = [(rng.randint(40, 300), rng.randint(40, 200)) for _ in range(rng.randint(20, 80))]
    rows = []
    for at in arrivals(rng, 800, 1):
        which = min(int(rng.expovariate(1 / 12)), len(pool) - 1)
        rows.append(record(rng, at, Text((f"faq{which}", pool[which][0])), pool[which][1], type="faq", **MODEL))
    return rows


@log(["answer_cache"], never=["speculation"])
def the_same_questions_behind_a_system_prompt(rng):
    """Sampled answers: their lengths differ."""
    pool = [rng.randint(20, 90) for _ in range(40)]
    rows = []
    for at in arrivals(rng, 800, 1):
        which = rng.randrange(len(pool))
        rows.append(record(rng, at, Text(("system", 500), (f"faq{which}", pool[which])), rng.randint(150, 400), type="faq", **MODEL))
    return rows


@log(["batch"])
def offline_bursts(rng):
    rows, at = [], 1.79e9
    for _ in range(5):
        t = at
        for _ in range(300):
            t += rng.expovariate(1.0)
            rows.append(record(rng, t, Text((f"d{rng.random()}", rng.randint(300, 900))), rng.randint(80, 300), type="summaries", **MODEL))
        at += 86400
    return rows


@log(["batch"])
def offline_bursts_beside_people(rng):
    rows = [record(rng, at, Text((f"q{i}", rng.randint(100, 400))), rng.randint(50, 200), type="chat", model="gpt-4o")
            for i, at in enumerate(arrivals(rng, 400, 1 / 300))]
    at = 1.79e9
    for _ in range(10):
        t = at
        for _ in range(200):
            t += rng.expovariate(20.0)
            rows.append(record(rng, t, Text((f"d{rng.random()}", rng.randint(300, 900))), rng.randint(80, 300), type="offline-eval",
                               model="gpt-4o"))
        at += 7200
    return sorted(rows, key=lambda r: r["timestamp"])


@log(["cap"])
def runaways(rng):
    return [record(rng, at, Text((f"q{i}", rng.randint(100, 400))), 4096 if rng.random() < 0.08 else lognormal(rng, 110, 0.5), type="ask",
                   **MODEL) for i, at in enumerate(arrivals(rng, 700, 0.2))]


@log(["cap"])
def runaways_of_any_length(rng):
    return [record(rng, at, Text((f"q{i}", rng.randint(100, 400))), rng.randint(1500, 4096) if rng.random() < 0.08 else
                   lognormal(rng, 110, 0.5), tpot=8, type="ask", **MODEL) for i, at in enumerate(arrivals(rng, 700, 0.2))]


@log(["cap"])
def pareto_answers(rng):
    return [record(rng, at, Text((f"q{i}", rng.randint(100, 400))), min(8192, round(60 * rng.paretovariate(1.05))), tpot=8, type="ask",
                   **MODEL) for i, at in enumerate(arrivals(rng, 1500, 0.2))]


@log(["cap"])
def wide_lognormal_answers(rng):
    return [record(rng, at, Text((f"q{i}", rng.randint(50, 150))), min(8192, lognormal(rng, 120, 1.4)), tpot=5, type="ask",
                   **MODEL) for i, at in enumerate(arrivals(rng, 1500, 0.2))]


@log(["context"], never=["speculation"])
def long_contexts(rng):
    return [record(rng, at, Text((f"docs{i}", rng.randint(5000, 12000))), rng.randint(20, 120), prefill=0.05, type="search", **MODEL)
            for i, at in enumerate(arrivals(rng, 300, 0.3))]


@log(["context"], never=["speculation"])
def long_contexts_behind_a_short_system_prompt(rng):
    return [record(rng, at, Text(("system", 300), (f"docs{i}", rng.randint(5000, 12000))), rng.randint(20, 120), prefill=0.5, type="search",
                   model="gpt-4o") for i, at in enumerate(arrivals(rng, 300, 0.3))]


# --- none ------------------------------------------------------------------------------------------------------------------------

@log([])
def short_chat(rng):
    return [record(rng, at, Text((f"q{i}", rng.randint(20, 120))), rng.randint(20, 120), type="chat", **MODEL)
            for i, at in enumerate(arrivals(rng, 500, 0.7))]


@log([])
def short_chat_of_usual_spread(rng):
    return [record(rng, at, Text((f"q{i}", lognormal(rng, 120, 0.7))), lognormal(rng, 80, 0.7), tpot=15, type=rng.choice("ab"),
                   model="gpt-4o-mini") for i, at in enumerate(arrivals(rng, 800, 3))]


@log([])
def a_cache_at_work(rng):
    rows = []
    for i, at in enumerate(arrivals(rng, 600, 0.7)):
        rows.append(record(rng, at, Text(("system", 2000), (f"q{i}", rng.randint(10, 80))), rng.randint(20, 150),
                           cached=2000 if i else 0, type="support", **MODEL))
    return rows


@log([])
def a_short_shared_prompt_on_a_hosted_model(rng):
    """600 tokens are below every provider's least cacheable length."""
    return [record(rng, at, Text(("system", 600), (f"q{i}", rng.randint(10, 80))), rng.randint(20, 150), type="support",
                   model="gpt-4o") for i, at in enumerate(arrivals(rng, 600, 0.7))]


@log([])
def sparse_use_of_a_hosted_cache(rng):
    """One request every half an hour: each entry has expired before the next one comes."""
    return [record(rng, at, Text(("system", 3000), (f"q{i}", rng.randint(10, 80))), rng.randint(20, 150), type="support",
                   model="claude-sonnet-4-5") for i, at in enumerate(arrivals(rng, 300, 1 / 3600))]


@log([])
def nothing_but_counts(rng):
    return [{"prompt_tokens": rng.randint(100, 4000), "output_tokens": rng.randint(10, 200)} for _ in range(300)]


# --- mixed -----------------------------------------------------------------------------------------------------------------------

@log(["prefix_cache"], never=["speculation"])
def re_sent_prompts_beside_short_chat(rng):
    return [record(rng, at, Text(("system", 3000), (f"q{i}", rng.randint(10, 80))), rng.randint(20, 100), type="agent", **MODEL)
            if rng.random() < 0.6 else record(rng, at, Text((f"q{i}", rng.randint(20, 120))), rng.randint(20, 120), type="chat", **MODEL)
            for i, at in enumerate(arrivals(rng, 700, 0.7))]


@log(["prefix_cache"], never=["speculation"])
def classification_with_many_examples_in_the_prompt(rng):
    return [record(rng, at, Text(("examples", 2500), (f"q{i}", rng.randint(20, 60))), rng.randint(1, 5), type="classify", **MODEL)
            for i, at in enumerate(arrivals(rng, 700, 2))]


@log(["cap"])
def runaways_beside_a_shared_prompt(rng):
    return [record(rng, at, Text(("system", 200), (f"q{i}", rng.randint(50, 200))), 4096 if rng.random() < 0.1 else
                   lognormal(rng, 110, 0.4), type="ask", **MODEL) for i, at in enumerate(arrivals(rng, 700, 0.2))]


def check_shape(advice):
    assert set(advice) == {"bound_by", "slices", "levers", "short_prefixes"}, sorted(advice)
    assert isinstance(advice["short_prefixes"], list)
    assert advice["bound_by"] in {"ttft", "tpot", "cost"}
    assert advice["slices"] and all("type" in s for s in advice["slices"])
    for lever in advice["levers"]:
        assert set(lever) == {"lever", "saving", "assumption", "experiment"}, sorted(lever)
        assert lever["lever"] in LEVERS and lever["assumption"] and lever["experiment"]
        saving = lever["saving"]
        assert set(saving) == {"of", "estimate", "low", "high"} and saving["of"] in {"cost", "ttft", "e2e"}
        assert -1 <= saving["low"] <= saving["estimate"] <= saving["high"] <= 1, saving
    estimates = [lever["saving"]["estimate"] for lever in advice["levers"]]
    assert estimates == sorted(estimates, reverse=True), estimates


def verdict(program, rows, folder):
    path = os.path.join(folder, "log.jsonl")
    with open(path, "w") as out:
        for row in rows:
            out.write(json.dumps(row) + "\n")
    done = subprocess.run([program, "advise", path, "--json", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--only", default="")
    options.add_argument("--show", action="store_true")
    given = options.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make, first, never, bound in LOGS:
            if given.only not in name:
                continue
            for seed in range(1, given.seeds + 1):
                advice = verdict(given.program, make(random.Random(seed)), folder)
                check_shape(advice)
                listed = [lever["lever"] for lever in advice["levers"]]
                right = (listed[0] in first if listed else not first) and not never & set(listed) and bound in (None, advice["bound_by"])
                said = f"{name}, seed {seed}: {advice['bound_by']}; " + ", ".join(
                    "{} {estimate:.2f} [{low:.2f}, {high:.2f}] of {of}".format(lever["lever"], **lever["saving"])
                    for lever in advice["levers"])
                if given.show or not right:
                    print(said + ("" if right else f"  WRONG: expected {sorted(first) or 'none'}, never {sorted(never)}"))
                if not right:
                    wrong.append(name)
    if wrong:
        sys.exit(f"{len(wrong)} verdicts are wrong: {sorted(set(wrong))}")
    print(f"{len(LOGS)} kinds of log, {given.seeds} seeds each: all verdicts as expected")


if __name__ == "__main__":
    main()
