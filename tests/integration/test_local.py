# SPDX-License-Identifier: Apache-2.0
"""Whoever else is on this machine: another user at the mount's door and at its control socket, one worker
that was taken over and the others, a worker that was taken over and its keeper."""

import array
import contextlib
import ctypes
import errno
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import suite
import uidnfs_command

PIDFD_GETFD = 438
CHANNEL = 3  # the worker's descriptor towards its keeper
CONTROL = pathlib.Path("/run/uidnfs/mounts")


def steal_descriptor(pid, number):
    """A copy of that process's descriptor, as somebody has it who became that process."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        stolen = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
        if stolen < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return stolen
    finally:
        os.close(pidfd)


class OtherUsers(suite.IntegrationTest):
    """Not the application, not root."""

    def setUp(self):
        super().setUp()
        self.m = self.mount()
        self.stranger = self.actor(suite.OTHER_UID)

    def test_the_control_socket_is_closed(self):
        sockets = list(CONTROL.glob("*.sock"))
        self.assertEqual(1, len(sockets))
        self.assertEqual(0o600, sockets[0].stat().st_mode & 0o777)
        for asker in (self.stranger, self.actor(suite.APP_UID), self.actor(suite.UID)):
            with self.assertRaises(OSError):
                asker.run("import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
                          "s.connect(path)", path=str(sockets[0]))

    def test_a_socket_that_was_left_open_serves_root_alone(self):
        """Should somebody loosen its mode: the peer's credentials decide."""
        path = next(CONTROL.glob("*.sock"))
        for place in (CONTROL.parent, CONTROL):
            self.addCleanup(place.chmod, place.stat().st_mode & 0o7777)
            place.chmod(0o755)
        path.chmod(0o666)
        answer = self.stranger.run("""
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(5)
s.connect(path)
try:
    s.send(b"stop\\nmilliseconds=0\\n")
    result = s.recv(65536)
except OSError as error:
    result = b""
""", path=str(path))
        self.assertEqual(b"", answer)
        self.assertTrue(self.m.is_mounted())
        self.assertEqual("healthy", self.m.status()["state"])

    def test_commands_of_strangers_change_nothing(self):
        for words in (("umount",), ("umount", "--force"), ("umount", "--lazy")):
            done = self.uidnfs.run(words[0], self.m.path, *words[1:], user=suite.OTHER_UID,
                                   group=suite.OTHER_UID, extra_groups=[])
            self.assertNotEqual(0, done.returncode, words)
            self.assertRegex(done.stderr, "^cannot unmount .*: only root", words)
            self.assertTrue(self.m.is_mounted())

    def test_directories_that_a_stranger_made_first(self):
        """/tmp/uidnfs-UID of somebody else is not used."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp"], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", "/tmp"], check=True)
        trap = pathlib.Path("/tmp/uidnfs-0")
        self.stranger.run("os.makedirs(path + '/mounts', 0o777)", path=str(trap))
        self.assertEqual("healthy", self.m.status()["state"])
        self.assertEqual([], os.listdir(trap / "mounts"))

    def test_a_directory_open_to_others_is_not_used_and_the_log_says_so(self):
        log = pathlib.Path("/run") / f"control-{os.getpid()}.log"
        self.addCleanup(log.unlink, missing_ok=True)
        self.addCleanup(shutil.rmtree, "/tmp/uidnfs-0", ignore_errors=True)
        self.addCleanup(CONTROL.chmod, CONTROL.stat().st_mode & 0o7777)
        CONTROL.chmod(0o755)
        other = self.mount(options=f"log_file={log}")
        said = log.read_text(encoding="utf-8")
        self.assertIn("/run/uidnfs/mounts is not used for the control socket", said)
        self.assertIn("chmod 0700 /run/uidnfs/mounts", said)
        # It is found all the same.
        self.assertEqual("healthy", other.status()["state"])
        self.assertEqual([".sock", ".spec", ".worker"],
                         sorted(path.suffix for path in pathlib.Path("/tmp/uidnfs-0/mounts").iterdir()))

    def test_signals_to_its_processes(self):
        status = self.m.status()
        for pid in (status["worker_pid"], status["keeper_pid"]):
            for actor in (self.stranger, self.actor(suite.APP_UID)):
                with self.assert_errno(errno.EPERM):
                    actor.run("os.kill(pid, 0)", pid=pid)


class OneWorkerAndTheOthers(suite.IntegrationTest):
    """Two mounts, the same service user. (What its filter leaves of kill(2) and the like: the tests
    Seccomp.*.)"""

    def test_their_memory_and_descriptors_are_out_of_reach(self):
        workers = [self.mount().status()["worker_pid"] for _ in range(2)]
        text = pathlib.Path(f"/proc/{workers[0]}/status").read_text(encoding="ascii")
        uid = int(text.split("Uid:\t")[1].split()[0])
        self.assertNotEqual(0, uid)
        # The same user, but without the filter: more than a worker that was taken over has.
        neighbour = self.actor(uid)
        for name in ("mem", "maps", "environ", "auxv", "stack", "fd/0", "root", "cwd", "exe"):
            with self.assertRaises(OSError, msg=name):
                neighbour.run("os.readlink(p) if link else os.read(os.open(p, os.O_RDONLY), 1)",
                              p=f"/proc/{workers[0]}/{name}", link=name in ("fd/0", "root", "cwd", "exe"))
        with self.assertRaises((OSError, RuntimeError)):
            neighbour.run("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, pid, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "ptrace")
""", pid=workers[0])

    def test_the_control_sockets_do_not_know_it(self):
        worker = self.mount().status()["worker_pid"]
        text = pathlib.Path(f"/proc/{worker}/status").read_text(encoding="ascii")
        neighbour = self.actor(int(text.split("Uid:\t")[1].split()[0]))
        with self.assertRaises(OSError):
            neighbour.listdir(str(CONTROL))


