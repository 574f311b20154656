# SPDX-License-Identifier: Apache-2.0
"""Volumes when something dies or hangs in the middle of a Mount: afterwards no mount, no process, no
directory and no holder is left over, and the next Mount works. And Cloud Foundry's dialect with real
mounts."""

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import threading
import time

import suite
import test_volumes
import volume_daemon
from uidnfs_command import wait_until

ROLES = ("mount", "keeper", "worker")


class FaultTest(test_volumes.VolumeTest):
    def setUp(self):
        super().setUp()
        self.daemon.create("v", self.share(), uid=1001, gid=1001)

    def having(self, role):
        """Processes of the binary in this role."""
        found = []
        for pid in self.uidnfs.processes():
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if len(words) > 1 and words[1] == role.encode():
                    found.append(pid)
        return found

    def begin(self, name="v"):
        """A Mount under way: a thread, and where its (path, error) will be."""
        answers = []

        def mount():
            try:
                answers.append(self.daemon.mount(name))
            except (OSError, http.client.HTTPException):
                answers.append(("", "the connection ended"))

        thread = threading.Thread(target=mount)
        thread.start()
        return thread, answers

    @staticmethod
    def kill_all(pids):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def silent_server_of_shares(self):
        """The block's Mount waits for the server until its deadline."""
        self.server.freeze()
        try:
            yield
        finally:
            self.server.thaw()

    def assert_nothing_left(self):
        super().assert_nothing_left()
        wait_until(lambda: not self.uidnfs.processes(), 10, "the end of all processes")
        wait_until(lambda: not os.listdir(self.daemon.root / "run" / "live"), 5, "the end of records")

    def assert_works(self):
        """The volume has no holder, and is as good as new."""
        self.assertEqual("", self.daemon.get("v")["Volume"].get("Mountpoint", ""))
        path, error = self.daemon.mount("v", "again")
        self.assertEqual("", error)
        self.assertEqual([path], self.daemon.mounts())
        self.assertEqual("", self.daemon.unmount("v", "again"))
        self.assert_nothing_left()


class PendingTest(FaultTest):
    """The server says nothing, so each of the processes is there and waits."""

    def test_the_death_of_each_process(self):
        for role in ROLES:
            with self.subTest(role=role):
                with self.silent_server_of_shares():
                    thread, answers = self.begin()
                    wait_until(lambda: self.having("worker"), 5, "the start")
                    self.kill_all(self.having(role))
                    thread.join(12)
                self.assertEqual("", answers[0][0])
                self.assertNotEqual("", answers[0][1])
                self.assert_nothing_left()
                self.assert_works()

    def test_a_process_that_stops_is_over_with_the_deadline(self):
        for role in ROLES:
            with self.subTest(role=role):
                with self.silent_server_of_shares():
                    began = time.monotonic()
                    thread, answers = self.begin()
                    wait_until(lambda: self.having("worker"), 5, "the start")
                    stopped = self.having(role)
                    for pid in stopped:
                        os.kill(pid, signal.SIGSTOP)
                    thread.join(12)
                    self.assertLess(time.monotonic() - began, 9)
                self.assertNotEqual("", answers[0][1])
                self.assertEqual([], self.daemon.mounts())
                for pid in stopped:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
                self.assert_nothing_left()

    def test_the_client_hangs_up(self):
        with self.silent_server_of_shares():
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.daemon.socket))
                body = json.dumps({"Name": "v", "ID": "1"}).encode()
                client.sendall(b"POST /VolumeDriver.Mount HTTP/1.1\r\nHost: d\r\nContent-Length: "
                               + str(len(body)).encode() + b"\r\n\r\n" + body)
                wait_until(lambda: self.having("worker"), 5, "the start")
            self.assert_nothing_left()
        self.assert_works()

    def test_the_death_of_the_mounter(self):
        with self.silent_server_of_shares():
            thread, _ = self.begin()
            wait_until(lambda: self.having("worker"), 5, "the start")
            self.kill_all(self.daemon.children())
            self.assertEqual(1, self.daemon.process.wait(10))
            thread.join(12)
        self.daemon.start()
        # It takes away what the one before it left.
        wait_until(lambda: not self.daemon.mounts(), 10, "the end of all mounts")
        self.assert_nothing_left()
        self.assert_works()

    def test_the_death_of_the_front(self):
        with self.silent_server_of_shares():
            thread, _ = self.begin()
            wait_until(lambda: self.having("worker"), 5, "the start")
            self.daemon.kill()
            thread.join(12)
            # No restart is needed for that.
            wait_until(lambda: not self.uidnfs.processes(), 10, "the end of all processes")
        self.daemon.start()
        # It takes away what the one before it left.
        wait_until(lambda: not self.daemon.mounts(), 10, "the end of all mounts")
        self.assert_nothing_left()
        self.assert_works()


