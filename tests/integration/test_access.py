# SPDX-License-Identifier: Apache-2.0
"""Who may use a mount, whose files it shows, and what chown means on it."""

import errno
import os

import suite


class Doors(suite.MountedTest):
    """access=app, the default: the application user and root, nobody else."""

    def setUp(self):
        super().setUp()
        self.app.write_file(self.path("f"), b"for the app")
        self.app.chmod(self.path("f"), 0o666)
        self.app.chmod(self.path(), 0o777)

    def test_another_user_gets_no_data(self):
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            with self.subTest(flags=flags), self.assert_errno(errno.EACCES):
                self.other.open(self.path("f"), flags)

    def test_another_user_gets_no_listing(self):
        with self.assert_errno(errno.EACCES):
            self.other.listdir(str(self.m.path))
        with self.assert_errno(errno.EACCES):
            self.other.listdir(self.path())

    def test_another_user_changes_nothing(self):
        changes = {
            "create": lambda: self.other.write_file(self.path("new"), b""),
            "mkdir": lambda: self.other.mkdir(self.path("new")),
            "symlink": lambda: self.other.symlink("f", self.path("new")),
            "link": lambda: self.other.link(self.path("f"), self.path("new")),
            "mknod": lambda: self.other.mkfifo(self.path("new")),
            "rename": lambda: self.other.rename(self.path("f"), self.path("new")),
            "unlink": lambda: self.other.unlink(self.path("f")),
            "truncate": lambda: self.other.truncate(self.path("f"), 0),
        }
        for what, change in changes.items():
            with self.subTest(what), self.assert_errno(errno.EACCES):
                change()
        self.assertEqual(["f"], os.listdir(self.on_server()))
        self.assertEqual(11, os.stat(self.on_server("f")).st_size)

    def test_root_may_use_it_and_is_the_mapped_identity_too(self):
        self.assertEqual(b"for the app", self.root.read_file(self.path("f")))
        self.root.write_file(self.path("by-root"), b"root was here")
        self.root.mkdir(self.path("dir-by-root"))
        self.assertIn("by-root", self.root.listdir(self.path()))
        for name in ("by-root", "dir-by-root"):
            self.assert_owner(os.stat(self.on_server(name)), 1001, 1001)
            self.assert_owner(self.app.stat(self.path(name)), 2000, 2000)

    def test_server_decides_about_the_identity(self):
        """Mode bits are the server's business: 1001 does not own this file, whatever is shown."""
        with open(self.on_server("roots"), "wb") as file:
            file.write(b"secret")
        os.chmod(self.on_server("roots"), 0o600)
        with self.assert_errno(errno.EACCES):
            self.app.read_file(self.path("roots"))
        with self.assert_errno(errno.EACCES):
            self.root.read_file(self.path("roots"))
        self.assert_owner(self.app.stat(self.path("roots")), 2000, 2000)

    def test_chmod_of_a_strangers_file_is_refused(self):
        with open(self.on_server("roots"), "wb"):
            pass
        with self.assert_errno(errno.EPERM):
            self.app.chmod(self.path("roots"), 0o777)


class Chown(suite.MountedTest):
    """To the application user: nothing to do. To anybody else: not possible."""

    def setUp(self):
        super().setUp()
        self.app.write_file(self.path("f"), b"")
        self.m.host.clear()

    def sent(self):
        return self.m.host.calls("NFS3 SETATTR")

    def test_to_the_application_user_succeeds_and_sends_nothing(self):
        for actor in (self.app, self.root):
            for uid, gid in ((2000, 2000), (2000, -1), (-1, 2000), (-1, -1)):
                with self.subTest(by=actor.uid, uid=uid, gid=gid):
                    actor.chown(self.path("f"), uid, gid)
        self.assertEqual([], self.sent())
        self.assert_owner(os.stat(self.on_server("f")), 1001, 1001)

    def test_to_another_user_is_refused_and_sends_nothing(self):
        for uid, gid in ((3000, -1), (-1, 3000), (1001, 1001), (0, 0), (2000, 3000)):
            with self.subTest(uid=uid, gid=gid), self.assert_errno(errno.EPERM):
                self.root.chown(self.path("f"), uid, gid)
        self.assertEqual([], self.sent())
        self.assert_owner(os.stat(self.on_server("f")), 1001, 1001)

    def test_of_a_symlink_itself(self):
        self.app.symlink("absent", self.path("s"))
        self.m.host.clear()
        self.app.run("os.lchown(path, 2000, 2000)", path=self.path("s"))
        self.assertEqual([], self.sent())

    def test_archive_unpacked_by_root_keeps_working(self):
        """`cp -a` by root: chown to the owner it sees, mode and times."""
        self.app.write_file(self.path("f"), b"copied")
        code = self.root.spawnv(os.P_WAIT, "/bin/cp", ["cp", "-a", self.path("f"), self.path("g")])
        self.assertEqual(0, code)
        self.assertEqual(b"copied", self.app.read_file(self.path("g")))


