# SPDX-License-Identifier: Apache-2.0
"""A Docker engine of the sandbox's own: dockerd, its containerd and their containers below one
directory, without network, and images made on the spot from Debian's static busybox.

Plugins are found where the engine looks by itself, in /run/docker/plugins; /run is the sandbox's.
Only processes that this engine started are ended, each by its pid. Its containers' control groups
have a parent of their own, which stop() removes.
"""

import contextlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile
import tempfile

from uidnfs_command import wait_until

PLUGINS = pathlib.Path("/run/docker/plugins")
IMAGE = "app"
BUSYBOX = "/bin/busybox"
_APPLETS = ("sh", "cat", "chmod", "chown", "cmp", "cp", "date", "dd", "df", "echo", "id", "ls",
            "md5sum", "mkdir", "mv", "rm", "seq", "sleep", "stat", "sync", "test", "touch", "true",
            "wc")
_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_CGROUP_PREFIX = "uidnfs-test-"


class DockerError(Exception):
    """A command of docker(1) failed; the text is its standard error."""


class File:
    """One entry of an image; without `data` a directory."""

    def __init__(self, path, data=None, mode=0o755, owner=(0, 0), link=None):
        self.path, self.data, self.mode, self.owner, self.link = path, data, mode, owner, link

    def add_to(self, archive):
        entry = tarfile.TarInfo(self.path)
        entry.mode = self.mode
        entry.uid, entry.gid = self.owner
        if self.link is not None:
            entry.type, entry.linkname = tarfile.SYMTYPE, self.link
        elif self.data is None:
            entry.type = tarfile.DIRTYPE
        else:
            entry.size = len(self.data)
        archive.addfile(entry, io.BytesIO(self.data) if self.data is not None else None)


class Engine:
    """start(), stop() and kill() as often as a test likes, on the same containers and volumes."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="engine-", dir="/run"))
        self.socket = self.root / "docker.sock"
        self.pidfile = self.root / "docker.pid"
        self.log_path = self.root / "log"
        self.cgroup = _CGROUP_PREFIX + self.root.name
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.root),
                            "DOCKER_CONFIG": str(self.root / "client"),
                            "DOCKER_HOST": f"unix://{self.socket}", "TMPDIR": str(self.root)}
        self._process = None
        # Of an engine whose sandbox was killed; those with processes stay.
        _remove_cgroups(_CGROUP_PREFIX + "*")
        PLUGINS.mkdir(parents=True, exist_ok=True)

    def start(self, *options):
        command = [_tool("dockerd"), "--data-root", self.root / "data", "--exec-root",
                   self.root / "exec", "--pidfile", self.pidfile, "--host", f"unix://{self.socket}",
                   "--group", "root", "--config-file", self.root / "none.json",
                   "--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false",
                   "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent",
                   "/" + self.cgroup, "--shutdown-timeout", "5", *options]
        (self.root / "none.json").write_text("{}", encoding="ascii")
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        wait_until(lambda: self._process.poll() is not None or self._answers(), 30,
                   "the start of dockerd")
        if self._process.poll() is not None:
            raise AssertionError("dockerd did not start: " + self.log()[-3000:])
        return self

    def _answers(self):
        with contextlib.suppress(OSError, DockerError, subprocess.TimeoutExpired):
            return bool(self.docker("version", "--format", "{{.Server.Version}}", timeout=5))
        return False

    def docker(self, *words, timeout=60):
        """What docker(1) prints; DockerError with its words when it fails."""
        done = self.run(*words, timeout=timeout)
        if done.returncode != 0:
            raise DockerError(done.stderr.strip() or f"exit {done.returncode}: {done.stdout}")
        return done.stdout.strip()

    def run(self, *words, timeout=60):
        return subprocess.run(
            [_tool("docker"), *map(str, words)], capture_output=True, text=True, timeout=timeout,
            check=False, stdin=subprocess.DEVNULL, env=self.environment)

    def inspect(self, *words):
        [found] = json.loads(self.docker(*words))
        return found

    def add_image(self, name=IMAGE, files=(), changes=()):
        """busybox, a user named app (2000), and `files`."""
        applets = [File(f"bin/{applet}", link="busybox") for applet in _APPLETS]
        with open(BUSYBOX, "rb") as file:
            busybox = File("bin/busybox", file.read())
        users = b"root:x:0:0::/:/bin/sh\napp:x:2000:2000::/:/bin/sh\n"
        base = [File("bin"), busybox, *applets, File("etc"),
                File("etc/passwd", users, mode=0o644), File("tmp", mode=0o1777)]
        path = self.root / "image.tar"
        with tarfile.open(path, "w") as archive:
            for entry in (*base, *files):
                entry.add_to(archive)
        options = [word for change in changes for word in ("--change", change)]
        self.docker("import", *options, path, name)
        path.unlink()

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self, number=signal.SIGTERM):
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        # With SIGKILL its containerd gets one too, from the kernel; the next one needs its socket.
        wait_until(lambda: not self._own("containerd"), 20, "the end of containerd")

    def kill(self):
        self.stop(signal.SIGKILL)

    def _own(self, *names):
        """Pids of processes of this engine: their command line names its directory."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().split(b"\0")
                name = os.path.basename(command[0]).decode(errors="replace")
                if name in names and str(self.root).encode() in b"\0".join(command):
                    found.append(int(entry.name))
        return found

    def clear(self):
        """After a test, also a failed one: no container, process or control group stays."""
        if self._process is not None:
            with contextlib.suppress(DockerError, subprocess.TimeoutExpired):
                if containers := self.docker("ps", "-aq", timeout=10).split():
                    self.docker("rm", "-f", *containers, timeout=30)
            self.stop()
        for pid in self._own("containerd-shim-runc-v2"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for line in reversed(pathlib.Path("/proc/self/mounts").read_text("utf-8").splitlines()):
            mountpoint = line.split()[1]
            if mountpoint.startswith(str(self.root)):
                subprocess.run(["umount", "-l", mountpoint], check=False, capture_output=True)
        _remove_cgroups(self.cgroup)
        shutil.rmtree(self.root, ignore_errors=True)


def _remove_cgroups(pattern):
    """Empty ones, in every hierarchy; control groups are not the sandbox's own."""
    for parent in (_CGROUPS, *_CGROUPS.glob("*")):
        for path in (*parent.glob(f"{pattern}/*"), *parent.glob(pattern)):
            with contextlib.suppress(OSError):
                path.rmdir()


def _tool(name):
    found = shutil.which(name, path=os.defpath + ":/usr/sbin:/sbin")
    if found is None:
        raise AssertionError(f"{name} is not installed; run scripts/setup")
    return found
