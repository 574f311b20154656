# SPDX-License-Identifier: Apache-2.0
"""The BOSH job on something like a cell: a minimal Debian with the relocatable tarball as the
package, the users of a stemcell, and volman's calls over TLS."""

import http.client
import json
import os
import pathlib
import ssl
import stat
import subprocess
import sys
import urllib.parse

import bosh_job
import clean_root
import ganesha
import suite
from uidnfs_command import wait_until

sys.path.append(str(pathlib.Path(__file__).parents[1] / "contract"))
import driver  # pylint: disable=wrong-import-position,wrong-import-order

DRIVERS = "var/vcap/data/voldrivers"
VOLUMES = "/var/vcap/data/volumes/nfs"
VOLUME = "5e0a-1b2c_40d2-77b0"


class CellTest(suite.IntegrationTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = clean_root.CleanRoot(suite.lab().uidnfs.binary.parent)
        cls.addClassCleanup(cls.root.clear)
        inside = cls.root.path
        for name in ("packages/uidnfs", "data", "sys/run", "sys/log", "jobs"):
            (inside / "var/vcap" / name).mkdir(parents=True)
        tarball = next(cls.root.packages.glob("*.tar.gz"))
        subprocess.run(["tar", "-xf", tarball, "--strip-components=1", "-C",
                        inside / "var/vcap/packages/uidnfs"], check=True)
        cls.root.run("useradd", "--user-group", "vcap")
        # As BOSH's agent makes them: closed to users who are not in the group vcap.
        for name in ("sys", "sys/log", "jobs"):
            cls.root.run("chown", "root:vcap", f"/var/vcap/{name}")
            (inside / "var/vcap" / name).chmod(0o750)
        # rep has ended, and procps, which is on every stemcell, is not in this root.
        cls.stand_in("pgrep", "exit 1")
        cls.certificates = inside / "tmp"
        driver.make_certificates(cls.certificates)
        pem = {name: (cls.certificates / file).read_text("ascii") for name, file in (
            ("ca_cert", "ca.crt"), ("server_cert", "server.crt"), ("server_key", "server.key"),
            ("client_cert", "client.crt"), ("client_key", "client.key"))}
        cls.job = bosh_job.install(inside, {
            "nfsv3driver": {"tls": pem},
            "uidnfsd": {"rules": [{"name": "team", "sources": ["nas1:/exports/*"],
                                   "uids": ["1000-1999"], "gids": ["1000-1999"]}],
                        "mount_defaults": {"port": ganesha.NFS_PORT,
                                           "mountport": ganesha.MOUNT_PORT}}})

    @classmethod
    def stand_in(cls, name, body):
        path = cls.root.path / "usr/bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="ascii")
        path.chmod(0o755)

    def setUp(self):
        super().setUp()
        self.addCleanup(suite.clear_away, self.uidnfs)

    def script(self, name, *words):
        return self.root.run(f"/var/vcap/jobs/uidnfsd/bin/{name}", *words)

    def spec(self):
        path = self.root.path / DRIVERS / "nfsv3driver.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def as_rep(self, path):
        """A file, read as the user that rep has."""
        done = subprocess.run(["chroot", "--userspec=vcap:vcap", self.root.path, "cat", path],
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def ask(self, call, **body):
        """As volman calls: with what the spec file names, and nothing else."""
        spec = json.loads(self.as_rep(f"/{DRIVERS}/nfsv3driver.json"))
        tls = spec["TLSConfig"]
        files = {}
        for name in ("CAFile", "CertFile", "KeyFile"):
            files[name] = self.certificates / f"rep-{name}"
            files[name].write_text(self.as_rep(tls[name]), encoding="ascii")
        context = ssl.create_default_context(cafile=files["CAFile"])
        context.load_cert_chain(files["CertFile"], files["KeyFile"])
        address = urllib.parse.urlsplit(spec["Addr"])
        connection = http.client.HTTPSConnection(address.hostname, address.port, timeout=60,
                                                 context=context)
        try:
            connection.request("POST", "/" + call, json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def log(self):
        return (self.root.path / "var/vcap/sys/log/uidnfsd/uidnfsd.log").read_text("utf-8")

    def test_the_life_of_a_job(self):
        self.assertIn("no problems", self.script("pre-start").stdout)
        self.script("pre-start")  # again, as each deployment does
        self.script("ctl", "start")
        self.addCleanup(self.script, "ctl", "stop")
        wait_until(self.spec, 20, "the spec file")
        self.assertTrue(self.spec()["UniqueVolumeIds"])

        share = suite.lab().export("a").share
        options = {"source": f"nfs://{suite.SERVER_NAME}{share}", "uid": "1001", "gid": 1001}
        self.assertEqual("", self.ask("VolumeDriver.Create", Name=VOLUME, Opts=options)["Err"])
        answer = self.ask("VolumeDriver.Mount", Name=VOLUME)
        self.assertEqual("", answer["Err"], self.log())
        self.assertTrue(answer["Mountpoint"].startswith(VOLUMES + "/"))
        self.assertEqual([answer["Mountpoint"]], self.root.mounts())
        inside = self.root.path / answer["Mountpoint"].lstrip("/") / "by-cell"
        inside.write_text("hello", encoding="ascii")

        with self.subTest("a stop of monit's leaves the volume, a start finds it"):
            self.script("ctl", "stop")
            self.assertEqual([answer["Mountpoint"]], self.root.mounts())
            self.script("ctl", "start")
            wait_until(lambda: self.found_again(answer["Mountpoint"]), 20, "the volume")

        with self.subTest("a drain writes back, unmounts, hides the driver and says 0"):
            self.assertEqual("0\n", self.script("drain").stdout)
            self.assertEqual([], self.root.mounts())
            self.assertIsNone(self.spec())
            path = os.path.join(suite.lab().export("a").path, "by-cell")
            self.assert_owner(os.stat(path), 1001, 1001)
            self.assertEqual("hello", pathlib.Path(path).read_text("ascii"))

    def found_again(self, mountpoint):
        try:
            volumes = self.ask("VolumeDriver.List")["Volumes"]
        except (OSError, AssertionError):
            return False
        return [each["Mountpoint"] for each in volumes] == [mountpoint]

    def test_no_key_is_for_everybody(self):
        self.script("pre-start")
        config = self.job / "config"
        secrets = [config / "ldap.secret", *(config / "certs").iterdir(),
                   *(self.root.path / "var/vcap/data/uidnfsd/certs").iterdir()]
        self.assertGreater(len(secrets), 6)
        for path in secrets:
            self.assertEqual(0o640, path.stat().st_mode & 0o777, path)
            self.assertEqual(0, path.stat().st_uid, path)

    def test_links_of_the_drivers_user_lead_root_nowhere(self):
        """What a driver that was taken over left for the next deployment and the next start."""
        self.script("pre-start")
        logs = self.root.path / "var/vcap/sys/log/uidnfsd"
        target = self.root.path / "root" / "target"
        elsewhere = self.root.path / "root" / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        # As it was before: the directory was the driver's.
        self.root.run("chown", "uidnfs:uidnfs", "/var/vcap/sys/log/uidnfsd")
        for name in ("uidnfsd.log", "drain.log", "audit.log"):
            (logs / name).unlink(missing_ok=True)
            (logs / name).symlink_to("/root/target")
        (self.root.path / DRIVERS / "certs").symlink_to("/root/elsewhere")
        self.script("pre-start")
        self.script("ctl", "start")
        self.addCleanup(self.script, "ctl", "stop")
        wait_until(self.spec, 20, "the spec file")
        self.script("drain")
        self.assertFalse(target.exists())
        self.assertEqual([], os.listdir(elsewhere))
        self.assertEqual(0o700, elsewhere.stat().st_mode & 0o777)
        self.assertEqual(0, logs.stat().st_uid)
        self.assertEqual(0, logs.stat().st_mode & 0o022)
        audit = (logs / "audit.log").lstat()
        self.assertTrue(stat.S_ISREG(audit.st_mode))
        self.assertNotEqual(0, audit.st_uid)
