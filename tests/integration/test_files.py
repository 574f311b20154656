# SPDX-License-Identifier: Apache-2.0
"""What the kernel makes of the file system: mappings, direct and durable writes, holes, locks, special
files, long names and paths, and the errno that programs fall back on."""

import errno
import hashlib
import os
import random
import signal
import stat
import time

import suite

NODE = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
"""


class Mappings(suite.MountedTest):
    """mmap, shared and private, beside reads and writes of the same file."""

    def test_shared_mapping_reaches_the_server(self):
        self.app.write_file(self.path("f"), bytes(10000))
        self.app.run("""
fd = os.open(path, os.O_RDWR)
with mmap.mmap(fd, 10000) as m:
    m[5000:5005] = b"hello"
    m.flush()
os.fsync(fd)
os.close(fd)
""", path=self.path("f"))
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(bytes(5000) + b"hello" + bytes(4995), file.read())

    def test_private_mapping_changes_nothing(self):
        self.app.write_file(self.path("f"), b"unchanged")
        seen = self.app.run("""
fd = os.open(path, os.O_RDONLY)
with mmap.mmap(fd, 9, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as m:
    m[0:2] = b"UN"
    result = m[:]
os.close(fd)
""", path=self.path("f"))
        self.assertEqual(b"UNchanged", seen)
        self.assertEqual(b"unchanged", self.app.read_file(self.path("f")))

    def test_mapping_and_write_see_each_other(self):
        self.app.write_file(self.path("f"), bytes(8192))
        seen = self.app.run("""
fd = os.open(path, os.O_RDWR)
with mmap.mmap(fd, 8192) as m:
    os.pwrite(fd, b"written", 100)
    m[200:206] = b"mapped"
    result = m[100:107], os.pread(fd, 6, 200)
os.close(fd)
""", path=self.path("f"))
        self.assertEqual((b"written", b"mapped"), seen)

    def test_shared_mapping_of_an_append_open(self):
        """Append opens are direct: the kernel must allow mappings of them (6.6 and later)."""
        self.app.write_file(self.path("f"), bytes(4096))
        try:
            self.app.run("""
fd = os.open(path, os.O_RDWR | os.O_APPEND)
with mmap.mmap(fd, 4096) as m:
    m[10:16] = b"mapped"
    m.flush()
os.fsync(fd)
os.close(fd)
""", path=self.path("f"))
        except OSError as error:
            release = tuple(map(int, os.uname().release.split(".")[:2]))
            if error.errno == errno.ENODEV and release < (6, 6):
                self.skipTest("this kernel maps no file that is open for appending")
            raise
        self.assertEqual(b"mapped", self.app.read_file(self.path("f"))[10:16])

    def test_bytes_behind_the_end_do_not_reach_the_server(self):
        self.app.run("""
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
fd = os.open(path, os.O_CREAT | os.O_RDWR)
os.write(fd, b"x" * 100)
at = libc.mmap(None, ctypes.c_size_t(4096), 3, mmap.MAP_SHARED, fd, ctypes.c_long(0))
ctypes.memset(at + 90, ord("y"), 50)
libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(4096))
os.fsync(fd)
os.truncate(path, 200)
os.close(fd)
""", path=self.path("f"))
        expected = b"x" * 90 + b"y" * 10 + bytes(100)
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(expected, file.read())
        self.assertEqual(expected, self.app.read_file(self.path("f")))

    def test_file_cut_while_mapped(self):
        self.app.write_file(self.path("f"), b"x" * 10000)
        seen = self.app.run("""
fd = os.open(path, os.O_RDWR)
with mmap.mmap(fd, 10000) as m:
    os.ftruncate(fd, 100)
    os.ftruncate(fd, 10000)
    result = m[:200]
os.close(fd)
""", path=self.path("f"))
        self.assertEqual(b"x" * 100 + bytes(100), seen)
        self.assertEqual(b"x" * 100 + bytes(9900), self.app.read_file(self.path("f")))


class SameFileTwice(suite.MountedTest):
    """Direct and cached opens of one file at the same time."""

    def test_cached_reader_sees_what_was_appended(self):
        self.app.write_file(self.path("f"), b"first.")
        seen = self.app.run("""
