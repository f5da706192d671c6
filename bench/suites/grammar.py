"""grammar: 40 orders into objects of five fields. Forced tokens beside masks alone, llama-server's json_schema on the same schema and chats, and
what a constraint adds to a decode step.

Both sides write greedily. Wall time runs from the first request to the last token of the last answer. llama-server may write blanks between signs,
which the schema's compact form here leaves out: its count of tokens is reported beside the time.
"""
import concurrent.futures
import json
import time

from harness.rows import Row, interleave
from harness.setup import ROOT
from suites.prefix import Server, post

CASES = ROOT / "bench/data/grammar.json"
MOST_TOKENS = 160
FEWER_PASSES, FASTER, OVERHEAD = 1.8, 2.5, 1.03


def valid(text):
    """The least that any side must deliver: the five fields."""
    try:
        return set(json.loads(text)) == set(json.loads(CASES.read_text())["schema"]["required"])
    except ValueError:
        return False


def peer(bench, sequences):
    """(seconds, tokens, whole answers) of llama-server."""
    cases = json.loads(CASES.read_text())
    with Server(bench, "-np", sequences, "-c", 1024 * sequences) as server:
        def ask(document):
            reply = post(server.url + "/v1/chat/completions", {
                "messages": [{"role": "user", "content": cases["instructions"] + document}], "temperature": 0, "max_tokens": MOST_TOKENS,
                "response_format": {"type": "json_schema", "json_schema": {"name": "order", "schema": cases["schema"]}}})
            return reply["usage"]["completion_tokens"], reply["choices"][0]["message"]["content"]
        ask(cases["documents"][0])
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(sequences) as pool:
            answers = list(pool.map(ask, cases["documents"]))
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "tokens": sum(a[0] for a in answers), "whole": sum(valid(a[1]) for a in answers)}


def extract(bench, sequences):
    ours = lambda: bench.grammar("extract", "--cases", CASES, "--sequences", sequences, "--tokens", MOST_TOKENS, "--repeat", 1)
    sides = [ours, lambda: peer(bench, sequences)] if bench.peers else [ours]
    mine, *theirs = interleave(bench.rounds, *sides)
    if not all(m["same"] for m in mine):
        raise SystemExit("grammar: forced tokens change an answer")
    if not all(valid(text) for text in mine[0]["texts"]):
        raise SystemExit("grammar: an answer lacks a field")
    best = {side: min((m[side] for m in mine), key=lambda r: r["seconds"]) for side in ("with", "without")}
    case = f"40 orders, {sequences} at once"
    yield Row("grammar", f"{case}, {best['with']['forced']} of {best['with']['tokens']} forced", "passes", "", best["with"]["passes"],
              best["without"]["passes"], "masks alone", FEWER_PASSES, False)
    yield Row("grammar", case, "wall time", "s", best["with"]["seconds"], best["without"]["seconds"], "masks alone", None, False)
    if bench.peers:
        fastest = min(theirs[0], key=lambda r: r["seconds"])
        name = f"llama-server, {fastest['tokens']} tokens, {fastest['whole']} whole,"
        yield Row("grammar", case, "wall time", "s", best["with"]["seconds"], fastest["seconds"], name, FASTER, False)


def overhead(bench, sequences):
    found = bench.grammar("overhead", "--cases", CASES, "--sequences", sequences, "--tokens", MOST_TOKENS, "--repeat", bench.rounds)
    for clock in ("wall", "cpu"):
        yield Row("grammar", f"step of {sequences}, no forced tokens", f"{clock} time", "ms", found[clock]["on_ms"], found[clock]["on_ms"] / found[clock]["ratio"],
                  "without a constraint", 1 / OVERHEAD if (sequences, clock) == (1, "wall") else None, False)


def run(bench):
    for sequences in (1, 8):
        yield from extract(bench, sequences)
    for sequences in (1, 8):
        yield from overhead(bench, sequences)
