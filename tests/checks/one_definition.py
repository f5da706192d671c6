"""one_definition.py ROOT: no two files define a type of one name in one namespace. A linker keeps one of their inline functions for both, without a word."""
import collections
import pathlib
import re
import sys

NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
PIECE = re.compile(r"namespace\s*([\w:]*)\s*\{|\b(?:struct|class)\s+(?:FRUGAL_API\s+)?(\w+)\s*(?:final\s*)?(?::(?!:)[^;{]*)?\{|[{}]")


def types(source):
    """Names with their namespaces, of types at namespace scope that other files may see."""
    scopes = []  # the namespace's name, or None for any other brace
    for piece in PIECE.finditer(NOISE.sub(" ", source)):
        text, namespace, name = piece.group(0), piece.group(1), piece.group(2)
        if text == "}":
            if scopes:
                scopes.pop()
        elif text.startswith("namespace"):
            scopes.append(namespace)  # empty where it has no name
        else:
            if name and all(scopes):
                yield "::".join([*scopes, name])
            scopes.append(None)


def twice(root):
    places = collections.defaultdict(set)
    for folder in ("include", "src"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp", ".cuh", ".cu"):
                for name in types(path.read_text()):
                    places[name].add(str(path.relative_to(root)))
    return {name: sorted(found) for name, found in places.items() if len(found) > 1}


if __name__ == "__main__":
    found = twice(pathlib.Path(sys.argv[1]))
    for name, files in sorted(found.items()):
        print(f"one_definition: {name} is defined in {' and '.join(files)}")
    print(f"one_definition: {len(found)} breaches" if found else "one_definition: clean")
    sys.exit(bool(found))
