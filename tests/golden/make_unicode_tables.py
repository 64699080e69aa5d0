#!/usr/bin/env python3
"""Writes common/text/unicode_tables.h: where the Hugging Face tokenizers library knows other
characters than the libraries that this program asks.

    python tests/golden/make_unicode_tables.py

Made with tokenizers 0.23.3 (patterns by Unicode 16, other components by Unicode 17 or by
tables as old as Unicode 9) and Python 3.11, whose unicodedata is Unicode 14, the oldest that
PCRE2 and utf8proc are expected to know.  The tables are found by asking the library about
every character.
"""
import unicodedata
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So".split()
HEAD = '''/* What other libraries know of characters, where it differs from the tokenizers library.
 * Written by tests/golden/make_unicode_tables.py. */
#pragma once

#include "common/text/unicode.h"
'''


def removed(pre_tokenizer):
    """The characters that a pre-tokeniser takes away."""
    gone = set()
    for i in range(0, len(POINTS), 4096):
        chunk = POINTS[i:i + 4096]
        kept = set()
        for _, (start, end) in pre_tokenizer.pre_tokenize_str("".join(map(chr, chunk))):
            kept.update(range(start, end))
        gone.update(c for k, c in enumerate(chunk) if k not in kept)
    return gone


def matched(pattern):
    return removed(pre_tokenizers.Split(Regex(pattern), "removed"))


def isolated(pre_tokenizer):
    """The characters that a pre-tokeniser parts from the letter a on both sides."""
    parted = set()
    for i in range(0, len(POINTS), 2048):
        chunk = POINTS[i:i + 2048]
        text = "a" + "a".join(map(chr, chunk)) + "a"
        single = {start for _, (start, end) in pre_tokenizer.pre_tokenize_str(text) if end - start == 1}
        parted.update(c for k, c in enumerate(chunk) if 2 * k + 1 in single)
    return parted


def ranges(points):
    found = []
    for c in sorted(points):
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


def table(out, comment, name, points):
    items = [f"{{0x{a:X}, 0x{b:X}}}" for a, b in ranges(points)]
    out.append(f"/* {comment} */\nstatic const struct unicode_range {name}[] = {{")
    for i in range(0, len(items), 4):
        out.append("\t" + ", ".join(items[i:i + 4]) + ",")
    out.append("};\n")


def python_category(*kinds):
    return {c for c in POINTS if unicodedata.category(chr(c)).startswith(kinds)}


def main():
    unassigned = python_category("Cn")
    out = [HEAD]
    news = {kind: matched(rf"\p{{{kind}}}") & unassigned for kind in CATEGORIES}
    for kind, points in news.items():
        if points:
            table(out, f"{kind}, newer than Unicode 14.", f"NEW_{kind.upper()}", points)
    table(out, "Han, newer than Unicode 14.", "NEW_HAN", matched(r"\p{Han}") & unassigned)
    numeric = isolated(pre_tokenizers.Digits(True))
    table(out, "Numeric for Digits alone: newer than Unicode 16.", "NEWER_NUMERIC",
          numeric - matched(r"\p{N}"))
    punctuation = removed(pre_tokenizers.Punctuation("removed"))
    new_punctuation = set().union(*(points for kind, points in news.items() if kind[0] == "P"))
    table(out, "P*, but no punctuation for Punctuation.", "NOT_PUNCTUATION",
          (python_category("P") | new_punctuation) - punctuation)
    table(out, "Not P*, but punctuation for Punctuation, besides ASCII.", "MORE_PUNCTUATION",
          {c for c in punctuation - python_category("P") - new_punctuation if c >= 0x80})
    stripped = {c for c in POINTS if normalizers.StripAccents().normalize_str(chr(c)) == ""}
    new_marks = set().union(*(points for kind, points in news.items() if kind[0] == "M"))
    table(out, "M*, but no mark for StripAccents.", "NOT_MARKS",
          (python_category("M") | new_marks) - stripped)
    table(out, "Not M*, but a mark for StripAccents.", "MORE_MARKS",
          stripped - python_category("M") - new_marks)
    kept = {c for c in POINTS for form in ("NFD", "NFKD")
            if getattr(normalizers, form)().normalize_str(chr(c)) == chr(c) != unicodedata.normalize(form, chr(c))}
    # New in Unicode 15 and decomposed since, but not by the library's tables.
    kept |= set(range(0x1E030, 0x1E06E))
    table(out, "Decomposed, but not by NFD and the like.", "NOT_DECOMPOSED", kept)
    lower = {c: normalizers.Lowercase().normalize_str(chr(c)) for c in POINTS}
    pairs = [(c, ord(text)) for c, text in lower.items() if text != chr(c).lower() and len(text) == 1]
    shifts = []
    for capital, small in pairs:
        if shifts and shifts[-1][1] == capital - 1 and small - capital == shifts[-1][2] - shifts[-1][0]:
            shifts[-1][1] = capital
        else:
            shifts.append([capital, capital, small])
    out.append("/* Capitals newer than Unicode 14, and the small letter of each range's first. */\n"
               "static const struct {\n\tstruct unicode_range capitals;\n\tuint32_t small;\n} NEW_CAPITALS[] = {")
    out += [f"\t{{{{0x{a:X}, 0x{b:X}}}, 0x{small:X}}}," for a, b, small in shifts]
    out.append("};")
    target = Path(__file__).parents[2] / "common/text/unicode_tables.h"
    target.write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
