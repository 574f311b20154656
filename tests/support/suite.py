# SPDX-License-Identifier: Apache-2.0
"""What every integration suite stands on: one server per suite, mounts that clean up after
themselves, and the watch on the wire that no test can forget.

A suite is a module tests/integration/test_NAME.py; run_suite.py puts it into a sandbox, starts the
server once and runs it. `lab()` is the running server and the binary under test.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import unittest

import actor
import fake_servers
import ganesha
import rpc_proxy
import sandbox
import uidnfs_command
import wire_watch

APP_UID = 2000
OTHER_UID = 3000
UID = 1001
GID = 1001
SERVER_NAME = "nas1"

EXPORTS = (
    ganesha.Export("a", owner=(UID, GID)),
    ganesha.Export("shared", mode=0o777),
    ganesha.Export("private", mode=0o700),
    ganesha.Export("krb", mode=0o777, settings="SecType=krb5;"),
    ganesha.Export("refused", mode=0o777,
                   settings="Access_Type=None; CLIENT { Clients=198.51.100.1; Access_Type=RW; }"),
)

_lab = None


def lab():
    return _lab


class Lab:
    """The server in its own network namespace, and the binary."""

    def __init__(self, binary):
        self.server = ganesha.Ganesha(EXPORTS, "own")
        self.uidnfs = uidnfs_command.Uidnfs(binary)
        self._host_numbers = itertools.count(1)
        self._mount_numbers = itertools.count(1)

    def export(self, name):
        return next(export for export in EXPORTS if export.name == name)

    def new_mountpoint(self):
        """An empty directory for one mount."""
        path = sandbox.MOUNTS / str(next(self._mount_numbers))
        path.mkdir()
        return path

    def new_address(self):
        """A loopback address that nobody listens on yet."""
        return f"127.0.7.{next(self._host_numbers)}"

    def proxy(self, observer=None):
        """A started stand-in for the server, on an address of its own."""
        ports = (ganesha.PORTMAP_PORT, ganesha.MOUNT_PORT, ganesha.NFS_PORT)
        return rpc_proxy.ProxyHost(
            self.new_address(), self.server.address, ports, observer).start()


def open_lab(binary):
    """Starts the server for this process. REQUIRES: a prepared sandbox, once per process."""
    global _lab
    _lab = Lab(binary)
    sandbox.add_host(SERVER_NAME, _lab.server.address)
    _lab.server.start()
    return _lab


class IntegrationTest(unittest.TestCase):
    """Base of all suites. What a test makes with these helpers is undone and checked after it."""

    maxDiff = None

    def setUp(self):
        self.uidnfs = lab().uidnfs
        self.server = lab().server

    def mount(self, export="a", uid=UID, gid=GID, gids=(), options=""):
        """A mount through a watched proxy of its own, undone after the test."""
        return make_mount(self.addCleanup, export, uid, gid, gids, options)

    def actor(self, uid, gid=None, groups=()):
        """A process of this identity, ended after the test."""
        made = actor.Actor(uid, gid, groups)
        self.addCleanup(made.stop)
        return made

    def crew(self, uid, size):
        made = actor.Crew(uid, size)
        self.addCleanup(made.stop)
        return made

    def silent_server(self, ports):
        server = fake_servers.SilentServer(lab().new_address(), ports)
        self.addCleanup(server.stop)
        return server

    def garbage_server(self, ports, answer):
        server = fake_servers.GarbageServer(lab().new_address(), ports, answer)
        self.addCleanup(server.stop)
        return server

    @contextlib.contextmanager
    def assert_errno(self, number):
        """The block fails with this errno."""
        try:
            yield
        except OSError as error:
            name = os.strerror(error.errno)
            self.assertEqual(number, error.errno, f"failed with {error.errno} ({name})")
        else:
            self.fail(f"succeeded, expected errno {number} ({os.strerror(number)})")

    def assert_owner(self, stat, uid, gid):
        self.assertEqual((uid, gid), (stat.st_uid, stat.st_gid))


class MountedTest(IntegrationTest):
    """For suites whose tests share one mount of export "a"; each test has a directory of its own.

    `self.m` is the mount, `self.app`, `self.other` and `self.root` are processes of the application
    user, of another user and of root.
    """

    options = ""

    @classmethod
    def setUpClass(cls):
        cls.m = make_mount(cls.addClassCleanup, "a", UID, GID, (), cls.options)
        cls.app = actor.Actor(APP_UID)
        cls.other = actor.Actor(OTHER_UID)
        cls.root = actor.Actor(0)
        for made in (cls.app, cls.other, cls.root):
            cls.addClassCleanup(made.stop)

    def setUp(self):
        super().setUp()
        self.name = self.id().rsplit(".", 1)[-1]
        self.app.mkdir(self.m / self.name)

    def path(self, name=""):
        """Below this test's directory, on the mount."""
        return os.path.join(self.m / self.name, name)

    def on_server(self, name=""):
        """The same file where the server keeps it."""
        return os.path.join(self.m.on_server(self.name), name)


def make_mount(add_cleanup, export, uid, gid, gids=(), options=""):
    """A watched mount; `add_cleanup` is addCleanup or addClassCleanup of the test that owns it."""
    watch = wire_watch.WireWatch(uid, gid, gids)
    host = lab().proxy(watch.observe)
    add_cleanup(host.stop)
    add_cleanup(watch.check)
    words = [f"uid={uid}", f"gid={gid}"]
    if gids:
        words.append("gids=" + ":".join(map(str, gids)))
    if options:
        words.append(options)
    exported = lab().export(export)
    mount = uidnfs_command.Mount(
        lab().uidnfs, f"{host.address}:{exported.share}", lab().new_mountpoint(),
        ",".join(words), exported.path, host, watch)
    add_cleanup(_undo, mount)
    return mount.mount()


def make_caller_mount(add_cleanup, export, options="", own=(65534, 65534)):
    """A mount with identity=caller; `own` is the identity of its own calls."""
    watch = wire_watch.CallersWatch()
    watch.allow(*own)
    host = lab().proxy(watch.observe)
    add_cleanup(host.stop)
    add_cleanup(watch.check)
    exported = lab().export(export)
    words = ",".join(filter(None, ("identity=caller", options)))
    mount = uidnfs_command.Mount(
        lab().uidnfs, f"{host.address}:{exported.share}", lab().new_mountpoint(), words,
        exported.path, host, watch)
    add_cleanup(_undo, mount)
    return mount.mount()


def _undo(mount):
    """Unmounts if the test did not; a mount that cannot be undone is a failure of the test."""
    if not mount.is_mounted():
        return
    mount.host.remove_rules()
    mount.host.pass_on()
    try:
        done = mount.umount()
        trouble = "" if done.returncode == 0 else f"umount: {done.stderr.strip()}"
    except subprocess.TimeoutExpired:
        trouble = "umount does not return"
    if mount.is_mounted() or trouble:
        clear_away(mount.uidnfs)
        raise AssertionError(f"{mount.path} cannot be unmounted: {trouble or 'still mounted'}")


def clear_away(uidnfs):
    """Last resort between tests: end the processes of the binary here and detach its mounts."""
    for pid in uidnfs.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for entry in reversed(uidnfs.mounts()):
        subprocess.run(["umount", "-l", entry.mountpoint], check=False, capture_output=True)
    shutil.rmtree("/run/uidnfs/mounts", ignore_errors=True)
