# SPDX-License-Identifier: Apache-2.0
"""A server that dies, stops, restarts or vanishes in the middle of every operation
(tests/support/each_operation.py), and what mounts say and do about one that is gone."""

import errno
import os
import pathlib
import signal
import socket
import struct
import time

import each_operation
import ganesha
import rpc_proxy
import suite
import uidnfs_command


SMALL = each_operation.SMALL


class EachOperation(each_operation.EachOperation):
    """One kind of harm to a test; every operation, before and after its execution, within it."""

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


class SameName(suite.IntegrationTest):
    """Clients that make the same name, as programs do that use it as a lock. Each call is lost with
    its connection and sent again, so each but one finds what another has made."""

    CLIENTS = 3

    def winners(self, procedure, perform):
        mounts = [self.mount() for _ in range(self.CLIENTS)]
        crew = self.crew(2000, self.CLIENTS)
        rules = [mount.host.rule(rpc_proxy.named(f"NFS3 {procedure}"), rpc_proxy.DropCall(), 1)
                 for mount in mounts]
        for number, (mount, actor) in enumerate(zip(mounts, crew.actors)):
            actor.start_run(perform, p=str(mount / f"same-{procedure}"), n=number)
        for rule in rules:
            rule.wait_for_hits()
        for mount in mounts:
            mount.host.reset_all()
        won = 0
        for actor in crew.actors:
            try:
                actor.finish(60)
                won += 1
            except FileExistsError:
                pass
        return won

    def test_one_has_made_it(self):
        for procedure, perform in (
                ("MKDIR", "os.mkdir(p)"), ("MKNOD", "os.mkfifo(p)"), ("CREATE", "os.mknod(p)"),
                ("CREATE", "os.close(os.open(p + 'x', os.O_CREAT | os.O_EXCL | os.O_WRONLY))"),
                ("SYMLINK", "os.symlink(f'host:{n}', p)")):
            with self.subTest(perform):
                self.assertEqual(1, self.winners(procedure, perform))


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

    @staticmethod
    def reads(app, path):
        try:
            return app.read_file(path) == SMALL
        except OSError:
            return False

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
                # The next connection may be tried later than a call has patience.
                uidnfs_command.wait_until(
                    lambda app=app, path=mount / f"patience-{option}": self.reads(app, path), 10,
                    "the content")
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

    def test_ports_that_other_mounts_of_the_server_have(self):
        """They can be bound; only connect(2) says that the server knows somebody else by them."""
        log = suite.lab().new_mountpoint() / "log"
        for port in range(512, 1024):
            one = socket.socket()
            self.addCleanup(one.close)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.bind(("0.0.0.0", port))
            one.connect((self.server.address, ganesha.NFS_PORT))
        exported = suite.lab().export("a")
        mount = uidnfs_command.Mount(
            self.uidnfs, f"{suite.SERVER_NAME}:{exported.share}", suite.lab().new_mountpoint(),
            f"uid={suite.UID},gid={suite.GID},log_file={log}", exported.path)
        mount.mount()
        self.addCleanup(mount.umount)
        self.actor(2000).write_file(mount / "among-many", SMALL)
        self.assertGreater(min(mount.status()["local_ports"]), 1023)
        self.assertEqual(0, mount.umount().returncode)
        said = f"no reserved source port towards {self.server.address}:{ganesha.NFS_PORT}: all ports"
        self.assertEqual(1, log.read_text(encoding="utf-8").count(said))


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

    def test_an_address_where_something_else_answers(self):
        other = self.garbage_server((111, 2049, 20048), b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.mount_by("elsewhere", other.address, self.server.address)
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
