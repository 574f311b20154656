# SPDX-License-Identifier: Apache-2.0
"""identity=caller: each call carries the ids of the process behind it, an open file's those of its
opener, and files show their owners."""

import contextlib
import errno
import os
import shutil
import stat
import subprocess

import actor
import rpc_wire
import sandbox
import suite

ANNA = 3001
BERT = 3002
ANNAS_GROUPS = (5001, 5002)


class CallerTest(suite.IntegrationTest):
    """One mount of export "shared"; anna, bert and root; a directory open to all for each test."""

    options = ""

    @classmethod
    def setUpClass(cls):
        cls.m = suite.make_caller_mount(cls.addClassCleanup, "shared", cls.options)
        cls.anna = actor.Actor(ANNA, groups=ANNAS_GROUPS)
        cls.bert = actor.Actor(BERT)
        cls.root = actor.Actor(0)
        for made in (cls.anna, cls.bert, cls.root):
            cls.addClassCleanup(made.stop)
        cls.m.watch.allow(ANNA, ANNA, ANNAS_GROUPS)
        cls.m.watch.allow(BERT, BERT)

    def setUp(self):
        super().setUp()
        self.name = f"{type(self).__name__}-{self.id().rsplit('.', 1)[-1]}"
        os.mkdir(self.on_server())
        os.chmod(self.on_server(), 0o777)
        self.m.host.clear()

    def path(self, name=""):
        return os.path.join(self.m / self.name, name)

    def on_server(self, name=""):
        return os.path.join(self.m.on_server(self.name), name)

    def senders(self, *names):
        """Uids of the calls of these names that have passed."""
        return {seen.call.credential.uid for seen in self.m.host.calls(*names)}


class Owners(CallerTest):
    def test_files_belong_to_their_makers_on_both_sides(self):
        for who in (self.anna, self.bert):
            made = self.path(f"of-{who.uid}")
            who.write_file(made, b"mine")
            self.assert_owner(os.stat(self.on_server(f"of-{who.uid}")), who.uid, who.uid)
            for viewer in (self.anna, self.bert):
                self.assert_owner(viewer.stat(made), who.uid, who.uid)

    def test_every_call_of_a_process_carries_its_groups(self):
        self.anna.run("""
os.mkdir(directory + "d")
with open(directory + "d/f", "wb") as file:
    file.write(b"x")
os.listdir(directory)
os.rename(directory + "d/f", directory + "d/g")
os.chmod(directory + "d/g", 0o600)
os.stat(directory + "d/g")
os.unlink(directory + "d/g")
os.rmdir(directory + "d")
""", directory=self.path())
        expected = rpc_wire.auth_sys(ANNA, ANNA, ANNAS_GROUPS)
        for seen in self.m.host.calls():
            self.assertEqual(expected, seen.call.credential, seen.name)
        self.assertLessEqual(
            {f"NFS3 {name}" for name in "MKDIR CREATE WRITE READDIRPLUS RENAME SETATTR REMOVE RMDIR"
             .split()}, {seen.name for seen in self.m.host.calls()})

    def test_threads_with_ids_of_their_own(self):
        """Raw system calls change one thread alone; TID and PID differ."""
        self.m.watch.allow(ANNA, ANNA, (5001,))
        self.m.watch.allow(BERT, BERT, (5002,))
        self.root.run("""
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
SETGROUPS, SETRESUID, SETRESGID = 116, 117, 119
def work(uid, group, barrier):
    groups = (ctypes.c_uint32 * 1)(group)
    for call in ((SETGROUPS, 1, groups), (SETRESGID, uid, uid, uid), (SETRESUID, uid, uid, uid)):
        assert libc.syscall(*call) == 0
    barrier.wait()
    for i in range(20):
        os.close(os.open(f"{directory}{uid}-{i}", os.O_CREAT | os.O_WRONLY, 0o644))
barrier = threading.Barrier(2)
threads = [threading.Thread(target=work, args=(uid, group, barrier))
           for uid, group in ((3001, 5001), (3002, 5002))]
for thread in threads: thread.start()
for thread in threads: thread.join()
""", directory=self.path())
        for uid in (ANNA, BERT):
            for i in range(20):
                self.assert_owner(os.stat(self.on_server(f"{uid}-{i}")), uid, uid)

    def test_a_process_that_changes_its_groups(self):
        maker = self.actor(0)
        for groups in ((5001,), (5001, 5002), ()):
            self.m.watch.allow(BERT, BERT, groups)
            self.m.host.clear()
            maker.run("""
os.seteuid(0)
os.setgroups(groups)
os.setegid(3002)
os.seteuid(3002)
os.mkdir(path)
""", groups=list(groups), path=self.path("-".join(map(str, groups)) or "none"))
            self.assertEqual([rpc_wire.auth_sys(BERT, BERT, groups)],
                             [seen.call.credential for seen in self.m.host.calls("NFS3 MKDIR")])

    def test_of_many_groups_the_first_sixteen_travel(self):
        groups = tuple(range(6000, 6020))
        self.m.watch.allow(BERT, BERT, groups[:16])
        many = self.actor(BERT, groups=groups)
        many.mkdir(self.path("d"))
        self.assertEqual(groups[:16], self.m.host.calls("NFS3 MKDIR")[0].call.credential.gids)

    def test_mounts_own_calls(self):
        self.assertEqual({"caller"}, {self.m.status()["identity_source"]})
        self.assertEqual("caller", self.m.status()["options"]["identity"])
        self.assertEqual("visible", self.m.status()["callers"])
        declared = suite.make_caller_mount(
            self.addCleanup, "shared", "uid=1001,gid=1002", own=(1001, 1002))
        for mount, uid in ((suite.make_caller_mount(self.addCleanup, "shared"), 65534),
                           (declared, 1001)):
            self.assertEqual({uid}, {seen.call.credential.uid for seen in mount.host.calls()})

    def test_share_that_its_own_identity_may_not_read(self):
        """Nobody may enter export "private", but its owner (root) may."""
        mount = suite.make_caller_mount(self.addCleanup, "private", "allow_root_identity")
        mount.watch.allow(0, 0)
        mount.watch.allow(ANNA, ANNA, ANNAS_GROUPS)
        self.root.write_file(mount / "f", b"")
        with self.assert_errno(errno.EACCES):
            self.anna.stat(mount / "f")


