# SPDX-License-Identifier: Apache-2.0
"""A real Docker engine with uidnfsd as its volume driver: who the files belong to on both sides,
what an image leaves on an empty share, and what docker(1) says when something is wrong."""

import json
import os
import pathlib
import shlex
import shutil
import stat
import time

import docker_engine
import docker_suite
import sandbox
import slapd
import volume_daemon
from uidnfs_command import wait_until

ALICE = slapd.Person("alice", 1001, 1001, "alice-Pa55word")


class IdentityTest(docker_suite.DockerTest):
    def test_the_container_sees_itself_and_the_server_sees_the_identity(self):
        self.volume("team-a")
        said = self.run_app("team-a", "id -u; echo hello > /data/hello; stat -c %u:%g /data/hello")
        self.assertEqual(["2000", "2000:2000"], said.split())
        self.assert_owner(os.stat(self.on_server("hello")), 1001, 1001)
        self.assertEqual(b"hello\n", self.read_on_server("hello"))
        self.assert_nothing_mounted()

    def test_two_applications_under_two_identities_on_one_share(self):
        self.volume("one", export="shared", uid=1001, gid=1001)
        self.volume("two", export="shared", uid=1002, gid=1002)
        self.start_app("first", "one", "umask 077; echo mine > /data/of-one; exec sleep 60")
        self.start_app("second", "two", "umask 077; echo mine > /data/of-two; exec sleep 60")
        for name, mine, other in (("first", "of-one", "of-two"), ("second", "of-two", "of-one")):
            with self.subTest(name):
                self.wait_for(self.on_server(mine, "shared"))
                self.wait_for(self.on_server(other, "shared"))
                self.assertEqual("mine", self.docker("exec", name, "cat", f"/data/{mine}"))
                self.assertIn("Permission denied",
                              self.refusal("exec", name, "cat", f"/data/{other}"))
                self.assertIn("not permitted", self.refusal("exec", name, "chmod", "666",
                                                            f"/data/{other}"))
        self.assert_owner(os.stat(self.on_server("of-one", "shared")), 1001, 1001)
        self.assert_owner(os.stat(self.on_server("of-two", "shared")), 1002, 1002)

    def wait_for(self, path):
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path), 10, path)

    def test_root_in_a_container_is_the_identity_too(self):
        self.volume("team-a")
        self.run_app("team-a", "echo x > /data/by-root", user="0:0")
        self.assert_owner(os.stat(self.on_server("by-root")), 1001, 1001)

    def test_two_containers_share_one_volume(self):
        self.volume("team-a")
        self.start_app("holder", "team-a", "exec sleep 60")
        self.run_app("team-a", "echo shared > /data/f")
        self.assertEqual(1, len(self.daemon.mounts()))
        self.assertEqual("shared", self.docker("exec", "holder", "cat", "/data/f"))
        self.docker("rm", "-f", "holder")
        self.assert_nothing_mounted()

    def test_the_application_user_of_an_image(self):
        self.volume("team-a", "app_uid=33", "app_gid=34")
        self.assertEqual("33:34", self.run_app("team-a", "echo x > /data/f; stat -c %u:%g /data/f",
                                               user="33:34"))
        self.assert_owner(os.stat(self.on_server("f")), 1001, 1001)


class ReadOnlyTest(docker_suite.DockerTest):
    def test_of_the_container_and_of_the_volume(self):
        self.volume("writable")
        self.volume("fixed", "ro")
        self.run_app("writable", "echo old > /data/f")
        for volume in ("writable:/data:ro", "fixed"):
            with self.subTest(volume):
                self.assertEqual("old", self.run_app(volume, "cat /data/f"))
                for script in ("echo new > /data/f", "rm /data/f", "touch /data/g"):
                    self.assertIn("Read-only file system",
                                  self.refusal(*docker_suite.run_words(volume, script)))
        self.assertEqual(b"old\n", self.read_on_server("f"))
        self.assertEqual(["f"], os.listdir(self.on_server()))

    def test_one_container_reads_what_the_other_writes(self):
        self.volume("team-a")
        self.start_app("writer", "team-a", "echo news > /data/f; exec sleep 60")
        self.assertEqual("news", self.run_app(
            "team-a:/data:ro", "until [ -s /data/f ]; do sleep 0.1; done; cat /data/f"))


