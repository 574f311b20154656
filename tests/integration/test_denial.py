# SPDX-License-Identifier: Apache-2.0
"""recheck_action = "deny": a user that the directory does not know any more loses a live mount, and
gets it back, with a real slapd, a real server and a real daemon."""

import errno
import json
import mmap
import os
import signal
import subprocess

import slapd
import suite
import test_volumes
import volume_daemon
from uidnfs_command import wait_until

ALICE = slapd.Person("alice", 1001, 1001, "alice-Pa55word")
BOB = slapd.Person("bob", 1002, 1002, "bob-Pa55word")


class Deny(test_volumes.VolumeTest):
    def setUp(self):
        suite.IntegrationTest.setUp(self)
        self.daemon = volume_daemon.VolumeDaemon(self.uidnfs, self.options, self.rule)
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.addCleanup(self.daemon.clear)
        self.slapd = slapd.Slapd(self.daemon.root / "slapd", [ALICE, BOB]).start()
        self.addCleanup(self.slapd.stop)
        self.daemon.write(self.daemon.ports, self.rule, self.slapd.section(self.daemon.root, """
recheck_seconds = 1
recheck_action = "deny"
recheck_max_percent = 50
"""))
        self.daemon.start()
        self.inside, self.paths = {}, {}
        for person in (ALICE, BOB):
            self.assertEqual("", self.daemon.create(
                person.name, self.share("shared"), username=person.name, password=person.password))
            path, error = self.daemon.mount(person.name)
            self.assertEqual("", error)
            self.paths[person.name] = path
            self.inside[person.name] = self.given(path)
        self.alice = self.inside["alice"]

    def lose(self, person):
        self.slapd.change(f"dn: {person.dn}\nchangetype: delete\n")

    def find(self, person):
        first, rest = person.ldif().strip().split("\n", 1)
        self.slapd.change(f"{first}\nchangetype: add\n{rest}\n")

    def lines(self, event):
        return [line for line in self.daemon.audit_lines() if line["event"] == event]

    def status(self, person):
        """Of the mount itself."""
        [status] = [one for one in self.uidnfs.status()[1]
                    if one["mountpoint"] == self.paths[person.name]]
        return status

    def volumes(self):
        return {line["volume"]: line
                for line in json.loads(self.daemon.admin_ask("GET", "/volumes")[1])}

    def test_access_goes_and_comes_back(self):
        name = os.path.join(self.alice, "report")
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        self.addCleanup(os.close, descriptor)
        os.write(descriptor, b"x" * 8192)
        os.fsync(descriptor)
        self.assertEqual(b"x" * 8192, os.pread(descriptor, 8192, 0))
        pages = mmap.mmap(descriptor, 8192, mmap.MAP_SHARED, mmap.PROT_READ)
        self.assertEqual(b"x", pages[4096:4097])

        self.lose(ALICE)
        wait_until(lambda: self.lines("identity denied"), 60, "the denial")
        [line] = self.lines("identity denied")
        self.assertEqual(("alice", "alice", 1001), (line["volume"], line["user"], line["uid"]))
        for what in (lambda: os.pread(descriptor, 100, 0), lambda: os.pwrite(descriptor, b"y", 0),
                     lambda: os.stat(name), lambda: os.open(name, os.O_RDONLY),
                     lambda: os.listdir(self.alice), lambda: os.statvfs(self.alice)):
            with self.assertRaises(OSError) as caught:
                what()
            self.assertEqual(errno.EACCES, caught.exception.errno)
        # A page of the mapping is gone: whoever touches it gets SIGBUS, and not what was there.
        touching = subprocess.run(
            ["/usr/bin/python3", "-c", "import mmap, sys\n"
             "pages = mmap.mmap(int(sys.argv[1]), 8192, mmap.MAP_SHARED, mmap.PROT_READ)\n"
             "print(pages[4096:4097])", str(descriptor)],
            pass_fds=[descriptor], capture_output=True, text=True, timeout=60, check=False)
        self.assertNotEqual(0, touching.returncode)
        self.assertNotIn("x", touching.stdout)
        # The other one goes on.
        with open(os.path.join(self.inside["bob"], "bobs"), "wb") as file:
            file.write(b"b")
        wait_until(lambda: self.volumes()["alice"]["health"] == "failed", 60, "its health")
        self.assertIn("denied: the directory does not know user alice",
                      self.volumes()["alice"]["reason"])
        self.assertIn("uidnfs_denied_mounts 1\n", self.daemon.admin_ask("GET", "/metrics")[1])

        self.find(ALICE)
        wait_until(lambda: self.lines("identity restored"), 60, "access again")
        self.assertEqual(b"x" * 8192, os.pread(descriptor, 8192, 0))
        os.pwrite(descriptor, b"z", 0)
        os.fsync(descriptor)
        self.assertEqual(b"x", pages[4096:4097])
        self.assertEqual(["bobs", "report"], sorted(os.listdir(self.alice)))
        with open(self.on_server("report", "shared"), "rb") as file:
            self.assertEqual(b"zx", file.read(2))
        pages.close()

    def test_it_stays_so_over_a_restart_and_ends_without_waiting(self):
        self.lose(ALICE)
        wait_until(lambda: self.lines("identity denied"), 60, "the denial")
        self.daemon.kill()
        self.daemon.start()
        with self.assertRaises(PermissionError):
            os.listdir(self.alice)
        wait_until(lambda: "uidnfs_denied_mounts 1\n" in self.daemon.admin_ask("GET", "/metrics")[1],
                   60, "the denial, known again")
        for person in (ALICE, BOB):
            self.taken_back(self.inside[person.name])
            self.assertEqual("", self.daemon.unmount(person.name))
        self.assert_nothing_left()
        self.assertEqual(1, len(self.lines("identity denied")))

    def test_a_worker_that_takes_over_is_denied_before_it_sends_anything(self):
        name = os.path.join(self.alice, "report")
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        self.addCleanup(os.close, descriptor)
        os.write(descriptor, b"kept")
        os.fsync(descriptor)
        self.lose(ALICE)
        wait_until(lambda: self.lines("identity denied"), 60, "the denial")
        self.assertIn("alice", self.status(ALICE)["denied"])
        os.kill(self.status(ALICE)["worker_pid"], signal.SIGKILL)
        with self.assertRaises(PermissionError):
            os.pread(descriptor, 4, 0)
        wait_until(lambda: self.status(ALICE)["takeovers"] == 1, 60, "the next worker")
        with self.assertRaises(PermissionError):
            os.pwrite(descriptor, b"lost", 0)
        self.assertEqual(1, len(self.lines("identity denied")))
        self.find(ALICE)
        wait_until(lambda: self.lines("identity restored"), 60, "access again")
        self.assertEqual(b"kept", os.pread(descriptor, 4, 0))
