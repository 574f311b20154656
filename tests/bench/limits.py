# SPDX-License-Identifier: Apache-2.0
"""How near uidnfs is to its two limits: F, what FUSE itself costs (memory_fs), and N, what the wire and
the server cost (nfs::Client without FUSE, wire_bench). Both are measured between the rounds."""

import json
import os
import subprocess

import measure
import report

LATENCY_TARGET = 1.15
PROCESSOR_TARGET = 1.1
_WIRE_SECONDS = 120
_LARGE = 64 * measure.MIB

# Title, work of load.cpp, calls of the wire that it needs: one alternative is enough.
_ALONE = (
    ("4 KiB O_DIRECT read", "random1", [["read 4 KiB"]]),
    ("stat, cold", "stat1", [["lookup"]]),
    ("mkdir", "mkdir", [["mkdir"]]),
    ("rename", "rename", [["rename"]]),
    ("unlink", "unlink", [["remove"]]),
    ("create + 4 KiB + close", "create", [["new file, file_sync"], ["new file, commit"]]),
    ("the same with commit=behind", "behind", [["new file"]]),
)
_TOGETHER = (
    ("4 KiB O_DIRECT read", "random16", ["read 4 KiB"]),
    ("stat, cold", "stat16", ["lookup"]),
    ("open + read 4 KiB + close, cold", "openread16", ["open", "read 4 KiB"]),
)


def run(bench):
    if bench.wire_bench is None:
        bench.say("wire_bench is not built; the limits are left out")
        return
    files, reads, rounds = (320, 1600, 3) if bench.quick else (800, 6400, 5)
    for name in ("random", "kept"):  # the first is written to at random
        bench.load_as_server("write", bench.export.path / name, _LARGE)
    ours = bench.subjects[0]
    samples, wire = {}, {}
    for number in range(rounds):
        for subject in (ours, bench.memory) if number % 2 == 0 else (bench.memory, ours):
            bench.say(f"limits, round {number + 1} of {rounds}, {subject.name}")
            for work, sample in _works(bench, subject, files, reads, f"limits-{number}"):
                samples.setdefault((work, subject.name), []).append(sample)
            samples.setdefault(("behind", subject.name), []).append(
                _create_behind(bench, subject, files, f"limits-behind-{number}"))
        bench.say(f"limits, round {number + 1} of {rounds}, N")
        for found in _wire(bench, files):
            wire.setdefault((found["work"], found["in_flight"]), []).append(found)
    for name in ("random", "kept"):
        (bench.export.path / name).unlink()
    limits = _Limits(bench, samples, wire, rounds)
    limits.alone()
    limits.together()
    limits.kept()


