# SPDX-License-Identifier: Apache-2.0
"""A page and its picture (SVG) from what a run measured: page.py RESULT.json PAGE.md"""

import html
import json
import pathlib
import sys

import report

_WIDTH, _ROW, _LEFT, _RIGHT = 760, 26, 250, 70

_HEAD = """# What an operation costs

Written by `scripts/bench --page`; do not edit. {version}, kernel {kernel}, {processors} processors,
load {load_before} before the run, {when}{options}.
"""
# In which a row has a value (column) that should be at most another (column, times a factor).
_PICTURES = {"calls": (2, lambda row: row[3]),
             "limits": (3, lambda row: 1.15 * (row[1] + row[2])),
             "together": (3, lambda row: 1.1 * (row[1] + row[2]))}

_LOADED = """
**The machine was busy** (load above half of its processors): the calls below hold all the same, times and bandwidths of
such a run say nothing.
"""


def write(path, head, tables):
    """`head` and `tables` as Report.write_json() has them. The picture goes beside the page."""
    path = pathlib.Path(path)
    options = f", options `{head['options']}`" if head["options"] else ""
    parts = [_HEAD.format(**{**head, "options": options})]
    if head["load_before"] > head["processors"] / 2:
        parts.append(_LOADED)
    for table in tables:
        parts.append(f"\n## {table['title']}\n\n")
        if table["key"] in _PICTURES:
            picture = path.with_name(f"{path.stem}-{table['key']}.svg")
            picture.write_text(_bars(table), encoding="utf-8")
            parts.append(f"![{table['title']}]({picture.name})\n\n")
        if "text" in table:
            parts.append(f"```\n{table['text'].rstrip()}\n```\n")
            continue
        parts.append(_row(table["columns"]) + _row(["---"] * len(table["columns"])))
        parts += [_row(report.show(value) for value in row) for row in table["rows"]]
        parts += [f"\n{note}.\n" for note in table["notes"]]
    path.write_text("".join(parts), encoding="utf-8")


def _row(cells):
    return "| " + " | ".join(cells) + " |\n"


def _bars(table):
    """One bar for each row: what it costs, and a line where it should end."""
    column, target_of = _PICTURES[table["key"]]
    rows = [(row[0], row[column], target_of(row)) for row in table["rows"]]
    most = max(max(each, target) for _, each, target in rows)
    height = _ROW * len(rows) + 12
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
           'font-family="sans-serif" font-size="13">\n',
           f'<rect width="{_WIDTH}" height="{height}" fill="white"/>\n']

    def along(value):
        return value / most * (_WIDTH - _LEFT - _RIGHT)

    for number, (title, each, target) in enumerate(rows):
        top = 8 + number * _ROW
        colour = "#4a7ab5" if each <= target else "#c0653a"
        out.append(
            f'<text x="{_LEFT - 8}" y="{top + 13}" text-anchor="end">{html.escape(title)}</text>\n'
            f'<rect x="{_LEFT}" y="{top}" width="{max(along(each), 1):.1f}" height="16" '
            f'fill="{colour}"/>\n'
            f'<line x1="{_LEFT + along(target):.1f}" x2="{_LEFT + along(target):.1f}" '
            f'y1="{top - 2}" y2="{top + 18}" stroke="black"/>\n'
            f'<text x="{_LEFT + max(along(each), along(target)) + 6:.1f}" y="{top + 13}">'
            f'{report.show(float(each))}</text>\n')
    return "".join(out) + "</svg>\n"


def main():
    result, path = sys.argv[1:]
    with open(result, encoding="utf-8") as file:
        found = json.load(file)
    write(path, found, found["tables"])


if __name__ == "__main__":
    main()
