# SPDX-License-Identifier: Apache-2.0
"""What is shipped, in a minimal Debian 12 that has nothing but what the packages depend on:
installed, used, upgraded, removed; and the tarball without any library of the system's."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import clean_root
import suite
from uidnfs_command import wait_until

VERSION = re.search(r"project\(uidnfs VERSION ([0-9.]+)",
                    (pathlib.Path(__file__).parents[2] / "CMakeLists.txt").read_text("utf-8"))[1]
HELPERS = ("mount.uidnfs", "umount.uidnfs", "mount.fuse.uidnfs", "umount.fuse.uidnfs")
UNITS = ("uidnfsd.service", "uidnfsd-shutdown.service", "uidnfsd-docker.socket")


class RootTest(suite.IntegrationTest):
    """A root of its own for each class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = clean_root.CleanRoot(suite.lab().uidnfs.binary.parent)
        cls.addClassCleanup(cls.root.clear)

    def inside(self, path):
        return self.root.path / path.lstrip("/")

    def service_ids(self):
        uid = next(int(line.split(":")[2]) for line in self.accounts("passwd"))
        return uid, next(int(line.split(":")[2]) for line in self.accounts("group"))

    def accounts(self, name):
        lines = self.inside(f"etc/{name}").read_text("utf-8").splitlines()
        return [line for line in lines if line.startswith("uidnfs:")]

    def options(self):
        return "port={},mountport={},uid={},gid={}".format(
            suite.ganesha.NFS_PORT, suite.ganesha.MOUNT_PORT, suite.UID, suite.GID)

    def share(self):
        return f"{suite.SERVER_NAME}:{suite.lab().export('a').share}"


class ScriptTest(suite.IntegrationTest):
    def test_prerm_finds_the_root_of_the_volumes(self):
        script = pathlib.Path(__file__).parents[2] / "packaging/debian/uidnfsd.prerm"
        function = re.search(r"(?ms)^volumes_root\(\).*?^}", script.read_text("utf-8"))[0]
        for text, root in (("[mounts]\nroot = \"/srv/v\" # ours\n[workers]\n", "/srv/v"),
                           ("[mounts]\nroot = '/srv/v'\n[mounts.defaults]\ntimeo = 5\n", "/srv/v"),
                           (" [ mounts ]\n  root = '/srv/v'\n", "/srv/v"),
                           ("mounts.root = \"/srv/v\"\nmounts.state_dir = \"/s\"\n", "/srv/v"),
                           ("mounts = { state_dir = '/s', root = '/srv/v' }\n", "/srv/v"),
                           ("[mounts]\n[audit]\nroot = '/srv/v'\n", "/var/lib/uidnfs/volumes"),
                           ("[mounts]\n#root = \"/srv/v\"\n", "/var/lib/uidnfs/volumes")):
            with self.subTest(text), tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                file.write(text)
                file.flush()
                said = subprocess.run(["sh", "-c", f"config={file.name}\n{function}\nvolumes_root"],
                                      capture_output=True, text=True, check=True).stdout
                self.assertEqual(root + "\n", said)

    def run_function(self, script, name, mounts):
        """What a function of a maintainer script says where these are mounted."""
        text = (pathlib.Path(__file__).parents[2] / "packaging/debian" / script).read_text("utf-8")
        with tempfile.NamedTemporaryFile("w") as mountinfo, tempfile.NamedTemporaryFile("w") as config:
            for number, path in enumerate(mounts):
                mountinfo.write(f"{40 + number} 31 0:{50 + number} / {path} rw - fuse.uidnfs nas1:/a rw\n")
            config.write("[mounts]\nroot = '/srv/my volumes'\n")
            for file in mountinfo, config:
                file.flush()
            functions = text[:text.index("\ncase $1 in")].replace("/proc/self/mountinfo", mountinfo.name)
            functions = functions.replace("/etc/uidnfs/uidnfsd.toml", config.name)
            done = subprocess.run(["sh", "-c", f"{functions}\n{name}"], capture_output=True, text=True,
                                  check=False)
        return done.returncode, done.stderr

    def test_prerm_knows_mounts_whose_path_has_a_blank(self):
        mounts = r"/srv/my\040volumes/docker-v", "/mnt"
        self.assertIn("  /srv/my volumes/docker-v\n  /mnt\n",
                      self.run_function("uidnfs.prerm", "name_live_mounts", mounts)[1])
        code, said = self.run_function("uidnfsd.prerm", "refuse_live_volumes", mounts)
        self.assertEqual(1, code)
        self.assertIn("1 of its volumes are mounted below /srv/my volumes;", said)
        self.assertEqual((0, ""), self.run_function("uidnfsd.prerm", "refuse_live_volumes", ["/mnt"]))


