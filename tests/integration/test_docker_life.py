# SPDX-License-Identifier: Apache-2.0
"""A real Docker engine while things end: containers, the engine, uidnfsd and the server. No byte
that an application was promised is lost, and nothing hangs."""

import concurrent.futures
import hashlib
import json
import os
import signal
import time

import docker_suite
import test_local
import volume_daemon
from uidnfs_command import wait_until

# Line after line, until somebody ends it; each line is on the server before the next one begins.
WRITER = ("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo $i >> /data/log || exit 7; done")
# 24 MiB in pieces, through a file that stays open; then whether what is read is what was written,
# and what that was.
COPIER = ("i=0; while [ $i -lt 12 ]; do i=$((i+1)); "
          "dd if=/dev/urandom of=/tmp/p bs=1M count=2 2>/dev/null; "
          "cat /tmp/p >> /tmp/all; cat /tmp/p >&3; sleep 0.1; done 3> /data/copy; "
          "cmp /tmp/all /data/copy; md5sum < /tmp/all")


class LifeTest(docker_suite.DockerTest):
    def lines(self):
        return self.read_on_server("log").split()

    def wait_for_lines(self, more=20):
        count = len(self.lines()) if os.path.exists(self.on_server("log")) else 0
        wait_until(lambda: os.path.exists(self.on_server("log")) and
                   len(self.lines()) >= count + more, 20, "the container's lines")

    def assert_whole(self):
        """Lines 1 to n, each once."""
        lines = [int(line) for line in self.lines()]
        self.assertEqual(list(range(1, len(lines) + 1)), lines)

    def is_running(self, name):
        return self.docker("inspect", "--format", "{{.State.Running}}", name) == "true"


class ContainerTest(LifeTest):
    def test_a_container_that_is_killed_while_it_writes(self):
        self.volume("team-a")
        self.start_app("writer", "team-a", WRITER)
        self.wait_for_lines()
        began = time.monotonic()
        self.docker("kill", "writer")
        self.assertEqual(137, self.exit_code("writer"))
        wait_until(lambda: not self.daemon.mounts(), 10, "the unmount")
        self.assertLess(time.monotonic() - began, 10)
        self.assert_whole()
        self.run_app("team-a", "echo again > /data/again")
        self.docker("start", "writer")
        wait_until(lambda: self.daemon.mounts(), 10, "the mount")

    def test_one_of_two_is_killed(self):
        self.volume("team-a")
        self.start_app("writer", "team-a", WRITER)
        self.start_app("victim", "team-a", "exec dd if=/dev/zero of=/data/victim bs=64k")
        self.wait_for_lines()
        self.docker("kill", "victim")
        self.wait_for_lines()
        self.assertEqual(1, len(self.daemon.mounts()))
        self.docker("kill", "writer")
        self.assert_whole()


class DaemonTest(LifeTest):
    def test_kill_and_upgrade_while_a_container_writes(self):
        self.volume("team-a")
        self.start_app("copier", "team-a", COPIER)
        wait_until(lambda: os.path.exists(self.on_server("copy")), 20, "the first bytes")
        self.daemon.kill()
        time.sleep(0.3)
        self.daemon.start()
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(0, self.exit_code("copier"), self.engine.run("logs", "copier").stderr)
        written = self.docker("logs", "copier").split()[0]
        found = self.read_on_server("copy")
        self.assertEqual((24 << 20, written), (len(found), hashlib.md5(found).hexdigest()))
        wait_until(lambda: not self.daemon.mounts(), 10, "the unmount")

    def test_a_container_that_ends_while_it_is_away(self):
        self.volume("team-a")
        self.start_app("writer", "team-a", WRITER)
        self.wait_for_lines()
        self.daemon.kill()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            # The engine asks again for 15 s.
            killed = pool.submit(self.docker, "kill", "writer")
            time.sleep(1)
            self.daemon.start()
            killed.result()
        wait_until(lambda: not self.daemon.mounts(), 10, "the unmount")
        self.assert_whole()
        self.run_app("team-a", "cat /data/log")


    def test_a_drain_does_not_say_that_a_running_container_is_gone(self):
        self.volume("team-a")
        self.start_app("writer", "team-a", WRITER)
        self.wait_for_lines()
        status, text = self.daemon.admin_ask("POST", "/drain", {"deadline_seconds": 6})
        self.assertEqual((409, False), (status, json.loads(text)["drained"]))
        self.assertIn("team-a", json.loads(text)["left"][0])
        self.wait_for_lines()
        self.docker("rm", "-f", "writer")
        status, text = self.daemon.admin_ask("POST", "/drain", {"deadline_seconds": 20})
        self.assertEqual((200, {"drained": True, "left": []}), (status, json.loads(text)))
        self.assert_whole()
        wait_until(lambda: not self.uidnfs.processes(), 10, "the end of its processes")


