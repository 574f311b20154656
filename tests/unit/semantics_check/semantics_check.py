#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that every promise has its tests: semantics_check.py SEMANTICS.md TESTS

Each bullet of the page ends with a comment that names the tests behind it, at least one a sentence:

    * `close` waits for the disk. `fsync` too.
      <!-- tests: Durability.close_commits, test_basics.Files.test_fsync_makes_it_visible -->

C++ tests are Suite.Name, Python tests test_file.Class.test_name; both must exist below TESTS. Prints
every violation as FILE:LINE: text; exit status 1 if there is one, 2 if the page has no bullets.
"""

import ast
import pathlib
import re
import sys

_CPP_TEST = re.compile(r"^(?:TEST|TEST_F|TEST_P|TYPED_TEST)\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)
_COMMENT = re.compile(r"<!--\s*tests:(.*?)-->", re.S)
# A full stop does not end a sentence within `code` or (parentheses).
_QUIET = re.compile(r"`[^`]*`|\([^)]*\)")
_END = re.compile(r"\.(?=\s|$)")


def known_tests(root):
    """Names of all tests below `root`."""
    found = set()
    for path in root.rglob("*.cpp"):
        for suite, name in _CPP_TEST.findall(path.read_text(encoding="utf-8")):
            found.add(f"{suite}.{name}")
    for path in root.rglob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found |= {f"{path.stem}.{node.name}.{item.name}" for item in node.body
                          if isinstance(item, ast.FunctionDef) and item.name.startswith("test_")}
    return found


def bullets(text):
    """(line number, text with its comments) of each bullet."""
    found = []
    is_open = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("* "):
            found.append([number, line[2:]])
            is_open = True
        elif is_open and line.startswith("  "):
            found[-1][1] += "\n" + line.strip()
        elif line:
            is_open = False  # a heading, or text between bullets
    return found


def sentences(text):
    """How many sentences a bullet has, without its comments."""
    return max(1, len(_END.findall(_QUIET.sub("x", _COMMENT.sub("", text)))))


def check(text, tests):
    """[(line, problem)] of a page."""
    problems = []
    for line, body in bullets(text):
        names = [name.strip() for listed in _COMMENT.findall(body)
                 for name in listed.replace("\n", " ").split(",") if name.strip()]
        wanted = sentences(body)
        if len(set(names)) < wanted:
            problems.append((line, f"{wanted} sentences and {len(set(names))} tests behind them"))
        problems += [(line, f"there is no test {name}") for name in names if name not in tests]
    return problems


def main():
    page, root = map(pathlib.Path, sys.argv[1:])
    text = page.read_text(encoding="utf-8")
    if not bullets(text):
        print(f"{page}: no bullets: nothing is promised or the page has another form")
        return 2
    problems = check(text, known_tests(root))
    for line, problem in problems:
        print(f"{page}:{line}: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