class InstalledTest(RootTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.before = cls.root.listing()
        cls.said = cls.root.install()
        cls.after = cls.root.listing()

    def test_every_file_is_in_its_place(self):
        self.assertNotIn("warning", self.said)
        for name in ("usr/bin/uidnfs", "usr/sbin/uidnfsd",
                     "usr/share/man/man8/uidnfs.8.gz", "usr/share/man/man8/mount.uidnfs.8.gz",
                     "usr/share/man/man8/uidnfsd.8.gz", "usr/share/man/man5/uidnfsd.toml.5.gz",
                     "usr/share/bash-completion/completions/uidnfs",
                     "usr/share/bash-completion/completions/uidnfsd",
                     "usr/share/doc/uidnfs/LDAP.md", "usr/share/doc/uidnfs/TROUBLESHOOTING.md",
                     "usr/share/doc/uidnfsd/examples/prometheus-alerts.yml",
                     *(f"usr/lib/systemd/system/{unit}" for unit in UNITS)):
            self.assertIn(name, self.after)
            mode, uid, gid, _ = self.after[name]
            self.assertEqual((0, 0), (uid, gid), name)
            self.assertFalse(int(mode, 8) & 0o022 and not os.path.islink(self.inside(name)), name)
        for helper in HELPERS:
            self.assertEqual("../bin/uidnfs", self.after[f"usr/sbin/{helper}"][3])

    def test_the_service_has_a_user_and_may_read_its_file(self):
        uid, gid = self.service_ids()
        self.assertTrue(0 < uid < 1000, uid)
        self.assertRegex(self.accounts("passwd")[0], r":/nonexistent:/usr/sbin/nologin$")
        self.assertEqual(("0o100640", 0, gid), self.after["etc/uidnfs/uidnfsd.toml"][:3])

    def test_units_of_the_service_are_enabled(self):
        wants = "etc/systemd/system/multi-user.target.wants"
        self.assertIn(f"{wants}/uidnfsd.service", self.after)
        self.assertIn(f"{wants}/uidnfsd-shutdown.service", self.after)
        self.assertNotIn("etc/systemd/system/sockets.target.wants/uidnfsd-docker.socket", self.after)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "there is no systemd")
    def test_systemd_understands_the_units(self):
        units = []
        for name in UNITS:
            text = self.inside(f"usr/lib/systemd/system/{name}").read_text("utf-8")
            units.append(self.root.path / "tmp" / name)
            # Its programs are looked for outside of the root.
            units[-1].write_text(text.replace("=/usr/sbin/", f"={self.root.path}/usr/sbin/"))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], text=True,
                              capture_output=True, timeout=60, check=False)
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_programs_start(self):
        self.assertEqual(f"uidnfs {VERSION}\n", self.root.run("uidnfs", "--version").stdout)
        self.assertEqual(f"uidnfsd {VERSION}\n", self.root.run("uidnfsd", "--version").stdout)
        said = self.root.run("uidnfsd", "--config", "/etc/uidnfs/uidnfsd.toml", "--check").stdout
        self.assertIn("no problems", said)

    def test_mount_and_umount_know_the_type(self):
        self.inside("mnt").mkdir(exist_ok=True)
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.root.run("mount", "-t", "uidnfs", self.share(), "/mnt", "-o", self.options())
        self.assertEqual(["/mnt"], self.root.mounts())
        self.root.run("umount", "/mnt")
        self.assertEqual([], self.root.mounts())


