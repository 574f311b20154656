# SPDX-License-Identifier: Apache-2.0
"""The NFS client without FUSE against libnfs's raw calls: runs rpc_bench and shows its table."""

import re
import subprocess

import measure
import report

# Work: at least so many times the speed, at most so many times the processor time.
_SMALL, _LARGE = (1.05, 0.95), (1.05, 0.9)
_SECONDS = 200
_LINE = re.compile(
    r"(?P<work>\S.*?)\s+(?P<ours>[\d.]+)\s+(?P<theirs>[\d.]+)\s+(?P<unit>ops/s|MiB/s)"
    r"\s+ratio\s+(?P<ratio>[\d.]+)"
    r"\s+cpu\s+(?P<cpu>[\d.]+)\s+(?P<their_cpu>[\d.]+)\s+us/op\s+ratio\s+(?P<cpu_ratio>[\d.]+)$")


def run(bench):
    if bench.rpc_bench is None:
        bench.say("rpc_bench is not built; the table of the transport is left out")
        return
    bench.say("transport without FUSE")
    uid, gid = bench.export.owner
    rounds, milliseconds = (3, 300) if bench.quick else (5, 500)
    done = subprocess.run(
        [str(bench.rpc_bench), "--host", bench.server.address, "--export", bench.export.share,
         "--uid", str(uid), "--gid", str(gid), "--rounds", str(rounds),
         "--milliseconds", str(milliseconds)],
        capture_output=True, text=True, check=False, timeout=_SECONDS, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise measure.BenchError(f"rpc_bench exited {done.returncode}: {done.stderr.strip()}")
    rows = [_row(found) for found in map(_LINE.fullmatch, done.stdout.splitlines()) if found]
    if not rows:
        raise measure.BenchError(f"rpc_bench printed no table:\n{done.stdout}")
    bench.report.table(
        "transport", "The NFS client without FUSE against libnfs's raw calls",
        ["", "", "libnfs", "uidnfs", "uidnfs / libnfs", "libnfs CPU us", "uidnfs CPU us",
         "CPU ratio", "target"], rows,
        [f"one connection each, medians of {rounds} interleaved runs of {milliseconds} ms; "
         "CPU is that of one call"])


def _row(found):
    ratio = float(found["ratio"])
    processor = float(found["cpu_ratio"])
    faster, cheaper = _LARGE if found["unit"] == "MiB/s" else _SMALL
    target = report.verdict(
        ratio >= faster and processor <= cheaper, f">= {faster}, CPU <= {cheaper}")
    return [found["work"], found["unit"], float(found["theirs"]), float(found["ours"]), ratio,
            float(found["their_cpu"]), float(found["cpu"]), processor, target]