class MomentTest(FaultTest):
    """Deaths at any moment of a Mount that would have worked."""

    DELAYS = tuple(step / 1000 for step in range(0, 60, 6))

    def test_of_each_process(self):
        for role, delay in itertools.product(ROLES, self.DELAYS):
            with self.subTest(role=role, delay=delay):
                thread, answers = self.begin()
                time.sleep(delay)
                self.kill_all(self.having(role))
                thread.join(12)
                if answers[0][1] == "":
                    self.assertEqual("", self.daemon.unmount("v"), answers)
                wait_until(lambda: not self.daemon.mounts(), 5, f"the end of the mount, {answers}")
                self.assert_nothing_left()
        self.assert_works()

    def test_of_the_daemon(self):
        for whose, delay in itertools.product(("front", "mounter"), self.DELAYS[::2]):
            with self.subTest(whose=whose, delay=delay):
                thread, answers = self.begin()
                time.sleep(delay)
                if whose == "front":
                    self.daemon.kill()
                else:
                    self.kill_all(self.daemon.children())
                    self.daemon.process.wait(10)
                thread.join(12)
                self.daemon.start()
                # It may be there all the same; who has no answer asks again. Who has one gives that
                # Mount back as well.
                self.assertEqual("", self.daemon.mount("v")[1])
                self.assertEqual("", self.daemon.unmount("v"))
                if answers[0][1] == "":
                    self.assertEqual("", self.daemon.unmount("v"))
                self.assert_nothing_left()
        self.assert_works()


class OutageTest(FaultTest):
    def test_the_server_dies_in_the_middle(self):
        self.server.freeze()
        thread, answers = self.begin()
        wait_until(lambda: self.having("worker"), 5, "the start")
        self.server.thaw()
        self.server.kill()
        thread.join(12)
        self.server.restart()
        if answers[0][1] == "":
            self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()
        self.assert_works()


class DirectoryTest(FaultTest):
    """A directory that takes the connection and says nothing."""

    def setUp(self):
        self.silent = None
        suite.IntegrationTest.setUp(self)
        self.silent = self.silent_server((3389,))
        secret = pathlib.Path("/tmp/directory-secret")
        secret.write_text("word\n", encoding="ascii")
        secret.chmod(0o600)
        self.addCleanup(secret.unlink)
        self.extra = (f'[policy]\nidentity = "either"\n[ldap]\nurls = ["ldap://{self.silent.address}:3389"]\n'
                      f'bind_dn = "cn=a"\nbind_password_file = "{secret}"\nuser_base = "dc=a"\n'
                      'group_base = "dc=a"\n')
        super().setUp()

    def test_it_uses_up_the_deadline_and_no_more(self):
        self.assertEqual("", self.daemon.create("l", self.share(), username="alice", password="x"))
        began = time.monotonic()
        path, error = self.daemon.mount("l")
        self.assertLess(time.monotonic() - began, 8)
        self.assertEqual("", path)
        self.assertNotEqual("", error)
        self.assert_nothing_left()
        # Another volume did not wait for it.
        thread, _ = self.begin("l")
        began = time.monotonic()
        self.assert_one_works()
        self.assertLess(time.monotonic() - began, 3)
        thread.join(12)
        self.assert_nothing_left()

    def assert_one_works(self):
        self.assertEqual("", self.daemon.mount("v")[1])
        self.assertEqual("", self.daemon.unmount("v"))


