# SPDX-License-Identifier: Apache-2.0
"""A front that was taken over: it says to root what it likes, and gets what the policy allows."""

import errno
import json
import os
import pathlib
import pwd
import re
import signal
import subprocess
import threading
import time

import ganesha
import mounter_record
import sandbox
import suite
import volume_daemon
from mounter_record import words
from uidnfs_command import wait_until

RULE = """
[[policy.rule]]
name = "team"
plugins = ["docker"]
sources = ["nas1:/exports/*", "*:/open/**"]
uids = ["1000-1999"]
gids = ["1000-1999"]
"""


class MounterTest(suite.IntegrationTest):
    """One mounter for each test; `self.front` is who commands it."""

    max_mounts = 20

    def setUp(self):
        super().setUp()
        self.daemon = volume_daemon.VolumeDaemon(self.uidnfs, rule=RULE)
        text = self.daemon.config.read_text(encoding="utf-8")
        text = text.replace("deadline_seconds", "forced = { noatime = true }\ndeadline_seconds")
        text = text.replace("[workers]", f"[workers]\nmax_mounts = {self.max_mounts}")
        self.daemon.config.write_text(text, encoding="utf-8")
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.addCleanup(self.daemon.clear)
        self.front = self.new_front()
        self.assertEqual((0, ""), (self.front.first["error"], self.front.first["text"]))

    def new_front(self):
        front = mounter_record.Front(self.daemon.binary, self.daemon.config, self.daemon.log_path)
        self.addCleanup(self.end, front)
        return front

    @staticmethod
    def end(front):
        front.socket.close()
        if front.process.poll() is None:
            front.process.kill()
            front.process.wait()

    def volume(self, *more, uid=1001, gid=1001, source=None, directory="docker-v", **fields):
        """The fields of a start that is allowed unless something else is said."""
        options = ["access=any", f"port={ganesha.NFS_PORT}", f"mountport={ganesha.MOUNT_PORT}",
                   f"uid={uid}", f"gid={gid}", *more, "noatime"]
        return {"directory": directory,
                "source": source or f"nas1:{suite.lab().export('a').share}",
                "options": fields.pop("options", words(*options)), **fields}

    def start(self, *more, **fields):
        return self.front.ask("start", **self.volume(*more, **fields))

    def assert_refused(self, reply, code=None):
        self.assertNotEqual(0, reply["error"], reply)
        if code is not None:
            self.assertEqual(code, reply["error"], reply["text"])
        self.assertNotEqual("", reply["text"])
        self.assertEqual(0, reply["pid"])

    def assert_nothing_left(self):
        self.assertEqual([], self.daemon.mounts())
        wait_until(lambda: not self.uidnfs.processes(), 10, "the end of all processes")
        self.assertEqual([], os.listdir(self.daemon.volumes))

    def named(self, reply):
        return {"directory": "docker-v", "pid": reply["pid"], "start_time": reply["start_time"]}


