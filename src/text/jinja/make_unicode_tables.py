"""Writes unicode_tables.hpp from Python's own str methods, so that our str operations agree with jinja2's.

Run by hand when the Unicode version moves: python3 make_unicode_tables.py > unicode_tables.hpp
"""
import sys
import unicodedata

CODES = [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]


def flags(code):
    if 0xD800 <= code <= 0xDFFF:
        return 0
    s = chr(code)
    return s.isprintable() | s.isalpha() << 1 | s.isdecimal() << 2 | s.isdigit() << 3 | s.isspace() << 4


def runs():
    out, last = [], None
    for code in range(sys.maxunicode + 1):
        now = flags(code)
        if now != last:
            out.append(code << 5 | now)
            last = now
    return out


def mapped(convert):
    """Single-letter mappings as (first, last, stride, delta) ranges, and the ones that become several letters."""
    ranges, several = [], []
    for code in CODES:
        to = convert(chr(code))
        if to == chr(code):
            continue
        if len(to) > 1:
            several.append((code, to))
            continue
        delta = ord(to) - code
        if ranges and ranges[-1][3] == delta:
            first, last, stride, _ = ranges[-1]
            step = code - last
            if step in (1, 2) and stride in (0, step):
                ranges[-1] = (first, code, step, delta)
                continue
        ranges.append((code, code, 0, delta))
    return [(a, b, max(s, 1), d) for a, b, s, d in ranges], several


def table(kind, name, rows):
    print(f"inline constexpr {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        if len(line) + len(row) + 2 > 118:
            print(line)
            line = "   "
        line += " " + row + ","
    print(line)
    print("};\n")


def main():
    print("// Character classes and case mappings of Unicode " + unicodedata.unidata_version + ", written by make_unicode_tables.py.")
    print("#pragma once\n\n#include <cstdint>\n\n// clang-format off\nnamespace frugal::jinja {\n")
    print("/// first code << 5 | printable 1, alpha 2, decimal 4, digit 8, space 16; a run ends where the next begins.")
    table("std::uint32_t", "kRuns", [f"{r:#x}" for r in runs()])
    print("struct CaseRange {\n  std::uint32_t first, last, stride;\n  std::int32_t delta;\n};\n")
    print("struct CaseString {\n  std::uint32_t code;\n  const char* to;\n};\n")
    for name, convert in (("Upper", str.upper), ("Lower", str.lower), ("Title", str.title)):
        ranges, several = mapped(convert)
        table("CaseRange", f"k{name}", ["{%#x, %#x, %d, %d}" % r for r in ranges])
        rows = ["{%#x, \"%s\"}" % (c, "".join("\\%03o" % b for b in to.encode())) for c, to in several]
        table("CaseString", f"k{name}Several", rows)
    print("}  // namespace frugal::jinja\n// clang-format on")


main()