class Rights(CallerTest):
    def test_private_directory_stays_private_when_it_is_cached(self):
        self.anna.mkdir(self.path("d"), 0o700)
        self.anna.write_file(self.path("d/f"), b"secret")
        self.anna.chmod(self.path("d/f"), 0o666)
        self.assertEqual(b"secret", self.anna.read_file(self.path("d/f")))
        for attempt in (lambda: self.bert.stat(self.path("d/f")),
                        lambda: self.bert.read_file(self.path("d/f")),
                        lambda: self.bert.listdir(self.path("d")),
                        lambda: self.bert.write_file(self.path("d/g"), b"")):
            with self.assert_errno(errno.EACCES):
                attempt()

    def test_private_file_stays_private_when_its_pages_are_cached(self):
        self.anna.write_file(self.path("f"), b"secret")
        self.anna.chmod(self.path("f"), 0o600)
        self.assertEqual(b"secret", self.anna.read_file(self.path("f")))
        for flags in (os.O_RDONLY, os.O_WRONLY):
            with self.assert_errno(errno.EACCES):
                self.bert.open(self.path("f"), flags)
        self.assertFalse(self.bert.access(self.path("f"), os.R_OK))
        self.assertTrue(self.anna.access(self.path("f"), os.R_OK))

    def test_sticky_directory(self):
        os.chmod(self.on_server(), 0o1777)
        self.anna.write_file(self.path("f"), b"")
        for attempt in (lambda: self.bert.unlink(self.path("f")),
                        lambda: self.bert.rename(self.path("f"), self.path("g"))):
            with self.assertRaises(PermissionError):
                attempt()
        self.anna.unlink(self.path("f"))

    def test_group_directory_with_setgid(self):
        os.mkdir(self.on_server("d"))
        os.chown(self.on_server("d"), 0, 5002)
        os.chmod(self.on_server("d"), 0o2770)
        self.anna.write_file(self.path("d/f"), b"")
        self.anna.mkdir(self.path("d/e"))
        self.assert_owner(os.stat(self.on_server("d/f")), ANNA, 5002)
        self.assert_owner(self.anna.stat(self.path("d/e")), ANNA, 5002)
        self.assertTrue(self.anna.stat(self.path("d/e")).st_mode & stat.S_ISGID)
        with self.assert_errno(errno.EACCES):
            self.bert.write_file(self.path("d/g"), b"")

    def test_chmod_and_chown(self):
        self.anna.write_file(self.path("f"), b"")
        self.anna.chmod(self.path("f"), 0o640)
        self.anna.chown(self.path("f"), -1, 5001)
        self.assert_owner(os.stat(self.on_server("f")), ANNA, 5001)
        self.assert_owner(self.anna.stat(self.path("f")), ANNA, 5001)
        for attempt in (lambda: self.bert.chmod(self.path("f"), 0o777),
                        lambda: self.bert.chown(self.path("f"), BERT, -1),
                        lambda: self.anna.chown(self.path("f"), BERT, -1),
                        lambda: self.anna.chown(self.path("f"), -1, 4711),
                        lambda: self.bert.utime(self.path("f"), (1, 1))):
            with self.assert_errno(errno.EPERM):
                attempt()
        self.assertEqual(0o640, stat.S_IMODE(os.stat(self.on_server("f")).st_mode))

    def test_remover_of_an_open_file_owns_its_silly_name(self):
        self.anna.mkdir(self.path("d"))
        self.anna.write_file(self.path("d/f"), b"still here")
        self.bert.run("state['fd'] = os.open(path, os.O_RDONLY)", path=self.path("d/f"))
        self.anna.unlink(self.path("d/f"))
        self.assertEqual(1, len(os.listdir(self.on_server("d"))))
        self.assertEqual(b"still here", self.bert.run("result = os.read(state['fd'], 100)"))
        self.bert.run("os.close(state.pop('fd'))")
        self.wait_until_gone(self.on_server("d"))
        self.anna.rmdir(self.path("d"))

    def wait_until_gone(self, directory):
        suite.uidnfs_command.wait_until(lambda: not os.listdir(directory), 5, "the last REMOVE")


