"""spec: decode time with speculation beside decode time without, the same tokens by check; llama.cpp's own n-gram drafting beside it.

The requests are bench/data/spec.json. Of each, the best of several turns counts on either side; a group's speed is all its tokens over all
its time, from the first token to the last.
"""
import json

from harness.rows import Row, interleave
from harness.setup import ROOT
from suites.prefix import Server, post

CASES = ROOT / "bench/data/spec.json"
GROUPS = ["edit", "extract", "quote", "chat"]
LIMIT = {"edit": 2.0, "extract": 2.0, "quote": 2.0}
NEVER_BELOW = 0.97
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


def best_of(turns, side):
    """Name -> (tokens, seconds) of the fastest turn."""
    best = {}
    for turn in turns:
        for row in turn:
            if not row["same"]:
                raise SystemExit(f"spec: the tokens of '{row['name']}' change with speculation")
            tokens, seconds = (row["plain_tokens"], row["plain_seconds"]) if side == "off" else (row["tokens"], row["seconds"])
            if row["name"] not in best or tokens / seconds > best[row["name"]][0] / best[row["name"]][1]:
                best[row["name"]] = (tokens, seconds)
    return best


def speed(parts):
    parts = list(parts)
    return sum(p[0] for p in parts) / sum(p[1] for p in parts)


def run_group(bench, group):
    """One group of requests, one after the other; of open chat the worst request as well."""
    ours = lambda: bench.spec("compare", "--cases", CASES, "--group", group, "--repeat", 2)
    peers = [lambda o=o: peer_speed(bench, o, group) for o in PEERS.values()] if bench.peers else []
    mine, *theirs = interleave(bench.rounds, ours, *peers)
    on, off = best_of(mine, "on"), best_of(mine, "off")
    drafted, accepted = (sum(r[key] for r in mine[0]) for key in ("drafted", "accepted"))
    fast = speed(on.values())
    yield Row("spec", f"{group}, {accepted} of {drafted} accepted", "decode speed", "tok/s", fast, speed(off.values()), "without",
              LIMIT.get(group))
    if bench.peers:
        best = {name: speed([max(turns, key=lambda t: t[0] / t[1])]) for name, turns in zip(PEERS, theirs)}
        plain = best.pop("off")
        name, theirs = max(best.items(), key=lambda b: b[1])
        yield Row("spec", group, "decode speed", "tok/s", fast, theirs, f"llama.cpp {name} ({theirs / plain:.2f}x its plain)")
    if group == "chat":
        worst = min(on, key=lambda name: speed([on[name]]) / speed([off[name]]))
        yield Row("spec", f"chat, worst: {worst}", "decode speed", "tok/s", speed([on[worst]]), speed([off[worst]]), "without", NEVER_BELOW)


def run_crowd(bench):
    crowd = lambda: bench.spec("compare", "--cases", CASES, "--group", "chat", "--sequences", 16, "--repeat", 4)
    turns = interleave(bench.rounds, crowd)[0]
    yield Row("spec", "chat, 16 sequences", "speed of all", "tok/s", speed(best_of(turns, "on").values()),
              speed(best_of(turns, "off").values()), "without", NEVER_BELOW)


def run(bench):
    for group in GROUPS:
        yield from run_group(bench, group)
    yield from run_crowd(bench)
