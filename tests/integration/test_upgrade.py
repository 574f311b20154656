# SPDX-License-Identifier: Apache-2.0
"""Another version of the program goes on with a mount in use: applications see a pause; and what
it cannot go on with is refused before anything has changed."""

import os
import pathlib
import random
import re
import socket
import subprocess
import threading
import time

import model_load
import suite
import test_volumes
import uidnfs_command


def next_version(version):
    head, last = re.fullmatch(r"(.*?)(\d)", version).groups()
    return f"{head}{(int(last) + 1) % 10}"


class Programs:
    """Versions of the program; for tests that say self.version."""

    def program(self, content):
        path = suite.lab().new_mountpoint() / "uidnfs"
        path.write_bytes(content)
        path.chmod(0o755)
        self.addCleanup(path.unlink, missing_ok=True)
        return path

    def next(self):
        """The program under test with another number of its version."""
        content = self.uidnfs.binary.read_bytes()
        old, new = (b"\0" + word.encode() + b"\0"
                    for word in (self.version, next_version(self.version)))
        self.assertTrue(old in content, "its version is not found in the program")
        return uidnfs_command.Uidnfs(self.program(content.replace(old, new)))

    def assert_upgraded(self, done):
        self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))


class UpgradeTest(Programs, suite.MountedTest):
    options = "timeo=20"

    def setUp(self):
        super().setUp()
        self.version = self.m.status()["version"]

    def upgrade(self, program, *flags):
        return program.run("upgrade", *(flags or (self.m.path,)), timeout=150)

    def assert_refused(self, done, why):
        self.assertEqual(1, done.returncode)
        self.assertIn(f"cannot upgrade {self.m.path}: ", done.stderr)
        self.assertIn(why, done.stderr)

    def assert_untouched(self, before):
        after = self.m.status()
        for name in ("worker_pid", "keeper_pid", "version", "takeovers"):
            self.assertEqual(before[name], after[name], name)
        self.app.write_file(self.path("after"), b"content")
        self.assertEqual(b"content", self.app.read_file(self.path("after")))


class InUse(UpgradeTest):
    PROGRAMS = 3
    SECONDS = 20

    def longest_pause(self, path):
        """Starts to look; the returned function ends it and says the longest time of one look."""
        longest, end, watcher = [0.0], threading.Event(), self.actor(suite.APP_UID)

        def look():
            while not end.is_set():
                began = time.monotonic()
                watcher.listdir(path)
                longest[0] = max(longest[0], time.monotonic() - began)

        thread = threading.Thread(target=look)
        thread.start()
        def done():
            end.set()
            thread.join()
            return longest[0]
        return done

    def test_there_and_back_under_load(self):
        """No error is seen, every byte is right, and nothing was in flight when a worker went."""
        seed = random.randrange(1 << 30)
        print(f"seed {seed}")
        crew = [self.actor(suite.APP_UID) for _ in range(self.PROGRAMS)]
        for number, program in enumerate(crew):
            place = self.path(str(number))
            self.app.mkdir(place)
            program.start_run(model_load.LOAD, d=place, seed=seed + number, seconds=self.SECONDS)
        pause_ends = self.longest_pause(self.path())
        programs, upgrades = (self.next(), self.uidnfs), 0
        until = time.monotonic() + self.SECONDS - 2
        while time.monotonic() < until:
            before = self.m.status()
            self.assert_upgraded(self.upgrade(programs[upgrades % 2]))
            upgrades += 1
            after = self.m.status()
            self.assertEqual(before["keeper_pid"], after["keeper_pid"])
            self.assertNotEqual(before["worker_pid"], after["worker_pid"])
            expected = self.version if upgrades % 2 == 0 else next_version(self.version)
            self.assertEqual(expected, after["version"])
            self.assertEqual(before["takeovers"] + 1, after["takeovers"])
            self.assertEqual(before["upgrades"] + 1, after["upgrades"])
            self.assertEqual(f"upgraded to version {expected}", after["last_takeover"]["reason"])
        pause = pause_ends()
        total = 0
        for number, program in enumerate(crew):
            done, left = program.finish(self.SECONDS + 120)
            total += done
            for name, content in left.items():
                there = pathlib.Path(self.on_server(str(number))) / name
                self.assertEqual(content, there.read_bytes(), f"{number}/{name} on the server")
        print(f"{upgrades} upgrades, {total} operations, longest pause {pause:.3f} s")
        self.assertGreater(total, 0)
        self.assertGreaterEqual(upgrades, 2)

    def test_a_worker_of_the_new_version_that_dies_is_followed_by_one(self):
        """Also when its file is gone."""
        program = self.next()
        self.assert_upgraded(self.upgrade(program))
        program.binary.unlink()
        before = self.m.status()
        os.kill(before["worker_pid"], 9)
        def next_one():
            now = self.m.status()
            is_next = now["takeovers"] > before["takeovers"] and now["operations"] is not None
            return now if is_next else None
        after = uidnfs_command.wait_until(next_one, 60, "a take-over")
        self.assertEqual(next_version(self.version), after["version"])
        self.assertEqual(self.version, after["keeper_version"])
        self.assert_upgraded(self.upgrade(self.uidnfs))
        self.assertEqual(self.version, self.m.status()["version"])

    def test_all(self):
        other = self.mount("shared")
        self.assert_upgraded(self.upgrade(self.next(), "--all"))
        for mount in (self.m, other):
            self.assertEqual(next_version(self.version), mount.status()["version"])
        self.assert_upgraded(self.upgrade(self.uidnfs, "--all"))


