# SPDX-License-Identifier: Apache-2.0
"""A server that dies, stops, restarts or vanishes in the middle of every operation.

"In the middle" is exact: the proxy catches the one call that the operation stands for, either
before the server gets it or after the server has executed it, and only then the harm is done. A
hard mount's program must notice nothing but a pause: the same result, no false EEXIST or ENOENT,
and the server has what an undisturbed run would have left.
"""

import dataclasses
import errno
import os
import pathlib
import random
import signal
import socket
import stat
import struct
import time

import rpc_proxy
import rpc_wire
import suite
import uidnfs_command

DATA = random.Random(4).randbytes(3 << 20)
SMALL = b"content"


@dataclasses.dataclass(frozen=True)
class Operation:
    """What the application does in its own directory `d`, and what must come of it.

    `prepare` and `perform` are snippets for the actor, `check` looks at the server's directory.
    """

    procedure: str
    perform: str
    result: object = None
    prepare: str = ""
    check: object = lambda _, there: None


def _file(name, content):
    def check(test, there):
        test.assertEqual(content, (there / name).read_bytes())
    return check


def _names(*names):
    def check(test, there):
        test.assertEqual(sorted(names), sorted(os.listdir(there)))
    return check


def _both(*checks):
    def check(test, there):
        for each in checks:
            each(test, there)
    return check


def _mode(name, mode):
    def check(test, there):
        test.assertEqual(mode, os.lstat(there / name).st_mode)
    return check


_OPEN = "state['fd'] = os.open(d + '/f', os.O_CREAT | os.O_RDWR); os.pwrite(state['fd'], data, 0);"
_MADE = "write_file(d + '/f', small);"
_CLOSE = "; os.close(state.pop('fd'))"

OPERATIONS = {
    "lookup": Operation("LOOKUP", "result = os.stat(d + '/seed').st_size", 4),
    "lookup_absent": Operation("LOOKUP", "result = os.path.exists(d + '/absent')", False),
    "getattr": Operation("GETATTR", "result = os.fstat(state['fd']).st_size" + _CLOSE, 7,
                         _MADE + "state['fd'] = os.open(d + '/f', os.O_RDONLY); time.sleep(0.05)"),
    "access": Operation("ACCESS", "result = os.access(d + '/f', os.R_OK)", True, _MADE),
    "setattr": Operation("SETATTR", "os.chmod(d + '/f', 0o604)", None, _MADE,
                         _mode("f", stat.S_IFREG | 0o604)),
    "truncate": Operation("SETATTR", "os.truncate(d + '/f', 3)", None, _MADE, _file("f", b"con")),
    "create": Operation("CREATE", "write_file(d + '/f', small)", None, "", _file("f", SMALL)),
    "create_exclusive": Operation(
        "CREATE", "fd = os.open(d + '/f', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640);"
        "os.write(fd, small); os.close(fd)", None, "",
        _both(_file("f", SMALL), _mode("f", stat.S_IFREG | 0o640))),
    "mkdir": Operation("MKDIR", "os.mkdir(d + '/new', 0o750)", None, "",
                       _mode("new", stat.S_IFDIR | 0o750)),
    "symlink": Operation("SYMLINK", "os.symlink('seed', d + '/s')", None, "",
                         lambda test, there: test.assertEqual("seed", os.readlink(there / "s"))),
    "readlink": Operation("READLINK", "result = os.readlink(d + '/s')", "seed",
                          "os.symlink('seed', d + '/s')"),
    "mknod": Operation("MKNOD", "os.mkfifo(d + '/p', 0o600)", None, "",
                       _mode("p", stat.S_IFIFO | 0o600)),
    "link": Operation("LINK", "os.link(d + '/f', d + '/g'); result = os.stat(d + '/f').st_nlink",
                      2, _MADE, _both(_names("f", "g", "seed"), _file("g", SMALL))),
    "rename": Operation("RENAME", "os.rename(d + '/f', d + '/g')", None, _MADE,
                        _both(_names("g", "seed"), _file("g", SMALL))),
    "rename_over": Operation("RENAME", "os.rename(d + '/f', d + '/seed')", None, _MADE,
                             _both(_names("seed"), _file("seed", SMALL))),
    "unlink": Operation("REMOVE", "os.unlink(d + '/f')", None, _MADE, _names("seed")),
    "rmdir": Operation("RMDIR", "os.rmdir(d + '/e')", None, "os.mkdir(d + '/e')", _names("seed")),
    "read": Operation("READ", "result = read_file(d + '/seed')", b"seed"),
    "write": Operation("WRITE", "os.pwrite(state['fd'], small, 9); os.fsync(state['fd'])" + _CLOSE,
                       None, _OPEN + "os.fsync(state['fd'])",
                       _file("f", DATA[:9] + SMALL + DATA[9 + len(SMALL):])),
    "fsync": Operation("COMMIT", "os.fsync(state['fd'])" + _CLOSE, None, _OPEN, _file("f", DATA)),
    "close": Operation("COMMIT", "os.close(state.pop('fd'))", None, _OPEN, _file("f", DATA)),
    "readdir": Operation("READDIRPLUS", "result = sorted(os.listdir(d))", ["f", "seed"], _MADE),
    "statfs": Operation("FSSTAT", "result = os.statvfs(d).f_namemax", 255),
}

