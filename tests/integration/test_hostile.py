# SPDX-License-Identifier: Apache-2.0
"""A server that lies. At worst its own mount fails: the worker, which has no rights worth taking, neither
ends nor grows, other mounts are served, nothing that a server wrote reaches the log as it is, and when
the lies end the mount is as good as before.
"""

import errno
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import time
import unittest

import inside
import lying_server
import rpc_wire
import suite
import uidnfs_command
from lying_server import (NO_ATTRIBUTES, NO_WCC, OK, ROOT, entry, listing, plain_entry, present,
                          word)

BIG = 0xFFFF_FFFF
HUGE = 0xFFFF_FFFF_FFFF_FFFF
# A lie may be told again and again; a call of a test ends by then, or is ended.
PATIENCE = 20.0
# Each name that the kernel knows has its inode here until the kernel forgets it; how many a listing
# of three seconds brings depends on the machine.
GROWTH = 256 << 20
LOG_BYTES = 64 << 10
# Seconds of random lies; longer by hand.
CHANCE_SECONDS = float(os.environ.get("UIDNFS_HOSTILE_SECONDS", "6"))

# Errors that say "the server answers nonsense", wherever it is found out.
NONSENSE = {errno.EIO, errno.ESTALE, errno.ENOENT, errno.ELOOP, errno.EINVAL, errno.ENAMETOOLONG,
            errno.EPROTO, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.ENOTSUP, errno.EEXIST}


def resident(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE).group(1)) << 10


class HostileTest(suite.IntegrationTest):
    """One mount of a LyingServer, one of the honest server beside it."""

    options = "actimeo=0,timeo=10,retrans=1,softerr"

    @classmethod
    def setUpClass(cls):
        cls.neighbour = suite.make_mount(cls.addClassCleanup, "a", suite.UID, suite.GID)

    def setUp(self):
        super().setUp()
        self.liar = lying_server.LyingServer(suite.lab().new_address())
        self.addCleanup(self.liar.stop)
        self.log_file = pathlib.Path(f"/run/uidnfs-hostile-{time.monotonic_ns()}")
        self.m = uidnfs_command.Mount(
            self.uidnfs, f"{self.liar.address}:/lies", suite.lab().new_mountpoint(),
            f"uid={suite.UID},gid={suite.GID},{self.options},log_file={self.log_file}", "/nowhere")
        self.app = self.actor(suite.APP_UID, timeout=PATIENCE)
        self.mounted = False

    def mount_it(self):
        self.m.mount()
        self.mounted = True
        self.addCleanup(self.undo)
        status = self.m.status()
        self.worker, self.keeper = status["worker_pid"], status["keeper_pid"]
        self.app.listdir(str(self.m.path))
        self.before = resident(self.worker)
        self.neighbours_worker = self.neighbour.status()["worker_pid"]

    def undo(self):
        self.liar.tell_the_truth()
        done = self.m.umount("--force")
        if self.m.is_mounted():
            suite.clear_away(self.uidnfs)
            self.fail(f"it cannot be unmounted: {done.stderr}")

    def actor(self, uid, gid=None, groups=(), timeout=60.0):
        made = suite.actor.Actor(uid, gid, groups, timeout)
        self.addCleanup(made.stop)
        return made

    def tell(self, **lies):
        self.liar.lies.update(lies)

    def tried(self, name, *args, but=NONSENSE):
        """The result of the application's call, or the OSError it ended with."""
        try:
            return getattr(self.app, name)(*args)
        except OSError as error:
            self.assertIn(error.errno, but, f"{name}: {error}")
            return error

    def assert_unharmed(self, usable=True):
        """The worker is the same and no larger, the neighbour is served, the log is clean and short."""
        self.assertEqual(self.worker, self.m.status()["worker_pid"])
        self.assertEqual(self.keeper, self.m.status()["keeper_pid"])
        self.assertLess(resident(self.worker) - self.before, GROWTH, "bytes the worker grew by")
        name = f"beside-{time.monotonic_ns()}"
        other = self.actor(suite.APP_UID)
        other.write_file(self.neighbour / name, b"served")
        self.assertEqual(b"served", other.read_file(self.neighbour / name))
        self.assertEqual(self.neighbours_worker, self.neighbour.status()["worker_pid"])
        log = self.log_file.read_bytes()
        self.assertLess(len(log), LOG_BYTES)
        self.assertNotRegex(log, rb"[\x00-\x09\x0b-\x1f\x7f]", "control characters in the log")
        if usable:
            self.liar.tell_the_truth()
            self.assertEqual(self.liar.CONTENT, self.app.read_file(self.m / "honest"))
            self.assertEqual(["honest", "other", "sub"],
                             sorted(name for name in self.app.listdir(str(self.m.path))
                                    if not name.startswith("new")))


