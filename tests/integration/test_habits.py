# SPDX-License-Identifier: Apache-2.0
"""What mount(8), fstab and operators are used to: background mounts, the helpers, remount, check."""

import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import time

import rpc_proxy
import suite
import uidnfs_command

IDENTITY = "uid=1001,gid=1001"
USER = 1500


def wait_until(condition, what, seconds=20):
    return uidnfs_command.wait_until(condition, seconds, what)


def install_helpers(name, add_cleanup):
    """Symbolic links below /sbin, in this mount namespace only."""
    changes = pathlib.Path("/run/uidnfs-lab") / f"sbin-{name}"
    for part in ("upper", "work"):
        (changes / part).mkdir(parents=True)
    sbin = os.path.realpath("/sbin")
    for helper in ("mount.uidnfs", "umount.uidnfs", "mount.fuse.uidnfs", "umount.fuse.uidnfs"):
        (changes / "upper" / helper).symlink_to(suite.lab().uidnfs.binary)
    subprocess.run(
        ["mount", "-t", "overlay", "overlay", sbin, "-o",
         f"lowerdir={sbin},upperdir={changes}/upper,workdir={changes}/work"], check=True)
    add_cleanup(subprocess.run, ["umount", "-l", sbin], check=True)


class Background(suite.IntegrationTest):
    """bg, fg and retry= of nfs(5)."""

    def setUp(self):
        super().setUp()
        self.host = suite.lab().proxy()
        self.addCleanup(self.host.stop)
        self.addCleanup(self.uidnfs.check_nothing_left)
        self.source = f"{self.host.address}:/exports/a"
        self.point = suite.lab().new_mountpoint()

    def mount(self, options, source=None, point=None):
        return self.uidnfs.run("mount", source or self.source, point or self.point, "-o",
                               f"{IDENTITY},{options}")

    def test_goes_on_in_the_background_until_the_server_is_there(self):
        self.host.refuse()
        done = self.mount("bg")
        self.assertEqual((0, ""), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, r"connection refused by .*trying again in the background")
        self.assertEqual([], self.uidnfs.mounts())
        code, found = self.uidnfs.status()
        self.assertEqual((1, 1), (code, len(found)))
        self.assertEqual((str(self.point), "stale"), (found[0]["mountpoint"], found[0]["state"]))
        self.assertRegex(found[0]["reason"], "not mounted yet, try .*connection refused")
        code, found = self.uidnfs.status(self.point)
        self.assertEqual((1, 1), (code, len(found)))
        self.host.accept_again()
        wait_until(self.uidnfs.mounts, "mounting")
        self.actor(2000).write_file(str(self.point / "late"), b"but there")
        self.assertEqual((0, "healthy"), self.state())
        self.assertEqual(0, self.uidnfs.run("umount", self.point).returncode)

    def state(self):
        code, found = self.uidnfs.status(self.point)
        return code, found[0]["state"]

    def test_umount_and_sigterm_end_it(self):
        self.host.refuse()
        for end in ("umount", "sigterm"):
            with self.subTest(end):
                self.assertEqual(0, self.mount("bg").returncode)
                keeper = self.uidnfs.status(self.point)[1][0]["keeper_pid"]
                if end == "umount":
                    done = self.uidnfs.run("umount", self.point)
                    self.assertEqual((0, ""), (done.returncode, done.stderr))
                else:
                    os.kill(keeper, signal.SIGTERM)
                self.uidnfs.check_nothing_left()

    def test_two_at_one_place_are_told_at_once(self):
        self.host.refuse()
        self.assertEqual(0, self.mount("bg").returncode)
        for source in (self.source, f"{self.host.address}:/exports/b"):
            done = self.mount("bg", source=source)
            self.assertEqual((1, f"cannot mount {source} on {self.point}: {self.source} is being tried there "
                              f"in the background (bg); give that up first (uidnfs umount {self.point})\n"),
                             (done.returncode, done.stderr))
        elsewhere = suite.lab().new_mountpoint()
        self.assertEqual(0, self.mount("bg", point=elsewhere).returncode)
        for point in (self.point, elsewhere):
            self.assertEqual(0, self.uidnfs.run("umount", point).returncode)
        self.uidnfs.check_nothing_left()

    def test_waits_for_a_mount_point_too(self):
        point = self.point / "below" / "another"
        done = self.mount("bg", point=point)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("does not exist", done.stderr)
        point.mkdir(parents=True)
        wait_until(self.uidnfs.mounts, "mounting")
        self.assertEqual(0, self.uidnfs.run("umount", point).returncode)

    def test_what_the_server_has_decided_fails_at_once(self):
        begin = time.monotonic()
        for options in ("bg", "fg"):
            done = self.mount(options, source="nas1:/exports/absent")
            self.assertEqual(1, done.returncode)
            self.assertIn("check the export list", done.stderr)
        self.assertLess(time.monotonic() - begin, 10)

    def test_in_the_foreground_a_server_that_comes_is_waited_for(self):
        self.host.refuse()
        process = self.uidnfs.start("mount", self.source, self.point, "-o", IDENTITY,
                                    stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        time.sleep(1.5)
        self.assertIsNone(process.poll())
        self.host.accept_again()
        self.assertEqual(0, process.wait(20))
        self.assertEqual("", process.stderr.read())
        self.assertEqual(0, self.uidnfs.run("umount", self.point).returncode)

    def test_interrupted_it_leaves_nothing(self):
        self.host.refuse()
        process = self.uidnfs.start("mount", self.source, self.point, "-o", IDENTITY,
                                    stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.wait(10)
        self.uidnfs.check_nothing_left(5)


class Detached(suite.IntegrationTest):
    """A mount that nobody sees any more and that still has something to do."""

    def test_is_listed_until_its_bytes_are_on_the_server(self):
        mount = self.mount(options="flush_deadline=60")
        app = self.actor(2000)
        app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_WRONLY)
os.write(state["fd"], b"kept" * 1000)
""", path=mount / "detached")
        self.assertEqual(0, mount.umount("--lazy").returncode)
        code, found = self.uidnfs.status()
        self.assertEqual((1, 1), (code, len(found)))
        self.assertEqual((str(mount.path), "degraded"),
                         (found[0]["mountpoint"], found[0]["state"]))
        self.assertIn("detached", found[0]["reason"])
        done = mount.umount()
        self.assertEqual(1, done.returncode)
        self.assertIn("programs still use it", done.stderr)
        mount.host.black_hole()
        app.kill()
        wait_until(lambda: "being written" in self.uidnfs.status()[1][0]["reason"], "draining")
        waiting = self.uidnfs.start("umount", mount.path, stderr=subprocess.PIPE)
        self.addCleanup(waiting.stderr.close)
        time.sleep(0.5)
        self.assertIsNone(waiting.poll(), "it waits for the drain")
        mount.host.pass_on()
        self.assertEqual((0, ""), (waiting.wait(20), waiting.stderr.read()))
        self.assertEqual(4000, os.stat(mount.on_server("detached")).st_size)
        self.uidnfs.check_nothing_left()

    def test_can_be_given_up(self):
        mount = self.mount(options="flush_deadline=60")
        app = self.actor(2000)
        app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_WRONLY)
os.write(state["fd"], b"lost")
""", path=mount / "given-up")
        mount.host.black_hole()
        self.assertEqual(0, mount.umount("--lazy").returncode)
        app.kill()
        wait_until(lambda: "being written" in self.uidnfs.status()[1][0]["reason"], "draining")
        done = mount.umount("--force")
        self.assertEqual(1, done.returncode)
        self.assertIn("lost: ", done.stderr)
        self.uidnfs.check_nothing_left(10)


