# SPDX-License-Identifier: Apache-2.0
"""Two clients on one share, files removed while open, and requests that run at the same time."""

import errno
import os

import rpc_proxy
import suite
import uidnfs_command


class TwoClients(suite.IntegrationTest):
    """Close-to-open: who opens after a close sees what was written before it."""

    def setUp(self):
        super().setUp()
        self.first = self.mount()
        self.second = self.mount()
        self.writer = self.actor(2000)
        self.reader = self.actor(2000)
        self.name = self.id().rsplit(".", 1)[-1]

    def both(self):
        return self.first / self.name, self.second / self.name

    def test_open_after_close_sees_the_new_content(self):
        here, there = self.both()
        for content in (b"first version", b"second, which is longer", b"third"):
            self.writer.write_file(here, content)
            self.assertEqual(content, self.reader.read_file(there))

    def test_change_of_the_same_length_is_seen(self):
        here, there = self.both()
        for number in range(20):
            content = b"%06d" % number * 1000
            self.writer.write_file(here, content)
            self.assertEqual(content, self.reader.read_file(there))

    def test_overwriting_in_place_is_seen(self):
        here, there = self.both()
        self.writer.write_file(here, bytes(200000))
        self.assertEqual(bytes(200000), self.reader.read_file(there))
        self.writer.run("""
fd = os.open(path, os.O_WRONLY)
os.pwrite(fd, b"x", 100000)
os.close(fd)
""", path=here)
        self.assertEqual(b"x", self.reader.read_file(there)[100000:100001])

    def test_both_directions(self):
        here, there = self.both()
        self.writer.write_file(here, b"ping")
        self.assertEqual(b"ping", self.reader.read_file(there))
        self.reader.write_file(there, b"pong!")
        self.assertEqual(b"pong!", self.writer.read_file(here))

    def test_fstat_after_open_has_the_new_size(self):
        here, there = self.both()
        self.writer.write_file(here, b"12345")
        self.assertEqual(5, self.reader.stat(there).st_size)
        self.writer.append_file(here, b"678")
        size = self.reader.run("""
fd = os.open(path, os.O_RDONLY)
result = os.fstat(fd).st_size
os.close(fd)
""", path=there)
        self.assertEqual(8, size)

    def test_replaced_file_is_the_new_one(self):
        """The editor's save: write beside it, rename over it."""
        here, there = self.both()
        self.writer.write_file(here, b"old")
        self.assertEqual(b"old", self.reader.read_file(there))
        self.writer.write_file(here + ".new", b"new content")
        self.writer.rename(here + ".new", here)
        second = self.mount(options="actimeo=0")
        self.assertEqual(b"new content", self.reader.read_file(second / self.name))

    def test_without_attribute_cache_names_appear_at_once(self):
        fresh = self.mount(options="actimeo=0")
        with self.assert_errno(errno.ENOENT):
            self.reader.stat(fresh / self.name)
        self.writer.write_file(self.first / self.name, b"here")
        self.assertEqual(b"here", self.reader.read_file(fresh / self.name))
        self.writer.unlink(self.first / self.name)
        with self.assert_errno(errno.ENOENT):
            self.reader.stat(fresh / self.name)

    def test_bytes_of_an_open_file_are_seen_after_fsync(self):
        here, there = self.both()
        self.writer.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_WRONLY)
os.write(state["fd"], b"synced")
os.fsync(state["fd"])
""", path=here)
        self.assertEqual(b"synced", self.reader.read_file(there))
        self.writer.run("os.close(state['fd'])")


class RemovedWhileOpen(suite.MountedTest):
    """Silly rename: the open file lives on, its name is gone, and nothing stays behind."""

    def open_and_unlink(self, content=b"still here"):
        self.app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_RDWR)
os.write(state["fd"], content)
os.unlink(path)
""", path=self.path("f"), content=content)
        self.addCleanup(self.app.run, "os.close(state['fd']) if 'fd' in state else None")

    def test_open_file_can_still_be_read_and_written(self):
        self.open_and_unlink()
        read = self.app.run("""
os.pwrite(state["fd"], b"STILL", 0)
os.fsync(state["fd"])
result = os.pread(state["fd"], 100, 0)
""")
        self.assertEqual(b"STILL here", read)

    def test_name_is_gone_and_can_be_used_again(self):
        self.open_and_unlink()
        with self.assert_errno(errno.ENOENT):
            self.app.stat(self.path("f"))
        self.app.write_file(self.path("f"), b"new")
        self.assertEqual(b"new", self.app.read_file(self.path("f")))
        self.assertEqual(b"still here", self.app.run("result = os.pread(state['fd'], 100, 0)"))

    def test_server_keeps_it_under_a_silly_name_until_the_last_close(self):
        self.open_and_unlink()
        names = os.listdir(self.on_server())
        self.assertEqual(1, len(names))
        self.assertTrue(names[0].startswith(".nfs"), names)
        self.app.run("os.close(state.pop('fd'))")
        self.wait_for_empty_directory()

    def test_second_descriptor_keeps_it_too(self):
        self.open_and_unlink()
        self.app.run("state['second'] = os.dup(state['fd']); os.close(state.pop('fd'))")
        self.assertEqual(b"still here", self.app.run(
            "result = os.pread(state['second'], 100, 0); os.close(state.pop('second'))"))
        self.wait_for_empty_directory()

    def test_hard_link_remains(self):
        self.app.write_file(self.path("f"), b"linked")
        self.app.link(self.path("f"), self.path("g"))
        self.app.run("""
state["fd"] = os.open(path, os.O_RDWR)
os.unlink(path)
os.close(state.pop("fd"))
""", path=self.path("f"))
        self.wait_for_names(["g"])
        self.assertEqual(b"linked", self.app.read_file(self.path("g")))

    def test_a_directory_that_was_removed_is_empty_for_who_works_in_it(self):
        for what, made in (("removed", "os.rmdir(path)"),
                           ("replaced", "os.mkdir(path + '2'); os.rename(path + '2', path)")):
            with self.subTest(what):
                seen = self.app.run(f"""
os.mkdir(path)
os.chdir(path)
fd = os.open(".", os.O_RDONLY)
{made}
result = [os.fstat(fd).st_nlink, os.stat(".").st_nlink, os.listdir(fd), os.listdir(".")]
try:
    os.mkdir("sub")
except FileNotFoundError:
    result.append("ENOENT")
os.close(fd)
os.chdir("/")
""", path=self.path(what))
                self.assertEqual([0, 0, [], [], "ENOENT"], seen)

    def test_a_file_that_is_held_without_being_open_can_be_statted(self):
        self.app.write_file(self.path("f"), b"abc")
        seen = self.app.run("""
fd = os.open(path, os.O_PATH)
os.unlink(path)
result = os.fstat(fd).st_nlink, os.fstat(fd).st_size
os.close(fd)
""", path=self.path("f"))
        self.assertEqual((0, 3), seen)

    def wait_for_empty_directory(self):
        self.wait_for_names([])

    def wait_for_names(self, names):
        # RELEASE is asynchronous: close() returns before the server has removed the file.
        uidnfs_command.wait_until(
            lambda: os.listdir(self.on_server()) == names, 5, f"only {names} on the server")


