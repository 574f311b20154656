# SPDX-License-Identifier: Apache-2.0
"""uidnfsd as an operator calls it: --check, resolve, reload, and that no password leaves it."""

import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import fake_servers
import slapd
import suite
from uidnfs_command import wait_until

sys.path.append(str(pathlib.Path(__file__).parents[1] / "contract"))
import driver  # pylint: disable=wrong-import-position,wrong-import-order

ALICE = slapd.Person("alice", 1001, 1001, "alice-Pa55word")
BOB = slapd.Person("bob", 1002, 1002, "bob-Pa55word")
OUTSIDER = slapd.Person("outsider", 99999, 99999, "outsider-Pa55word")
# 18 groups, two more than AUTH_SYS carries.
MANY = slapd.Person("many", 1003, 1003, "many-Pa55word")
GROUPS = "".join(slapd.group(f"g{n}", 5000 + n, ["many"]) for n in range(18)) + slapd.group(
    "staff", 1500, ["alice"])
PASSWORDS = (slapd.SERVICE_PASSWORD, ALICE.password, "not-the-Pa55word")

RULE = """
[[policy.rule]]
name = "team"
sources = ["nas1:/exports/*"]
uids = ["1000-1999"]
gids = ["1000-1999", "5000-5999"]
"""


class UidnfsdTest(unittest.TestCase):
    """A directory of its own for each test, and the binary."""

    @classmethod
    def setUpClass(cls):
        cls.binary = suite.lab().uidnfs.binary.parent / "uidnfsd"

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="uidnfsd-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.config = self.root / "uidnfsd.toml"
        self.secret = self.write("ldap.secret", slapd.SERVICE_PASSWORD + "\n", 0o600)

    def write(self, name, text, mode=0o644):
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def configure(self, *parts):
        return self.write("uidnfsd.toml", "\n".join(parts))

    def ldap(self, url, extra=""):
        return (f'[ldap]\nurls = ["{url}"]\nbind_dn = "{slapd.SERVICE_DN}"\n'
                f'bind_password_file = "{self.secret}"\n'
                f'user_base = "ou=people,{slapd.SUFFIX}"\n'
                f'group_base = "ou=groups,{slapd.SUFFIX}"\n{extra}\n')

    def environment(self, variables=None):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LDAP")}
        return clean | (variables or {})

    def run_it(self, *arguments, given="", variables=None):
        done = subprocess.run([self.binary, *map(str, arguments)], input=given, text=True,
                              capture_output=True, timeout=60, check=False,
                              env=self.environment(variables))
        # Whatever a test asks for, it never gets a password back.
        for password in PASSWORDS:
            self.assertNotIn(password, done.stdout + done.stderr)
        return done

    def check(self, variables=None):
        return self.run_it("--config", self.config, "--check", variables=variables)

    def resolve(self, user, password, *flags, variables=None):
        return self.run_it("resolve", user, "--config", self.config, *flags, given=password + "\n",
                           variables=variables)


