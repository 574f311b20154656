# SPDX-License-Identifier: Apache-2.0
"""Keepers of volumes are killed, alone or together with their workers: the daemon sees it and gives the
mounts the next ones, and applications notice nothing."""

import fcntl
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import model_load
import suite
import test_local
import test_volumes
from uidnfs_command import wait_until

# Takes what is mapped shared and dirty off its place, which waits for the worker with the lock of the
# memory held: so long nobody can read this process's arguments.
REPLACES_MAPPINGS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
SHARED, PRIVATE, FIXED, ANONYMOUS = 1, 2, 0x10, 0x20
fd = os.open(path, os.O_RDWR | os.O_CREAT)
size = 64 * 4096
os.ftruncate(fd, size)
at = libc.mmap(None, size, 3, SHARED, fd, 0)
until = time.monotonic() + seconds
while time.monotonic() < until:
    ctypes.memset(at, 7, size)
    libc.mmap(at, size, 3, PRIVATE | ANONYMOUS | FIXED, -1, 0)
    libc.mmap(at, size, 3, SHARED | FIXED, fd, 0)
os.close(fd)
"""


class OfVolumes(test_volumes.VolumeTest):
    """The daemon does it by itself."""

    def setUp(self):
        super().setUp()
        self.volume = self.mounted()
        self.inside = self.given(self.volume)
        self.app = self.actor(suite.APP_UID)

    def status(self):
        _, found = self.uidnfs.status(self.volume)
        return found[0] if found else None

    def known_status(self):
        now = self.status()
        self.assertIsNotNone(now, self.uidnfs.complaint)
        return now

    def wait_for_keeper(self, before):
        def next_one():
            now = self.status()
            is_next = now and now["keeper_pid"] not in (None, before["keeper_pid"])
            return now if is_next and now["takeover"] == "full" else None
        try:
            return wait_until(next_one, 10, "the next keeper")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status()}, {self.uidnfs.command_lines()}, "
                                 f"{self.daemon.log()[-2000:]}") from None

    def kill_keeper(self):
        before = self.known_status()
        os.kill(before["keeper_pid"], signal.SIGKILL)
        return self.wait_for_keeper(before)

    def kill_worker(self):
        before = self.known_status()
        os.kill(before["worker_pid"], signal.SIGKILL)

        def next_one():
            now = self.status()
            return now and now["takeovers"] > before["takeovers"] and now["operations"] is not None
        # Until then the keeper alone holds the device.
        wait_until(next_one, 30, "a take-over")

    def events(self):
        return [line["event"] for line in self.daemon.audit_lines()]

    def given_back(self):
        self.app.stop()
        self.taken_back(self.inside)
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()

    def test_the_next_one_is_as_good(self):
        first = self.status()
        began = time.monotonic()
        second = self.kill_keeper()
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(first["worker_pid"], second["worker_pid"])
        self.app.write_file(os.path.join(self.inside, "f"), b"1")
        self.kill_worker()
        self.assertEqual(b"1", self.app.read_file(os.path.join(self.inside, "f")))
        self.kill_keeper()
        for event in ("keeper lost", "keeper replaced", "connections lost"):
            wait_until(lambda: self.events().count(event) == 2, 10, f"two of {event}")  # noqa: B023
        # Every connection of the worker is known to the one that keeps it now.
        lines = [line for line in self.daemon.audit_lines() if line["event"] == "keeper replaced"]
        self.assertEqual(("v", 1001), (lines[0]["volume"], lines[0]["uid"]))

        def told_anew():
            since = self.events()[::-1].index("keeper replaced")
            return "connection" in self.events()[-since:] if since else False
        wait_until(told_anew, 40, "the connections anew")
        _, metrics = self.daemon.admin_ask("GET", "/metrics")
        self.assertIn("uidnfs_keepers_lost_total 2\n", metrics)
        self.assertIn("uidnfs_keepers_replaced_total 2\n", metrics)
        _, volumes = self.daemon.admin_ask("GET", "/volumes")
        self.assertIn(f'"keeper_pid":{self.status()["keeper_pid"]}', volumes.replace(" ", ""))
        self.given_back()

    def test_again_and_again_under_load(self):
        """Never both at once: the worker is killed when it has a keeper again."""
        seconds, seed = 20, random.randrange(1 << 30)
        print(f"seed {seed}")
        rng = random.Random(seed)
        place = os.path.join(self.inside, "load")
        self.app.mkdir(place)
        self.app.start_run(model_load.LOAD, d=place, seed=seed, seconds=seconds)
        keepers, slowest = 0, 0.0
        until = time.monotonic() + seconds - 1
        while time.monotonic() < until:
            time.sleep(rng.uniform(0, 0.3))
            began = time.monotonic()
            self.kill_keeper()
            slowest = max(slowest, time.monotonic() - began)
            keepers += 1
            self.kill_worker()
        done, left = self.app.finish(seconds + 120)
        for name, content in left.items():
            there = pathlib.Path(self.on_server("load")) / name
            self.assertEqual(content, there.read_bytes(), f"{name} on the server")
        print(f"{keepers} keepers and workers, {done} operations, slowest {slowest:.2f} s")
        self.assertGreaterEqual(keepers, 3)
        self.given_back()

    def test_front_mounter_and_keeper_at_once(self):
        place = os.path.join(self.inside, "all-at-once")
        self.app.mkdir(place)
        self.app.start_run(model_load.LOAD, d=place, seed=1, seconds=12)
        before = self.known_status()
        for _ in range(2):
            [mounter] = self.daemon.children()
            for pid in (mounter, before["keeper_pid"]):
                os.kill(pid, signal.SIGKILL)
            self.daemon.kill()
            self.daemon.start()
            before = self.wait_for_keeper(before)
            self.assertEqual("mounted", self.daemon.get("v")["Volume"]["Status"]["state"])
            self.kill_worker()
        self.app.finish(120)
        self.assertEqual(2, self.events().count("keeper replaced"))
        self.assertEqual((self.volume, ""), self.daemon.mount("v", "2"))
        self.assertEqual("", self.daemon.unmount("v", "2"))
        self.given_back()

    def test_the_daemon_dies_before_it_could_write_that_down(self):
        """What it finds is the mount that it knows, under another keeper."""
        before = self.known_status()
        self.daemon.kill()
        os.kill(before["keeper_pid"], signal.SIGKILL)
        done = self.uidnfs.run("adopt", self.volume)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.daemon.start()
        self.assertEqual("mounted", self.daemon.get("v")["Volume"]["Status"]["state"])
        self.kill_keeper()
        self.given_back()

    def test_a_worker_cannot_say_that_it_has_ended(self):
        """One that was taken over: the daemon watches its keeper, which is told by nobody."""
        before = self.known_status()
        channel = socket.socket(fileno=test_local.steal_descriptor(
            before["worker_pid"], test_local.CHANNEL))
        with channel:
            for said in (b"access\nid=0\n", b"drained\nid=0\n", b"status\nid=0\njson={}\n"):
                channel.send(said)
        self.kill_worker()
        self.assertEqual("mounted", self.daemon.get("v")["Volume"]["Status"]["state"])
        self.assertNotIn("worker died", self.events())
        self.given_back()

    def test_it_is_unmounted_meanwhile(self):
        self.app.write_file(os.path.join(self.inside, "last"), b"words")
        self.app.stop()
        self.taken_back(self.inside)
        os.kill(self.status()["keeper_pid"], signal.SIGKILL)
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()
        with open(self.on_server("last"), "rb") as file:
            self.assertEqual(b"words", file.read())

    def test_a_worker_that_hangs_meanwhile(self):
        """It has no keeper as long as it does not answer; the mount is not taken away for that."""
        before = self.known_status()
        os.kill(before["worker_pid"], signal.SIGSTOP)
        os.kill(before["keeper_pid"], signal.SIGKILL)
        wait_until(lambda: "keeper lost" in self.events(), 10, "the loss")
        time.sleep(5)
        self.assertEqual([self.volume], self.daemon.mounts())
        self.assertNotIn("keeper replaced", self.events())
        os.kill(before["worker_pid"], signal.SIGCONT)
        self.wait_for_keeper(before)
        self.kill_worker()
        self.given_back()

    def test_a_worker_that_hangs_while_the_daemon_starts(self):
        before = self.known_status()
        self.daemon.kill()
        os.kill(before["worker_pid"], signal.SIGSTOP)
        os.kill(before["keeper_pid"], signal.SIGKILL)
        self.daemon.start()
        self.assertEqual("mounted", self.daemon.get("v")["Volume"]["Status"]["state"])
        os.kill(before["worker_pid"], signal.SIGCONT)
        self.wait_for_keeper(before)
        self.assertEqual("mounted", self.daemon.get("v")["Volume"]["Status"]["state"])
        self.assertEqual(["keeper lost", "keeper replaced"],
                         [event for event in self.events() if event.startswith("keeper")])
        self.kill_worker()
        self.given_back()

    def test_a_worker_that_hangs_is_unmounted(self):
        self.app.stop()
        self.taken_back(self.inside)
        before = self.known_status()
        os.kill(before["worker_pid"], signal.SIGSTOP)
        os.kill(before["keeper_pid"], signal.SIGKILL)
        began = time.monotonic()
        self.assertEqual("", self.daemon.unmount("v"))
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual([], self.daemon.mounts())
        os.kill(before["worker_pid"], signal.SIGCONT)
        wait_until(lambda: not self.keepers(), 40, "the end of the detached worker")

    def kill_both(self):
        before = self.known_status()
        for name in ("keeper_pid", "worker_pid"):
            os.kill(before[name], signal.SIGKILL)
        return before

    def test_worker_and_keeper_at_once(self):
        """The daemon has what they worked on."""
        name = os.path.join(self.inside, "f")
        self.app.run("state['fd'] = os.open(f, os.O_RDWR | os.O_CREAT); os.write(state['fd'], b'x' * 9)",
                     f=name)
        for round_ in range(3):
            self.server.freeze()
            self.addCleanup(self.server.thaw)
            self.app.run("os.write(state['fd'], b'y' * 100_000)")
            before = self.kill_both()
            self.app.start("write_file", os.path.join(self.inside, f"g{round_}"), b"content")
            after = self.wait_for_keeper(before)
            self.assertNotEqual(before["worker_pid"], after["worker_pid"])
            self.server.thaw()
            self.app.finish(60)
            self.app.run("os.fsync(state['fd'])")
            with open(self.on_server("f"), "rb") as file:
                self.assertEqual(b"x" * 9 + b"y" * 100_000 * (round_ + 1), file.read())
        self.assertEqual("mounted", self.daemon.get("v")["Volume"]["Status"]["state"])
        self.assertNotIn("worker died", self.events())
        self.app.run("os.close(state.pop('fd'))")
        self.given_back()

    def test_worker_and_keeper_at_once_under_load(self):
        place = os.path.join(self.inside, "both")
        self.app.mkdir(place)
        self.app.start_run(model_load.LOAD, d=place, seed=random.randrange(1 << 30), seconds=12)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            time.sleep(random.uniform(0, 0.5))
            self.wait_for_keeper(self.kill_both())
        _, left = self.app.finish(120)
        for name, content in left.items():
            there = pathlib.Path(self.on_server("both")) / name
            self.assertEqual(content, there.read_bytes(), f"{name} on the server")
        self.given_back()

    def test_worker_keeper_and_daemon_at_once(self):
        self.daemon.kill()
        self.kill_both()
        self.daemon.start()
        wait_until(lambda: "failed" in str(self.daemon.get("v")), 15, "the state failed")
        for _ in range(2):
            self.daemon.stop()
            self.daemon.start()
        self.assertEqual(1, self.events().count("worker died"))
        self.assertEqual([], self.daemon.mounts())
        # A container that comes now has a new one.
        self.assertEqual((self.volume, ""), self.daemon.mount("v", "2"))
        self.taken_back(self.inside)
        self.inside = self.given(self.volume)
        self.app.write_file(os.path.join(self.inside, "again"), b"4")
        self.assertEqual("", self.daemon.unmount("v", "2"))
        self.given_back()

    def handed_out(self):
        """What the keeper gives to whoever watches: the device and the memory."""
        watcher = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(watcher.close)
        minor = os.minor(os.stat(self.volume).st_dev)
        watcher.connect(f"/run/uidnfs/mounts/{minor}.sock")
        watcher.send(b"watch\nstate=wanted\n")
        message, descriptors, _, _ = socket.recv_fds(watcher, 1024, 2)
        self.assertTrue(message.startswith(b"adopted\n"), message)
        for descriptor in descriptors:
            self.addCleanup(os.close, descriptor)
        return descriptors

    def test_one_keeper_works_on_the_memory_of_a_mount(self):
        """Whatever the daemon thinks of the last one that it has started."""
        _, memory = self.handed_out()
        claim = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY)
        self.addCleanup(os.close, claim)
        with self.assertRaises(BlockingIOError):
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        before = self.kill_both()
        fcntl.flock(claim, fcntl.LOCK_EX)  # as a keeper that was started and is slow
        wait_until(lambda: "another keeper process has it" in self.daemon.log(), 20, "the refusal")
        self.assertEqual([], self.uidnfs.processes())
        fcntl.flock(claim, fcntl.LOCK_UN)
        self.wait_for_keeper(before)
        self.given_back()

    def test_worker_and_keeper_at_once_beside_strangers(self):
        """One says that it is the worker; the memory of the other waits for the worker itself."""
        place = tempfile.mkdtemp(dir="/run")
        self.addCleanup(shutil.rmtree, place)
        os.chmod(place, 0o755)
        pathlib.Path(place, "worker").write_text("read line", encoding="ascii")
        liar = subprocess.Popen(["uidnfs-worker", "worker", "nas1:/exports/a", self.volume],
                                executable="/bin/sh", cwd=place, user=65534, stdin=subprocess.PIPE)
        self.addCleanup(liar.wait)
        self.addCleanup(liar.kill)
        self.app.start_run(REPLACES_MAPPINGS, path=os.path.join(self.inside, "m"), seconds=12)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            time.sleep(random.uniform(0.2, 0.7))
            self.wait_for_keeper(self.kill_both())
        self.app.finish(60)
        self.given_back()

    def test_who_waits_ends_where_no_keeper_can_be_had(self):
        """Nobody but the daemon has the device then."""
        minor = os.minor(os.stat(self.volume).st_dev)
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        self.app.start("listdir", self.inside)
        time.sleep(1)
        os.chmod(f"/run/uidnfs/mounts/{minor}.spec", 0o644)  # nobody believes it any more
        self.kill_both()
        self.app.kill()
        stat = pathlib.Path(f"/proc/{self.app.pid}/stat")
        wait_until(lambda: ") Z " in stat.read_text(), 40, "the end of the killed application")
