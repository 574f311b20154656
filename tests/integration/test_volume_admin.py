# SPDX-License-Identifier: Apache-2.0
"""The admin socket of uidnfsd with real mounts: what it tells of volumes, metrics, and who is heard."""

import json
import os
import re
import shutil
import subprocess
import time

import ganesha
import suite
import test_volumes
import volume_daemon
from uidnfs_command import wait_until


class AdminTest(test_volumes.VolumeTest):
    def test_what_an_operator_asks(self):
        path = self.mounted()
        self.assertEqual(200, self.daemon.admin_ask("GET", "/healthz")[0])
        status, text = self.daemon.admin_ask("GET", "/volumes")
        self.assertEqual(200, status)
        [volume] = json.loads(text)
        self.assertEqual(("v", "docker", "mounted", path),
                         (volume["volume"], volume["plugin"], volume["state"], volume["mountpoint"]))
        status, text = self.daemon.admin_ask("GET", "/metrics")
        self.assertEqual(200, status)
        self.assertRegex(text, r'uidnfs_mount_requests_total{[^}]*result="ok"[^}]*} 1')
        self.assertEqual(404, self.daemon.admin_ask("GET", "/nothing")[0])

    def test_what_a_mount_did_up_to_its_end_is_counted(self):
        def metrics():
            return self.daemon.admin_ask("GET", "/metrics")[1]

        inside = self.given(self.mounted())
        wait_until(lambda: "procedure=" in metrics(), 10, "the first question to the worker")
        time.sleep(0.5)  # another one follows at once, then none for many seconds
        with open(os.path.join(inside, "f"), "wb") as file:
            file.write(b"x" * (4 << 20))
        self.taken_back(inside)
        self.assertEqual("", self.daemon.unmount("v"))
        sent = re.search(r"(?m)^uidnfs_nfs_sent_bytes_total (.*)$", metrics())[1]
        self.assertGreater(float(sent), 4 << 20)

    def test_the_log_level_of_one_live_mount(self):
        self.mounted()
        body = {"volume": "v", "plugin": "docker", "level": "debug"}
        self.assertEqual(200, self.daemon.admin_ask("POST", "/log_level", body)[0])
        body["level"] = "loud"
        self.assertGreaterEqual(self.daemon.admin_ask("POST", "/log_level", body)[0], 400)

    def test_it_is_roots_alone(self):
        self.daemon.admin.chmod(0o777)
        with self.assertRaises(OSError):
            self.actor(suite.OTHER_UID).run("""
import socket
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
connection.sendall(b"GET /metrics HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
if not connection.recv(1):
    raise OSError("turned away")
""", path=str(self.daemon.admin))

    def test_a_reload_changes_what_may_be_mounted_next(self):
        path = self.mounted()
        self.daemon.write(self.ports(), volume_daemon.RULE.replace("1000-1999", "3000-3999"))
        status, text = self.daemon.admin_ask("POST", "/reload")
        self.assertEqual(200, status, text)
        self.assertIn("policy.rule", text)
        self.assertEqual([path], self.daemon.mounts())
        self.daemon.create("w", self.share(), uid=1001, gid=1001)
        self.assertIn("uid 1001", self.daemon.mount("w")[1])
        self.daemon.config.write_text("[mounts]\nrot = 1\n", encoding="utf-8")
        status, text = self.daemon.admin_ask("POST", "/reload")
        self.assertGreaterEqual(status, 400)
        self.assertIn("rot", text)
        self.assertEqual("", self.daemon.unmount("v"))

    def test_the_audit_is_opened_again_at_a_reload(self):
        """By the service user, although root made the file; after a rotation as well."""
        self.assertEqual(200, self.daemon.admin_ask("POST", "/reload")[0])
        rotated = self.daemon.audit.with_suffix(".1")
        self.daemon.audit.rename(rotated)
        # Anybody may make files there and replace nobody's: the configuration is there too.
        os.chmod(self.daemon.root, 0o1777)
        self.assertEqual(200, self.daemon.admin_ask("POST", "/reload")[0])
        self.assertNotIn("audit", self.daemon.log())
        self.assertEqual(["reload"], [line["event"] for line in self.daemon.audit_lines()])

    def test_an_audit_that_only_root_can_open_is_told_at_the_start(self):
        self.daemon.stop()
        os.chown(self.daemon.audit, 0, 0)
        self.daemon.start()
        self.assertIn("the audit will not be opened again at a reload or after a rotation: "
                      f"{self.daemon.audit} is not nobody's; chown nobody {self.daemon.audit}",
                      self.daemon.log())

    def log_below(self, *names):
        """The audit in a directory that the daemon makes, which is then its user's."""
        self.daemon.stop()
        self.daemon.audit = self.daemon.root.joinpath("audit", *names, "audit.log")
        self.daemon.write(self.ports(), self.rule)

    def assert_no_start(self, text):
        with self.assertRaises(AssertionError) as failed:
            self.daemon.start()
        self.assertIn("cannot start", str(failed.exception))
        self.assertIn(text, str(failed.exception))

    def test_an_audit_in_a_directory_of_its_own_user(self):
        self.log_below()
        self.daemon.start()
        self.assertEqual(200, self.daemon.admin_ask("POST", "/reload")[0])
        self.assertEqual(["reload"], [line["event"] for line in self.daemon.audit_lines()])
        self.assertEqual("nobody", self.daemon.audit.owner())
        self.assertEqual(0o640, self.daemon.audit.stat().st_mode & 0o777)
        self.daemon.stop()
        self.daemon.start()
        self.assertNotIn("the audit will not be opened again", self.daemon.log())

    def test_a_link_in_the_place_of_the_audit_leads_root_nowhere(self):
        """A front that was taken over leaves it and ends; the next one begins as root."""
        self.log_below()
        self.daemon.start()
        self.daemon.stop()
        target = self.daemon.root / "of-root"
        for there in (False, True):
            with self.subTest(there=there):
                if there:
                    target.write_text("mine", encoding="ascii")
                    target.chmod(0o600)
                self.daemon.audit.unlink()
                self.daemon.audit.symlink_to(target)
                self.assert_no_start(f"cannot open the audit file {self.daemon.audit}: it is a link")
                self.assertEqual("mine" if there else None,
                                 target.read_text("ascii") if target.exists() else None)
                self.assertEqual("", self.support("mine"))

    def test_a_link_on_the_way_to_the_audit_leads_root_nowhere(self):
        self.log_below("deep")
        target = self.daemon.root / "of-root"
        target.mkdir()
        log = self.daemon.root / "audit"
        log.mkdir()
        shutil.chown(log, "nobody")
        (log / "deep").symlink_to(target)
        self.assert_no_start("cannot open the audit file")
        self.assertEqual([], os.listdir(target))
        self.assertEqual(0, target.stat().st_uid)
        # Nor is a directory made and given away where the link leads.
        (log / "deep").unlink()
        (log / "deep").symlink_to("/etc")
        self.daemon.audit = log / "deep" / "uidnfs-test" / "audit.log"
        self.daemon.write(self.ports(), self.rule)
        self.assert_no_start("cannot open the audit file")
        self.assertFalse(os.path.exists("/etc/uidnfs-test"))

    def support(self, word):
        """The lines of `uidnfsd support` with it."""
        done = subprocess.run([self.daemon.binary, "support", "--config", self.daemon.config],
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertIn("==== audit", done.stdout)
        return "".join(line for line in done.stdout.splitlines() if word in line)

    def test_drain_unmounts_everything_and_takes_nothing_new(self):
        inside = self.given(self.mounted())
        self.actor(suite.APP_UID).write_file(os.path.join(inside, "f"), b"drained")
        self.taken_back(inside)
        self.assertEqual((200, "ok\n"), self.daemon.admin_ask("GET", "/healthz"))
        status, text = self.daemon.admin_ask("POST", "/drain")
        self.assertEqual(200, status, text)
        self.assertIn("drain: every volume is unmounted\n", self.daemon.log())
        self.assert_nothing_left()
        self.assertNotEqual("", self.daemon.mount("v")[1])
        self.assertEqual((200, "ok\ndrained: nothing is mounted until it is started again\n"),
                         self.daemon.admin_ask("GET", "/healthz"))
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(b"drained", file.read())

    def ports(self):
        return (f"port = {ganesha.NFS_PORT}", f"mountport = {ganesha.MOUNT_PORT}")
