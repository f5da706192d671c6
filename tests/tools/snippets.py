#!/usr/bin/env python3
"""Code in the documentation is cut from the examples. A block stands under a line `<!-- FILE [name] -->` and must equal the lines
between `// [name]` and `// [/name]` (in YAML `# [name]`) in FILE. `snippets.py ROOT` checks; `snippets.py ROOT --write` cuts again."""
import pathlib
import re
import sys
import textwrap

BLOCK = re.compile(r"<!-- (\S+) \[(\w+)\] -->\n```(cpp|yaml)\n(.*?)```", re.S)


def cut(root, file, name):
    text = (root / file).read_text()
    found = re.search(rf"^ *(?://|#) \[{name}\]\n(.*?)^ *(?://|#) \[/{name}\]", text, re.S | re.M)
    if not found:
        sys.exit(f"{file}: no snippet [{name}]")
    return textwrap.dedent(found.group(1))


def main():
    root = pathlib.Path(sys.argv[1])
    write = "--write" in sys.argv
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    blocks, stale = 0, []
    for page in pages:
        text = page.read_text()
        for file, name, kind, code in BLOCK.findall(text):
            blocks += 1
            fresh = cut(root, file, name)
            if fresh != code:
                stale.append(f"{page.relative_to(root)}: {file} [{name}]")
                head = f"<!-- {file} [{name}] -->\n```{kind}\n"
                text = text.replace(f"{head}{code}```", f"{head}{fresh}```")
        if write:
            page.write_text(text)
    if blocks == 0:
        sys.exit("no snippet found in any page")
    if stale and not write:
        sys.exit("differs from its example: " + "; ".join(stale))
    print(f"{blocks} snippets in {len(pages)} pages")


main()