reader = os.open(path, os.O_RDONLY)
writer = os.open(path, os.O_WRONLY | os.O_APPEND)
result = [os.pread(reader, 100, 0)]
for number in range(20):
    os.write(writer, b"%02d." % number)
    result.append(os.pread(reader, 100, 0))
os.close(writer)
os.close(reader)
""", path=self.path("f"))
        text = b"first."
        for number, read in enumerate(seen):
            self.assertEqual(text, read, f"after {number} appends")
            text += b"%02d." % number

    def test_mapped_reader_sees_what_was_appended(self):
        self.app.write_file(self.path("f"), b"start" + bytes(0))
        seen = self.app.run("""
reader = os.open(path, os.O_RDONLY)
m = mmap.mmap(reader, 5, mmap.MAP_SHARED, mmap.PROT_READ)
m[:]
writer = os.open(path, os.O_WRONLY | os.O_APPEND)
os.write(writer, b" and end")
os.close(writer)
deadline = time.monotonic() + 10
while True:
    with mmap.mmap(reader, 13, mmap.MAP_SHARED, mmap.PROT_READ) as again:
        result = again[:]
    if result == b"start and end" or time.monotonic() > deadline:
        break
    time.sleep(0.02)
m.close()
os.close(reader)
""", path=self.path("f"))
        self.assertEqual(b"start and end", seen)

    def test_direct_writer_and_cached_reader(self):
        self.app.write_file(self.path("f"), b"a" * 8192)
        seen = self.app.run("""
cached = os.open(path, os.O_RDWR)
direct = os.open(path, os.O_RDWR | os.O_DIRECT)
buffer = mmap.mmap(-1, 4096)
os.pread(cached, 8192, 0)
buffer[:] = b"b" * 4096
os.pwritev(direct, [buffer], 4096)
first = os.pread(cached, 4, 4096)
os.pwrite(cached, b"cccc", 0)
os.preadv(direct, [buffer], 0)
result = first, buffer[:4]
os.close(direct)
os.close(cached)
""", path=self.path("f"))
        self.assertEqual((b"bbbb", b"cccc"), seen)

    def test_flags_that_change_after_the_open(self):
        """O_APPEND by fcntl(2), and RWF_DSYNC of one write by pwritev2(2)."""
        self.app.write_file(self.path("f"), b"0123456789")
        seen = self.app.run("""
fd, reader = os.open(path, os.O_RDWR | os.O_APPEND), os.open(path, os.O_RDONLY)
os.pread(reader, 100, 0)
fcntl.fcntl(fd, fcntl.F_SETFL, 0)
os.pwrite(fd, b"ab", 2)
result = [os.pread(reader, 100, 0)]
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
os.write(fd, b"cd")
other = os.open(path, os.O_RDWR)
fcntl.fcntl(other, fcntl.F_SETFL, os.O_APPEND)
os.write(other, b"ef")
os.pwritev(other, [b"gh"], 0, os.RWF_DSYNC)
result.append(os.pread(reader, 100, 0))
state["fds"] = fd, reader, other
""", path=self.path("f"))
        self.assertEqual([b"01ab456789", b"01ab456789cdefgh"], seen)
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(seen[1], file.read())
        self.app.run("for fd in state['fds']: os.close(fd)")

    def test_direct_io_needs_no_alignment(self):
        seen = self.app.run("""
fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_DIRECT)
os.pwrite(fd, b"odd", 13)
result = os.pread(fd, 100, 0), os.stat(path).st_size
os.close(fd)
""", path=self.path("f"))
        self.assertEqual((bytes(13) + b"odd", 16), seen)

    def test_durable_writes_are_on_the_server_at_once(self):
        for flag in ("O_SYNC", "O_DSYNC", "O_DIRECT"):
            self.app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_WRONLY | getattr(os, flag))
os.write(state["fd"], b"durable")
""", path=self.path(flag), flag=flag)
            with open(self.on_server(flag), "rb") as file:
                self.assertEqual(b"durable", file.read(), flag)
            self.app.run("os.close(state['fd'])")


