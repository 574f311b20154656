# SPDX-License-Identifier: Apache-2.0
"""A silent server and those who look after the machine: df, monitoring, unmounting, stopping. They
get an answer in time, and what could not be saved is named."""

import os
import pathlib
import signal
import subprocess
import time

import rpc_proxy
import sandbox
import suite
import uidnfs_command

SECOND = 1.5  # the second that is promised, and what a busy machine needs to start a program
GRACE = 4.0   # beyond flush_deadline: the keeper's own two seconds, and a busy machine


class SilentTest(suite.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.server.thaw)
        self.app = self.actor(suite.APP_UID)
        self.addCleanup(self.server.thaw)  # before the actor is stopped

    def leave_unsent(self, mount, name):
        """A killed program's data: told written, and the server does not answer."""
        writer = self.actor(suite.APP_UID)
        writer.run("state['fd'] = os.open(path, os.O_CREAT | os.O_RDWR)", path=mount / name)
        self.server.freeze()
        writer.run("os.pwrite(state['fd'], b'unsent' * 1000, 4096)")
        writer.kill()
        uidnfs_command.wait_until(lambda: not _is_alive(writer.pid), 5, "the writer's end")


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _threads(pid):
    """A process whose first thread has ended is a zombie although the others live."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


class Sync(SilentTest):
    def test_it_waits_for_nothing(self):
        mount = self.mount()
        self.app.run("state['fd'] = os.open(path, os.O_CREAT | os.O_RDWR)", path=mount / "file")
        self.server.freeze()
        self.app.run("os.pwrite(state['fd'], b'unsent' * 1000, 0)")
        said = self.app.run("import ctypes; result = ctypes.CDLL(None).syncfs(state['fd'])")
        self.assertEqual(0, said)
        self.assertEqual(6000, mount.status()["bytes_not_committed"])
        self.server.thaw()
        self.app.run("os.fsync(state['fd'])")
        self.assertEqual(0, mount.status()["bytes_not_committed"])
        self.app.run("os.close(state['fd'])")


class Df(SilentTest):
    def test_the_first_df_after_the_mount(self):
        mount = self.mount()
        self.server.freeze()
        began = time.monotonic()
        for actor_uid in (0, 3000, suite.APP_UID):
            who = self.actor(actor_uid)
            began = time.monotonic()
            self.assertGreater(who.statvfs(str(mount.path)).f_blocks, 0)
            self.assertLess(time.monotonic() - began, SECOND)
        for command in (["df", mount.path], ["stat", "-f", mount.path], ["stat", mount.path]):
            began = time.monotonic()
            done = subprocess.run(command, capture_output=True, check=False)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertLess(time.monotonic() - began, 2 * SECOND)  # df and stat ask twice

    def test_a_program_that_asks_every_moment(self):
        """Monitoring: nothing is left behind, neither waiting calls nor waiting requests."""
        mount = self.mount(options="actimeo=0")
        monitor = self.actor(3000)
        self.server.freeze()
        longest = monitor.run("""
result = 0
for _ in range(200):
    for ask in (os.statvfs, os.stat):
        began = time.monotonic()
        ask(path)
        result = max(result, time.monotonic() - began)
""", path=str(mount.path))
        self.assertLess(longest, SECOND)
        status = mount.status()
        self.assertLessEqual(status["calls"]["in_flight"], 5)


class ManyWriters(SilentTest):
    """More writers wait than there are places for requests. Each has a file of its own: the kernel
    lets one of them at a time write to a file."""

    WRITERS = 3300  # 1 MiB of write_behind takes some 230 of their writes

    def begin(self):
        """Names of files, and an actor whose threads wait in write(2), each for one of them."""
        self.mounted = self.mount(options="write_behind=1M")
        os.makedirs(self.mounted.on_server("many"), exist_ok=True)
        names = [f"many/{i}" for i in range(self.WRITERS)]
        for name in names + ["many/victim"]:
            with open(self.mounted.on_server(name), "wb"):
                os.chown(self.mounted.on_server(name), suite.UID, suite.GID)
        writer, self.victim = self.actor(suite.APP_UID), self.actor(suite.APP_UID)
        writer.run("""
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
state["files"] = [os.open(path + name, os.O_WRONLY) for name in names]
""", path=f"{self.mounted.path}/", names=names)
        self.victim.run(
            "state['fd'] = os.open(path, os.O_WRONLY)", path=self.mounted / "many/victim")
        self.server.freeze()
        writer.start_run("""
