# SPDX-License-Identifier: Apache-2.0
"""A private place to run NFS servers and mounts in: own network, mount and PID namespaces.

rpcbind's port 111, Ganesha's files below /var/lib/nfs and /run and every mount made are private to
the sandbox, and nothing survives it: when its first process ends, whatever the reason, the kernel
ends the others, drops the mounts and frees the loop device. Used by the integration tests and by
scripts/demo.

Two networks when a server of its own is wanted: the sandbox (client side, 192.0.2.1) and the
namespace "server" (192.0.2.2), joined by a veth pair; both addresses are documentation addresses
that exist nowhere else. Otherwise everything is on loopback.
"""

import ctypes
import errno
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path("/run/uidnfs-lab")
EXPORTS = ROOT / "export"
MOUNTS = ROOT / "mnt"

CLIENT_ADDRESS = "192.0.2.1"
SERVER_ADDRESS = "192.0.2.2"
CLIENT_ADDRESS_6 = "2001:db8::1"
SERVER_ADDRESS_6 = "2001:db8::2"
SERVER_NETNS = "/run/netns/server"

_INSIDE = "UIDNFS_SANDBOX"
_IMAGE_SIZE = "16G"


class SandboxError(Exception):
    """The machine lacks something; the text says what and what to do."""


def enter(argv):
    """Runs this interpreter again with `argv` inside a new sandbox. Does not return.

    The caller's process becomes unshare(1), so that killing it ends everything inside.
    """
    if os.geteuid() != 0:
        raise SandboxError("namespaces and mounts need root; run this again as root")
    environment = dict(os.environ, **{_INSIDE: "1"})
    flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = ["unshare", *flags, "--propagation", "private", sys.executable, *argv]
    os.execvpe("unshare", command, environment)


def is_inside():
    return os.environ.get(_INSIDE) == "1" and os.getpid() == 1


def become_init():
    """PID 1 stays behind to reap orphans and returns never; the caller goes on as its child."""
    child = os.fork()
    if child == 0:
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda caught, _: _pass_on(child, caught))
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except InterruptedError:
            continue
        if pid == child:
            sys.stdout.flush()
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _pass_on(child, number):
    # Ctrl-C reaches the child from the terminal by itself.
    if number != signal.SIGINT:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)


def prepare(server_network):
    """Private directories, exports' file system and network. REQUIRES: is_inside() was true.

    `server_network` is "own" (namespace with SERVER_ADDRESS) or "loopback".
    """
    _private_tmpfs("/run")
    _private_tmpfs("/var/lib/nfs")
    _private_tmpfs("/var/lib/uidnfs")
    for directory in (MOUNTS, ROOT / "etc", "/run/ganesha", "/run/rpcbind", "/run/lock",
                      "/var/lib/nfs/ganesha"):
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    for directory in (ROOT, MOUNTS):
        directory.chmod(0o755)
    _private_etc()
    _export_file_system()
    run("ip", "link", "set", "lo", "up")
    if server_network == "own":
        _server_network()
    else:
        # getaddrinfo with AI_ADDRCONFIG, as Ganesha calls it, takes 127.0.0.1 alone for no network.
        run("ip", "address", "add", "127.0.0.2/8", "dev", "lo")


def run(*command):
    """Runs a system tool; SandboxError with its words when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise SandboxError(f"{command[0]} is not installed; run scripts/setup") from None
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip()
        raise SandboxError(f"cannot run {' '.join(map(str, command))}: {reason}")
    return done.stdout


def add_host(name, address):
    """Makes `name` resolve to `address` inside the sandbox."""
    with open("/etc/hosts", "a", encoding="ascii") as hosts:
        hosts.write(f"{address} {name}\n")


def _private_tmpfs(path):
    pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path)


def _private_etc():
    """A copy of /etc with our own hosts and no DNS: an unknown name is unknown at once, everywhere.

    It also has the mtab that Ganesha reads, which a machine without systemd lacks.
    """
    run("cp", "-a", "/etc/.", str(ROOT / "etc"))
    run("mount", "--bind", str(ROOT / "etc"), "/etc")
    etc = pathlib.Path("/etc")
    (etc / "mtab").unlink(missing_ok=True)
    (etc / "mtab").symlink_to("/proc/self/mounts")
    (etc / "hosts").unlink(missing_ok=True)
    (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
    (etc / "nsswitch.conf").unlink(missing_ok=True)
    (etc / "nsswitch.conf").write_text(
        "passwd: files\ngroup: files\nservices: files\nhosts: files\n", encoding="ascii")


def _export_file_system():
    """Mounts something with file handles on EXPORTS: ext4 on a loop device, or else tmpfs."""
    EXPORTS.mkdir(mode=0o755, exist_ok=True)
    image = ROOT / "export.img"
    try:
        with open(image, "wb"):
            os.truncate(image, _parse_size(_IMAGE_SIZE))
        run("mkfs.ext4", "-q", "-m0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
            str(image))
        run("mount", "-o", "loop", str(image), str(EXPORTS))
    except SandboxError as error:
        print(f"note: no loop device here, exports are on tmpfs ({error})", file=sys.stderr)
        image.unlink()
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(EXPORTS))
    EXPORTS.chmod(0o755)
    check_file_handles(EXPORTS)


def _parse_size(text):
    return int(text[:-1]) << {"M": 20, "G": 30}[text[-1]]


def check_file_handles(directory):
    """SandboxError unless the file system gives out the file handles that FSAL_VFS exports."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = ctypes.create_string_buffer(8 + 128)
    ctypes.c_uint.from_buffer(handle).value = 128
    mount_id = ctypes.c_int()
    path = os.fsencode(directory)
    result = libc.name_to_handle_at(-100, path, handle, ctypes.byref(mount_id), 0)
    if result != 0 and ctypes.get_errno() in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise SandboxError(f"{directory} is on a file system without file handles, which "
                           "NFS-Ganesha cannot export; loop devices with ext4 are needed here")


def _server_network():
    run("ip", "netns", "add", "server")
    run("ip", "link", "add", "client0", "type", "veth", "peer", "name", "server0",
        "netns", "server")
    run("ip", "address", "add", f"{CLIENT_ADDRESS}/24", "dev", "client0")
    # Without duplicate address detection it is there at once.
    run("ip", "address", "add", f"{CLIENT_ADDRESS_6}/64", "dev", "client0", "nodad")
    run("ip", "link", "set", "client0", "up")
    in_server = ("ip", "-n", "server")
    run(*in_server, "link", "set", "lo", "up")
    run(*in_server, "address", "add", f"{SERVER_ADDRESS}/24", "dev", "server0")
    run(*in_server, "address", "add", f"{SERVER_ADDRESS_6}/64", "dev", "server0", "nodad")
    run(*in_server, "link", "set", "server0", "up")