class Options(suite.IntegrationTest):
    """The same doors, opened or shut by options."""

    def test_access_any(self):
        mount = self.mount(options="access=any")
        other = self.actor(3000)
        other.write_file(mount / "by-3000", b"welcome")
        self.assert_owner(os.stat(mount.on_server("by-3000")), 1001, 1001)
        self.assert_owner(other.stat(mount / "by-3000"), 2000, 2000)
        self.assertIn("by-3000", other.listdir(str(mount.path)))

    def test_another_application_user(self):
        mount = self.mount(options="app_uid=3000,app_gid=3001")
        owner = self.actor(3000)
        owner.write_file(mount / "by-3000", b"mine")
        self.assert_owner(owner.stat(mount / "by-3000"), 3000, 3001)
        self.assert_owner(os.stat(mount.on_server("by-3000")), 1001, 1001)
        with self.assert_errno(errno.EACCES):
            self.actor(2000).read_file(mount / "by-3000")

    def test_read_only(self):
        os.close(os.open(suite.lab().export("a").path / "there", os.O_CREAT))
        mount = self.mount(options="ro")
        app = self.actor(2000)
        self.assertIn("there", app.listdir(str(mount.path)))
        changes = {
            "create": lambda: app.write_file(mount / "new", b""),
            "open": lambda: app.open(mount / "there", os.O_WRONLY),
            "mkdir": lambda: app.mkdir(mount / "new"),
            "unlink": lambda: app.unlink(mount / "there"),
            "chmod": lambda: app.chmod(mount / "there", 0o777),
        }
        for what, change in changes.items():
            with self.subTest(what), self.assert_errno(errno.EROFS):
                change()

    def test_every_mount_is_nosuid_and_nodev(self):
        mount = self.mount()
        entry = next(e for e in self.uidnfs.mounts() if e.mountpoint == str(mount.path))
        self.assertLessEqual({"nosuid", "nodev", "rw"}, set(entry.options))
        self.assertEqual("fuse.uidnfs", entry.kind)
        self.assertEqual(mount.source, entry.source)


class Strict(suite.IntegrationTest):
    """access=strict: the kernel refuses everybody else before anybody is asked."""

    def setUp(self):
        super().setUp()
        self.m = self.mount(options="access=strict")
        self.app = self.actor(suite.APP_UID)
        self.app.write_file(self.m / "strict", b"mine")
        self.addCleanup(self.app.unlink, self.m / "strict")

    def asked(self):
        """Requests of every kind that have reached the worker."""
        operations = self.m.status()["operations"]
        return {name: counter["count"] for name, counter in operations.items()
                if name not in ("FORGET", "BATCH_FORGET", "RELEASE", "RELEASEDIR")}

    def test_application_user_works(self):
        self.assertEqual(b"mine", self.app.read_file(self.m / "strict"))
        self.assertIn("strict", self.app.listdir(str(self.m.path)))
        self.assert_owner(os.stat(self.m.on_server("strict")), 1001, 1001)

    def test_others_and_root_get_nothing_not_even_cached_attributes(self):
        self.app.stat(self.m / "strict")
        before = self.asked()
        for uid in (0, 3000):
            other = self.actor(uid)
            attempts = {
                "stat": lambda: other.stat(self.m / "strict"),
                "stat of the root": lambda: other.stat(str(self.m.path)),
                "list": lambda: other.listdir(str(self.m.path)),
                "read": lambda: other.read_file(self.m / "strict"),
                "create": lambda: other.write_file(self.m / "new", b""),
                "unlink": lambda: other.unlink(self.m / "strict"),
                "chdir": lambda: other.chdir(str(self.m.path)),
            }
            for what, attempt in attempts.items():
                with self.subTest(what, uid=uid), self.assert_errno(errno.EACCES):
                    attempt()
        self.assertEqual(before, self.asked())

    def test_every_gid_must_be_the_applications_supplementary_ones_need_not(self):
        with self.assert_errno(errno.EACCES):
            self.actor(suite.APP_UID, gid=2001).read_file(self.m / "strict")
        with self.assert_errno(errno.EACCES):
            self.actor(0).run("""
os.setresgid(2000, 2000, 2001)
os.setresuid(2000, 2000, 2000)
os.stat(path)
""", path=self.m / "strict")
        member = self.actor(suite.APP_UID, groups=(5001,))
        self.assertEqual(b"mine", member.read_file(self.m / "strict"))

    def test_root_still_asks_how_it_is_and_unmounts_it(self):
        self.assertEqual("healthy", self.m.status()["state"])
        mount = self.mount(options="access=strict")
        self.assertEqual(0, mount.umount().returncode)


