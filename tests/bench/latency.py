# SPDX-License-Identifier: Apache-2.0
"""One call at a time through the mount against P: small files, names, random 4 KiB reads."""

import os

import measure

_WORKS = (
    ("create", "create + 4 KiB + close"),
    ("stat", "stat, cold"),
    ("rename", "rename"),
    ("unlink", "unlink"),
    ("random1", "4 KiB O_DIRECT read, 1 in flight"),
    ("random16", "4 KiB O_DIRECT read, 16 in flight"),
)


def run(bench):
    files, reads, rounds = (200, 2000, 3) if bench.quick else (500, 8000, 5)
    target = bench.export.path / "random"
    bench.load_as_server("write", target, 256 * measure.MIB)
    samples = {(work, subject.name): [] for work, _ in _WORKS for subject in bench.subjects}
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
        yield "create", _watched(bench, mount, "create", mount / directory, files)
    # A new mount has cold caches; the server's stay warm, for both subjects alike.
    with subject.mounted() as mount:
        for work in ("stat", "rename", "unlink"):
            yield work, _watched(bench, mount, work, mount / directory, files)
        os.rmdir(mount / directory)


def _random(bench, subject, reads):
    with subject.mounted() as mount:
        yield "random1", _watched(bench, mount, "random", mount / "random", reads, 1)
        yield "random16", _watched(bench, mount, "random", mount / "random", 2 * reads, 16)


def _watched(bench, mount, *words):
    return bench.load.run(*words, watched={"client": mount.pids, "server": [bench.server.pid]})


def _print(bench, samples, files, rounds):
    ours, peer = (subject.name for subject in bench.subjects)

    def middle(work, name, value):
        return measure.median([value(sample) for sample in samples[work, name]])

    rows = []
    for work, title in _WORKS:
        median = {name: middle(work, name, lambda s: s.median_us) for name in (ours, peer)}
        each = {name: middle(work, name, lambda s: s.us_per_operation) for name in (ours, peer)}
        rows.append([
            title, median[peer], median[ours], middle(work, ours, lambda s: s.p99_us), each[peer],
            each[ours], each[peer] / each[ours],
            middle(work, ours, lambda s: s.cpu["client"] * 1e6 / s.operations),
            middle(work, ours, lambda s: s.cpu["server"] * 1e6 / s.operations)])
    bench.report.table(
        "latency", "Small calls, microseconds",
        ["", "P median", "uidnfs median", "uidnfs p99", "P per call", "uidnfs per call",
         "speed uidnfs / P", "client CPU", "server CPU"], rows,
        [f"{files} files, medians of {rounds} interleaved runs; per call = wall time / calls; CPU "
         "is that of a call through uidnfs",
         "cold: after a new mount; the server's caches are warm"])
