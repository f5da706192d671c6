"""spec: decode time with speculation beside decode time without, the same tokens by check; llama.cpp's own n-gram drafting beside it.

The requests are bench/data/spec.json. Of each, the best of several turns counts on either side; a group's speed is all its tokens over all
its time, from the first token to the last.
"""
import json

from harness.rows import Row, interleave
from harness.setup import ROOT
from suites.prefix import Server, post

CASES = ROOT / "bench/data/spec.json"
REPEATING = ["edit", "extract", "quote"]
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


def cases(groups):
    return [c for c in json.loads(CASES.read_text()) if c["group"] in groups]


def peer_speeds(bench, options, groups):
    """Group -> (tokens, seconds) of llama-server, by its own clock."""
    sums = {g: [0, 0.0] for g in groups}
    with Server(bench, *options) as server:
        for case in cases(groups):
            body = {"temperature": 0, "n_predict": case["max_tokens"], "max_tokens": case["max_tokens"], "cache_prompt": False,
                    "stop": case.get("stop", [])}
            if "messages" in case:
                reply = post(server.url + "/v1/chat/completions", body | {"messages": case["messages"]})
            else:
                reply = post(server.url + "/completion", body | {"prompt": case["prompt"]})
            sums[case["group"]][0] += reply["timings"]["predicted_n"]
            sums[case["group"]][1] += reply["timings"]["predicted_ms"] / 1e3
    return {g: tuple(s) for g, s in sums.items()}


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


def run(bench):
    groups = [*REPEATING, "chat"]
    ours = lambda: bench.spec("compare", "--cases", CASES, "--repeat", 2)
    peers = [lambda o=o: peer_speeds(bench, o, groups) for o in PEERS.values()] if bench.peers else []
    mine, *theirs = interleave(bench.rounds, ours, *peers)
    on, off = best_of(mine, "on"), best_of(mine, "off")
    named = {g: [r for r in mine[0] if r["group"] == g] for g in groups}
    for group in groups:
        names = [r["name"] for r in named[group]]
        fast, slow = speed(on[n] for n in names), speed(off[n] for n in names)
        drafted, accepted = (sum(r[key] for r in named[group]) for key in ("drafted", "accepted"))
        case = f"{group}, {accepted} of {drafted} accepted"
        yield Row("spec", case, "decode speed", "tok/s", fast, slow, "without", LIMIT.get(group))
        if bench.peers:
            best = {name: max((turn[group] for turn in turns), key=lambda t: t[0] / t[1]) for name, turns in zip(PEERS, theirs)}
            off_speed = speed([best.pop("off")])
            name, (tokens, seconds) = max(best.items(), key=lambda b: b[1][0] / b[1][1])
            yield Row("spec", group, "decode speed", "tok/s", fast, tokens / seconds,
                      f"llama.cpp {name} ({tokens / seconds / off_speed:.2f}x its plain)")
    worst = min(named["chat"], key=lambda r: speed([on[r["name"]]]) / speed([off[r["name"]]]))["name"]
    yield Row("spec", f"chat, worst: {worst}", "decode speed", "tok/s", speed([on[worst]]), speed([off[worst]]), "without", NEVER_BELOW)
    crowd = lambda: bench.spec("compare", "--cases", CASES, "--group", "chat", "--sequences", 16, "--repeat", 1)
    turns = interleave(bench.rounds, crowd)[0]
    yield Row("spec", "chat, 16 sequences", "speed of all", "tok/s", speed(best_of(turns, "on").values()),
              speed(best_of(turns, "off").values()), "without", NEVER_BELOW)
