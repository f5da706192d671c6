"""backports.py CODENAME ETC_APT FOLDER: derives the CODENAME-backports source from the machine's own entry for CODENAME.

Writes FOLDER/frugal-backports.sources (deb822) or .list; exits 1 where the machine has no such entry."""
import pathlib
import re
import sys


def from_deb822(text, codename):
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        fields = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].split() for line in lines if re.match(r"[\w-]+:", line)}
        if fields.get("enabled") == ["no"] or "deb" not in fields.get("types", []):
            continue
        if codename in fields.get("suites", []) and "main" in fields.get("components", []):
            new = {"types": "Types: deb", "suites": f"Suites: {codename}-backports", "components": "Components: main"}
            return "\n".join(new.get(line.split(":", 1)[0].lower(), line) for line in lines if line.strip()) + "\n"
    return None


def from_list(text, codename):
    for line in text.splitlines():
        match = re.match(rf"(deb\s+(?:\[[^\]]*\]\s+)?\S+)\s+{codename}\s+(.*)", line.strip())
        if match and "main" in match.group(2).split():
            return f"{match.group(1)} {codename}-backports main\n"
    return None


def main(codename, etc_apt, folder):
    etc_apt = pathlib.Path(etc_apt)
    files = sorted((etc_apt / "sources.list.d").glob("*")) + [etc_apt / "sources.list"]
    for file in files:
        reader = {".sources": from_deb822, ".list": from_list}.get(file.suffix)
        made = reader(file.read_text(), codename) if reader and file.is_file() else None
        if made:
            (pathlib.Path(folder) / f"frugal-backports{file.suffix}").write_text(made)
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
