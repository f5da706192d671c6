"""float_loops.py OBJDUMP TABLE=OBJECT...: exact counts of the float kernels' inner loops, read from the compiled objects.

The processor need not have the instructions, so this holds for AVX-512 and AMX on any machine. Of each table every
weight format and every number of rows must have a loop, and each loop, for one input of 16 outputs and R rows, exactly
the vector instructions of STEP and no access to the stack by one. Exit 1 with one line a breach. See docs/bench.md.
"""
import collections
import re
import subprocess
import sys

# table: (vectors that hold 16 floats, most rows of a group)
SHAPES = {"avx512": (1, 12), "avx2": (2, 6), "avxvnni": (2, 6)}
# (vectors, format): what brings one input of 16 weights and widens it, each so many times. Loads of f32 may be part of
# the multiply-adds, and of AVX-512 inputs are: "multiply-add" has an operand in memory there, broadcast.
STEP = {
    (1, "f16"): {"vcvtph2ps": 1}, (1, "bf16"): {"vbroadcasti64x4": 1, "vpsllvd": 1, "vpandd": 1}, (1, "f32"): {"load": 1},
    (2, "f16"): {"vcvtph2ps": 2}, (2, "bf16"): {"load": 1, "vpslld": 1, "vpand": 1}, (2, "f32"): {"load": 2},
}
LOADS = {"vmovups", "vmovdqu", "vmovaps", "vmovdqa"}
# AMX: (row tiles, strips): products and loads of 32 inputs; of opening floats, 2 inputs of 16 weights.
TILES = {(r, s): {"tdpbf16ps": r * s, "tileloadd": r + s} for r in (1, 2) for s in (1, 2)}
OPENED = {"f16": {"vcvtph2ps": 2}, "bf16": {"vbroadcasti64x4": 2, "vpsllvd": 2, "vpandd": 2}, "f32": {"vmovups": 2}}
ROUNDED = {"vcvtne2ps2bf16": 1, "vpermw": 1, "vmovdqa64": 1}  # two vectors become one, in pairs, and are stored


def functions(objdump, path):
    """(name, [(address, operation, operands)]) of each function."""
    done = subprocess.run([objdump, "-d", "-C", "--no-show-raw-insn", path], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{objdump} {path}: {done.stderr.strip()}")
    for text in re.split(r"\n(?=[0-9a-f]+ <.*>:\n)", done.stdout):
        head = re.match(r"[0-9a-f]+ <(.*)>:\n", text)
        if head:
            lines = re.findall(r"^\s+([0-9a-f]+):\t(\S+)[ \t]*(.*)$", text, re.M)
            name = re.sub(r"frugal::cpu::|\(anonymous namespace\)::|\(frugal::cpu::Format\)", "", head.group(1))
            yield name, [(int(address, 16), operation, operands) for address, operation, operands in lines]


def inner_loops(code):
    """The instructions of each loop that holds no other."""
    index = {address: i for i, (address, _, _) in enumerate(code)}
    found = []
    for i, (_, operation, operands) in enumerate(code):
        target = re.match(r"([0-9a-f]+) <", operands)
        start = index.get(int(target.group(1), 16)) if target and operation.startswith("j") else None
        if start is not None and start <= i:
            found.append((start, i))
    for start, end in found:
        if not any((s, e) != (start, end) and start <= s and e <= end for s, e in found):
            yield code[start:end + 1]


def counts(loop):
    """How often each vector instruction is there; broadcasts and loads also where a multiply-add does them."""
    found = collections.Counter()
    for _, operation, operands in loop:
        if operation[0] not in "vt" or operation == "test":
            continue
        if "%rsp" in operands:
            found["stack"] += 1
        if operation.startswith("vfmadd"):
            found["multiply-add"] += 1
            operation = "vbroadcastss" if "{1to" in operands else "load" if "(" in operands else None
        elif operation in LOADS and "(" in operands:
            operation = "load"
        if operation:
            found[operation] += 1
    return found


def format_of(found):
    return "f16" if found["vcvtph2ps"] else "bf16" if found["vpsllvd"] or found["vpslld"] else "f32"


def check_table(name, objdump, path):
    vectors, most = SHAPES[name]
    seen = collections.Counter()
    for function, code in functions(objdump, path):
        if not re.search(r"multiply_(group|few|floats)", function):
            continue
        for loop in inner_loops(code):
            found = counts(loop)
            if not found["multiply-add"]:
                continue
            kind = format_of(found)
            step = STEP[vectors, kind]
            inputs = found[next(iter(step))] // next(iter(step.values()))
            rows = found["vbroadcastss"] // inputs if inputs else 0
            want = collections.Counter({k: n * inputs for k, n in step.items()})
            want.update({"multiply-add": rows * vectors * inputs, "vbroadcastss": rows * inputs})
            if found != want or not 1 <= rows <= most:
                yield f"{name}: a loop of {kind} in {function.split('(')[0]} has {dict(found)}, {dict(want)} are wanted"
            seen[kind, rows] += 1
    for kind in ("f16", "bf16", "f32"):
        for rows in range(1, most + 1):
            if not seen[kind, rows]:
                yield f"{name}: {rows} rows of {kind} have no loop"
        print(f"{name} {kind}: {sum(n for (k, _), n in seen.items() if k == kind)} loops of 1 to {most} rows; an input of 16 "
              f"weights: {', '.join(f'{n} {k}' for k, n in STEP[vectors, kind].items())}; of each row: {vectors} multiply-add, 1 broadcast")


def check_tiles(objdump, path):
    """The products and the opening of floats that rows of prompts in bf16 take."""
    wanted = {str(shape): collections.Counter(want) for shape, want in TILES.items()}
    wanted |= {kind: collections.Counter(want) + collections.Counter(ROUNDED) for kind, want in OPENED.items()}
    left = [(name, want) for name, want in wanted.items()]
    for function, code in functions(objdump, path):
        if not re.search(r"multiply_bf16|open_(floats_)?bf16", function):
            continue
        for loop in inner_loops(code):
            found = collections.Counter(o for _, o, _ in loop if o[0] in "vt" and o != "test")
            left = [(name, want) for name, want in left if want != found]
    for name, want in left:
        yield f"amx_bf16: no loop has {dict(want)} ({name})"
    print(f"amx_bf16: {len(wanted) - len(left)} of {len(wanted)} loops as wanted: 1 or 2 row tiles x 1 or 2 strips; f16, bf16, f32 opened")


def main():
    objdump, *tables = sys.argv[1:]
    breaches = []
    for table in tables:
        name, path = table.split("=", 1)
        breaches += check_tiles(objdump, path) if name == "amx_bf16" else check_table(name, objdump, path)
    print("\n".join(breaches))
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