class Shapes(suite.MountedTest):
    """Holes, vectors, sizes, programs."""

    def test_sparse_file_takes_no_room(self):
        self.app.run("""
fd = os.open(path, os.O_CREAT | os.O_RDWR)
os.pwrite(fd, b"end", 1 << 33)
os.close(fd)
""", path=self.path("f"))
        self.assertEqual((1 << 33) + 3, self.app.stat(self.path("f")).st_size)
        self.assertLess(os.stat(self.on_server("f")).st_blocks * 512, 1 << 20)
        read = self.app.run("""
fd = os.open(path, os.O_RDONLY)
result = os.pread(fd, 10, 1 << 32), os.pread(fd, 10, (1 << 33) - 2)
os.close(fd)
""", path=self.path("f"))
        self.assertEqual((bytes(10), bytes(2) + b"end"), read)

    def test_vectors(self):
        seen = self.app.run("""
fd = os.open(path, os.O_CREAT | os.O_RDWR)
os.pwritev(fd, [b"one", b"", b"two" * 3000, b"end"], 7)
a, b = bytearray(10), bytearray(20000)
count = os.preadv(fd, [a, b], 0)
result = count, bytes(a), bytes(b[:count - 10])
os.close(fd)
""", path=self.path("f"))
        self.assertEqual((9013, bytes(7) + b"one", b"two" * 3000 + b"end"), seen)

    def test_holes_are_data_and_programs_fall_back(self):
        self.app.write_file(self.path("f"), b"some bytes")
        found = self.app.run(NODE + """
fd = os.open(path, os.O_RDWR)
def code(function, *args):
    try:
        function(*args)
        return 0
    except OSError as error:
        return error.errno
other = os.open(path + ".copy", os.O_CREAT | os.O_RDWR)
result = {
    "data": os.lseek(fd, 0, os.SEEK_DATA),
    "hole": os.lseek(fd, 0, os.SEEK_HOLE),
    "posix_fallocate": code(os.posix_fallocate, fd, 0, 1000),
    "fallocate": code(call, "fallocate", fd, 3, ctypes.c_long(0), ctypes.c_long(4096)),
    "copy": os.copy_file_range(fd, other, 10, 0, 0),
    "setxattr": code(os.setxattr, path, "user.x", b"1"),
    "getxattr": code(os.getxattr, path, "user.x"),
    "acl": code(os.getxattr, path, "system.posix_acl_access"),
    "list": code(os.listxattr, path),
}
os.close(other)
os.close(fd)
""", path=self.path("f"))
        self.assertEqual(0, found["data"])
        self.assertEqual(10, found["hole"])
        self.assertEqual(10, found["copy"], "the kernel copies by itself")
        self.assertEqual(0, found["posix_fallocate"], "glibc writes zeros")
        self.assertEqual(errno.EOPNOTSUPP, found["fallocate"])
        for name in ("setxattr", "getxattr"):
            self.assertEqual(errno.EOPNOTSUPP, found[name], name)
        # Either says "no list": on some kernels the second, which they answer themselves.
        self.assertIn(found["acl"], (errno.EOPNOTSUPP, errno.ENODATA))
        self.assertIn(found["list"], (0, errno.EOPNOTSUPP))
        self.assertEqual(b"some bytes", self.app.read_file(self.path("f.copy")))

    def test_rename_flags_fall_back(self):
        self.app.write_file(self.path("a"), b"a")
        self.app.write_file(self.path("b"), b"b")
        for flag, other in ((1, "free"), (2, "b")):  # RENAME_NOREPLACE, RENAME_EXCHANGE
            with self.assert_errno(errno.EINVAL):
                self.app.run(NODE + """
call("renameat2", -100, a.encode(), -100, b.encode(), flag)
""", a=self.path("a"), b=self.path(other), flag=flag)
        self.app.run("""
import subprocess
subprocess.run(["mv", "-n", a, b], check=False)
subprocess.run(["mv", "-n", a, c], check=True)
""", a=self.path("a"), b=self.path("b"), c=self.path("c"))
        self.assertEqual(b"b", self.app.read_file(self.path("b")))
        self.assertEqual(b"a", self.app.read_file(self.path("c")))

    def test_program_that_cannot_be_read_runs(self):
        with open("/bin/true", "rb") as program:
            self.app.write_file(self.path("true"), program.read())
        self.app.chmod(self.path("true"), 0o111)
        self.assertEqual(0, self.app.run("""
import subprocess
result = subprocess.run([path], check=False).returncode
""", path=self.path("true")))
        with self.assert_errno(errno.EACCES):
            self.app.read_file(self.path("true"))

    def test_write_into_a_setuid_file_of_another_owner(self):
        """The server clears the bit; the client has no right to change the mode and must not try."""
        with open(self.on_server("tool"), "wb") as file:
            file.write(b"original")
        os.chown(self.on_server("tool"), 1234, suite.GID)
        os.chmod(self.on_server("tool"), 0o4775)
        self.app.run("""
fd = os.open(path, os.O_WRONLY)
os.write(fd, b"CHANGED!")
os.close(fd)
""", path=self.path("tool"))
        self.assertEqual(b"CHANGED!", self.app.read_file(self.path("tool")))

    def test_file_replaced_by_another_client_opens_by_path_at_once(self):
        """The handle that the name stands for is stale: open and chmod look again, and so do others."""
        second = self.mount()
        for name, use in (("o", "read_file"), ("c", "chmod"), ("t", "truncate"), ("a", "append_file")):
            self.app.write_file(self.path(name), b"old")
            self.app.stat(self.path(name))
            other = os.path.join(second / self.name, name)
            self.app.unlink(other)
            self.app.write_file(other, b"new")
            arguments = {"chmod": (0o600,), "truncate": (3,), "append_file": (b"",)}.get(use, ())
            getattr(self.app, use)(self.path(name), *arguments)
            self.assertEqual(b"new", self.app.read_file(self.path(name)), use)


