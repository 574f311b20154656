# SPDX-License-Identifier: Apache-2.0
"""What every program does with files, as the application user, seen from both sides: here the file
is the application user's, on the server it is the mapped identity's."""

import errno
import hashlib
import os
import random
import stat

import suite
import uidnfs_command

MIB = 1 << 20


def noise(length, seed=1):
    return random.Random(seed).randbytes(length)


class Files(suite.MountedTest):
    """Creating, reading, writing and removing regular files."""

    def test_created_file_is_the_apps_here_and_the_identitys_there(self):
        self.app.write_file(self.path("f"), b"hello")
        self.assert_owner(self.app.stat(self.path("f")), 2000, 2000)
        self.assert_owner(os.stat(self.on_server("f")), 1001, 1001)

    def test_closed_file_is_complete_on_the_server(self):
        data = noise(3 * MIB + 17)
        self.app.write_file(self.path("f"), data)
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(data, file.read())

    def test_file_made_by_anyone_on_the_server_is_shown_as_the_apps(self):
        with open(self.on_server("f"), "wb") as file:
            file.write(b"from root")
        os.chmod(self.on_server("f"), 0o644)
        self.assertEqual(b"from root", self.app.read_file(self.path("f")))
        self.assert_owner(self.app.stat(self.path("f")), 2000, 2000)

    def test_file_reads_back_what_was_written(self):
        data = noise(MIB + 1)
        self.app.write_file(self.path("f"), data)
        self.assertEqual(data, self.app.read_file(self.path("f")))

    def test_written_bytes_are_seen_before_close(self):
        size, data = self.app.run("""
fd = os.open(path, os.O_CREAT | os.O_RDWR)
os.pwrite(fd, b"early", 0)
result = os.stat(path).st_size, os.pread(fd, 100, 0)
os.close(fd)
""", path=self.path("f"))
        self.assertEqual((5, b"early"), (size, data))

    def test_overwriting_in_the_middle(self):
        self.app.write_file(self.path("f"), b"a" * 10000)
        self.app.run("""
fd = os.open(path, os.O_WRONLY)
os.pwrite(fd, b"b" * 100, 5000)
os.close(fd)
""", path=self.path("f"))
        expected = b"a" * 5000 + b"b" * 100 + b"a" * 4900
        self.assertEqual(expected, self.app.read_file(self.path("f")))

    def test_append_goes_to_the_end(self):
        self.app.append_file(self.path("f"), b"one ")
        self.app.append_file(self.path("f"), b"two")
        self.assertEqual(b"one two", self.app.read_file(self.path("f")))

    def test_append_goes_to_the_end_that_the_server_knows(self):
        self.app.append_file(self.path("f"), b"one ")
        with open(self.on_server("f"), "ab") as file:
            file.write(b"two ")
        self.app.append_file(self.path("f"), b"three")
        self.assertEqual(b"one two three", self.app.read_file(self.path("f")))

    def test_open_for_writing_truncates(self):
        self.app.write_file(self.path("f"), b"long content")
        self.app.write_file(self.path("f"), b"short")
        self.assertEqual(b"short", self.app.read_file(self.path("f")))
        self.assertEqual(5, os.stat(self.on_server("f")).st_size)

    def test_exclusive_create_happens_once(self):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        self.app.close(self.app.open(self.path("f"), flags, 0o640))
        self.assertEqual(0o640, stat.S_IMODE(os.stat(self.on_server("f")).st_mode))
        with self.assert_errno(errno.EEXIST):
            self.app.open(self.path("f"), flags)

    def test_truncate_down_and_up(self):
        self.app.write_file(self.path("f"), b"0123456789")
        self.app.truncate(self.path("f"), 4)
        self.assertEqual(b"0123", self.app.read_file(self.path("f")))
        self.app.truncate(self.path("f"), 8)
        self.assertEqual(b"0123" + bytes(4), self.app.read_file(self.path("f")))
        self.assertEqual(8, os.stat(self.on_server("f")).st_size)

    def test_ftruncate_of_an_open_file_with_unsent_bytes(self):
        self.app.run("""
fd = os.open(path, os.O_CREAT | os.O_RDWR)
os.write(fd, b"x" * 100000)
os.ftruncate(fd, 10)
os.pwrite(fd, b"end", 20)
os.close(fd)
""", path=self.path("f"))
        expected = b"x" * 10 + bytes(10) + b"end"
        self.assertEqual(expected, self.app.read_file(self.path("f")))
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(expected, file.read())

    def test_large_file_is_the_same_on_both_sides(self):
        self.app.run("""
import random
noise = random.Random(7)
with open(path, "wb") as file:
    for _ in range(64):
        file.write(noise.randbytes(1 << 20))
""", path=self.path("f"))
        expected = hashlib.sha256(b"".join(_megabytes(7, 64))).hexdigest()
        self.assertEqual((64 * MIB, expected), self.app.digest(self.path("f")))
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(expected, hashlib.file_digest(file, "sha256").hexdigest())

    def test_file_beyond_4_gib(self):
        offset = (5 << 30) + 123
        read = self.app.run("""
fd = os.open(path, os.O_CREAT | os.O_RDWR)
os.pwrite(fd, b"far away", offset)
os.fsync(fd)
result = os.pread(fd, 100, offset), os.pread(fd, 4, offset - 4)
os.close(fd)
""", path=self.path("f"), offset=offset)
        self.assertEqual((b"far away", bytes(4)), read)
        self.assertEqual(offset + 8, os.stat(self.on_server("f")).st_size)
        self.assertEqual(offset + 8, self.app.stat(self.path("f")).st_size)

    def test_fsync_makes_it_visible_on_the_server(self):
        self.app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_WRONLY)