class RefusalTest(MounterTest):
    def test_what_is_allowed_works(self):
        reply = self.start()
        self.assertEqual(0, reply["error"], reply["text"])
        self.assertIn("team", reply["rule"])
        path = f"{self.daemon.volumes}/docker-v"
        self.assertEqual([path], self.daemon.mounts())
        self.assertEqual(0, self.front.ask("status", **self.named(reply))["error"])
        self.assertEqual(0, self.front.ask("stop", **self.named(reply))["error"])
        self.assert_nothing_left()

    def test_identities_of_others(self):
        for uid, gid in ((0, 1001), (1001, 0), (0, 0), (999, 1001), (2000, 1001), (1001, 2000),
                         (4294967295, 1001), (1001, 4294967295), (4294967296 + 1001, 1001),
                         (-1, 1001)):
            with self.subTest(uid=uid, gid=gid):
                self.assert_refused(self.start(uid=uid, gid=gid))
        for more in (["gids=0"], ["gids=1002:0"], ["gids=5000"], ["gids=1002:5000"],
                     ["gids=" + ":".join(["1002"] * 17)], ["uid=0"], ["gid=0"], ["uid=0x3e9"],
                     ["allow_root_identity"], ["allow_root_identity", "uid=0"],
                     ["identity=caller"]):
            with self.subTest(more=more):
                self.assert_refused(self.start(*more))
        self.assert_refused(self.start(options=words("access=any", "noatime")))
        self.assert_refused(self.start(options=b""))
        self.assert_refused(self.start(from_ldap=1), errno.EACCES)
        self.assert_nothing_left()

    def test_servers_and_exports_of_others(self):
        sandbox.add_host("leads-home", "127.0.0.1")
        for source in ("nas2:/exports/a", "nas1:/etc", "nas1:/exports", "nas1:/exports/a/b",
                       "nas1:/exports/../etc", "nas1:/exports/./a", "nas1://exports/a", "nas1:exports/a",
                       "127.0.0.1:/open/a", "127.1:/open/a", "2130706433:/open/a",
                       "0x7f.1:/open/a", "0177.0.0.1:/open/a", "[::1]:/open/a",
                       "[::ffff:127.0.0.1]:/open/a", "[fe80::1%lo]:/open/a", "0.0.0.0:/open/a",
                       "[::]:/open/a", "localhost:/open/a", "LOCALHOST:/open/a",
                       "localhost.:/open/a", "leads-home:/open/a", "leads-home%lo:/open/a",
                       "no-such-name:/open/a", "nfs://nas1/exports/a",
                       f"{'a' * 300}:/open/a", "--worker-user=root:/open/a", "-oro:/open/a",
                       "nas1:/exports/a\n--worker-user=root", "nas1", ":", "/", ""):
            with self.subTest(source=source):
                reply = self.front.ask("start", **{**self.volume(), "source": source})
                self.assert_refused(reply)
        self.assert_nothing_left()

    def test_a_name_that_leads_elsewhere_now_is_asked_again(self):
        with open("/etc/hosts", encoding="ascii") as hosts:
            before = hosts.read()
        self.addCleanup(self.write_hosts, before)
        sandbox.add_host("moves", self.server.address)
        share = suite.lab().export("a").share
        self.daemon.config.write_text(self.daemon.config.read_text(encoding="utf-8").replace(
            '"nas1:/exports/*"', '"moves:/exports/*"'), encoding="utf-8")
        self.assertEqual(0, self.front.ask("reload")["error"])
        reply = self.start(source=f"moves:{share}")
        self.assertEqual(0, reply["error"], reply["text"])
        self.assertEqual(0, self.front.ask("stop", **self.named(reply))["error"])
        self.write_hosts(before + "127.0.0.1 moves\n")
        time.sleep(2.1)
        reply = self.start(source=f"moves:{share}")
        self.assert_refused(reply, errno.EACCES)
        self.assertIn("127.0.0.1", reply["text"])
        self.assert_nothing_left()

    def test_a_resolver_of_names_that_ends_without_a_word_is_told(self):
        """Its user is not there any more."""
        passwd = pathlib.Path("/etc/passwd")
        before = passwd.read_text(encoding="utf-8")
        self.addCleanup(passwd.write_text, before, encoding="utf-8")
        passwd.write_text(before.replace(f"{volume_daemon.SERVICE_USER}:", "gone:"), encoding="utf-8")
        reply = self.start()
        self.assert_refused(reply, errno.ENOENT)
        self.assertIn("ended without a word", reply["text"])

    @staticmethod
    def write_hosts(text):
        with open("/etc/hosts", "w", encoding="ascii") as hosts:
            hosts.write(text)

    def test_options_of_the_operator(self):
        for word in ("addr=127.0.0.1", "mounthost=127.0.0.1", "port=22", "mountport=22",
                     "log_file=/etc/cron.d/x", "log_level=trace", "noresvport", "flush_deadline=0",
                     "access=app", "soft", "bg", "retry=9999", "nconnect=16", "noexec",
                     "worker-user=root", "worker-memory=1", "foreground", "ready-fd=3",
                     "end-with=1", "o=uid=0", "-o", "--uid=0", "password=x", "sloppy,uid=0",
                     "x\n--uid=0"):
            with self.subTest(word=word):
                self.assert_refused(self.start(word))
        # What is forced cannot be left out.
        options = self.volume()["options"].replace(b"noatime\0", b"")
        self.assert_refused(self.start(options=options), errno.EPERM)
        self.assert_refused(self.start(plugin=1), errno.EACCES)
        self.assert_refused(self.start(plugin=77), errno.EPERM)
        self.assert_nothing_left()

    def test_remount_and_other_words_without_effect_change_nothing(self):
        reply = self.start()
        self.assertEqual(0, reply["error"], reply["text"])
        before = self.front.ask("status", **self.named(reply))["text"]
        again = self.start("remount", "x-y=--uid=0", "sloppy", directory="docker-w")
        self.assertEqual(0, again["error"], again["text"])
        self.assertEqual(2, len(self.daemon.mounts()))
        self.assertIn('"uid":1001', self.front.ask("status", **self.named(reply))["text"] and before)

    def test_a_configuration_of_its_own_is_not_taken(self):
        """What its user could have written: by owner, by group, and by the directory."""
        user = pwd.getpwnam(volume_daemon.SERVICE_USER)
        wide = self.daemon.config.read_text(encoding="utf-8").replace("1000-1999", "1000-2999")
        self.daemon.config.write_text(wide, encoding="utf-8")
        for path, mode, owner, group in ((self.daemon.config, 0o644, user.pw_uid, 0),
                                         (self.daemon.config, 0o664, 0, user.pw_gid),
                                         (self.daemon.root, 0o775, 0, user.pw_gid)):
            before = path.stat()
            path.chmod(mode)
            os.chown(path, owner, group)
            reply = self.front.ask("reload")
            self.assertNotEqual(0, reply["error"])
            self.assert_refused(self.start(uid=2000), errno.EACCES)
            path.chmod(before.st_mode & 0o7777)
            os.chown(path, before.st_uid, before.st_gid)
        self.assertEqual(0, self.front.ask("reload")["error"])
        self.assertEqual(0, self.start(uid=2000)["error"])

    def test_directories_elsewhere(self):
        outside = self.daemon.root / "outside"
        outside.mkdir()
        for name in ("", ".", "..", "../outside", "/etc", "a/b", "docker-v/../../outside", ".x",
                     "a b", "a\nb", "x" * 201):
            for verb in ("start", "stop", "detach", "adopt", "status", "log_level"):
                with self.subTest(verb=verb, name=name):
                    fields = self.volume(directory=name) if verb == "start" else {"directory": name}
                    self.assert_refused(self.front.ask(verb, **fields))
        self.assertTrue(outside.is_dir())
        self.assert_nothing_left()

    def test_a_link_in_the_place_of_the_mount_point(self):
        outside = self.daemon.root / "outside"
        outside.mkdir()
        (self.daemon.volumes / "docker-v").symlink_to(outside)
        self.assert_refused(self.start())
        self.assertEqual([], self.uidnfs.mounts())
        (self.daemon.volumes / "docker-v").unlink()
        self.assert_nothing_left()