class Locks(suite.MountedTest):
    """Local to the mount: POSIX, open file description and flock locks of two processes."""

    OPEN = "state['fd'] = os.open(path, os.O_CREAT | os.O_RDWR)"

    def setUp(self):
        super().setUp()
        self.rival = self.actor(suite.APP_UID)
        for process in (self.app, self.rival):
            process.run(self.OPEN, path=self.path("f"))
            self.addCleanup(process.run, "os.close(state['fd'])")

    def conflict(self, lock, unlock):
        self.app.run(lock)
        with self.assert_errno(errno.EAGAIN):
            self.rival.run(lock)
        self.app.run(unlock)
        self.rival.run(lock)

    def test_posix(self):
        self.conflict("fcntl.lockf(state['fd'], fcntl.LOCK_EX | fcntl.LOCK_NB)",
                      "fcntl.lockf(state['fd'], fcntl.LOCK_UN)")

    def test_flock(self):
        self.conflict("fcntl.flock(state['fd'], fcntl.LOCK_EX | fcntl.LOCK_NB)",
                      "fcntl.flock(state['fd'], fcntl.LOCK_UN)")

    def test_open_file_description(self):
        lock = ("fcntl.fcntl(state['fd'], 37, "  # F_OFD_SETLK
                "struct.pack('hhqqi', fcntl.{}, os.SEEK_SET, 0, 0, 0))")
        self.conflict(lock.format("F_WRLCK"), lock.format("F_UNLCK"))