os.write(state["fd"], b"durable")
os.fsync(state["fd"])
""", path=self.path("f"))
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(b"durable", file.read())
        self.app.run("os.close(state['fd'])")

    def test_reading_through_a_mapping(self):
        data = noise(300000)
        self.app.write_file(self.path("f"), data)
        read = self.app.run("""
with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
    result = view[:]
""", path=self.path("f"))
        self.assertEqual(data, read)

    def test_absent_file(self):
        for call in ("stat", "unlink", "readlink", "listdir", "read_file"):
            with self.subTest(call), self.assert_errno(errno.ENOENT):
                getattr(self.app, call)(self.path("absent"))

    def test_program_runs_from_the_mount(self):
        with open("/bin/true", "rb") as file:
            self.app.write_file(self.path("true"), file.read())
        self.app.chmod(self.path("true"), 0o755)
        self.assertEqual(0, self.app.spawnv(os.P_WAIT, self.path("true"), ["true"]))


def _megabytes(seed, count):
    source = random.Random(seed)
    return (source.randbytes(MIB) for _ in range(count))


class Sizes(suite.MountedTest):
    """Requests of 1 MiB on the way to the server."""

    def test_a_megabyte_is_one_write(self):
        self.m.host.clear()
        self.app.run("""
fd = os.open(path, os.O_CREAT | os.O_WRONLY)
for i in range(8):
    os.pwrite(fd, bytes(1 << 20), i << 20)
os.close(fd)
""", path=self.path("f"))
        self.assertEqual(8, len(self.m.host.calls("NFS3 WRITE")))

    def test_sequential_reading_asks_for_megabytes(self):
        with open(self.on_server("f"), "wb") as file:
            file.write(noise(16 * MIB))
        self.m.host.clear()
        self.assertEqual(16 * MIB, self.app.digest(self.path("f"))[0])
        self.assertIn(len(self.m.host.calls("NFS3 READ")), range(16, 25))


class Names(suite.MountedTest):
    """Directories, links and special files."""

    def test_listing_has_everything_once(self):
        names = {f"file-{number:04}" for number in range(2000)}
        self.app.run("""
for name in names:
    os.close(os.open(os.path.join(path, name), os.O_CREAT | os.O_WRONLY))
""", path=self.path(), names=names)
        listed = self.app.listdir(self.path())
        self.assertEqual(sorted(names), sorted(listed))

    def test_listing_with_attributes(self):
        for name, size in (("one", 1), ("two", 2), ("three", 3)):
            self.app.write_file(self.path(name), bytes(size))
        found = self.app.run("""
result = {entry.name: (entry.stat().st_size, entry.stat().st_uid, entry.inode())
          for entry in os.scandir(path)}
