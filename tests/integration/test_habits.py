# SPDX-License-Identifier: Apache-2.0
"""What mount(8), fstab, users and operators are used to: background mounts, the helpers, remount,
mounts by users, check."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import ganesha
import suite
import uidnfs_command

IDENTITY = "uid=1001,gid=1001"
USER = 1500


def wait_until(condition, what, seconds=20):
    return uidnfs_command.wait_until(condition, seconds, what)


class Background(suite.IntegrationTest):
    """bg, fg and retry= of nfs(5)."""

    def setUp(self):
        super().setUp()
        self.host = suite.lab().proxy()
        self.addCleanup(self.host.stop)
        self.addCleanup(self.uidnfs.check_nothing_left)
        self.source = f"{self.host.address}:/exports/a"
        self.point = suite.lab().new_mountpoint()

    def mount(self, options, source=None, point=None):
        return self.uidnfs.run("mount", source or self.source, point or self.point, "-o",
                               f"{IDENTITY},{options}")

    def test_goes_on_in_the_background_until_the_server_is_there(self):
        self.host.refuse()
        done = self.mount("bg")
        self.assertEqual((0, ""), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, r"connection refused by .*trying again in the background")
        self.assertEqual([], self.uidnfs.mounts())
        code, found = self.uidnfs.status()
        self.assertEqual((1, 1), (code, len(found)))
        self.assertEqual((str(self.point), "stale"), (found[0]["mountpoint"], found[0]["state"]))
        self.assertRegex(found[0]["reason"], "not mounted yet, try .*connection refused")
        code, found = self.uidnfs.status(self.point)
        self.assertEqual((1, 1), (code, len(found)))
        self.host.accept_again()
        wait_until(self.uidnfs.mounts, "mounting")
        self.actor(2000).write_file(str(self.point / "late"), b"but there")
        self.assertEqual((0, "healthy"), self.state())
        self.assertEqual(0, self.uidnfs.run("umount", self.point).returncode)

    def state(self):
        code, found = self.uidnfs.status(self.point)
        return code, found[0]["state"]

    def test_umount_and_sigterm_end_it(self):
        self.host.refuse()
        for end in ("umount", "sigterm"):
            with self.subTest(end):
                self.assertEqual(0, self.mount("bg").returncode)
                keeper = self.uidnfs.status(self.point)[1][0]["keeper_pid"]
                if end == "umount":
                    done = self.uidnfs.run("umount", self.point)
                    self.assertEqual((0, ""), (done.returncode, done.stderr))
                else:
                    os.kill(keeper, signal.SIGTERM)
                self.uidnfs.check_nothing_left()

    def test_waits_for_a_mount_point_too(self):
        point = self.point / "below" / "another"
        done = self.mount("bg", point=point)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("does not exist", done.stderr)
        point.mkdir(parents=True)
        wait_until(self.uidnfs.mounts, "mounting")
        self.assertEqual(0, self.uidnfs.run("umount", point).returncode)

    def test_what_the_server_has_decided_fails_at_once(self):
        begin = time.monotonic()
        for options in ("bg", "fg"):
            done = self.mount(options, source="nas1:/exports/absent")
            self.assertEqual(1, done.returncode)
            self.assertIn("check the export list", done.stderr)
        self.assertLess(time.monotonic() - begin, 10)

    def test_in_the_foreground_a_server_that_comes_is_waited_for(self):
        self.host.refuse()
        process = self.uidnfs.start("mount", self.source, self.point, "-o", IDENTITY,
                                    stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        time.sleep(1.5)
        self.assertIsNone(process.poll())
        self.host.accept_again()
        self.assertEqual(0, process.wait(20))
        self.assertEqual("", process.stderr.read())
        self.assertEqual(0, self.uidnfs.run("umount", self.point).returncode)

    def test_interrupted_it_leaves_nothing(self):
        self.host.refuse()
        process = self.uidnfs.start("mount", self.source, self.point, "-o", IDENTITY,
                                    stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.wait(10)
        self.uidnfs.check_nothing_left(5)


class Detached(suite.IntegrationTest):
    """A mount that nobody sees any more and that still has something to do."""

    def test_is_listed_until_its_bytes_are_on_the_server(self):
        mount = self.mount(options="flush_deadline=60")
        app = self.actor(2000)
        app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_WRONLY)
os.write(state["fd"], b"kept" * 1000)
""", path=mount / "detached")
        self.assertEqual(0, mount.umount("--lazy").returncode)
        code, found = self.uidnfs.status()
        self.assertEqual((1, 1), (code, len(found)))
        self.assertEqual((str(mount.path), "degraded"),
                         (found[0]["mountpoint"], found[0]["state"]))
        self.assertIn("detached", found[0]["reason"])
        done = mount.umount()
        self.assertEqual(1, done.returncode)
        self.assertIn("programs still use it", done.stderr)
        mount.host.black_hole()
        app.kill()
        wait_until(lambda: "being written" in self.uidnfs.status()[1][0]["reason"], "draining")
        mount.host.pass_on()
        done = mount.umount()
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual(4000, os.stat(mount.on_server("detached")).st_size)
        self.uidnfs.check_nothing_left()

    def test_can_be_given_up(self):
        mount = self.mount(options="flush_deadline=60")
        app = self.actor(2000)
        app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_WRONLY)
os.write(state["fd"], b"lost")
""", path=mount / "given-up")
        mount.host.black_hole()
        self.assertEqual(0, mount.umount("--lazy").returncode)
        app.kill()
        wait_until(lambda: "being written" in self.uidnfs.status()[1][0]["reason"], "draining")
        done = mount.umount("--force")
        self.assertEqual(1, done.returncode)
        self.assertIn("lost: ", done.stderr)
        self.uidnfs.check_nothing_left(10)