class CloudFoundryTest(FaultTest):
    PORT = 7599

    def setUp(self):
        self.drivers = pathlib.Path("/tmp/voldrivers")
        self.drivers.mkdir(exist_ok=True)
        shutil.chown(self.drivers, volume_daemon.SERVICE_USER)
        self.addCleanup(shutil.rmtree, self.drivers, True)
        self.extra = (f'[plugin.cloudfoundry]\nlisten = "127.0.0.1:{self.PORT}"\n'
                      f'drivers_path = "{self.drivers}"\ninsecure = true\n')
        super().setUp()

    def rep(self, call, **body):
        connection = http.client.HTTPConnection("127.0.0.1", self.PORT, timeout=60)
        try:
            connection.request("POST", "/VolumeDriver." + call, json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def bind(self, name, uid=1001, export="a"):
        opts = {"source": f"nfs://nas1{suite.lab().export(export).share}", "uid": str(uid),
                "gid": "1001", "mount": "/var/x"}
        self.assertEqual("", self.rep("Create", Name=name, Opts=opts)["Err"])
        answer = self.rep("Mount", Name=name)
        self.assertEqual("", answer["Err"])
        return answer["Mountpoint"]

    def test_rep_was_restarted(self):
        names = [f"instance-{number}_0f" for number in range(5)]
        paths = [self.bind(name) for name in names]
        self.assertEqual(sorted(paths), sorted(self.daemon.mounts()))
        inside = self.given(paths[0])
        app = self.actor(suite.APP_UID)
        app.write_file(os.path.join(inside, "by-app"), b"1")
        self.assert_owner(os.stat(self.on_server("by-app")), 1001, 1001)
        # Its containers are gone, it knows nothing, and takes away what it is told of.
        self.taken_back(inside)
        listed = [volume["Name"] for volume in self.rep("List")["Volumes"]]
        self.assertEqual(sorted(names), sorted(listed))
        for name in listed:
            self.assertEqual("", self.rep("Unmount", Name=name)["Err"])
        self.assertEqual([], self.rep("List")["Volumes"] or [])
        self.assert_nothing_left()

    def test_rep_and_the_daemon_were_restarted(self):
        names = [f"instance-{number}" for number in range(3)]
        for name in names:
            self.bind(name)
        self.daemon.kill()
        self.daemon.start()
        wait_until(self.reachable, 10, "the port")
        for volume in self.rep("List")["Volumes"]:
            self.assertEqual("", self.rep("Unmount", Name=volume["Name"])["Err"])
        self.assert_nothing_left()

    def reachable(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.PORT)) == 0

    def test_a_file_held_open_does_not_keep_the_mount(self):
        path = self.bind("held")
        inside = self.given(path)
        app = self.actor(suite.APP_UID)
        app.run("globals()['kept'] = os.open(path, os.O_CREAT | os.O_RDWR)",
                path=os.path.join(inside, "held"))
        began = time.monotonic()
        self.assertEqual("", self.rep("Unmount", Name="held")["Err"])
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual([], self.daemon.mounts())
        app.stop()
        self.taken_back(inside)
        wait_until(lambda: not self.keepers(), 10, "the end of the worker")
        self.assert_nothing_left()

    def test_a_directory_of_spec_files_that_is_made_is_open_to_rep(self):
        self.daemon.stop()
        drivers = pathlib.Path("/run/voldrivers")
        self.addCleanup(shutil.rmtree, drivers, True)
        text = self.daemon.config.read_text(encoding="utf-8")
        self.daemon.config.write_text(text.replace(str(self.drivers), str(drivers)), encoding="utf-8")
        self.daemon.start()
        rep = self.actor(suite.OTHER_UID)
        self.assertIn(b"7599", rep.read_file(str(drivers / "nfsv3driver.json")))

    def test_the_spec_file_comes_with_the_port_and_goes_with_it(self):
        [spec] = list(self.drivers.glob("*.json"))
        self.assertIn(str(self.PORT), spec.read_text(encoding="utf-8"))
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual([], list(self.drivers.glob("*.json")))