def _works(bench, subject, files, reads, directory):
    """Every work once; F finds what uidnfs makes itself."""
    bench.memory.holds = [f"random:{_LARGE}", f"kept:{_LARGE}", f"{directory}/{files}:4096"]
    empty = f"{directory}-empty"
    with subject.mounted() as mount:
        os.mkdir(mount / empty, 0o777)
        yield "create", bench.watched(mount, "create", mount / empty, files)
        yield "mkdir", bench.watched(mount, "mkdir", mount / empty, files // 4)
        for entry in list(os.scandir(mount / empty)):
            (os.rmdir if entry.is_dir() else os.unlink)(entry.path)
        os.rmdir(mount / empty)
        if subject is not bench.memory:
            os.mkdir(mount / directory, 0o777)
            bench.load.run("create", mount / directory, files)
    for work, threads in (("stat", 1), ("stat", 16), ("openread", 16)):
        with subject.mounted() as mount:
            yield f"{work}{threads}", bench.watched(
                mount, work, mount / directory, files, threads)
    with subject.mounted() as mount:
        yield "rename", bench.watched(mount, "rename", mount / directory, files)
        yield "unlink", bench.watched(mount, "unlink", mount / directory, files)
        os.rmdir(mount / directory)
    with subject.mounted() as mount:
        yield "random1", bench.watched(mount, "random", mount / "random", reads, 1)
        yield "random16", bench.watched(mount, "random", mount / "random", 2 * reads, 16)
    with subject.mounted() as mount:
        yield "first", bench.watched(mount, "read", mount / "kept")
        yield "again", bench.watched(mount, "read", mount / "kept")
    with subject.mounted() as mount:
        yield "rewrite", bench.watched(mount, "rewrite", mount / "random", 2000)
        yield "sustain", bench.watched(mount, "sustain", mount / "random", 16 * reads, 16)


def _create_behind(bench, subject, files, directory):
    """Small files of a mount whose close(2) does not wait for the server's disk."""
    if subject is not bench.memory:
        subject = bench.variant("commit=behind")
    with subject.mounted() as mount:
        os.mkdir(mount / directory, 0o777)
        sample = bench.watched(mount, "create", mount / directory, files)
        for entry in list(os.scandir(mount / directory)):
            os.unlink(entry.path)
        os.rmdir(mount / directory)
    return sample


def _wire(bench, count):
    uid, gid = bench.export.owner
    done = subprocess.run(
        [str(bench.wire_bench), "--host", bench.server.address, "--export", bench.export.share,
         "--uid", str(uid), "--gid", str(gid), "--count", str(count)],
        capture_output=True, text=True, check=False, timeout=_WIRE_SECONDS,
        stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise measure.BenchError(f"wire_bench exited {done.returncode}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class _Limits:
    """The tables."""

    def __init__(self, bench, samples, wire, rounds):
        self._bench = bench
        self._samples = samples
        self._wire = wire
        self._ours, self._memory = bench.subjects[0].name, bench.memory.name
        self._of = f"medians of {rounds} rounds, in which uidnfs, F and N take turns"

    def alone(self):
        rows = []
        for title, work, ways in _ALONE:
            floor = self._through(work, self._memory, _median_us)
            wire = min(sum(self._call(call, 1, "median_us") for call in way) for way in ways)
            mine = self._through(work, self._ours, _median_us)
            ratio = mine / (floor + wire)
            rows.append([title, floor, wire, mine, ratio,
                         report.verdict(ratio <= LATENCY_TARGET, f"<= {LATENCY_TARGET}"),
                         _shares(floor, wire, mine)])
        self._bench.report.table(
            "limits", "One call at a time and its limits, microseconds",
            ["", "F", "N", "uidnfs", "uidnfs / (F + N)", "target", "limited by"], rows,
            [f"medians; {self._of}",
             "F: a FUSE file system that does nothing; N: our NFS client without FUSE; a new file: "
             "the faster of FILE_SYNC and UNSTABLE + COMMIT"])

    def together(self):
        rows = []
        for title, work, calls in _TOGETHER:
            floor = self._through(work, self._memory, _cpu_us)
            wire = sum(self._call(call, 16, "cpu_us") for call in calls)
            mine = self._through(work, self._ours, _cpu_us)
            ratio = mine / (floor + wire)
            rows.append([title, floor, wire, mine, ratio,
                         report.verdict(ratio <= PROCESSOR_TARGET, f"<= {PROCESSOR_TARGET}"),
                         _shares(floor, wire, mine)])
        self._bench.report.table(
            "together", "16 in flight: processor time of the client, microseconds an operation",
            ["", "F", "N", "uidnfs", "uidnfs / (F + N)", "target", "limited by"], rows, [self._of])

    def kept(self):
        wire = [1e6 / found["us_each"] for found in self._wire["write 4 KiB random", 16]]
        rows = [
            self._rate("read again after close and open, MiB/s", "again",
                       lambda sample: sample.mib_per_second),
            self._rate("random 4 KiB write within the budget, a second", "rewrite", _a_second),
            self._rate("random 4 KiB write sustained, 16 writers, a second", "sustain", _a_second,
                       ("N", wire)),
            [*self._rate("the same, F as the limit", "sustain", _a_second)[:-1], "-"],
        ]
        self._bench.report.table(
            "kept", "What the kernel keeps and what is written behind",
            ["", "limit", "of it, slowest to fastest", "uidnfs", "slowest to fastest",
             "uidnfs / limit", "target"], rows,
            [self._of, "sustained: with the fsync, or the COMMIT of N, at the end",
             "one request at a time takes several times as long where the kernel has to wake "
             "another processor for it: rounds of F differ as much as ours"])

    def _rate(self, title, work, value, limit=None):
        """`limit`: its name and its values; F at the same work where it is left out."""
        name, most = limit or ("F", self._values(work, self._memory, value))
        mine = self._values(work, self._ours, value)
        ratio = measure.median(mine) / measure.median(most)
        return [title, measure.median(most), _range(most), measure.median(mine), _range(mine),
                ratio, report.verdict(ratio >= 0.9, f">= 0.9 {name}")]

    def _values(self, work, subject, value):
        return [value(sample) for sample in self._samples[work, subject]]

    def _through(self, work, subject, value):
        return measure.median(self._values(work, subject, value))

    def _call(self, call, in_flight, value):
        return measure.median([found[value] for found in self._wire[call, in_flight]])


def _shares(floor, wire, mine):
    """Where the time goes; less than F and N together where calls are saved."""
    if mine <= floor + wire:
        return f"FUSE and what is left of the calls ({mine / (floor + wire):.0%} of F + N)"
    return (f"FUSE {floor / mine:.0%}, wire and server {wire / mine:.0%}, "
            f"uidnfs itself {1 - (floor + wire) / mine:.0%}")


def _range(values):
    return f"{min(values):.0f} - {max(values):.0f}"


def _a_second(sample):
    return 1e6 / sample.us_per_operation


def _median_us(sample):
    return sample.median_us


def _cpu_us(sample):
    return sample.cpu["client"] * 1e6 / sample.operations
