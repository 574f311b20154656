# SPDX-License-Identifier: Apache-2.0
"""What operators copy from config/: config_test.py UIDNFSD. The BOSH job is rendered as BOSH would,
and its configuration checked by uidnfsd itself; alerts speak of metrics that exist."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))

from bosh_job import JOB, load_yaml, render  # noqa: E402, pylint: disable=wrong-import-position

UIDNFSD = None

RULES = [{"name": "team \"a\"", "sources": ["nas1:/exports/*"], "uids": ["1000-1999"],
          "gids": ["1000-1999"], "ports": [2049]}]
TLS = {name: f"-----BEGIN {name}-----\n" for name in
       ("ca_cert", "server_cert", "server_key", "client_cert", "client_key")}
LDAP = {"ldap_host": "ldap.example.com", "ldap_port": 636, "ldap_svc_user": "cn=svc,dc=x y",
        "ldap_svc_password": "it's $(secret)", "ldap_user_fqdn": "ou=people,dc=example",
        "ldap_ca_cert": "-----BEGIN CERTIFICATE-----\n"}
# Of the old job, as a deployment may have it: those without effect as well.
OLD = {"listen_addr": "127.0.0.1:7589", "debug_addr": "127.0.0.1:7689",
       "admin_addr": "127.0.0.1:7590", "driver_path": "/var/vcap/data/voldrivers",
       "cell_mount_path": "/var/vcap/data/volumes/nfs", "log_level": "fatal", "statd_port": 41793,
       "log_time_format": "rfc3339", "disable": False}


def is_running(pid):
    """Not gone, and no zombie that nobody waits for."""
    try:
        return os.readlink(f"/proc/{pid}/exe") != ""
    except OSError:
        return False


def settings_of(unit):
    """What a unit says, by key; a key that stands more than once has its last value."""
    lines = (ROOT / "config/systemd" / unit).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


class UnitTest(unittest.TestCase):
    """What mounts that outlive their service, and an engine that must see them, need of systemd."""

    # systemd.exec(5): each of them gives the service a mount namespace of its own.
    NAMESPACES = ("Private", "Protect", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths",
                  "ExecPaths", "NoExecPaths", "BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem",
                  "RootDirectory", "RootImage", "MountFlags", "MountAPIVFS", "DynamicUser",
                  "ExtensionImages", "LoadCredential")

    def test_mounts_outlive_the_service(self):
        unit = settings_of("uidnfsd.service")
        self.assertEqual("process", unit["KillMode"])
        self.assertEqual("yes", unit["RuntimeDirectoryPreserve"])
        self.assertEqual("yes", unit["Delegate"])
        self.assertEqual("continue", unit["OOMPolicy"])
        self.assertGreaterEqual(int(unit["FileDescriptorStoreMax"]), 4)
        self.assertEqual("notify", unit["Type"])
        self.assertGreater(int(unit["WatchdogSec"]), 0)

    def test_it_has_no_mount_namespace(self):
        for key in settings_of("uidnfsd.service"):
            self.assertFalse(key.startswith(self.NAMESPACES), key)

    def test_it_is_there_before_docker_and_after_the_network(self):
        unit = settings_of("uidnfsd.service")
        self.assertIn("docker.service", unit["Before"].split())
        self.assertIn("network-online.target", unit["After"].split())
        # Its stop is what flushes at a shutdown: after the engine's, before the network's.
        shutdown = settings_of("uidnfsd-shutdown.service")
        self.assertIn("docker.service", shutdown["Before"].split())
        self.assertIn("network-online.target", shutdown["After"].split())


class BoshTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.spec = load_yaml(JOB / "spec")

    def template(self, name, properties):
        return render(JOB / "templates" / name, properties)

    def check(self, properties):
        """What uidnfsd says of the configuration, with files where the job would have them."""
        text = self.template("uidnfsd.toml.erb", properties)
        variables = self.template("environment.erb", properties)
        files = {name: self.directory / name for name in
                 ("ca.crt", "server.crt", "server.key", "client.crt", "client.key", "ldap.secret",
                  "ldap_ca.crt")}
        for file in files.values():
            file.write_text("-----BEGIN CERTIFICATE-----\n", encoding="ascii")
            file.chmod(0o600)
        place = re.compile(r"/var/vcap/[^\"\n]*/([a-z_.]+\.(?:crt|key|secret))")
        moved = [place.sub(lambda found: str(files[found[1]]), each) for each in (text, variables)]
        config = self.directory / "uidnfsd.toml"
        config.write_text(moved[0], encoding="utf-8")
        config.chmod(0o600)
        script = self.directory / "environment"
        script.write_text(moved[1], encoding="utf-8")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LDAP")}
        done = subprocess.run(
            ["bash", "-euc", '. "$1"; exec "$2" --config "$3" --check', "-", script, UIDNFSD, config],
            capture_output=True, text=True, check=False, timeout=60, env=clean)
        return done.returncode, done.stdout + done.stderr, text

    def test_every_template_is_there_and_named_in_the_spec(self):
        self.assertEqual({path.name for path in (JOB / "templates").iterdir()},
                         set(self.spec["templates"]))

    def test_the_old_jobs_properties_are_all_known(self):
        known = {name.removeprefix("nfsv3driver.") for name in self.spec["properties"]}
        for name in (*OLD, *LDAP, "ldap_proto", *(f"tls.{name}" for name in TLS),
                     "ssl.insecure_skip_verify"):
            self.assertIn(name, known)

    def test_configurations_pass_the_check(self):
        for name, properties in {
                "tls": {"nfsv3driver": OLD | {"tls": TLS}, "uidnfsd": {"rules": RULES}},
                "ldap": {"nfsv3driver": OLD | LDAP | {"tls": TLS}, "uidnfsd": {"rules": RULES}},
                "report": {"nfsv3driver": {"tls": TLS}, "uidnfsd": {"policy_mode": "report"}},
                "plain": {"nfsv3driver": LDAP | {"ldap_ca_cert": ""},
                          "uidnfsd": {"insecure": True, "ldap_allow_plaintext": True,
                                      "mount_defaults": {"timeo": 300, "soft": True},
                                      "metrics_listen": "127.0.0.1:9620", "rules": RULES}},
        }.items():
            with self.subTest(name):
                status, said, text = self.check(properties)
                self.assertEqual(0, status, said + text)

    def test_without_tls_it_is_refused_unless_that_is_wanted(self):
        status, said, _ = self.check({"nfsv3driver": OLD, "uidnfsd": {"rules": RULES}})
        self.assertEqual(1, status)
        self.assertIn("insecure", said)

    def test_values_keep_their_meaning(self):
        variables = self.template("environment.erb", {"nfsv3driver": LDAP})
        done = subprocess.run(["bash", "-euc", variables + '\nprintf %s "$LDAP_SVC_USER"'],
                              capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(LDAP["ldap_svc_user"], done.stdout)
        self.assertNotIn("secret)", variables)
        self.assertEqual(LDAP["ldap_svc_password"] + "\n",
                         self.template("ldap.secret.erb", {"nfsv3driver": LDAP}))
        text = self.template("uidnfsd.toml.erb", {"nfsv3driver": OLD | LDAP | {"tls": TLS},
                                                  "uidnfsd": {"rules": RULES}})
        self.assertIn('name = "team \\"a\\""', text)
        self.assertIn('log_level = "error"', text)
        self.assertIn('identity = "either"', text)
        self.assertEqual("-----BEGIN client_key-----",
                         self.template("client.key.erb", {"nfsv3driver": {"tls": TLS}}).strip())

    def test_scripts_are_scripts(self):
        for disable in (False, True):
            properties = {"nfsv3driver": {"disable": disable, "tls": TLS} | LDAP}
            for name in ("ctl.erb", "pre-start.erb", "drain.erb", "environment.erb"):
                script = self.template(name, properties)
                done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True,
                                      check=False, timeout=60)
                self.assertEqual((0, ""), (done.returncode, done.stderr), name)
        self.assertIn("check process uidnfsd", render(JOB / "monit", {}))
        self.assertEqual("", render(JOB / "monit", {"nfsv3driver": {"disable": True}}).strip())

    def test_drain_waits_hides_the_driver_and_says_0(self):
        """The script itself, with stand-ins for the cell's programs, in the order of their calls."""
        calls = self.directory / "calls"
        bin_ = self.directory / "bin"
        bin_.mkdir()
        for name, body in {"pgrep": f'[ "$(grep -c pgrep {calls})" -lt 3 ]', "sleep": ":",
                           "curl": "false"}.items():
            program = bin_ / name
            program.write_text(f'#!/bin/sh\necho "{name} $*" >>{calls}\n{body}\n', "ascii")
            program.chmod(0o755)
        drivers = self.directory / "voldrivers"
        drivers.mkdir()
        (drivers / "nfsv3driver.json").write_text("{}", encoding="ascii")
        script = self.template("drain.erb", {"nfsv3driver": {"driver_path": str(drivers)}})
        log = self.directory / "drain.log"
        script = script.replace("/var/vcap/sys/log/uidnfsd/drain.log", str(log))
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False,
                              timeout=60, env={"PATH": f"{bin_}:{os.environ['PATH']}"})
        self.assertEqual((0, "0\n", ""), (done.returncode, done.stdout, done.stderr))
        self.assertFalse((drivers / "nfsv3driver.json").exists())
        lines = calls.read_text("ascii").splitlines()
        self.assertEqual(["pgrep -x rep", "sleep 10"] * 2 + ["pgrep -x rep"] * 2, lines[:-1])
        self.assertRegex(lines[-1], r"^curl .*admin\.sock .*http://uidnfsd/drain$")
        self.assertIn("not everything could be written back", log.read_text("ascii"))

    def test_ctl_starts_once_and_stops_only_its_own(self):
        package = self.directory / "sbin"
        package.mkdir()
        # A program of its own, so that /proc/PID/exe is it.
        program = package / "uidnfsd"
        program.write_bytes(pathlib.Path("/bin/sleep").read_bytes())
        program.chmod(0o755)
        pidfile = self.directory / "run/uidnfsd.pid"
        (self.directory / "config").mkdir()
        (self.directory / "config/environment").write_text("", encoding="ascii")
        script = self.template("ctl.erb", {})
        for found, put in (("/var/vcap/jobs/uidnfsd", self.directory),
                           ("/var/vcap/sys/run/uidnfsd/uidnfsd.pid", pidfile),
                           ("/var/vcap/sys/log/uidnfsd", self.directory),
                           ("/var/vcap/packages/uidnfs/sbin", package),
                           ('--config "$job/config/uidnfsd.toml"', "60")):
            self.assertIn(found, script)
            script = script.replace(found, str(put))

        def ctl(word):
            return subprocess.run(["bash", "-c", script, "ctl", word], check=False, timeout=60,
                                  capture_output=True, text=True)

        self.assertEqual(0, ctl("start").returncode)
        pid = int(pidfile.read_text("ascii"))
        self.addCleanup(lambda: is_running(pid) and os.kill(pid, 9))
        self.assertEqual(0, ctl("start").returncode)
        self.assertEqual(pid, int(pidfile.read_text("ascii")))
        self.assertEqual((0, ""), (ctl("stop").returncode, ctl("stop").stderr))
        self.assertFalse(is_running(pid))
        self.assertFalse(pidfile.exists())
        pidfile.write_text(f"{os.getpid()}\n", encoding="ascii")
        self.assertEqual(0, ctl("stop").returncode)  # and this test goes on
        self.assertEqual(2, ctl("restart").returncode)

    def test_other_files_of_the_release(self):
        operations = load_yaml(ROOT / "config/bosh/operations/uidnfsd.yml")
        job = next(each["value"] for each in operations if each.get("value", {}).get("name") ==
                   "uidnfsd")
        render(JOB / "templates/uidnfsd.toml.erb", job["properties"])
        package = load_yaml(ROOT / "config/bosh/packages/uidnfs/spec")
        self.assertEqual([package["name"]], self.spec["packages"])