class Nodes(suite.MountedTest):
    """Special files."""

    def test_fifo_and_socket(self):
        got = self.app.run("""
import socket
os.mkfifo(path + "fifo")
fd = os.open(path + "fifo", os.O_RDWR)
os.write(fd, b"through")
through = os.read(fd, 7)
os.close(fd)
os.chdir(path)
server = socket.socket(socket.AF_UNIX)
server.bind("socket")
server.listen()
client = socket.socket(socket.AF_UNIX)
client.connect("socket")
peer = server.accept()[0]
client.send(b"hello")
result = through, peer.recv(5)
os.chdir("/")
""", path=self.path())
        self.assertEqual((b"through", b"hello"), got)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.on_server("fifo")).st_mode))
        self.assertTrue(stat.S_ISSOCK(os.stat(self.on_server("socket")).st_mode))

    def test_fifo_is_opened_by_the_kernel_whatever_its_mode(self):
        got = self.app.run("""
os.mkfifo(path)
os.chmod(path, 0)
os.close(os.open(path, os.O_RDWR))
result = os.access(path, os.R_OK)
""", path=self.path("fifo"))
        self.assertFalse(got)

    def test_device_is_shown_and_cannot_be_opened(self):
        os.mknod(self.on_server("null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.chmod(self.on_server("null"), 0o666)
        shown = self.app.stat(self.path("null"))
        self.assertTrue(stat.S_ISCHR(shown.st_mode))
        self.assertEqual(os.makedev(1, 3), shown.st_rdev)
        with self.assert_errno(errno.EACCES):
            self.app.read_file(self.path("null"))

    def test_making_a_device_is_refused(self):
        with self.assert_errno(errno.EPERM):
            self.app.mknod(self.path("null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))


class LongNames(suite.MountedTest):
    """Up to the limits, and any byte."""

    def test_names_of_255_bytes_and_any_byte(self):
        directory = os.fsencode(self.path())
        names = [b"n" * 255, "ü".encode() * 127, b" ", b"-", b"~", b"\xff\xfe\x80", b"a\nb", b"\x01",
                 bytes(byte for byte in range(1, 256) if byte != ord("/"))]
        for name in names:
            self.app.write_file(directory + name, name)
        self.assertEqual(sorted(names), sorted(self.app.listdir(directory)))
        for name in names:
            self.assertEqual(name, self.app.read_file(directory + name))
        with self.assert_errno(errno.ENAMETOOLONG):
            self.app.write_file(directory + b"n" * 256, b"")

    def test_path_as_long_as_can_be(self):
        path = self.path()
        while len(path) + 252 < 4095:
            path = os.path.join(path, "d" * 250)
            self.app.mkdir(path)
        path = os.path.join(path, "f" * (4094 - len(path)))
        self.assertEqual(4095, len(path))
        self.app.write_file(path, b"deep")
        self.assertEqual(b"deep", self.app.read_file(path))
        with self.assert_errno(errno.ENAMETOOLONG):
            self.app.stat(path + "f")

    def test_a_thousand_levels(self):
        content = self.app.run("""
os.chdir(path)
for level in range(1000):
    os.mkdir("level")
    os.chdir("level")
write_file("bottom", b"here")
result = read_file("bottom")
os.unlink("bottom")
for level in range(1000):
    os.chdir("..")
    os.rmdir("level")
os.chdir("/")
""", path=self.path())
        self.assertEqual(b"here", content)
        self.assertEqual([], os.listdir(self.on_server()))


class LargeReads(suite.MountedTest):
    """Their data goes from the connection to the kernel without a copy of the worker's."""

    SIZE = (24 << 20) + 12345

    def setUp(self):
        super().setUp()
        self.data = random.Random(7).randbytes(self.SIZE)
        with open(self.on_server("large"), "wb") as file:
            file.write(self.data)
            os.fchmod(file.fileno(), 0o666)

    def piped(self):
        return self.m.status()["piped_bytes"]

    def test_a_program_that_reads_in_order(self):
        self.assertEqual(self.data, self.app.read_file(self.path("large")))
        self.assertGreater(self.piped(), self.SIZE // 2)

    def test_small_pieces_that_the_kernel_joins(self):
        self.assertEqual(self.data, self.app.run("""
with open(path, "rb", buffering=0) as file:
    result = b"".join(iter(lambda: file.read(100_003), b""))
""", path=self.path("large")))
        self.assertGreater(self.piped(), self.SIZE // 2)

    def test_direct_reads_of_any_part(self):
        places = [(0, 1 << 20), (4096, 1 << 20), (self.SIZE // 4096 * 4096 - (1 << 20), 2 << 20)]
        seen = self.app.run("""
result = []
fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
for at, size in places:
    space = mmap.mmap(-1, size)
    got = os.preadv(fd, [space], at)
    result.append(space[:got])
os.close(fd)
""", path=self.path("large"), places=places)
        self.assertEqual([self.data[at:at + size] for at, size in places], seen)
        self.assertGreater(self.piped(), 1 << 20)

    def test_parts_that_the_program_has_written(self):
        seen = self.app.run("""
fd = os.open(path, os.O_RDWR)
os.pwrite(fd, b"mine" * 5000, 3_000_000)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
result = b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
os.close(fd)
""", path=self.path("large"))
        self.assertEqual(self.data[:3_000_000] + b"mine" * 5000 + self.data[3_020_000:], seen)

    def test_workers_that_die_in_the_midst(self):
        self.app.start_run("""
digest = hashlib.sha256()
for _ in range(12):
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
result = digest.hexdigest()
""", path=self.path("large"))
        for _ in range(8):
            if worker := self.m.status()["worker_pid"]:  # else the next one is on its way
                os.kill(worker, signal.SIGKILL)
            time.sleep(0.1)
        wanted = hashlib.sha256()
        for _ in range(12):
            wanted.update(self.data)
        self.assertEqual(wanted.hexdigest(), self.app.finish())