class OthersMountTest(MounterTest):
    """What root mounted by hand or from fstab is none of the front's business."""

    def test_it_is_not_adopted_asked_or_ended(self):
        mount = self.mount()
        [entry] = self.uidnfs.mounts()
        minor = int(entry.device.split(":")[1])
        [keeper] = [pid for pid in self.uidnfs.processes()
                    if volume_daemon.status_of(pid, "Name") == "uidnfs-keeper"]
        with open(f"/proc/{keeper}/stat", encoding="ascii") as stat:
            start_time = int(stat.read().rpartition(")")[2].split()[19])
        who = {"directory": "docker-v", "pid": keeper, "start_time": start_time, "minor": minor}
        for verb in ("adopt", "status", "log_level", "stop", "adopt", "detach", "stop"):
            reply = self.front.ask(verb, text="trace", **who)
            if verb != "detach":
                self.assert_refused(reply, errno.ESRCH)
        self.assertTrue(mount.is_mounted())
        self.actor(suite.APP_UID).write_file(str(mount / "f"), b"lives")

    def test_keepers_are_known_by_pid_and_start(self):
        reply = self.start()
        for wrong in ({"pid": reply["pid"] + 1}, {"start_time": reply["start_time"] + 1},
                      {"pid": 1}, {"pid": 0, "start_time": 0}):
            for verb in ("stop", "status", "log_level"):
                self.assert_refused(self.front.ask(verb, **{**self.named(reply), **wrong}),
                                    errno.ESRCH)
        self.assertEqual(1, len(self.daemon.mounts()))


