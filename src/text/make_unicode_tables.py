#!/usr/bin/env python3
"""Writes unicode_tables.inc: what Hugging Face `tokenizers` takes for a letter, a number, a space, a digit, a word character,
and its canonical decompositions. And unicode_case.inc: what Python's str, and so jinja2, takes for printable, upper and lower case.

The tables are asked of the installed `tokenizers` itself, one code point at a time, because its parts disagree on the Unicode
version: the regexes of Split and ByteLevel, the Digits splitter, the added-token matcher and the NFC normaliser each bring
their own data. Run it again when tests/text/differential_tokenizer.py finds a code point that moved.

usage: make_unicode_tables.py [unicode_tables.inc]           (needs `pip install tokenizers`; about a minute)
       make_unicode_tables.py --case [unicode_case.inc]      (needs nothing)
"""
import sys
import unicodedata

if "--case" not in sys.argv:
    import tokenizers
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

ALL = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
LETTER, NUMBER, SPACE, DIGIT, WORD, UNSTABLE, UPPER, LOWER = 1, 2, 4, 8, 16, 32, 64, 128


def matching(regex):
    """The code points that `regex` matches."""
    split = pre_tokenizers.Split(Regex(regex), "removed")
    found = set()
    for start in range(0, len(ALL), 4096):
        block = ALL[start : start + 4096]
        kept = set()
        for piece, _ in split.pre_tokenize_str("".join(map(chr, block))):
            kept.update(map(ord, piece))
        found.update(set(block) - kept)
    return found


def digits():
    split = pre_tokenizers.Digits(individual_digits=True)
    return {c for c in ALL if len(split.pre_tokenize_str("a" + chr(c))) == 2}


def words():
    """The word characters of AddedToken(single_word=True): the token is not matched beside one."""
    probe = Tokenizer(models.BPE(vocab={"\ue000": 0}, merges=[]))  # a private character, no word
    probe.add_tokens([AddedToken("@@", single_word=True, normalized=False)])
    return {c for c in ALL if not probe.encode("@@" + chr(c)).ids}


def decompositions():
    """{composite: (first, second or 0, recomposes)} of one canonical step; Hangul syllables are arithmetic and left out."""
    nfd, nfc = normalizers.NFD().normalize_str, normalizers.NFC().normalize_str
    composites = {c: nfd(chr(c)) for c in ALL if nfd(chr(c)) != chr(c) and not 0xAC00 <= c <= 0xD7A3}
    whole = {full: c for c, full in composites.items()}
    steps = {}
    for c, full in composites.items():
        recomposes = nfc(full) == chr(c)
        if len(full) == 1:
            steps[c] = (ord(full), 0, False)
            continue
        head = nfc(full[:-1])
        if len(head) != 1:  # never recomposed: any split into two that decomposes alike will do
            assert not recomposes, hex(c)
            head = chr(whole[full[:-1]])
        steps[c] = (ord(head), ord(full[-1]), recomposes)
    return steps


def combining_classes():
    """{code point: class}, found by watching which neighbours NFD puts in order."""
    nfd = normalizers.NFD().normalize_str
    low, high = "\u0334", "\u0345"  # classes 1 and 240, the two ends
    moves = [c for c in ALL if nfd(chr(c) + low) != nfd(chr(c)) + low or nfd(high + chr(c)) != high + nfd(chr(c))]
    known = {1: ord(low)}  # one member of each class, among those that this normaliser knows
    for c in moves:
        if nfd(chr(c)) == chr(c):
            known.setdefault(unicodedata.combining(chr(c)), c)
    known.pop(0, None)
    classes = {}
    for c in moves:
        if len(nfd(chr(c))) > 1:
            continue  # its parts carry the classes
        after = [k for k, r in known.items() if nfd(chr(c) + chr(r)) != nfd(chr(c)) + nfd(chr(r))]  # k < class
        before = [k for k, r in known.items() if nfd(chr(r) + chr(c)) != nfd(chr(r)) + nfd(chr(c))]  # k > class
        same = set(known) - set(after) - set(before)
        assert len(same) == 1, (hex(c), same)
        classes[c] = same.pop()
    return classes