BEFORE = rpc_proxy.DropCall()
AFTER = rpc_proxy.DropReply()


class EachOperation(suite.MountedTest):
    """One kind of harm to a test; every operation, before and after its execution, within it."""

    options = "timeo=4,actimeo=0"

    def setUp(self):
        super().setUp()
        self.host = self.m.host
        self.addCleanup(self.host.remove_rules)
        self.addCleanup(self.host.pass_on)

    def in_the_middle_of_each(self, harm):
        """`harm()` is done while the caught call waits, and ends with the server alive."""
        for name, operation in OPERATIONS.items():
            for moment, action in (("before", BEFORE), ("after", AFTER)):
                with self.subTest(name, moment=moment):
                    self.harm_one(operation, f"{name}-{moment}", action, harm)

    def harm_one(self, operation, name, action, harm):
        there = pathlib.Path(self.on_server(name))
        given = {"d": self.path(name), "data": DATA, "small": SMALL}
        self.app.mkdir(self.path(name))
        self.app.write_file(self.path(name + "/seed"), b"seed")
        if operation.prepare:
            self.app.run(operation.prepare, **given)
        rule = self.host.rule(rpc_proxy.named("NFS3 " + operation.procedure), action, times=1)
        self.app.start_run(operation.perform, **given)
        try:
            rule.wait_for_hits()
            if action is AFTER:
                rule.wait_for_answers()
            harm()
        finally:
            rule.remove()
            self.host.pass_on()
            result = self.app.finish(30)
        self.assertEqual(operation.result, result)
        operation.check(self, there)

    def test_connection_reset(self):
        self.in_the_middle_of_each(self.host.reset_all)

    def test_server_killed_and_restarted(self):
        """kill -9: its duplicate request cache and what it had not committed are gone."""
        self.in_the_middle_of_each(self.server.restart)

    def test_server_stopped(self):
        """SIGSTOP, SIGCONT: connections live on, calls reach a server that does not run."""
        def harm():
            self.server.freeze()
            time.sleep(0.5)
            self.server.thaw()
        self.addCleanup(self.server.thaw)
        self.in_the_middle_of_each(harm)

    def test_black_hole(self):
        """No byte passes in either direction, and nothing is closed."""
        def harm():
            self.host.black_hole()
            time.sleep(0.5)
            self.host.pass_on()
        self.in_the_middle_of_each(harm)


class LogTest(suite.IntegrationTest):
    """With a mount whose log can be read."""

    def mount_with_log(self, options):
        self.log_file = pathlib.Path(f"/run/uidnfs-outages-{os.getpid()}-{time.monotonic_ns()}")
        self.addCleanup(self.log_file.unlink, missing_ok=True)
        return self.mount(options=f"{options},log_file={self.log_file}")

    def log_count(self, text):
        return self.log_file.read_text(encoding="utf-8").count(text)


