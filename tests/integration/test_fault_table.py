# SPDX-License-Identifier: Apache-2.0
"""Faults of docs/FAULTS.md that no other suite has: refused bytes by every errno, an export that is taken
away, connections that break again and again in the middle of records, a long stop, and a machine that
has run out of descriptors, of memory, of room for its log.

UIDNFS_FAULT_SECONDS makes the long ones as long as an operator's worst day (60, 120).
"""

import errno
import os
import pathlib
import random
import struct
import subprocess
import time

import rpc_proxy
import suite
import uidnfs_command

SECONDS = float(os.environ.get("UIDNFS_FAULT_SECONDS", "6"))
MIB = 1 << 20
# nfsstat3 of RFC 1813 2.6
STATUS = {errno.ENOSPC: 28, errno.EDQUOT: 69, errno.EIO: 5, errno.EROFS: 30, errno.ESTALE: 70,
          errno.EACCES: 13}


def refuse_with(status):
    """An action that refuses any NFS call in the server's place, without attributes."""
    return rpc_proxy.AnswerCall(
        lambda record: record[:4] + struct.pack(">5I", 1, 0, 0, 0, 0) + struct.pack(">5I", status, 0, 0, 0, 0))


class ProxiedTest(suite.MountedTest):
    def setUp(self):
        super().setUp()
        self.host = self.m.host
        self.addCleanup(self.host.remove_rules)
        self.addCleanup(self.host.pass_on)

    def fails_with(self, code, source, **variables):
        with self.assert_errno(code):
            self.app.run(source, **variables)


class RefusedBytes(ProxiedTest):
    def test_each_errno_is_told_once_to_each_open_file(self):
        """By the WRITE that was answered long after write(2) had returned."""
        for code, status in STATUS.items():
            with self.subTest(errno.errorcode[code]):
                name = f"f-{code}"
                self.app.write_file(self.path(name), b"before")
                self.app.run("state['fds'] = [os.open(path, os.O_RDWR) for _ in range(2)]",
                             path=self.path(name))
                rule = self.host.rule(rpc_proxy.named("NFS3 WRITE"), refuse_with(status))
                self.app.run("os.pwrite(state['fds'][0], b'refused', 0)")
                self.fails_with(code, "os.fsync(state['fds'][0])")
                self.assertGreaterEqual(rule.hits, 1)
                rule.remove()
                self.app.run("os.fsync(state['fds'][0])")
                self.fails_with(code, "os.close(state['fds'][1])")
                self.app.run("os.pwrite(state['fds'][0], b'behind', 0); os.close(state['fds'][0])")
                self.assertEqual(b"behind", pathlib.Path(self.on_server(name)).read_bytes())
                self.app.write_file(self.path("other"), b"works")
                self.assertEqual(b"works", self.app.read_file(self.path("other")))

    def test_of_the_commit_too(self):
        """The server took them and could not keep them: as good as refused."""
        self.app.run("state['fd'] = os.open(path, os.O_CREAT | os.O_WRONLY); os.write(state['fd'], data)",
                     path=self.path("f"), data=bytes(3 * MIB))
        rule = self.host.rule(rpc_proxy.named("NFS3 COMMIT"), refuse_with(STATUS[errno.EIO]))
        self.fails_with(errno.EIO, "os.fsync(state['fd'])")
        rule.remove()
        self.app.run("os.pwrite(state['fd'], data, 0); os.close(state['fd'])", data=b"d" * (3 * MIB))
        self.assertEqual(b"d" * (3 * MIB), pathlib.Path(self.on_server("f")).read_bytes())


