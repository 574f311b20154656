#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/TROUBLESHOOTING.md against the source: troubleshooting_check.py REPOSITORY.

Each line quoted after **Log** or **Said** must be what some string of src/ or plugins/ makes: its
placeholders stand for anything, all of its other words must be there.
"""

import pathlib
import re
import sys

QUOTED = re.compile(r"^\* \*\*(?:Log|Said)\*\* `(.*)`$")
MARKED = re.compile(r"^\* \*\*(?:Log|Said)\*\*")
LITERALS = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*')
ONE = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
# Less than this is a pattern for everything.
LEAST_WORDS = 10
LEAST_LINES = 30


def patterns(source):
    """Every string literal of the source, neighbours joined, as (regular expression, words)."""
    for path in sorted(source.rglob("*.[ch]pp")):
        text = re.sub(r"(?m)^\s*//.*$", "", path.read_text(encoding="utf-8"))
        for match in LITERALS.finditer(text):
            literal = "".join(ONE.findall(match.group(0)))
            literal = literal.replace('\\"', '"').replace("\\\\", "\\")
            words = PLACEHOLDER.split(literal)
            if sum(map(len, words)) >= LEAST_WORDS:
                yield re.compile(".+".join(map(re.escape, words)))


def parts(line):
    """What is said in one piece in the source: texts are put together at "; " and ": "."""
    prefix = re.match(r"cannot mount \S+: ", line)
    return line[prefix.end():].split("; ") if prefix else [line]


def main():
    root = pathlib.Path(sys.argv[1])
    known = [pattern for room in ("src", "plugins") for pattern in patterns(root / room)]
    lines = (root / "docs" / "TROUBLESHOOTING.md").read_text(encoding="utf-8").splitlines()
    quoted = [match.group(1) for match in map(QUOTED.match, lines) if match]
    problems = [f"not one code span: {line}" for line in lines
                if MARKED.match(line) and not QUOTED.match(line)]
    if len(quoted) < LEAST_LINES:
        problems.append(f"only {len(quoted)} lines are quoted")
    for line in quoted:
        if any(pattern.fullmatch(line) for pattern in known):
            continue
        for part in parts(line):
            if not any(pattern.fullmatch("x; " + part) if pattern.pattern.startswith((".+;", ";"))
                       else pattern.fullmatch(part) for pattern in known):
                problems.append(f"nothing in src/ and plugins/ writes: {part}")
    print("\n".join(problems) or f"{len(quoted)} lines are as the source writes them")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
