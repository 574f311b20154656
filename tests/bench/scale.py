# SPDX-License-Identifier: Apache-2.0
"""What an operation costs while a mount knows 1,000, 30,000 and 1,000,000 files (scale.cpp): the file
system of uidnfs over a server in memory, without FUSE and without a wire."""

import json
import subprocess

import measure
import report

_COUNTS = (1000, 30_000, 1_000_000)
_FLAT = 3
_LISTING_TARGET = 64 * measure.MIB
_SECONDS = 300


def run(bench):
    if bench.scale is None:
        bench.say("scale is not built; the table of known files is left out")
        return
    counts = _COUNTS[:2] if bench.quick else _COUNTS
    bench.say("known files: " + ", ".join(map(str, counts)))
    done = subprocess.run(
        [str(bench.scale), *map(str, counts)], capture_output=True, text=True, check=False,
        timeout=_SECONDS, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise measure.BenchError(f"scale exited {done.returncode}: {done.stderr.strip()}")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    rows = [_costs("getattr, us", "getattr_us", found),
            _costs("lookup, us", "lookup_us", found, first=1),
            _costs("open and release, us", "open_us", found),
            ["memory of a known file, bytes", *(one["bytes_each"] for one in found), None, None],
            ["memory of listing them, MiB",
             *(one["listing_bytes"] / measure.MIB for one in found), None,
             report.verdict(found[-1]["listing_bytes"] <= _LISTING_TARGET,
                            f"<= {_LISTING_TARGET // measure.MIB} MiB")]]
    bench.report.table(
        "scale", "With many files known",
        ["", *(f"{count:,}" for count in counts), "last / first", "target"], rows,
        ["medians of 5 rounds in turn, in one process with a server in memory, whose part is in "
         "all numbers; random files, so that caches of the processor miss",
         "lookup: what fits into the listings that a mount remembers (16,384 names) is answered "
         "from them, the others ask the server; the ratio is that of the last two"])


def _costs(title, key, found, first=0):
    costs = [one[key] for one in found]
    ratio = costs[-1] / costs[first]
    return [title, *costs, ratio, report.verdict(ratio <= _FLAT, f"<= {_FLAT}")]