class EngineTest(LifeTest):
    def test_a_restart_that_ends_the_containers(self):
        self.volume("team-a")
        self.start_app("writer", "team-a", WRITER)
        self.wait_for_lines()
        self.engine.stop()
        wait_until(lambda: not self.daemon.mounts(), 10, "the unmount")
        self.assert_whole()
        self.engine.start()
        self.assertFalse(self.is_running("writer"))
        self.docker("rm", "writer")
        self.run_app("team-a", "rm /data/log; echo x > /data/f")
        self.assert_nothing_mounted()

    def test_a_volume_that_its_death_left_mounted_is_usable_and_ends_with_the_volume(self):
        self.volume("team-a")
        self.start_app("writer", "team-a", WRITER)
        self.wait_for_lines()
        self.engine.kill()
        self.engine.start()
        self.assertFalse(self.is_running("writer"))
        self.assert_whole()
        # This engine knows nothing of its predecessor's mounts: the Unmount never comes.
        self.docker("rm", "writer")
        self.run_app("team-a", "echo x > /data/f")
        self.assertEqual(b"x\n", self.read_on_server("f"))
        self.docker("volume", "rm", "team-a")
        self.assert_nothing_mounted()


class LiveRestoreTest(LifeTest):
    engine_options = ("--live-restore",)

    def test_containers_go_on_without_it(self):
        for end in (self.engine.stop, self.engine.kill):
            with self.subTest(end=end.__name__):
                self.volume("team-a")
                self.start_app("writer", "team-a", WRITER)
                self.wait_for_lines()
                end()
                self.wait_for_lines()
                self.engine.start("--live-restore")
                self.wait_for_lines()
                self.assertTrue(self.is_running("writer"))
                self.assertIn("in use", self.refusal("volume", "rm", "team-a"))
                self.docker("kill", "writer")
                wait_until(lambda: not self.daemon.mounts(), 10, "the unmount")
                self.assert_whole()
                self.remove_all()
                os.unlink(self.on_server("log"))


class OutageTest(LifeTest):
    def test_a_server_that_is_down_is_told_in_time(self):
        self.volume("team-a")
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        began = time.monotonic()
        message = self.refusal(*docker_suite.run_words("team-a", "true"))
        self.assertLess(time.monotonic() - began, 10)
        self.assertIn("nas1", message)
        self.assertIn("not answer", message)
        self.server.thaw()
        self.run_app("team-a", "echo x > /data/f")
        self.assert_nothing_mounted()

    def test_docker_rm_does_not_wait_for_a_silent_server(self):
        self.volume("team-a")
        self.start_app("writer", "team-a", WRITER)
        self.start_app("sleeper", "team-a", "echo x > /data/f; exec sleep 60")
        self.wait_for_lines()
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        for name in ("sleeper", "writer"):
            began = time.monotonic()
            self.docker("rm", "-f", name)
            self.assertLess(time.monotonic() - began, 15, name)
        self.assert_nothing_mounted()
        self.server.thaw()
        wait_until(lambda: not self.workers(), 40, "the end of the detached worker")
        self.assert_whole()
        self.run_app("team-a", "cat /data/log")

    def test_a_container_waits_for_a_server_that_comes_back(self):
        self.volume("team-a")
        self.start_app("writer", "team-a", WRITER.replace("100000", "500"))
        self.wait_for_lines()
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        time.sleep(2)
        self.server.thaw()
        self.assertEqual(0, self.exit_code("writer"))
        self.assert_whole()
        self.assertEqual(500, len(self.lines()))

    def workers(self):
        return [line for line in self.uidnfs.command_lines() if " worker" in line]

    def test_a_mount_that_ended_is_told_and_the_next_container_has_a_new_one(self):
        self.volume("team-a")
        self.start_app("holder", "team-a", "echo x > /data/f; exec sleep 60")
        wait_until(lambda: os.path.exists(self.on_server("f")) and
                   os.path.getsize(self.on_server("f")), 10, "what the container wrote")
        pids = {volume_daemon.status_of(pid, "Name"): pid for pid in self.uidnfs.processes()}
        # At once, and nobody knows what the mount was: else another keeper goes on with it.
        for spec in test_local.CONTROL.glob("*.spec"):
            spec.unlink()
        for name in ("uidnfs-keeper", "uidnfs-worker"):
            os.kill(pids[name], signal.SIGKILL)
        wait_until(lambda: "failed" == self.engine.inspect("volume", "inspect", "team-a")["Status"][
            "state"], 10, "the state failed")
        self.assertIn("cat:", self.refusal("exec", "holder", "cat", "/data/f"))
        self.docker("restart", "-t", "0", "holder")
        self.assertEqual("x", self.docker("exec", "holder", "cat", "/data/f"))
