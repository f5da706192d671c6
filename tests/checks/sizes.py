"""sizes.py [ROOT] [--table]: how large functions and files of include/ and src/ may be, and how much of a room its tests must be.

Functions: 60 lines, and at most 6 parameters (more become a struct); 6 are for fewer than 1 in 200. Files: 400 lines, public headers 250
and half of them at most 100. Tests: see TESTED. --table prints where it stands.

clang-tidy's readability-function-size says the same, but needs a compiler's view of every source; this reads the text in a second.
"""
import pathlib
import re
import sys

LINES, PARAMETERS = 60, 6
SOURCE, HEADER, HEADER_MEDIAN = 400, 250, 100
MANY, MANY_SHARE = 6, 0.005
TESTED = {"engine": 0.7, "endpoint": 0.7, "policy": 0.7, "cache": 0.7}  # lines of tests a line of the room
NOT_FUNCTIONS = {"if", "for", "while", "switch", "catch", "return", "alignas", "decltype", "noexcept", "sizeof"}
# What may stand between a function's parameters and its body.
BETWEEN = re.compile(r"\)\s*(const|noexcept|override|final|mutable|&&?|->\s*[\w:<>,&*\s]+|\s)*$")

# Read from left to right: a comment's mark inside a literal does not begin a comment.
TOKEN = re.compile(r'R"(\w*)\((?:.|\n)*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|/\*(?:.|\n)*?\*/|//[^\n]*')
KEPT = {"one_tile", "narrow_tile"}  # inner calls of the CPU products, where a struct would cost


