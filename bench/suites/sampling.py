"""sampling: decode steps that draw or score beside greedy ones, in turns of single steps on the same rows."""
import json

from harness.rows import Row
from harness.setup import output_of

ROUNDS = 150


def run(bench):
    rows = {}
    for _ in range(bench.rounds):
        text = output_of([bench.program("bench/bench_sampling_cost"), bench.model, bench.threads, ROUNDS])
        for row in map(json.loads, text.splitlines()):
            rows.setdefault(row["setting"], []).append(row)
    least = lambda setting, key: min(row[key] for row in rows[setting])
    step = least("greedy", "step_wall_ms")
    for setting in rows:
        if setting == "greedy":
            continue
        more = 1e-3 * sorted(row["more_us"] for row in rows[setting])[len(rows[setting]) // 2]
        yield Row("sampling", setting, "step, greedy = peer", "ms", step + more, step, "greedy step", 0.97, False)
        yield Row("sampling", setting, "draw alone, one thread", "us", least(setting, "draw_us"), least("greedy", "draw_us"), "greedy", None, False)
