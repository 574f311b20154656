# SPDX-License-Identifier: Apache-2.0
"""Mounts of a user without privileges: fusermount3, who may see them, how they end."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import suite
from test_habits import IDENTITY, USER, install_helpers, wait_until


class User(suite.IntegrationTest):
    """Not root: fusermount3 mounts, by its rules; or root of a user namespace does."""

    home = pathlib.Path("/run/uidnfs-lab/home")

    @classmethod
    def setUpClass(cls):
        """A device that users may open, as udev makes it; in this mount namespace only."""
        # fusermount3 wants to know the user's name.
        with open("/etc/passwd", "a", encoding="ascii") as users:
            users.write(f"somebody:x:{USER}:{USER}::{cls.home}:/bin/sh\n")
        cls.home.mkdir()
        os.chown(cls.home, USER, USER)
        device = pathlib.Path("/run/uidnfs-lab/fuse")
        os.mknod(device, 0o020666, os.makedev(10, 229))
        os.chmod(device, 0o666)
        subprocess.run(["mount", "--bind", device, "/dev/fuse"], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", "/dev/fuse"], check=True)
        # What users have instead of /run is not private to the sandbox.
        for uid in (USER, 0):
            cls.addClassCleanup(shutil.rmtree, f"/tmp/uidnfs-{uid}", ignore_errors=True)

    def setUp(self):
        super().setUp()
        self.point = suite.lab().new_mountpoint()
        os.chown(self.point, USER, USER)
        self.addCleanup(self.conf, "")
        self.addCleanup(self.uidnfs.check_nothing_left, 10)
        self.addCleanup(subprocess.run, ["umount", "-l", self.point], capture_output=True)

    def conf(self, text):
        pathlib.Path("/etc/fuse.conf").write_text(text, encoding="ascii")

    def by_user(self, *words, home=None, limit=()):
        return self.uidnfs.run(*words, prefix=(
            "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env",
            "--unset=XDG_STATE_HOME", f"HOME={home or self.home}", *limit))

    def mount(self, options, source="nas1:/exports/a"):
        return self.by_user("mount", source, self.point, "-o", f"{IDENTITY},noresvport,{options}")

    def test_for_oneself(self):
        self.conf("")
        done = self.mount(f"app_uid={USER},app_gid={USER},access=strict")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.actor(USER).write_file(str(self.point / "mine"), b"by a user")
        stat = os.stat(suite.lab().export("a").path / "mine")
        self.assert_owner(stat, 1001, 1001)
        done = self.by_user("status", self.point, "--json")
        self.assertEqual("healthy", json.loads(done.stdout)["state"], done.stderr)
        self.assertEqual("healthy", self.uidnfs.status(self.point)[1][0]["state"], "asked by root")
        with self.assert_errno(13):
            self.actor(2000).listdir(str(self.point))
        done = self.by_user("umount", self.point)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.uidnfs.check_nothing_left()
        self.assertEqual([], list(pathlib.Path(f"/tmp/uidnfs-{USER}/mounts").glob("*")))

    def test_a_keeper_that_was_killed_is_replaced_by_its_user(self):
        self.conf("")
        done = self.mount(f"app_uid={USER},app_gid={USER},access=strict")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        app = self.actor(USER)
        app.write_file(str(self.point / "before"), b"1")
        [before] = self.uidnfs.status(self.point)[1]
        os.kill(before["keeper_pid"], signal.SIGKILL)
        done = self.by_user("adopt", self.point)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        os.kill(before["worker_pid"], signal.SIGKILL)
        self.assertEqual(b"1", app.read_file(str(self.point / "before")))
        done = self.by_user("umount", self.point)
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_a_mount_that_is_locked_is_told(self):
        """Of whoever made it, in a user namespace below."""
        self.assertEqual(0, self.uidnfs.run(
            "mount", "nas1:/exports/a", self.point, "-o", f"{IDENTITY},access=any").returncode)
        for words in ("--lazy",), ("--force",):
            done = self.by_user("umount", self.point, *words, limit=("unshare", "-Urm"))
            self.assertEqual((1, f"cannot unmount {self.point}: it is locked: it was mounted outside of "
                              "this user namespace; unmount it there\n"), (done.returncode, done.stderr))
        self.assertEqual(0, self.uidnfs.run("umount", self.point).returncode)

    def test_the_next_mount_of_a_user_at_the_place_stays(self):
        """It has the device number of the one that ends, and is not ready yet."""
        options = f"app_uid={USER},app_gid={USER},access=strict,flush_deadline=600"
        host = suite.lab().proxy()
        self.addCleanup(host.stop)
        done = self.mount(options, source=f"{host.address}:/exports/a")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        [before] = self.uidnfs.status(self.point)[1]

        def devices():
            return [entry.device for entry in self.uidnfs.mounts()
                    if entry.mountpoint == str(self.point)]
        number = devices()
        app = self.actor(USER)
        app.run("state['fd'] = os.open(f, os.O_WRONLY | os.O_CREAT)", f=str(self.point / "f"))
        host.black_hole()
        app.run("os.write(state['fd'], b'y' * 9)")
        app.stop()
        os.kill(before["keeper_pid"], signal.SIGTERM)
        time.sleep(0.5)
        subprocess.run(["umount", "--lazy", self.point], check=True)
        time.sleep(0.2)  # its device number is free
        starting = threading.Thread(target=self.mount, args=(options,))
        starting.start()

        def next_worker():
            for line in self.uidnfs.command_lines():
                pid = int(line.split(":")[0])
                if " worker " in line and pid != before["worker_pid"]:
                    return pid
        worker = wait_until(next_worker, "the next worker")
        until = time.monotonic() + 10
        while not devices() and time.monotonic() < until:
            pass  # it is ready in a few milliseconds
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(subprocess.run, ["kill", "-CONT", str(worker)], capture_output=True)
        self.assertEqual(number, devices())
        os.kill(before["keeper_pid"], signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{before['keeper_pid']}"), "its end", 20)
        self.assertEqual(number, devices())
        os.kill(worker, signal.SIGCONT)
        starting.join()
        self.assertEqual("healthy", self.uidnfs.status(self.point)[1][0]["state"])
        self.assertEqual(0, self.by_user("umount", self.point).returncode)

    def test_a_control_socket_that_was_removed_is_made_again(self):
        """As with /run/user/UID, when that user logs out."""
        self.assertEqual(0, self.mount(f"app_uid={USER}").returncode)
        shutil.rmtree(f"/tmp/uidnfs-{USER}")
        self.assertEqual(1, self.by_user("status", self.point).returncode)
        wait_until(lambda: self.by_user("status", self.point).returncode == 0, "being found again", 15)
        keeper = json.loads(self.by_user("status", self.point, "--json").stdout)["keeper_pid"]
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: self.by_user("adopt", self.point).returncode == 0, "the next keeper")
        self.assertEqual(0, self.by_user("umount", self.point).returncode)

    def test_without_a_place_for_recovery_files(self):
        words = ("mount", "nas1:/exports/a", self.point, "-o", f"{IDENTITY},noresvport,app_uid={USER}")
        done = self.by_user(*words, home="/nonexistent")
        self.assertEqual(0, done.returncode)
        self.assertRegex(done.stderr, "^warning: bytes that the server does not take .* could not be kept in "
                                      "/nonexistent/.local/state/uidnfs/recovery: Permission denied; give")
        self.assertEqual(0, self.by_user("umount", self.point).returncode)
        done = self.by_user(*words, "--recovery-directory=/nonexistent/files")
        self.assertEqual(1, done.returncode)
        self.assertIn("--recovery-directory=/nonexistent/files cannot be used: Permission denied", done.stderr)
        self.assertFalse(os.path.exists("/nonexistent"))

    def test_for_others_where_root_allows_it(self):
        self.conf("user_allow_other\n")
        done = self.mount("access=app")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.actor(2000).write_file(str(self.point / "others"), b"by the application")
        self.assertEqual(0, self.by_user("umount", self.point).returncode)

    def test_refusals_say_what_to_do_and_leave_nothing(self):
        self.conf("")
        for options, why in (("access=app", "user_allow_other"),
                             ("access=strict", f"is for uid {USER} alone"),
                             (f"app_uid={USER},context=x", "context=")):
            with self.subTest(options):
                done = self.mount(options)
                self.assertEqual(1, done.returncode)
                self.assertIn(why, done.stderr)
                self.uidnfs.check_nothing_left()
        done = self.mount(f"app_uid={USER},retry=0", source="nas1:/exports/absent")
        self.assertIn("check the export list", done.stderr)
        self.uidnfs.check_nothing_left()
        done = self.by_user("mount", "nas1:/exports/a", self.point, "-o",
                            f"{IDENTITY},noresvport,app_uid={USER}",
                            limit=("prlimit", "--fsize=4096"))
        self.assertRegex(done.stderr, "larger than a file may be here; raise the limit")
        self.uidnfs.check_nothing_left()
        os.chown(self.point, 0, 0)
        done = self.mount(f"app_uid={USER},retry=0")
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, "fusermount3 refused it .*write access")

    def test_plain_fusermount_loses_nothing(self):
        done = self.mount(f"app_uid={USER}")
        self.assertEqual(0, done.returncode, done.stderr)
        self.actor(USER).write_file(str(self.point / "kept"), b"k" * 70000)
        subprocess.run(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
                        "fusermount3", "-u", self.point], check=True)
        self.uidnfs.check_nothing_left(10)
        self.assertEqual(70000, os.stat(suite.lab().export("a").path / "kept").st_size)

    def test_reserved_port_is_given_up_and_said(self):
        # Ganesha lets any port in; that the fall-back is said is what counts.
        log = self.point.parent / f"user-{self.point.name}.log"
        log.touch()
        os.chown(log, USER, USER)
        done = self.by_user("mount", "nas1:/exports/a", self.point, "-o",
                            f"{IDENTITY},app_uid={USER},log_file={log}")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("no reserved source port towards", log.read_text(encoding="utf-8"))
        self.assertGreater(self.uidnfs.status(self.point)[1][0]["local_ports"][0], 1023)
        self.assertEqual(0, self.by_user("umount", self.point).returncode)

    def test_fstab_lets_users_mount_and_unmount(self):
        install_helpers("user", self.addCleanup)
        pathlib.Path("/etc/fstab").write_text(
            f"nas1:/exports/a {self.point} uidnfs {IDENTITY},app_uid={USER},app_gid={USER},"
            "noresvport,user,noauto 0 0\n", encoding="ascii")
        self.addCleanup(pathlib.Path("/etc/fstab").write_text, "", encoding="ascii")
        as_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
        for command in ("mount", "umount"):
            done = subprocess.run([*as_user, command, self.point], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual((0, ""), (done.returncode, done.stderr), command)
            # Root may not look into a user's mount, so mountinfo has to say it.
            self.assertEqual(1 if command == "mount" else 0, len(self.uidnfs.mounts()))
        self.uidnfs.check_nothing_left()

    def test_root_of_a_user_namespace_mounts_by_itself(self):
        script = f"""
set -e
B={self.uidnfs.binary}
$B mount nas1:/exports/a {self.point} -o {IDENTITY},app_uid=0,app_gid=0,noresvport
echo inside > {self.point}/by-namespace
$B status {self.point} --json
$B umount {self.point}
"""
        done = subprocess.run(
            ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
             "unshare", "-Ur", "-m", "sh", "-c", script],
            capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual("healthy", json.loads(done.stdout)["state"])
        self.assert_owner(os.stat(suite.lab().export("a").path / "by-namespace"), 1001, 1001)