class NumberTest(MounterTest):
    """The device number of a mount that was detached, and with it the name of its control socket, is
    given to the next mount while its own keeper still flushes."""

    def begin(self, name):
        reply = self.start(directory=f"docker-{name}")
        self.assertEqual(0, reply["error"], reply["text"])
        return {"directory": f"docker-{name}", "pid": reply["pid"], "start_time": reply["start_time"],
                "minor": reply["minor"]}

    def test_who_has_it_now_is_told_nothing(self):
        old, new = self.begin("old"), self.begin("new")
        path = f"{self.daemon.volumes}/docker-new"
        [before] = self.uidnfs.status(path)[1]
        sockets = pathlib.Path("/run/uidnfs/mounts")
        # Numbers are the whole machine's: which one comes next is not for a test to say.
        (sockets / f"{old['minor']}.sock").unlink()
        os.link(sockets / f"{new['minor']}.sock", sockets / f"{old['minor']}.sock")
        for verb, text in (("deny", "it left"), ("status", ""), ("log_level", "trace"), ("allow", ""),
                           ("stop", "")):
            with self.subTest(verb):
                reply = self.front.ask(verb, text=text, **old)
                self.assert_refused(reply, errno.ESRCH)
                self.assertIn("another mount has its device number", reply["text"])
        [after] = self.uidnfs.status(path)[1]
        for key in ("denied", "keeper_pid", "worker_pid"):
            self.assertEqual(before.get(key), after.get(key), key)
        inside = pathlib.Path(path) / "f"
        inside.write_bytes(b"its own")
        # By its own number it answers.
        self.assertEqual(0, self.front.ask("status", **new)["error"])
        self.assertEqual(0, self.front.ask("deny", text="it left", **new)["error"])
        with self.assert_errno(errno.EACCES):
            inside.write_bytes(b"no more")


class FloodTest(MounterTest):
    max_mounts = 5

    def silent(self):
        """A share whose server accepts and says nothing."""
        server = self.silent_server((ganesha.NFS_PORT, ganesha.MOUNT_PORT, ganesha.PORTMAP_PORT))
        sandbox.add_host("silent", server.address)
        text = self.daemon.config.read_text(encoding="utf-8")
        self.daemon.config.write_text(
            text.replace('"nas1:/exports/*"', f'"{server.address}:/exports/*", "nas1:/exports/*"'),
            encoding="utf-8")
        self.assertEqual(0, self.front.ask("reload")["error"])
        return f"{server.address}:/exports/a"

    def launchers(self):
        return [line for line in self.uidnfs.command_lines() if " mount " in line]

    def test_a_start_that_hangs_ends_with_its_deadline(self):
        source = self.silent()
        began = time.monotonic()
        reply = self.start(source=source, milliseconds=1500)
        self.assertLess(time.monotonic() - began, 3)
        self.assert_refused(reply, errno.ETIMEDOUT)
        self.assert_nothing_left()

    def test_cancel(self):
        source = self.silent()
        number = self.front.send("start", **self.volume(source=source, milliseconds=0xffffffff))
        wait_until(self.launchers, 5, "the start")
        self.front.send("cancel", id=number + 1000)
        self.front.send("cancel", id=number)
        self.assert_refused(self.front.receive(number), errno.EINTR)
        self.assert_nothing_left()

    def test_one_start_at_one_place(self):
        source = self.silent()
        first = self.front.send("start", **self.volume(source=source, milliseconds=2000))
        for verb in ("start", "stop", "detach", "adopt"):
            self.assert_refused(self.front.ask(verb, **self.volume()), errno.EBUSY)
        self.assert_refused(self.front.receive(first), errno.ETIMEDOUT)
        self.assert_nothing_left()

    def test_a_flood_of_starts_is_bounded(self):
        source = self.silent()
        numbers = range(self.front.next_id, self.front.next_id + 100)

        def flood():
            for number in numbers:
                self.front.send("start", **self.volume(
                    source=source, directory=f"docker-{number}", milliseconds=2000))

        # The mounter waits for a front that does not read.
        thread = threading.Thread(target=flood)
        thread.start()
        self.addCleanup(thread.join)
        most = 0
        codes = []
        for number in numbers:
            codes.append(self.front.receive(number)["error"])
            most = max(most, len(self.launchers()))
        self.assertLessEqual(most, self.max_mounts)
        self.assertEqual(self.max_mounts, codes.count(errno.ETIMEDOUT))
        self.assertEqual(100 - self.max_mounts, codes.count(errno.EUSERS))
        self.assert_nothing_left()

    def test_detached_mounts_do_not_pile_up(self):
        held = []
        for _ in range(4 * self.max_mounts):
            reply = self.start()
            if reply["error"] != 0:
                self.assertEqual(errno.EUSERS, reply["error"], reply["text"])
                break
            held.append(os.open(f"{self.daemon.volumes}/docker-v", os.O_RDONLY | os.O_DIRECTORY))
            self.front.ask("detach", **self.named(reply))
        self.assertLessEqual(len(held), 2 * self.max_mounts + 1)
        self.assertGreaterEqual(len(held), self.max_mounts)
        for fd in held:
            os.close(fd)
        self.assert_nothing_left()

    def test_adopt_again_and_again_takes_nothing(self):
        def descriptors():
            return len(os.listdir(f"/proc/{self.front.process.pid}/fd"))

        reply = self.start()
        self.front.ask("adopt", **self.named(reply))
        before = descriptors()
        for _ in range(200):
            self.assertEqual(0, self.front.ask("adopt", **self.named(reply))["error"])
        # One each would be 200; what tells the keepers of their shares opens and closes its own.
        wait_until(lambda: descriptors() < before + 10, 10, "the end of what the answers took")


