# SPDX-License-Identifier: Apache-2.0
"""Every way to ask for the impossible: the one error says what was tried, on what, why not and what
to do, the exit code is not zero, and nothing stays mounted or running."""

import os
import subprocess
import time

import ganesha
import rpc_proxy
import suite

FAILED = 1
USAGE = 2
IDENTITY = "uid=1001,gid=1001"


class Refusal(suite.IntegrationTest):
    """Base: one mount command that must fail."""

    def refused(self, code, *patterns, source="nas1:/exports/a", options=IDENTITY, point=None,
                prefix=(), timeout=60):
        """Runs the command; each pattern must be found in standard error, in any letter case."""
        point = point or suite.lab().new_mountpoint()
        done = self.uidnfs.run("mount", source, point, "-o", options, prefix=prefix,
                               timeout=timeout)
        self.assertEqual(code, done.returncode, f"said: {done.stderr}")
        self.assertEqual("", done.stdout)
        for pattern in patterns:
            self.assertRegex(done.stderr, f"(?i){pattern}")
        self.assertEqual(1, done.stderr.strip().count("\n") + 1, f"one line: {done.stderr}")
        self.uidnfs.check_nothing_left()
        return done.stderr

    def cannot_mount(self, source, why, remedy):
        """The pattern of every error that is about a source: what, on what, why; what to do."""
        return f"cannot mount {source}: .*{why}.*; .*{remedy}"


class Options(Refusal):
    """Wrong before anything is tried."""

    def test_unknown_option_names_the_nearest(self):
        self.refused(USAGE, r"unknown option.*\btimoe\b.*\btimeo\b", options=IDENTITY + ",timoe=5")

    def test_unknown_option_like_nothing_names_no_other(self):
        self.refused(USAGE, r"unknown option.*\bxyzzy42\b", options=IDENTITY + ",xyzzy42")

    def test_option_without_value(self):
        self.refused(USAGE, r"\btimeo\b.*value", options=IDENTITY + ",timeo")
        self.refused(USAGE, r"\btimeo\b.*value", options=IDENTITY + ",timeo=")

    def test_value_for_an_option_that_takes_none(self):
        self.refused(USAGE, r"\bhard\b.*no value", options=IDENTITY + ",hard=1")

    def test_no_identity(self):
        self.refused(USAGE, r"\buid\b.*\bgid\b", options="rw")

    def test_uid_without_gid(self):
        self.refused(USAGE, r"\buid=?.*without.*\bgid\b", options="uid=1001")

    def test_gid_without_uid(self):
        self.refused(USAGE, r"\bgid=?.*without.*\buid\b", options="gid=1001")

    def test_uid_0(self):
        self.refused(USAGE, r"uid=0|uid 0", r"root", options="uid=0,gid=1001")

    def test_gid_0(self):
        self.refused(USAGE, r"gid=0|gid 0", r"root", options="uid=1001,gid=0")

    def test_negative_id(self):
        self.refused(USAGE, r"\buid\b.*-1", options="uid=-1,gid=1001")

    def test_id_beyond_32_bits(self):
        self.refused(USAGE, r"\buid\b.*4294967296", options="uid=4294967296,gid=1001")
        self.refused(USAGE, r"\bgid\b.*99999999999999999999",
                     options="uid=1001,gid=99999999999999999999")

    def test_id_that_is_no_number(self):
        self.refused(USAGE, r"\buid\b.*10x1", options="uid=10x1,gid=1001")

    def test_seventeen_groups_says_which_is_too_many(self):
        groups = ":".join(str(6000 + number) for number in range(17))
        self.refused(USAGE, r"\bgids\b.*16", r"\b6016\b", options=f"{IDENTITY},gids={groups}")

    def test_other_version_says_what_is_supported(self):
        self.refused(USAGE, r"\bvers\b.*4\.2.*\b3\b", options=IDENTITY + ",vers=4.2")

    def test_other_security_flavor(self):
        self.refused(USAGE, r"\bsec\b.*krb5.*\bsys\b", options=IDENTITY + ",sec=krb5")

    def test_other_transport(self):
        self.refused(USAGE, r"\bproto\b.*udp.*\btcp\b", options=IDENTITY + ",proto=udp")

    def test_locks_on_the_server(self):
        self.refused(USAGE, r"\block\b", options=IDENTITY + ",lock")

    def test_source_without_a_path(self):
        for source in ("nas1", "nas1:", ":/exports/a", "nas1:exports"):
            with self.subTest(source):
                self.refused(USAGE, r"server:/", source=source)


