# SPDX-License-Identifier: Apache-2.0
"""What docs/SEMANTICS.md promises, against the real server: sentences that no other suite tests.

Two mounts are two clients, each with a proxy of its own, so that what one of them asks is counted.
"""

import errno
import os
import pathlib
import select
import struct
import subprocess
import threading
import time

import rpc_proxy
import rpc_wire
import suite
import uidnfs_command

MIB = 1 << 20
FILE_SYNC = 2


def stability(seen):
    """`stable` of a WRITE call (RFC 1813 3.3.7)."""
    reader = rpc_wire.Reader(seen.call.args)
    reader.opaque()
    reader.ulong()
    reader.uint()
    return reader.uint()


def no_space(record):
    """The reply `record` to a WRITE with NFS3ERR_NOSPC and no attributes instead of its results."""
    return record[:4] + struct.pack(">5I", 1, 0, 0, 0, 0) + struct.pack(">III", 28, 0, 0)


class Identity(suite.IntegrationTest):
    """Whose files are shown, and what others may."""

    def test_present_mapped_shows_foreign_files_as_they_are(self):
        mount = self.mount("shared", options="present=mapped,actimeo=0")
        app = self.actor(2000)
        app.write_file(mount / "mapped", b"ours")
        there = pathlib.Path(mount.export_path)
        for name, owner in (("foreign", 1234), ("lookalike", 2000)):
            (there / name).write_bytes(b"theirs")
            os.chown(there / name, owner, owner)
        self.assert_owner(app.stat(mount / "mapped"), 2000, 2000)
        self.assert_owner(app.stat(mount / "foreign"), 1234, 1234)
        self.assert_owner(app.stat(mount / "lookalike"), 65534, 65534)

    def test_others_may_stat_the_root_and_ask_how_full_it_is(self):
        mount = self.mount()
        other = self.actor(3000)
        self.assert_owner(other.stat(str(mount.path)), 2000, 2000)
        self.assertGreater(other.statvfs(str(mount.path)).f_blocks, 0)
        with self.assert_errno(errno.EACCES):
            other.listdir(str(mount.path))


    def test_what_the_kernel_has_cached_stays_visible_to_others(self):
        """A difference to a local file system: who may not open a file may know its size."""
        mount = self.mount()
        app, other = self.actor(2000), self.actor(3000)
        app.write_file(mount / "known", b"12345")
        app.stat(mount / "known")
        with self.assert_errno(errno.EACCES):
            other.open(mount / "known", os.O_RDONLY)
        self.assertEqual(5, other.stat(mount / "known").st_size)


class Clients(suite.IntegrationTest):
    """Two mounts of one export."""

    def setUp(self):
        super().setUp()
        self.app, self.other = self.actor(2000), self.actor(2000)
        self.name = self.id().rsplit(".", 1)[-1]

    def two(self, options=""):
        first, second = self.mount(), self.mount(options=options)
        return first, second, first / self.name, second / self.name