class LifeTest(RootTest):
    """One installation from its first day to its last."""

    @staticmethod
    def user_of_worker():
        """The four of /proc/PID/status."""
        for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
            try:
                if comm.read_text("ascii") == "uidnfs-worker\n":
                    status = comm.with_name("status").read_text("ascii")
                    return re.search(r"^Uid:\s+(.*)$", status, re.MULTILINE)[1].split()
            except OSError:
                continue  # it ended
        raise AssertionError("there is no worker")

    def test_install_use_upgrade_refuse_remove_purge(self):
        before = self.root.listing()
        self.root.install()
        daemon = clean_root.InstalledDaemon(self.root)
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.addCleanup(lambda: daemon.process and daemon.stop())
        daemon.allow_mounts()
        daemon.start()
        self.assertEqual("", daemon.create("v", self.share(), uid=suite.UID, gid=suite.GID))
        path, error = daemon.mount("v")
        self.assertEqual("", error)
        self.assertEqual([path], self.root.mounts())
        # Its worker is the package's own user, who is nobody else.
        self.assertEqual([str(self.service_ids()[0])] * 4, self.user_of_worker())
        self.assertEqual(0o40755, self.inside("var/lib/uidnfs").stat().st_mode)
        self.assertEqual(0, self.inside("var/lib/uidnfs").stat().st_uid)

        with self.subTest("an upgrade stops no mount and keeps the operator's file"):
            mine = daemon.config.read_bytes()
            self.root.install()
            self.assertEqual([path], self.root.mounts())
            self.assertEqual(mine, daemon.config.read_bytes())
            self.assertEqual(0, daemon.stop())
            self.assertEqual([path], self.root.mounts())
            daemon.start()
            wait_until(lambda: daemon.get("v")["Volume"].get("Mountpoint") == path, 10,
                       "the volume is found again")

        with self.subTest("a removal is refused while a volume is mounted"):
            refused = self.root.run("dpkg", "--remove", "uidnfsd", check=False)
            self.assertNotEqual(0, refused.returncode)
            self.assertIn("1 of its volumes are mounted below /var/lib/uidnfs/volumes",
                          refused.stdout)
            self.assertIn("/drain", refused.stdout)
            self.assertEqual([path], self.root.mounts())
            self.assertIn("install ok installed", self.root.run("dpkg", "-s", "uidnfsd").stdout)

        with self.subTest("what the refusal and the unit of the shutdown name, works"):
            unit = self.inside("usr/lib/systemd/system/uidnfsd-shutdown.service")
            stop = re.search(r"^ExecStop=((?:.*\\\n)*.*)$", unit.read_text("utf-8"), re.M)[1]
            self.root.run(*shlex.split(stop.replace("\\\n", "")))
            self.assertEqual([], self.root.mounts())
        daemon.stop()

        with self.subTest("a removal leaves the operator's file and the state"):
            self.root.run("dpkg", "--remove", "uidnfsd", "uidnfs")
            self.assertTrue(daemon.config.exists())
            self.assertFalse(self.inside("usr/sbin/uidnfsd").exists())
            self.assertTrue(self.inside("var/lib/uidnfs").exists())
            self.assertFalse(self.inside("var/lib/uidnfs/volumes").exists())

        with self.subTest("a purge leaves nothing"):
            self.root.run("dpkg", "--purge", "uidnfsd", "uidnfs")
            self.assertEqual(before, self.root.listing())
            self.assertFalse(self.inside("run/uidnfs").exists())

    def test_a_purge_of_the_daemon_leaves_mounts_by_hand(self):
        self.root.install()
        self.inside("mnt").mkdir(exist_ok=True)
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.root.run("uidnfs", "mount", self.share(), "/mnt", "-o", self.options())
        self.root.run("dpkg", "--purge", "uidnfsd")
        self.assertIn("healthy", self.root.run("uidnfs", "status", "/mnt").stdout)
        with self.subTest("a removal names what is still mounted, and stops none of it"):
            self.assertRegex(self.root.run("dpkg", "--remove", "uidnfs").stdout,
                             r"still mounted, and removed from under these:\n  /mnt\n")
            self.assertGreater(os.statvfs(self.inside("mnt")).f_blocks, 0)
            self.root.run("umount", "/mnt")
            self.assertEqual([], self.root.mounts())
        # Its user was in use and is still there: nothing is left once nobody is.
        self.root.install()
        self.root.run("dpkg", "--purge", "uidnfsd", "uidnfs")
        self.assertEqual([], self.accounts("passwd"))


    def test_without_the_daemon_an_upgrade_reaches_the_mounts_too(self):
        self.root.install("uidnfs")
        self.addCleanup(self.root.run, "dpkg", "--purge", "uidnfs")
        self.inside("mnt").mkdir(exist_ok=True)
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.root.run("uidnfs", "mount", self.share(), "/mnt", "-o", self.options())
        self.root.install("uidnfs")
        status = json.loads(self.root.run("uidnfs", "status", "/mnt", "--json").stdout)
        self.assertEqual(1, status["upgrades"])
        self.root.run("umount", "/mnt")


class TarballTest(RootTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tarball = next(cls.root.packages.glob("*.tar.gz"))
        subprocess.run(["tar", "-xf", tarball, "-C", cls.root.path / "opt"], check=True)
        unpacked = cls.root.path / "opt" / tarball.name.removesuffix(".tar.gz")
        cls.tree = cls.root.path / "opt/some where else"
        unpacked.rename(cls.tree)
        for library in os.listdir(cls.tree / "lib"):
            for system in (cls.root.path / "usr/lib").glob(f"*/{library}*"):
                system.unlink()

    def test_every_library_is_its_own_or_glibcs(self):
        for program in ("bin/uidnfs", "sbin/uidnfsd"):
            said = self.root.run("ldd", f"/opt/some where else/{program}").stdout
            self.assertNotIn("not found", said)
            for line in said.splitlines():
                if "=>" in line and "/opt/some where else/" not in line:
                    self.assertRegex(line, r"^\s*lib(c|m)\.so\.6 =>")

    def test_every_library_has_its_licence(self):
        self.assertGreater(len(os.listdir(self.tree / "share/licenses")), 5)

    def test_programs_start(self):
        here = "/opt/some where else"
        self.assertEqual(f"uidnfs {VERSION}\n",
                         self.root.run(f"{here}/bin/uidnfs", "--version").stdout)
        said = self.root.run(f"{here}/sbin/uidnfsd", "--config",
                             f"{here}/share/uidnfs/uidnfsd.toml", "--check").stdout
        self.assertIn("no problems", said)

    def test_it_mounts(self):
        self.addCleanup(suite.clear_away, self.uidnfs)
        program = "/opt/some where else/bin/uidnfs"
        self.root.run(program, "mount", self.share(), "/mnt", "-o", self.options())
        self.assertEqual(["/mnt"], self.root.mounts())
        with open(self.inside("mnt/by-tarball"), "w", encoding="ascii") as file:
            file.write("hello")
        self.root.run(program, "umount", "/mnt")
        self.assertEqual([], self.root.mounts())
        self.assert_owner(os.stat(os.path.join(suite.lab().export("a").path, "by-tarball")),
                          suite.UID, suite.GID)
