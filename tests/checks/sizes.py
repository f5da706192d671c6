"""sizes.py [ROOT]: functions of include/ and src/ have at most 60 lines and at most 6 parameters (more become a struct).

clang-tidy's readability-function-size says the same, but needs a compiler's view of every source; this reads the text in a second.
"""
import pathlib
import re
import sys

LINES, PARAMETERS = 60, 6
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


def complaints(root):
    for folder in ("include", "src"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".hpp", ".cpp"):
                continue
            for line, name, lines, count in functions(path.read_text()):
                where = f"{path.relative_to(root).as_posix()}:{line}: {name}"
                if lines > LINES:
                    yield f"{where} has {lines} lines, {LINES} is the most"
                if count > PARAMETERS and name != "]" and name not in KEPT:
                    yield f"{where} has {count} parameters, {PARAMETERS} is the most: make a struct"


if __name__ == "__main__":
    found = list(complaints(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]))
    print("\n".join(found) if found else "sizes: clean")
    sys.exit(bool(found))