class Consistency(Clients):
    """What one client sees of the other's changes, and when."""

    def test_nocto_believes_its_attributes_at_open(self):
        _, second, here, there = self.two("nocto,acregmin=60,acregmax=60")
        self.app.write_file(here, b"first")
        self.assertEqual(b"first", self.other.read_file(there))
        self.app.write_file(here, b"second")
        second.host.clear()
        self.assertEqual(5, self.other.run("""
fd = os.open(path, os.O_RDONLY)
result = os.fstat(fd).st_size
os.close(fd)
""", path=there))
        self.assertEqual([], second.host.calls("NFS3 GETATTR"))

    def test_noac_reads_ask_through_an_open_descriptor_too(self):
        _, _, here, there = self.two("noac")
        self.app.write_file(here, b"first")
        self.other.run("state['fd'] = os.open(path, os.O_RDONLY)", path=there)
        for text in (b"first", b"other", b"third"):
            self.app.run("""
fd = os.open(path, os.O_WRONLY)
os.pwrite(fd, text, 0)
os.close(fd)
time.sleep(0.03)  # a tick of the server's clock
""", path=here, text=text)
            self.assertEqual(text, self.other.run("result = os.pread(state['fd'], 100, 0)"))
        self.other.run("os.close(state['fd'])")

    def test_pages_of_an_open_file_end_with_its_attributes(self):
        """Nobody opens, stats or reads anything that would ask the server."""
        _, _, there, here = self.two("actimeo=1")
        reader = self.other
        self.app.write_file(there, b"old!" * 4096)
        reader.run("""
state["fd"] = os.open(path, os.O_RDONLY)
state["map"] = mmap.mmap(state["fd"], 0, prot=mmap.PROT_READ)
""", path=here)
        look = "result = os.pread(state['fd'], 4, 8192), state['map'][4096:4100]"
        self.assertEqual((b"old!", b"old!"), reader.run(look))
        for text in (b"new!", b"more"):
            self.app.run("""
fd = os.open(path, os.O_WRONLY)
os.pwrite(fd, text * 4096, 0)
os.close(fd)
""", path=there, text=text)
            uidnfs_command.wait_until(lambda t=text: reader.run(look) == (t, t), 4, "the new bytes")
        reader.run("state.pop('map').close(); os.close(state.pop('fd'))")

    def test_a_read_that_hangs_keeps_the_pages_of_no_other_file(self):
        """The kernel keeps whoever drops the pages of a file that a READ without an answer holds."""
        mount = self.mount(options="actimeo=1")
        big, small = mount / "hanging-big", mount / "hanging-small"
        self.app.write_file(big, b"x" * (4 * MIB))
        self.app.write_file(small, b"old!" * 1024)
        self.other.run("state['fd'] = os.open(path, os.O_RDONLY)", path=str(small))
        look = "result = os.stat(path).st_size, os.pread(state['fd'], 4, 0)"
        self.assertEqual((4096, b"old!"), self.other.run(look, path=str(small)))
        rule = mount.host.rule(rpc_proxy.named("NFS3 READ"), rpc_proxy.DelayReply(12), 1)
        hanging = self.actor(2000)
        hanging.start_run(
            "fd = os.open(path, os.O_RDONLY); os.pread(fd, 4096, 2 << 20); os.close(fd)",
            path=str(big))
        rule.wait_for_hits()
        began = time.monotonic()
        with open(mount.on_server("hanging-big"), "ab") as there:
            there.write(b"more")
        uidnfs_command.wait_until(lambda: self.app.stat(big).st_size == 4 * MIB + 4, 6,
                                  "the new size of the one file")
        with open(mount.on_server("hanging-small"), "r+b") as there:
            there.write(b"new!")
        uidnfs_command.wait_until(
            lambda: self.other.run(look, path=str(small)) == (4096, b"new!"), 6,
            "the new bytes of the other one")
        self.assertLess(time.monotonic() - began, 11, "the READ has no answer yet")
        hanging.finish(20)
        self.other.run("os.close(state.pop('fd'))")

    def test_open_files_that_nobody_reads_cost_no_calls(self):
        first, _, here, _ = self.two()
        self.app.run("state['fd'] = os.open(path, os.O_CREAT | os.O_RDONLY)", path=here)
        first.host.clear()
        time.sleep(4)
        self.assertEqual([], first.host.calls("NFS3 GETATTR"))
        self.app.run("os.close(state.pop('fd'))")

    def test_attributes_are_as_old_as_the_options_allow(self):
        _, _, here, there = self.two("acregmin=2,acregmax=2")
        self.app.write_file(here, b"12345")
        self.assertEqual(5, self.other.stat(there).st_size)
        self.app.append_file(here, b"678")
        self.assertEqual(5, self.other.stat(there).st_size)
        self.assertEqual(5, self.other.run("""
import ctypes
found, force_sync, size = ctypes.create_string_buffer(256), 0x2000, 0x200
if ctypes.CDLL(None).statx(-100, os.fsencode(path), force_sync, size, found) == 0:
    result = struct.unpack_from("Q", found, 40)[0]
""", path=there))
        uidnfs_command.wait_until(lambda: self.other.stat(there).st_size == 8, 6, "the new size")

    def test_names_and_their_absence_are_as_old_as_the_options_allow(self):
        _, _, here, there = self.two("acdirmin=2,acdirmax=2")
        with self.assert_errno(errno.ENOENT):
            self.other.stat(there)
        self.app.write_file(here, b"")
        with self.assert_errno(errno.ENOENT):
            self.other.stat(there)
        uidnfs_command.wait_until(
            lambda: self.other.run("result = os.path.exists(path)", path=there), 6, "the new name")

    def test_own_changes_keep_own_caches_and_foreign_ones_do_not(self):
        first, _, here, there = self.two()
        data = os.urandom(4 * MIB)
        self.app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_RDWR)