class ExportTakenAway(ProxiedTest):
    options = "actimeo=0"

    def test_calls_end_with_the_servers_word_and_it_may_come_back(self):
        """Every handle is stale (exportfs -u, a file system that was not mounted): ESTALE at once, also for
        bytes not yet written; when the export is back the same mount goes on."""
        self.app.write_file(self.path("f"), b"before")
        self.app.run("state['fd'] = os.open(path, os.O_RDWR); os.pwrite(state['fd'], b'lost', 0)",
                     path=self.path("f"))
        rule = self.host.rule(lambda call: call.name.startswith("NFS3 ") and call.name != "NFS3 NULL",
                              refuse_with(STATUS[errno.ESTALE]))
        for work in ("os.stat(d)", "os.listdir(d)", "read_file(d + '/f')", "write_file(d + '/new', b'')",
                     "os.mkdir(d + '/e')", "os.fsync(state['fd'])"):
            with self.subTest(work):
                self.fails_with(errno.ESTALE, work, d=self.path())
        self.assertEqual("healthy", self.m.status()["state"])
        rule.remove()
        self.app.run("os.close(state.pop('fd'))")
        self.assertEqual(b"before", self.app.read_file(self.path("f")))
        self.app.write_file(self.path("new"), b"again")
        self.assertEqual(0, self.m.uidnfs.run("status", self.m.path).returncode)


class LongFaults(ProxiedTest):
    """`hard`, and an application that compares every byte."""

    _LOAD = """
import random
noise = random.Random(seed)
begun, rounds = time.monotonic(), 0
while time.monotonic() - begun < seconds or rounds < 2:
    name, data = f"{d}/load-{rounds % 5}", noise.randbytes(noise.randrange(1, 1 << 20))
    write_file(name + ".new", data)
    os.rename(name + ".new", name)
    fd = os.open(name, os.O_RDWR)
    os.pwrite(fd, b"patched", len(data) // 2)
    os.fsync(fd)
    os.close(fd)
    data = (data[:len(data) // 2] + b"patched" + data[len(data) // 2 + 7:])
    if read_file(name) != data:
        raise ValueError(f"{name} is not what was written")
    os.mkdir(f"{d}/dir"); os.rmdir(f"{d}/dir")
    os.link(name, f"{d}/link"); os.unlink(f"{d}/link")
    rounds += 1
result = rounds
"""

    def under_load(self, harm, every):
        """Does `harm(round)` every so many seconds while the load runs for SECONDS."""
        self.app.start_run(self._LOAD, d=self.path(), seconds=SECONDS, seed=5)
        begun, number = time.monotonic(), 0
        while time.monotonic() - begun < SECONDS:
            harm(number)
            number += 1
            time.sleep(every)
        self.host.remove_rules()
        self.host.pass_on()
        self.assertGreater(self.app.finish(60 + SECONDS), 1)

    def test_resets_in_the_middle_of_records(self):
        """Every second a call or a reply is cut somewhere and both sides are reset."""
        chance = random.Random(3)
        kinds = ("NFS3 WRITE", "NFS3 READ", "NFS3 RENAME", "NFS3 CREATE", "NFS3 LINK", "NFS3 REMOVE",
                 "NFS3 MKDIR", "NFS3 RMDIR", "NFS3 COMMIT", "NFS3 GETATTR")
        hits = []

        def harm(number):
            cut = rpc_proxy.CutCall if number % 2 else rpc_proxy.CutReply
            hits.append(self.host.rule(rpc_proxy.named(*chance.sample(kinds, 5)),
                                       cut(chance.choice((1, 3, 4, 17, 100, 3000))), times=1))
        self.under_load(harm, 0.5)
        self.assertGreater(sum(rule.hits for rule in hits), SECONDS / 4)

    def test_a_server_that_stops_for_long(self):
        self.addCleanup(self.server.thaw)
        self.app.start_run(self._LOAD, d=self.path(), seconds=1, seed=6)
        time.sleep(0.3)
        self.server.freeze()
        time.sleep(SECONDS)
        began = time.monotonic()
        os.statvfs(self.m.path)
        self.assertLess(time.monotonic() - began, 1.5)
        self.server.thaw()
        self.assertGreater(self.app.finish(60), 1)

    def test_a_black_hole_for_long(self):
        self.app.start_run(self._LOAD, d=self.path(), seconds=1, seed=7)
        time.sleep(0.3)
        self.host.black_hole()
        time.sleep(SECONDS)
        self.host.pass_on()
        self.assertGreater(self.app.finish(60), 1)


