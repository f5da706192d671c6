"""shapes: made models of 1.5B and 7B shape (four layers and the head, random weights) in real formats: the memory's bandwidth that a step of one
row uses, and the share of the multiply peak that a prompt of 512 tokens reaches. Peaks and bandwidth are measured in the same run.
"""
import json

from harness.rows import Row
from harness.setup import output_of


def run(bench):
    for made in json.loads(output_of([bench.program("bench/bench_shapes"), bench.threads])):
        case = f"{made['shape']} {made['format']}, {made['layers']} layers"
        yield Row("shapes", case, "one row, weights read", "GB/s", made["gb_per_second"], made["memory_gb_per_second"], "memory reads")
        yield Row("shapes", case, "prompt of 512", "GMAC/s", made["gmac_per_second"], made["peak_gmac_per_second"], "peak")
