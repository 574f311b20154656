# SPDX-License-Identifier: Apache-2.0
"""Who gets a mount, by a real daemon: identities of a directory, also while it is away, the policy
that only reports, and passwords, which are nowhere."""

import os
import pathlib
import time

import slapd
import suite
import test_volumes
import volume_daemon

ALICE = slapd.Person("alice", 1001, 1001, "alice-Pa55word")
ROOT = slapd.Person("root", 0, 0, "root-Pa55word")
OUTSIDER = slapd.Person("outsider", 5000, 5000, "outsider-Pa55word")
PASSWORDS = tuple(text.encode() for text in (
    slapd.SERVICE_PASSWORD, ALICE.password, ROOT.password, OUTSIDER.password, "not-the-Pa55word"))


class Admission(test_volumes.VolumeTest):
    """A daemon, and a directory that it asks."""

    def setUp(self):
        suite.IntegrationTest.setUp(self)
        self.daemon = volume_daemon.VolumeDaemon(self.uidnfs)
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.addCleanup(self.daemon.clear)
        self.slapd = slapd.Slapd(self.daemon.root / "slapd", [ALICE, ROOT, OUTSIDER]).start()
        self.addCleanup(self.slapd.stop)

    def begin(self, policy="", ldap=""):
        self.daemon.write(self.daemon.ports, policy + self.rule,
                          self.slapd.section(self.daemon.root, ldap))
        self.daemon.start()

    def ask_for(self, volume, **options):
        """(path, error), whichever of the two calls refuses it."""
        error = self.daemon.create(volume, self.share(), **options)
        return ("", error) if error else self.daemon.mount(volume)

    def ask_as(self, person, volume=None, password=None):
        return self.ask_for(volume or person.name, username=person.name,
                            password=password or person.password)

    def mount_lines(self):
        return {line["volume"]: line for line in self.daemon.audit_lines()
                if line["event"] == "mount"}


class IdentityTest(Admission):
    def test_the_directory_decides_and_the_policy_after_it(self):
        self.begin()
        path, error = self.ask_as(ALICE)
        self.assertEqual("", error)
        inside = self.given(path)
        self.actor(suite.APP_UID).write_file(os.path.join(inside, "of-alice"), b"x")
        self.assert_owner(os.stat(self.on_server("of-alice")), 1001, 1001)
        line = self.mount_lines()["alice"]
        self.assertEqual((1001, 1001, "ldap", "alice", "rule 1 (team)"), tuple(
            line[key] for key in ("uid", "gid", "identity_source", "user", "rule")))
        self.assertEqual("ldap", self.uidnfs.status(path)[1][0]["identity_source"])
        for person, reason in ((ROOT, "root is not allowed"), (OUTSIDER, "uid 5000 is not among")):
            path, error = self.ask_as(person)
            self.assertEqual("", path)
            self.assertIn(reason, error)
        self.assertIn("password is wrong", self.ask_as(ALICE, "wrong", "not-the-Pa55word")[1])
        [line] = [line for line in self.daemon.audit_lines()
                  if line["event"] == "refused" and line["volume"] == "wrong"]
        self.assertEqual("alice", line["user"])
        self.assertNotIn("uid", line)
        told = [line for line in self.daemon.log().splitlines() if "password is wrong" in line]
        self.assertEqual(1, len(told), told)
        # Leaving out the name is no way around the directory.
        path, error = self.ask_for("declared", uid=1001, gid=1001)
        self.assertEqual("", path)
        self.assertIn("from the directory", error)

    def test_every_thread_of_the_service_is_its_user_without_a_way_back(self):
        self.begin()
        self.assertEqual("", self.ask_as(ALICE)[1])
        threads = [f"{self.daemon.process.pid}/task/{thread}"
                   for thread in os.listdir(f"/proc/{self.daemon.process.pid}/task")]
        self.assertLess(4, len(threads), "those that ask the directory")
        for thread in threads:
            for field, value in (("NoNewPrivs", "1"), ("CapPrm", "0000000000000000")):
                self.assertEqual(value, volume_daemon.status_of(thread, field), thread)
            self.assertEqual({"65534"}, set(volume_daemon.status_of(thread, "Uid").split()))
        # What is not dumpable has files of root's (proc(5)), and the change of user made it so.
        proc = pathlib.Path(f"/proc/{self.daemon.process.pid}")
        self.assertEqual(0, (proc / "environ").stat().st_uid)
        self.assertRegex((proc / "limits").read_text(), r"(?m)^Max core file size +0 +0 ")

    def test_a_reload_asks_the_directory_that_the_file_names_then(self):
        self.begin()
        other = slapd.Slapd(self.daemon.root / "other", [OUTSIDER]).start()
        self.addCleanup(other.stop)
        rule = volume_daemon.RULE.replace("1000-1999", "1000-9999")
        self.daemon.write(self.daemon.ports, rule, other.section(self.daemon.root))
        status, text = self.daemon.admin_ask("POST", "/reload")
        self.assertEqual(200, status, text)
        self.assertIn("the directory is asked anew", text)
        # The service is nobody by now, and its secret is root's: it keeps what it read.
        self.assertIn("ldap.secret is for root alone", text)
        self.assertEqual("", self.ask_as(OUTSIDER)[1])
        self.assertIn("User does not exist", self.ask_as(ALICE)[1])
        (self.daemon.root / "ldap.secret").chmod(0o644)
        status, text = self.daemon.admin_ask("POST", "/reload")
        self.assertEqual(409, status)
        self.assertIn("others can get at it", text)

    def test_no_password_is_anywhere(self):
        self.begin(ldap=f'cache_file = "{self.daemon.root}/lib/cache/identities"')
        self.assertEqual("", self.ask_as(ALICE)[1])
        self.assertIn("password", self.ask_as(ALICE, "wrong", "not-the-Pa55word")[1])
        self.ask_as(OUTSIDER)
        self.daemon.ask("VolumeDriver.List")
        said = [self.daemon.log().encode(), *(text.encode() for text in self.admin_texts())]
        processes = self.uidnfs.processes()
        daemons = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                   if os.path.exists(f"/proc/{pid}/exe") and
                   os.readlink(f"/proc/{pid}/exe") == str(self.daemon.binary)]
        self.assertLess(1, len(processes), "a keeper and its worker")
        self.assertLess(0, len(daemons))
        for pid in processes + daemons:
            said += [pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
                     for name in ("cmdline", "environ")]
        self.daemon.stop()  # and what it writes at its end
        files = [path for path in self.daemon.root.rglob("*")
                 if path.is_file() and self.slapd.root not in path.parents and
                 self.daemon.volumes not in path.parents and path.name != "ldap.secret"]
        self.assertIn("identities", {path.name for path in files})
        self.assertLess(4, len(files), files)
        said += [path.read_bytes() for path in files]
        self.assertIn(b"alice", b"".join(said), "something was searched")
        for password in PASSWORDS:
            self.assertNotIn(password, b"".join(said))

    def admin_texts(self):
        return [self.daemon.admin_ask("GET", route)[1] for route in ("/volumes", "/metrics")]