class CopyUp(docker_suite.DockerTest):
    """An image with files where the volume goes: the engine copies them there, as root."""

    def add_image(self, name, owner, mode):
        inside = [
            docker_engine.File("data", mode=mode, owner=owner),
            docker_engine.File("data/roots", b"by root", mode=0o640, owner=(0, 0)),
            docker_engine.File("data/others", b"by 33", mode=0o600, owner=(33, 33)),
            docker_engine.File("data/sub", mode=0o700, owner=owner),
            docker_engine.File("data/sub/deep", b"deep", mode=0o444, owner=owner),
            docker_engine.File("data/link", link="sub/deep"),
        ]
        self.engine.add_image(name, inside)
        return name

    def root_of_share(self):
        found = os.stat(self.on_server())
        return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)

    def test_an_images_files_arrive_and_the_shares_root_stays(self):
        before = self.root_of_share()
        for number, owner in enumerate(((0, 0), (2000, 2000), (33, 33))):
            with self.subTest(owner=owner):
                image = self.add_image(f"image{number}", owner, 0o750)
                self.volume(f"vol{number}")
                self.assertEqual("by rootby 33deep", self.run_app(
                    f"vol{number}", "cat /data/roots /data/others /data/link", image=image))
                self.assertEqual(before, self.root_of_share())
                for name, mode in (("roots", 0o640), ("others", 0o600), ("sub", 0o700),
                                   ("sub/deep", 0o444)):
                    found = os.stat(self.on_server(name))
                    self.assert_owner(found, 1001, 1001)
                    self.assertEqual(mode, stat.S_IMODE(found.st_mode), name)
                self.assertEqual("sub/deep", os.readlink(self.on_server("link")))
                docker_suite.empty(self.on_server())

    def test_nocopy_leaves_the_share_empty_and_as_it_is(self):
        before = self.root_of_share()
        image = self.add_image("image", (0, 0), 0o700)
        self.volume("vol")
        self.assertEqual("", self.run_app("vol:/data:nocopy", "ls -A /data", image=image))
        self.assertEqual([], os.listdir(self.on_server()))
        self.assertEqual(before, self.root_of_share())

    def test_a_share_with_files_keeps_them_alone(self):
        before = self.root_of_share()
        image = self.add_image("image", (0, 0), 0o700)
        self.volume("vol")
        self.run_app("vol", "echo x > /data/own")
        self.assertEqual("own", self.run_app("vol", "ls -A /data", image=image))
        self.assertEqual(before, self.root_of_share())

    def test_a_read_only_volume(self):
        image = self.add_image("image", (0, 0), 0o700)
        self.volume("vol", "ro")
        self.assertIn("read-only file system",
                      self.refusal(*docker_suite.run_words("vol", "true", image=image)))
        self.assertEqual("", self.run_app("vol:/data:nocopy", "ls -A /data", image=image))

    def test_an_entrypoint_that_gives_the_data_to_its_user(self):
        self.volume("vol", "app_uid=33", "app_gid=33")
        self.run_app("vol", "mkdir /data/d; echo x > /data/d/f; chown -R 33:33 /data; "
                            "chmod 700 /data; chmod 700 /data/d; chown -R 44:44 /data", user="0:0")
        self.assertEqual((1001, 1001, 0o755), self.root_of_share())
        found = os.stat(self.on_server("d"))
        self.assertEqual((1001, 0o700), (found.st_uid, stat.S_IMODE(found.st_mode)))
        self.assertEqual("33:33 x", self.run_app(
            "vol", "echo $(stat -c %u:%g /data/d/f) $(cat /data/d/f)", user="33:33"))

    def test_docker_cp_in_and_out(self):
        self.volume("vol")
        self.start_app("holder", "vol", "exec sleep 60")
        directory = self.daemon.root / "given"
        directory.mkdir()
        (directory / "f").write_text("copied", encoding="ascii")
        for owner in (0, 33):
            with self.subTest(owner=owner):
                os.chown(directory / "f", owner, owner)
                self.docker("cp", f"{directory}/.", "holder:/data")
                self.assertEqual("copied", self.docker("exec", "holder", "cat", "/data/f"))
                self.assert_owner(os.stat(self.on_server("f")), 1001, 1001)
                self.assertEqual((1001, 1001, 0o755), self.root_of_share())
        self.docker("cp", "holder:/data/f", directory / "back")
        self.assertEqual("copied", (directory / "back").read_text(encoding="ascii"))
        self.docker("rm", "-f", "holder")
        self.assert_nothing_mounted()

    def held(self):
        """State, holders and keeper of the one volume, and what is mounted."""
        status, text = self.daemon.admin_ask("GET", "/volumes")
        self.assertEqual(200, status, text)
        volume, = json.loads(text)
        return volume["state"], volume["holders"], volume.get("keeper_pid"), self.daemon.mounts()

    def test_docker_cp_leaves_the_mount_of_its_container_alone(self):
        self.volume("vol")
        self.start_app("holder", "vol", "echo x > /data/f; exec sleep 60")
        before = self.held()
        self.assertEqual(("mounted", 1, 1), (before[0], len(before[1]), len(before[3])))
        target = self.daemon.root / "copied"
        for words in (("holder:/bin/busybox", target), (target, "holder:/tmp/copied"),
                      ("holder:/data/f", target), (target, "holder:/data/g")):
            with self.subTest(words=words):
                self.docker("cp", *words)
                self.assertEqual(before, self.held())
        with self.subTest("of a daemon that was started again"):
            self.daemon.stop()
            self.daemon.start()
            wait_until(lambda: self.held() == before, 10, "the mount is found again")
            self.docker("cp", "holder:/bin/busybox", target)
            self.assertEqual(before, self.held())
        with self.subTest("a second container has the same mount"):
            self.run_app("vol", "cat /data/f")
            self.assertEqual(before, self.held())
        self.docker("rm", "-f", "holder")
        self.assertEqual(("created", [], None, []), self.held())

    def test_the_application_itself_changes_the_shares_root(self):
        self.addCleanup(os.chmod, self.on_server(), 0o755)
        self.volume("vol")
        self.run_app("vol", "chmod 750 /data")
        self.assertEqual((1001, 1001, 0o750), self.root_of_share())
        self.assertIn("not permitted",
                      self.refusal(*docker_suite.run_words("vol", "chown 33 /data")))