class Mapped(suite.IntegrationTest):
    """present=mapped: whose files are shown as whose, and what chown means then."""

    def setUp(self):
        super().setUp()
        self.m = self.mount("shared", options="present=mapped")
        self.root = self.actor(0)
        self.there = self.m.on_server(f"mapped-{self.id().rsplit('.', 1)[-1]}")
        os.mkdir(self.there)
        os.chmod(self.there, 0o777)
        self.here = str(self.m / os.path.basename(self.there))
        self.put("ours", 1001, 1001)
        self.put("foreign", 1234, 5678)
        self.put("lookalike", 2000, 2000)
        self.put("half", 1001, 2000)
        self.m.host.clear()

    def put(self, name, uid, gid):
        with open(f"{self.there}/{name}", "wb"):
            pass
        os.chown(f"{self.there}/{name}", uid, gid)

    def chown(self, name, uid, gid):
        self.root.chown(f"{self.here}/{name}", uid, gid)

    def sent(self):
        return len(self.m.host.calls("NFS3 SETATTR"))

    def test_owners_as_they_are_shown(self):
        shown = {"ours": (2000, 2000), "foreign": (1234, 5678), "lookalike": (65534, 65534),
                 "half": (2000, 65534)}
        for name, owner in shown.items():
            with self.subTest(name):
                self.assert_owner(self.root.stat(f"{self.here}/{name}"), *owner)
        listed = self.root.run("""
result = {entry.name: (entry.stat().st_uid, entry.stat().st_gid) for entry in os.scandir(path)}
""", path=self.here)
        self.assertEqual(shown, listed)

    def test_chown_to_what_is_shown_sends_nothing(self):
        for name, uid, gid in (("ours", 2000, 2000), ("foreign", 1234, 5678),
                               ("lookalike", 65534, -1), ("half", 2000, 65534)):
            with self.subTest(name):
                self.chown(name, uid, gid)
        self.assertEqual(0, self.sent())

    def test_chown_to_somebody_else_is_refused_and_sends_nothing(self):
        for name, uid, gid in (("ours", 1234, -1), ("ours", 1001, -1), ("ours", -1, 5678),
                               ("foreign", 0, 0), ("foreign", -1, 1001)):
            with self.subTest(name, uid=uid, gid=gid), self.assert_errno(errno.EPERM):
                self.chown(name, uid, gid)
        self.assertEqual(0, self.sent())

    def test_giving_a_foreign_file_to_the_application_is_the_servers_decision(self):
        with self.assert_errno(errno.EPERM):
            self.chown("foreign", 2000, 2000)
        self.assertEqual(1, self.sent())
        self.assert_owner(os.stat(f"{self.there}/foreign"), 1234, 5678)
        # Its own file may go to its own group.
        self.chown("half", -1, 2000)
        self.assertEqual(2, self.sent())
        self.assert_owner(os.stat(f"{self.there}/half"), 1001, 1001)