class OutageTest(Admission):
    def test_who_was_known_mounts_while_the_directory_is_away(self):
        self.begin(ldap="cache_seconds = 1\ncache_stale_seconds = 600\ntimeout_seconds = 2")
        self.assertEqual("", self.ask_as(ALICE)[1])
        self.slapd.stop()
        time.sleep(1)  # cache_seconds
        self.assertEqual("", self.ask_as(ALICE, "again")[1])
        self.assertIn("stale identity used: user 'alice'", self.daemon.log())
        self.assertIn(("stale identity used", "again"),
                      [(line["event"], line.get("volume")) for line in self.daemon.audit_lines()])
        path, error = self.ask_as(ALICE, "guessed", "not-the-Pa55word")
        self.assertEqual("", path)
        self.assertIn("LDAP server could not be reached", error)
        path, error = self.ask_as(OUTSIDER)
        self.assertEqual("", path)
        self.assertIn("LDAP server could not be reached", error)

    def test_a_start_without_the_directory_serves_what_the_file_knows(self):
        ldap = (f'cache_file = "{self.daemon.root}/lib/cache/identities"\nverify_password = false\n'
                "timeout_seconds = 2")
        self.begin(ldap=ldap)
        self.assertEqual("", self.ask_for("before", username="alice", password="any")[1])
        self.daemon.stop()
        kept = self.daemon.root / "lib" / "cache" / "identities"
        self.assertEqual(0o600, kept.stat().st_mode & 0o7777)
        self.slapd.stop()
        self.daemon.start()
        self.assertEqual("", self.ask_for("after", username="alice", password="any")[1])
        self.assertEqual(1001, self.mount_lines()["after"]["uid"])
        self.daemon.stop()
        kept.unlink()
        self.daemon.start()
        path, error = self.ask_for("without", username="alice", password="any")
        self.assertEqual("", path)
        self.assertIn("LDAP server could not be reached", error)


class ReportTest(Admission):
    def test_what_would_be_refused_passes_and_is_told(self):
        self.begin(policy='[policy]\nmode = "report"\n')
        self.assertEqual("", self.ask_as(ALICE)[1])
        self.assertNotIn("policy.mode is report", self.daemon.log())
        self.assertEqual("", self.ask_as(OUTSIDER)[1])
        self.assertRegex(self.daemon.log(), r"nas1:/exports/a as \d+:\d+, volume docker-\S+: policy")
        self.assertIn("policy.mode is report: no rule allows it, and rule 1 (team) does not because "
                      "uid 5000 is not among 1000-1999", self.daemon.log())
        rules = {name: line["rule"] for name, line in self.mount_lines().items()}
        self.assertEqual({"alice": "rule 1 (team)", "outsider": "none, mode is report"}, rules)
        self.assertIn("root is not allowed", self.ask_as(ROOT)[1])
