# SPDX-License-Identifier: Apache-2.0
"""The uidnfs binary as a user calls it, one mount made by it, and what it may have left behind."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import time

COMMAND_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class MountEntry:
    """A line of /proc/self/mountinfo."""

    mountpoint: str
    kind: str
    source: str
    options: tuple
    device: str


def mountinfo():
    """Every mount of this namespace."""
    entries = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, right = line.split(" - ", 1)
        fields, tail = left.split(), right.split()
        options = tuple(fields[5].split(",")) + tuple(tail[2].split(","))
        entries.append(MountEntry(_unescape(fields[4]), tail[0], _unescape(tail[1]), options,
                                  fields[2]))
    return entries


def _unescape(text):
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match.group(1), 8)), text)


def wait_until(condition, seconds, what):
    """Polls until `condition()` is true and returns its value; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s")
        time.sleep(0.01)


class Uidnfs:
    """The binary under test."""

    def __init__(self, binary):
        self.binary = pathlib.Path(binary).resolve()
        self.complaint = ""  # of the last status, for messages

    def run(self, *args, timeout=COMMAND_SECONDS, prefix=(), **popen):
        """Runs a command to its end; standard output and error as text."""
        # A daemon that kept these descriptors open would hang here: that is a defect to be seen.
        return subprocess.run(
            [*prefix, str(self.binary), *map(str, args)], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="surrogateescape", timeout=timeout, check=False,
            **popen)

    def start(self, *args, **popen):
        """Runs a command that stays, for example with --foreground."""
        return subprocess.Popen([str(self.binary), *map(str, args)], stdin=subprocess.DEVNULL,
                                text=True, **popen)

    def status(self, *args):
        """(exit code, list of the objects of `status --json`)."""
        done = self.run("status", "--json", *args)
        self.complaint = done.stderr
        decoder, text, found = json.JSONDecoder(), done.stdout.strip(), []
        while text:
            value, end = decoder.raw_decode(text)
            found.extend(value if isinstance(value, list) else [value])
            text = text[end:].lstrip()
        return done.returncode, found

    def processes(self):
        """PIDs in this PID namespace that run the binary; the dead do not count."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                runs = os.readlink(entry / "exe").removesuffix(" (deleted)")
            except OSError:
                continue
            if runs == str(self.binary):
                found.append(int(entry.name))
        return sorted(found)

    def command_lines(self):
        """For messages: what the processes of processes() are."""
        lines = []
        for pid in self.processes():
            try:
                raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            lines.append(f"{pid}: {raw.replace(bytes(1), b' ').decode(errors='replace')}")
        return lines

    def mounts(self):
        return [entry for entry in mountinfo() if "uidnfs" in entry.kind]

    def check_nothing_left(self, seconds=2.0):
        """AssertionError when a mount, a process or a control socket of uidnfs still exists."""
        def left():
            sockets = [str(path) for path in pathlib.Path("/run/uidnfs").glob("mounts/*")]
            mounts = [f"mounted: {entry.mountpoint}" for entry in self.mounts()]
            return mounts + self.command_lines() + sockets

        deadline = time.monotonic() + seconds
        while left() and time.monotonic() < deadline:
            time.sleep(0.01)
        remains = left()
        if remains:
            raise AssertionError("left behind: " + "; ".join(remains))


class Mount:
    """One mount made with `uidnfs mount`. `host` is the ProxyHost it goes through, or None."""

    def __init__(self, uidnfs, source, mountpoint, options, export_path, host=None, watch=None):
        self.uidnfs = uidnfs
        self.source = source
        self.path = pathlib.Path(mountpoint)
        self.options = options
        self.export_path = pathlib.Path(export_path)
        self.host = host
        self.watch = watch

    def __truediv__(self, name):
        """Path below the mount point, as text."""
        return str(self.path / name)

    def on_server(self, name):
        """The same file where the server keeps it."""
        return str(self.export_path / name)

    def mount(self):
        """AssertionError with the command's words unless it exits 0 with the mount in place."""
        self.path.mkdir(parents=True, exist_ok=True)
        done = self.uidnfs.run("mount", self.source, self.path, "-o", self.options)
        if done.returncode != 0:
            raise AssertionError(f"mount exited {done.returncode}: {done.stderr.strip()}")
        if not self.is_mounted():
            raise AssertionError("mount exited 0 and nothing is mounted")
        return self

    def umount(self, *flags):
        """The finished command."""
        return self.uidnfs.run("umount", self.path, *flags)

    def is_mounted(self):
        return any(entry.mountpoint == str(self.path) for entry in self.uidnfs.mounts())

    def status(self):
        """The one object that `status --json MOUNTPOINT` prints."""
        _, found = self.uidnfs.status(self.path)
        if len(found) != 1:
            raise AssertionError(
                f"status prints {len(found)} objects for one mount: {self.uidnfs.complaint}")
        return found[0]
