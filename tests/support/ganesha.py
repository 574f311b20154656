# SPDX-License-Identifier: Apache-2.0
"""NFS-Ganesha and rpcbind, started and stopped for a test or the demo.

The only place that knows how to run the server. REQUIRES: a sandbox (sandbox.prepare), because
both daemons use fixed files and ports.
"""

import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import time

import rpc_wire
import sandbox

NFS_PORT = 2049
MOUNT_PORT = 20048
PORTMAP_PORT = 111
START_SECONDS = 20
STOP_SECONDS = 10


class ServerError(Exception):
    """The server did not start or stop; the text ends with its log."""


@dataclasses.dataclass
class Export:
    """A directory below sandbox.EXPORTS, known to clients as /exports/NAME.

    `settings` are items of Ganesha's EXPORT block, each with its semicolon.
    """

    name: str
    owner: tuple = (0, 0)
    mode: int = 0o755
    settings: str = ""

    @property
    def path(self):
        """Where the server keeps it."""
        return sandbox.EXPORTS / self.name

    @property
    def share(self):
        """What clients call it."""
        return f"/exports/{self.name}"

    def make(self):
        self.path.mkdir(exist_ok=True)
        os.chown(self.path, *self.owner)
        self.path.chmod(self.mode)

    def block(self, number):
        return (f'EXPORT {{ Export_Id={number}; Path={self.path}; Pseudo={self.share}; '
                f'{self.settings} FSAL {{ Name=VFS; }} }}\n')


class Portmapper:
    """rpcbind in the foreground."""

    def __init__(self, prefix):
        self._command = [*prefix, _tool("rpcbind"), "-f"]
        self._process = None

    def start(self, address):
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_program(address, PORTMAP_PORT, rpc_wire.PORTMAP, 2, self._process)

    def stop(self):
        _stop(self._process, STOP_SECONDS)


class Ganesha:
    """One NFS server. `network` is "own" or "loopback", as given to sandbox.prepare()."""

    def __init__(self, exports, network):
        self.exports = list(exports)
        prefix = ["nsenter", f"--net={sandbox.SERVER_NETNS}"] if network == "own" else []
        self.address = sandbox.SERVER_ADDRESS if network == "own" else "127.0.0.1"
        self._prefix = prefix
        self._portmapper = Portmapper(prefix)
        self._process = None
        self._directory = sandbox.ROOT / "server"
        self._next_epoch = int(time.time())
        self.log_file = self._directory / "ganesha.log"

    def start(self):
        """Portmapper and server; returns when NFS and MOUNT answer."""
        self._directory.mkdir(exist_ok=True)
        for export in self.exports:
            export.make()
        (self._directory / "ganesha.conf").write_text(self._configuration(), encoding="ascii")
        self._portmapper.start(self.address)
        self.launch()
        return self

    def launch(self, same_verifier=False):
        """Starts the server process alone. Each start has a new write verifier unless told not to:
        a server that keeps it after losing data is one that lies."""
        if not same_verifier:
            self._next_epoch += 1
        self._process = subprocess.Popen(
            [*self._prefix, _tool("ganesha.nfsd"), "-F", "-N", "EVENT",
             "-f", str(self._directory / "ganesha.conf"), "-L", str(self.log_file),
             "-p", str(self._directory / "ganesha.pid"), "-E", str(self._next_epoch)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for_program(self.address, MOUNT_PORT, rpc_wire.MOUNT, 3, self._process)
            wait_for_program(self.address, NFS_PORT, rpc_wire.NFS, 3, self._process)
            self._check_exported(self.exports[0])
        except ServerError as error:
            raise ServerError(f"{error}\nits log:\n{self.log_tail(80)}") from None

    @property
    def pid(self):
        return self._process.pid

    def stop(self):
        """Orderly end of server and portmapper."""
        self.halt()
        self._portmapper.stop()

    def halt(self):
        """Orderly end of the server alone; the portmapper stays."""
        if self._process is not None:
            self.thaw()
            _stop(self._process, STOP_SECONDS)

    def kill(self):
        """kill -9: what was not committed stays in the page cache of this machine."""
        self._process.kill()
        self._process.wait()

    def restart(self, same_verifier=False):
        self.kill()
        self.launch(same_verifier)

    def freeze(self):
        """SIGSTOP: connections stay, nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)
        # The signal is sent, not yet taken: a thread that is running may still answer.
        deadline = time.monotonic() + 10
        while not self._is_stopped():
            if time.monotonic() > deadline:
                raise TimeoutError("the server does not stop")
            time.sleep(0.005)

    def _is_stopped(self):
        tasks = pathlib.Path(f"/proc/{self._process.pid}/task").iterdir()
        states = [(task / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
                  for task in tasks]
        return all(state == "T" for state in states)

    def thaw(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)

    def log_tail(self, lines=15):
        if not self.log_file.exists():
            return "(the server wrote no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _check_exported(self, export):
        """Ganesha starts without the exports that it cannot make."""
        with rpc_wire.RpcClient(self.address, MOUNT_PORT) as client:
            status = client.mnt(export.share)[0]
        if status != 0:
            raise ServerError(f"the server does not export {export.path} (MOUNT status {status})")

    def _configuration(self):
        blocks = "".join(e.block(number) for number, e in enumerate(self.exports, 1))
        return f"""\
NFS_CORE_PARAM {{ Protocols=3,4; NFS_Port={NFS_PORT}; MNT_Port={MOUNT_PORT};
    Enable_NLM=false; Enable_RQUOTA=false; Enable_UDP=false; mount_path_pseudo=true; }}
NFSV4 {{ Graceless=true; RecoveryBackend=fs; }}
NFS_KRB5 {{ Active_krb5=false; }}
EXPORT_DEFAULTS {{ Access_Type=RW; SecType=sys; Squash=No_Root_Squash; Attr_Expiration_Time=0; }}
{blocks}"""


def wait_for_program(address, port, program, version, process=None, seconds=START_SECONDS):
    """Returns once the program answers NULL; ServerError when its process ends or time is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with rpc_wire.RpcClient(address, port, timeout=1.0) as client:
                return client.null(program, version)
        except (OSError, rpc_wire.WireError) as error:
            reason = error
        if process is not None and process.poll() is not None:
            raise ServerError(f"{process.args[0]} ended with {process.returncode} while starting")
        if time.monotonic() > deadline:
            raise ServerError(f"{address}:{port} did not answer in {seconds} s: {reason}")
        time.sleep(0.02)


def _stop(process, seconds):
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tool(name):
    """Daemons live in sbin, which a user's PATH may lack."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin")
    if path is None:
        raise ServerError(f"{name} is not installed; run scripts/setup")
    return str(pathlib.Path(path))