import threading
threading.stack_size(64 << 10)
wrong = []
def write(number):
    if os.pwrite(state["files"][number], b"%04d" % number * 1024, 0) != 4096:
        wrong.append(number)
threads = [threading.Thread(target=write, args=(i,)) for i in range(len(state["files"]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
for file in state["files"]: os.close(file)
result = wrong
""")
        uidnfs_command.wait_until(
            lambda: _threads(writer.pid) > 3000, 60, "3,000 writers")
        time.sleep(0.5)  # the last of them get there
        return names, writer

    def test_others_are_heard_and_everything_is_written_afterwards(self):
        names, writer = self.begin()
        monitor = self.actor(3000)
        began = time.monotonic()
        self.assertGreater(monitor.statvfs(str(self.mounted.path)).f_blocks, 0)
        self.assertLess(time.monotonic() - began, SECOND)
        self.victim.start_run("os.pwrite(state['fd'], b'x' * 4096, 0)")
        time.sleep(0.5)
        self.victim.kill()
        uidnfs_command.wait_until(lambda: not _is_alive(self.victim.pid), 2, "the victim's end")
        self.server.thaw()
        self.assertEqual([], writer.finish())
        for number, name in enumerate(names):
            with open(self.mounted.on_server(name), "rb") as file:
                self.assertEqual(b"%04d" % number * 1024, file.read())

    def test_all_of_them_end_when_they_are_killed(self):
        _, writer = self.begin()
        writer.kill()
        uidnfs_command.wait_until(lambda: _threads(writer.pid) <= 1, GRACE, "their end")
        self.server.thaw()


class Umount(SilentTest):
    def test_an_orderly_one_says_what_is_not_written_and_leaves_it_mounted(self):
        mount = self.mount(options="flush_deadline=1")
        self.leave_unsent(mount, "f")
        began = time.monotonic()
        done = mount.umount()
        self.assertLess(time.monotonic() - began, 1 + GRACE)
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"not yet written: f \(fileid \d+\): .* at offset 4096")
        self.assertTrue(mount.is_mounted())
        self.server.thaw()
        self.assertEqual(0, mount.umount().returncode)
        self.assert_saved(mount, "f")

    def test_by_force(self):
        mount = self.mount()
        self.leave_unsent(mount, "f")
        began = time.monotonic()
        done = mount.umount("--force")
        self.assertLess(time.monotonic() - began, GRACE)
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"lost: f \(fileid \d+\): .* at offset 4096")
        self.assertFalse(mount.is_mounted())

    def test_by_force_of_a_server_that_answers_loses_nothing(self):
        """For a mount that is in use."""
        mount = self.mount()
        app = self.actor(suite.APP_UID)
        app.run("state['fd'] = os.open(f, os.O_WRONLY | os.O_CREAT); os.write(state['fd'], b'x' * n)",
                f=str(mount / "forced"), n=3_000_000)
        done = mount.umount("--force")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertFalse(mount.is_mounted())
        self.assertEqual(b"x" * 3_000_000, pathlib.Path(mount.on_server("forced")).read_bytes())

    def test_lazily_and_plainly_the_rest_is_tried_and_then_told(self):
        for how in (["--lazy"], None):
            with self.subTest(how):
                log = sandbox.ROOT / f"{'lazy' if how else 'plain'}.log"
                mount = self.mount(options=f"flush_deadline=1,log_file={log}")
                self.leave_unsent(mount, "f")
                began = time.monotonic()
                if how:
                    self.assertEqual(0, mount.umount(*how).returncode)
                else:
                    subprocess.run(["umount", "-i", mount.path], check=True)
                self.assertLess(time.monotonic() - began, SECOND)
                self.assertFalse(mount.is_mounted())
                self.uidnfs.check_nothing_left(1 + GRACE)
                self.assertRegex(log.read_text(), r"lost: f \(fileid \d+\): .* at offset 4096")
                self.assertEqual(1, log.read_text().count("at offset 4096"), log.read_text())
                self.assertIn("exit status 1", log.read_text())
                self.server.thaw()

    def test_plainly_and_the_server_comes_back_in_time(self):
        mount = self.mount(options="flush_deadline=20")
        self.leave_unsent(mount, "f")
        subprocess.run(["umount", "-i", mount.path], check=True)
        time.sleep(1)
        self.server.thaw()
        self.uidnfs.check_nothing_left(20)
        self.assert_saved(mount, "f")

    def assert_saved(self, mount, name):
        with open(mount.on_server(name), "rb") as file:
            self.assertEqual(bytes(4096) + b"unsent" * 1000, file.read())


class KilledReader(SilentTest):
    """Its readahead is under way still, and holds pages that are to be dropped: the kernel lets
    nobody unmount meanwhile."""

    SIZE = 8 << 20

    def setUp(self):
        super().setUp()
        self.m = self.mount(options="timeo=30")
        self.file = pathlib.Path(self.m.on_server("log"))
        self.file.write_bytes(b"a" * self.SIZE)
        self.file.chmod(0o644)
        self.holder = self.actor(suite.APP_UID)
        self.holder.run("state['fd'] = os.open(path, os.O_RDONLY)", path=self.m / "log")
        self.rule = self.m.host.rule(rpc_proxy.named("NFS3 READ"), rpc_proxy.DropReply())
        self.addCleanup(self.rule.remove)  # what hangs in the kernel ends with the next repetition
        reader = self.actor(suite.APP_UID)
        reader.run("""
import threading
fd = os.open(path, os.O_RDONLY)
threading.Thread(target=lambda: os.pread(fd, 1 << 20, 0)).start()
""", path=self.m / "log")
        self.rule.wait_for_hits()
        reader.kill()
        uidnfs_command.wait_until(lambda: _threads(reader.pid) <= 1, GRACE, "the reader's end")

    def drop_pages(self):
        """As the next open does that finds the file changed."""
        with open(self.file, "ab") as file:
            file.write(b"b")
        self.holder.run("os.close(os.open(path, os.O_RDONLY))", path=self.m / "log")
        self.holder.run("os.close(state['fd'])")

    def test_does_not_keep_it_mounted(self):
        self.drop_pages()
        began = time.monotonic()
        done = self.m.umount()
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertLess(time.monotonic() - began, 2 * SECOND + GRACE)
        self.uidnfs.check_nothing_left(GRACE)

    def test_is_not_waited_for_by_its_keeper(self):
        keeper = self.m.status()["keeper_pid"]
        self.drop_pages()
        os.kill(keeper, signal.SIGTERM)
        self.uidnfs.check_nothing_left(2 * SECOND + GRACE)

    def test_keeps_nobody_from_what_it_read(self):
        self.drop_pages()
        self.rule.remove()
        length, _ = self.app.digest(self.m / "log")
        self.assertEqual(self.SIZE + 1, length)


class Stop(SilentTest):
    """SIGTERM to the keeper of a mount in the foreground, as a service manager sends it."""

    def start(self, deadline):
        host = self.host = suite.lab().proxy()
        self.addCleanup(host.stop)
        self.path = suite.lab().new_mountpoint()
        export = suite.lab().export("a")
        process = self.uidnfs.start(
            "mount", f"{host.address}:{export.share}", self.path, "--foreground", "-o",
            f"uid=1001,gid=1001,flush_deadline={deadline}", stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        self.addCleanup(self.end, process)
        uidnfs_command.wait_until(
            lambda: any(entry.mountpoint == str(self.path) for entry in self.uidnfs.mounts()),
            20, "the mount")
        mount = uidnfs_command.Mount(self.uidnfs, "", self.path, "", export.path)
        self.leave_unsent(mount, "f")
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.stderr.close()
        process.wait(10)
        suite.clear_away(self.uidnfs)

    def test_one_signal_waits_for_the_deadline_and_tells_the_loss(self):
        process = self.start(2)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        words = process.communicate(timeout=2 + 2 * GRACE)[1]
        self.assertGreater(time.monotonic() - began, 1.5)
        self.assertLess(time.monotonic() - began, 2 + GRACE)
        self.assertEqual(1, process.returncode)
        self.assertRegex(words, r"lost: f \(fileid \d+\): .* at offset 4096")
        self.assertFalse(os.path.ismount(self.path))

    def test_two_signals_at_once_are_one(self):
        process = self.start(2)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        words = process.communicate(timeout=2 + 2 * GRACE)[1]
        self.assertGreater(time.monotonic() - began, 1.5)
        self.assertNotIn("second signal", words)

    def test_so_are_those_of_which_the_second_is_read_late(self):
        """A keeper that gets no processor for a moment gives nothing up for that."""
        process = self.start(2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        words = process.communicate(timeout=2 + 2 * GRACE)[1]
        self.assertNotIn("second signal", words)
        self.assertRegex(words, r"lost: f \(fileid \d+\): .* at offset 4096")

    def test_a_second_signal_ends_it_at_once(self):
        process = self.start(600)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        words = process.communicate(timeout=2 * GRACE)[1]
        self.assertLess(time.monotonic() - began, SECOND)
        self.assertEqual(1, process.returncode)
        self.assertIn("stopped by a second signal", words)
        self.assertFalse(os.path.ismount(self.path))

    def test_a_mount_whose_connection_was_aborted_does_not_stay(self):
        """What is done about a FUSE mount that hangs, before its service is stopped."""
        process = self.start(600)
        connections = suite.lab().new_mountpoint()
        subprocess.run(["mount", "-t", "fusectl", "fusectl", connections], check=True)
        self.addCleanup(subprocess.run, ["umount", connections], check=True)
        worker = _children(process.pid)[0]
        os.kill(worker, signal.SIGSTOP)
        (connections / self.number(self.path)[2:] / "abort").write_text("1", encoding="ascii")
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        self.assertIn("stopped by a second signal", process.communicate(timeout=2 * GRACE)[1])
        self.assertFalse(os.path.ismount(self.path))
        self.assertEqual([], self.uidnfs.mounts())

    def take_away_and_mount_again(self):
        """The next mount, whose server answers, has the device number of the one that ends."""
        number = self.number(self.path)
        subprocess.run(["umount", "--lazy", self.path], check=True)
        self.host.black_hole()
        self.server.thaw()
        mount = self.mount()
        self.assertEqual(number, self.number(mount.path))
        return mount

    def number(self, path):
        return next(entry.device for entry in self.uidnfs.mounts() if entry.mountpoint == str(path))

    def test_the_next_mount_with_its_number_stays_when_the_deadline_is_over(self):
        process = self.start(4)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        mount = self.take_away_and_mount_again()
        words = process.communicate(timeout=4 + 2 * GRACE)[1]
        self.assertRegex(words, r"lost: f \(fileid \d+\): .* at offset 4096")
        self.assertTrue(os.path.ismount(mount.path))

    def test_the_next_mount_with_its_number_stays_after_a_second_signal(self):
        process = self.start(600)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        mount = self.take_away_and_mount_again()
        spec = pathlib.Path(f"/run/uidnfs/mounts/{self.number(mount.path)[2:]}.spec")
        worker = _children(process.pid)[0]
        os.kill(worker, signal.SIGKILL)
        uidnfs_command.wait_until(
            lambda: _children(process.pid) not in ([], [worker]), 10, "the next worker")
        self.assertIn(str(mount.path).encode(), spec.read_bytes())
        process.send_signal(signal.SIGTERM)
        self.assertIn("stopped by a second signal", process.communicate(timeout=2 * GRACE)[1])
        self.assertTrue(os.path.ismount(mount.path))
