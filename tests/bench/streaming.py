# SPDX-License-Identifier: Apache-2.0
"""Large files through the mount against P: sequential write with fsync, sequential read with cold
caches, four readers; and what they cost in processor time. The floor of that is what nobody can do
without: a request of FUSE (F) and the bytes over a socket.
"""

import os
import socket
import threading
import time

import measure
import report

READERS = 4
PROCESSOR_TARGET = 1.25

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
    floors = _floors(bench, size, rounds)
    _bandwidth(bench, samples, size, rounds)
    _processor(bench, samples, floors)


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


def _floors(bench, size, rounds):
    """Seconds of processor time per GiB by work: F, and a socket that brings or takes the bytes."""
    parts = [f"part{i}" for i in range(READERS)]
    bench.memory.holds = [f"big:{size}", *(f"{part}:{size // READERS}" for part in parts)]
    found = {work: [] for work, *_ in _WORKS}
    for number in range(rounds):
        bench.say(f"the floor, round {number + 1} of {rounds}")
        sending, receiving = _over_a_socket(size)
        with bench.memory.mounted() as mount:
            for work, names, wire in (("write", None, sending), ("read", ["big"], receiving),
                                      ("readers", parts, receiving)):
                watched = {"client": mount.pids}
                if names is None:
                    sample = bench.load.run("write", mount / "written", size, watched=watched)
                else:
                    sample = bench.load.run("read", *(mount / name for name in names),
                                            watched=watched)
                found[work].append(sample.cpu_per_gib("client") + wire)
    return {work: measure.median(values) for work, values in found.items()}


def _over_a_socket(size):
    """Seconds per GiB of a thread that sends, and of one that receives, 1 MiB at a time."""
    used = {}

    def run(name, move):
        moved, start = 0, time.thread_time()
        while moved < size:
            moved += move()
        used[name] = (time.thread_time() - start) * measure.GIB / size

    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.create_connection(server.getsockname()) as client, server.accept()[0] as peer:
        block, space = bytes(measure.MIB), bytearray(measure.MIB)
        thread = threading.Thread(
            target=run, args=("receive", lambda: peer.recv_into(space, 0, socket.MSG_WAITALL)))
        thread.start()

        def send():
            client.sendall(block)
            return len(block)

        run("send", send)
        thread.join()
    return used["send"], used["receive"]


def _processor(bench, samples, floors):
    ours, peer = (subject.name for subject in bench.subjects)

    def seconds(work, name, role):
        return measure.median([sample.cpu_per_gib(role) for sample in samples[work, name]])

    rows = []
    for work, title, _ in _WORKS:
        mine = seconds(work, ours, "client")
        ratio = mine / floors[work]
        server, machine = (seconds(work, ours, role) for role in ("server", "machine"))
        rows.append([title, seconds(work, peer, "client"), floors[work], mine, ratio,
                     report.verdict(ratio <= PROCESSOR_TARGET, f"<= {PROCESSOR_TARGET}"), server,
                     machine - mine - server, os.cpu_count() * 1024 / (machine - mine + floors[work])])
    bench.report.table(
        "processor", "Processor time, seconds per GiB",
        ["", "P", "floor", "uidnfs", "uidnfs / floor", "target", "NFS server", "all others",
         "MiB/s at most"], rows,
        ["user + system time of passthrough_ll, of worker and keeper, of Ganesha, and of whatever "
         "else the machine did meanwhile: the program that reads or writes, the disk of the server",
         "floor: the same bytes through F and, besides, over a socket of 127.0.0.1",
         "at most: what this machine can move, with uidnfs at its floor and no processor ever idle"])