class AtTheSameTime(suite.MountedTest):
    """What a program may rely on that shares a directory with others on the same machine."""

    def test_a_directory_is_empty_after_the_last_close_of_a_removed_file(self):
        """close(2) does not wait for the server to hear of it, rmdir(2) does."""
        self.app.run("""
for i in range(200):
    os.mkdir(d + 'd')
    fd = os.open(d + 'd/f', os.O_RDWR | os.O_CREAT)
    os.unlink(d + 'd/f')
    os.close(fd)
    os.rmdir(d + 'd')
""", d=self.path())

    def test_whoever_opens_a_file_that_is_replaced_reads_one_of_the_two(self):
        """Replaced all the time: the path is looked up again once, and that may meet the next one."""
        crew = [self.actor(suite.APP_UID) for _ in range(3)]
        self.app.write_file(self.path("f"), bytes(100_000))
        for reader in crew:
            reader.start_run("""
until, result = time.monotonic() + 8, 0
while time.monotonic() < until:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        continue
    with open(fd, "rb") as file:
        data = file.read()
    if len(data) != 100_000 or data.count(data[0]) != len(data):
        raise AssertionError(f"read {result}: {len(data)} bytes")
    result += 1
""", path=self.path("f"))
        replaced = self.app.run("""
until, result = time.monotonic() + 8, 0
while time.monotonic() < until:
    write_file(d + 'new', bytes([result % 256]) * 100_000)
    os.rename(d + 'new', d + 'f')
    result += 1
""", d=self.path())
        self.assertGreater(replaced, 10)
        for reader in crew:
            self.assertGreater(reader.finish(60), 10)


class Parallel(suite.IntegrationTest):
    """Calls that do not depend on each other are in flight together."""

    # Far longer than a loaded machine needs to send four calls, and the first answer ends it.
    SECONDS = 1.0

    def test_four_lookups_in_one_directory_take_one_round_trip(self):
        names = [f"parallel-{number}" for number in range(4)]
        export = suite.lab().export("a").path
        for name in names:
            os.close(os.open(export / name, os.O_CREAT))
        mount = self.mount()
        crew = self.crew(2000, 4)
        crew.actors[0].stat(str(mount.path))
        mount.host.rule(rpc_proxy.named("NFS3 LOOKUP"), rpc_proxy.Delay(self.SECONDS))
        mount.host.clear()
        crew.each("stat", [(mount / name,) for name in names])
        arrived = [seen.at for seen in mount.host.calls("NFS3 LOOKUP")]
        self.assertEqual(4, len(arrived))
        self.assertLess(max(arrived) - min(arrived), self.SECONDS)

    def test_slow_file_does_not_hold_up_another(self):
        mount = self.mount()
        slow, fast = self.actor(2000), self.actor(2000)
        slow.write_file(mount / "slow", bytes(100))
        fast.write_file(mount / "fast", b"quick")
        slow.run("state['fd'] = os.open(path, os.O_RDWR)", path=mount / "slow")
        rule = mount.host.rule(rpc_proxy.named("NFS3 COMMIT", "NFS3 WRITE"),
                               rpc_proxy.Delay(2 * self.SECONDS), times=1)
        slow.start_run("os.pwrite(state['fd'], b'x', 0); os.fsync(state['fd'])")
        rule.wait_for_hits()
        began = mount.host.calls()[-1].at
        self.assertEqual(b"quick", fast.read_file(mount / "fast"))
        self.assertLess(mount.host.calls()[-1].at - began, 2 * self.SECONDS)
        slow.finish()
        slow.run("os.close(state['fd'])")
