"""text.py [ROOT]: sources are ASCII, carry no to-do marks and no trailing blanks; long files get advice, not an error."""
import pathlib
import re
import sys

FOLDERS = ["include", "src", "tests", "examples", "bench", "cmake", ".ci"]
KINDS = {".hpp", ".cpp", ".cu", ".cuh", ".h", ".cmake", ".py", ".sh", ".txt", ".in", ".md"}
DATA = re.compile(r"(corpus|data|golden|approved|lock)/")  # not ours to spell
MARK = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
ADVICE = {"include": 250, "src": 400}  # lines


def sources(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and (path.suffix in KINDS or folder == ".ci") and not DATA.search(name):
                yield name, path


def complaints(root):
    for name, path in sources(root):
        raw = path.read_bytes()
        for number, line in enumerate(raw.split(b"\n"), 1):
            if any(byte > 126 or (byte < 32 and byte != 9) for byte in line):
                yield f"{name}:{number}: a byte that is not printable ASCII: write an escape"
            if line != line.rstrip():
                yield f"{name}:{number}: blanks at the end of the line"
            if MARK.search(line.decode("ascii", "replace")):
                yield f"{name}:{number}: a to-do mark: make it an issue, or do it"
        if raw and not raw.endswith(b"\n"):
            yield f"{name}: no newline at the end"


def advice(root):
    for name, path in sources(root):
        lines, most = len(path.read_bytes().splitlines()), ADVICE.get(name.split("/")[0])
        if most and path.suffix in (".hpp", ".cpp") and lines > most:
            yield f"advice: {name} has {lines} lines; {most} is the aim"
    headers = sorted(len(p.read_bytes().splitlines()) for _, p in sources(root) if "include" in p.parts and p.suffix == ".hpp")
    if headers and headers[len(headers) // 2] > 100:
        yield f"advice: the median public header has {headers[len(headers) // 2]} lines; 100 is the aim"


if __name__ == "__main__":
    base = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    print("\n".join(advice(base)))
    found = list(complaints(base))
    print("\n".join(found) if found else "text: clean")
    sys.exit(bool(found))
