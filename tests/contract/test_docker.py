# SPDX-License-Identifier: Apache-2.0
"""Plays Docker's engine: the order of its calls, repeated, concurrent and lost ones, retries."""

import datetime
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import tempfile
import threading
import time
import unittest

import driver

SHARE = {"share": "nas1:/exports/a", "uid": "1001", "gid": "1001"}
PATH = "/var/lib/uidnfs/volumes/docker-web"


class Docker(driver.ContractTest):
    def create(self, opts=None, name="web"):
        return self.docker().call("VolumeDriver.Create", {"Name": name, "Opts": SHARE if opts is None else opts})

    def mount(self, holder="id1", name="web"):
        return self.docker().call("VolumeDriver.Mount", {"Name": name, "ID": holder})

    def unmount(self, holder="id1", name="web"):
        return self.docker().call("VolumeDriver.Unmount", {"Name": name, "ID": holder})

    def state(self, name="web"):
        answer = self.docker().call("VolumeDriver.Get", {"Name": name})
        return answer["Volume"]["Status"]["state"] if not answer["Err"] else "absent"

    def test_bytes_of_activation(self):
        status, headers, body = self.docker().raw("Plugin.Activate")
        self.assertEqual((200, '{"Implements":["VolumeDriver"]}'), (status, body))
        self.assertTrue(headers["content-type"].startswith("application/vnd.docker.plugins.v1"))
        self.assertEqual('{"Capabilities":{"Scope":"local"}}',
                         self.docker().raw("VolumeDriver.Capabilities", b"{}\n")[2])

    def test_life_of_a_volume_as_the_engine_calls(self):
        engine = self.docker()  # one connection, kept alive
        self.assertEqual({"Err": "Volume 'web' not found"},
                         engine.call("VolumeDriver.Get", {"Name": "web"}))
        self.assertEqual({"Err": ""}, engine.call("VolumeDriver.Create", {"Name": "web", "Opts": SHARE}))
        self.assertEqual("", engine.call("VolumeDriver.Get", {"Name": "web"})["Volume"]["Mountpoint"])
        self.assertEqual({"Mountpoint": PATH, "Err": ""},
                         engine.call("VolumeDriver.Mount", {"Name": "web", "ID": "id1"}))
        self.assertEqual({"Mountpoint": PATH, "Err": ""},
                         engine.call("VolumeDriver.Path", {"Name": "web"}))
        listed = engine.call("VolumeDriver.List", {})
        self.assertEqual(["web"], [volume["Name"] for volume in listed["Volumes"]])
        self.assertEqual(PATH, listed["Volumes"][0]["Mountpoint"])
        self.assertEqual({"Err": ""}, engine.call("VolumeDriver.Unmount", {"Name": "web", "ID": "id1"}))
        self.assertEqual([], self.server.mounts())
        self.assertEqual({"Err": ""}, engine.call("VolumeDriver.Remove", {"Name": "web"}))
        self.assertEqual({"Volumes": [], "Err": ""}, engine.call("VolumeDriver.List", {}))
        self.assertEqual({"Err": ""}, engine.call("VolumeDriver.Remove", {"Name": "web"}))

    def test_when_a_volume_was_created_is_told_and_survives_a_restart(self):
        def told():
            text = self.docker().call("VolumeDriver.Get", {"Name": "web"})["Volume"]["CreatedAt"]
            return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
        before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        self.create()
        created = told()
        self.assertLessEqual(before, created)
        self.assertLessEqual(created, datetime.datetime.now(datetime.timezone.utc))
        time.sleep(1.1)
        self.create()  # Docker repeats it
        self.restart()
        self.assertEqual(created, told())

    def test_a_definition_of_an_older_daemon_has_no_such_time(self):
        self.create()
        file = self.root / "state/definitions/docker-web.json"
        stored = json.loads(file.read_text(encoding="utf-8"))
        del stored["created"]
        file.write_text(json.dumps(stored), encoding="utf-8")
        self.restart()
        self.assertNotIn("CreatedAt", self.docker().call("VolumeDriver.Get", {"Name": "web"})["Volume"])

    def delivered(self, name="web"):
        """How many Mounts of each holder are on disk as answered."""
        file = self.root / f"run/live/docker-{name}.json"
        return json.loads(file.read_text(encoding="utf-8"))["delivered"]

    def test_every_answered_mount_of_one_id_needs_its_unmount(self):
        self.create()
        self.mount()
        self.assertEqual(PATH, self.mount()["Mountpoint"])
        self.assertEqual({"Err": ""}, self.unmount())
        self.assertEqual(["web"], self.server.mounts())
        self.assertEqual("mounted", self.state())
        self.assertEqual({"Err": ""}, self.unmount())
        self.assertEqual([], self.server.mounts())
        self.assertEqual({"Err": ""}, self.unmount(), "an Unmount that is repeated does no harm")

    def test_second_mount_whose_answer_nobody_takes_leaves_the_first_one_alone(self):
        self.create()
        self.mount()
        self.until(lambda: self.delivered() == {"id1": 1}, "the first one counts")
        client = self.docker()
        # Asleep, so that it finds the connection closed whenever it answers.
        self.server.process.send_signal(signal.SIGSTOP)
        client.send("VolumeDriver.Mount", b'{"Name":"web","ID":"id1"}\n')
        client.close()
        self.server.process.send_signal(signal.SIGCONT)
        self.until(lambda: "reached nobody" in self.server.log() or "hung up" in self.server.log(),
                   "it is taken back")
        self.assertEqual("mounted", self.state())
        self.assertEqual(["web"], self.server.mounts())
        self.unmount()
        self.assertEqual([], self.server.mounts())

    def test_unmount_of_an_unknown_id_or_volume_is_harmless(self):
        self.create()
        self.mount("id1")
        self.assertEqual({"Err": ""}, self.unmount("stranger"))
        self.assertEqual(["web"], self.server.mounts())
        self.assertEqual({"Err": ""}, self.unmount("id1", name="nobody"))

    def test_docker_cp_adds_a_pair_of_calls(self):
        self.create()
        self.mount("container")
        for holder in ("cp", "container"):  # of a running container it is that one's ID
            with self.subTest(holder=holder):
                self.mount(holder)
                self.unmount(holder)
                self.assertEqual(["web"], self.server.mounts())
                self.assertEqual("mounted", self.state())
        self.unmount("container")
        self.assertEqual([], self.server.mounts())

    def test_unmount_after_a_failed_mount(self):
        """Docker up to 1.12 sends one, later ones do not."""
        self.create({**SHARE, "share": "refuse:/exports/a"})
        self.assertIn("not exported to this host", self.mount()["Err"])
        self.assertEqual({"Err": ""}, self.unmount())
        self.assertEqual("created", self.state())

    def test_concurrent_mounts_make_one_mount_and_the_last_unmount_ends_it(self):
        self.create({**SHARE, "share": "slow-100:/exports/a"})
        answers = []
        threads = [threading.Thread(target=lambda i=i: answers.append(self.mount(f"id{i}")))
                   for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([{"Mountpoint": PATH, "Err": ""}] * 12, answers)
        for i in range(11):
            self.unmount(f"id{i}")
        self.assertEqual(["web"], self.server.mounts())
        self.unmount("id11")
        self.assertEqual([], self.server.mounts())

    def test_errors_are_plain_text_with_reason_and_reference(self):
        self.create({**SHARE, "share": "refuse:/exports/a"})
        self.assertRegex(
            self.mount()["Err"],
            r"^cannot mount refuse:/exports/a: the server refused the mount \(not exported to this "
            r"host\); check the export list of refuse \(reference [0-9a-f]+-[0-9a-f]+\)$")
        self.assertIn("Volume 'nobody' must be created before being mounted",
                      self.mount(name="nobody")["Err"])

    def test_options_are_checked_at_create(self):
        for opts, error in (
                ({}, "no identity"),
                ({"uid": "1", "gid": "1"}, "no share: give share=server:/export"),
                ({**SHARE, "uid": "0"}, "Invalid 'uid' option (0, negative, or non-integer): uid=0"),
                ({**SHARE, "timeo": "7"}, "Not allowed options: timeo: only the operator sets it"),
                ({**SHARE, "app_udi": "7"}, "did you mean app_uid?"),
                ({**SHARE, "ro": {"a": 1}}, "option ro is neither text nor a number")):
            with self.subTest(opts=opts):
                self.assertIn(error, self.create(opts)["Err"])
        self.assertEqual([], self.docker().call("VolumeDriver.List", {})["Volumes"])

    def test_names_that_would_be_paths(self):
        for name in ("../etc", "a/b", "a\\b", "a\0b", "x" * 256, ".", "a..b"):
            with self.subTest(name=name):
                self.assertIn("invalid volume name", self.create(name=name)["Err"])
        self.assertEqual("Missing mandatory 'volume_name'", self.create(name="")["Err"])
        self.assertEqual({"Err": ""}, self.create(name="\u00e4\u20ac"))
        self.assertEqual("/var/lib/uidnfs/volumes/docker-%C3%A4%E2%82%AC",
                         self.mount(name="\u00e4\u20ac")["Mountpoint"])

    def test_client_that_hangs_up_leaves_nothing(self):
        self.create({**SHARE, "share": "hang:/exports/a"})
        client = self.docker()
        client.send("VolumeDriver.Mount", b'{"Name":"web","ID":"id1"}\n')
        self.until(lambda: self.state() == "mounting", "the Mount begins")
        client.close()
        self.until(lambda: self.state() == "created", "the Mount is undone")
        self.assertEqual([], self.server.mounts())

    def test_mount_that_is_retried_after_a_broken_connection(self):
        self.create({**SHARE, "share": "slow-300:/exports/a"})
        first = self.docker()
        first.send("VolumeDriver.Mount", b'{"Name":"web","ID":"id1"}\n')
        self.until(lambda: self.state() == "mounting", "the Mount begins")
        first.close()
        self.assertEqual({"Mountpoint": PATH, "Err": ""}, self.mount("id1"))
        self.assertEqual(["web"], self.server.mounts())
        self.unmount("id1")
        self.assertEqual([], self.server.mounts())

    def test_dead_server_is_an_answer_in_time(self):
        self.create({**SHARE, "share": "hang:/exports/a"})
        self.assertIn("the server did not answer in time", self.mount()["Err"])

    def test_name_and_password(self):
        login = {"share": "nas1:/exports/a", "username": "jane", "password": "secret word"}
        self.assertEqual({"Err": ""}, self.create(login))
        self.assertEqual(PATH, self.mount()["Mountpoint"])
        self.create({**login, "password": "wrong"}, name="two")
        self.assertIn("Invalid Credentials", self.mount(name="two")["Err"])
        self.create({**login, "username": "joe"}, name="three")
        self.assertIn("User does not exist", self.mount(name="three")["Err"])
        self.create({**login, "username": "slowpoke"}, name="four")
        self.assertIn("the identity was not resolved in time", self.mount(name="four")["Err"])
        self.assertIn("password is missing: it is empty",
                      self.create({**login, "password": ""}, name="five")["Err"])
        for file in self.root.rglob("*"):
            if file.is_file() and not file.is_socket():
                self.assertNotIn(b"secret word", file.read_bytes(), file)
                self.assertNotIn(b"wrong", file.read_bytes(), file)

    def test_password_is_asked_for_again_after_a_restart_and_credentials_are_not(self):
        self.create({"share": "nas1:/exports/a", "username": "jane", "password": "secret word"})
        directory = self.root / "credentials"
        directory.mkdir()
        (directory / "team").touch(0o600)
        (directory / "team").write_text("username=jane\npassword=secret word\n", encoding="utf-8")
        self.create({"share": "nas1:/exports/a", "credentials": "team"}, name="kept")
        self.restart()
        self.assertIn("create the volume again, or use credentials=NAME", self.mount()["Err"])
        self.assertEqual("/var/lib/uidnfs/volumes/docker-kept", self.mount(name="kept")["Mountpoint"])

    def test_daemon_that_is_killed_knows_its_volumes_and_holders(self):
        self.create()
        self.create(name="idle")
        self.mount("id1")
        self.mount("id2")
        self.restart()
        self.until(lambda: self.state() == "mounted", "the mount is adopted")
        self.assertEqual("created", self.state("idle"))
        self.unmount("id1")
        self.assertEqual(["web"], self.server.mounts())
        self.unmount("id2")
        self.assertEqual([], self.server.mounts())

    def test_daemon_that_is_killed_knows_how_often_it_was_mounted(self):
        self.create()
        self.mount("id1")
        self.mount("id1")
        self.until(lambda: self.delivered() == {"id1": 2}, "both count")
        self.restart()
        self.until(lambda: self.state() == "mounted", "the mount is adopted")
        self.assertEqual(PATH, self.mount("id1")["Mountpoint"])
        for _ in range(2):
            self.unmount("id1")
            self.assertEqual(["web"], self.server.mounts())
        self.unmount("id1")
        self.assertEqual([], self.server.mounts())

    def test_record_of_a_daemon_that_did_not_count_has_one_mount_of_each(self):
        self.create()
        self.mount("id1")
        self.until(lambda: self.delivered() == {"id1": 1}, "it counts")
        self.server.kill()
        file = self.root / "run/live/docker-web.json"
        record = json.loads(file.read_text(encoding="utf-8"))
        del record["delivered"]
        file.write_text(json.dumps(record), encoding="utf-8")
        self.server.start()
        self.until(lambda: self.state() == "mounted", "the mount is adopted")
        self.mount("id1")
        self.unmount("id1")
        self.assertEqual(["web"], self.server.mounts())
        self.unmount("id1")
        self.assertEqual([], self.server.mounts())

    def test_daemon_that_is_killed_before_it_knows_who_got_its_answer_counts_the_retry(self):
        self.create()
        self.mount("id1")
        self.until(lambda: self.delivered() == {"id1": 1}, "it counts")
        self.server.kill()
        file = self.root / "run/live/docker-web.json"
        record = json.loads(file.read_text(encoding="utf-8"))
        record["delivered"] = {"id1": 0}  # as it is until the answer is written
        file.write_text(json.dumps(record), encoding="utf-8")
        self.server.start()
        self.until(lambda: self.state() == "mounted", "the mount is adopted")
        self.assertEqual(PATH, self.mount("id1")["Mountpoint"])
        self.unmount("id1")
        self.assertEqual([], self.server.mounts())

    def test_daemon_that_is_killed_in_the_middle_of_a_mount_leaves_nothing(self):
        self.create({**SHARE, "share": "hang:/exports/a"})
        self.docker().send("VolumeDriver.Mount", b'{"Name":"web","ID":"id1"}\n')
        self.until(lambda: self.state() == "mounting", "the Mount begins")
        self.restart()
        self.until(lambda: self.state() == "created", "the Mount is forgotten")
        self.assertEqual([], list((self.root / "run" / "live").iterdir()))

    def test_worker_that_dies(self):
        self.create()
        self.mount("id1")
        self.server.tell("kill web")
        self.until(lambda: self.state() == "failed", "its death is noticed")
        volume = self.docker().call("VolumeDriver.Get", {"Name": "web"})["Volume"]
        self.assertEqual("its worker ended: killed by signal 9", volume["Status"]["reason"])
        self.assertEqual(PATH, self.mount("id2")["Mountpoint"])
        self.assertEqual("mounted", self.state())

    def test_unmount_while_the_server_is_silent_detaches(self):
        self.create({**SHARE, "share": "busy:/exports/a"})
        self.mount()
        self.assertEqual({"Err": ""}, self.unmount())
        self.assertEqual([], self.server.mounts())
        self.assertEqual("detached", self.state())
        self.assertIn("still on the way to the server", self.mount("id2")["Err"])
        self.server.tell("kill web")
        self.until(lambda: self.state() == "created", "its data is safe")
        self.assertEqual(PATH, self.mount("id2")["Mountpoint"])

    def test_socket_is_for_root_alone(self):
        mode = os.stat(self.root / "uidnfs.sock").st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(0o600, stat.S_IMODE(mode))

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_other_users_are_refused_whatever_the_mode(self):
        os.chmod(self.root, 0o755)
        os.chmod(self.root / "uidnfs.sock", 0o666)
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(self.root / "uidnfs.sock"))
            try:
                sock.sendall(b"POST /Plugin.Activate HTTP/1.1\r\n\r\n")
                os._exit(1 if sock.recv(100) else 0)
            except OSError:
                os._exit(0)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        self.assertIn("uid 65534", self.server.log())

    def test_second_daemon_does_not_take_the_socket(self):
        other = driver.Server(self.root, docker=self.root / "uidnfs.sock")
        self.addCleanup(other.close)
        with self.assertRaisesRegex(AssertionError, "Address already in use"):
            other.start()
        self.assertEqual({"Implements": ["VolumeDriver"]}, self.docker().call("Plugin.Activate"))


class SocketActivation(driver.ContractTest):
    """systemd opened the socket; who connected before the daemon ran is served."""

    def setUp(self):
        pass

    def test_connection_that_was_queued_is_served(self):
        root = pathlib.Path(tempfile.mkdtemp(prefix="uidnfs-contract-"))
        self.addCleanup(shutil.rmtree, root, ignore_errors=True)
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(str(root / "activated.sock"))
        listening.listen(16)
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(str(root / "activated.sock"))
        client = driver.DockerClient(waiting)
        self.addCleanup(client.close)
        client.send("Plugin.Activate")

        server = driver.Server(root)
        self.addCleanup(server.close)
        arguments = server.arguments()
        program = ('export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=docker; exec "$@" 3<&'
                   + str(listening.fileno()))
        server.arguments = lambda: ["/bin/sh", "-c", program, "sh", *arguments]
        server.start(pass_fds=[listening.fileno()])
        self.assertEqual((200, '{"Implements":["VolumeDriver"]}'), client.read_response()[::2])


if __name__ == "__main__":
    unittest.main()