class Patience(LogTest):
    """hard, soft and softerr by timeo= and retrans=, as nfs(5) has them."""

    def test_hard_says_once_that_the_server_is_gone_and_once_that_it_is_back(self):
        mount = self.mount_with_log("hard,timeo=2,retrans=1,nconnect=2,actimeo=0")
        crew = self.crew(2000, 4)
        server = f"server {mount.host.address} "
        for outage in (1, 2):
            mount.host.black_hole()
            for number, actor in enumerate(crew.actors):
                actor.start("mkdir", mount / f"outage-{outage}-{number}")
            uidnfs_command.wait_until(
                lambda: self.log_count(server + "not responding, still trying") == outage, 10,
                "the line about a silent server")
            time.sleep(0.5)
            mount.host.pass_on()
            for actor in crew.actors:
                actor.finish(30)
            uidnfs_command.wait_until(lambda: self.log_count(server + "OK") == outage, 10,
                                      "the line about its return")
            self.assertEqual(outage, self.log_count(server + "not responding, still trying"))

    def test_soft_ends_with_eio_and_softerr_with_etimedout(self):
        for option, number in (("soft", errno.EIO), ("softerr", errno.ETIMEDOUT)):
            with self.subTest(option):
                mount = self.mount_with_log(f"{option},timeo=3,retrans=1,actimeo=0")
                app = self.actor(2000)
                app.write_file(mount / f"patience-{option}", SMALL)
                mount.host.black_hole()
                began = time.monotonic()
                with self.assert_errno(number):
                    app.read_file(mount / f"patience-{option}")
                took = time.monotonic() - began
                self.assertGreaterEqual(took, 0.6, "timeo, and once more for retrans")
                self.assertLess(took, 10)
                mount.host.pass_on()
                self.assertEqual(SMALL, app.read_file(mount / f"patience-{option}"))
                self.assertEqual(1, self.log_count("not responding, timed out"))
                self.assertEqual(0, self.log_count("still trying"))
                self.assertEqual(0, mount.umount().returncode)

    def test_jukebox_is_waited_out_with_a_new_xid_and_can_be_killed(self):
        mount = self.mount(options="actimeo=0")
        app, victim = self.actor(2000), self.actor(2000)
        app.write_file(mount / "offline", SMALL)
        rule = mount.host.rule(rpc_proxy.named("NFS3 LOOKUP"), rpc_proxy.ReplaceReply(_jukebox))
        mount.host.clear()
        victim.start("stat", mount / "offline")
        rule.wait_for_hits(2)
        victim.kill(signal.SIGKILL)
        began = time.monotonic()
        uidnfs_command.wait_until(lambda: not _is_running(victim.pid), 2, "the end of a killed "
                                  "process whose call the server puts off")
        self.assertLess(time.monotonic() - began, 2)
        rule.remove()
        self.assertEqual(SMALL, app.read_file(mount / "offline"))
        xids = [seen.call.xid for seen in mount.host.calls("NFS3 LOOKUP")]
        self.assertEqual(len(xids), len(set(xids)))


def _jukebox(record):
    """The reply `record` with NFS3ERR_JUKEBOX and no attributes instead of its results."""
    xid = record[:4]
    return xid + struct.pack(">5I", 1, 0, 0, 0, 0) + struct.pack(">II", 10008, 0)