os.pwrite(state["fd"], data, 0)
os.fsync(state["fd"])
os.pread(state["fd"], len(data), 0)
""", path=here, data=data)
        first.host.clear()
        self.app.run("os.fchmod(state['fd'], 0o640); os.pread(state['fd'], size, 0)",
                     size=len(data))
        self.assertEqual([], first.host.calls("NFS3 READ"))
        self.other.run("""
fd = os.open(path, os.O_WRONLY)
os.pwrite(fd, b"changed", 100)
os.close(fd)
""", path=there)
        self.assertEqual(b"changed", self.app.read_file(here)[100:107])
        self.app.run("os.close(state.pop('fd'))")

    def test_stat_of_unsent_data_shows_the_servers_times_and_size(self):
        first, _, here, _ = self.two()
        shown = self.app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_RDWR)
os.pwrite(state["fd"], bytes(70000), 0)
result = os.stat(path)
""", path=here)
        there = os.stat(first.on_server(self.name))
        self.assertEqual((there.st_size, there.st_mtime_ns, there.st_ctime_ns),
                         (shown.st_size, shown.st_mtime_ns, shown.st_ctime_ns))
        self.app.run("os.close(state.pop('fd'))")

    def test_so_does_one_that_looks_the_name_up(self):
        """In a listing, and with every stat where names are not cached."""
        mount = self.mount(options="lookupcache=none")
        there, shown, listed = mount.on_server(self.name), [], []
        self.app.run("state['fd'] = os.open(path, os.O_CREAT | os.O_RDWR)",
                     path=mount / self.name)
        for found in (shown, listed):
            before = os.stat(there).st_mtime_ns
            time.sleep(0.02)
            found.append(self.app.run("""
os.pwrite(state["fd"], b"a", 0)
entries = os.scandir(os.path.dirname(path)) if by_listing else ()
for entry in entries:
    entry.stat()
result = os.stat(path).st_mtime_ns
""", path=mount / self.name, by_listing=found is listed))
            self.assertEqual([os.stat(there).st_mtime_ns], found)
            self.assertLess(before, found[0])
        self.app.run("os.close(state.pop('fd'))")


class Writing(Clients):
    """When bytes are where, and who hears of errors."""

    def test_unsent_bytes_leave_within_a_second_and_are_committed_within_five(self):
        mount = self.mount()
        self.app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_RDWR)
os.pwrite(state["fd"], b"x" * 100, 0)
""", path=mount / self.name)
        began = time.monotonic()
        # A second and what a loaded machine adds to it.
        mount.host.wait_for_call("NFS3 WRITE", 4)
        mount.host.wait_for_call("NFS3 COMMIT", began + 9 - time.monotonic())
        self.assertEqual(b"x" * 100, pathlib.Path(mount.on_server(self.name)).read_bytes())
        self.app.run("os.close(state.pop('fd'))")

    def test_commit_behind_lets_close_go_and_commits_within_five_seconds(self):
        mount = self.mount(options="commit=behind")
        path = mount / self.name
        mount.host.rule(rpc_proxy.named("NFS3 COMMIT"), rpc_proxy.Delay(1.0))
        began = time.monotonic()
        self.app.write_file(path, bytes(3 * MIB))
        self.assertEqual(3 * MIB, os.stat(mount.on_server(self.name)).st_size)
        self.assertEqual([], [seen for seen in mount.host.calls("NFS3 COMMIT")
                              if seen.at < began])
        mount.host.wait_for_call("NFS3 COMMIT", 9)
        mount.host.clear()
        self.app.run("""