class Worker(HostileTest):
    def test_it_has_nothing_worth_taking(self):
        """seccomp, no new privileges, no capability but the one for a reserved port, another user's memory
        unreadable: what a lie that does break it would find."""
        self.mount_it()
        text = pathlib.Path(f"/proc/{self.worker}/status").read_text(encoding="ascii")
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        self.assertEqual("2", fields["Seccomp"])
        self.assertEqual("1", fields["NoNewPrivs"])
        net_bind_service = 1 << 10
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(0, int(fields[kind], 16) & ~net_bind_service, kind)
        self.assertEqual(0, int(fields["CapBnd"], 16))
        self.assertNotIn("0", fields["Uid"].split())
        self.assertEqual("", fields["Groups"].strip())
        thief = self.actor(int(fields["Uid"].split()[0]))
        for name in ("mem", "environ", "maps", "fd"):
            with self.assertRaises(PermissionError):
                thief.run("os.listdir(path) if path.endswith('fd') else os.open(path, os.O_RDONLY)",
                          path=f"/proc/{self.worker}/{name}")
        self.assert_unharmed()


    @unittest.skipUnless(inside.is_possible(), "system calls are made inside another process on x86_64")
    def test_secrets_and_state_of_its_user_are_closed_to_it(self):
        """The daemon's user is the workers' user. Of the next worker as well."""
        self.m.options += ",log_level=debug"
        self.mount_it()
        if "no Landlock in this kernel" in self.log_file.read_text(encoding="utf-8"):
            self.skipTest("this kernel has no Landlock")
        fields = pathlib.Path(f"/proc/{self.worker}/status").read_text(encoding="ascii")
        uid = int(fields.split("Uid:\t")[1].split()[0])
        place = pathlib.Path(f"/run/uidnfs-state-{os.getpid()}")
        place.mkdir()
        self.addCleanup(shutil.rmtree, place)
        secret, state = place / "ldap.secret", place / "docker-web.json"
        for path in (secret, state):
            path.write_text("as it was", encoding="ascii")
            os.chown(path, uid, uid)
            path.chmod(0o600)
        os.chown(place, uid, uid)
        # Its user may.
        self.assertEqual(b"as it was", self.actor(uid, uid).read_file(secret))
        os.kill(self.worker, signal.SIGKILL)
        uidnfs_command.wait_until(lambda: self.m.status()["worker_pid"] not in (None, self.worker), 20,
                                  "the next worker")
        for worker in (self.neighbours_worker, self.m.status()["worker_pid"]):
            with inside.Inside(worker) as taken:
                self.assertEqual(0, taken.open("/proc/1/stat", os.O_RDONLY))
                for path, flags in ((secret, os.O_RDONLY), (secret, os.O_RDONLY | os.O_TRUNC),
                                    (state, os.O_RDWR), (state, os.O_WRONLY | os.O_TRUNC),
                                    (state, os.O_WRONLY | os.O_APPEND),
                                    (place / "new", os.O_WRONLY | os.O_CREAT),
                                    (place, os.O_RDONLY | os.O_DIRECTORY),
                                    ("/etc/passwd", os.O_RDONLY)):
                    self.assertEqual(errno.EACCES, taken.open(path, flags), (path, flags))
        self.assertEqual(["docker-web.json", "ldap.secret"], sorted(os.listdir(place)))
        self.assertEqual("as it was", state.read_text("ascii"))
        self.assertEqual(self.liar.CONTENT, self.app.read_file(self.m / "honest"))


