"""layers.py [ROOT]: who may include whom (docs/decisions/001-rooms-components-and-pins.md); exit 1 with one line a breach."""
import pathlib
import re
import sys

# room -> the rooms it may include beside itself. Level by level: a room sees only what is lower.
SEES = {
    "core": set(),
    "text": {"core"},
    "cache": {"core"},
    "grammar": {"core", "text"},
    "meter": {"core"},
    "advise": {"core", "meter"},
    "model": {"core", "text"},
    "policy": {"core"},
    "calibrate": {"core", "policy"},
    "draft": {"core", "text"},
    "backend": {"core", "model"},
    "reference": {"core", "model", "backend"},
    "sim": {"core", "model", "backend"},
    "cpu": {"core", "model", "backend"},
    "cuda": {"core", "backend"},
    "torch": {"core", "model", "backend", "cuda"},
    "endpoint": {"core", "text", "grammar", "meter", "policy"},
    "http": {"core", "meter", "endpoint"},
    "server": {"core", "text", "grammar", "meter", "model", "endpoint"},
    "head": {"core", "text", "policy", "model", "backend", "endpoint"},
    "autopilot": {"core", "text", "grammar", "policy", "calibrate", "endpoint"},
    "engine": {"core", "text", "cache", "grammar", "meter", "model", "policy", "draft", "backend", "endpoint"},
}
EVERYWHERE = {"config.hpp", "version.hpp", "fwd.hpp"}
# A header of frugal may include frugal and the standard library; these are for the .cpp files of the rooms named.
PRIVATE = {
    r"fmt/": set(SEES) - {"torch"},
    r"nlohmann/": {"calibrate", "head", "autopilot", "http", "server", "model", "text", "policy", "endpoint", "engine", "core", "grammar", "meter", "advise"},
    r"curl/": {"http"},
    r"boost/": {"server"},
    r"Eigen/": {"reference", "calibrate", "head"},
    r"(ATen|c10|torch/csrc|torch/torch|torch/library|torch/script)": {"torch"},
    r"CLI/": set(),
}
STANDARD = re.compile(r"[a-z_0-9]+$|(sys|linux)/[a-z_0-9]+\.h$|[a-z_0-9]+\.h$")
# The library never prints, aborts or reads the environment.
ACTS = re.compile(r"\bstd::(cout|cerr|clog|abort|terminate|exit|quick_exit|getenv)\b|(?<![\w.:>])(printf|fprintf|puts|abort|getenv)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r'"(?:\\.|[^"\\\n])*"|//[^\n]*', lambda m: '""' if m.group()[0] == '"' else "", text)


def included(text):
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start(2)) + 1, match.group(1), match.group(2)


def room_of(path):  # "engine/engine.hpp" -> "engine"; files of the top folder belong to no room
    return path.parts[0] if len(path.parts) > 1 else ""


def target_room(name, here, folder):
    """The room an include leads to, "" for a top-level header, None for what is not frugal's."""
    if name.startswith("frugal/"):
        return "" if name.count("/") == 1 else name.split("/")[1]
    if (folder / name).is_file():
        return here
    return name.split("/")[0] if "/" in name and name.split("/")[0] in SEES and not name.startswith("torch/") else None


def check_file(path, room, public):
    text = path.read_text()
    for line, bracket, name in included(text):
        target = target_room(name, room, path.parent)
        if target is None:
            if public and not STANDARD.match(name):
                yield line, f"a public header includes <{name}>: only frugal and the standard library"
            for pattern, rooms in PRIVATE.items():
                if re.match(pattern, name) and room not in rooms:
                    yield line, f"<{name}> is not for room '{room}'"
            if name == "torch/torch.h":
                yield line, "<torch/torch.h> costs 17 s and 1.3 GB a file: include the ATen headers you need"
            if name == "iostream":
                yield line, "<iostream> in the library: it never prints"
        elif target == "" and name.split("/")[1] not in EVERYWHERE and room:
            yield line, f"<{name}> is for hosts: include what you use"
        elif target and target != room and target not in SEES.get(room, SEES):
            yield line, f"room '{room}' must not see room '{target}'"
        elif public and bracket == '"':
            yield line, f'write <frugal/...> instead of "{name}" in a public header'
    bare = without_comments(text)
    for match in ACTS.finditer(bare):
        yield bare.count("\n", 0, match.start()) + 1, f"{match.group().strip('(').strip()}: the library never prints, aborts or reads the environment"


def breaches(root):
    for folder, public in (("include/frugal", True), ("src", False)):
        base = root / folder
        for path in sorted(base.rglob("*.[hc]pp")):
            room = room_of(path.relative_to(base))
            if room == "tools":
                continue
            if room and room not in SEES:
                yield f"{path.relative_to(root)}: room '{room}' is not in the table of {pathlib.Path(__file__).name}"
                continue
            for line, what in check_file(path, room, public):
                yield f"{path.relative_to(root)}:{line}: {what}"
    for path in sorted((root / "examples").rglob("*.cpp")):
        for line, _, name in included(path.read_text()):
            if name.split("/")[0] in set(SEES) | {"tools"}:
                yield f"{path.relative_to(root)}:{line}: an example uses public headers only, not {name}"


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parents[2]
    found = list(breaches(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here))
    print("\n".join(found) if found else "layers: clean")
    sys.exit(bool(found))