""", path=self.path())
        inode = {name: os.stat(self.on_server(name)).st_ino for name in ("one", "two", "three")}
        self.assertEqual({"one": (1, 2000, inode["one"]), "two": (2, 2000, inode["two"]),
                          "three": (3, 2000, inode["three"])}, found)

    def test_listing_after_changes(self):
        self.app.write_file(self.path("a"), b"")
        self.assertEqual(["a"], self.app.listdir(self.path()))
        self.app.write_file(self.path("b"), b"")
        self.app.unlink(self.path("a"))
        self.assertEqual(["b"], self.app.listdir(self.path()))

    def test_mkdir_and_rmdir(self):
        self.app.mkdir(self.path("d"), 0o750)
        made = os.stat(self.on_server("d"))
        self.assert_owner(made, 1001, 1001)
        self.assertEqual(stat.S_IFDIR | 0o750, made.st_mode)
        self.app.rmdir(self.path("d"))
        self.assertFalse(os.path.exists(self.on_server("d")))

    def test_rmdir_of_a_full_directory(self):
        self.app.mkdir(self.path("d"))
        self.app.write_file(self.path("d/f"), b"")
        with self.assert_errno(errno.ENOTEMPTY):
            self.app.rmdir(self.path("d"))

    def test_unlink_and_rmdir_know_their_kind(self):
        self.app.mkdir(self.path("d"))
        self.app.write_file(self.path("f"), b"")
        with self.assert_errno(errno.EISDIR):
            self.app.unlink(self.path("d"))
        with self.assert_errno(errno.ENOTDIR):
            self.app.rmdir(self.path("f"))

    def test_mkdir_where_something_is(self):
        self.app.mkdir(self.path("d"))
        with self.assert_errno(errno.EEXIST):
            self.app.mkdir(self.path("d"))

    def test_rename_in_a_directory(self):
        self.app.write_file(self.path("old"), b"kept")
        self.app.rename(self.path("old"), self.path("new"))
        self.assertEqual(["new"], self.app.listdir(self.path()))
        self.assertEqual(b"kept", self.app.read_file(self.path("new")))
        self.assertEqual(["new"], os.listdir(self.on_server()))

    def test_rename_across_directories_and_over_a_file(self):
        self.app.mkdir(self.path("d"))
        self.app.write_file(self.path("f"), b"new")
        self.app.write_file(self.path("d/f"), b"old")
        self.app.rename(self.path("f"), self.path("d/f"))
        self.assertEqual(b"new", self.app.read_file(self.path("d/f")))
        self.assertFalse(self.app.run("result = os.path.exists(path)", path=self.path("f")))

    def test_rename_of_a_directory(self):
        self.app.makedirs(self.path("d/inner"))
        self.app.write_file(self.path("d/inner/f"), b"deep")
        self.app.rename(self.path("d"), self.path("e"))
        self.assertEqual(b"deep", self.app.read_file(self.path("e/inner/f")))
        self.app.mkdir(self.path("full"))
        self.app.write_file(self.path("full/f"), b"")
        with self.assert_errno(errno.ENOTEMPTY):
            self.app.rename(self.path("e"), self.path("full"))

    def test_removed_file_is_gone_on_both_sides(self):
        self.app.write_file(self.path("f"), b"")
        self.app.unlink(self.path("f"))
        with self.assert_errno(errno.ENOENT):
            self.app.stat(self.path("f"))
        self.assertEqual([], os.listdir(self.on_server()))

    def test_symlink(self):
        target = "../" + "long/" * 40 + "target"
        self.app.symlink(target, self.path("s"))
        self.assertEqual(target, self.app.readlink(self.path("s")))
        self.assertEqual(target, os.readlink(self.on_server("s")))
        self.assert_owner(self.app.lstat(self.path("s")), 2000, 2000)
        self.assert_owner(os.lstat(self.on_server("s")), 1001, 1001)

    def test_symlink_is_followed(self):
        self.app.write_file(self.path("f"), b"behind")
        self.app.symlink("f", self.path("s"))
        self.assertEqual(b"behind", self.app.read_file(self.path("s")))

    def test_hard_link_is_the_same_file(self):
        self.app.write_file(self.path("f"), b"shared")
        self.app.link(self.path("f"), self.path("g"))
        first, second = self.app.stat(self.path("f")), self.app.stat(self.path("g"))
        self.assertEqual((first.st_ino, 2, 2), (second.st_ino, first.st_nlink, second.st_nlink))
        self.app.unlink(self.path("f"))
        self.assertEqual(b"shared", self.app.read_file(self.path("g")))
        self.assertEqual(1, self.app.stat(self.path("g")).st_nlink)

    def test_somebody_elses_open_file_in_a_sticky_directory_is_not_replaced(self):
        os.mkdir(self.on_server("d"))
        os.chmod(self.on_server("d"), 0o1777)
        with open(self.on_server("d/theirs"), "wb") as theirs:
            os.fchmod(theirs.fileno(), 0o666)
        self.app.write_file(self.path("d/mine"), b"")
        self.app.run("state['fd'] = os.open(path, os.O_RDWR)", path=self.path("d/theirs"))
        with self.assert_errno(errno.EPERM):
            self.app.rename(self.path("d/mine"), self.path("d/theirs"))
        self.assertEqual(["mine", "theirs"], sorted(os.listdir(self.on_server("d"))))
        self.app.run("os.close(state.pop('fd'))")

    def test_times_of_a_directory_after_the_last_close_of_a_removed_file(self):
        self.app.mkdir(self.path("d"))
        self.app.run("""
