# SPDX-License-Identifier: Apache-2.0
"""The keeper of a mount is killed: its worker goes on alone, and is given the next keeper, by
`uidnfs adopt`. Whatever a worker that was taken over hands to that one."""

import array
import contextlib
import errno
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import model_load
import suite
import test_local
import test_takeover
from uidnfs_command import mountinfo, wait_until

CONTROL = test_local.CONTROL


class Keeper(test_takeover.Worker):
    """The keeper of a mount, whoever it is at the moment."""

    def kill(self, number=signal.SIGKILL):
        """Returns the status from before. The worker may not have noticed yet."""
        before = self.status()
        os.kill(before["keeper_pid"], number)
        return before


class OwnMount(suite.IntegrationTest):
    """Each test has a mount of its own, made by hand."""

    def setUp(self):
        super().setUp()
        self.m = self.mount("a", options="timeo=20")
        self.app = self.actor(suite.APP_UID)
        self.app.mkdir(self.path())
        self.keeper, self.worker = Keeper(self.m), test_takeover.Worker(self.m)

    def path(self, name=""):
        return os.path.join(self.m / self.id().rsplit(".", 1)[-1], name)

    def on_server(self, name):
        return pathlib.Path(self.m.on_server(self.id().rsplit(".", 1)[-1])) / name


class Questions(OwnMount):
    """On the control socket."""

    def answer(self, question):
        [entry] = [entry for entry in mountinfo() if entry.mountpoint == str(self.m.path)]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as keeper:
            keeper.settimeout(10)
            keeper.connect(f"{CONTROL}/{entry.device.split(':')[1]}.sock")
            keeper.sendall(question)
            return keeper.recv(1 << 20).decode().splitlines()

    def test_the_table_of_mounts_is_not_read_for_who_does_not_want_to_know(self):
        """Thousands of keepers are asked by the daemon, and it is thousands of lines long."""
        self.assertIn("attached=yes", self.answer(b"status\n"))
        told = self.answer(b"status\nattached=unneeded\n")
        self.assertEqual([], [line for line in told if line.startswith("attached=")])
        self.assertEqual(1, len([line for line in told if line.startswith("json=")]))


