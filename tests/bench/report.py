# SPDX-License-Identifier: Apache-2.0
"""Tables of the benchmark: printed as plain text at once, and kept as plain values for --json."""

import json


class Report:
    """What was measured, in the order in which it was measured."""

    def __init__(self, head):
        self._head = head
        self._tables = []

    def table(self, key, title, columns, rows, notes=()):
        """`rows` are lists of values (str, int, float, None), one for each of `columns`."""
        self._tables.append({"key": key, "title": title, "columns": list(columns),
                             "rows": [list(row) for row in rows], "notes": list(notes)})
        print(f"\n{title}\n" + "\n".join(_lines(columns, rows)), flush=True)
        for note in notes:
            print(f"  {note}", flush=True)

    def text(self, key, title, text):
        """The output of another program, as it is."""
        self._tables.append({"key": key, "title": title, "text": text})
        print(f"\n{title}\n" + "".join(f"  {line}\n" for line in text.splitlines()), end="",
              flush=True)

    def write_json(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**self._head, "tables": self._tables}, file, indent=1)
            file.write("\n")


def _lines(columns, rows):
    """Words to the left, numbers to the right."""
    cells = [[show(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells)]
    right = [any(isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))]

    def line(words):
        padded = (word.rjust(width) if to_right else word.ljust(width)
                  for word, width, to_right in zip(words, widths, right))
        return ("  " + "  ".join(padded)).rstrip()

    return [line(columns), *map(line, cells)]


def show(value):
    """Three significant digits, and no exponent."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    for digits, limit in ((0, 100), (1, 10), (2, 1)):
        if abs(value) >= limit:
            return f"{value:.{digits}f}"
    return f"{value:.3f}"


def verdict(is_reached, target):
    """The last column of a row that has a target."""
    return f"{target} ok" if is_reached else f"{target} MISSED"