def _is_running(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


class SourcePorts(LogTest):
    """The server knows a client by its port: it is kept, and reserved while there are any."""

    def test_the_port_is_kept_over_every_loss(self):
        mount = self.mount(options="timeo=3,retrans=1")
        app = self.actor(2000)
        ports = set()
        for number, harm in enumerate((mount.host.reset_all, self.server.restart,
                                       self.black_hole_for_a_while(mount))):
            app.start("mkdir", mount / f"port-{number}")
            harm()
            app.finish(30)
        ports = {seen.client_port for seen in mount.host.calls("NFS3 MKDIR", "NFS3 LOOKUP")}
        self.assertEqual(1, len(ports), ports)
        self.assertIn(ports.pop(), range(512, 1024))

    def black_hole_for_a_while(self, mount):
        def harm():
            mount.host.black_hole()
            time.sleep(1.5)
            mount.host.pass_on()
        return harm

    def test_without_reserved_ports_the_mount_works_and_says_so(self):
        taken = []
        for port in range(512, 1024):
            one = socket.socket()
            taken.append(one)
            try:
                one.bind(("0.0.0.0", port))
            except OSError as error:
                self.assertEqual(errno.EADDRINUSE, error.errno)
        try:
            mount = self.mount_with_log("")
        finally:
            for one in taken:
                one.close()
        app = self.actor(2000)
        app.write_file(mount / "unreserved", SMALL)
        self.assertGreater(mount.host.calls("NFS3 WRITE")[0].client_port, 1023)
        self.assertEqual(0, mount.umount().returncode)
        self.assertEqual(1, self.log_count("all ports from 512 to 1023 are taken; going on from"))


class Addresses(suite.IntegrationTest):
    """A name with several addresses: whichever of them works is used."""

    def mount_by(self, name, *addresses, options=""):
        """The time it took; the mount is undone again."""
        for address in addresses:
            suite.sandbox.add_host(name, address)
        exported = suite.lab().export("a")
        mount = uidnfs_command.Mount(
            self.uidnfs, f"{name}:{exported.share}", suite.lab().new_mountpoint(),
            f"uid={suite.UID},gid={suite.GID}{options}", exported.path)
        began = time.monotonic()
        mount.mount()
        took = time.monotonic() - began
        try:
            self.actor(2000).write_file(mount / f"by-{name}", SMALL)
            self.address = mount.status()["server_address"]
        finally:
            self.assertEqual(0, mount.umount().returncode)
        self.assertEqual(SMALL, (exported.path / f"by-{name}").read_bytes())
        return took

    def test_a_dead_address_before_a_live_one(self):
        self.mount_by("refuses", suite.lab().new_address(), self.server.address)
        self.assertIn(self.server.address, self.address)

    def test_an_address_that_swallows_everything_before_a_live_one(self):
        """Nobody has 192.0.2.99: what goes there is never answered."""
        took = self.mount_by("hole", "192.0.2.99", self.server.address)
        self.assertLess(took, 3)
        self.assertIn(self.server.address, self.address)

    def test_an_address_that_takes_connections_and_says_nothing(self):
        """It wins the race for a connection; what is left of the time goes to the other one."""
        silent = self.silent_server((111, 2049, 20048))
        took = self.mount_by("mute", silent.address, self.server.address, options=",timeo=20")
        self.assertLess(took, 20)
        self.assertIn(self.server.address, self.address)

    def test_version_6_of_the_internet_protocol(self):
        """Portmapper (rpcbind version 3), MOUNT and NFS by an IPv6 address."""
        self.mount_by(f"[{suite.sandbox.SERVER_ADDRESS_6}]")
        self.assertIn(suite.sandbox.SERVER_ADDRESS_6, self.address)

    def test_a_dead_version_6_address_before_a_live_version_4_one(self):
        self.mount_by("dual", "2001:db8::99", self.server.address)
        self.assertIn(self.server.address, self.address)

    def test_a_mount_stays_with_its_address(self):
        """Its name leads elsewhere after the mount; what is lost is made again to where it was."""
        host = suite.lab().proxy()
        self.addCleanup(host.stop)
        suite.sandbox.add_host("moving", host.address)
        exported = suite.lab().export("a")
        mount = uidnfs_command.Mount(
            self.uidnfs, f"moving:{exported.share}", suite.lab().new_mountpoint(),
            f"uid={suite.UID},gid={suite.GID}", exported.path, host).mount()
        hosts = pathlib.Path("/etc/hosts")
        hosts.write_text(hosts.read_text(encoding="ascii").replace(
            f"{host.address} moving", f"{self.server.address} moving"), encoding="ascii")
        try:
            host.reset_all()
            host.clear()
            self.actor(2000).mkdir(mount / "stays")
            self.assertEqual(1, len(host.calls("NFS3 MKDIR")))
        finally:
            self.assertEqual(0, mount.umount().returncode)