class Names(HostileTest):
    NEVER = (b"", b"a/b", b"/", b"../x", b"x\0y", b"\0", b"n" * 256, b"n" * 4096)

    def test_in_listings(self):
        """A name that is none fails the listing; one of control characters is the application's to see."""
        self.mount_it()
        for name in self.NEVER:
            with self.subTest(name=name[:10]):
                self.tell(READDIRPLUS=lambda asked, name=name: listing(
                    [entry(9, name, 1, lying_server.Node(9).attributes(), b"h-9")]))
                got = self.tried("listdir", str(self.m.path))
                self.assertIsInstance(got, OSError, got)
        odd = [b"\x1b[31mred\x1b[0m\n", b"\xff\xfe", b"-rf", b"a\nb"]
        self.tell(READDIRPLUS=lambda _: listing([entry(10 + n, name, n + 1)
                                                 for n, name in enumerate(odd)]))
        self.assertEqual(sorted(odd), sorted(self.app.listdir(os.fsencode(self.m.path))))
        self.assert_unharmed()

    def test_one_that_is_too_long(self):
        """Told with its errno and in the log: left out of the listing it would be left out of a backup."""
        self.mount_it()
        for length in (256, 1023):
            self.tell(READDIRPLUS=lambda _, length=length: listing(
                [entry(9 + n, name, n + 1) for n, name in enumerate((b"a", b"n" * length, b"b"))]))
            with self.assert_errno(errno.ENAMETOOLONG):
                self.app.listdir(str(self.m.path))
        self.assertIn("a name of more than 255 bytes", self.log_file.read_text(encoding="utf-8"))
        self.assert_unharmed()

    def test_dots_that_lead_elsewhere(self):
        """"." and ".." of a listing with handles of other files: the kernel knows better what they are."""
        self.mount_it()
        file = self.liar.nodes[b"h-honest"].attributes()
        dots = [entry(3, name, number, file, b"h-honest") for number, name in
                enumerate((b".", b"..", b".", b".."), 1)]
        self.tell(READDIRPLUS=lambda _: listing(dots))
        self.tried("listdir", str(self.m.path))
        self.assertEqual(0o040755, self.app.stat(str(self.m.path) + "/.").st_mode)
        self.assertEqual(0o040755, self.app.stat(str(self.m.path / "sub") + "/..").st_mode)
        self.assert_unharmed()

    def test_control_characters_do_not_reach_the_log(self):
        """A write that fails is logged with the name of its file."""
        self.mount_it()
        name = os.fsencode(self.m.path) + b"/new\n\x1b]0;title\x07 <3>forged: line"
        self.tell(WRITE=lambda _: word(lying_server.IO) + NO_WCC)
        self.tried("write_file", name, b"lost")
        uidnfs_command.wait_until(lambda: b"forged" in self.log_file.read_bytes(), 10, "a line about it")
        self.assertIn(rb"\x1b", self.log_file.read_bytes())
        self.assertNotIn(b"\n <3>", self.log_file.read_bytes())
        self.assert_unharmed()

    def test_the_same_name_without_end(self):
        """Ten thousand entries of one name, each with a handle of its own."""
        self.mount_it()
        page = [entry(1000 + n, b"twin", n + 1, lying_server.Node(1000 + n).attributes(), b"t-%d" % n)
                for n in range(300)]
        self.tell(READDIRPLUS=lambda _: listing(page))
        for _ in range(30):
            self.tried("listdir", str(self.m.path))
        self.assert_unharmed()


class Listings(HostileTest):
    """Directories that have no end."""

    def endless(self, cookie_of):
        """A listing of a hundred entries that goes on for ever; `cookie_of(cookie, n)` is the nth one's."""
        def lie(asked):
            cookie = asked.rest.ulong()
            made = [cookie_of(cookie, n) for n in range(1, 101)]
            if asked.name == "READDIR":
                return listing([plain_entry(each, b"e%d" % each, each) for each in made], end=False)
            return listing([entry(each, b"e%d" % each, each, lying_server.Node(each).attributes(),
                                  b"h-%d" % each) for each in made], end=False)
        self.tell(READDIRPLUS=lie, READDIR=lie)

    def list_for(self, seconds):
        """Entries seen until the listing ended, or so long; and how it ended."""
        return self.app.run("""
seen, begun, result = 0, time.monotonic(), None
with os.scandir(path) as entries:
    try:
        for one in entries:
            seen += 1
            if time.monotonic() - begun > seconds:
                break
    except OSError as error:
        result = error.errno
result = (seen, result)
""", path=str(self.m.path), seconds=seconds)

    def test_cookies_that_go_on(self):
        """It costs its reader's time and nothing else, and the reader can be killed."""
        for start in (0, 1 << 62, 1 << 63):
            with self.subTest(start=start):
                if not self.mounted:
                    self.mount_it()
                self.endless(lambda cookie, n, start=start: max(cookie, start) + n)
                seen, ended = self.list_for(3)
                self.assertGreater(seen, 1000)
                self.assertIsNone(ended)
        reader = self.actor(suite.APP_UID)
        reader.start_run("while True: os.listdir(path)", path=str(self.m.path))
        time.sleep(1)
        reader.kill(signal.SIGKILL)
        uidnfs_command.wait_until(lambda: not _runs(reader.pid), 2 + 8, "the end of a killed reader")
        self.assert_unharmed()

    def test_cookies_in_a_ring(self):
        """The third page leads back to the first."""
        self.mount_it()
        self.endless(lambda cookie, n: (cookie + n - 1) % 300 + 1)
        seen, ended = self.list_for(PATIENCE / 2)
        self.assertEqual(errno.ELOOP, ended, seen)
        self.assert_unharmed()

    def test_cookies_that_stand_still(self):
        self.mount_it()
        self.endless(lambda cookie, n: 7)
        seen, ended = self.list_for(PATIENCE / 2)
        self.assertIn(ended, (errno.ELOOP, errno.EIO), seen)
        self.assert_unharmed()

    def test_empty_pages_without_end(self):
        self.mount_it()
        self.tell(READDIRPLUS=lambda _: listing([], end=False))
        self.assertIsInstance(self.tried("listdir", str(self.m.path)), OSError)
        self.assert_unharmed()

    def test_bad_cookie_for_ever(self):
        """Each page but the first is refused: begun again and again it would never end."""
        self.mount_it()
        def lie(asked):
            cookie = asked.rest.ulong()
            if cookie:
                return word(10003) + NO_ATTRIBUTES
            made = [(n, b"n%d" % random.randrange(1 << 40), n) for n in range(1, 50)]
            return listing([(plain_entry if asked.name == "READDIR" else entry)(*each) for each in made],
                           end=False)
        self.tell(READDIRPLUS=lie, READDIR=lie)
        seen, ended = self.list_for(5)
        self.assertTrue(ended is None or ended in NONSENSE, ended)
        self.assert_unharmed()