class ShareTest(MounterTest):
    """workers.write_behind_total: what workers may hold together, shared out among those that live."""

    def setUp(self):
        super().setUp()
        self.set_total("8M")

    def set_total(self, size):
        text = self.daemon.config.read_text(encoding="utf-8")
        text = re.sub("(write_behind_total = .*\n)?max_mounts", f'write_behind_total = "{size}"\nmax_mounts', text)
        self.daemon.config.write_text(text, encoding="utf-8")
        self.assertEqual(0, self.front.ask("reload")["error"])

    def begin(self, number, *more):
        directory = f"docker-{number}"
        reply = self.start(*more, directory=directory)
        self.assertEqual(0, reply["error"], reply["text"])
        return {"directory": directory, "pid": reply["pid"], "start_time": reply["start_time"]}

    def budgets(self, volumes):
        """MiB that each may have acknowledged and not yet committed, as their workers say."""
        texts = [self.front.ask("status", **volume)["text"] for volume in volumes]
        return [json.loads(text)["cache"]["write_behind_budget"] / (1 << 20) for text in texts]

    def assert_budgets(self, expected, volumes):
        wait_until(lambda: self.budgets(volumes) == expected, 10, f"budgets of {expected}")

    def test_shares_follow_the_number_of_mounts(self):
        volumes = [self.begin(0)]
        self.assertEqual([8], self.budgets(volumes))
        volumes.append(self.begin(1))
        self.assert_budgets([4, 4], volumes)
        # What a volume asks for stays the most that it gets.
        volumes.append(self.begin(2, f"write_behind={3 << 19}"))
        self.assert_budgets([2, 2, 1.5], volumes)
        self.assertEqual(0, self.front.ask("stop", **volumes.pop(0))["error"])
        self.assert_budgets([4, 1.5], volumes)
        self.assertEqual(0, self.front.ask("stop", **volumes.pop(0))["error"])
        self.assert_budgets([1.5], volumes)

    def test_a_mount_without_a_share_is_refused(self):
        volumes = [self.begin(number) for number in range(8)]
        self.assert_budgets([1] * 8, volumes)
        refused = self.start(directory="docker-8")
        self.assert_refused(refused, errno.EUSERS)
        self.assertIn("write_behind_total", refused["text"])
        self.set_total("16M")
        self.assert_budgets([2] * 8, volumes)
        self.begin(8)
        self.assert_budgets([1] * 8, volumes)

    def test_found_again_they_count(self):
        volumes = [self.begin(0), self.begin(1)]
        self.front.close()
        self.front = self.new_front()
        self.set_total("4M")
        for volume in volumes:
            self.assertEqual(0, self.front.ask("adopt", **volume)["error"])
        self.assert_budgets([2, 2], volumes)
        volumes.append(self.begin(2))
        self.assert_budgets([1, 1, 1], volumes)

    def test_one_that_still_flushes_counts(self):
        volumes = [self.begin(0), self.begin(1)]
        held = os.open(f"{self.daemon.volumes}/docker-0", os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, held)
        self.assertEqual(0, self.front.ask("detach", **volumes[0])["error"])
        volumes[0] = self.begin(0)
        self.assert_budgets([2, 2], volumes)