class Helpers(suite.IntegrationTest):
    """The real mount(8) and umount(8), with our helpers in their place, and fstab."""

    @classmethod
    def setUpClass(cls):
        install_helpers("root", cls.addClassCleanup)

    def setUp(self):
        super().setUp()
        self.point = suite.lab().new_mountpoint()
        self.source = "nas1:/exports/a"
        self.addCleanup(self.uidnfs.check_nothing_left, 10)
        self.addCleanup(subprocess.run, ["umount", "-l", self.point], capture_output=True)

    def system(self, *words, **more):
        return subprocess.run(list(map(str, words)), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False, **more)

    def good(self, *words, **more):
        done = self.system(*words, **more)
        self.assertEqual((0, ""), (done.returncode, done.stderr), words)
        return done

    def is_mounted(self):
        return os.path.ismount(self.point)

    def options(self):
        return next(entry.options for entry in self.uidnfs.mounts()
                    if entry.mountpoint == str(self.point))

    def fstab(self, options):
        pathlib.Path("/etc/fstab").write_text(
            f"{self.source} {self.point} uidnfs {options} 0 0\n", encoding="ascii")
        self.addCleanup(pathlib.Path("/etc/fstab").write_text, "", encoding="ascii")

    def test_mount_and_umount(self):
        self.good("mount", "-t", "uidnfs", self.source, self.point, "-o",
                  IDENTITY + ",_netdev,noatime")
        self.actor(2000).write_file(str(self.point / "helped"), b"z" * 50000)
        self.assertLessEqual({"nosuid", "nodev", "noatime"}, set(self.options()))
        self.good("umount", self.point)
        # umount.fuse.uidnfs has waited for the drain.
        self.uidnfs.check_nothing_left()
        size = os.stat(suite.lab().export("a").path / "helped").st_size
        self.assertEqual(50000, size)

    def test_fstab_with_all_its_words(self):
        self.fstab(f"{IDENTITY},defaults,_netdev,nofail,user,exec,"
                   "x-systemd.automount,x-systemd.mount-timeout=30s,comment=ours")
        self.good("mount", "-a")
        self.assertTrue(self.is_mounted())
        self.good("mount", "-a")
        self.assertEqual(1, len(self.uidnfs.mounts()), "mounted once, also by the second -a")
        self.good("umount", self.point)
        self.fstab(IDENTITY + ",noauto")
        self.good("mount", "-a")
        self.assertFalse(self.is_mounted())
        self.good("mount", self.point)
        self.assertTrue(self.is_mounted())
        self.good("umount", "-a", "-t", "fuse.uidnfs")
        self.assertFalse(self.is_mounted())

    def test_lazy_and_force(self):
        for flag in ("-l", "-f"):
            with self.subTest(flag):
                self.good("mount", "-t", "uidnfs", self.source, self.point, "-o", IDENTITY)
                self.good("umount", flag, self.point)
                self.assertFalse(self.is_mounted())
                self.uidnfs.check_nothing_left(10)

    def test_exit_codes_of_the_helper(self):
        helper = ("/sbin/mount.uidnfs",)
        point = str(self.point)
        for code, words in (
                (0, (self.source, point, "-f", "-v", "-n", "-o", IDENTITY)),
                (0, (self.source, point, "-sf", "-o", IDENTITY + ",frobnicate=1")),
                (1, (self.source, point, "-o", IDENTITY + ",frobnicate=1")),
                (1, (self.source, point, "-o", "uid=1001")),
                (1, (self.source,)),
                (1, (self.source, point, "-x", "-o", IDENTITY)),
                (2, (self.source, point, "-N", "/no/such/namespace", "-o", IDENTITY)),
                (32, ("nas1:/exports/absent", point, "-t", "uidnfs", "-o", IDENTITY)),
                (32, (self.source, point + "/absent", "-o", IDENTITY))):
            with self.subTest(words):
                done = self.system(*helper, *words)
                self.assertEqual(code, done.returncode, done.stderr)
        self.assertFalse(self.is_mounted())
        self.assertEqual(32, self.system("/sbin/umount.uidnfs", point).returncode)
        self.assertEqual(32, self.system("mount", "-t", "uidnfs", "nas1:/exports/absent", point,
                                         "-o", IDENTITY).returncode)

    def test_interrupted_helper_says_so(self):
        host = suite.lab().proxy()
        self.addCleanup(host.stop)
        host.refuse()
        process = subprocess.Popen(["/sbin/mount.uidnfs", f"{host.address}:/exports/a",
                                    self.point, "-o", IDENTITY], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        self.assertEqual(8, process.wait(10))

    def test_mounts_in_another_namespace(self):
        other = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "60"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        namespace = f"/proc/{other.pid}/ns/mnt"
        wait_until(lambda: os.readlink(namespace) != os.readlink("/proc/self/ns/mnt"), "unshare")
        self.good("/sbin/mount.uidnfs", self.source, self.point, "-N", namespace, "-o", IDENTITY)
        self.assertFalse(self.is_mounted())
        seen = pathlib.Path(f"/proc/{other.pid}/mountinfo").read_text(encoding="utf-8")
        self.assertIn(str(self.point), seen)
        self.good("/sbin/umount.uidnfs", self.point, "-N", str(other.pid))

    def test_remount_changes_what_can_change(self):
        self.good("mount", "-t", "uidnfs", self.source, self.point, "-o", IDENTITY)
        app = self.actor(2000)
        path = str(self.point / "remounted")
        app.write_file(path, b"1")
        self.good("mount", "-o", "remount,ro", self.point)
        self.assertIn("ro", self.options())
        with self.assert_errno(30):  # EROFS
            app.write_file(path, b"2")
        self.good("mount", "-o", "remount,rw,acregmin=7,actimeo=9,timeo=123,softerr", self.point)
        app.write_file(path, b"3")
        options = self.uidnfs.status(self.point)[1][0]["options"]
        self.assertLessEqual({("acregmin", "9"), ("acregmax", "9"), ("timeo", "123")},
                             set(options.items()))
        self.assertIn("softerr", options)
        self.assertIn("rw", options)
        self.good("umount", self.point)

    def test_a_remount_that_fails_changes_nothing(self):
        self.good("mount", "-t", "uidnfs", self.source, self.point, "-o", IDENTITY)
        worker = self.uidnfs.status(self.point)[1][0]["worker_pid"]
        os.kill(worker, signal.SIGSTOP)
        # mount(8) would look at the root first.
        done = self.uidnfs.run("mount", self.source, self.point, "-o", "remount,ro")
        os.kill(worker, signal.SIGCONT)
        self.assertEqual(1, done.returncode)
        self.assertIn("does not answer", done.stderr)
        self.assertIn("rw", self.options())
        self.actor(2000).write_file(str(self.point / "written"), b"still")
        # By hand, the kernel alone: the next remount sees it.
        self.good("mount", "-i", "-o", "remount,ro", self.point)
        self.good("mount", "-o", "remount,rw", self.point)
        self.assertIn("rw", self.options())
        self.good("umount", self.point)

    def test_remount_brings_access_times_back(self):
        self.good("mount", "-t", "uidnfs", self.source, self.point, "-o", IDENTITY + ",noatime")
        self.assertIn("noatime", self.options())
        done = self.uidnfs.run("mount", self.source, self.point, "-o", "remount,atime")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertNotIn("noatime", self.options())
        self.good("umount", self.point)

    def test_remount_is_refused_while_files_are_written(self):
        self.good("mount", "-t", "uidnfs", self.source, self.point, "-o", IDENTITY)
        app = self.actor(2000)
        app.run("state['fd'] = os.open(path, os.O_CREAT | os.O_WRONLY)",
                path=str(self.point / "writing"))
        done = self.system("mount", "-o", "remount,ro", self.point)
        self.assertEqual(32, done.returncode)
        self.assertIn("open for writing", done.stderr)
        app.run("os.write(state['fd'], b'still'); os.close(state['fd'])")
        self.good("umount", self.point)

    def test_remount_names_what_cannot_change(self):
        self.fstab(IDENTITY + ",_netdev")
        self.good("mount", self.point)
        for options, named in (("uid=1002,gid=1002", r"uid \(1001, asked for 1002\), gid"),
                               ("nconnect=4,ro", "nconnect"), ("access=any", "access")):
            with self.subTest(options):
                done = self.system("mount", "-o", "remount," + options, self.point)
                self.assertEqual(32, done.returncode)
                self.assertRegex(done.stderr, f"cannot be changed while it is mounted: {named}")
        done = self.system("/sbin/mount.uidnfs", "nas1:/exports/shared", self.point, "-o",
                           "remount,ro")
        self.assertEqual(32, done.returncode)
        self.assertIn("the source (nas1:/exports/a", done.stderr)
        done = self.system("mount", "-o", "remount,frobnicate", self.point)
        self.assertEqual(1, done.returncode)
        self.assertIn("unknown option", done.stderr)
        self.assertIn("rw", self.options(), "nothing changes when something cannot")
        self.good("umount", self.point)


class Context(suite.IntegrationTest):
    """context= goes to the kernel as it is."""

    def test_kernel_without_selinux_refuses_it_by_name(self):
        if pathlib.Path("/sys/fs/selinux/enforce").exists():
            self.skipTest("this kernel has SELinux")
        point = suite.lab().new_mountpoint()
        done = self.uidnfs.run("mount", "nas1:/exports/a", point, "-o",
                               IDENTITY + ',context="system_u:object_r:nfs_t:s0:c1,c2"')
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr,
                         "the kernel refused context=system_u:object_r:nfs_t:s0:c1,c2 ")
        self.uidnfs.check_nothing_left()


