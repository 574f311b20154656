# SPDX-License-Identifier: Apache-2.0
"""uidnfsd with real mounts: what the platform asks for is there, as the identity it should be, and
nothing is left when it is given back. Docker's dialect, since both share all that is behind it."""

import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import suite
import test_local
import volume_daemon
from uidnfs_command import wait_until


class VolumeTest(suite.IntegrationTest):
    """A daemon of its own for each test."""

    rule = volume_daemon.RULE
    options = ()
    extra = ""

    def setUp(self):
        super().setUp()
        self.daemon = volume_daemon.VolumeDaemon(self.uidnfs, self.options, self.rule, self.extra)
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.addCleanup(self.daemon.clear)
        self.daemon.start()

    def share(self, export="a"):
        return f"nas1:{suite.lab().export(export).share}"

    def on_server(self, name, export="a"):
        return os.path.join(suite.lab().export(export).path, name)

    def mounted(self, name="v", export="a", uid=1001, gid=1001, **options):
        """The path of a volume, mounted now."""
        self.assertEqual("", self.daemon.create(name, self.share(export), uid=uid, gid=gid,
                                                **options))
        path, error = self.daemon.mount(name)
        self.assertEqual("", error)
        return path

    def given(self, path):
        """The volume as a container has it: bound to where the application can reach it."""
        inside = str(suite.lab().new_mountpoint())
        subprocess.run(["mount", "--bind", path, inside], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", inside], check=False, capture_output=True)
        return inside

    def taken_back(self, inside):
        """The container ended."""
        subprocess.run(["umount", inside], check=True)

    def assert_nothing_left(self):
        self.assertEqual([], self.daemon.mounts())
        wait_until(lambda: not self.keepers(), 10, "the end of all keepers")
        wait_until(lambda: not os.listdir(self.daemon.volumes), 5, "the end of all mount points")

    def keepers(self):
        return [line for line in self.uidnfs.command_lines() if " keeper" in line or
                " worker" in line]


class UsedOnTest(VolumeTest):
    """A volume that is given back while another mount namespace still has its mount."""

    options = ("flush_deadline = 2",)

    WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
os.write(fd, b"kept")
os.fsync(fd)
print(flush=True)
sys.stdin.readline()
os.write(fd, b"lost")
print(flush=True)
sys.stdin.readline()
"""

    def elsewhere(self):
        """A process with mounts of its own: copies of those that are there now."""
        process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "600"])
        self.addCleanup(self.end, process)
        comm = pathlib.Path(f"/proc/{process.pid}/comm")
        wait_until(lambda: comm.read_text(encoding="ascii") == "sleep\n", 10, "the namespace")
        return process

    def write_elsewhere(self, process, path):
        app = subprocess.Popen(
            ["nsenter", "--mount", "--target", str(process.pid), "setpriv", "--reuid",
             str(suite.APP_UID), "--regid", str(suite.APP_UID), "--clear-groups", sys.executable,
             "-c", self.WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(app.stdout.close)
        self.addCleanup(app.stdin.close)
        self.addCleanup(self.end, app)
        self.assertEqual("\n", app.stdout.readline())
        return app

    @staticmethod
    def end(process):
        process.kill()
        process.wait(10)

    def status(self):
        return self.daemon.get("v")["Volume"]["Status"]

    def drain(self):
        status, text = self.daemon.admin_ask("POST", "/drain", {"deadline_seconds": 1})
        return status, json.loads(text)

    def left_on_disk(self):
        file = self.daemon.root / "run" / "live" / "docker-v.json"
        return json.loads(file.read_text(encoding="utf-8"))["left"]

    def test_it_is_known_until_it_ends(self):
        inside = self.given(self.mounted())
        other = self.elsewhere()
        app = self.write_elsewhere(other, os.path.join(inside, "f"))
        self.taken_back(inside)
        began = time.monotonic()
        self.assertEqual("", self.daemon.unmount("v"))
        self.assertLess(time.monotonic() - began, 6)
        self.assertEqual([], self.daemon.mounts())
        self.assertEqual("detached", self.status()["state"])
        self.assertIn("programs still use it", self.status()["reason"])
        for again in ("", "of a daemon that was started again"):
            with self.subTest(again):
                if again:
                    self.daemon.stop()
                    self.daemon.start()
                    wait_until(lambda: self.status()["state"] == "detached", 10, "it is found")
                status, answer = self.drain()
                self.assertEqual((409, False, 1), (status, answer["drained"], len(answer["left"])))
                self.assertIn("programs still use it", answer["left"][0])
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        app.stdin.write("\n")
        app.stdin.flush()
        self.assertEqual("\n", app.stdout.readline())
        self.end(app)
        self.end(other)
        wait_until(lambda: self.status()["state"] == "created", 30, "its end")
        lost = [line["text"] for line in self.daemon.audit_lines() if line["event"] == "data lost"]
        self.assertIn("f (fileid", "".join(lost))
        self.assertRegex(os.listdir(self.daemon.root / "recovery")[0], r"docker-v-.*\.recovery$")
        self.server.thaw()
        self.assertEqual((200, {"drained": True, "left": []}), self.drain())
        self.assert_nothing_left()

    def test_one_that_was_taken_away_in_a_silence_keeps_nobody_waiting_once_its_bytes_arrived(self):
        path = self.mounted()
        inside = self.given(path)
        app = self.write_elsewhere(self.elsewhere(), os.path.join(inside, "f"))
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        app.stdin.write("\n")
        app.stdin.flush()
        self.assertEqual("\n", app.stdout.readline())
        self.taken_back(inside)
        self.assertEqual("", self.daemon.unmount("v"))
        self.assertIn("still on the way to the server", self.daemon.mount("v")[1])
        self.server.thaw()
        wait_until(lambda: self.daemon.mount("v") == (path, ""), 30, "a mount beside it")
        self.assertEqual(1, len(self.left_on_disk()))
        self.assertEqual(b"keptlost", pathlib.Path(self.on_server("f")).read_bytes())
        self.end(app)
        self.assertEqual("", self.daemon.unmount("v"))

    def test_a_namespace_that_only_has_the_hosts_mounts_does_not_hold_it(self):
        self.mounted()
        self.elsewhere()
        began = time.monotonic()
        self.assertEqual("", self.daemon.unmount("v"))
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual("created", self.status()["state"])
        self.assert_nothing_left()

    def test_the_volume_can_be_mounted_beside_it(self):
        path = self.mounted()
        inside = self.given(path)
        other = self.elsewhere()
        self.taken_back(inside)
        self.assertEqual("", self.daemon.unmount("v"))
        began = time.monotonic()
        self.assertEqual((path, ""), self.daemon.mount("v"))
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual([path], self.daemon.mounts())
        self.daemon.kill()
        self.daemon.start()
        wait_until(lambda: self.status()["state"] == "mounted", 10, "the mount is found again")
        inside = self.given(path)
        self.actor(suite.APP_UID).write_file(os.path.join(inside, "f"), b"new")
        self.taken_back(inside)
        self.assertEqual(1, len(self.left_on_disk()))
        self.end(other)
        wait_until(lambda: self.left_on_disk() == [], 10, "the end of the first one")
        self.assertEqual(("mounted", [path]), (self.status()["state"], self.daemon.mounts()))
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()


class MountTest(VolumeTest):
    def test_files_are_the_identitys_on_the_server(self):
        inside = self.given(self.mounted())
        app = self.actor(suite.APP_UID)
        app.write_file(os.path.join(inside, "by-volume"), b"hello")
        self.assert_owner(os.stat(self.on_server("by-volume")), 1001, 1001)
        self.taken_back(inside)
        self.assertEqual("", self.daemon.unmount("v"))
        with open(self.on_server("by-volume"), "rb") as file:
            self.assertEqual(b"hello", file.read())
        self.assertEqual("", self.daemon.remove("v"))
        self.assert_nothing_left()

    def test_two_identities_on_one_share(self):
        first = self.given(self.mounted("one", "shared", 1001, 1001))
        second = self.given(self.mounted("two", "shared", 1002, 1002))
        app = self.actor(suite.APP_UID)
        app.run("""
with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
    file.write("secret")
""", path=os.path.join(first, "s"))
        self.assertEqual(b"secret", app.read_file(os.path.join(first, "s")))
        with self.assert_errno(13):
            app.read_file(os.path.join(second, "s"))
        for name, inside in (("one", first), ("two", second)):
            self.taken_back(inside)
            self.assertEqual("", self.daemon.unmount(name))
        self.assert_nothing_left()

    def test_only_containers_reach_the_mounts(self):
        self.mounted()
        self.assertEqual(0o700, self.daemon.volumes.stat().st_mode & 0o777)
        with self.assert_errno(13):
            self.actor(suite.APP_UID).listdir(str(self.daemon.volumes))

    def test_each_mount_of_a_holder_has_its_unmount(self):
        path = self.mounted()
        for holder in ("1", "2", "2"):
            self.assertEqual((path, ""), self.daemon.mount("v", holder))
        for holder in ("2", "1", "stranger", "2"):
            self.assertEqual("", self.daemon.unmount("v", holder))
            self.assertEqual([path], self.daemon.mounts())
        self.assertEqual("", self.daemon.unmount("v", "1"))
        self.assert_nothing_left()

    def test_the_reason_of_a_failure_travels_back(self):
        self.assertEqual("", self.daemon.create("v", "nas1:/no-such-export", uid=1001, gid=1001))
        path, error = self.daemon.mount("v")
        self.assertEqual("", path)
        self.assertIn("nas1:/no-such-export", error)
        self.assertNotIn(str(self.daemon.volumes), error)
        self.assert_nothing_left()

    def test_a_server_that_is_down_is_told_in_time(self):
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        self.assertEqual("", self.daemon.create("v", self.share(), uid=1001, gid=1001))
        began = time.monotonic()
        path, error = self.daemon.mount("v")
        took = time.monotonic() - began
        self.assertEqual("", path)
        self.assertIn("not", error)
        self.assertLess(took, 8)
        self.assert_nothing_left()

    def test_unmount_of_a_silent_server_does_not_hang(self):
        inside = self.given(self.mounted())
        app = self.actor(suite.APP_UID)
        app.run("""
fd = os.open(path, os.O_CREAT | os.O_WRONLY)
os.write(fd, b"x" * 100000)
""", path=os.path.join(inside, "held"))
        subprocess.run(["umount", "-l", inside], check=True)
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        began = time.monotonic()
        self.assertEqual("", self.daemon.unmount("v"))
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual([], self.daemon.mounts())
        wait_until(lambda: self.health_of("v") == "degraded", 10, "the health of what still flushes")
        self.server.thaw()
        app.stop()
        wait_until(lambda: not self.keepers(), 40, "the end of the detached worker")
        self.assertEqual(100000, os.path.getsize(self.on_server("held")))

    def health_of(self, name):
        volumes = json.loads(self.daemon.admin_ask("GET", "/volumes")[1])
        return next(volume["health"] for volume in volumes if volume["volume"] == name)

    def test_a_file_held_open_does_not_keep_the_mount(self):
        inside = self.given(self.mounted())
        app = self.actor(suite.APP_UID)
        app.run("globals()['kept'] = os.open(path, os.O_CREAT | os.O_RDWR)",
                path=os.path.join(inside, "held"))
        began = time.monotonic()
        self.assertEqual("", self.daemon.unmount("v"))
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual([], self.daemon.mounts())

    def test_fifty_at_once(self):
        for number in range(50):
            self.assertEqual("", self.daemon.create(f"v{number}", self.share(), uid=1001, gid=1001))
        errors = []

        def mount(name):
            errors.append(self.daemon.mount(name)[1])

        threads = [threading.Thread(target=mount, args=(f"v{n}",)) for n in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([""] * 50, errors)
        self.assertEqual(50, len(self.daemon.mounts()))
        for number in range(50):
            self.assertEqual("", self.daemon.unmount(f"v{number}"))
        self.assert_nothing_left()


class LifeTest(VolumeTest):
    def test_applications_notice_nothing_of_its_death(self):
        path = self.mounted()
        inside = self.given(path)
        app = self.actor(suite.APP_UID)
        app.write_file(os.path.join(inside, "before"), b"1")
        self.daemon.kill()
        app.write_file(os.path.join(inside, "between"), b"2")
        self.daemon.start()
        app.write_file(os.path.join(inside, "after"), b"3")
        self.taken_back(inside)
        self.assertEqual(path, self.daemon.get("v")["Volume"]["Mountpoint"])
        # It knows what it had: the same path for another holder, and an end when both are gone.
        self.assertEqual((path, ""), self.daemon.mount("v", "2"))
        for holder in ("1", "2"):
            self.assertEqual("", self.daemon.unmount("v", holder))
        self.assert_nothing_left()

    def test_sigterm_leaves_the_volumes(self):
        path = self.mounted()
        # Some service managers send it to every process that they know.
        [mounter] = self.daemon.children()
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(mounter, number)
        self.assertEqual(0, self.daemon.stop())
        wait_until(lambda: not volume_daemon.is_alive(mounter), 10, "the end of the mounter")
        self.assertNotIn("the mounter process ended", self.daemon.log())
        self.assertEqual([path], self.daemon.mounts())
        self.daemon.start()
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()

    def test_sighup_to_all_of_the_service_reads_its_file_again(self):
        """systemctl kill -s HUP, as many a rotation of logs has it."""
        inside = self.given(self.mounted())
        names = ("uidnfs-keeper", "uidnfs-worker")
        before = [self.process(name) for name in names] + self.daemon.children()
        for pid in [self.daemon.process.pid, *before]:
            os.kill(pid, signal.SIGHUP)
        wait_until(lambda: "is in force" in self.daemon.log(), 10, "the reload")
        self.actor(suite.APP_UID).write_file(os.path.join(inside, "f"), b"6")
        self.assertEqual(
            before, [self.process(name) for name in names] + self.daemon.children())
        self.taken_back(inside)
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()

    def test_what_means_something_to_others_ends_nothing(self):
        inside = self.given(self.mounted())
        everybody = [self.daemon.process.pid, *self.daemon.children(),
                     *(self.process(name) for name in ("uidnfs-keeper", "uidnfs-worker"))]
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGXFSZ):
            for pid in everybody:
                os.kill(pid, number)
        self.actor(suite.APP_UID).write_file(os.path.join(inside, "f"), b"7")
        self.assertTrue(self.daemon.answers())
        self.assertEqual(everybody, [self.daemon.process.pid, *self.daemon.children(), *(
            self.process(name) for name in ("uidnfs-keeper", "uidnfs-worker"))])
        self.taken_back(inside)
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()

    def test_sighup_to_all_of_the_service_ends_no_mount_that_is_being_made(self):
        self.assertEqual("", self.daemon.create("v", self.share(), uid=1001, gid=1001))
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        answers = []
        asking = threading.Thread(target=lambda: answers.append(self.daemon.mount("v")))
        asking.start()
        wait_until(lambda: [line for line in self.keepers() if " worker" in line], 5, "the start")
        for pid in [self.daemon.process.pid, *self.daemon.children(), *self.uidnfs.processes()]:
            os.kill(pid, signal.SIGHUP)
        wait_until(lambda: "is in force" in self.daemon.log(), 10, "the reload")
        self.server.thaw()
        asking.join()
        self.assertEqual([""], [error for _, error in answers])
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()

    def process(self, name):
        return next(pid for pid in self.uidnfs.processes()
                    if volume_daemon.status_of(pid, "Name") == name)

    def test_a_worker_that_died_is_replaced(self):
        inside = self.given(self.mounted())
        app = self.actor(suite.APP_UID)
        app.write_file(os.path.join(inside, "before"), b"1")
        worker = self.process("uidnfs-worker")
        os.kill(worker, signal.SIGKILL)
        self.assertEqual(b"1", app.read_file(os.path.join(inside, "before")))
        app.write_file(os.path.join(inside, "after"), b"2")
        self.assertNotEqual(worker, self.process("uidnfs-worker"))
        self.taken_back(inside)
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()

    def test_a_mount_that_ended_makes_it_failed_and_the_next_one_new(self):
        path = self.mounted()
        # At once, and nobody knows what the mount was: else another keeper goes on with it.
        for spec in test_local.CONTROL.glob("*.spec"):
            spec.unlink()
        for pid in [self.process(name) for name in ("uidnfs-keeper", "uidnfs-worker")]:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "failed" in str(self.daemon.get("v")), 10, "the state failed")
        self.assertEqual((path, ""), self.daemon.mount("v", "2"))
        inside = self.given(path)
        self.actor(suite.APP_UID).write_file(os.path.join(inside, "again"), b"4")
        self.taken_back(inside)
        for holder in ("1", "2"):
            self.assertEqual("", self.daemon.unmount("v", holder))
        self.assert_nothing_left()

    def test_the_death_of_the_mounter_is_its_end_and_the_volumes_stay(self):
        inside = self.given(self.mounted())
        [mounter] = self.daemon.children()
        os.kill(mounter, signal.SIGKILL)
        self.assertEqual(1, self.daemon.process.wait(10))
        self.actor(suite.APP_UID).write_file(os.path.join(inside, "f"), b"5")
        self.daemon.start()
        self.taken_back(inside)
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()


class KeptSocketTest(VolumeTest):
    """The service manager keeps the listening sockets while the daemon is replaced."""

    def setUp(self):
        super().setUp()
        self.daemon.stop()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(str(self.daemon.root / "notify"))
        (self.daemon.root / "notify").chmod(0o777)
        self.manager.settimeout(20)
        self.kept = {}
        self.addCleanup(lambda: [os.close(fd) for fd in self.kept.values()])

    def launch(self, **variables):
        """The daemon with what is kept, as systemd starts it."""
        environment = {**os.environ, **variables,
                       "NOTIFY_SOCKET": str(self.daemon.root / "notify"),
                       "LISTEN_FDS": str(len(self.kept)), "LISTEN_FDNAMES": ":".join(self.kept)}
        numbers = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in self.kept.values()]
        moves = " ".join(f"{3 + i}<&{number}" for i, number in enumerate(numbers))
        with open(self.daemon.log_path, "ab") as log:
            self.daemon.process = subprocess.Popen(
                ["/bin/bash", "-c", f'export LISTEN_PID=$$; exec "$@" {moves}', "bash",
                 self.daemon.binary, "--config", self.daemon.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                pass_fds=numbers)
        for number in numbers:
            os.close(number)

    def hear_until_ready(self):
        """The names that were kept and dropped until the daemon is ready."""
        news = {"FDSTORE=1": [], "FDSTOREREMOVE=1": []}
        while True:
            text, fds, _, _ = socket.recv_fds(self.manager, 4096, 4)
            lines = text.decode().splitlines()
            if lines[0] in news:
                name = lines[1].removeprefix("FDNAME=")
                news[lines[0]].append(name)
                if fds:
                    self.kept[name] = fds[0]
                else:
                    os.close(self.kept.pop(name))
            if "READY=1" in lines:
                return news["FDSTORE=1"], news["FDSTOREREMOVE=1"]

    def begin_activate(self):
        """A call that waits for its answer."""
        caller = volume_daemon.UnixConnection(self.daemon.socket)
        self.addCleanup(caller.close)
        caller.request("POST", "/Plugin.Activate")
        return caller

    def test_who_calls_while_it_is_away_waits(self):
        self.launch()
        stored, _ = self.hear_until_ready()
        self.assertEqual(["admin", "docker"], sorted(name.split("=")[1] for name in stored))
        self.daemon.kill()
        caller = self.begin_activate()
        self.launch()
        self.assertEqual(([], []), self.hear_until_ready())
        self.assertIn(b"VolumeDriver", caller.getresponse().read())
        self.assertTrue(self.daemon.answers())
        self.assertNotIn("kept=", self.daemon.log())

    def test_a_socket_under_another_name_is_told(self):
        """systemd gives it the name of its unit, where FileDescriptorName= is forgotten."""
        self.daemon.socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.daemon.socket))
        listener.listen()
        self.kept = {"uidnfsd-docker.socket": os.dup(listener.fileno())}
        self.launch()
        self.assertEqual(1, self.daemon.process.wait(20))
        self.daemon.process = None
        told, failed = self.daemon.log().splitlines()[-2:]
        self.assertIn("passed the socket uidnfsd-docker.socket, which nothing here serves", told)
        self.assertIn("Address already in use", failed)

    def test_the_watchdog_hears_of_it_again_and_again(self):
        self.launch(WATCHDOG_USEC="200000")
        self.hear_until_ready()
        heard = 0
        while heard < 3:
            heard += self.manager.recv(4096).splitlines().count(b"WATCHDOG=1")

    def test_a_socket_in_another_place_is_made_anew(self):
        self.launch()
        self.hear_until_ready()
        self.daemon.stop()
        self.daemon.socket.unlink()
        self.launch()
        stored, dropped = self.hear_until_ready()
        self.assertEqual(["docker"], [name.split("=")[1] for name in stored])
        self.assertEqual(["docker"], [name.split("=")[1] for name in dropped])
        self.assertTrue(self.daemon.answers())


class WayTest(VolumeTest):
    def test_a_mount_by_hand_that_came_first_does_not_close_the_directory_of_both(self):
        self.mount()
        self.assertEqual(0o755, stat.S_IMODE(os.stat("/run/uidnfs").st_mode))

    def test_what_it_makes_lets_the_service_user_through_whatever_the_umask_is(self):
        for mask in (0o077, 0o777):
            self.daemon.stop()
            for directory in ("run", "lib"):
                shutil.rmtree(self.daemon.root / directory)
            self.daemon.audit.unlink()
            before = os.umask(mask)
            try:
                self.daemon.start()
            finally:
                os.umask(before)
            self.mounted()
            self.assertEqual("", self.daemon.unmount("v"))
            self.assertEqual(0o640, stat.S_IMODE(self.daemon.audit.stat().st_mode))

    def test_a_directory_above_that_is_closed_to_the_service_user_is_no_start(self):
        self.daemon.stop()
        run = self.daemon.root / "run"
        run.chmod(0o700)
        with self.assertRaises(AssertionError) as refused:
            self.daemon.start()
        self.assertIn(f"{run} is closed to nobody, which needs {run}/live; chmod o+x {run}",
                      str(refused.exception))


class NamespaceTest(VolumeTest):
    def test_mounts_that_an_engine_would_not_see_are_told(self):
        text = "volumes will not be seen by the container engine"
        self.assertNotIn(text, self.daemon.log())
        self.daemon.stop()
        self.daemon.launch = lambda log: subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", self.daemon.binary, "--config",
             self.daemon.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.daemon.start()
        self.assertIn(text, self.daemon.log())


class PrivilegeTest(VolumeTest):
    def test_the_front_is_the_service_user_without_capabilities(self):
        pid = self.daemon.process.pid
        for field, value in (("CapEff", "0000000000000000"), ("CapPrm", "0000000000000000"),
                             ("NoNewPrivs", "1"), ("Groups", "")):
            self.assertEqual(value, volume_daemon.status_of(pid, field))
        self.assertEqual({"65534"}, set(volume_daemon.status_of(pid, "Uid").split()))

    def test_the_policy_has_the_last_word(self):
        for uid, gid, share, reason in (
                (5000, 1001, self.share(), "uid 5000"), (1001, 5000, self.share(), "gid 5000"),
                (1001, 1001, "127.0.0.1:/a", "127.0.0.1")):
            with self.subTest(uid=uid, gid=gid, share=share):
                self.assertEqual("", self.daemon.create("v", share, uid=uid, gid=gid))
                path, error = self.daemon.mount("v")
                self.assertEqual("", path)
                self.assertIn(reason, error)
                self.assertEqual("", self.daemon.remove("v"))
        self.assert_nothing_left()

    def test_every_decision_is_in_the_audit(self):
        self.mounted()
        self.daemon.create("w", self.share(), uid=5000, gid=1001)
        self.daemon.mount("w")
        self.daemon.unmount("v")
        events = [(line["event"], line.get("volume")) for line in self.daemon.audit_lines()]
        for wanted in (("mount", "v"), ("refused", "w"), ("unmount", "v")):
            self.assertIn(wanted, events)
        [mount] = [line for line in self.daemon.audit_lines() if line["event"] == "mount"]
        self.assertEqual((1001, 1001), (mount["uid"], mount["gid"]))
        self.assertIn("team", mount["rule"])

    def test_a_worker_has_nothing_that_it_does_not_need(self):
        self.mounted()
        [worker] = [pid for pid in self.uidnfs.processes()
                    if volume_daemon.status_of(pid, "Name") == "uidnfs-worker"]
        self.assertEqual({"65534"}, set(volume_daemon.status_of(worker, "Uid").split()))
        self.assertEqual("1", volume_daemon.status_of(worker, "NoNewPrivs"))
        self.assertEqual("2", volume_daemon.status_of(worker, "Seccomp"))
        limits = pathlib.Path(f"/proc/{worker}/limits").read_text(encoding="ascii")
        self.assertRegex(limits, rf"Max data size +{256 << 20} +{256 << 20} ")
        self.assertEqual(b"", pathlib.Path(f"/proc/{worker}/environ").read_bytes())
        self.assertNotIn(str(self.daemon.root),
                         "".join(os.readlink(f"/proc/{worker}/fd/{fd}")
                                 for fd in os.listdir(f"/proc/{worker}/fd")))
