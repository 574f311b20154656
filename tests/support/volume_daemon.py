# SPDX-License-Identifier: Apache-2.0
"""uidnfsd serving volumes, as a platform and an operator see it: its configuration, its sockets, its
processes. Everything is below one directory, and ends with its test."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import ganesha
from uidnfs_command import mountinfo, wait_until

SERVICE_USER = "nobody"
RULE = """
[[policy.rule]]
name = "team"
sources = ["nas1:/exports/*"]
uids = ["1000-1999"]
gids = ["1000-1999"]
"""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the socket at `path`."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class VolumeDaemon:
    """One uidnfsd. start(), stop() and kill() as often as a test likes, on the same state."""

    def __init__(self, uidnfs, options=(), rule=RULE, extra="", socket_path=None):
        self.binary = uidnfs.binary.parent / "uidnfsd"
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="volumes-"))
        self.root.chmod(0o755)
        self.volumes = self.root / "lib" / "volumes"
        self.socket = pathlib.Path(socket_path or self.root / "docker.sock")
        self.admin = self.root / "run" / "admin.sock"
        self.audit = self.root / "audit.log"
        self.config = self.root / "uidnfsd.toml"
        self.log_path = self.root / "log"
        self.process = None
        self.ports = [f"port = {ganesha.NFS_PORT}", f"mountport = {ganesha.MOUNT_PORT}"]
        self.write([*self.ports, *options], rule, extra)

    def write(self, options, rule, extra=""):
        """The configuration, as an operator would write it."""
        self.config.write_text(f"""
[mounts]
root = "{self.volumes}"
state_dir = "{self.root}/lib"
run_dir = "{self.root}/run"
recovery_dir = "{self.root}/recovery"
defaults = {{ {", ".join(options)} }}
deadline_seconds = 7
[workers]
user = "{SERVICE_USER}"
[plugin.docker]
socket = "{self.socket}"
[audit]
destination = "{self.audit}"
[admin]
socket = "{self.admin}"
{rule}
{extra}
""", encoding="utf-8")

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = self.launch(log)
        wait_until(lambda: self.process.poll() is not None or self.answers(), 20, "the start")
        if self.process.poll() is not None:
            raise AssertionError("uidnfsd did not start: " + self.log()[-2000:])
        return self

    def launch(self, log):
        return subprocess.Popen([self.binary, "--config", self.config], stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log)

    def answers(self):
        try:
            return "Implements" in self.ask("Plugin.Activate", timeout=5)
        except OSError:
            return False

    def ask(self, call, timeout=60, **body):
        """The JSON that Docker would get."""
        connection = UnixConnection(self.socket, timeout)
        try:
            connection.request("POST", "/" + call, json.dumps(body) if body else None)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def admin_ask(self, method, route, body=None, path=None):
        """(status, text) of the admin socket."""
        connection = UnixConnection(path or self.admin)
        try:
            connection.request(method, route, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def create(self, name, source, **options):
        words = {"share": source, **{key: str(value) for key, value in options.items()}}
        return self.ask("VolumeDriver.Create", Name=name, Opts=words)["Err"]

    def mount(self, name, holder="1"):
        """(mount point, error)"""
        answer = self.ask("VolumeDriver.Mount", Name=name, ID=holder)
        return answer.get("Mountpoint", ""), answer["Err"]

    def unmount(self, name, holder="1"):
        return self.ask("VolumeDriver.Unmount", Name=name, ID=holder)["Err"]

    def remove(self, name):
        return self.ask("VolumeDriver.Remove", Name=name)["Err"]

    def get(self, name):
        return self.ask("VolumeDriver.Get", Name=name)

    def mounts(self):
        """Paths of its volumes that are mounted."""
        prefix = str(self.volumes) + "/"
        return [entry.mountpoint for entry in mountinfo() if entry.mountpoint.startswith(prefix)]

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def audit_lines(self):
        if not self.audit.exists():
            return []
        return [json.loads(line) for line in self.audit.read_text(encoding="utf-8").splitlines()]

    def children(self):
        """Pids of its direct children: the mounter, and what that runs, are not among the keepers."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in pathlib.Path(path).read_text(encoding="ascii").split()]

    def stop(self, number=signal.SIGTERM):
        """Ends it; its volumes stay."""
        if self.process is None:
            return None
        self.process.send_signal(number)
        status = self.process.wait(20)
        self.process = None
        return status

    def kill(self):
        return self.stop(signal.SIGKILL)

    def clear(self):
        """After a test, also a failed one: no process and no mount stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for path in reversed(self.mounts()):
            subprocess.run(["umount", "-l", path], check=False, capture_output=True)
        self.socket.unlink(missing_ok=True)
        shutil.rmtree(self.root, ignore_errors=True)


def status_of(pid, field):
    """A line of /proc/PID/status."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    raise AssertionError(f"no {field} in /proc/{pid}/status")


def is_alive(pid):
    return os.path.exists(f"/proc/{pid}")