class Refused(UpgradeTest):
    def ask_keeper(self, program):
        """Asks the keeper to go on with a program that is not uidnfs; its answer."""
        minor = os.stat(self.m.path).st_dev & 0xff | os.stat(self.m.path).st_dev >> 12 & ~0xff
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker, open(program, "rb") as file:
            asker.settimeout(90)
            asker.connect(f"/run/uidnfs/mounts/{minor}.sock")
            socket.send_fds(asker, [b"upgrade\n"], [file.fileno()])
            return asker.recv(65536).decode()

    def script(self, *lines):
        head = ("#!/usr/bin/python3 -BS", "import socket, sys, time",
                "keeper = socket.socket(fileno=3)", "keeper.recv(65536)")
        return self.program("\n".join(head + lines).encode())

    def memory(self, keeper):
        """The arena, as whoever may do everything finds it."""
        for entry in pathlib.Path(f"/proc/{keeper}/fd").iterdir():
            if os.readlink(entry).startswith("/memfd:"):
                return open(entry, "r+b", buffering=0)
        raise AssertionError("the keeper has no arena")

    def test_a_state_of_an_unknown_layout(self):
        before = self.m.status()
        with self.memory(before["keeper_pid"]) as memory:
            layout = os.pread(memory.fileno(), 4, 8)
            os.pwrite(memory.fileno(), b"\x63\0\0\0", 8)
            try:
                done = self.upgrade(self.next())
            finally:
                os.pwrite(memory.fileno(), layout, 8)
        self.assert_refused(done, "cannot read the state of the mount")
        self.assert_untouched(before)

    def test_a_program_that_knows_no_upgrades(self):
        before = self.m.status()
        self.assertIn("does not know how to go on with a mount", self.ask_keeper("/bin/true"))
        self.assertIn("does not know how to go on with a mount",
                      self.ask_keeper(self.script("sys.exit(1)")))
        self.assert_untouched(before)

    def test_no_program(self):
        before = self.m.status()
        self.assertIn("no program came with the request", self.ask_keeper("/dev/null"))
        self.assertIn("cannot be started", self.ask_keeper("/etc/passwd"))
        self.assert_untouched(before)

    def test_a_program_that_fails_once_the_old_worker_has_stopped(self):
        """The version before takes the mount back."""
        before = self.m.status()
        answer = self.ask_keeper(self.script(
            "keeper.send(b'fit\\nversion=9\\n')", "keeper.recv(65536)", "sys.exit(3)"))
        self.assertIn("the worker process died: exit status 3", answer)
        self.app.write_file(self.path("after"), b"content")
        after = self.m.status()
        self.assertEqual(before["version"], after["version"])
        self.assertNotEqual(before["worker_pid"], after["worker_pid"])
        self.assertEqual(b"content", self.app.read_file(self.path("after")))
        self.assert_upgraded(self.upgrade(self.uidnfs))

    def test_the_mount_ends_while_a_program_is_looked_at(self):
        """umount has its way, and the program that did not answer is gone."""
        mount = self.mount("shared")
        hangs = self.script("time.sleep(600)")
        self.m, everybody = mount, self.m
        self.addCleanup(setattr, self, "m", everybody)
        asked = threading.Thread(target=self.ask_keeper, args=(hangs,))
        asked.start()
        def runs():
            return [line for line in subprocess.run(["ps", "-eo", "args"], capture_output=True,
                                                    text=True, check=True).stdout.splitlines()
                    if "python3 -BS" in line]
        uidnfs_command.wait_until(runs, 30, "the start of the program")
        self.assertEqual(0, mount.umount().returncode)
        asked.join(60)
        uidnfs_command.wait_until(lambda: not runs(), 30, "the end of the program")

    def test_a_program_that_lies_on_the_mount(self):
        """It would read its own pages through itself."""
        program = pathlib.Path(self.on_server("uidnfs"))
        program.write_bytes(self.uidnfs.binary.read_bytes())
        program.chmod(0o755)
        # By another program: this one may be the server's proxy, and waits until its child executes.
        done = uidnfs_command.Uidnfs(self.path("uidnfs")).run(
            "upgrade", self.m.path, prefix=("env",), timeout=150)
        self.assert_refused(done, "lies on a mount of uidnfs")

    def test_a_silent_server(self):
        """What is under way is not ended in time: the old worker goes on, and so does the call."""
        self.app.write_file(self.path("f"), b"content")
        before = self.m.status()
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        self.app.start("mkdir", self.path("d"))
        uidnfs_command.wait_until(lambda: self.m.status()["calls"]["in_flight"] > 0, 30, "a call")
        done = self.upgrade(self.uidnfs, self.m.path, "--flush-deadline", "1")
        self.assert_refused(done, "the server did not")
        self.server.thaw()
        self.app.finish(60)
        self.assert_untouched(before)

    def test_what_is_not_a_mount(self):
        done = self.uidnfs.run("upgrade", "/proc")
        self.assertEqual((1, "cannot upgrade /proc: it is not a mount of uidnfs; see uidnfs status\n"),
                         (done.returncode, done.stderr))