class MigrationTest(unittest.TestCase):
    """docs/MIGRATION.md speaks of all that an operator of the old driver has."""

    OPTIONS = ("share", "source", "uid", "gid", "username", "password", "mount", "readonly", "cache",
               "version", "auto_cache", "experimental", "sloppy_mount")

    def setUp(self):
        self.text = (ROOT / "docs/MIGRATION.md").read_text("utf-8")

    def test_every_option_and_property_is_there(self):
        for name in self.OPTIONS:
            self.assertRegex(self.text, rf"(?m)^\| .*`{name}`.* \| .* \| .* \|$")
        for name in load_yaml(JOB / "spec")["properties"]:
            self.assertIn(f"`{name.removeprefix('nfsv3driver.')}`", self.text)

    def test_what_it_quotes_is_said(self):
        sources = "".join(path.read_text("utf-8") for part in ("plugins", "src")
                          for path in (ROOT / part).rglob("*.cpp"))
        joined = re.sub(r'"\s*\n\s*"', "", sources)
        for quoted in ("only NFS version 3 is supported; use version=3", "no identity",
                       "the old driver then sent passwords in the clear", "policy.mode is report: "):
            self.assertIn(quoted, re.sub(r"\s+", " ", self.text))
            self.assertIn(quoted, joined)