fd = os.open(path, os.O_RDWR)
os.pwrite(fd, bytes(2 << 20), 0)
os.fsync(fd)
os.close(fd)
""", path=path)
        self.assertGreaterEqual(len(mount.host.calls("NFS3 COMMIT")), 1)

    def test_error_of_a_write_is_told_once_to_each_open_file(self):
        mount = self.mount()
        path = mount / self.name
        self.app.write_file(path, b"")
        self.other.run("state['fd'] = os.open(path, os.O_RDWR)", path=path)
        rule = mount.host.rule(rpc_proxy.named("NFS3 WRITE"), rpc_proxy.ReplaceReply(no_space))
        self.app.run("state['fd'] = os.open(path, os.O_RDWR); os.pwrite(state['fd'], b'x', 0)",
                     path=path)
        with self.assert_errno(errno.ENOSPC):
            self.app.run("os.fsync(state['fd'])")
        with self.assert_errno(errno.ENOSPC):
            self.other.run("os.close(state['fd'])")
        # The disk is full: from now on a write waits for the server's word.
        with self.assert_errno(errno.ENOSPC):
            self.app.run("os.pwrite(state['fd'], b'y', 0); os.fsync(state['fd'])")
        rule.remove()
        self.app.run("os.pwrite(state['fd'], b'z', 0); os.fsync(state['fd'])")
        self.app.run("os.close(state.pop('fd'))")
        self.assertEqual(b"z", pathlib.Path(mount.on_server(self.name)).read_bytes())

    def test_synchronous_files_and_mounts_wait_for_the_disk(self):
        plain, synchronous = self.mount(), self.mount(options="sync")
        for mount, flags in ((plain, os.O_SYNC), (plain, os.O_DSYNC), (plain, os.O_DIRECT),
                             (synchronous, 0)):
            with self.subTest(flags=flags):
                mount.host.clear()
                self.app.run("""
view = mmap.mmap(-1, 8192)
view.write(b"s" * 8192)
state["fd"] = os.open(path, os.O_CREAT | os.O_RDWR | flags)
os.writev(state["fd"], [memoryview(view)])
""", path=mount / f"{self.name}-{flags}", flags=flags)
                writes = mount.host.calls("NFS3 WRITE")
                self.assertGreaterEqual(len(writes), 1)
                committed = mount.host.calls("NFS3 COMMIT")
                self.assertTrue(committed or all(stability(w) == FILE_SYNC for w in writes))
                self.app.run("os.close(state.pop('fd'))")

    def test_appends_of_two_clients_one_after_the_other(self):
        _, _, here, there = self.two()
        self.app.write_file(here, b"")
        self.app.run("state['fd'] = os.open(path, os.O_WRONLY | os.O_APPEND)", path=here)
        self.other.run("state['fd'] = os.open(path, os.O_WRONLY | os.O_APPEND)", path=there)
        append = "os.write(state['fd'], text); os.fsync(state['fd'])"
        for number in range(10):
            self.app.run(append, text=b"a%d " % number)
            self.other.run(append, text=b"b%d " % number)
        for each in (self.app, self.other):
            each.run("os.close(state.pop('fd'))")
        expected = b"".join(b"a%d b%d " % (n, n) for n in range(10))
        self.assertEqual(expected, self.app.read_file(here))

    def test_a_single_write_that_appends(self):
        mount = self.mount()
        found = self.app.run("""
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b"not yet sent", 0)
os.pwritev(fd, [b", appended"], 0, os.RWF_APPEND)
os.pwrite(fd, b"N", 0)
result = os.pread(fd, 100, 0)
os.close(fd)
""", path=mount / self.name)
        self.assertEqual(b"Not yet sent, appended", found)

    def test_page_write_back_is_taken_beyond_the_budget(self):
        mount = self.mount(options="write_behind=1M")
        self.app.run("""