class Handles(HostileTest):
    """Handles are the server's own numbers: whatever it gives, it gets back, and nobody else."""

    def lookup_gives(self, handle, attributes=None):
        node = lying_server.Node(77)
        said = present(attributes or node.attributes())
        self.tell(LOOKUP=lambda _: word(OK) + rpc_wire.opaque(handle) + said + NO_ATTRIBUTES)

    def test_of_wrong_lengths(self):
        self.mount_it()
        for length in (0, 65, 128, 4096):
            with self.subTest(length=length):
                self.lookup_gives(bytes(length))
                self.assertIsInstance(self.tried("stat", self.m / f"handle-{length}"), OSError)
        self.assert_unharmed()

    def test_of_another_mount(self):
        """A file under the handle of the neighbour's root: it is asked of the liar, never of the neighbour."""
        self.mount_it()
        with rpc_wire.RpcClient(self.server.address, lying_server.ganesha.MOUNT_PORT) as client:
            _, stolen, _ = client.mnt("/exports/a")
        self.neighbour.host.clear()
        self.lookup_gives(stolen)
        self.assertIsInstance(self.tried("read_file", self.m / "stolen"), OSError)
        self.assertEqual([], self.neighbour.host.calls("NFS3 READ", "NFS3 LOOKUP"))
        self.assert_unharmed()

    def test_of_the_root_and_of_the_directory_itself(self):
        """A directory that is its own child, and one that is the mount's root."""
        self.mount_it()
        self.lookup_gives(ROOT, self.liar.nodes[ROOT].attributes())
        self.assertIsInstance(self.tried("listdir", self.m / "sub"), OSError)
        self.liar.tell_the_truth()
        self.lookup_gives(b"h-sub", self.liar.nodes[b"h-sub"].attributes())
        self.tried("stat", self.m / "sub/sub/sub")
        self.assert_unharmed()

    def test_one_for_every_name_with_other_attributes(self):
        """The same handle is a file, a directory, a link: no two of them at once."""
        self.mount_it()
        for kind in (lying_server.REG, lying_server.DIR, lying_server.LNK, lying_server.FIFO) * 3:
            self.lookup_gives(b"chameleon", lying_server.Node(50 + kind, kind).attributes())
            self.tried("stat", self.m / f"chameleon-{kind}")
        self.assert_unharmed()

    def test_that_share_a_fileid(self):
        """Two files of one number keep their own bytes."""
        self.mount_it()
        for node in (b"h-honest", b"h-other"):
            self.liar.nodes[node].fields["fileid"] = 3
        self.assertEqual(self.liar.CONTENT, self.app.read_file(self.m / "honest"))
        self.assertEqual(b"another file", self.app.read_file(self.m / "other"))
        self.assertEqual(self.app.stat(self.m / "honest").st_ino, self.app.stat(self.m / "other").st_ino)
        self.assert_unharmed()