def ranges(values):
    """[(first, last, value)] of consecutive equal values, zero left out."""
    out = []
    for c in sorted(values):
        if out and out[-1][1] == c - 1 and out[-1][2] == values[c]:
            out[-1][1] = c
        elif values[c]:
            out.append([c, c, values[c]])
    return out


def classes(steps, combining):
    values = {}
    unstable = set(combining) | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    unstable |= {c for c, step in steps.items() if not step[2]} | {s[1] for s in steps.values() if s[2]}
    sets = [(matching(r"\p{L}"), LETTER), (matching(r"\p{N}"), NUMBER), (matching(r"\s"), SPACE), (digits(), DIGIT)]
    sets += [(matching(r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"), UPPER), (matching(r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"), LOWER)]
    for members, bit in sets + [(words(), WORD), (unstable, UNSTABLE)]:
        for c in members:
            values[c] = values.get(c, 0) | bit
    return values


def emit(out, name, kind, rows):
    out.write("constexpr %s %s[] = {\n" % (kind, name))
    line = ""
    for row in rows:
        item = "{" + ",".join(row) + "},"
        if len(line) + len(item) > 118:
            out.write(line + "\n")
            line = ""
        line += item
    out.write(line + "\n};\n")


def case_ranges(convert):
    """Mappings to one letter as [first, last, stride, delta], and {letter: text} of those to several."""
    out, several = [], {}
    for c in ALL:
        to = convert(chr(c))
        if len(to) > 1:
            several[c] = to
        if to == chr(c) or len(to) > 1:
            continue
        delta = ord(to) - c
        if out and out[-1][3] == delta and c - out[-1][1] in (1, 2) and out[-1][2] in (0, c - out[-1][1]):
            out[-1][1:3] = [c, c - out[-1][1]]
        else:
            out.append([c, c, 0, delta])
    return [(a, b, max(stride, 1), delta) for a, b, stride, delta in out], several


def write_case(path):
    with open(path, "w", encoding="ascii") as out:
        out.write("// Generated by make_unicode_tables.py from Unicode %s; do not edit.\n" % unicodedata.unidata_version)
        out.write("// clang-format off\n")
        for name, convert in (("Upper", str.upper), ("Lower", str.lower)):
            rows, several = case_ranges(convert)
            emit(out, "kTo" + name, "CaseRange", [("0x%X" % a, "0x%X" % b, str(s), str(d)) for a, b, s, d in rows])
            text = {c: "".join("\\%03o" % byte for byte in to.encode()) for c, to in several.items()}
            emit(out, "kTo%sSeveral" % name, "CaseText", [("0x%X" % c, '"%s"' % to) for c, to in text.items()])
        printable = {c: 1 for c in ALL if chr(c).isprintable()}
        emit(out, "kPrintable", "ValueRange", [("0x%X" % a, "0x%X" % b, "1") for a, b, _ in ranges(printable)])
        out.write("// clang-format on\n")


def main():
    if "--case" in sys.argv:
        return write_case(sys.argv[2] if len(sys.argv) > 2 else "unicode_case.inc")
    path = sys.argv[1] if len(sys.argv) > 1 else "unicode_tables.inc"
    steps, combining = decompositions(), combining_classes()
    with open(path, "w", encoding="ascii") as out:
        out.write("// Generated by make_unicode_tables.py from tokenizers %s; do not edit.\n" % tokenizers.__version__)
        out.write("// clang-format off\n")
        rows = [("0x%X" % a, "0x%X" % b, str(v)) for a, b, v in ranges(classes(steps, combining))]
        emit(out, "kClassRanges", "ValueRange", rows)
        rows = [("0x%X" % a, "0x%X" % b, str(v)) for a, b, v in ranges(combining)]
        emit(out, "kCombiningRanges", "ValueRange", rows)
        rows = [("0x%X" % c, "0x%X" % a, "0x%X" % b, "01"[r]) for c, (a, b, r) in sorted(steps.items())]
        emit(out, "kDecompositions", "Decomposition", rows)
        out.write("// clang-format on\n")


if __name__ == "__main__":
    main()