fd = os.open(path, os.O_CREAT | os.O_RDWR)
os.ftruncate(fd, 24 << 20)
with mmap.mmap(fd, 24 << 20) as view:
    for page in range(0, 24 << 20, 4096):
        view[page:page + 4] = page.to_bytes(4, "little")
    view.flush()
os.close(fd)
""", path=mount / self.name)
        data = pathlib.Path(mount.on_server(self.name)).read_bytes()
        self.assertEqual(24 * MIB, len(data))
        for page in range(0, 24 * MIB, 4096):
            self.assertEqual(page.to_bytes(4, "little"), data[page:page + 4])


class Names(Clients):
    """Exclusive creation, renaming, listing while things change."""

    def test_open_file_that_was_removed_has_one_link_less(self):
        mount = self.mount()
        self.assertEqual((1, 0), self.app.run("""
fd = os.open(path, os.O_CREAT | os.O_RDWR)
before = os.fstat(fd).st_nlink
os.unlink(path)
result = before, os.fstat(fd).st_nlink
os.close(fd)
""", path=mount / self.name))

    def test_file_replaced_by_rename_stays_readable_for_those_who_have_it_open(self):
        mount = self.mount()
        self.app.write_file(mount / self.name, b"old")
        self.app.write_file(mount / (self.name + ".new"), b"new")
        self.assertEqual((b"old", b"new"), self.app.run("""
fd = os.open(path, os.O_RDONLY)
os.rename(path + ".new", path)
result = os.pread(fd, 10, 0), read_file(path)
os.close(fd)
""", path=mount / self.name))

    def test_exclusive_create_has_one_winner_between_clients(self):
        first, second = self.mount(), self.mount()
        race = """
