"""spec: decode time with speculation beside decode time without, the same tokens by check; llama.cpp's own n-gram drafting beside it.

The requests are bench/data/spec.json. In a round the engines with and without take turns of a few steps; of each request the round with the
median ratio counts, for the fastest rounds of two sides differ by more than an open chat gains or loses. A group's speed is all its tokens over
all its time, from the first token to the last. Of the peer's turns the best counts.
"""
import json

from harness.rows import Row, interleave
from harness.setup import ROOT
from suites.prefix import Server, post

CASES = ROOT / "bench/data/spec.json"
GROUPS = ["edit", "extract", "quote", "chat"]
LIMIT = {"edit": 2.0, "extract": 2.0, "quote": 2.0}
NEVER_BELOW = 0.97
REPEAT = {"edit": 3, "extract": 3, "quote": 3, "chat": 7}  # rounds in a turn: what is near its limit gets more
# llama-server's drafters without a model; the best one counts for each group. Its defaults for ngram-simple (12 tokens must match, 48 are
# drafted) find nothing in short answers, so a shorter one stands beside them.
PEERS = {
    "off": [],
    "ngram-simple": ["--spec-type", "ngram-simple"],
    "ngram-simple 3/16": ["--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "3", "--spec-ngram-simple-size-m", "16"],
    "ngram-cache": ["--spec-type", "ngram-cache"],
}


def cases(group):
    return [c for c in json.loads(CASES.read_text()) if c["group"] == group]


def peer_speed(bench, options, group):
    """(tokens, seconds) of llama-server, by its own clock."""
    tokens, seconds = 0, 0.0
    with Server(bench, *options) as server:
        for case in cases(group):
            body = {"temperature": 0, "n_predict": case["max_tokens"], "max_tokens": case["max_tokens"], "cache_prompt": False,
                    "stop": case.get("stop", [])}
            if "messages" in case:
                reply = post(server.url + "/v1/chat/completions", body | {"messages": case["messages"]})
            else:
                reply = post(server.url + "/completion", body | {"prompt": case["prompt"]})
            tokens += reply["timings"]["predicted_n"]
            seconds += reply["timings"]["predicted_ms"] / 1e3
    return tokens, seconds


def middle_rounds(turns):
    """Name -> (with, without), each (tokens, seconds), of the round whose ratio is the median of all rounds of that request."""
    rounds = {}
    for row in (row for turn in turns for row in turn):
        if not row["same"]:
            raise SystemExit(f"spec: the tokens of '{row['name']}' change with speculation")
        rounds.setdefault(row["name"], []).extend(row["rounds"])
    middle = {}
    for name, seen in rounds.items():
        pairs = [((r["tokens"], r["seconds"]), (r["plain_tokens"], r["plain_seconds"])) for r in seen]
        pairs.sort(key=lambda pair: speed(pair[:1]) / speed(pair[1:]))
        middle[name] = pairs[len(pairs) // 2]
    return middle


def speed(parts):
    parts = list(parts)
    return sum(p[0] for p in parts) / sum(p[1] for p in parts)


def run_group(bench, group):
    """One group of requests, one after the other; of open chat the worst request as well."""
    ours = lambda: bench.spec("compare", "--cases", CASES, "--group", group, "--repeat", REPEAT[group])
    peers = [lambda o=o: peer_speed(bench, o, group) for o in PEERS.values()] if bench.peers else []
    mine, *theirs = interleave(bench.rounds, ours, *peers)
    middle = middle_rounds(mine)
    drafted, accepted = (sum(r["rounds"][0][key] for r in mine[0]) for key in ("drafted", "accepted"))
    fast, plain = (speed(pair[side] for pair in middle.values()) for side in (0, 1))
    yield Row("spec", f"{group}, {accepted} of {drafted} accepted", "decode speed", "tok/s", fast, plain, "without", LIMIT.get(group))
    if bench.peers:
        best = {name: speed([max(turns, key=lambda t: t[0] / t[1])]) for name, turns in zip(PEERS, theirs)}
        plain = best.pop("off")
        name, theirs = max(best.items(), key=lambda b: b[1])
        yield Row("spec", group, "decode speed", "tok/s", fast, theirs, f"llama.cpp {name} ({theirs / plain:.2f}x its plain)")
    if group == "chat":
        for name, (on, off) in sorted(middle.items(), key=lambda item: speed(item[1][:1]) / speed(item[1][1:]))[:3]:
            yield Row("spec", f"chat, among the worst: {name}", "decode speed", "tok/s", speed([on]), speed([off]), "without", NEVER_BELOW)


def run_crowd(bench):
    """In many processes: two engines of one process that do the same differ by up to 2%, by where their pages lie."""
    turns = []
    for i in range(4 * bench.rounds):
        turns.append(bench.spec("compare", "--cases", CASES, "--group", "chat", "--sequences", 16, "--repeat", 3, *["--on-first"] * (i % 2)))
    [(on, off)] = middle_rounds(turns).values()
    yield Row("spec", "chat, 16 sequences", "speed of all", "tok/s", speed([on]), speed([off]), "without", NEVER_BELOW)


def run(bench):
    for group in GROUPS:
        yield from run_group(bench, group)
    yield from run_crowd(bench)
