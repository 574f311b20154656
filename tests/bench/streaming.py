# SPDX-License-Identifier: Apache-2.0
"""Large files through the mount against P: sequential write with fsync, sequential read with cold
caches, four readers; and what they cost in processor time.
"""

import os

import measure
import report

READERS = 4

# Work, title, how often P's bandwidth ours has to be.
_WORKS = (
    ("write", "1 MiB writes + fsync", 0.95),
    ("read", "1 MiB reads, cold", 1.35),
    ("readers", f"{READERS} readers of 1 MiB, cold", 2.0),
)


def run(bench):
    size = 256 * measure.MIB if bench.quick else measure.GIB
    rounds = 3 if bench.quick else 5
    _make_files(bench, size)
    samples = {(work, subject.name): [] for work, *_ in _WORKS for subject in bench.subjects}
    for number, subject in measure.interleaved(rounds, bench.subjects):
        bench.say(f"streaming, round {number + 1} of {rounds}, {subject.name}")
        samples["write", subject.name].append(_write(bench, subject, size))
        samples["read", subject.name].append(_read(bench, subject, ["big"]))
        samples["readers", subject.name].append(
            _read(bench, subject, [f"part{i}" for i in range(READERS)]))
    _clear(bench)
    _bandwidth(bench, samples, size, rounds)
    _processor(bench, samples)


def _make_files(bench, size):
    bench.load_as_server("write", bench.export.path / "big", size)
    for i in range(READERS):
        bench.load_as_server("write", bench.export.path / f"part{i}", size // READERS)


def _clear(bench):
    for name in ("big", *(f"part{i}" for i in range(READERS))):
        (bench.export.path / name).unlink()


def _write(bench, subject, size):
    with subject.mounted() as mount:
        measure.forget_freed_blocks()
        os.sync()
        sample = bench.load.run("write", mount / "written", size,
                                watched={"client": mount.pids, "server": [bench.server.pid]})
        os.unlink(mount / "written")
    return sample


def _read(bench, subject, names):
    measure.drop_caches()
    with subject.mounted() as mount:
        sample = bench.load.run("read", *(mount / name for name in names),
                                watched={"client": mount.pids, "server": [bench.server.pid]})
    expected = sum((bench.export.path / name).stat().st_size for name in names)
    if sample.bytes != expected:
        raise measure.BenchError(f"{subject.name} read {sample.bytes} bytes of {expected}")
    return sample


def _bandwidth(bench, samples, size, rounds):
    ours, peer = (subject.name for subject in bench.subjects)
    rows = []
    for work, title, target in _WORKS:
        median = {name: measure.median([sample.mib_per_second for sample in samples[work, name]])
                  for name in (ours, peer)}
        ratio = median[ours] / median[peer]
        rows.append([title, median[peer], median[ours], ratio,
                     report.verdict(ratio >= target, f">= {target}"),
                     measure.limited_by(samples[work, ours])])
    bench.report.table(
        "streaming", "Large files through the mount",
        ["", "P MiB/s", "uidnfs MiB/s", "uidnfs / P", "target", "limited by"], rows,
        [f"{size // measure.MIB} MiB, medians of {rounds} interleaved runs; readahead of both: "
         f"{bench.subjects[0].read_ahead_kib} KiB",
         "P = libfuse's passthrough_ll over the server's own directory"])


def _processor(bench, samples):
    ours, peer = (subject.name for subject in bench.subjects)

    def seconds(work, name, role):
        return measure.median([sample.cpu_per_gib(role) for sample in samples[work, name]])

    rows = [[title, seconds(work, peer, "client"), seconds(work, ours, "client"),
             seconds(work, ours, "server")] for work, title, _ in _WORKS]
    bench.report.table(
        "processor", "Processor time, seconds per GiB",
        ["", "P", "uidnfs", "NFS server"], rows,
        ["user + system time of passthrough_ll, of worker and keeper, of Ganesha meanwhile"])
