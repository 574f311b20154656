# SPDX-License-Identifier: Apache-2.0
"""Lines over time as one SVG: a panel for each quantity, a line for each who has it."""

import html
import math

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 1000, 180, 70, 20, 40, 46
COLOURS = ("#1b6ca8", "#c0392b", "#27864f", "#8e5ea2", "#b9770e", "#16858d", "#5d6d7e", "#a04000")


def _ceiling(value):
    """The next 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _panel(top, title, unit, lines, seconds):
    largest = _ceiling(max((y for line in lines for _, y in line), default=0))
    out = [f'<text x="{LEFT}" y="{top - 8}" class="t">{html.escape(title)} ({html.escape(unit)})</text>']
    for part in range(5):
        y = top + PANEL - PANEL * part / 4
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="g"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{largest * part / 4:g}</text>')
    across = (WIDTH - LEFT - RIGHT) / max(seconds, 1e-9)
    for number, line in enumerate(lines):
        points = " ".join(f"{LEFT + x * across:.1f},{top + PANEL - PANEL * y / largest:.1f}" for x, y in line)
        out.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[number % len(COLOURS)]}"/>')
    return out


def render(title, panels, marks=()):
    """`panels`: (title, unit, lines), a line being a list of (second, value); `marks`: (second, word)."""
    seconds = max((x for _, _, lines in panels for line in lines for x, _ in line), default=1)
    height = TOP + len(panels) * (PANEL + GAP) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
           'font-size="11"><style>.t{font-size:13px}.g{stroke:#ddd}.m{stroke:#f0c9c5}</style>'
           f'<rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="18" '
           f'font-size="15">{html.escape(title)}</text>']
    across = (WIDTH - LEFT - RIGHT) / max(seconds, 1e-9)
    for at, word in marks:
        x = LEFT + at * across
        out.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 40}" class="m">'
                   f'<title>{html.escape(word)} at {at:.0f} s</title></line>')
    for number, (name, unit, lines) in enumerate(panels):
        out += _panel(TOP + 20 + number * (PANEL + GAP), name, unit, lines, seconds)
    out.append(f'<text x="{WIDTH - RIGHT}" y="{height - 8}" text-anchor="end">{seconds:.0f} s</text></svg>\n')
    return "\n".join(out)
