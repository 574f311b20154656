# SPDX-License-Identifier: Apache-2.0
"""The admin socket: what it answers, to whom, and what the audit keeps of it."""

import json
import os
import socket
import subprocess
import sys
import unittest

import driver

SINCE = "2924-05-01T02:14:05Z"  # a mount of the daemon's own time
STATUS = {
    "state": "stale", "reason": "server nas1 has not answered for 65 s", "since": SINCE,
    "worker_pid": 4711, "keeper_pid": 4710, "server_address": "192.0.2.1:2049", "local_ports": [812],
    "bytes_not_committed": 5, "calls": {
        "retransmits": 3, "latency_bounds": [0.001], "procedures": {
            "READ": {"count": 7, "errors": 0, "total_seconds": 0.5, "latency": [6, 1]}}}}


def setUpModule():
    if os.geteuid() != 0:
        raise unittest.SkipTest("the admin socket serves root alone")


class AdminClient(driver.Client):
    def ask(self, method, path, body=b""):
        self.sock.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return self.read_response()

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, request=None):
        status, _, body = self.ask("POST", path, b"" if request is None else json.dumps(request).encode())
        return status, json.loads(body)


class Admin(driver.ContractTest):
    def more_options(self):
        return {**super().more_options(), "admin": self.root / "admin.sock",
                "metrics": self.root / "metrics.sock", "audit": self.root / "audit.log"}

    def connect(self, name):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.root / name))
        client = AdminClient(sock)
        self.addCleanup(client.close)
        return client

    def admin(self):
        return self.connect("admin.sock")

    def audit(self):
        return [json.loads(line) for line in (self.root / "audit.log").read_text().splitlines()]

    def events(self):
        return [line["event"] for line in self.audit()]

    def mount(self, name="web", share="nas1:/exports/a"):
        client = self.docker()
        client.call("VolumeDriver.Create", {
            "Name": name, "Opts": {"share": share, "uid": "1001", "gid": "1002"}})
        return client.call("VolumeDriver.Mount", {"Name": name, "ID": "h1"})

    def volumes(self):
        status, headers, body = self.admin().get("/volumes")
        self.assertEqual((200, "application/json"), (status, headers["content-type"]))
        return json.loads(body)


class Health(Admin):
    def test_ok_or_the_reason(self):
        status, headers, body = self.admin().get("/healthz")
        self.assertEqual((200, "ok\n"), (status, body))
        self.assertIn("text/plain", headers["content-type"])
        self.server.tell("trouble the mounter is gone")
        self.assertEqual((503, "the mounter is gone\n"), self.admin().get("/healthz")[::2])

    def test_a_damaged_state_file_takes_no_other_volume_away(self):
        self.mount("web")
        self.mount("other")
        file = self.root / "state/definitions/docker-web.json"
        file.write_text("{", encoding="ascii")
        self.restart()
        self.assertEqual({"Mountpoint": self.docker().call("VolumeDriver.Path", {"Name": "other"})["Mountpoint"],
                          "Err": ""}, self.mount("other"))
        self.assertIn(f"the state file {file} cannot be understood: it is not JSON", self.server.log())
        self.assertEqual("{", file.with_suffix(".json.damaged").read_text(encoding="ascii"))
        self.assertIn("uidnfs_damaged_state_files 1\n", self.admin().get("/metrics")[2])

    def test_a_dead_server_is_no_trouble_of_the_daemon(self):
        self.server.tell("status web " + json.dumps(STATUS))
        self.mount()
        self.until(lambda: self.volumes()[0]["health"] == "stale", "its health is known")
        self.assertEqual(200, self.admin().get("/healthz")[0])


class Metrics(Admin):
    def test_what_was_counted(self):
        self.server.tell("status web " + json.dumps(STATUS))
        self.mount()
        self.assertIn("Err", self.mount("bad", "refuse:/a"))
        self.until(lambda: self.volumes()[1].get("worker_pid"), "the worker was asked")
        status, headers, body = self.admin().get("/metrics")
        self.assertEqual(200, status)
        self.assertEqual("text/plain; version=0.0.4; charset=utf-8", headers["content-type"])
        for line in ('uidnfs_mounts{plugin="docker",state="mounted"} 1',
                     'uidnfs_mounts{plugin="docker",state="created"} 1',
                     'uidnfs_mount_requests_total{plugin="docker",result="ok"} 1',
                     'uidnfs_mount_requests_total{plugin="docker",result="refused"} 1',
                     'uidnfs_errors_total{code="EACCES",plugin="docker"} 1',
                     'uidnfs_mounts_by_health{health="stale"} 1',
                     'uidnfs_nfs_calls_total{procedure="READ"} 7',
                     'uidnfs_nfs_retransmits_total 3',
                     'uidnfs_uncommitted_bytes 5'):
            self.assertIn("\n" + line + "\n", body)

    def test_counters_do_not_go_backwards_when_a_worker_ends(self):
        self.server.tell("status web " + json.dumps(STATUS))
        self.mount()
        line = 'uidnfs_nfs_calls_total{procedure="READ"} 7\n'
        self.until(lambda: line in self.admin().get("/metrics")[2], "the worker was asked")
        self.docker().call("VolumeDriver.Unmount", {"Name": "web", "ID": "h1"})
        self.until(lambda: "uidnfs_uncommitted_bytes 0\n" in self.admin().get("/metrics")[2],
                   "the worker is gone")
        self.assertIn(line, self.admin().get("/metrics")[2])

    def test_the_other_listener_has_nothing_else(self):
        client = self.connect("metrics.sock")
        self.assertEqual(200, client.get("/metrics")[0])
        self.assertEqual(200, client.get("/healthz")[0])
        for method, path in (("GET", "/volumes"), ("POST", "/drain"), ("POST", "/reload"),
                             ("POST", "/log_level")):
            status, _, body = client.ask(method, path)
            self.assertEqual(404, status)
            self.assertIn("/metrics and /healthz", json.loads(body)["error"])