class Server(Refusal):
    """The server cannot be reached or does not want us."""

    def test_unknown_host(self):
        source = "nosuchhost:/exports/a"
        self.refused(FAILED, self.cannot_mount(source, "the host nosuchhost is unknown",
                                               "check its name"), source=source)

    def test_closed_port(self):
        address = suite.lab().new_address()
        source = f"{address}:/exports/a"
        self.refused(FAILED, self.cannot_mount(source, "connection refused by .*:20048",
                                               "check that the server runs"),
                     source=source, options=IDENTITY + ",port=2049,mountport=20048,retry=0")

    def test_no_portmapper(self):
        source = f"{suite.lab().new_address()}:/exports/a"
        self.refused(FAILED, self.cannot_mount(source, "portmap|rpcbind", "mountport"),
                     source=source, options=IDENTITY + ",retry=0")

    def test_no_such_export(self):
        source = "nas1:/exports/absent"
        self.refused(FAILED, self.cannot_mount(source, "(no such|not export|does not exist)",
                                               "export"), source=source)

    def test_export_refused_to_this_host(self):
        source = "nas1:/exports/refused"
        self.refused(FAILED, self.cannot_mount(source, "refused", "export"), source=source)

    def test_root_of_the_share_not_readable_for_the_identity(self):
        source = "nas1:/exports/private"
        self.refused(FAILED, self.cannot_mount(source, "not readable for 1001:1001 .*mode 0700",
                                               "grant access"),
                     source=source)

    def test_only_krb5(self):
        source = "nas1:/exports/krb"
        self.refused(FAILED, self.cannot_mount(source, "krb5", "sec=sys"), source=source)

    def test_silent_server_is_given_up_even_by_a_hard_mount(self):
        server = self.silent_server((ganesha.MOUNT_PORT, ganesha.NFS_PORT))
        source = f"{server.address}:/exports/a"
        for kind in ("hard", "soft"):
            with self.subTest(kind):
                begin = time.monotonic()
                self.refused(FAILED, self.cannot_mount(source, "(no answer|not answer|timed out)",
                                                       r"\w"), source=source,
                             options=f"{IDENTITY},port=2049,mountport=20048,{kind},"
                                     "timeo=5,retrans=1,retry=0")
                self.assertLess(time.monotonic() - begin, 10)
        self.assertGreater(server.connections, 0)

    def test_silent_portmapper(self):
        server = self.silent_server((ganesha.PORTMAP_PORT,))
        source = f"{server.address}:/exports/a"
        self.refused(FAILED, self.cannot_mount(source, "(no answer|not answer|timed out)",
                                               "mountport"),
                     source=source, options=IDENTITY + ",timeo=5,retrans=1,retry=0")

    def test_server_that_talks_garbage(self):
        answers = {
            "another protocol": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            "record of random words": b"\x80\x00\x00\x40" + bytes(range(64)),
            "record that is too long": b"\xff\xff\xff\xff" + bytes(64),
            "empty records": b"\x80\x00\x00\x00" * 16,
            "answer to nobody": b"\x80\x00\x00\x18" + b"\xde\xad\xbe\xef" + b"\x00\x00\x00\x01"
                                + bytes(16),
        }
        for what, answer in answers.items():
            with self.subTest(what):
                server = self.garbage_server((ganesha.MOUNT_PORT, ganesha.NFS_PORT), answer)
                source = f"{server.address}:/exports/a"
                self.refused(FAILED, self.cannot_mount(source, r"\w", r"\w"), source=source,
                             options=IDENTITY + ",port=2049,mountport=20048,timeo=5,retrans=1,"
                                                "retry=0")