class TakenOverWorker(suite.IntegrationTest):
    """What a worker can say to its keeper, which is root: at worst its own mount ends."""

    def setUp(self):
        super().setUp()
        self.other = self.mount()
        self.m = self.mount("shared")
        self.status = self.m.status()
        self.keeper = self.status["keeper_pid"]
        self.channel = socket.socket(fileno=steal_descriptor(self.status["worker_pid"], CHANNEL))
        self.addCleanup(self.channel.close)
        self.channel.settimeout(2)

    def say(self, data, descriptors=()):
        try:
            self.channel.sendmsg(
                [data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
                if descriptors else [])
        except OSError as error:
            self.assertIn(error.errno, (errno.EPIPE, errno.ECONNRESET, errno.EAGAIN, errno.EMSGSIZE))

    def memory(self):
        text = pathlib.Path(f"/proc/{self.keeper}/smaps_rollup").read_text(encoding="ascii")
        return int(text.split("Pss:")[1].split()[0])

    def assert_others_are_well(self):
        app = self.actor(suite.APP_UID)
        name = f"well-{time.monotonic_ns()}"
        app.write_file(self.other / name, b"well")
        self.assertEqual(b"well", app.read_file(self.other / name))
        self.assertEqual("healthy", self.other.status()["state"])

    def test_words_out_of_turn_are_ignored(self):
        for said in (b"ready\nread_bytes=99999999999\n", b"connected\n", b"failed\ndetails=x\n",
                     b"drained\nid=0\nlost=/etc/passwd\n", b"status\nid=77\njson={}\n", b"stop\n",
                     b"remounted\nid=5\n", b"log_level\nlevel=off\n", b"finish\n", b"watch\n"):
            self.say(said)
        self.assertEqual(self.keeper, self.m.status()["keeper_pid"])
        self.actor(suite.APP_UID).write_file(self.m / "still", b"here")
        self.assert_others_are_well()

    def test_garbage_ends_no_more_than_its_mount(self):
        for data, descriptors in ((b"\x00", ()), (b"verb", (0,) * 4), (b"status\n" + b"x" * 80_000, ()),
                                  (b"=\n=\n", ()), (b"\xff" * 1000, (0,))):
            self.say(data, descriptors)
        self.assert_others_are_well()
        with contextlib.suppress(ProcessLookupError):  # the keeper may have ended it for that
            os.kill(self.status["worker_pid"], signal.SIGKILL)

        def ended_or_goes_on():
            if not self.m.is_mounted():
                return True
            _, found = self.uidnfs.status(self.m.path)  # nothing, if it ends just now
            return any(each["worker_pid"] not in (None, self.status["worker_pid"]) for each in found)

        uidnfs_command.wait_until(ended_or_goes_on, 20, "the end of the mount, or its next worker")

    def test_a_flood_delays_no_caller_and_makes_nothing_grow(self):
        before = self.memory()
        lines = b"drained\nid=12345\n" + b"lost=" + b"y" * 30_000 + b"\n"
        self.channel.setblocking(False)
        deadline = time.monotonic() + 2
        sent = 0
        while time.monotonic() < deadline:
            try:
                self.channel.send(lines)
                sent += 1
            except BlockingIOError:
                time.sleep(0.001)
        self.assertGreater(sent, 10)
        began = time.monotonic()
        self.assertEqual(self.keeper, self.m.status()["keeper_pid"])
        self.assertLess(time.monotonic() - began, 5)
        self.assertLess(self.memory() - before, 16 << 10, "KiB")
        self.assert_others_are_well()

    def test_a_status_that_is_none(self):
        """Whatever it claims to be, what root sees of it is printable and comes in time."""
        os.kill(self.status["worker_pid"], signal.SIGSTOP)
        self.addCleanup(self.wake)
        for lie in (b"not json", b"[" * 50_000, b'{"state": "healthy\\u001b[31m\\n<0>x"}', b'{"state": 5}',
                    b'{"mountpoint": ["a"], "calls": {"in_flight": -1}}', b"null", b'"text"', b"\xff\xfe"):
            with self.subTest(lie=lie[:20]):
                for number in range(1, 60):
                    self.say(b"status\nid=%d\njson=%b\n" % (number, lie.replace(b"\\", b"\\\\")))
                for words in (("status",), ("status", "--json")):
                    done = self.uidnfs.run(*words, timeout=10)
                    self.assertNotRegex(done.stdout + done.stderr, "[\x00-\x09\x0b-\x1f\x7f]")
        self.assert_others_are_well()

    def wake(self):
        try:
            os.kill(self.status["worker_pid"], signal.SIGCONT)
        except ProcessLookupError:
            pass
