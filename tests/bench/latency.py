# SPDX-License-Identifier: Apache-2.0
"""Small files and names through the mount against P, which has the server's disk below it."""

import os

import measure
import report

# Work, title, how often P's speed ours has to be, where that is asked.
_WORKS = (
    ("create", "create + 4 KiB + close", None),
    ("stat", "stat of every file, cold", 1.0),
    ("list", "ls -l, cold, an entry", 1.4),
    ("openread", "open + read 4 KiB + close, cold", None),
    ("rename", "rename", None),
    ("unlink", "unlink", None),
    ("random1", "4 KiB O_DIRECT read, 1 in flight", None),
    ("random16", "4 KiB O_DIRECT read, 16 in flight", None),
)


def run(bench):
    files, reads, rounds = (200, 2000, 3) if bench.quick else (500, 8000, 5)
    target = bench.export.path / "random"
    bench.load_as_server("write", target, 256 * measure.MIB)
    samples = {(work, subject.name): [] for work, *_ in _WORKS for subject in bench.subjects}
    for number, subject in measure.interleaved(rounds, bench.subjects):
        bench.say(f"latency, round {number + 1} of {rounds}, {subject.name}")
        for work, sample in _names(bench, subject, files, f"files-{subject.name}-{number}"):
            samples[work, subject.name].append(sample)
        for work, sample in _random(bench, subject, reads):
            samples[work, subject.name].append(sample)
    target.unlink()
    _print(bench, samples, files, rounds)


def _names(bench, subject, files, directory):
    with subject.mounted() as mount:
        os.mkdir(mount / directory, 0o777)
        os.sync()
        yield "create", bench.watched(mount, "create", mount / directory, files)
    # A new mount has cold caches; the server's stay warm, for both subjects alike.
    for work, words in (("stat", (files, 1)), ("list", ()), ("openread", (files, 1))):
        with subject.mounted() as mount:
            yield work, bench.watched(mount, work, mount / directory, *words)
    with subject.mounted() as mount:
        for work in ("rename", "unlink"):
            yield work, bench.watched(mount, work, mount / directory, files)
        os.rmdir(mount / directory)


def _random(bench, subject, reads):
    with subject.mounted() as mount:
        yield "random1", bench.watched(mount, "random", mount / "random", reads, 1)
        yield "random16", bench.watched(mount, "random", mount / "random", 2 * reads, 16)


def _print(bench, samples, files, rounds):
    ours, peer = (subject.name for subject in bench.subjects)

    def middle(work, name, value):
        return measure.median([value(sample) for sample in samples[work, name]])

    rows = []
    for work, title, target in _WORKS:
        median = {name: middle(work, name, lambda s: s.median_us) for name in (ours, peer)}
        each = {name: middle(work, name, lambda s: s.us_per_operation) for name in (ours, peer)}
        speed = each[peer] / each[ours]
        rows.append([
            title, median[peer], median[ours], middle(work, ours, lambda s: s.p99_us), each[peer],
            each[ours], speed,
            middle(work, ours, lambda s: s.cpu["client"] * 1e6 / s.operations),
            middle(work, ours, lambda s: s.cpu["server"] * 1e6 / s.operations),
            target and report.verdict(speed >= target, f">= {target} P"),
            measure.limited_by(samples[work, ours])])
    bench.report.table(
        "latency", "Small calls, microseconds",
        ["", "P median", "uidnfs median", "uidnfs p99", "P per call", "uidnfs per call",
         "speed uidnfs / P", "client CPU", "server CPU", "target", "limited by"], rows,
        [f"{files} files, medians of {rounds} interleaved runs; per call = wall time / calls; CPU "
         "is that of a call through uidnfs",
         "cold: after a new mount; the server's caches are warm"])