result = 0
for number in range(40):
    try:
        os.close(os.open(f"{path}-{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        result += 1
    except FileExistsError:
        pass
"""
        self.app.start_run(race, path=first / self.name)
        self.other.start_run(race, path=second / self.name)
        self.assertEqual(40, self.app.finish() + self.other.finish())

    def test_what_is_made_has_an_access_time_of_its_own(self):
        _, _, here, there = self.two()
        for how in ("mkdir", "mkfifo", "mknod"):
            seen = set()
            for number in range(3):
                name = f"{how}-{number}"
                before = time.time_ns()
                getattr(self.app, how)(f"{here}-{name}")
                after = time.time_ns()
                found = self.app.stat(f"{here}-{name}")
                # To the second, as programs compare it that know no more.
                self.assertTrue(before // 10**9 <= found.st_atime_ns // 10**9 <= after // 10**9, how)
                self.assertLessEqual(found.st_atime_ns, after, how)
                # Of the server, whose clock is this one in steps of a tick.
                self.assertTrue(before - 50_000_000 <= found.st_mtime_ns <= after, how)
                self.assertEqual(found.st_atime_ns,
                                 self.other.stat(f"{there}-{name}").st_atime_ns, how)
                seen.add(found.st_atime_ns % 1_000_000_000)
            self.assertEqual(3, len(seen), how)

    def test_rename_flags_fail_with_einval(self):
        mount = self.mount()
        for name in ("a", "b"):
            self.app.write_file(mount / f"{self.name}-{name}", name.encode())
        # RENAME_NOREPLACE, of which the kernel itself sees whether the name is taken, and EXCHANGE.
        for flags, to, number in ((1, "free", errno.EINVAL), (1, "b", errno.EEXIST),
                                  (2, "b", errno.EINVAL)):
            with self.subTest(flags=flags, to=to), self.assert_errno(number):
                self.app.run("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.renameat2(-100, os.fsencode(path + "-a"), -100, os.fsencode(path + "-" + to), flags):
    raise OSError(ctypes.get_errno(), "renameat2")
""", path=mount / self.name, to=to, flags=flags)
        self.assertEqual(b"b", self.app.read_file(mount / f"{self.name}-b"))

    def test_rename_over_a_name_never_shows_a_gap(self):
        mount, watcher = self.mount(), self.mount(options="actimeo=0,lookupcache=none")
        path = mount / self.name
        self.app.write_file(path, b"0")
        self.other.start_run("""
end, result = time.monotonic() + 1.5, 0
while time.monotonic() < end:
    try:
        os.stat(path)
        result += 1
    except OSError as error:
        # Replaced twice between the lookup and what follows it; a name that is missing is no answer.
        if error.errno != errno.ESTALE:
            raise
""", path=watcher / self.name)
        for number in range(60):
            self.app.write_file(path + ".new", b"%d" % number)
            self.app.rename(path + ".new", path)
        self.assertGreater(self.other.finish(), 0)

    def test_listing_shows_what_stays_once_while_other_names_come_and_go(self):
        first, second = self.mount(), self.mount()
        self.app.mkdir(first / self.name)
        stay = {f"stays-{number:04}" for number in range(1500)}
        self.app.run("for name in names: os.close(os.open(f'{d}/{name}', os.O_CREAT))",
                     d=first / self.name, names=stay)
        over = threading.Event()

        def change():
            number = 0
            while not over.is_set():
                number += 1
                name = f"{second / self.name}/moves-{number % 50:02}"
                self.other.write_file(name, b"")
                self.other.unlink(name)
        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(5):
                names = [name for name in self.app.listdir(first / self.name)
                         if name.startswith("stays")]
                self.assertEqual(sorted(stay), sorted(names))
        finally:
            over.set()
            thread.join()

    def test_no_listing_is_empty_while_names_are_removed_and_renamed(self):
        """NFS-Ganesha answers some of them with NOENT."""
        first, second = self.mount(), self.mount()
        self.app.mkdir(first / self.name)
        self.other.start_run("""
import time
until = time.monotonic() + 6
while time.monotonic() < until:
    os.close(os.open(f"{d}/new", os.O_CREAT | os.O_WRONLY))
    os.rename(f"{d}/new", f"{d}/moved")
    os.unlink(f"{d}/moved")
result = None
""", d=second / self.name)
        missing, count = self.app.run("""
import time
for name in names:
    os.close(os.open(f"{d}/{name}", os.O_CREAT | os.O_WRONLY))
missing, count = 0, 0
until = time.monotonic() + 5
while time.monotonic() < until:
    missing += not names <= set(os.listdir(d))
    count += 1
result = missing, count
""", d=first / self.name, names={f"stays-{number}" for number in range(10)})
        self.other.finish(60)
        self.assertEqual(0, missing, f"of {count} listings")
        self.assertGreater(count, 100)

    def test_what_another_client_removes_at_that_moment_is_made_or_there(self):
        """NFS-Ganesha answers some of it with NOENT."""
        first, second = self.mount(options="noac"), self.mount(options="noac")
        self.app.mkdir(first / self.name)
        self.other.start_run("""
import time
until = time.monotonic() + 7
while time.monotonic() < until:
    for remove, name in ((os.rmdir, "directory"), (os.unlink, "file")):
        try:
            remove(f"{d}/{name}")
        except FileNotFoundError:
            pass
result = None
""", d=second / self.name)
        made, answers = self.app.run("""
import errno, time
made, answers = 0, set()
until = time.monotonic() + 6
while time.monotonic() < until:
    for make in (lambda: os.mkdir(f"{d}/directory"),
                 lambda: os.close(os.open(f"{d}/file", os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
                 lambda: os.symlink("to", f"{d}/file")):
        try:
            make()
            made += 1
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno != errno.ESTALE:  # it was removed before it was open
                answers.add(str(error))
result = made, answers
""", d=first / self.name)
        self.other.finish(60)
        self.assertEqual(set(), answers)
        self.assertGreater(made, 100)

    def test_a_name_that_another_client_has_made_a_link_is_opened_as_one(self):
        first, second = self.mount(), self.mount()
        self.app.mkdir(first / self.name)
        names = ("absent", "dangling")
        for name in names:  # known to be absent
            with self.assert_errno(errno.ENOENT):
                self.app.stat(f"{first / self.name}/{name}")
        self.other.write_file(f"{second / self.name}/absent-to", b"")
        for name in names:
            self.other.symlink(f"{name}-to", f"{second / self.name}/{name}")
        for name in names:
            self.app.run("os.close(os.open(path, os.O_CREAT | os.O_WRONLY))",
                         path=f"{first / self.name}/{name}")
            self.assertTrue(os.path.islink(first.on_server(f"{self.name}/{name}")))
            self.assertTrue(os.path.isfile(first.on_server(f"{self.name}/{name}-to")))

    def test_symbolic_links_lead_to_the_clients_own_files(self):
        mount = self.mount()
        self.app.symlink("/etc/hosts", mount / self.name)
        self.assertEqual(pathlib.Path("/etc/hosts").read_bytes(),
                         self.app.read_file(mount / self.name))

    def test_a_directory_is_not_empty_while_a_removed_file_is_open(self):
        mount = self.mount()
        path = mount / self.name
        self.app.mkdir(path)
        self.app.mkdir(path + ".other")
        self.app.run("""
state["fd"] = os.open(path + "/file", os.O_CREAT | os.O_RDWR)
os.unlink(path + "/file")
""", path=path)
        with self.assert_errno(errno.ENOTEMPTY):
            self.app.rmdir(path)
        with self.assert_errno(errno.ENOTEMPTY):
            self.app.rename(path + ".other", path)
        self.app.run("os.close(state.pop('fd'))")
        self.app.rmdir(path)

    def test_nosymfollow_follows_none(self):
        mount = self.mount()
        self.app.symlink("/etc/hosts", mount / self.name)
        subprocess.run(["mount", "-o", "remount,bind,nosymfollow", mount.path], check=True)
        self.assertEqual("/etc/hosts", self.app.readlink(mount / self.name))
        done = self.uidnfs.run("mount", mount.source, mount.path, "-o", "remount,noexec")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        with self.assert_errno(errno.ELOOP):
            self.app.read_file(mount / self.name)


class Mappings(Clients):
    LONG_AGO = 100

    def setUp(self):
        super().setUp()
        self.path = str(self.mount() / self.name)
        self.app.run("""
import mmap
state["fd"] = os.open(path, os.O_CREAT | os.O_RDWR)
os.ftruncate(state["fd"], 4096)
os.fsync(state["fd"])
state["mapping"] = mmap.mmap(state["fd"], 4096)
os.utime(path, (when, when))
""", path=self.path, when=self.LONG_AGO)
        self.addCleanup(self.close)

    def close(self):
        self.app.run("""
if "fd" in state:
    state.pop("mapping").close()
    os.close(state.pop("fd"))
""")

    def mtime(self):
        return self.app.stat(self.path).st_mtime

    def test_stores_change_no_attributes_until_their_pages_are_written(self):
        self.app.run("state['mapping'][0] = 7")
        self.assertEqual(self.LONG_AGO, self.mtime())
        self.app.run("state['mapping'].flush()")
        self.assertGreater(self.mtime(), self.LONG_AGO)

    def test_times_that_are_set_after_msync_stay(self):
        self.app.run("""
state["mapping"][0] = 7
state["mapping"].flush()
os.utime(path, (when, when))
""", path=self.path, when=self.LONG_AGO)
        self.close()
        self.assertEqual(self.LONG_AGO, self.mtime())

    def test_times_that_are_set_before_the_pages_are_written_are_replaced(self):
        self.app.run("""
state["mapping"][0] = 7
os.utime(path, (when, when))
""", path=self.path, when=self.LONG_AGO)
        self.close()
        self.assertGreater(self.mtime(), self.LONG_AGO)


class NotInVersion3(Clients):
    """What programs ask for and NFSv3 does not have."""

    def test_times_are_cut_to_32_bits(self):
        mount = self.mount()
        self.app.write_file(mount / self.name, b"")
        for asked, kept in ((-5, 0), (2**32 - 1, 2**32 - 1), (2**33, 2**32 - 1)):
            with self.subTest(asked):
                self.app.utime(mount / self.name, times=(asked, asked))
                self.assertEqual(kept, int(self.app.stat(mount / self.name).st_mtime))

    def test_locks_are_local_to_the_mount(self):
        _, _, here, there = self.two()
        self.app.write_file(here, b"lock me")
        lock = """
import fcntl
state["fd"] = os.open(path, os.O_RDWR)
fcntl.{}
"""
        for kind in ("lockf(state['fd'], fcntl.LOCK_EX | fcntl.LOCK_NB)",
                     "flock(state['fd'], fcntl.LOCK_EX | fcntl.LOCK_NB)",
                     # F_OFD_SETLK = 37, a write lock of the whole file
                     "fcntl(state['fd'], 37, struct.pack('hhqqi4x', 1, 0, 0, 0, 0))"):
            with self.subTest(kind):
                self.app.run(lock.format(kind), path=here)
                with self.assert_errno(errno.EAGAIN):
                    self.other.run(lock.format(kind), path=here)
                self.other.run("os.close(state.pop('fd'))")
                self.other.run(lock.format(kind), path=there)
                for each in (self.app, self.other):
                    each.run("os.close(state.pop('fd'))")

    def test_epoll_takes_files_and_they_are_ready(self):
        """Not NFS: FUSE files can be polled, whoever serves them."""
        mount = self.mount()
        self.app.write_file(mount / self.name, b"ready")
        self.assertEqual(select.EPOLLIN, self.app.run("""
import select
fd = os.open(path, os.O_RDONLY)
with select.epoll() as waiting:
    waiting.register(fd, select.EPOLLIN)
    result = waiting.poll(10)[0][1]
os.close(fd)
""", path=mount / self.name))

    def test_programs_get_the_errno_on_which_they_fall_back(self):
        mount = self.mount()
        path = mount / self.name
        self.app.write_file(path, bytes(10000))
        with self.assert_errno(errno.EOPNOTSUPP):
            self.app.setxattr(path, "user.a", b"b")
        with self.assert_errno(errno.EOPNOTSUPP):
            self.app.open(str(mount.path), os.O_TMPFILE | os.O_RDWR)
        with self.assert_errno(errno.EOPNOTSUPP):
            self.app.run("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(path, os.O_RDWR)
try:
    if libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(20000)):
        raise OSError(ctypes.get_errno(), "fallocate")
finally:
    os.close(fd)
""", path=path)
        self.assertEqual((0, 10000), self.app.run("""
fd = os.open(path, os.O_RDONLY)
result = os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 0, os.SEEK_HOLE)
os.close(fd)
""", path=path))
        self.assertEqual(0, self.app.spawnv(os.P_WAIT, "/bin/cp", ["cp", path, path + ".copy"]))
        self.assertEqual(bytes(10000), self.app.read_file(path + ".copy"))


class Df(Clients):
    """Monitoring must not hang."""

    def test_statfs_and_stat_of_the_root_answer_while_the_server_is_silent(self):
        mount = self.mount(options="actimeo=0")
        before = self.app.statvfs(str(mount.path))
        self.app.stat(str(mount.path))
        mount.host.black_hole()
        for call in ("statvfs", "stat"):
            with self.subTest(call):
                began = time.monotonic()
                answer = getattr(self.app, call)(str(mount.path))
                # A second, and what a loaded machine adds.
                self.assertLess(time.monotonic() - began, 2.5)
                if call == "statvfs":
                    self.assertEqual(before.f_blocks, answer.f_blocks)
        mount.host.pass_on()