class CheckTest(UidnfsdTest):
    def test_the_example_has_no_problems(self):
        example = pathlib.Path(__file__).parents[2] / "config" / "uidnfsd.toml"
        self.config.write_bytes(example.read_bytes())
        self.config.chmod(0o644)
        done = self.check()
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn(f"{self.config}: no problems", done.stdout)

    def test_every_problem_is_told_with_its_line(self):
        self.configure("[mounts]", "deadline_seconds = 0", "rot = 1", "[policy]",
                       'identity = "ldap"', "[[policy.rule]]", 'sources = ["nas1:/a//b"]',
                       'uids = ["0-10"]', 'gids = ["5-4"]')
        done = self.check()
        self.assertEqual(1, done.returncode)
        self.assertEqual("", done.stdout)
        lines = done.stderr.splitlines()
        self.assertEqual(f"{self.config}: 6 problems", lines.pop())
        for line, (number, key, found) in zip(lines, (
                (2, "mounts.deadline_seconds", "0; use a whole number from 1 to 600 (seconds)"),
                (3, "mounts.rot", "an unknown key; did you mean root?"),
                (5, "policy.identity", '"ldap"; there is no directory to ask'),
                (7, "policy.rule[1].sources[1]", '"nas1:/a//b"'),
                (8, "policy.rule[1].uids[1]", '"0-10"; the range includes 0'),
                (9, "policy.rule[1].gids[1]", '"5-4"; the range is empty')), strict=True):
            self.assertTrue(line.startswith(f"{self.config}:{number}: {key}: found {found}"), line)

    def test_what_is_odd_is_noted(self):
        self.configure("[plugin.docker]")
        done = self.check()
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("every mount is refused", done.stdout)

    def test_a_service_user_that_is_not_there_is_noted(self):
        for user, note in (("nobody-of-that-name", "there is no user nobody-of-that-name; create it"),
                           ("root", "root is no service user")):
            with self.subTest(user):
                self.configure("[workers]", f'user = "{user}"', RULE)
                done = self.check()
                self.assertEqual(0, done.returncode, done.stderr)
                self.assertIn(f"{self.config}: note: workers.user: {note}", done.stdout)

    def test_certificates_that_nothing_would_start_with_are_noted(self):
        driver.make_certificates(self.root)
        for key, noted in (("server", False), ("client", True)):
            with self.subTest(key):
                files = {"ca_file": "ca.crt", "cert_file": "server.crt", "key_file": f"{key}.key",
                         "client_cert_file": "client.crt", "client_key_file": "client.key"}
                self.configure("[plugin.cloudfoundry]", f'drivers_path = "{self.root}"',
                               "[plugin.cloudfoundry.tls]",
                               *(f'{name} = "{self.root / file}"' for name, file in files.items()), RULE)
                done = self.check()
                self.assertEqual(0, done.returncode, done.stderr)
                wrong = (f'note: cannot use key_file = "{self.root}/{key}.key" for TLS: key values '
                         "mismatch")
                self.assertEqual(noted, wrong in done.stdout, done.stdout)
                self.assertEqual(noted, "note: " in done.stdout.replace("note: workers", ""), done.stdout)

    def test_a_missing_file_is_a_problem(self):
        done = self.check()
        self.assertEqual(1, done.returncode)
        self.assertEqual(f"{self.config}: it cannot be opened (No such file or directory); check path and "
                         f"mode\n{self.config}: 1 problem\n", done.stderr)

    def test_secret_files_by_mode_owner_and_group(self):
        self.configure(self.ldap("ldaps://127.0.0.1:1"), RULE)
        service = 60123  # a group that nobody trusts
        for mode, owner, group, trouble in (
                (0o600, 0, 0, None), (0o400, 0, 0, None), (0o640, 0, 0, None),
                (0o600, 0, service, None),
                (0o644, 0, 0, "others can get at it (mode 0644)"),
                (0o604, 0, 0, "others can get at it"),
                (0o660, 0, 0, "its group can change it"),
                (0o640, 0, service, f"group {service} can read it"),
                (0o600, service, 0, f"user {service} owns it")):
            with self.subTest(mode=oct(mode), owner=owner, group=group):
                self.secret.chmod(mode)
                os.chown(self.secret, owner, group)
                done = self.check()
                self.assertEqual(1 if trouble else 0, done.returncode, done.stderr)
                if trouble:
                    self.assertIn(f"{self.config}:4: ldap.bind_password_file: found "
                                  f'"{self.secret}"; {trouble}', done.stderr)

    def test_the_group_of_the_service_user_is_trusted(self):
        self.configure('[workers]\nuser = "daemon"', self.ldap("ldaps://127.0.0.1:1"), RULE)
        self.secret.chmod(0o640)
        shutil.chown(self.secret, "root", "daemon")
        self.assertEqual(0, self.check().returncode)
        shutil.chown(self.secret, "root", "bin")
        self.assertEqual(1, self.check().returncode)

    def test_authorities_that_the_service_user_cannot_read_are_noted(self):
        """The file is opened for each connection, when the service is root no more."""
        authorities = self.write("ad-ca.pem", "-----BEGIN CERTIFICATE-----\n", 0o600)
        self.root.chmod(0o755)
        self.configure('[workers]\nuser = "daemon"',
                       self.ldap("ldaps://127.0.0.1:1", f'ca_file = "{authorities}"'), RULE)
        done = self.check()
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn(f"{self.config}: note: ldap.ca_file: {authorities}: daemon cannot read it; chmod o+r "
                      f"{authorities}\n", done.stdout)
        authorities.chmod(0o644)
        self.assertNotIn("ca_file", self.check().stdout)

    def test_a_configuration_that_others_change_is_refused(self):
        self.configure(RULE).chmod(0o646)
        self.assertIn("others can change it", self.check().stderr)

    def test_a_configuration_that_the_service_user_changes_is_refused(self):
        """It says what a front that was taken over may not mount."""
        daemon = pwd.getpwnam("daemon")
        file = self.configure('[workers]\nuser = "daemon"', RULE)
        self.assertEqual(0, self.check().returncode)
        for path, mode, owner, group, trouble in (
                (file, 0o640, 0, daemon.pw_gid, None),
                (file, 0o644, daemon.pw_uid, 0,
                 f"user {daemon.pw_uid} owns it; give it to root (chown root)"),
                (file, 0o664, 0, daemon.pw_gid,
                 f"group {daemon.pw_gid} can change it (mode 0664); chmod g-w"),
                (self.root, 0o755, daemon.pw_uid, 0,
                 f"it can be replaced in {self.root}, which user {daemon.pw_uid} owns"),
                (self.root, 0o775, 0, daemon.pw_gid,
                 f"it can be replaced in {self.root}, which others can write to"),
                (self.root, 0o1777, 0, 0, None)):
            with self.subTest(path=path, mode=oct(mode), owner=owner, group=group):
                path.chmod(mode)
                os.chown(path, owner, group)
                done = self.check()
                self.assertEqual(1 if trouble else 0, done.returncode, done.stderr)
                if trouble:
                    self.assertIn(f"{self.config}: {trouble}", done.stderr)
                file.chmod(0o644)
                os.chown(file, 0, 0)

    def test_secrets_by_environment(self):
        without = self.ldap("ldaps://127.0.0.1:1").replace("bind_password_file", "#")
        self.configure(without, RULE)
        self.assertIn("ldap.bind_password_file: found no password", self.check().stderr)
        self.assertEqual(0, self.check({"LDAP_SVC_PASS_FILE": str(self.secret)}).returncode)
        done = self.check({"LDAP_SVC_PASS": slapd.SERVICE_PASSWORD})
        self.assertEqual(0, done.returncode)
        self.assertIn("LDAP_SVC_PASS: a password in the environment", done.stdout)

    def test_the_old_drivers_variables_are_checked(self):
        self.configure(RULE)
        old = {"LDAP_HOST": "ldap.example.com", "LDAP_PORT": "389", "LDAP_PROTO": "udp",
               "LDAP_SVC_USER": "cn=x", "LDAP_SVC_PASS": slapd.SERVICE_PASSWORD}
        done = self.check(old)
        self.assertEqual(1, done.returncode)
        for text in ("environment: LDAP_PROTO: found \"udp\"", "environment: LDAP_USER_FQDN",
                     "environment: LDAP_CA_CERT: found nothing"):
            self.assertIn(text, done.stderr)