state['fd'] = os.open(path + "/f", os.O_CREAT | os.O_RDWR)
os.unlink(path + "/f")
os.stat(path)
os.close(state.pop('fd'))
""", path=self.path("d"))
        uidnfs_command.wait_until(lambda: not os.listdir(self.on_server("d")), 5, "the last REMOVE")
        changed = os.stat(self.on_server("d")).st_mtime_ns
        uidnfs_command.wait_until(
            lambda: self.app.stat(self.path("d")).st_mtime_ns == changed, 5, "the new time")

    def test_fifo_and_socket(self):
        for name, kind in (("fifo", stat.S_IFIFO), ("socket", stat.S_IFSOCK)):
            with self.subTest(name):
                self.app.mknod(self.path(name), kind | 0o600)
                self.assertEqual(kind | 0o600, self.app.stat(self.path(name)).st_mode)
                self.assertEqual(kind | 0o600, os.stat(self.on_server(name)).st_mode)
                self.assert_owner(os.stat(self.on_server(name)), 1001, 1001)

    def test_fifo_carries_bytes(self):
        self.app.mkfifo(self.path("fifo"))
        read = self.app.run("""
fd = os.open(path, os.O_RDWR)
os.write(fd, b"through")
result = os.read(fd, 100)
os.close(fd)
""", path=self.path("fifo"))
        self.assertEqual(b"through", read)

    def test_names_are_bytes(self):
        names = [b"n" * 255, "gr\u00fc\u00dfe \u96ea".encode(), b"\xff\xfe\x01", b" ", b"-rf",
                 b"a\nb"]
        for name in names:
            self.app.run("open(os.path.join(path, name), 'w').close()",
                         path=os.fsencode(self.path()), name=name)
        self.assertEqual(sorted(names), sorted(self.app.listdir(os.fsencode(self.path()))))
        self.assertEqual(sorted(names), sorted(os.listdir(os.fsencode(self.on_server()))))

    def test_name_of_256_bytes_is_too_long(self):
        with self.assert_errno(errno.ENAMETOOLONG):
            self.app.mkdir(self.path("n" * 256))


class Attributes(suite.MountedTest):
    """Modes, times and numbers."""

    def setUp(self):
        super().setUp()
        self.app.write_file(self.path("f"), b"content")

    def test_inode_number_and_size_are_the_servers(self):
        here, there = self.app.stat(self.path("f")), os.stat(self.on_server("f"))
        self.assertEqual((there.st_ino, there.st_size, there.st_mtime_ns),
                         (here.st_ino, here.st_size, here.st_mtime_ns))

    def test_chmod(self):
        self.app.chmod(self.path("f"), 0o604)
        self.assertEqual(0o604, stat.S_IMODE(self.app.stat(self.path("f")).st_mode))
        self.assertEqual(0o604, stat.S_IMODE(os.stat(self.on_server("f")).st_mode))

    def test_mode_of_a_new_file_is_less_the_umask(self):
        made = self.app.run("""
before = os.umask(0o027)
os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
os.umask(before)
result = os.stat(path).st_mode
""", path=self.path("g"))
        self.assertEqual(stat.S_IFREG | 0o640, made)

    def test_times_to_the_nanosecond(self):
        times = (1_500_000_000_123_456_789, 1_600_000_000_987_654_321)
        self.app.utime(self.path("f"), ns=times)
        here, there = self.app.stat(self.path("f")), os.stat(self.on_server("f"))
        self.assertEqual(times, (here.st_atime_ns, here.st_mtime_ns))
        self.assertEqual(times, (there.st_atime_ns, there.st_mtime_ns))

    def test_touch_sets_the_present(self):
        self.app.utime(self.path("f"), ns=(0, 0))
        self.app.utime(self.path("f"))
        self.assertGreater(os.stat(self.on_server("f")).st_mtime, 1_600_000_000)

    def test_writing_changes_the_mtime(self):
        self.app.utime(self.path("f"), ns=(0, 0))
        self.app.append_file(self.path("f"), b"more")
        here, there = self.app.stat(self.path("f")), os.stat(self.on_server("f"))
        self.assertGreater(there.st_mtime, 1_600_000_000)
        self.assertEqual(there.st_mtime_ns, here.st_mtime_ns)

    def test_access_is_the_servers_word(self):
        self.app.chmod(self.path("f"), 0o400)
        self.assertTrue(self.app.access(self.path("f"), os.R_OK))
        self.assertFalse(self.app.access(self.path("f"), os.X_OK))

    def test_statvfs_has_the_servers_numbers(self):
        here, there = self.app.statvfs(self.path()), os.statvfs(self.on_server())
        self.assertEqual(there.f_blocks * there.f_frsize, here.f_blocks * here.f_frsize)
        self.assertEqual((there.f_files, 255), (here.f_files, here.f_namemax))
        free = there.f_bfree * there.f_frsize
        self.assertAlmostEqual(free, here.f_bfree * here.f_frsize, delta=64 * MIB)