class MountPoint(Refusal):
    """This machine does not want us."""

    def test_missing(self):
        self.refused(FAILED, r"/run/uidnfs-lab/mnt/absent.*(does not exist|no such)",
                     point="/run/uidnfs-lab/mnt/absent")

    def test_not_a_directory(self):
        point = suite.lab().new_mountpoint() / "file"
        point.touch()
        self.refused(FAILED, rf"{point}.*not a directory", point=point)

    def test_a_path_that_is_too_long(self):
        """Beyond what a system call takes; reached step by step."""
        before = os.open(".", os.O_RDONLY)
        self.addCleanup(os.close, before)
        self.addCleanup(os.fchdir, before)
        os.chdir(suite.lab().new_mountpoint())
        for _ in range(20):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        self.refused(FAILED, r"the mount point cannot be opened \(File name too long\)", point=".")

    def test_the_root(self):
        for point in "/", "/proc/self/root", "//":
            self.refused(FAILED, r"nobody would see it under /; choose a directory below it", point=point)

    def test_proc(self):
        self.refused(FAILED, r"cannot mount .* on /proc/: .*; choose another directory", point="/proc/")

    def test_already_a_mount_of_ours(self):
        mount = self.mount()
        done = self.uidnfs.run("mount", "nas1:/exports/shared", mount.path, "-o", IDENTITY)
        self.assertEqual(FAILED, done.returncode)
        self.assertRegex(done.stderr, rf"{mount.path}.*(busy|already)")
        self.assertEqual(1, len(self.uidnfs.mounts()))
        self.assertEqual("a", mount.export_path.name)
        self.assertEqual(2, len(self.uidnfs.processes()))

    def slow_mount(self, path):
        """A `uidnfs mount` whose server is about to answer."""
        host = suite.lab().proxy()
        self.addCleanup(host.stop)
        self.addCleanup(suite.clear_away, self.uidnfs)
        rule = host.rule(rpc_proxy.named("NFS3 FSINFO"), rpc_proxy.DelayReply(1.0))
        process = self.uidnfs.start("mount", f"{host.address}:/exports/a", path, "-o", IDENTITY,
                                    stderr=subprocess.PIPE)
        rule.wait_for_hits(1)
        return process

    def test_a_mount_of_ours_that_came_meanwhile(self):
        path = suite.lab().new_mountpoint()
        process = self.slow_mount(path)
        done = self.uidnfs.run("mount", f"{self.server.address}:/exports/a", path, "-o", IDENTITY)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRegex(process.communicate(timeout=20)[1], rf"{path}.*mounted there already")
        self.assertEqual(FAILED, process.returncode)
        self.assertEqual(1, len(self.uidnfs.mounts()))

    def test_on_what_came_meanwhile(self):
        """Made before it and attached after it: what lies on top is not what the kernel lists last."""
        path = suite.lab().new_mountpoint()
        process = self.slow_mount(path)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
        self.addCleanup(subprocess.run, ["umount", path], check=True)
        self.assertEqual("", process.communicate(timeout=20)[1])
        done = self.uidnfs.run("umount", path)
        self.assertEqual(0, done.returncode, done.stderr)
        self.uidnfs.check_nothing_left()

    def test_where_an_older_mount_is_hidden(self):
        """Something lies over the directory above it: nobody sees it, and it is in nobody's way."""
        above = suite.lab().new_mountpoint()
        path = above / "point"

        def run(*words):
            done = self.uidnfs.run(*words)
            self.assertEqual((0, ""), (done.returncode, done.stderr))
        path.mkdir()
        run("mount", "nas1:/exports/a", path, "-o", IDENTITY)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", above], check=True)
        try:
            path.mkdir()
            run("mount", "nas1:/exports/shared", path, "-o", IDENTITY)
            self.assertEqual(2, len(self.uidnfs.mounts()))
            run("umount", path)
        finally:
            subprocess.run(["umount", "-l", above], check=True)
        run("umount", path)
        self.uidnfs.check_nothing_left()

    def test_of_many_at_once_one_is_mounted(self):
        point = suite.lab().new_mountpoint()
        many = [self.uidnfs.start("mount", "nas1:/exports/shared", point, "-o", IDENTITY,
                                  stderr=subprocess.PIPE) for _ in range(8)]
        said = [(process.communicate(timeout=30)[1], process.returncode) for process in many]
        self.assertEqual([0] + [FAILED] * 7, sorted(code for _, code in said), said)
        for text, code in said:
            self.assertIn("is mounted there already" if code else "", text)
        self.assertEqual(1, len(self.uidnfs.mounts()))
        done = self.uidnfs.run("umount", point)
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_no_fuse_device(self):
        hide = ("mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && "
                "mknod -m 444 /dev/urandom c 1 9")
        self.refused(FAILED, r"/dev/fuse.*(no such|missing|does not exist)", r"modprobe fuse",
                     prefix=self.with_other_dev(hide))

    def test_fuse_device_not_permitted(self):
        forbid = ("mount -t tmpfs -o nodev tmpfs /run/lock && "
                  "mknod -m 666 /run/lock/fuse c 10 229 && mount --bind /run/lock/fuse /dev/fuse")
        self.refused(FAILED, r"/dev/fuse.*(permi|denied|not allowed)",
                     prefix=self.with_other_dev(forbid))

    def with_other_dev(self, script):
        """Prefix for a command that sees another /dev, in a mount namespace of its own."""
        return ("unshare", "--mount", "--propagation", "private", "sh", "-ec",
                f'{script}; exec "$@"', "sh")

    def test_the_other_dev_is_what_the_test_thinks(self):
        seen = subprocess.run(
            [*self.with_other_dev("mount -t tmpfs tmpfs /dev"), "ls", "/dev"],
            capture_output=True, text=True, check=True)
        self.assertEqual("", seen.stdout)
        self.assertTrue(os.path.exists("/dev/fuse"))
