"""machine: what the processor's multiply units and memory offer one thread, and what the products of each weight format reach of it.

Peaks are measured in the same run by small loops (bench/micro/peaks.cpp), so the shares hold on any machine. Plain floats are multiplied in
fp32 and stand beside its peak.
"""
import re

from harness.rows import Row
from harness.setup import output_of


def run(bench):
    text = output_of([bench.program("bench/bench_products")])
    most, floats, table, rows = 0.0, 0.0, "", []
    for line in text.splitlines():
        if found := re.match(r"  (.+?) +(\d+) 10\^9 multiply-adds a second$", line):
            most = max(most, float(found[2]))
            floats = max(floats, float(found[2])) if found[1].endswith("fp32") else floats
            yield Row("machine", found[1], "peak", "GMAC/s", float(found[2]))
        elif found := re.match(r"  reads of +([\d.]+) MiB again and again +([\d.]+) GB/s$", line):
            yield Row("machine", f"{found[1]} MiB again and again", "reads", "GB/s", float(found[2]))
        elif found := re.match(r"([\w-]+): 10\^9 multiply-adds", line):
            table = found[1]
        elif found := re.match(r" +((?: +\d+ rows)+)$", line):
            rows = re.findall(r"\d+ rows", found[1])
        elif re.search(r"\(\s*\d+%\)", line):
            peak = floats if re.match(r"b?f\d", line) else most
            for count, value in zip(rows, re.findall(r"(\d+) \(\s*\d+%\)", line), strict=True):
                yield Row("machine", f"{table} {line[:55].split('  ')[0]}, {line[25:55].strip()}", count, "GMAC/s", float(value), peak, "peak")