class AlertsTest(unittest.TestCase):
    def setUp(self):
        document = load_yaml(ROOT / "config/prometheus-alerts.yml")
        self.rules = [rule for group in document["groups"] for rule in group["rules"]]

    def test_every_alert_says_what_it_is(self):
        self.assertGreater(len(self.rules), 5)
        self.assertEqual(len(self.rules), len({rule["alert"] for rule in self.rules}))
        for rule in self.rules:
            self.assertRegex(rule["alert"], r"^Uidnfs[A-Z]\w+$")
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"))
            self.assertEqual({"summary", "description"}, set(rule["annotations"]), rule["alert"])

    def test_metrics_and_labels_exist(self):
        manual = (ROOT / "docs/OPERATING.md").read_text("utf-8")
        known = {}
        for name, labels in re.findall(r"^\| `(uidnfs_\w+)(?:\{([\w,]+)\})?`", manual, re.M):
            known[name] = set(labels.split(",")) - {""}
        used = set()
        for rule in self.rules:
            for name, selector in re.findall(r"\b(uidnfs_\w+)(?:\{([^}]*)\})?", rule["expr"]):
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                self.assertIn(base, known, rule["alert"])
                labels = set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", selector))
                self.assertLessEqual(labels, known[base] | {"job", "instance"}, rule["alert"])
                used.add(base)
        self.assertGreater(len(used), 5)


if __name__ == "__main__":
    UIDNFSD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)