class Adopted(OwnMount):
    """Somebody says `uidnfs adopt`."""

    def adopt(self):
        return self.uidnfs.run("adopt", self.m.path)

    def assert_adopted(self):
        done = self.adopt()
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_the_next_keeper_is_as_good(self):
        self.app.write_file(self.path("f"), b"before")
        before = self.keeper.kill()
        self.app.write_file(self.path("g"), b"between")
        self.assert_adopted()
        after = self.m.status()
        self.assertEqual(("full", before["worker_pid"], "healthy"),
                         tuple(after[name] for name in ("takeover", "worker_pid", "state")))
        self.assertNotEqual(before["keeper_pid"], after["keeper_pid"])
        for name in ("source", "uid", "gid", "since", "server_address", "options"):
            self.assertEqual(before.get(name), after.get(name), name)
        self.assertEqual({after["worker_pid"], after["keeper_pid"]}, set(self.uidnfs.processes()))
        # It sees the end of a worker that is not its child, and of one that is.
        for _ in range(2):
            self.worker.kill()
            self.assertEqual(b"before", self.app.read_file(self.path("f")))
            self.app.write_file(self.path("h"), b"after")
        done = self.m.umount()
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        for name, content in (("f", b"before"), ("g", b"between"), ("h", b"after")):
            self.assertEqual(content, self.on_server(name).read_bytes())
        self.assertEqual([], list(CONTROL.glob("*")))

    def test_sighup_ends_no_mount_in_the_background_nor_a_worker_without_keeper(self):
        self.keeper.kill()
        worker = self.m.status()["worker_pid"]
        os.kill(worker, signal.SIGHUP)
        self.app.write_file(self.path("f"), b"without a keeper")
        self.assert_adopted()
        os.kill(self.m.status()["keeper_pid"], signal.SIGHUP)
        self.app.write_file(self.path("g"), b"with one")
        self.assertEqual((worker, "full"), tuple(self.m.status()[name] for name in ("worker_pid", "takeover")))

    def test_again_and_again_under_load(self):
        """Keeper and worker are killed at random, never both of them at once."""
        seconds, seed = 20, random.randrange(1 << 30)
        print(f"seed {seed}")
        rng = random.Random(seed)
        place = self.path("load")
        self.app.mkdir(place)
        program = self.actor(suite.APP_UID)
        program.start_run(model_load.LOAD, d=place, seed=seed, seconds=seconds)
        keepers = workers = 0
        until = time.monotonic() + seconds - 1
        while time.monotonic() < until:
            time.sleep(rng.uniform(0, 0.3))
            self.keeper.kill()
            time.sleep(rng.choice((0, 0.05)))
            self.assert_adopted()
            keepers += 1
            if rng.random() < 0.6:
                self.worker.kill()
                workers += 1
        done, left = program.finish(seconds + 120)
        for name, content in left.items():
            there = self.on_server("load") / name
            self.assertEqual(content, there.read_bytes(), f"{name} on the server")
        print(f"{keepers} keepers, {workers} workers, {done} operations")
        self.assertGreaterEqual(min(keepers, workers), 3)

    def test_what_was_changed_since_the_mount_stays(self):
        done = self.uidnfs.run("mount", self.m.source, self.m.path, "-o", "remount,ro")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        options = self.m.status()["options"]
        self.keeper.kill()
        self.assert_adopted()
        self.worker.kill()
        self.assertEqual(options, self.m.status()["options"])

    def tell(self, words):
        """An order of the daemon to the keeper; its answer."""
        [path] = CONTROL.glob("*.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
            asker.settimeout(10)
            asker.connect(str(path))
            asker.send(words)
            return asker.recv(65536)

    def test_access_that_was_taken_away_stays_away(self):
        self.app.write_file(self.path("f"), b"before")
        self.assertEqual(b"ok\n", self.tell(b"deny\nreason=gone\n"))
        self.keeper.kill()
        self.assert_adopted()
        self.worker.kill()
        self.assertEqual("denied: gone", self.m.status()["reason"])
        with self.assert_errno(errno.EACCES):
            self.app.read_file(self.path("f"))
        def is_allowed():
            # The next worker may still be about the other.
            answer = self.tell(b"allow\n")
            self.assertIn(answer, (
                b"ok\n", b"error\ntext=access is just being taken away; ask again\n"))
            return answer == b"ok\n"

        wait_until(is_allowed, 30, "the access")
        self.assertEqual(b"before", self.app.read_file(self.path("f")))

    def test_a_worker_that_hangs_is_found_by_it(self):
        self.keeper.kill()
        self.assert_adopted()
        before = self.m.status()
        os.kill(before["worker_pid"], signal.SIGSTOP)
        after = self.worker.wait_for_next(before)
        self.assertIn("did not answer", after["last_takeover"]["reason"])

    def test_who_has_a_keeper_gets_no_other(self):
        before = self.m.status()
        done = self.adopt()
        self.assertEqual(1, done.returncode)
        self.assertIn(f"keeper {before['keeper_pid']} is there", done.stderr)
        self.assertEqual(before["keeper_pid"], self.m.status()["keeper_pid"])

    def test_of_several_one_is_taken(self):
        self.keeper.kill()
        codes = []
        threads = [threading.Thread(target=lambda: codes.append(self.adopt().returncode))
                   for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(1, codes.count(0), codes)
        after = self.m.status()
        self.assertEqual("full", after["takeover"])
        wait_until(lambda: {after["worker_pid"], after["keeper_pid"]} ==
                   set(self.uidnfs.processes()), 10, "the end of the others")
        self.worker.kill()

    def test_a_stopped_worker_is_adopted_when_it_goes_on(self):
        before = self.m.status()
        os.kill(before["worker_pid"], signal.SIGSTOP)
        os.kill(before["keeper_pid"], signal.SIGKILL)
        done = self.adopt()
        self.assertEqual(1, done.returncode)
        self.assertIn("does not answer", done.stderr)
        os.kill(before["worker_pid"], signal.SIGCONT)
        self.assert_adopted()
        self.app.write_file(self.path("f"), b"on")

    def test_the_worker_dies_at_any_moment_of_it(self):
        """Either the next keeper had what it needs, or the mount has ended: it hangs for nobody."""
        seen = set()
        for round_ in range(12):
            mount = self.m if round_ == 0 else self.mount("a", options="timeo=20")
            before = mount.status()
            os.kill(before["keeper_pid"], signal.SIGKILL)
            done = []
            asked = threading.Thread(
                target=lambda: done.append(self.uidnfs.run("adopt", mount.path)))  # noqa: B023
            asked.start()
            time.sleep(random.uniform(0, 0.06))
            os.kill(before["worker_pid"], signal.SIGKILL)
            asked.join()
            self.assertIn(done[0].returncode, (0, 1, 3))
            seen.add(done[0].returncode)
            if done[0].returncode == 0:
                self.app.write_file(mount / f"on-{round_}", b"on")
                self.assertEqual("full", mount.status()["takeover"])
                self.assertEqual(0, mount.umount().returncode)
            else:
                self.assertEqual(0, self.uidnfs.run("umount", mount.path).returncode)
            self.assertFalse(mount.is_mounted())
            wait_until(lambda: not self.uidnfs.processes(), 10, "the end of all processes")
        print(f"exit statuses {sorted(seen)}")

    def test_nobody_is_left(self):
        before = self.m.status()
        for name in ("keeper_pid", "worker_pid"):
            os.kill(before[name], signal.SIGKILL)
        wait_until(lambda: not self.uidnfs.processes(), 10, "their end")
        [status] = self.uidnfs.status(self.m.path)[1]
        self.assertEqual("failed", status["state"])
        self.assertIn("its keeper process is gone, and its worker process too", status["reason"])
        done = self.adopt()
        self.assertEqual(3, done.returncode)
        self.assertIn("its worker process has ended", done.stderr)

    def test_a_worker_that_hangs_without_a_keeper(self):
        worker = self.keeper.kill()["worker_pid"]
        os.kill(worker, signal.SIGSTOP)
        try:
            [status] = self.uidnfs.status(self.m.path)[1]
        finally:
            os.kill(worker, signal.SIGCONT)
        self.assertEqual("stale", status["state"])
        self.assertIn("its worker process does not answer", status["reason"])

    def test_while_there_is_none_commands_say_what_to_do(self):
        before = self.keeper.kill()
        wait_until(lambda: self.uidnfs.status(self.m.path)[1][0]["takeover"] == "none", 10, "its end")
        for _ in range(3):  # who asks is no keeper, and leaves
            [status] = self.uidnfs.status(self.m.path)[1]
            self.assertEqual(("degraded", "it works, but its keeper process is gone (takeover: none); "
                              "uidnfs adopt gives it the next one", "none", None),
                             tuple(status[name] for name in ("state", "reason", "takeover", "keeper_pid")))
            self.assertEqual(before["worker_pid"], status["worker_pid"])
            self.assertEqual(suite.UID, status["uid"])
        for words in (self.m.path,), ("--all",):
            done = self.uidnfs.run("upgrade", *words)
            self.assertEqual((1, f"cannot upgrade {self.m.path}: its keeper process is gone; give it "
                              "the next one with uidnfs adopt\n"), (done.returncode, done.stderr))
        self.assert_adopted()
        self.assertEqual(0, self.uidnfs.run("upgrade", "--all").returncode)

    def test_a_program_on_the_mount_itself_keeps_none(self):
        """It would wait for itself when its worker dies."""
        program = pathlib.Path(self.on_server("uidnfs"))
        shutil.copy(self.uidnfs.binary, program)
        program.chmod(0o755)
        self.keeper.kill()
        # env: this process is the way to the server, and stands still until what it starts has begun.
        done = subprocess.run(["env", self.path("uidnfs"), "adopt", self.m.path], capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn("this program lies on a mount of uidnfs", done.stderr)
        self.assert_adopted()
        self.worker.kill()
        self.app.write_file(self.path("f"), b"on")

    def test_a_directory_above_that_was_renamed(self):
        above = suite.lab().new_mountpoint()
        before, after = above / "before", above / "after"
        (before / "m").mkdir(parents=True)
        self.addCleanup(subprocess.run, ["umount", "-l", after / "m"], capture_output=True)
        done = self.uidnfs.run("mount", self.m.source, before / "m", "-o", "uid=1001,gid=1001")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        before.rename(after)
        [status] = self.uidnfs.status(after / "m")[1]
        self.assertEqual("healthy", status["state"])
        os.kill(status["keeper_pid"], signal.SIGKILL)
        [status] = self.uidnfs.status(after / "m")[1]
        self.assertEqual("unknown", status["state"])
        self.assertIn("a directory above it was renamed", status["reason"])
        done = self.uidnfs.run("adopt", after / "m")
        self.assertEqual(1, done.returncode)
        self.assertIn(f"its keeper knew it as {before / 'm'}; give the directories", done.stderr)
        after.rename(before)
        self.assertEqual(0, self.uidnfs.run("adopt", before / "m").returncode)
        before.rename(after)
        self.assertEqual(0, self.uidnfs.run("umount", after / "m").returncode)

    def test_a_stranger_is_told_who_may(self):
        as_stranger = ["setpriv", f"--reuid={suite.OTHER_UID}", "--clear-groups"]
        done = self.uidnfs.run("adopt", self.m.path, prefix=as_stranger)
        self.assertEqual((1, f"no keeper for {self.m.path}: only root and whoever mounted it may; run "
                          "as one of them\n"), (done.returncode, done.stderr))
        done = self.uidnfs.run("status", self.m.path, prefix=as_stranger)
        self.assertEqual((1, f"{self.m.source} on {self.m.path}: unknown (only root may ask it)\n"),
                         (done.returncode, done.stdout))

    def test_a_stranger_is_refused(self):
        self.keeper.kill()
        stranger = self.actor(suite.OTHER_UID)
        code = stranger.run("import subprocess; result = subprocess.run([binary, 'adopt', path],"
                            "capture_output=True).returncode",
                            binary=str(self.uidnfs.binary), path=str(self.m.path))
        self.assertNotEqual(0, code)
        self.assert_adopted()


class NoRoom(OwnMount):
    """What a keeper writes down for the next one does not fit into its file system."""

    adopt, assert_adopted, tell = Adopted.adopt, Adopted.assert_adopted, Adopted.tell

    def setUp(self):
        CONTROL.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k,mode=700", "tmpfs", CONTROL],
                       check=True)
        self.addCleanup(subprocess.run, ["umount", CONTROL], check=True)
        super().setUp()
        self.app.write_file(self.path("f"), b"before")
        self.filler = CONTROL / "filler"
        with contextlib.suppress(OSError), open(self.filler, "wb", buffering=0) as filler:
            while filler.write(b"x" * 4096) == 4096:
                pass
        self.assertEqual(b"ok\n", self.tell(b"deny\nreason=gone\n"))

    def assert_denied(self):
        with self.assert_errno(errno.EACCES):
            self.app.read_file(self.path("f"))

    def test_no_keeper_believes_what_is_not_so_any_more(self):
        self.filler.unlink()
        self.keeper.kill()
        done = self.adopt()
        self.assertIn("has left no word", done.stderr)
        self.assert_denied()

    def test_it_is_written_once_there_is_room(self):
        self.assertEqual([], list(CONTROL.glob("*.spec*")))
        self.filler.unlink()
        wait_until(lambda: list(CONTROL.glob("*.spec")), 15, "the spec")
        self.keeper.kill()
        self.assert_adopted()
        self.assertEqual("denied: gone", self.m.status()["reason"])
        self.assert_denied()
        self.assertEqual(b"ok\n", self.tell(b"allow\n"))


class HostileWorker(OwnMount):
    """A worker that was taken over stands behind its door and hands whatever it likes to the next
    keeper, which is root: the mount has no keeper then, and nothing else happens."""

    def setUp(self):
        super().setUp()
        self.status = self.m.status()
        [path] = CONTROL.glob("*.worker")
        self.door = None
        for entry in pathlib.Path(f"/proc/{self.status['worker_pid']}/fd").iterdir():
            with contextlib.suppress(OSError):
                copy = socket.socket(fileno=test_local.steal_descriptor(
                    self.status["worker_pid"], int(entry.name)))
                if copy.family == socket.AF_UNIX and copy.getsockname() == str(path):
                    self.door = copy
                    break
                copy.close()
        self.assertIsNotNone(self.door)
        self.addCleanup(self.door.close)
        # The process is the worker's as far as the kernel knows; what it says is ours.
        os.kill(self.status["worker_pid"], signal.SIGSTOP)
        os.kill(self.status["keeper_pid"], signal.SIGKILL)

    def hand(self, said, descriptors=(), words=1):
        """The outcome of `uidnfs adopt` when the worker says that."""
        done = []
        asked = threading.Thread(
            target=lambda: done.append(self.uidnfs.run("adopt", self.m.path)))
        asked.start()
        self.door.setblocking(True)
        self.door.settimeout(5)
        connection, _ = self.door.accept()
        with connection:
            connection.settimeout(5)
            self.assertTrue(connection.recv(65536).startswith(b"adopt\n"))
            for _ in range(words):
                with contextlib.suppress(OSError):
                    connection.sendmsg([said], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                                 array.array("i", descriptors))]
                                       if descriptors else [])
            asked.join(20)
        return done[0]

    def test_whatever_it_hands_over(self):
        plain = os.open("/etc/passwd", os.O_RDONLY)
        fuse = os.open("/dev/fuse", os.O_RDWR)
        null = os.open("/dev/null", os.O_RDWR)
        loose = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
        for fd in (plain, fuse, null, loose):
            self.addCleanup(os.close, fd)
        answer = b"adopted\ntakeover=full\n"
        for said, fds, why in (
                (answer, (), "hands nothing over"),
                (answer, (fuse,), "hands nothing over"),
                (answer, (fuse, loose, loose), "hands nothing over"),
                (answer, (plain, loose), "is no /dev/fuse"),
                (answer, (null, loose), "is no /dev/fuse"),
                (answer, (fuse, loose), "is not its state"),
                (answer, (fuse, plain), "is not its state"),
                (b"spec\nsource=evil:/x\nlog_file=/etc/x\n", (fuse, loose), "hands nothing over"),
                (b"\xff" * 200, (fuse, loose), "does not answer"),
                (b"adopted\n" + b"x=" + b"y" * 150_000 + b"\n", (), "does not answer")):
            with self.subTest(said=said[:20], fds=len(fds)):
                done = self.hand(said, fds)
                self.assertEqual(1, done.returncode, done.stderr)
                self.assertIn(why, done.stderr)
        # The keeper of the last one has answered, and may still be about to end.
        wait_until(lambda: self.uidnfs.processes() == [self.status["worker_pid"]], 5,
                   "the end of all that were started")
        os.kill(self.status["worker_pid"], signal.SIGCONT)
        self.door.setblocking(False)
        done = self.uidnfs.run("adopt", self.m.path)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.app.write_file(self.path("f"), b"on")

    def test_who_is_not_the_worker_is_not_asked(self):
        """The door was passed on: the kernel says who listens."""
        self.door.listen(4)
        done = self.uidnfs.run("adopt", self.m.path)
        self.assertEqual(1, done.returncode)
        self.assertIn("is not its worker process", done.stderr)
        os.kill(self.status["worker_pid"], signal.SIGCONT)