class Several(suite.IntegrationTest):
    MOUNTS = 4
    FLUSH_SECONDS = 8

    def test_mounts_of_a_silent_server_do_not_wait_for_each_other(self):
        """With hundreds of them the installation of a package would wait for an hour."""
        mounts = [self.mount() for _ in range(self.MOUNTS)]
        crew = self.crew(suite.APP_UID, self.MOUNTS)
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        for number, (mount, app) in enumerate(zip(mounts, crew.actors)):
            app.start("mkdir", mount / f"several-{number}")
        for mount in mounts:
            uidnfs_command.wait_until(
                lambda m=mount: m.status()["calls"]["in_flight"] > 0, 30, "a call")
        began = time.monotonic()
        done = self.uidnfs.run("upgrade", "--all", "--flush-deadline", str(self.FLUSH_SECONDS),
                               timeout=150)
        took = time.monotonic() - began
        self.server.thaw()
        for app in crew.actors:
            app.finish(60)
        self.assertEqual(self.MOUNTS, done.stderr.count("the server did not"), done.stderr)
        self.assertEqual(1, done.returncode)
        self.assertLess(took, self.MOUNTS * self.FLUSH_SECONDS * 3 / 4)


class Volumes(Programs, test_volumes.VolumeTest):
    """What installing a package does to the mounts of the daemon."""

    def status_of_all(self):
        return self.uidnfs.status()[1]

    def test_all_of_the_daemons(self):
        inside = self.given(self.mounted())
        self.mounted("w", "shared")
        before = {state["mountpoint"]: state for state in self.status_of_all()}
        self.version = next(iter(before.values()))["version"]
        app = self.actor(suite.APP_UID)
        app.run("state['fd'] = os.open(d + '/f', os.O_RDWR | os.O_CREAT)", d=inside)
        self.assert_upgraded(self.next().run("upgrade", "--all", timeout=150))
        after = {state["mountpoint"]: state for state in self.status_of_all()}
        self.assertEqual(2, len(after))
        self.assertEqual(sorted(before), sorted(after))
        for place, state in after.items():
            self.assertEqual(next_version(self.version), state["version"])
            self.assertEqual(before[place]["keeper_pid"], state["keeper_pid"])
        # A worker that took over a moment ago may still be connecting.
        uidnfs_command.wait_until(
            lambda: {state["state"] for state in self.status_of_all()} == {"healthy"}, 10, "health")
        app.run("os.pwrite(state['fd'], b'content', 0); os.close(state.pop('fd'))")
        self.assertEqual(b"content", pathlib.Path(self.on_server("f")).read_bytes())
        def told():
            return [line for line in self.daemon.audit_lines() if line["event"] == "upgrade"]
        lines = uidnfs_command.wait_until(lambda: len(told()) == 2 and told(), 90, "the audit")
        self.assertEqual({next_version(self.version)}, {line["worker_version"] for line in lines})
        self.taken_back(inside)
        for name in ("v", "w"):
            self.assertEqual("", self.daemon.unmount(name))
        self.assert_nothing_left()
