# SPDX-License-Identifier: Apache-2.0
"""What is compared: uidnfs over the NFS server; P, libfuse's example passthrough_ll over the server's
own export directory; F, a file system in memory that does nothing (memory_fs.cpp). All are mounted
the same way and get the same kernel readahead.
"""

import contextlib
import itertools
import pathlib
import subprocess

import measure
import sandbox
import uidnfs_command

START_SECONDS = 10


class Mounted:
    """A live mount: its directory, the processes behind it, and `uidnfs status` of ours."""

    def __init__(self, path, pids, status=None):
        self.path = pathlib.Path(path)
        self.pids = pids
        self.status = status

    def __truediv__(self, name):
        return self.path / name


class Uidnfs:
    """A mount of `share` as the identity that owns the export."""

    name = "uidnfs"

    def __init__(self, command, address, export, options=""):
        self._command = command
        self._source = f"{address}:{export.share}"
        self._options = f"uid={export.owner[0]},gid={export.owner[1]}"
        if options:
            self._options += f",{options}"
        self._export = export
        self.read_ahead_kib = None

    def make(self):
        """An uidnfs_command.Mount that is not mounted yet, on a new directory."""
        return uidnfs_command.Mount(
            self._command, self._source, _new_mountpoint(), self._options, self._export.path)

    @contextlib.contextmanager
    def mounted(self):
        mount = self.make()
        try:
            mount.mount()
            status = mount.status()
            self.read_ahead_kib = read_ahead_file(mount.path).read_text(encoding="ascii").strip()
            yield Mounted(mount.path, [status["worker_pid"], status["keeper_pid"]], mount.status)
        finally:
            if mount.is_mounted():
                take_down(mount)


class _Example:
    """A small FUSE program. `peer` is mounted first, so that its read_ahead_kb is known."""

    def __init__(self, binary, peer):
        self._binary = str(binary)
        self._peer = peer

    def _words(self, path):
        """The command line that mounts on `path` and stays in the foreground."""
        raise NotImplementedError

    @contextlib.contextmanager
    def mounted(self):
        path = _new_mountpoint()
        path.mkdir()
        log = sandbox.ROOT / f"{self.name}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                self._words(path), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            uidnfs_command.wait_until(
                lambda: is_mounted(path) or process.poll() is not None, START_SECONDS,
                f"mounting {self.name}")
            if process.poll() is not None:
                raise measure.BenchError(f"{self.name} ended with {process.returncode}: "
                                         + log.read_text(errors="replace").strip())
            path.stat()  # INIT is done, which would set the readahead once more
            if self._peer.read_ahead_kib:
                read_ahead_file(path).write_text(self._peer.read_ahead_kib, encoding="ascii")
            yield Mounted(path, [process.pid])
        finally:
            if is_mounted(path):
                sandbox.run("umount", str(path))
            _end(process)


class Passthrough(_Example):
    """P."""

    name = "P"

    def __init__(self, binary, export, peer):
        super().__init__(binary, peer)
        self._export = export

    def _words(self, path):
        return [self._binary, "-f", "-o", f"source={self._export.path},allow_other", str(path)]


class Memory(_Example):
    """F. What it holds is made with each mount: `holds` are words for memory_fs."""

    name = "F"

    def __init__(self, binary, peer):
        super().__init__(binary, peer)
        self.holds = []

    def _words(self, path):
        return [self._binary, str(path), *self.holds]


def take_down(mount):
    """Unmounts; BenchError with the command's words unless it exits 0."""
    done = mount.umount()
    if done.returncode != 0:
        raise measure.BenchError(f"umount exited {done.returncode}: {done.stderr.strip()}")


def is_mounted(path):
    return any(entry.mountpoint == str(path) for entry in uidnfs_command.mountinfo())


def read_ahead_file(path):
    """The kernel's readahead of the mount on `path`, in KiB."""
    device = next(entry.device for entry in reversed(uidnfs_command.mountinfo())
                  if entry.mountpoint == str(path))
    return pathlib.Path(f"/sys/class/bdi/{device}/read_ahead_kb")


_numbers = itertools.count(1)


def _new_mountpoint():
    return sandbox.MOUNTS / f"bench{next(_numbers)}"


def _end(process):
    try:
        process.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