class Scarce(suite.IntegrationTest):
    def made(self, *flags, options="", prefix=()):
        """A mount by a command with these flags, through a proxy; undone after the test."""
        host = suite.lab().proxy()
        self.addCleanup(host.stop)
        exported = suite.lab().export("a")
        mount = uidnfs_command.Mount(
            self.uidnfs, f"{host.address}:{exported.share}", suite.lab().new_mountpoint(),
            f"uid={suite.UID},gid={suite.GID}{options}", exported.path, host)
        done = self.uidnfs.run("mount", mount.source, mount.path, "-o", mount.options, *flags, prefix=prefix)
        self.assertEqual(0, done.returncode, done.stderr)
        self.addCleanup(suite._undo, mount)
        return mount

    def test_no_descriptor_left_for_a_connection(self):
        """It waits until there is one; nothing is lost and the worker lives."""
        mount = self.made()
        app, worker = self.actor(suite.APP_UID), mount.status()["worker_pid"]
        app.write_file(mount / "before", b"before")
        text = pathlib.Path(f"/proc/{worker}/status").read_text(encoding="ascii")
        ids = [int(text.split(name + ":\t")[1].split()[0]) for name in ("Uid", "Gid")]
        same = self.actor(*ids)  # the limits of a process are its own user's to set
        limit = "import resource; result = resource.prlimit(pid, resource.RLIMIT_NOFILE{})"
        soft, hard = same.run(limit.format(""), pid=worker)
        same.run(limit.format(", to"), pid=worker, to=(3, hard))
        mount.host.reset_all()
        app.start("write_file", mount / "meanwhile", b"meanwhile")
        time.sleep(1.5)
        self.assertFalse(os.path.exists(mount.on_server("meanwhile")))
        same.run(limit.format(", to"), pid=worker, to=(soft, hard))
        app.finish(30)
        self.assertEqual(b"meanwhile", pathlib.Path(mount.on_server("meanwhile")).read_bytes())
        self.assertEqual(worker, mount.status()["worker_pid"])

    def test_no_descriptor_to_begin_with(self):
        """One line that says so, and nothing stays."""
        point = suite.lab().new_mountpoint()
        for limit in (4, 5, 6, 7, 8, 10):
            with self.subTest(limit=limit):
                done = self.uidnfs.run(
                    "mount", f"{suite.SERVER_NAME}:/exports/a", point, "-o",
                    f"uid={suite.UID},gid={suite.GID},retry=0", prefix=("prlimit", f"--nofile={limit}:{limit}"))
                if done.returncode == 0:
                    self.assertEqual(0, self.uidnfs.run("umount", point).returncode)
                else:
                    self.assertEqual(1, done.stderr.count("\n"), done.stderr)
                self.uidnfs.check_nothing_left()

    def test_little_memory(self):
        """Under a limit that the load would like to be larger: slower, or an error of one call; every byte
        that was taken is right, and the worker lives."""
        mount = self.made("--worker-memory=67108864")
        worker = mount.status()["worker_pid"]
        crew = self.crew(suite.APP_UID, 6)
        work = """
import random
data = random.Random(seed).randbytes(8 << 20)
for number in range(3):
    write_file(f"{d}-{seed}-{number}", data)
for number in range(3):
    if read_file(f"{d}-{seed}-{number}") != data:
        raise ValueError("other bytes")
for number in range(300):
    os.stat(f"{d}-{seed}-{number % 3}"), os.listdir(os.path.dirname(d))
"""
        for seed, actor in enumerate(crew.actors):
            actor.start_run(work, d=mount / "memory", seed=seed)
        for actor in crew.actors:
            try:
                actor.finish(120)
            except OSError as error:
                self.assertEqual(errno.ENOMEM, error.errno)
        self.assertEqual(worker, mount.status()["worker_pid"])

    def test_full_disk_under_the_log(self):
        """Lines are lost, the mount is not."""
        disk = pathlib.Path("/run/uidnfs-log-disk")
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        filler = disk / "filler"
        mount = self.made(options=f",log_file={disk}/log,log_level=debug")
        app = self.actor(suite.APP_UID)
        try:
            filler.write_bytes(bytes(1 << 20))
        except OSError as error:
            self.assertEqual(errno.ENOSPC, error.errno)
        for number in range(20):
            mount.host.reset_all()
            app.write_file(mount / f"log-{number}", b"x" * 1000)
            self.assertEqual(b"x" * 1000, app.read_file(mount / f"log-{number}"))
        filler.unlink()
        mount.host.reset_all()
        app.write_file(mount / "log-last", b"last")
        self.assertEqual("healthy", mount.status()["state"])