class Check(suite.IntegrationTest):
    """uidnfs check: each step with its result, and nothing left."""

    def check(self, *words, options=IDENTITY, source="nas1:/exports/a", prefix=()):
        done = self.uidnfs.run("check", source, "-o", options, "--json", *words, prefix=prefix)
        steps = [json.loads(line) for line in done.stdout.splitlines()]
        self.uidnfs.check_nothing_left()
        return done.returncode, steps

    def test_every_step(self):
        code, steps = self.check()
        self.assertEqual(0, code)
        self.assertEqual(["name", "connect", "portmap", "mount", "security", "fsinfo", "access"],
                         [step["step"] for step in steps])
        self.assertEqual({"ok"}, {step["result"] for step in steps})
        self.assertIn(suite.lab().server.address, steps[0]["text"])
        self.assertRegex(steps[-1]["text"], "1001:1001 may list, look up, change, create")

    def test_text_is_one_line_a_step(self):
        done = self.uidnfs.run("check", "nas1:/exports/a", "-o", IDENTITY)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual(7, len(done.stdout.splitlines()))

    def test_write_tells_the_owner_and_leaves_nothing(self):
        export = suite.lab().export("a").path
        before = sorted(os.listdir(export))
        code, steps = self.check("--write")
        self.assertEqual((0, "write", "ok"), (code, steps[-1]["step"], steps[-1]["result"]))
        self.assertIn("belongs to 1001:1001", steps[-1]["text"])
        self.assertEqual(before, sorted(os.listdir(export)))

    def test_write_where_one_may_not(self):
        code, steps = self.check("--write", options="uid=1002,gid=1002")
        self.assertEqual((1, "write", "failed"), (code, steps[-1]["step"], steps[-1]["result"]))
        self.assertIn("cannot create a file", steps[-1]["text"])

    def test_failures_end_at_their_step(self):
        closed = f"{suite.lab().new_address()}:/exports/a"
        for source, step in (("nosuchhost:/exports/a", "name"), (closed, "connect"),
                             ("nas1:/exports/absent", "mount"), ("nas1:/exports/krb", "access"),
                             ("nas1:/exports/private", "access")):
            with self.subTest(source):
                code, steps = self.check(source=source)
                self.assertEqual((1, step, "failed"),
                                 (code, steps[-1]["step"], steps[-1]["result"]), steps)

    def test_a_root_that_others_will_use(self):
        """With identity=caller the mount's own identity need not read it: that is no failure."""
        code, steps = self.check(source="nas1:/exports/private", options="identity=caller")
        self.assertEqual((0, "access", "note"), (code, steps[-1]["step"], steps[-1]["result"]))
        self.assertIn("65534:65534 may nothing", steps[-1]["text"])

    def test_an_address_that_is_not_served_before_one_that_is(self):
        hosts = [suite.lab().proxy(), suite.lab().proxy()]
        for host in hosts:
            self.addCleanup(host.stop)
            suite.sandbox.add_host("half-served", host.address)
        refusal = struct.pack(">I", 13)  # MNT3ERR_ACCES
        hosts[0].rule(rpc_proxy.named("MOUNT3 MNT"),
                      rpc_proxy.ReplaceReply(lambda record: record[:24] + refusal))
        code, steps = self.check(source="half-served:/exports/a")
        self.assertEqual(0, code, steps)
        self.assertEqual(["ok", "failed"], sorted({step["result"] for step in steps})[::-1])
        self.assertEqual(("access", "ok"), (steps[-1]["step"], steps[-1]["result"]))

    def test_a_mounthost_with_an_address_that_is_not_served(self):
        for address in (suite.lab().new_address(), suite.lab().server.address):
            suite.sandbox.add_host("mount-service", address)
        code, steps = self.check(options=f"{IDENTITY},mounthost=mount-service,timeo=20,retrans=0")
        self.assertEqual(0, code, steps)
        self.assertEqual(["portmap"], [step["step"] for step in steps if step["result"] == "failed"])

    def test_addresses_that_are_given(self):
        address = suite.lab().server.address
        code, steps = self.check(source="nosuchhost:/exports/a", options=f"{IDENTITY},addr={address}")
        self.assertEqual(0, code, steps)
        self.assertIn(address, steps[1]["text"])

    def test_wrong_options_are_no_mount_that_failed(self):
        done = self.uidnfs.run("check", "nas1:/exports/a", "-o", "uid=1001")
        self.assertEqual((2, ""), (done.returncode, done.stdout))
        self.assertEqual("cannot check nas1:/exports/a: uid=1001 without gid; add gid=N\n",
                         done.stderr)

    def test_needs_no_right(self):
        code, steps = self.check(prefix=("setpriv", f"--reuid={USER}", f"--regid={USER}",
                                         "--clear-groups"))
        self.assertEqual(0, code)
        self.assertEqual("note", steps[1]["result"])
        self.assertIn("not reserved", steps[1]["text"])

    def test_wrong_usage(self):
        for words in (("nas1:/exports/a",), ("nas1:/exports/a", "-o", "uid=1"),
                      ("nas1:/exports/a", "-o", IDENTITY + ",ro", "--write")):
            self.assertEqual(2, self.uidnfs.run("check", *words).returncode)


class Words(suite.IntegrationTest):
    """Log lines that alerts look for."""

    def test_silence_and_its_end(self):
        log = suite.lab().new_mountpoint().with_suffix(".log")
        mount = self.mount(options=f"timeo=5,retrans=1,log_file={log}")
        app = self.actor(2000)
        mount.host.black_hole()
        app.start("mkdir", mount / "silence")
        host = mount.host.address
        said = lambda words: re.search(rf"server {re.escape(host)} {words}$",
                                       log.read_text(encoding="utf-8"), re.MULTILINE)
        wait_until(lambda: said("not responding, still trying"), "the first line")
        self.assertFalse(said("OK"))
        mount.host.pass_on()
        app.finish(30)
        wait_until(lambda: said("OK"), "the second line")