def _runs(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


class Attributes(HostileTest):
    def test_at_the_limits(self):
        self.mount_it()
        fields = self.liar.nodes[b"h-honest"].fields
        for size in (HUGE, 1 << 63, (1 << 63) - 1):
            fields.update(size=size, used=HUGE, nlink=BIG, time=(BIG, BIG), mode=BIG, uid=BIG, gid=BIG)
            seen = self.app.stat(self.m / "honest")
            self.assertEqual((1 << 63) - 1, seen.st_size)
            self.assertEqual(BIG * 10**9 + 999_999_999, seen.st_mtime_ns)
            self.assertEqual(0o107777, seen.st_mode)
            self.assertEqual((2000, 2000), (seen.st_uid, seen.st_gid))
            self.tried_at_the_end()
        fields.update(size=0, used=0, nlink=0, time=(0, 0), mode=0, uid=0, gid=0, fileid=0)
        self.assertEqual(0, self.app.stat(self.m / "honest").st_size)
        self.assert_unharmed()

    def tried_at_the_end(self):
        """Reads and writes where offsets end."""
        try:
            self.app.run("""
fd = os.open(path, os.O_RDWR)
try:
    for work in (lambda: os.pread(fd, 4096, (1 << 63) - 8192), lambda: os.pwrite(fd, b"x", (1 << 63) - 2),
                 lambda: os.lseek(fd, 0, os.SEEK_END), lambda: os.fsync(fd)):
        try:
            work()
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EFBIG, errno.EINVAL, errno.ESTALE, errno.EOVERFLOW):
                raise
finally:
    try:
        os.close(fd)
    except OSError:
        pass
""", path=self.m / "honest")
        except OSError as error:
            self.assertIn(error.errno, NONSENSE)

    def test_an_end_beyond_all_of_a_file_that_is_appended_to(self):
        """EFBIG. Held at such a place the bytes would make the state unreadable for the next worker, and the
        mount would end with all that was not written to any of its files."""
        self.m.options = self.m.options.replace("softerr", "hard")
        self.mount_it()
        self.app.run("state['fd'] = os.open(path, os.O_WRONLY | os.O_APPEND)", path=self.m / "other")
        self.tell(WRITE=lambda _: None)
        writer = self.actor(suite.APP_UID, timeout=PATIENCE)
        writer.start("write_file", self.m / "new", b"kept" * 100)
        for size in (HUGE, HUGE - 2, 1 << 63, (1 << 63) - 1):
            self.liar.nodes[b"h-other"].fields["size"] = size
            with self.assert_errno(errno.EFBIG):
                self.app.run("os.write(state['fd'], b'x')")
        os.kill(self.worker, signal.SIGKILL)
        self.liar.tell_the_truth()
        writer.finish(PATIENCE)
        self.assertEqual(b"kept" * 100, self.app.read_file(self.m / "new"))
        self.app.run("os.close(state.pop('fd'))")

    def test_types_that_change(self):
        """An object that was a file and is a directory now is another object: ESTALE, as with the kernel's
        client. The root, too, is what it was."""
        self.mount_it()
        self.app.stat(self.m / "honest")
        root = self.liar.nodes[ROOT]
        for kind in (lying_server.REG, lying_server.LNK, lying_server.BLK):
            root.fields["kind"] = kind
            self.assertIsInstance(self.tried("listdir", str(self.m.path)), OSError)
        root.fields.clear()
        honest = self.liar.nodes[b"h-honest"]
        file = self.app.run("state['fd'] = os.open(path, os.O_RDONLY); result = 1", path=self.m / "honest")
        self.assertEqual(1, file)
        for kind in (0, lying_server.DIR, lying_server.LNK, 8, BIG):
            honest.fields["kind"] = kind
            self.tried("run", "os.fstat(state['fd'])")
        honest.fields.clear()
        self.app.run("os.close(state.pop('fd'))")
        self.assert_unharmed()

    def test_a_type_that_version_3_does_not_have(self):
        """Solaris gives its doors the type 0: what is beside one is listed, and so is its name."""
        self.mount_it()
        for kind in (0, 8):
            with self.subTest(kind=kind):
                self.liar.nodes[b"h-other"].fields["kind"] = kind
                self.assertEqual(["honest", "other", "sub"], sorted(self.app.listdir(self.m.path)))
                self.assertEqual(len(self.liar.CONTENT), self.app.stat(self.m / "honest").st_size)
        self.liar.tell_the_truth()
        self.assert_unharmed()

    def test_file_systems_that_change(self):
        """Another fsid with each answer: uidnfs shows one file system, whatever the server joins to it."""
        self.mount_it()
        devices = set()
        for fsid in (1, 2, HUGE):
            for node in self.liar.nodes.values():
                node.fields["fsid"] = fsid
            devices.add(self.app.stat(self.m / "honest").st_dev)
        self.assertEqual(1, len(devices))
        self.assert_unharmed()

    def test_of_the_server_as_a_whole(self):
        """FSINFO with sizes of nothing and of everything: files are written and read all the same."""
        for number, said in enumerate((
                dict(rtmax=0, wtmax=0, rtpref=0, wtpref=0, dtpref=0, largest=0, delta=(0, 0)),
                dict(rtmax=1, wtmax=1, rtpref=1, wtpref=1, dtpref=1, largest=HUGE, delta=(BIG, BIG)),
                dict(rtmax=BIG, wtmax=BIG, rtpref=BIG, wtpref=BIG, dtpref=BIG, largest=1 << 63))):
            with self.subTest(number=number):
                self.tell(FSINFO=lambda _, said=said: lying_server.fsinfo(**said),
                          FSSTAT=lambda _: word(OK) + NO_ATTRIBUTES + b"\xff" * 48 + word(BIG),
                          PATHCONF=lambda _: word(OK) + NO_ATTRIBUTES + word(0, 0, 1, 1, 1, 1))
                self.m.mount()
                try:
                    data = random.Random(number).randbytes(100_000)
                    self.app.write_file(self.m / f"new-{number}", data)
                    self.assertEqual(data, self.app.read_file(self.m / f"new-{number}"))
                    self.app.statvfs(str(self.m.path))
                finally:
                    self.assertEqual(0, self.m.umount().returncode)

    def test_that_do_not_say_how_full_it_is(self):
        """FSSTAT is refused: df works, and shows room."""
        self.tell(FSSTAT=lambda _: word(lying_server.NOTSUPP) + NO_ATTRIBUTES)
        self.mount_it()
        shown = subprocess.run(["df", "--output=size,used,avail,pcent", "-BT", self.m.path], check=True,
                               capture_output=True, text=True).stdout
        self.assertEqual(["1024T", "0T", "1024T", "0%"], shown.splitlines()[1].split())
        self.app.statvfs(str(self.m.path))
        self.assertEqual(1, self.log_file.read_text().count("does not say how full the share is"))
        self.assert_unharmed()


class Data(HostileTest):
    def test_reads_that_lie(self):
        """More than was asked for, less than is said, nothing and no end: EIO, never other bytes."""
        self.mount_it()
        full = b"x" * 4096
        lies = {
            "more than was asked": word(2 << 20, 1) + rpc_wire.opaque(bytes(2 << 20)),
            "count above the data": word(BIG, 1) + rpc_wire.opaque(full),
            "count below the data": word(1, 1) + rpc_wire.opaque(full),
            "a length beyond the record": word(4096, 1) + word(BIG) + full,
            "nothing and no end": word(0, 0) + rpc_wire.opaque(b""),
            "neither true nor false": word(4096, 2) + rpc_wire.opaque(full),
            "cut off": word(4096, 1) + word(4096) + full[:100],
        }
        for what, results in lies.items():
            with self.subTest(what):
                self.tell(READ=lambda _, results=results: word(OK) + NO_ATTRIBUTES + results)
                self.assertIsInstance(self.tried("read_file", self.m / "honest",
                                                 but=NONSENSE | {errno.ETIMEDOUT}), OSError)
        self.assert_unharmed()

    def test_writes_that_lie(self):
        """What the server says it took decides; when that cannot be, close(2) says EIO."""
        self.mount_it()
        for number, (count, committed) in enumerate(((BIG, 2), (0, 2), (5, BIG), (5, 3))):
            with self.subTest(count=count, committed=committed):
                self.tell(WRITE=lambda _, c=count, s=committed:
                          word(OK) + NO_WCC + word(c, s) + lying_server.VERIFIER)
                self.assertIsInstance(self.tried("write_file", self.m / f"new-{number}", b"12345"), OSError)
        self.assert_unharmed()

    def test_a_verifier_that_is_never_the_same(self):
        """"I restarted" with every answer: bytes are sent again, but not without end."""
        self.mount_it()
        def lie(asked):
            return self.liar.honest(asked)[:-8] + os.urandom(8)
        self.tell(WRITE=lambda asked: self.unstable(lie(asked)), COMMIT=lie)
        self.tried("start", "write_file", self.m / "new", bytes(200_000))
        time.sleep(2)
        self.liar.tell_the_truth()
        self.app.finish(PATIENCE)
        self.assertEqual(bytes(200_000), self.app.read_file(self.m / "new"))
        self.assert_unharmed()

    def link(self, target):
        """The path of a new link to `target`: the kernel asks for a link's target once while it is unchanged."""
        name = b"new-link-%d" % (len(self.liar.nodes) + 1)
        self.liar.nodes[b"h-" + name] = lying_server.Node(600 + len(self.liar.nodes), lying_server.LNK,
                                                          target=target)
        self.liar.nodes[ROOT].names[name] = b"h-" + name
        return self.m / name.decode()

    @staticmethod
    def unstable(results):
        """WRITE3resok that says UNSTABLE."""
        return results[:-12] + word(0) + results[-8:]

    def test_symbolic_links(self):
        """The kernel walks them, in the caller's own tree: a target is text and nothing more."""
        self.mount_it()
        good = (b"/etc/hostname", b"../" * 100 + b"etc", b"a\x1b[0m\nb", b"t" * 4095)
        for target in good:
            self.assertEqual(target, self.app.readlink(os.fsencode(self.link(target))))
        for target in (b"", b"t" * 4097, b"a\0b", b"t" * 100_000):
            self.assertIsInstance(self.tried("readlink", self.link(target)), OSError)
        path = self.link(b"new-link-%d" % (len(self.liar.nodes) + 1))
        with self.assert_errno(errno.ELOOP):
            self.app.stat(path)
        self.assert_unharmed()


    def test_a_link_that_leads_elsewhere_under_the_same_handle(self):
        """As where a file system gives the number of a removed link to the next one, with a server whose
        handles say no more than the number: only the times tell, and they are believed."""
        self.mount_it()
        path = self.link(b"old")
        node = self.liar.nodes[self.liar.nodes[ROOT].names[os.path.basename(path).encode()]]
        self.assertEqual(b"old", self.app.readlink(os.fsencode(path)))
        node.target = b"newer"
        node.fields["time"] = (1_700_000_100, 0)
        self.assertEqual(b"newer", self.app.readlink(os.fsencode(path)))
        self.assert_unharmed()


class Records(HostileTest):
    """Lies below NFS."""

    def honest_again(self):
        """Until the mount is connected again, which after many a broken stream may take 15 s."""
        self.liar.tell_the_truth()
        def reads():
            try:
                return self.app.read_file(self.m / "honest") == self.liar.CONTENT
            except TimeoutError:
                return False
        uidnfs_command.wait_until(reads, 40, "an answer of the server that lies no longer")

    def while_lying(self, lie):
        self.liar.bend = lie
        self.tried("stat", self.m / "honest", but=NONSENSE | {errno.ETIMEDOUT})
        self.assert_unharmed(usable=False)
        self.liar.bend = None

    def test_streams_that_are_none(self):
        self.mount_it()
        stranger = rpc_wire.mark(lying_server.reply_header(0x12345678) + word(OK))
        for what, lie in {
            "somebody else's xid": lambda data: data[:4] + b"\xde\xad\xbe\xef" + data[8:],
            "a thousand replies to nobody": lambda data: stranger * 1000 + data,
            "twice": lambda data: data * 2,
            "a record of 2 GiB": lambda data: word(BIG) + data,
            "empty fragments": lambda data: word(0) * 10_000 + data,
            "no last fragment": lambda data: b"".join(word(4) + data[4:8] for _ in range(10_000)),
            "one byte to a fragment": lambda data: b"".join(
                word(1 | (0x80000000 if at == len(data) - 1 else 0)) + data[at:at + 1]
                for at in range(4, len(data))),
            "a call": lambda data: data[:8] + word(0) + data[12:],
            "denied": lambda data: rpc_wire.mark(data[4:8] + word(1, 1, 1, 5)),
            "a verifier of 4 GiB": lambda data: rpc_wire.mark(data[4:16] + word(1, BIG) + data[24:]),
            "another status": lambda data: rpc_wire.mark(data[4:24] + word(BIG) + data[28:]),
            "half of it": lambda data: rpc_wire.mark(data[4:4 + (len(data) - 4) // 8 * 4]),
            "much behind it": lambda data: rpc_wire.mark(data[4:] + bytes(500_000)),
            "text": lambda data: b"HTTP/1.1 200 OK\r\n\r\n\x1b[31m",
        }.items():
            with self.subTest(what):
                self.while_lying(lie)
        self.honest_again()
        self.assert_unharmed()

    def test_a_record_that_swallows_those_behind_it(self):
        """Its mark says a megabyte where a few bytes follow: what the server answers from then on, truthfully,
        seems to be a part of it."""
        self.mount_it()
        self.while_lying(lambda data: word(0x8010_0000) + data[4:])
        self.honest_again()
        self.assert_unharmed()

    def test_every_length_of_a_reply(self):
        self.mount_it()
        whole = 4 + 24 + 4 + 84
        for length in range(0, whole, 4):
            self.liar.bend = lambda data, length=length: rpc_wire.mark(data[4:4 + length])
            self.tried("stat", str(self.m.path), but=NONSENSE | {errno.ETIMEDOUT})
        self.honest_again()
        self.assert_unharmed()

    def test_a_byte_at_a_time(self):
        """A reply that takes its time holds up nobody else."""
        self.mount_it()
        self.liar.drip = 0.02
        self.app.start("stat", self.m / "honest")
        self.assert_unharmed(usable=False)
        self.liar.drip = 0.0
        try:
            self.app.finish(PATIENCE)
        except OSError as error:
            self.assertIn(error.errno, NONSENSE | {errno.ETIMEDOUT})
        self.honest_again()
        self.assert_unharmed()

    def test_chance(self):
        """Words of every reply are changed by chance, while the application does everything."""
        self.mount_it()
        seed = int(os.environ.get("UIDNFS_HOSTILE_SEED", "7"))
        chance = random.Random(seed)
        self.liar.bend = lambda data: _mutate(chance, data)
        deadline = time.monotonic() + CHANCE_SECONDS
        # Bounded: a program that takes the size of a file for its word asks for all memory there is.
        read = "f = os.open(d + '/honest', os.O_RDONLY); r = os.read(f, 100_000); os.close(f)"
        work = ("os.listdir(d)", "os.stat(d + '/honest')", read,
                "write_file(d + '/new-chance', bytes(5000))", "os.mkdir(d + '/new-dir')",
                "os.unlink(d + '/new-chance')", "os.readlink(d + '/other')", "os.statvfs(d)",
                "os.rename(d + '/new-chance', d + '/new-other')", "os.link(d + '/honest', d + '/new-link')",
                "os.symlink('x', d + '/new-sym')", "os.chmod(d + '/other', 0o600)",
                "os.truncate(d + '/other', 5)", "[os.stat(e.path) for e in os.scandir(d)]")
        outcomes = 0
        while time.monotonic() < deadline:
            outcomes += self.app.run("""
result = 0
for one in work:
    try:
        exec(one)
    except (OSError, ValueError):
        pass
    result += 1
""", work=work, d=str(self.m.path))
        print(f"\n{outcomes} calls against random lies (seed {seed})")
        self.assert_unharmed(usable=False)
        # What was believed meanwhile goes with the attributes' time, which is none here; an inode that
        # changed its kind is the kernel's to forget, by a new mount.
        self.liar.tell_the_truth()
        self.undo()
        self.m.mount()
        self.assertEqual(self.liar.CONTENT[:5], self.app.read_file(self.m / "honest")[:5])


def _mutate(chance, data):
    if chance.random() < 0.5 or len(data) < 12:
        return data
    words = bytearray(data)
    start = 28 if chance.random() < 0.9 else 4
    for _ in range(chance.choice((1, 1, 2, 5))):
        if len(words) < start + 4:
            break
        at = chance.randrange(start, len(words) - 3, 4)
        words[at:at + 4] = struct.pack(">I", chance.choice(
            (0, 1, 2, 3, 5, 7, 255, 256, 4096, BIG, 0x7FFFFFFF, 0x80000000, chance.randrange(1 << 32))))
    if chance.random() < 0.1:
        del words[chance.randrange(8, len(words)):]
        words = rpc_wire.mark(bytes(words[4:]))
    return bytes(words)


class MountStep(HostileTest):
    """Lies to uidnfs mount: one line of text, and nothing stays."""

    def refused(self, options=""):
        done = self.uidnfs.run("mount", self.m.source, self.m.path, "-o",
                               self.m.options + ",retry=0" + options)
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertEqual(1, done.stderr.count("\n"), done.stderr)
        self.assertNotRegex(done.stderr[:-1], "[\x00-\x1f\x7f]")
        self.assertIn("cannot mount", done.stderr)

    def test_answers_of_the_mount_service(self):
        for what, results in {
            "no handle": word(OK) + rpc_wire.opaque(b"") + word(1, 1),
            "a handle of 65 bytes": word(OK) + rpc_wire.opaque(bytes(65)) + word(1, 1),
            "a handle without end": word(OK, BIG) + bytes(64),
            "flavours without end": word(OK) + rpc_wire.opaque(ROOT) + word(BIG) + bytes(4096),
            "a thousand flavours": word(OK) + rpc_wire.opaque(ROOT) + word(1000) + word(1) * 1000,
            "no flavour of ours": word(OK) + rpc_wire.opaque(ROOT) + word(2, 390003, BIG),
            "a status of its own": word(BIG),
            "nothing": b"",
        }.items():
            with self.subTest(what):
                self.liar.lies["MOUNT3 MNT"] = lambda _, results=results: results
                self.refused()

    def test_answers_of_the_portmapper(self):
        for what, results in {
            "a port above all": rpc_wire.opaque(b"127.0.0.1.999.1"),
            "control characters": rpc_wire.opaque(b"\x1b[31m.8.1\n"),
            "a long address": rpc_wire.opaque(b"1" * 100_000),
            "a length without end": word(BIG) + b"127.0.0.1.8.1",
            "no port": rpc_wire.opaque(b"127.0.0.1"),
        }.items():
            with self.subTest(what):
                self.liar.lies["PORTMAP3 GETADDR"] = lambda _, results=results: results
                self.refused()

    def test_a_root_that_is_no_directory(self):
        for kind in (0, lying_server.REG, lying_server.LNK, BIG):
            with self.subTest(kind=kind):
                self.liar.nodes[ROOT].fields["kind"] = kind
                self.refused()

    def test_first_answers_cut_at_every_word(self):
        for name in ("GETATTR", "FSINFO", "ACCESS"):
            whole = {"GETATTR": 88, "FSINFO": 56, "ACCESS": 12}[name]
            for length in range(0, whole, 16):
                with self.subTest(name, length=length):
                    self.liar.lies[name] = lambda asked, n=length: self.liar.honest(asked)[:n]
                    self.refused()
            self.liar.tell_the_truth()
