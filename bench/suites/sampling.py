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
        # A draw alone is measured on its own thread's clock; the steps' medians carry whatever else the machine does.
        more = 1e-3 * (least(setting, "draw_us") - least("greedy", "draw_us"))
        yield Row("sampling", setting, "step, greedy = peer", "ms", step + more, step, "greedy step", 0.97, False)
        yield Row("sampling", setting, "median step", "ms", least(setting, "step_wall_ms"), step, "greedy step", None, False)