def plain(text):
    """The text with comments and literals blanked, line by line as long as before."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group())
    text = TOKEN.sub(blank, text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)


def opening(text, close):
    """Where the parenthesis opens that closes at `close`."""
    depth = 0
    for i in range(close, -1, -1):
        depth += {")": 1, "(": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return 0


def parameters(text, begin, end):
    inner, depth, count = text[begin + 1:end], 0, 1
    if not inner.strip() or inner.strip() == "void":
        return 0
    for c in inner:
        depth += (c in "(<{[") - (c in ")>}]")
        count += c == "," and depth == 0
    return count


def head(text, brace):
    """(name, open, close) of the function whose body begins at `brace`, or None where something else does."""
    base = max(0, brace - 3000)
    before = text[base:brace]
    between = BETWEEN.search(before)
    initialised = re.search(r"[)}]\s*$", before) and list(re.finditer(r"\)\s*(?:noexcept\s*)?:\s+\w+[({]", before))
    if between:
        close = base + before.rindex(")", 0, between.start() + 1)
    elif initialised and ";" not in before[initialised[-1].end():]:
        close = base + initialised[-1].start()
    else:
        return None
    begin = opening(text, close)
    name = re.search(r"([\w~:]+|\])\s*$", text[:begin])
    if not name or name.group(1).split("::")[-1] in NOT_FUNCTIONS:
        return None
    if re.search(r"(?:,|[^:]:)\s*$", text[max(0, begin - 200):name.start()]) and initialised:  # the last initialiser
        close = base + initialised[-1].start()
        begin = opening(text, close)
        name = re.search(r"([\w~:]+)\s*$", text[:begin])
    return name and (name.group(1), begin, close)


def functions(text):
    """(line, name, lines, parameters) of every function with a body."""
    text = plain(text)
    stack = []
    for i, c in enumerate(text):
        if c == "{":
            stack.append((i, head(text, i)))
        elif c == "}" and stack:
            begin, found = stack.pop()
            if found:
                name, first, last = found
                line = text.count("\n", 0, first) + 1
                yield line, name, text.count("\n", begin, i) + 1, parameters(text, first, last)


def files(root, folder):
    return [p for p in sorted((root / folder).rglob("*")) if p.suffix in (".hpp", ".cpp")]


class House:
    """What was counted."""

    def __init__(self, root):
        self.lines = {}  # file -> lines
        self.functions = []  # (where, name, lines, parameters)
        self.root = root
        for folder in ("include", "src"):
            for path in files(root, folder):
                text, name = path.read_text(), path.relative_to(root).as_posix()
                self.lines[name] = text.count("\n")
                self.functions += [(f"{name}:{line}: {f}", f, lines, count) for line, f, lines, count in functions(text)]

    def headers(self):
        return sorted(n for name, n in self.lines.items() if name.startswith("include/"))

    def sources(self):
        return sorted(n for name, n in self.lines.items() if name.startswith("src/"))

    def many(self):
        """Functions with names that have MANY parameters or more."""
        return [f for f in self.functions if f[3] >= MANY and f[1] != "]" and f[1] not in KEPT]

    def tested(self, room):
        """(lines of its tests, lines of the room)."""
        own = sum(n for name, n in self.lines.items() if name.startswith((f"include/frugal/{room}/", f"src/{room}/")))
        tests = files(self.root, f"tests/{room}")
        tests += [p for p in files(self.root, "tests/contracts") if p.name.startswith((f"{room}_", f"own_{room}"))]  # a stranger's
        return sum(p.read_text().count("\n") for p in tests), own


def complaints(root):
    house = House(root)
    for where, name, lines, count in house.functions:
        if lines > LINES:
            yield f"{where} has {lines} lines, {LINES} is the most"
        if count > PARAMETERS and name != "]" and name not in KEPT:
            yield f"{where} has {count} parameters, {PARAMETERS} is the most: make a struct"
    for name, lines in house.lines.items():
        most = HEADER if name.startswith("include/") else SOURCE
        if lines > most:
            yield f"{name} has {lines} lines, {most} is the most"
    headers = house.headers()
    if headers and headers[len(headers) // 2] > HEADER_MEDIAN:
        yield f"half of the public headers have more than {HEADER_MEDIAN} lines"
    if len(house.functions) >= 200 and len(house.many()) >= MANY_SHARE * len(house.functions):
        yield f"{len(house.many())} of {len(house.functions)} functions have {MANY} or more parameters: " + "; ".join(f[0] for f in house.many())
    for room, least in TESTED.items():
        tests, own = house.tested(room)
        if tests < least * own:
            yield f"tests/{room} has {tests} lines for {own} of the room, at least {least} a line are wanted"


def table(root):
    house = House(root)
    lengths, headers, sources = sorted(f[2] for f in house.functions), house.headers(), house.sources()
    at = lambda values, share: values[min(len(values) - 1, int(share * len(values)))]
    yield f"functions: {len(lengths)}; lines median {at(lengths, 0.5)}, p90 {at(lengths, 0.9)}, most {lengths[-1]} (at most {LINES})"
    many = len(house.many())
    yield f"{MANY} or more parameters: {many}, {100 * many / len(lengths):.2f} % (below {100 * MANY_SHARE} %); kept aside: {', '.join(sorted(KEPT))}"
    yield f"public headers: {len(headers)}; lines median {at(headers, 0.5)} (at most {HEADER_MEDIAN}), most {headers[-1]} (at most {HEADER})"
    yield f"sources: {len(sources)}; lines median {at(sources, 0.5)}, most {sources[-1]} (at most {SOURCE})"
    rooms = sorted({name.split("/")[1] for name in house.lines if name.startswith("src/") and name.count("/") > 1})
    sums = [0, 0]
    for room in rooms:
        tests, own = house.tested(room)
        sums = [sums[0] + tests, sums[1] + own]
        yield f"tests a line, {room}: {tests} / {own} = {tests / own:.2f}" + (f" (at least {TESTED[room]})" if room in TESTED else "")
    yield f"tests a line, all: {sums[0]} / {sums[1]} = {sums[0] / sums[1]:.2f}"


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--table"]
    base = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parents[2]
    if "--table" in sys.argv:
        print("\n".join(table(base)))
    found = list(complaints(base))
    print("\n".join(found) if found else "sizes: clean")
    sys.exit(bool(found))
