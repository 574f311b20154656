# SPDX-License-Identifier: Apache-2.0
"""The identity on the wire: two mounts with two identities on one export, supplementary groups,
and the watch over every program that a mount speaks to."""

import errno
import os
import stat

import rpc_wire
import suite


class TwoIdentities(suite.IntegrationTest):
    """The same application user behind two mounts is two different people to the server."""

    def setUp(self):
        super().setUp()
        self.first = self.mount("shared", uid=1001, gid=1001)
        self.second = self.mount("shared", uid=1002, gid=1002)
        self.app = self.actor(2000)

    def test_neither_reads_the_others_private_file(self):
        for mine, theirs, name in ((self.first, self.second, "of-1001"),
                                   (self.second, self.first, "of-1002")):
            self.app.write_file(mine / name, b"private")
            self.app.chmod(mine / name, 0o600)
            self.assertEqual(b"private", self.app.read_file(mine / name))
            with self.assert_errno(errno.EACCES):
                self.app.read_file(theirs / name)
            with self.assert_errno(errno.EACCES):
                self.app.append_file(theirs / name, b"x")

    def test_server_sees_who_made_what_and_the_app_sees_itself(self):
        self.app.write_file(self.first / "one", b"")
        self.app.write_file(self.second / "two", b"")
        self.assert_owner(os.stat(self.first.on_server("one")), 1001, 1001)
        self.assert_owner(os.stat(self.first.on_server("two")), 1002, 1002)
        for mount in (self.first, self.second):
            for name in ("one", "two"):
                self.assert_owner(self.app.stat(mount / name), 2000, 2000)

    def test_alternating_use_mixes_nothing(self):
        """One process, both mounts open, reading and writing by turns."""
        self.app.run("""
files = [os.open(path, os.O_CREAT | os.O_RDWR, 0o600) for path in paths]
for i in range(200):
    for fd in files:
        os.pwrite(fd, b"%d" % i, i * 4096)
for fd in files:
    os.fsync(fd)
    os.close(fd)
""", paths=[self.first / "mixed-1", self.second / "mixed-2"])
        self.assert_owner(os.stat(self.first.on_server("mixed-1")), 1001, 1001)
        self.assert_owner(os.stat(self.first.on_server("mixed-2")), 1002, 1002)
        self.first.watch.check()
        self.second.watch.check()


class Groups(suite.IntegrationTest):
    """Supplementary groups reach the server, all sixteen of them."""

    def setUp(self):
        super().setUp()
        self.room = suite.lab().export("shared").path / "group-5015"
        if not self.room.exists():
            self.room.mkdir()
            os.chown(self.room, 0, 5015)
            self.room.chmod(0o2770)

    def test_member_may_enter(self):
        gids = tuple(range(5000, 5016))
        mount = self.mount("shared", gids=gids)
        app = self.actor(2000)
        app.write_file(mount / "group-5015/f", b"")
        self.assert_owner(os.stat(self.room / "f"), 1001, 5015)
        self.assert_owner(app.stat(mount / "group-5015/f"), 2000, 2000)

    def test_others_may_not(self):
        mount = self.mount("shared", gids=(5000, 5001))
        with self.assert_errno(errno.EACCES):
            self.actor(2000).listdir(mount / "group-5015")

    def test_primary_group_owns_new_files(self):
        mount = self.mount("shared", uid=1001, gid=4321)
        self.actor(2000).write_file(mount / "with-4321", b"")
        self.assert_owner(os.stat(mount.on_server("with-4321")), 1001, 4321)


class Watch(suite.IntegrationTest):
    """Law 1: no call of the mount carries anything but the mount's identity."""

    def test_every_operation_of_every_program(self):
        mount = self.mount("shared", uid=1003, gid=1004, gids=(1005, 1006))
        everything_once(self.actor(2000), mount / "all")
        everything_once(self.actor(0), mount / "all-by-root")
        with self.assert_errno(errno.EACCES):
            self.actor(3000).listdir(str(mount.path))
        self.assertEqual(0, mount.umount().returncode)
        seen = {call.name for call in mount.host.calls()}
        wanted = {f"NFS3 {name}" for name in
                  "GETATTR SETATTR LOOKUP ACCESS READLINK READ WRITE CREATE MKDIR SYMLINK MKNOD "
                  "REMOVE RMDIR RENAME LINK READDIRPLUS FSSTAT FSINFO COMMIT".split()}
        wanted |= {"PORTMAP3 GETADDR", "MOUNT3 MNT"}
        self.assertEqual(set(), wanted - seen)
        self.assertEqual(rpc_wire.auth_sys(1003, 1004, (1005, 1006)), mount.watch.expected)
        mount.watch.check()

    def test_several_connections(self):
        mount = self.mount("shared", options="nconnect=4")
        everything_once(self.actor(2000), mount / "four")
        connections = {call.connection for call in mount.host.calls()
                       if call.call.program == rpc_wire.NFS}
        self.assertEqual(4, len(connections))

    def test_ports_given_means_no_portmapper(self):
        mount = self.mount("shared", options="port=2049,mountport=20048")
        self.actor(2000).write_file(mount / "f", b"")
        self.assertEqual(0, mount.watch.count(rpc_wire.PORTMAP))
        self.assertGreater(mount.watch.count(rpc_wire.MOUNT), 0)

    def test_source_port_is_reserved_unless_told_otherwise(self):
        mount = self.mount("shared")
        ports = {call.client_port for call in mount.host.calls()
                 if call.call.program != rpc_wire.PORTMAP}
        self.assertTrue(all(512 <= port < 1024 for port in ports), ports)
        open_port = self.mount("shared", options="noresvport")
        ports = {call.client_port for call in open_port.host.calls()}
        self.assertTrue(all(port >= 1024 for port in ports), ports)


def everything_once(actor, directory):
    """One of every operation that the NFSv3 client knows, as this process."""
    actor.run("""
os.mkdir(directory)
at = lambda name: os.path.join(directory, name)
fd = os.open(at("f"), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
os.pwrite(fd, bytes(3 << 20), 0)
os.fsync(fd)
os.ftruncate(fd, 1 << 20)
os.close(fd)
os.chmod(at("f"), 0o640)
os.utime(at("f"), ns=(1, 2))
os.access(at("f"), os.W_OK)
fd = os.open(at("f"), os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
assert len(os.pread(fd, 1 << 20, 0)) == 1 << 20
os.close(fd)
os.symlink("f", at("s"))
os.readlink(at("s"))
os.link(at("f"), at("g"))
os.mknod(at("fifo"), 0o010600)
os.rename(at("g"), at("h"))
os.mkdir(at("d"))
[entry.stat() for entry in os.scandir(directory)]
os.statvfs(directory)
os.rmdir(at("d"))
os.unlink(at("h"))
fd = os.open(at("f"), os.O_RDWR)
os.unlink(at("f"))
os.pwrite(fd, b"silly", 0)
os.close(fd)
""", directory=directory)


class Modes(suite.IntegrationTest):
    """Bits that the server keeps to itself."""

    def test_sticky_directory_of_the_server_protects_between_identities(self):
        room = suite.lab().export("shared").path / "sticky"
        room.mkdir(exist_ok=True)
        room.chmod(stat.S_ISVTX | 0o777)
        first, second = self.mount("shared", uid=1001), self.mount("shared", uid=1002, gid=1002)
        app = self.actor(2000)
        app.write_file(first / "sticky/f", b"")
        with self.assertRaises(PermissionError):
            app.unlink(second / "sticky/f")
        app.unlink(first / "sticky/f")