class CommandsTest(docker_suite.DockerTest):
    rule = volume_daemon.RULE.replace('"nas1:/exports/*"',
                                      f'"nas1:/exports/*", "{sandbox.SERVER_ADDRESS}:/exports/*"')

    def test_ls_inspect_and_rm(self):
        self.volume("team-a")
        self.volume("team-b", uid=1002)
        self.assertEqual(["uidnfs team-a", "uidnfs team-b"], sorted(self.docker(
            "volume", "ls", "--format", "{{.Driver}} {{.Name}}").splitlines()))
        found = self.engine.inspect("volume", "inspect", "team-a")
        self.assertEqual(("uidnfs", "local"), (found["Driver"], found["Scope"]))
        self.assertEqual("created", found["Status"]["state"])
        self.assertRegex(found["CreatedAt"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(f"nas1:{self.export().share}", found["Status"]["source"])
        self.start_app("holder", "team-a", "exec sleep 60")
        found = self.engine.inspect("volume", "inspect", "team-a")
        self.assertEqual(("mounted", 1), (found["Status"]["state"], found["Status"]["holders"]))
        self.assertIn("in use", self.refusal("volume", "rm", "team-a"))
        self.docker("rm", "-f", "holder")
        self.docker("volume", "rm", "team-a", "team-b")
        self.assertEqual("", self.docker("volume", "ls", "-q"))
        self.assertIn("No such volume", self.refusal("volume", "inspect", "team-a"))

    def test_volumes_are_there_after_a_restart_of_both(self):
        self.volume("team-a")
        self.daemon.stop()
        self.engine.stop()
        self.daemon.start()
        self.engine.start()
        self.assertEqual("team-a", self.docker("volume", "ls", "-q"))
        self.run_app("team-a", "echo x > /data/f")
        self.assert_owner(os.stat(self.on_server("f")), 1001, 1001)

    def test_a_volume_that_a_container_makes_by_itself(self):
        self.docker("run", "--rm", "-u", "2000:2000", "--mount",
                    "type=volume,dst=/data,src=team-a,volume-driver=uidnfs,"
                    f"volume-opt=share=nas1:{self.export().share},volume-opt=uid=1001,"
                    "volume-opt=gid=1001", docker_engine.IMAGE, "touch", "/data/f")
        self.assert_owner(os.stat(self.on_server("f")), 1001, 1001)

    def test_the_words_of_dockers_own_nfs_volumes(self):
        for number, address in enumerate(("nas1", self.server.address)):
            with self.subTest(address):
                name = f"team-{number}"
                self.docker("volume", "create", "-d", "uidnfs", "-o", "type=nfs", "-o",
                            f"device=:{self.export().share}", "-o",
                            f"o=addr={address},uid=1001,gid=1001,rw,hard,nfsvers=3", name)
                self.run_app(name, f"touch /data/f{number}")
                self.assert_owner(os.stat(self.on_server(f"f{number}")), 1001, 1001)

    def test_what_is_wrong_is_said_at_create(self):
        share = f"share=nas1:{self.export().share}"
        for options, reason in (
                (["uid=1001"], "required 'gid' option is missing"),
                (["uid=0", "gid=0"], "Invalid 'uid' option"),
                (["uid=1001", "gid=1001", "timeo=1"], "only the operator sets it"),
                (["uid=1001", "gid=1001", "app_udi=5"], "did you mean app_uid?"),
                (["uid=1001", "gid=1001", "vers=4.1"], "3")):
            with self.subTest(options=options):
                words = [word for option in (share, *options) for word in ("-o", option)]
                message = self.refusal("volume", "create", "-d", "uidnfs", *words, "wrong")
                self.assertIn(reason, message)
        self.assertEqual("", self.docker("volume", "ls", "-q"))

    def test_what_the_policy_refuses_is_said_at_run(self):
        self.volume("foreign", uid=5000)
        message = self.refusal(*docker_suite.run_words("foreign", "true"))
        self.assertIn("uid 5000", message)
        self.assertNotIn(str(self.daemon.volumes), message)

    def test_a_share_that_does_not_exist(self):
        self.docker("volume", "create", "-d", "uidnfs", "-o", "share=nas1:/exports/none", "-o",
                    "uid=1001", "-o", "gid=1001", "none")
        began = time.monotonic()
        message = self.refusal(*docker_suite.run_words("none", "true"))
        self.assertLess(time.monotonic() - began, 8)
        self.assertIn("nas1:/exports/none", message)
        self.assert_nothing_mounted()


class ReadmeTest(docker_suite.DockerTest):
    def test_use_it_with_docker_works_as_pasted(self):
        text = (pathlib.Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
        section = text.split("## Use it with Docker", 1)[1].split("\n## ", 1)[0]
        commands = [line for line in section.splitlines() if line.startswith("docker ")]
        self.assertEqual(["volume", "run"], [command.split()[1] for command in commands])
        self.engine.add_image("debian:12")
        created, ran = (self.docker(*shlex.split(command)[1:]) for command in commands)
        self.assertEqual("team-a", created)
        self.assertRegex(ran, r"^2000\n(?s:.*) 2000 +2000 .* hello$")
        self.assert_owner(os.stat(self.on_server("hello")), 1001, 1001)


class DirectoryTest(docker_suite.DockerTest):
    """Identities from LDAP."""

    def prepare(self):
        root = self.daemon.root
        self.slapd = slapd.Slapd(root / "slapd", [ALICE]).start()
        self.addCleanup(self.slapd.stop)
        (root / "credentials").mkdir(mode=0o755)
        file = root / "credentials" / "team"
        file.write_text(f"username=alice\npassword={ALICE.password}\n", encoding="ascii")
        # As the operator must have it: root's, and for the group of the service to read.
        shutil.chown(file, group="nogroup")
        file.chmod(0o640)
        self.daemon.write(self.daemon.ports, self.rule, self.slapd.section(root))

    def test_username_and_password(self):
        self.volume("alices", "username=alice", f"password={ALICE.password}", uid=None)
        self.run_app("alices", "echo x > /data/f")
        self.assert_owner(os.stat(self.on_server("f")), 1001, 1001)
        self.assertNotIn(ALICE.password, self.daemon.log() + self.daemon.audit.read_text("utf-8"))

    def test_a_wrong_password(self):
        self.volume("alices", "username=alice", "password=not-Pa55word", uid=None)
        message = self.refusal(*docker_suite.run_words("alices", "true"))
        self.assertIn("password", message)
        self.assertNotIn("not-Pa55word", message)
        self.assert_nothing_mounted()

    def test_credentials_of_the_operator(self):
        self.volume("alices", "credentials=team", uid=None)
        self.run_app("alices", "echo x > /data/f")
        self.assert_owner(os.stat(self.on_server("f")), 1001, 1001)
        self.assertNotIn(ALICE.password, self.docker("volume", "inspect", "alices"))
        # Nothing of the password was the daemon's: it is there after a restart too.
        self.daemon.stop()
        self.daemon.start()
        self.run_app("alices", "echo y > /data/g")
        self.assert_owner(os.stat(self.on_server("g")), 1001, 1001)

    def test_credentials_that_do_not_exist(self):
        self.volume("alices", "credentials=other", uid=None)
        self.assertIn("cannot use credentials=other",
                      self.refusal(*docker_suite.run_words("alices", "true")))
        self.assertIn("not a path", self.refusal(
            "volume", "create", "-d", "uidnfs", "-o", f"share=nas1:{self.export().share}", "-o",
            "credentials=../../shadow", "bad"))

    def test_ids_are_not_taken_instead(self):
        self.assertIn("identities come from the directory here", self.refusal(
            "volume", "create", "-d", "uidnfs", "-o", f"share=nas1:{self.export().share}", "-o",
            "uid=1001", "-o", "gid=1001", "bad"))

    def test_a_directory_that_is_down_is_told_in_time(self):
        self.slapd.stop()
        self.volume("alices", "username=alice", f"password={ALICE.password}", uid=None)
        began = time.monotonic()
        message = self.refusal(*docker_suite.run_words("alices", "true"))
        self.assertLess(time.monotonic() - began, 8)
        self.assertIn("LDAP server could not be reached", message)
        self.slapd.start()
        self.run_app("alices", "true")
