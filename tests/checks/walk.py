"""walk.py ROOT: docs/walk.md is true to the code: the files, folders and functions that it names are there."""
import pathlib
import re
import sys


def complaints(root):
    text = (root / "docs/walk.md").read_text()
    for name in sorted(set(re.findall(r"`((?:src|tests)/[\w/.]+)`", text))):
        if not (root / name).exists():
            yield f"docs/walk.md names {name}, which is not there"
    sources = "\n".join(p.read_text() for p in (root / "src").rglob("*.cpp"))
    headers = "\n".join(p.read_text() for p in [*(root / "include").rglob("*.hpp"), *(root / "src").rglob("*.hpp")])
    for owner, function in sorted(set(re.findall(r"`(\w+)::(\w+)`", text))):
        defined = re.search(rf"\b{owner}::{function}\(", sources)
        declared = re.search(rf"\b(class|struct)\b[^;{{]*\b{owner}\b", headers) and re.search(rf"\b{function}\b", headers)
        if not (defined or declared):
            yield f"docs/walk.md names {owner}::{function}, which is not there"


if __name__ == "__main__":
    found = list(complaints(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]))
    print("\n".join(found) if found else "walk: clean")
    sys.exit(bool(found))