class Openers(CallerTest):
    """What goes through an open file goes in its opener's name, whoever does it."""

    def test_another_user_writes_into_an_inherited_file(self):
        self.m.watch.allow(ANNA, ANNA)
        self.actor(0).run("""
os.setgroups([])
os.setegid(3001); os.seteuid(3001)
fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
os.seteuid(0); os.setegid(3002); os.seteuid(3002)
os.write(fd, b"written by bert")
os.fsync(fd)
os.ftruncate(fd, 10)
os.pread(fd, 10, 0)
os.write(fd, b"more")
os.close(fd)
""", path=self.path("f"))
        self.assertEqual({ANNA}, self.senders("NFS3 WRITE", "NFS3 COMMIT", "NFS3 CREATE"))
        self.assertEqual(b"written by\0\0\0\0\0more", open(self.on_server("f"), "rb").read())
        self.assert_owner(os.stat(self.on_server("f")), ANNA, ANNA)

    def test_bytes_of_two_are_never_in_one_write(self):
        self.anna.write_file(self.path("f"), b"")
        self.anna.chmod(self.path("f"), 0o666)
        self.m.host.clear()
        for who in (self.anna, self.bert):
            who.run("state['fd'] = os.open(path, os.O_WRONLY)", path=self.path("f"))
        for block in range(16):
            who, letter = ((self.anna, b"a"), (self.bert, b"b"))[block % 2]
            who.run("os.pwrite(state['fd'], data, at)", data=letter * 4096, at=block * 4096)
        for who in (self.anna, self.bert):
            who.run("os.fsync(state['fd']); os.close(state.pop('fd'))")
        self.assertEqual((b"a" * 4096 + b"b" * 4096) * 8, open(self.on_server("f"), "rb").read())
        for seen in self.m.host.calls("NFS3 WRITE"):
            reader = rpc_wire.Reader(seen.call.args)
            reader.opaque()
            offset, count = reader.ulong(), reader.uint()
            uid = (ANNA, BERT)[offset // 4096 % 2]
            self.assertEqual((uid, 4096), (seen.call.credential.uid, count))

    def test_pages_of_a_mapping_are_their_openers(self):
        self.anna.run("""
fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
os.ftruncate(fd, 1 << 16)
memory = mmap.mmap(fd, 1 << 16)
os.close(fd)
memory[:] = b"m" * (1 << 16)
memory.close()
""", path=self.path("f"))
        suite.uidnfs_command.wait_until(
            lambda: open(self.on_server("f"), "rb").read() == b"m" * (1 << 16), 15, "write-back")
        self.assertEqual({ANNA}, self.senders("NFS3 WRITE"))


class Root(CallerTest):
    """Without allow_root_identity no call goes out as root, not even as somebody else."""

    def test_root_gets_no_data(self):
        self.anna.write_file(self.path("f"), b"x")
        self.m.host.clear()
        for attempt in (lambda: self.root.read_file(self.path("f")),
                        lambda: self.root.listdir(str(self.m.path)),
                        lambda: self.root.write_file(self.m / "by-root", b"")):
            with self.assert_errno(errno.EACCES):
                attempt()
        self.assertEqual(set(), self.senders() - {65534})
        self.assertGreaterEqual(self.m.status()["cache"]["refused_callers"], 3)

    def test_root_may_stat_the_mount_point_and_ask_how_full_it_is(self):
        self.assertTrue(stat.S_ISDIR(self.root.stat(str(self.m.path)).st_mode))
        self.assertGreater(self.root.statvfs(str(self.m.path)).f_blocks, 0)
        self.assertEqual(0, subprocess.run(["df", self.m.path], capture_output=True).returncode)


class RootAllowed(CallerTest):
    options = "allow_root_identity"

    def setUp(self):
        super().setUp()
        self.m.watch.allow(0, 0)

    def test_root_is_root_as_far_as_the_server_lets_it(self):
        self.anna.write_file(self.path("f"), b"x")
        self.anna.chmod(self.path("f"), 0o600)
        self.assertEqual(b"x", self.root.read_file(self.path("f")))
        self.root.chown(self.path("f"), BERT, BERT)
        self.assert_owner(os.stat(self.on_server("f")), BERT, BERT)
        self.assertEqual(b"x", self.bert.read_file(self.path("f")))


class HiddenCallers(CallerTest):
    """/proc with hidepid=2: the service user cannot see who asks."""

    def test_groups_are_left_out_and_it_is_said(self):
        log = sandbox.ROOT / "hidden.log"
        with hidden_processes():
            mount = suite.make_caller_mount(self.addCleanup, "shared", f"log_file={log}")
            mount.watch.allow(ANNA, ANNA)
            self.assertEqual("hidden", mount.status()["callers"])
            made = mount / f"{self.name}/f"
            self.anna.write_file(made, b"")
            self.assert_owner(self.anna.stat(made), ANNA, ANNA)
            self.assertIn("hidden by /proc", self.uidnfs.run("status", mount.path).stdout)
            self.assertEqual(0, mount.umount().returncode)
        self.assertEqual(1, log.read_text().count("cannot see in /proc who uses the mount"))


@contextlib.contextmanager
def hidden_processes():
    subprocess.run(["mount", "-o", "remount,hidepid=2", "/proc"], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,hidepid=0", "/proc"], check=True)


class Refused(suite.IntegrationTest):
    def words(self, options, **popen):
        host = suite.lab().proxy()
        self.addCleanup(host.stop)
        done = self.uidnfs.run("mount", f"{host.address}:/exports/shared",
                               suite.lab().new_mountpoint(), "-o", options, **popen)
        self.assertNotEqual(0, done.returncode)
        return done.stderr

    def test_what_does_not_go_with_it(self):
        self.assertIn("leave out access=strict", self.words("identity=caller,access=strict"))
        self.assertIn("leave out present=mapped", self.words("identity=caller,present=mapped"))
        self.assertIn("leave out gids=", self.words("identity=caller,gids=5"))

    def test_who_is_not_root(self):
        binary = sandbox.ROOT / "uidnfs-for-all"
        shutil.copy(self.uidnfs.binary, binary)
        binary.chmod(0o755)
        done = subprocess.run(
            [binary, "mount", "nas1:/exports/shared", suite.lab().new_mountpoint(), "-o",
             "identity=caller"], user=ANNA, group=ANNA, extra_groups=[], capture_output=True,
            text=True)
        self.assertEqual(1, done.returncode)
        self.assertIn("speaks for every user", done.stderr)

    def test_a_device_that_somebody_else_mounted(self):
        with open("/dev/fuse", "r+b", buffering=0) as device:
            done = self.uidnfs.run(
                "mount", "nas1:/exports/shared", f"/dev/fd/{device.fileno()}", "-o",
                "identity=caller", pass_fds=(device.fileno(),))
        self.assertEqual(1, done.returncode)
        self.assertIn("default_permissions", done.stderr)
