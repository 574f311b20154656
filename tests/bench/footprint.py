# SPDX-License-Identifier: Apache-2.0
"""What a mount costs: time to make it, memory of its processes when idle and 10 s after a load."""

import os
import time

import measure
import report
import subjects

MOUNTS = 10
MOUNT_TARGET_MS = 200
RESIDENT_TARGET = 10 * measure.MIB
PRIVATE_TARGET = 4 * measure.MIB
SETTLE_SECONDS = 10


def run(bench):
    _times(bench)
    _memory(bench)


def _times(bench):
    mounts, umounts = [], []
    for number in range(MOUNTS):
        bench.say(f"mount {number + 1} of {MOUNTS}")
        mount = bench.subjects[0].make()
        start = time.monotonic()
        mount.mount()
        mounts.append((time.monotonic() - start) * 1000)
        start = time.monotonic()
        subjects.take_down(mount)
        umounts.append((time.monotonic() - start) * 1000)
    reached = measure.median(mounts) < MOUNT_TARGET_MS
    bench.report.table(
        "mount", "Time of a command on loopback, milliseconds",
        ["", "median", "largest", "target"],
        [["uidnfs mount", measure.median(mounts), max(mounts),
          report.verdict(reached, f"< {MOUNT_TARGET_MS}")],
         ["uidnfs umount", measure.median(umounts), max(umounts), None]],
        [f"of {MOUNTS}, from the start of the command to its end"])


def _memory(bench):
    size = (256 if bench.quick else 1024) * measure.MIB
    with bench.subjects[0].mounted() as mount:
        roles = dict(zip(("worker", "keeper"), mount.pids))
        os.stat(mount.path)
        time.sleep(1)
        idle = {role: measure.memory(pid) for role, pid in roles.items()}
        bench.say("memory after a load")
        bench.load.run("write", mount / "written", size)
        measure.drop_caches()
        bench.load.run("read", mount / "written")
        os.unlink(mount / "written")
        time.sleep(SETTLE_SECONDS)
        later = {role: measure.memory(pid) for role, pid in roles.items()}
    rows = [[role, *_mib(idle[role]), *_mib(later[role]), later[role].peak / measure.MIB, None]
            for role in roles]
    both_idle = idle["worker"] + idle["keeper"]
    both_later = later["worker"] + later["keeper"]
    rows.append(["together", *_mib(both_idle), *_mib(both_later), both_later.peak / measure.MIB,
                 report.verdict(_is_small(both_idle) and _is_small(both_later),
                                "idle and later <= 10, private <= 4")])
    bench.report.table(
        "memory", "Memory of a mount, MiB",
        ["", "idle resident", "idle private", "later resident", "later private", "peak resident",
         "target"], rows,
        [f"later: {SETTLE_SECONDS} s after {size // measure.MIB} MiB were written and read; the "
         "processes share pages, so that resident counts some of them twice"])


def _is_small(memory):
    return memory.resident <= RESIDENT_TARGET and memory.private <= PRIVATE_TARGET


def _mib(memory):
    return [memory.resident / measure.MIB, memory.private / measure.MIB]
