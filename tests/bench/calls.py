# SPDX-License-Identifier: Apache-2.0
"""How many calls each work costs, as the client counts them: the one table that says the same on a
busy machine as on a quiet one."""

import contextlib
import os

import measure

_BLOCK = b"x" * 4096
_PIECE = bytes(measure.MIB)


def run(bench):
    files, mebibytes = (50, 8) if bench.quick else (500, 64)
    rows = []
    made = "calls"
    with _mount(bench) as mount:
        os.mkdir(mount / made)
        names = [str(mount / made / f"file-{number}") for number in range(files)]
        count = _Counter(mount, rows)
        with count("create + 4 KiB + close", files, _CREATE):
            for name in names:
                _write(name, os.O_TRUNC)
        with count("the same with O_EXCL", files, _CREATE_EXCLUSIVE):
            for name in names:
                _write(name + ".new", os.O_EXCL)
        sync = mount.status()["cache"]["small_files"]
        with count("sequential write, fsync, 1 MiB each", mebibytes, 1.1):
            _write_large(str(mount / "calls-large"), mebibytes)
    _stat_and_list(bench, made, files, rows)
    with _mount(bench) as mount:
        directory = mount / made
        count = _Counter(mount, rows)
        names = sorted(entry.path for entry in os.scandir(directory) if entry.name[-4:] != ".new")
        with count("open + read 4 KiB + close, listed", files, 3.1):
            for name in names:
                _read(name)
        with count("rename", files, 1.0):
            for name in names:
                os.rename(name, name + ".old")
        with count("unlink", files, 1.0):
            for name in names:
                os.unlink(name + ".old")
        with count("sequential read, 1 MiB each", mebibytes, 1.2):
            _read(str(mount / "calls-large"))
        os.unlink(mount / "calls-large")
        for entry in list(os.scandir(directory)):
            os.unlink(entry.path)
        os.rmdir(directory)
    bench.report.table(
        "calls", "Calls to the server for each operation",
        ["", "operations", "calls each", "to reach", "by procedure"], rows,
        [f"{files} files; counted by uidnfs itself. Round trips can be fewer: an open of a listed "
         "small file is three calls in one flight",
         "to reach with a new file: 2.1 by FILE_SYNC, 3.1 by UNSTABLE and COMMIT where those are "
         "faster on this server, one more with O_EXCL (decision 0014). Measured by the mount: "
         f"FILE_SYNC {sync['file_sync'] * 1000:.2f} ms, UNSTABLE and COMMIT "
         f"{sync['commit'] * 1000:.2f} ms; it prefers "
         f"{'FILE_SYNC' if sync['way'] == 'file_sync' else 'UNSTABLE and COMMIT'}"])


def _stat_and_list(bench, made, files, rows):
    """A mount of its own for each: the kernel's caches and ours are cold."""
    with _mount(bench) as mount:
        with _Counter(mount, rows)("stat by name, cold", files, 0.1):
            for number in range(files):
                os.stat(mount / made / f"file-{number}")
    with _mount(bench) as mount:
        with _Counter(mount, rows)("ls -l, cold", 2 * files, 0.1):
            for entry in os.scandir(mount / made):
                entry.stat()


def _by_sync(one, two):
    """A target for how the bytes reached the disk, and the words for that."""
    def choose(spent, operations):
        if spent.get("COMMIT", 0) * 2 < operations:
            return one, "by FILE_SYNC"
        return two, "by UNSTABLE and COMMIT"
    return choose


_CREATE = _by_sync(2.1, 3.1)
_CREATE_EXCLUSIVE = _by_sync(3.1, 4.1)


class _Counter:
    """Adds a row for what runs inside of it."""

    def __init__(self, mount, rows):
        self._mount = mount
        self._rows = rows

    @contextlib.contextmanager
    def __call__(self, title, operations, target):
        before = self._calls()
        yield
        after = self._calls()
        spent = {name: after[name] - before.get(name, 0) for name in after}
        each = sum(spent.values()) / operations
        if callable(target):
            target, way = target(spent, operations)
            title = f"{title}, {way}"
        said = ", ".join(f"{name} {number}" for name, number in sorted(
            spent.items(), key=lambda item: -item[1]) if number)
        self._rows.append([title, operations, each, target, said or "none"])

    def _calls(self):
        procedures = self._mount.status()["calls"]["procedures"]
        return {name: counts["count"] for name, counts in procedures.items()}


def _mount(bench):
    return bench.subjects[0].mounted()


def _write(path, how):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o644)
    os.write(descriptor, _BLOCK)
    os.close(descriptor)


def _write_large(path, mebibytes):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    for _ in range(mebibytes):
        os.write(descriptor, _PIECE)
    os.fsync(descriptor)
    os.close(descriptor)


def _read(path):
    descriptor = os.open(path, os.O_RDONLY)
    while os.read(descriptor, measure.MIB):
        pass
    os.close(descriptor)
