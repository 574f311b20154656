# SPDX-License-Identifier: Apache-2.0
"""How the benchmark measures: the load driver, processor time and memory of processes, cold caches.

Belongs to bench.py; everything here runs in its one thread.
"""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import time

import sandbox

MIB = 1 << 20
GIB = 1 << 30
LOAD_SECONDS = 120
APP_UID = 2000


class BenchError(Exception):
    """The benchmark cannot go on; the text says what was tried, why not and what to do."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run of the driver. `cpu` has seconds of processor time by role ("client", "server")."""

    seconds: float
    bytes: int
    operations: int
    median_us: float
    p99_us: float
    cpu: dict

    @property
    def mib_per_second(self):
        return self.bytes / MIB / self.seconds

    @property
    def us_per_operation(self):
        """Wall time by operation: with several in flight less than their latency."""
        return self.seconds * 1e6 / self.operations

    def busy(self, role):
        """Share of one processor that it used meanwhile, in percent."""
        return 100 * self.cpu[role] / self.seconds

    def cpu_per_gib(self, role):
        return self.cpu[role] * GIB / self.bytes


class Load:
    """The driver of load.cpp, run as the application user."""

    def __init__(self, binary):
        self._binary = str(binary)

    def run(self, *words, watched=None):
        """Runs one work; `watched` maps roles to process ids whose processor time is counted."""
        watched = watched or {}
        before = {role: cpu_seconds(pids) for role, pids in watched.items()}
        machine = busy_seconds()
        done = subprocess.run(
            [self._binary, *map(str, words)], capture_output=True, text=True, check=False,
            timeout=LOAD_SECONDS, user=APP_UID, group=APP_UID, extra_groups=[], cwd="/",
            stdin=subprocess.DEVNULL)
        after = {role: cpu_seconds(pids) for role, pids in watched.items()}
        if done.returncode != 0:
            raise BenchError(f"the load failed: {done.stderr.strip() or done.returncode}")
        cpu = {role: after[role] - before[role] for role in watched}
        cpu["machine"] = busy_seconds() - machine
        return Sample(**json.loads(done.stdout), cpu=cpu)


def cpu_seconds(pids):
    """User and system time that these processes have used so far, with their threads that ended."""
    return sum(time.clock_gettime(_cpu_clock(pid)) for pid in pids)


def busy_seconds():
    """What all processors together have worked so far, for whomever; in steps of 10 ms."""
    with open("/proc/stat", encoding="ascii") as text:
        user, nice, system, _idle, _waiting, interrupts, soft, stolen = (
            int(word) for word in text.readline().split()[1:9])
    ticks = user + nice + system + interrupts + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def _cpu_clock(pid):
    """clock_getcpuclockid(3), which Python lacks: nanoseconds, where /proc/PID/stat has 10 ms."""
    return (~pid << 3) | 2


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes, from /proc/PID/smaps_rollup; `peak` is the largest resident set so far."""

    resident: int
    private: int
    peak: int

    def __add__(self, other):
        return Memory(self.resident + other.resident, self.private + other.private,
                      self.peak + other.peak)


def memory(pid):
    rollup = _kib_fields(f"/proc/{pid}/smaps_rollup")
    peak = _kib_fields(f"/proc/{pid}/status")["VmHWM"]
    return Memory(rollup["Rss"], rollup["Private_Clean"] + rollup["Private_Dirty"], peak)


def _kib_fields(path):
    fields = {}
    for line in pathlib.Path(path).read_text(encoding="ascii", errors="replace").splitlines():
        words = line.split()
        if words[-1:] == ["kB"]:
            fields[words[0].rstrip(":")] = int(words[1]) * 1024
    return fields


def drop_caches():
    """Nothing of any file stays in the machine's page cache: neither a mount's nor the server's."""
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    except OSError as error:
        raise BenchError(f"cannot drop the kernel's caches ({error.strerror}); cold reads cannot "
                         "be measured here, run this as root outside of a container") from None


def forget_freed_blocks():
    """The export's image lies in memory: it gives back what deleted files held, so that every write
    finds it alike and it does not grow from run to run."""
    # Fails where exports are on tmpfs, which does so by itself.
    subprocess.run(["fstrim", str(sandbox.EXPORTS)], check=False, capture_output=True, timeout=60)


def limited_by(samples):
    """What a work waits for most, by the processor time of both sides and of the whole machine."""
    client, server, machine = (median([sample.busy(role) for sample in samples])
                               for role in ("client", "server", "machine"))
    machine /= os.cpu_count()
    if machine >= 90:
        what = f"the processors, {machine:.0f} % of all of them"
    elif client >= 85 and client >= server:
        what = "uidnfs, which keeps a processor busy"
    elif server >= 85:
        what = "the server, which keeps a processor busy"
    elif client + server >= 85:
        what = "client and server in turn"
    else:
        what = "waiting: the server's disk, round trips, the kernel"
    return f"{what} (busy: client {client:.0f} %, server {server:.0f} %)"


def median(values):
    return statistics.median(values)


def interleaved(rounds, subjects):
    """Every subject once a round, in turning order: slow drifts of the machine hit all alike."""
    for number in range(rounds):
        order = list(subjects) if number % 2 == 0 else list(reversed(subjects))
        yield from ((number, subject) for subject in order)
