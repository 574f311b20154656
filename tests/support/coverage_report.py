# SPDX-License-Identifier: Apache-2.0
"""Lines that tests of a "coverage" build went through, by room: coverage_report.py SOURCE BUILD [ROOM...].

Counts what gcov counts, lines with code, of files below src/ and plugins/; a line that several objects
have (headers) went through if any of them did. With rooms (src/fs) it also lists the files and lines that
no test went through. Exit 1 when a room with a limit is below it.
"""

import collections
import concurrent.futures
import json
import pathlib
import subprocess
import sys

# per cent of lines
LIMITS = {"src/nfs/rpc": 90, "src/fs": 90, "plugins/core": 90, "src/ldap": 90}


def lines_of(notes):
    """[(file, line, count)] of one object."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", notes], capture_output=True, check=False)
    found = []
    for text in done.stdout.splitlines():
        for file in json.loads(text).get("files", []):
            found += [(file["file"], line["line_number"], line["count"]) for line in file["lines"]]
    return found


def room_of(path):
    """"src/fs"; the transport is a room of its own."""
    parts = path.parts[:-1]
    return "/".join(parts[:3] if parts[:3] == ("src", "nfs", "rpc") else parts[:2])


def collect(source, build):
    """{path below source: {line: count}}"""
    counts = collections.defaultdict(lambda: collections.defaultdict(int))
    notes = [path for path in build.rglob("*.gcda")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for found in pool.map(lines_of, notes):
            for name, number, count in found:
                path = (build / name).resolve()
                if not path.is_relative_to(source):
                    continue
                path = path.relative_to(source)
                if path.parts[0] in ("src", "plugins"):
                    counts[path][number] += count
    return counts


def ranges(numbers):
    """"3-5, 9" of [3, 4, 5, 9]."""
    parts = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def main():
    source, build = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
    counts = collect(source, build)
    if not counts:
        sys.exit("nothing was counted: build with the preset coverage and run its tests")
    rooms = collections.defaultdict(lambda: [0, 0])
    for path, lines in counts.items():
        rooms[room_of(path)][0] += sum(1 for count in lines.values() if count)
        rooms[room_of(path)][1] += len(lines)
    below = []
    print(f"{'room':<24}{'lines':>8}{'covered':>9}{'':>8}")
    for room, (covered, total) in sorted(rooms.items()):
        share = 100 * covered / total
        limit = LIMITS.get(room)
        if limit and share < limit:
            below.append(room)
        print(f"{room:<24}{total:>8}{covered:>9}{share:>7.1f}%" + (f"  (at least {limit} %)" if limit else ""))
    for room in sys.argv[3:]:
        print(f"\n{room}: not gone through")
        for path, lines in sorted(counts.items()):
            missing = sorted(number for number, count in lines.items() if not count)
            if room_of(path) == room and missing:
                print(f"  {path}: {ranges(missing)}")
    if below:
        sys.exit("below their limit: " + ", ".join(below))


if __name__ == "__main__":
    main()
