"""counts: instructions of the inner loops, counted by valgrind: the same on a busy machine, so they can gate.

The difference of two runs leaves the loop alone. Limits are for AVX2 and g++ 12 with some room; valgrind runs no AVX-512:
of the float loops of every table tests/cpu/float_loops.py counts the compiled instructions.
"""
import re
import subprocess
import tempfile

from harness.rows import Row

TIMES = 100
# kernel: (multiply-adds of one call or values, what they are, most instructions for 1,000 of them)
MULTIPLY = 16 * 576
LIMITS = {
    "q4-1": (MULTIPLY, "multiply-adds", 210), "q4-4": (4 * MULTIPLY, "multiply-adds", 138), "open-8": (8 * MULTIPLY, "multiply-adds", 128),
    "q8-1": (MULTIPLY, "multiply-adds", 290), "q8-4": (4 * MULTIPLY, "multiply-adds", 195),
    "f16-1": (MULTIPLY, "multiply-adds", 470), "f16-6": (6 * MULTIPLY, "multiply-adds", 260),
    "bf16-1": (MULTIPLY, "multiply-adds", 680), "bf16-6": (6 * MULTIPLY, "multiply-adds", 270),
    "f32-1": (MULTIPLY, "multiply-adds", 570), "f32-6": (6 * MULTIPLY, "multiply-adds", 305),
    "q5-4": (4 * MULTIPLY, "multiply-adds", 190), "attend": (2 * 24 * 256 * 64, "multiply-adds", 450), "quantize": (576, "values", 2800),
}


def instructions(bench, kernel, times):
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}",
                               bench.program("bench/bench_kernel_counts"), kernel, str(times)], capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise SystemExit(f"valgrind bench_kernel_counts {kernel}: {done.stderr[-2000:]}")
    return int(found.group(1))


def run(bench):
    for kernel, (work, unit, limit) in LIMITS.items():
        each = (instructions(bench, kernel, 2 * TIMES) - instructions(bench, kernel, TIMES)) / TIMES
        yield Row("counts", kernel, f"per 1,000 {unit}", "instr", 1000 * each / work, limit, "allowed", 1.0, False)