class CheckBindingsTest(UidnfsdTest):
    EXPORTED = [
        {"name": "good", "share": "nas1/exports/a", "mount_config": {"uid": 1001, "gid": "1001"}},
        {"name": "old", "share": "nas1/exports/a",
         "mount_config": {"uid": "1001", "gid": "1001", "version": "4.1", "nonsense": "x"}},
        {"name": "unmapped", "share": "nas1/exports/a", "mount_config": {}},
        {"name": "person", "share": "nas1/exports/a",
         "mount_config": {"username": "alice", "password": ALICE.password}},
    ]

    def check_bindings(self, bindings, *flags, given=""):
        file = "-" if given else self.write("bindings.json", json.dumps(bindings))
        return self.run_it("check-bindings", file, "--config", self.config, *flags, given=given)

    def test_each_binding_gets_its_verdict_and_no_server_is_asked(self):
        self.configure('[policy]\nidentity = "either"', self.ldap("ldaps://192.0.2.99"), RULE,
                       "[plugin.cloudfoundry]", "insecure = true")
        done = self.check_bindings(self.EXPORTED, "--json")
        self.assertEqual(1, done.returncode, done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(["fine", "refused", "refused", "fine"],
                         [each["verdict"] for each in said["bindings"]])
        self.assertEqual((2, 0, 2), (said["fine"], said["warnings"], said["refused"]))
        self.assertIn("only NFS version 3", said["bindings"][1]["reasons"][0])
        self.assertIn("no identity", said["bindings"][2]["reasons"][0])
        self.configure('[policy]\nidentity = "either"', self.ldap("ldaps://192.0.2.99"), RULE,
                       "[plugin.cloudfoundry]", "insecure = true", "force_version = true")
        human = self.check_bindings(self.EXPORTED).stdout
        self.assertIn("warning  old: nas1:/exports/a as 1001:1001: version=4.1 is served as", human)
        self.assertIn("warning  old: nas1:/exports/a as 1001:1001: option nonsense is ig", human)
        self.assertIn("4 bindings: 2 fine, 1 with warnings, 1 refused", human)

    def test_what_would_all_mount_ends_with_0(self):
        self.configure(RULE, "[plugin.cloudfoundry]", "insecure = true")
        done = self.check_bindings(None, given=json.dumps(self.EXPORTED[0]))
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_a_file_that_is_none(self):
        self.configure(RULE, "[plugin.docker]")
        done = self.check_bindings(None, given='{"password": "' + ALICE.password)
        self.assertEqual(1, done.returncode)
        self.assertIn("line 1: it is not JSON", done.stderr)
        done = self.run_it("check-bindings", self.root / "none", "--config", self.config)
        self.assertEqual(1, done.returncode)
        self.assertIn("No such file", done.stderr)


class CommandLineTest(UidnfsdTest):
    def test_help(self):
        done = self.run_it("--help")
        self.assertEqual(0, done.returncode)
        self.assertIn("volumes stay mounted", done.stdout)
        self.assertRegex(self.run_it("--version").stdout, r"^uidnfsd \d+\.\d+\.\d+\n$")
        self.assertIn("deadline_seconds = SECONDS", self.run_it("--help-config").stdout)
        self.assertIn("standard input", self.run_it("resolve", "--help").stdout)

    def test_what_standard_output_did_not_take_is_said(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([self.binary, "--help-config"], stdout=full,
                                  stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn("No space left on device", done.stderr)

    def test_support_has_no_secrets(self):
        self.configure(self.ldap("ldaps://127.0.0.1:1"), RULE)
        done = self.run_it("support", "--config", self.config)
        self.assertEqual(0, done.returncode, done.stderr)
        for text in ("==== configuration", "==== /metrics", 'bind_dn = "(removed)"', "nas1:/exports"):
            self.assertIn(text, done.stdout)
        for text in (slapd.SERVICE_DN, str(self.secret)):
            self.assertNotIn(text, done.stdout)

    def test_support_has_the_end_of_a_long_audit(self):
        audit = self.root / "audit"
        self.configure(f'[audit]\ndestination = "{audit}"')
        with open(audit, "w", encoding="ascii") as file:
            for number in range(60000):
                file.write(f"line {number} of the audit\n")
        done = self.run_it("support", "--config", self.config)
        self.assertEqual(0, done.returncode, done.stderr)
        _, end = done.stdout.split("==== audit\n")
        expected = [f"line {number} of the audit" for number in range(59800, 60000)]
        self.assertEqual(expected, end.split("\n")[:-2])
        audit.write_text("x" * (2 << 20) + "\nlast\n", encoding="ascii")
        done = self.run_it("support", "--config", self.config)
        self.assertIn("==== audit\nlast\n", done.stdout)

    def test_wrong_usage_is_2(self):
        for arguments in ([], ["--check"], ["serve"], ["--config"], ["resolve", "alice"],
                          ["resolve", "--config", "x"], ["--config", "x", "--zzz"],
                          ["resolve", "", "--config", "x"]):
            with self.subTest(arguments=arguments):
                done = self.run_it(*arguments)
                self.assertEqual(2, done.returncode, done.stderr)
                self.assertIn("see uidnfsd --help", done.stderr)


class DirectoryTest(UidnfsdTest):
    """With a slapd for all tests of the class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = pathlib.Path(tempfile.mkdtemp(prefix="slapd-"))
        cls.addClassCleanup(shutil.rmtree, directory)
        cls.slapd = slapd.Slapd(directory / "slapd", [ALICE, BOB, OUTSIDER, MANY], GROUPS)
        cls.addClassCleanup(cls.slapd.stop)
        cls.slapd.start()

    def old_variables(self):
        return {"LDAP_HOST": "127.0.0.1", "LDAP_PORT": str(self.slapd.port), "LDAP_PROTO": "tcp",
                "LDAP_SVC_USER": slapd.SERVICE_DN, "LDAP_SVC_PASS": slapd.SERVICE_PASSWORD,
                "LDAP_USER_FQDN": f"ou=people,{slapd.SUFFIX}", "LDAP_TIMEOUT": "120"}


class ResolveTest(DirectoryTest):
    def test_for_people(self):
        self.configure(self.ldap(self.slapd.url), RULE)
        done = self.resolve("alice", ALICE.password)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^uid +1001$")
        self.assertRegex(done.stdout, r"(?m)^gid +1001$")
        self.assertRegex(done.stdout, r"(?m)^groups +1500$")
        self.assertRegex(done.stdout, rf"(?m)^from +{re.escape(self.slapd.url)} \(directory\)$")
        self.assertRegex(done.stdout, r"(?m)^policy +allowed by rule 1 \(team\)")

    def test_as_json(self):
        self.configure(self.ldap(self.slapd.url), RULE)
        done = self.resolve("alice", ALICE.password, "--json")
        self.assertEqual(0, done.returncode, done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(("alice", ALICE.dn, 1001, 1001, [1500], []),
                         tuple(said[key] for key in ("user", "dn", "uid", "gid", "groups",
                                                     "left_out")))
        self.assertEqual((self.slapd.url, "directory", "ldap"),
                         (said["server"], said["origin"], said["identity_source"]))
        self.assertEqual((True, [1], "enforce"),
                         tuple(said["policy"][key] for key in ("allowed", "rules", "mode")))

    def test_groups_that_were_left_out_are_named(self):
        self.configure(self.ldap(self.slapd.url, "prefer_groups = [5017]"), RULE)
        said = json.loads(self.resolve("many", MANY.password, "--json").stdout)
        self.assertEqual([5017, *range(5000, 5015)], said["groups"])
        self.assertEqual({"5015", "5016"}, {each["gid"] for each in said["left_out"]})
        done = self.resolve("many", MANY.password)
        self.assertIn("5015 g15", done.stdout)
        self.assertEqual("", done.stderr, "the report has said it")

    def test_the_policy_has_its_say(self):
        self.configure(self.ldap(self.slapd.url), RULE)
        done = self.resolve("outsider", OUTSIDER.password)
        self.assertEqual(1, done.returncode)
        self.assertIn("refused: rule 1 (team): uid 99999 is not among 1000-1999", done.stdout)
        said = json.loads(self.resolve("outsider", OUTSIDER.password, "--json").stdout)
        self.assertEqual((False, [], "uid"),
                         tuple(said["policy"][key] for key in ("allowed", "rules", "reason")))
        self.configure('[policy]\nmode = "report"', self.ldap(self.slapd.url), RULE)
        done = self.resolve("outsider", OUTSIDER.password)
        self.assertEqual(0, done.returncode)
        self.assertIn('passes, because mode is "report"', done.stdout)

    def test_refusals_have_their_kind(self):
        self.configure(self.ldap(self.slapd.url), RULE)
        for user, password, kind in (("alice", "not-the-Pa55word", "bad_credentials"),
                                     ("nobody-here", "not-the-Pa55word", "no_such_user"),
                                     ("*", "not-the-Pa55word", "no_such_user"),
                                     ("alice)(uid=*", "not-the-Pa55word", "no_such_user")):
            with self.subTest(user=user):
                done = self.resolve(user, password, "--json")
                self.assertEqual(1, done.returncode)
                self.assertEqual(kind, json.loads(done.stdout)["error"]["kind"])
                done = self.resolve(user, password)
                self.assertEqual(1, done.returncode)
                first, second = done.stderr.splitlines()
                self.assertTrue(first.startswith(f"uidnfsd: cannot resolve {user}: "), first)
                self.assertRegex(second, r"^uidnfsd: [a-z_]+ \[.*\] \(said by ldap://127.0.0.1:")
                self.assertIn("ou=people", second)

    def test_a_password_is_needed(self):
        self.configure(self.ldap(self.slapd.url), RULE)
        for given in ("", "\n", "\r\n"):
            done = self.run_it("resolve", "alice", "--config", self.config, given=given)
            self.assertEqual(1, done.returncode)
            self.assertIn("no password on standard input", done.stderr)

    def test_without_verification_none_is_read(self):
        self.configure(self.ldap(self.slapd.url, "verify_password = false"), RULE)
        done = self.run_it("resolve", "alice", "--config", self.config)
        self.assertEqual(0, done.returncode, done.stderr)

    def test_without_a_directory_it_says_so(self):
        self.configure(RULE)
        done = self.resolve("alice", ALICE.password)
        self.assertEqual(1, done.returncode)
        self.assertIn("has no [ldap]; add it", done.stderr)

    def test_the_old_drivers_variables(self):
        self.configure(RULE)
        done = self.resolve("alice", ALICE.password, "--json", variables=self.old_variables())
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual((1001, 1001, []), (said["uid"], said["gid"], said["groups"]))

    def test_the_old_drivers_variables_replace_the_file(self):
        self.configure(self.ldap("ldaps://127.0.0.1:1"), RULE)
        done = self.resolve("bob", BOB.password, "--json", variables=self.old_variables())
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertEqual(1002, json.loads(done.stdout)["uid"])

    def test_a_password_cannot_be_seen_while_it_is_checked(self):
        silent = fake_servers.SilentServer(suite.lab().new_address(), [389])
        self.addCleanup(silent.stop)
        self.configure(self.ldap(f"ldap://{silent.address}"), RULE)
        process = subprocess.Popen(
            [self.binary, "resolve", "alice", "--config", self.config], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=self.environment({"LDAP_SVC_PASS": slapd.SERVICE_PASSWORD}))
        self.addCleanup(end, process)
        process.stdin.write(ALICE.password.encode() + b"\n")
        process.stdin.flush()
        wait_until(lambda: silent.connections > 0, 20, "asking the directory")
        self.assertIn(b"LDAP_SVC_PASS=\0", visible(process.pid))  # the name is left, the value not
        for password in PASSWORDS:
            self.assertNotIn(password.encode(), visible(process.pid))
        output, _ = process.communicate(timeout=30)
        self.assertEqual(1, process.returncode)
        for password in PASSWORDS:
            self.assertNotIn(password.encode(), output)


class ServiceTest(DirectoryTest):
    def start(self, variables=None):
        """A running service; its log is self.log."""
        self.log = self.root / "service.log"
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notify.close)
        notify.bind(str(self.root / "notify"))
        notify.settimeout(20)
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [self.binary, "--config", self.config], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.environment(
                    {"NOTIFY_SOCKET": str(self.root / "notify")} | (variables or {})))
        self.addCleanup(end, process)
        self.notify = notify
        self.await_state("READY=1")
        return process

    def await_state(self, wanted):
        while True:
            state = self.notify.recv(4096).decode()
            if wanted in state:
                return state

    def read_log(self):
        return self.log.read_text(encoding="utf-8")

    def test_a_service_user_that_is_missing_is_no_start(self):
        self.configure('[workers]\nuser = "no-such-user"\n[plugin.docker]', RULE)
        done = self.run_it("--config", self.config)
        self.assertEqual(1, done.returncode)
        self.assertIn("workers.user: there is no user no-such-user; create it", done.stderr)

    def test_a_file_with_problems_is_no_start(self):
        self.configure("[mounts]\nrot = 1\n")
        done = self.run_it("--config", self.config)
        self.assertEqual(1, done.returncode)
        self.assertIn(f"{self.config}:2: mounts.rot: found an unknown key", done.stderr)

    def test_reload_takes_over_what_is_good(self):
        self.configure(RULE)
        process = self.start()
        self.configure('[policy]\nmode = "report"', RULE.replace("1000-1999", "1000-1099"))
        process.send_signal(signal.SIGHUP)
        self.assertIn("MONOTONIC_USEC=", self.await_state("RELOADING=1"))
        self.await_state("READY=1")
        log = self.read_log()
        self.assertIn("changed: policy.mode: enforce -> report", log)
        self.assertIn("changed: policy.rule: gone: team: nas1:/exports/* ports 2049 uids 1000-1999",
                      log)
        self.assertIn("changed: policy.rule: new: team: nas1:/exports/* ports 2049 uids 1000-1099",
                      log)
        self.assertIn(f"{self.config} is in force", log)
        self.assertNotIn("restart uidnfsd", log)

    def test_reload_names_what_needs_a_restart_until_it_is_as_it_was(self):
        self.configure(RULE)
        process = self.start()
        for given in (f'[audit]\ndestination = "{self.root}/audit"', "[policy]",
                      f'[audit]\ndestination = "{self.root}/audit"'):
            self.configure(given, RULE)
            process.send_signal(signal.SIGHUP)
            self.await_state("RELOADING=1")
            self.await_state("READY=1")
        told = [line for line in self.read_log().splitlines() if "restart uidnfsd" in line]
        self.assertEqual(2, len(told), told)
        self.assertIn("audit.destination: changed", told[0])

    def test_reload_keeps_what_it_had_when_the_file_is_bad(self):
        self.configure(RULE)
        process = self.start()
        self.configure(RULE.replace("1000-1999", "0-1999"))
        process.send_signal(signal.SIGHUP)
        self.assertIn("not reloaded", self.await_state("READY=1"))
        log = self.read_log()
        self.assertIn("uids[1]: found \"0-1999\"", log)
        self.assertIn("the configuration before it stays in force", log)
        self.assertIsNone(process.poll())
        # And it is still the first one that the next good one is compared with.
        self.configure('[policy]\nmode = "report"', RULE)
        process.send_signal(signal.SIGHUP)
        self.await_state("READY=1")
        changes = [line for line in self.read_log().splitlines() if "changed:" in line]
        self.assertEqual(1, len(changes), changes)
        self.assertIn("policy.mode: enforce -> report", changes[0])

    def test_the_journal_gets_priorities_instead_of_times(self):
        self.configure(RULE)
        info = os.stat(self.write("service.log", ""))
        process = self.start({"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"})
        self.configure(RULE.replace("1000-1999", "0-1999"))
        process.send_signal(signal.SIGHUP)
        self.assertIn("not reloaded", self.await_state("READY=1"))
        log = self.read_log()
        self.assertRegex(log, r"(?m)^<6>started with ")
        self.assertRegex(log, r"(?m)^<3>.*the configuration before it stays in force")

    def test_ends_when_asked(self):
        self.configure(RULE)
        process = self.start()
        process.send_signal(signal.SIGTERM)
        self.await_state("STOPPING=1")
        self.assertEqual(0, process.wait(20))

    def test_no_password_can_be_seen(self):
        cache = self.root / "identities"
        self.configure(self.ldap(self.slapd.url, f'cache_file = "{cache}"'), RULE)
        process = self.start({"LDAP_SVC_PASS": slapd.SERVICE_PASSWORD})
        process.send_signal(signal.SIGHUP)
        self.await_state("READY=1")
        for password in PASSWORDS:
            self.assertNotIn(password.encode(), visible(process.pid))
            self.assertNotIn(password, self.read_log())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(0, process.wait(20))
        for path in self.root.rglob("*"):
            if path.is_file() and path != self.secret:
                for password in PASSWORDS:
                    self.assertNotIn(password.encode(), path.read_bytes(), path)

    def test_its_memory_is_nobodys(self):
        self.configure(RULE)
        process = self.start()
        limits = pathlib.Path(f"/proc/{process.pid}/limits").read_text(encoding="ascii")
        self.assertRegex(limits, r"(?m)^Max core file size +0 +0 ")

    def test_another_process_of_its_user_cannot_look_into_it(self):
        # The kernel gives the files of a process that is not dumpable to root (proc(5)).
        self.configure(RULE)
        self.root.chmod(0o755)
        copy = self.root / "uidnfsd"
        shutil.copy(self.binary, copy)
        as_user = ["setpriv", "--reuid", "3000", "--regid", "3000", "--clear-groups"]
        other = subprocess.Popen([*as_user, "sleep", "60"])
        self.addCleanup(end, other)
        daemon = subprocess.Popen([*as_user, copy, "--config", self.config],
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(end, daemon)
        owner = {}
        for name, process in (("sleep", other), ("uidnfsd", daemon)):
            proc = pathlib.Path(f"/proc/{process.pid}")
            wait_until(lambda: (proc / "comm").read_text().strip() == name, 20, f"exec of {name}")
            self.assertRegex((proc / "status").read_text(), r"(?m)^Uid:\s+3000\s")
            owner[name] = lambda path=proc / "environ": path.stat().st_uid
        self.assertEqual(3000, owner["sleep"]())
        wait_until(lambda: owner["uidnfsd"]() == 0, 20, "being not dumpable")


def visible(pid):
    """What anybody with enough rights reads about a process without looking into its memory."""
    return b"".join(pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
                    for name in ("cmdline", "environ"))


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