class Volumes(Admin):
    def test_all_that_is_known_of_a_mount(self):
        self.server.tell("status web " + json.dumps(STATUS))
        self.mount()
        self.until(lambda: self.volumes()[0].get("worker_pid"), "the worker was asked")
        volume = self.volumes()[0]
        health_since = volume.pop("health_since")
        self.assertRegex(health_since, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual({
            "plugin": "docker", "volume": "web", "state": "mounted", "health": "stale",
            "reason": "server nas1 has not answered for 65 s", "holders": ["h1"],
            "source": "nas1:/exports/a", "mountpoint": "/var/lib/uidnfs/volumes/docker-web",
            "uid": 1001, "gid": 1002, "gids": [], "identity_source": "declared", "rule": "rule 1",
            "since": SINCE, "worker_pid": 4711, "keeper_pid": 4710,
            "server_address": "192.0.2.1:2049", "local_ports": [812], "bytes_not_committed": 5,
        }, volume)

    def test_one_that_is_not_mounted_has_no_health_and_says_why(self):
        self.assertEqual([], self.volumes())
        self.mount("web", "refuse:/a")
        (volume,) = self.volumes()
        self.assertEqual(("created", None), (volume["state"], volume["health"]))
        self.assertIn("the server refused the mount", volume["reason"])
        self.assertNotIn("uid", volume)

    def test_a_dead_worker_shows(self):
        self.mount()
        self.server.tell("kill web")
        self.until(lambda: self.volumes()[0]["state"] == "failed", "its death is noticed")
        (volume,) = self.volumes()
        self.assertIn("killed by signal 9", volume["reason"])


class Commands(Admin):
    def test_drain_unmounts_everything(self):
        self.mount()
        self.assertEqual((200, {"drained": True, "left": []}), self.admin().post("/drain"))
        self.assertEqual([], self.server.mounts())
        self.assertEqual(["drain", "unmount", "drain ended"], self.events()[-3:])
        self.assertIn("was drained", self.mount("late")["Err"])

    def test_drain_records_no_unmount_of_what_was_not_mounted(self):
        self.assertIn("Err", self.mount("idle", "refuse:/a"))
        self.assertEqual(200, self.admin().post("/drain")[0])
        self.assertEqual(["drain", "drain ended"], self.events()[-2:])

    def test_drain_with_a_word_that_it_does_not_know_drains_nothing(self):
        self.mount()
        status, answer = self.admin().post("/drain", {"deadline": 60})
        self.assertEqual((400, '"deadline" is unknown; send {"deadline_seconds": 30}'),
                         (status, answer["error"]))
        self.assertEqual(["web"], [name.removeprefix("docker-") for name in self.server.mounts()])

    def test_drain_tells_what_could_not_be_unmounted(self):
        self.mount("stuck", "busy:/a")
        status, answer = self.admin().post("/drain", {"deadline_seconds": 1})
        self.assertEqual((409, False), (status, answer["drained"]))
        self.assertRegex(answer["left"][0], "^stuck: error unmounting volume")
        self.assertEqual(answer["left"], self.audit()[-1]["left"])

    def test_drain_with_an_odd_deadline(self):
        self.mount()
        for odd in (0, -1, "soon", 3601, 1.5, None):
            status, answer = self.admin().post("/drain", {"deadline_seconds": odd})
            self.assertEqual((400, '"deadline_seconds" is a number from 1 to 3600'),
                             (status, answer["error"]))
        self.assertEqual(["web"], [name.removeprefix("docker-") for name in self.server.mounts()])

    def test_reload_tells_changes_and_problems_and_the_audit_has_them(self):
        change = "policy.mode: enforce -> report"
        self.assertEqual((200, {"reloaded": True, "problems": [], "warnings": [], "changes": [change]}),
                         self.admin().post("/reload"))
        self.assertEqual(("reload", [change]), (self.audit()[-1]["event"], self.audit()[-1]["changes"]))
        self.assertRegex(self.audit()[-1]["peer"], r"^uid 0 pid \d+$")
        self.server.tell("trouble uidnfsd.toml:3: mounts.root is wrong")
        status, answer = self.admin().post("/reload")
        self.assertEqual((409, False), (status, answer["reloaded"]))
        self.assertEqual(["uidnfsd.toml:3: mounts.root is wrong"], answer["problems"])

    def test_reload_opens_a_rotated_audit_anew(self):
        self.mount()
        os.rename(self.root / "audit.log", self.root / "audit.log.1")
        self.admin().post("/reload")
        self.mount("next")
        self.assertEqual(["create", "mount"], [line["event"] for line in self.audit() if "volume" in line])

    def test_the_log_level_of_a_live_mount(self):
        self.mount()
        request = {"plugin": "docker", "volume": "web", "level": "debug"}
        self.assertEqual((200, {"level": "debug"}), self.admin().post("/log_level", request))
        self.assertEqual("web=debug", self.server.tell("levels"))

    def test_a_worker_that_does_not_answer_is_told(self):
        self.mount("mute")
        status, answer = self.admin().post(
            "/log_level", {"plugin": "docker", "volume": "mute", "level": "debug"})
        self.assertEqual((502, "no answer in time"), (status, answer["error"]))

    def test_odd_log_levels(self):
        self.mount("web")
        self.mount("bad", "refuse:/a")
        fine = {"plugin": "docker", "volume": "web", "level": "debug"}
        for change, status, text in (
                ({"level": "loud"}, 400, 'there is no log level loud'),
                ({"level": None}, 400, '"level" is missing'),
                ({"volume": 7}, 400, '"volume" is missing'),
                ({"volume": "other"}, 404, 'there is no volume other'),
                ({"volume": "bad"}, 409, 'volume bad is created, not mounted'),
                ({"plugin": "podman"}, 400, 'there is no plugin podman')):
            with self.subTest(change=change):
                got, answer = self.admin().post("/log_level", {**fine, **change})
                self.assertEqual(status, got)
                self.assertIn(text, answer["error"])
        self.assertEqual("", self.server.tell("levels"))


class Forms(Admin):
    def test_wrong_routes_and_methods(self):
        client = self.admin()
        status, _, body = client.get("/nothing")
        self.assertEqual(404, status)
        self.assertIn("there are /metrics, /healthz, /volumes", json.loads(body)["error"])
        for method, path, allow in (("POST", "/metrics", "get, head"), ("POST", "/volumes", "get, head"),
                                    ("DELETE", "/healthz", "get, head"), ("GET", "/drain", "post"),
                                    ("GET", "/reload", "post"), ("PUT", "/log_level", "post")):
            with self.subTest(method=method, path=path):
                status, headers, body = client.ask(method, path)
                self.assertEqual((405, allow), (status, headers["allow"]))
                self.assertIn(f"{path} does not understand", json.loads(body)["error"])

    def test_bodies_that_are_no_object(self):
        for body in (b"{", b"[]", b"7", b'{"a":1}x'):
            for path in ("/drain", "/log_level"):
                status, _, answer = self.admin().ask("POST", path, body)
                self.assertEqual(400, status)
                self.assertIn("is no JSON object", json.loads(answer)["error"])


class Peers(Admin):
    def speak_as(self, uid, name, path):
        """What a process of that user gets: a status, or "closed"."""
        script = ("import socket, sys\n"
                  "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                  "try:\n"
                  "    s.sendall(b'GET ' + sys.argv[2].encode() + b' HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
                  "    print(s.recv(100).decode().split()[1])\n"
                  "except (ConnectionError, IndexError):\n"
                  "    print('closed')\n")
        return subprocess.run(
            [sys.executable, "-c", script, str(self.root / name), path], user=uid, group=uid,
            extra_groups=[], check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def test_only_root_is_served_whatever_the_mode_of_the_socket(self):
        self.root.chmod(0o755)
        (self.root / "admin.sock").chmod(0o666)
        self.assertEqual("200", self.speak_as(0, "admin.sock", "/healthz"))
        self.assertEqual("closed", self.speak_as(65534, "admin.sock", "/healthz"))
        self.assertIn("uid 65534", self.server.log())
        self.assertIn(f"is refused on {self.root}/admin.sock", self.server.log())


class OwnUser(Peers):
    """The service's own user is nobody special on the admin socket; on the others it is."""

    def start(self):
        os.chown(self.root, 65534, 65534)
        self.server.start(user=65534, group=65534, extra_groups=[])

    def test_other_sockets_serve_it(self):
        self.assertEqual("200", self.speak_as(65534, "metrics.sock", "/healthz"))
        self.assertEqual("200", self.speak_as(0, "metrics.sock", "/healthz"))


if __name__ == "__main__":
    unittest.main()
