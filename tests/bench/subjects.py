# SPDX-License-Identifier: Apache-2.0
"""What is compared: uidnfs over the NFS server, and P, libfuse's example passthrough_ll over the
server's own export directory. Both are mounted the same way and get the same kernel readahead.
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


class Passthrough:
    """P. `peer` is mounted first, so that its read_ahead_kb is known."""

    name = "P"

    def __init__(self, binary, export, peer):
        self._binary = str(binary)
        self._export = export
        self._peer = peer

    @contextlib.contextmanager
    def mounted(self):
        path = _new_mountpoint()
        path.mkdir()
        log = sandbox.ROOT / "passthrough.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [self._binary, "-f", "-o", f"source={self._export.path},allow_other", str(path)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            uidnfs_command.wait_until(
                lambda: is_mounted(path) or process.poll() is not None, START_SECONDS,
                "mounting passthrough_ll")
            if process.poll() is not None:
                raise measure.BenchError(f"passthrough_ll ended with {process.returncode}: "
                                         + log.read_text(errors="replace").strip())
            path.stat()  # INIT is done, which would set the readahead once more
            if self._peer.read_ahead_kib:
                read_ahead_file(path).write_text(self._peer.read_ahead_kib, encoding="ascii")
            yield Mounted(path, [process.pid])
        finally:
            if is_mounted(path):
                sandbox.run("umount", str(path))
            _end(process)


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
