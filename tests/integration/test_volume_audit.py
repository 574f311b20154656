# SPDX-License-Identifier: Apache-2.0
"""Who was it? Each call that a server saw is of a port and a time that the audit knows, whatever
became of connection, worker and daemon meanwhile. A proxy sees what the server sees."""

import datetime
import os
import pathlib
import signal
import subprocess
import time

import suite
import test_volumes
import volume_daemon
from uidnfs_command import wait_until

NEWS = ("connection", "connection ended", "connections lost")


def seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class ConnectionTest(test_volumes.VolumeTest):
    def setUp(self):
        suite.IntegrationTest.setUp(self)
        self.host = suite.lab().proxy()
        self.addCleanup(self.host.stop)
        self.rule = volume_daemon.RULE.replace("nas1:", f"{self.host.address}:")
        super().setUp()

    def share(self, export="a"):
        return f"{self.host.address}:{suite.lab().export(export).share}"

    def lines(self):
        return [line for line in self.daemon.audit_lines() if line["event"] in NEWS]

    def connections(self):
        """The last line of each connection."""
        return list({line["connection"]: line for line in self.lines()
                     if line["event"] != "connections lost"}.values())

    def worker(self):
        return next(pid for pid in self.uidnfs.processes()
                    if volume_daemon.status_of(pid, "Name") == "uidnfs-worker")

    def connect_again(self, inside, times):
        """Between two questions of the daemon, which are 15 s apart at least."""
        app = self.actor(suite.APP_UID)
        for turn in range(times):
            self.host.reset_all()
            app.write_file(os.path.join(inside, f"f{turn}"), b"x")

    def assert_each_call_is_known(self, uid=1001):
        """REQUIRES: the mount has ended."""
        shift = time.time() - time.monotonic()
        connections = self.connections()
        self.assertTrue(all("until" in line for line in connections), connections)
        self.assertEqual([], [line for line in self.lines() if line["event"] == "connections lost"])
        calls = self.host.calls()
        self.assertTrue(calls)
        for seen in calls:
            at = seen.at + shift
            self.assertTrue(
                [line for line in connections
                 if line["local_ports"] == [seen.client_port] and line["uid"] == uid
                 and line["server_address"] == f"{self.host.address}:{seen.server_port}"
                 and seconds_of(line["from"]) - 0.1 <= at <= seconds_of(line["until"]) + 2.0],
                (seen, connections))

    def assert_each_is_said_once(self):
        said = [(line["event"], line["connection"]) for line in self.lines()]
        self.assertEqual(sorted(set(said)), sorted(said))

    def end(self, inside):
        self.taken_back(inside)
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()

    def test_connections_between_two_questions_are_known(self):
        inside = self.given(self.mounted())
        self.connect_again(inside, 5)
        self.end(inside)
        nfs = [line for line in self.connections() if line["server_address"].endswith(":2049")]
        self.assertGreaterEqual(len(nfs), 6)
        self.assert_each_is_said_once()
        self.assert_each_call_is_known()

    def test_those_of_a_worker_that_died_are_known(self):
        inside = self.given(self.mounted())
        app = self.actor(suite.APP_UID)
        for name in ("a", "b"):
            worker = self.worker()
            os.kill(worker, signal.SIGKILL)
            app.write_file(os.path.join(inside, name), b"x")
            self.assertNotEqual(worker, self.worker())
        self.end(inside)
        self.assert_each_is_said_once()
        self.assert_each_call_is_known()

    def test_those_while_there_was_no_daemon_are_known(self):
        inside = self.given(self.mounted())
        wait_until(self.lines, 20, "the first connections")
        self.daemon.kill()
        self.connect_again(inside, 3)
        self.daemon.start()
        self.connect_again(inside, 2)
        self.end(inside)
        self.assert_each_call_is_known()
        self.assertEqual({"rule 1 (team)"}, {line.get("rule") for line in self.lines()})

    def test_what_the_keeper_heard_from_the_daemon_is_not_said_again(self):
        inside = self.given(self.mounted())
        wait_until(self.lines, 20, "the first connections")
        # The keeper has heard it: it keeps nothing any more.
        wait_until(lambda: self.uidnfs.status(self.daemon.mounts()[0])[1][0]["connections"] == [],
                   20, "the daemon's word that they are written")
        self.daemon.kill()
        self.daemon.start()
        self.end(inside)
        self.assert_each_is_said_once()
        self.assert_each_call_is_known()

    def test_more_than_are_kept_are_said_to_be_lost(self):
        inside = self.given(self.mounted())
        wait_until(self.lines, 20, "the first connections")
        self.daemon.kill()
        self.connect_again(inside, 40)  # two news each, and 64 are kept
        self.daemon.start()
        wait_until(lambda: [line for line in self.lines() if line["event"] == "connections lost"],
                   20, "the word that connections are missing")
        self.end(inside)
        lost = sum(line["count"] for line in self.lines() if line["event"] == "connections lost")
        self.assertGreaterEqual(lost, 2 * 40 - 64)
        self.assert_nothing_left()

    def test_a_mount_of_an_instant_is_known_too(self):
        self.mounted()
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()
        self.assert_each_is_said_once()
        self.assert_each_call_is_known()


class UnwritableTest(test_volumes.VolumeTest):
    """when_unwritable = "refuse": nothing is mounted that the audit does not know of."""

    def setUp(self):
        super().setUp()
        self.daemon.stop()
        self.disk = pathlib.Path("/run/uidnfs-audit-disk")
        self.disk.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "tmpfs", self.disk],
                       check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        text = self.daemon.config.read_text("utf-8")
        before = f'destination = "{self.daemon.audit}"'
        self.assertIn(before, text)
        self.daemon.audit = self.disk / "audit"
        self.daemon.config.write_text(text.replace(
            before, f'destination = "{self.daemon.audit}"\nwhen_unwritable = "refuse"'), "utf-8")
        self.addCleanup(self.daemon.clear)  # before its disk goes
        self.daemon.start()

    def fill(self):
        filler = self.disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"f" * 4096)
            except OSError:
                return filler

    def test_a_full_disk_refuses_mounts_until_there_is_room(self):
        self.assertEqual("", self.daemon.create("v", self.share(), uid=1001, gid=1001))
        filler = self.fill()
        error = ""
        for _ in range(50):  # there may be room in what the file has
            _, error = self.daemon.mount("v")
            if error:
                break
            self.assertEqual("", self.daemon.unmount("v"))
        self.assertIn("the audit cannot be written", error)
        self.assert_nothing_left()
        filler.unlink()
        self.assertEqual("", self.daemon.mount("v")[1])
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()
        events = [line["event"] for line in self.daemon.audit_lines()]
        self.assertIn("mount asked", events)
        self.assertIn("refused", events)
        self.assertEqual(events.count("mount"), events.count("unmount"))