class GroupTest(suite.IntegrationTest):
    """A worker in a control group. Its limits need the memory controller, which a test machine may not
    have: worker_groups_test.cpp."""

    def setUp(self):
        super().setUp()
        self.tree = suite.lab().new_mountpoint()
        self.tree.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["mount", "-t", "cgroup2", "none", self.tree], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("control groups of version 2 cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.tree], check=True)
        self.group = self.tree / f"uidnfs-test-{os.getpid()}"
        self.group.mkdir()
        self.addCleanup(lambda: wait_until(self.is_removed, 10, "the end of the group"))
        self.addCleanup(suite.clear_away, self.uidnfs)

    def is_removed(self):
        try:
            self.group.rmdir()
        except OSError:
            return False
        return True

    def mounted(self, group):
        target = suite.lab().new_mountpoint()
        target.mkdir(parents=True, exist_ok=True)
        done = self.uidnfs.run(
            "mount", f"nas1:{suite.lab().export('a').share}", target, "-o",
            f"uid=1001,gid=1001,port={ganesha.NFS_PORT},mountport={ganesha.MOUNT_PORT}",
            f"--worker-group={group}")
        self.assertEqual(0, done.returncode, done.stderr)
        return {volume_daemon.status_of(pid, "Name"): pid for pid in self.uidnfs.processes()}

    def test_the_worker_is_in_it_and_the_keeper_is_not(self):
        pids = self.mounted(self.group)
        members = (self.group / "cgroup.procs").read_text(encoding="ascii").split()
        self.assertEqual([str(pids["uidnfs-worker"])], members)

    def test_without_it_the_mount_works(self):
        self.assertIn("uidnfs-worker", self.mounted(self.group / "none"))


class EndTest(MounterTest):
    def test_garbage_ends_it_and_the_mounts_stay(self):
        record = mounter_record.REQUEST.pack(verb=1)
        texts = [field for field, (_, _, capacity) in mounter_record.REQUEST.offsets.items() if capacity]
        too_long = []
        for field in texts:
            at, _, capacity = mounter_record.REQUEST.offsets[field]
            for size in (capacity + 1, 0xffffffff):
                too_long.append(record[:at] + size.to_bytes(4, "little") + record[at + 4:])
        reply = self.start()
        self.assertEqual(0, reply["error"], reply["text"])
        inside = f"{self.daemon.volumes}/docker-v"
        for garbage in (b"x", record[:-1], record + b"x", b"\0" * len(record),
                        b"\xff" * len(record), record[:4] + b"\x7f" + record[5:], *too_long):
            with self.subTest(size=len(garbage), begins=garbage[:8]):
                self.front.socket.send(garbage)
                self.assertEqual(0, self.front.process.wait(5))
                self.assertEqual([inside], self.daemon.mounts())
                self.assertTrue(os.stat(inside))
                self.front = self.new_front()
        reply = self.front.ask("adopt", **self.named(reply))
        self.assertEqual(0, reply["error"], reply["text"])
        self.assertEqual(0, self.front.ask("stop", **self.named(reply))["error"])
        self.assert_nothing_left()

    def test_what_it_had_begun_is_undone_when_the_front_ends(self):
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        self.front.send("start", **self.volume())
        wait_until(self.uidnfs.processes, 5, "the start")
        self.assertEqual(0, self.front.close())
        self.assert_nothing_left()

    def test_its_own_death_ends_what_it_had_begun(self):
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        self.front.send("start", **self.volume())
        wait_until(self.uidnfs.processes, 5, "the start")
        os.kill(self.front.process.pid, signal.SIGKILL)
        self.front.process.wait()
        wait_until(lambda: not self.uidnfs.processes(), 10, "the end of all processes")
        self.server.thaw()
        self.front = self.new_front()
        # The front asks for what it remembers; what is left of it goes.
        self.assert_refused(self.front.ask("adopt", directory="docker-v"), errno.ESRCH)
        self.assert_nothing_left()

    def test_two_of_them_do_not_share_a_root(self):
        other = mounter_record.Front(self.daemon.binary, self.daemon.config, self.daemon.log_path)
        self.addCleanup(self.end, other)
        self.assertEqual(errno.EBUSY, other.first["error"])
        self.assertIn("another uidnfsd", other.first["text"])

    def test_without_a_front_it_is_no_program(self):
        done = subprocess.run([self.daemon.binary, "mounter", self.daemon.config], check=False,
                              capture_output=True, timeout=10)
        self.assertEqual(2, done.returncode)
