# SPDX-License-Identifier: Apache-2.0
"""The worker of a mount is killed, or hangs, and the next one goes on: applications see a pause."""

import errno
import os
import pathlib
import random
import resource
import signal
import socket
import time

import each_operation
import model_load
import rpc_proxy
import suite
import uidnfs_command


class Worker:
    """The worker of a mount, whoever it is at the moment."""

    def __init__(self, mount):
        self.mount = mount

    def status(self):
        return self.mount.status()

    def kill(self, number=signal.SIGKILL):
        """Ends it by a signal and returns the status under the next one."""
        before = self.status()
        os.kill(before["worker_pid"], number)
        return self.wait_for_next(before)

    def wait_for_next(self, before, seconds=60):
        def next_one():
            now = self.status()
            # None: on a busy machine the keeper did not answer in time.
            is_next = (now["takeovers"] or 0) > before["takeovers"] and now["operations"] is not None
            return now if is_next else None
        return uidnfs_command.wait_until(next_one, seconds, "a take-over")


class EachOperation(each_operation.EachOperation):
    """The worker is killed while a call is under way: the kernel asks again, and what the server
    had done already is not done twice."""

    def test_worker_killed(self):
        worker = Worker(self.m)
        self.in_the_middle_of_each(worker.kill)


class SameName(suite.IntegrationTest):
    """Another client makes the same while nobody knows whether the dead worker's call arrived."""

    def test_what_another_client_made_is_not_ours(self):
        mount, other = self.mount(), self.mount()
        app, there = self.actor(suite.APP_UID), self.actor(suite.APP_UID)
        for procedure, function in (("MKDIR", "mkdir"), ("MKNOD", "mkfifo")):
            with self.subTest(function):
                name = f"takeover-{function}"
                rule = mount.host.rule(
                    rpc_proxy.named(f"NFS3 {procedure}"), rpc_proxy.DropCall(), 1)
                app.start(function, mount / name)
                rule.wait_for_hits()
                getattr(there, function)(other / name)
                Worker(mount).kill()
                with self.assert_errno(errno.EEXIST):
                    app.finish(60)


class Idle(suite.MountedTest):
    """Nothing is in flight when the worker is killed."""

    def setUp(self):
        super().setUp()
        self.worker = Worker(self.m)

    def test_the_next_worker_goes_on(self):
        before = self.m.status()
        self.assertEqual(("full", 0, None),
                         tuple(before[n] for n in ("takeover", "takeovers", "last_takeover")))
        self.app.write_file(self.path("f"), b"content")
        after = self.worker.kill()
        self.assertNotEqual(before["worker_pid"], after["worker_pid"])
        self.assertEqual(before["keeper_pid"], after["keeper_pid"])
        self.assertEqual("full", after["takeover"])
        self.assertIn("killed by signal 9", after["last_takeover"]["reason"])
        self.assertEqual(b"content", self.app.read_file(self.path("f")))
        self.app.write_file(self.path("g"), b"more")
        self.assertEqual(["f", "g"], sorted(self.app.listdir(self.path())))


class UnderLoad(suite.MountedTest):
    """Programs that know what every byte must be go on while the worker is killed at random."""

    options = "timeo=20"
    PROGRAMS = 3

    def test_killed_at_random(self):
        """No error is seen, and every byte is right, on the mount and on the server.

        UIDNFS_TAKEOVER_KILLS says how often; without it as often as 25 s allow."""
        wanted = int(os.environ.get("UIDNFS_TAKEOVER_KILLS", "0"))
        seconds = 0.7 * wanted + 10 if wanted else 25
        seed = random.randrange(1 << 30)
        print(f"seed {seed}")
        rng = random.Random(seed)
        crew = [self.actor(suite.APP_UID) for _ in range(self.PROGRAMS)]
        for number, program in enumerate(crew):
            place = self.path(str(number))
            self.app.mkdir(place)
            program.start_run(model_load.LOAD, d=place, seed=seed + number, seconds=seconds)
        worker, killed = Worker(self.m), 0
        until = time.monotonic() + seconds - 1
        while time.monotonic() < until:
            time.sleep(rng.uniform(0, 0.5))
            worker.kill()
            killed += 1
        total = 0
        for number, program in enumerate(crew):
            done, left = program.finish(seconds + 120)
            total += done
            for name, content in left.items():
                there = pathlib.Path(self.on_server(str(number))) / name
                self.assertEqual(content, there.read_bytes(), f"{number}/{name} on the server")
        print(f"{killed} kills, {total} operations")
        self.assertGreater(total, 0)
        self.assertGreaterEqual(killed, 3)


# Each MiB says where it stands.
READ_MANY = """
import random
page, done = mmap.mmap(-1, 1 << 20), 0
until = time.monotonic() + seconds
while time.monotonic() < until:
    i = random.randrange(MIBS)
    found = os.preadv(state['fd'], [page], i << 20), page[0], page[-1]
    if found != (1 << 20, i, i):
        raise AssertionError(f"read {done} at {i} MiB: {found}")
    done += 1
    time.sleep(0)
os.close(state.pop('fd'))
result = done
"""


class HeldBytes(suite.MountedTest):
    """A worker answers from memory that the one before it filled."""

    SECONDS = 20
    MIBS = 24

    def test_killed_while_they_are_read(self):
        """The kernel ends a request with EIO when the worker that answers dies at a page that it has not
        mapped yet: without care one kill in fourteen."""
        path = self.path("f")
        self.app.write_file(path, b"")
        crew = [self.actor(suite.APP_UID) for _ in range(3)]
        for reader in crew:
            reader.run("state['fd'] = os.open(path, os.O_RDONLY | os.O_DIRECT)", path=path)
        self.app.run("state['fd'] = os.open(path, os.O_RDWR)", path=path)
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        self.app.run("for i in range(MIBS): os.pwrite(state['fd'], bytes([i]) * (1 << 20), i << 20)",
                     MIBS=self.MIBS)
        for reader in crew:
            reader.start_run(READ_MANY, seconds=self.SECONDS, MIBS=self.MIBS)
        worker, killed = Worker(self.m), 0
        until = time.monotonic() + self.SECONDS - 1
        while time.monotonic() < until:
            time.sleep(random.uniform(0, 0.01))
            worker.kill()
            killed += 1
        print(f"{killed} kills, {sum(reader.finish(60) for reader in crew)} reads")
        self.server.thaw()
        self.app.run("os.close(state.pop('fd'))")


def _processor_seconds(pid):
    words = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Standing(suite.MountedTest):
    """What an application holds stays what it is."""

    def setUp(self):
        super().setUp()
        self.worker = Worker(self.m)

    def test_open_files_mappings_and_directories(self):
        self.app.mkdir(self.path("d"))
        self.app.write_file(self.path("removed"), b"still there")
        self.app.run(
            "os.chdir(d + '/d');"
            "state['fd'] = os.open(d + '/f', os.O_RDWR | os.O_CREAT); os.pwrite(state['fd'], data, 0);"
            "state['map'] = mmap.mmap(state['fd'], len(data));"
            "state['removed'] = os.open(d + '/removed', os.O_RDONLY); os.unlink(d + '/removed');"
            "state['lock'] = os.open(d + '/f', os.O_RDWR);"
            "fcntl.lockf(state['lock'], fcntl.LOCK_EX | fcntl.LOCK_NB)",
            d=self.path(), data=b"x" * 300_000)
        self.worker.kill()
        found = self.app.run(
            "state['map'][5:8] = b'abc'; state['map'].flush();"
            "write_file('in-cwd', b'y');"
            "result = (os.getcwd() == os.path.normpath(d + '/d'), os.pread(state['fd'], 10, 0),"
            " os.pread(state['removed'], 100, 0), sorted(os.listdir('.')), os.path.exists(d + '/removed'));"
            "state['map'].close(); [os.close(state.pop(n)) for n in ('fd', 'removed', 'lock')];"
            "state.clear(); os.chdir('/')", d=self.path())
        self.assertEqual((True, b"xxxxxabcxx", b"still there", ["in-cwd"], False), found)
        self.assertEqual(b"xxxxxabcxx", pathlib.Path(self.on_server("f")).read_bytes()[:10])
        # The last close is told after close(2) has returned.
        uidnfs_command.wait_until(lambda: sorted(os.listdir(self.on_server())) == ["d", "f"], 30,
                                  "the end of the removed file")

    def test_a_listing_goes_on(self):
        names = [f"name-{i:04}" for i in range(1500)]
        self.app.run("[os.close(os.open(f'{d}/{n}', os.O_CREAT | os.O_WRONLY)) for n in names]",
                     d=self.path(), names=names)
        self.app.run("state['scan'] = os.scandir(d); state['seen'] = [next(state['scan']).name]",
                     d=self.path())
        self.worker.kill()
        self.assertEqual(names, self.app.run(
            "result = sorted(state['seen'] + [e.name for e in state['scan']]); state.clear()"))

    def test_bytes_not_yet_sent(self):
        """Answered and only in the memory of the worker, while the server does not answer."""
        self.app.run("state['fd'] = os.open(d + '/f', os.O_RDWR | os.O_CREAT)", d=self.path())
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        data = random.Random(1).randbytes(5 << 20)
        self.app.run("os.pwrite(state['fd'], data, 0)", data=data)
        self.worker.kill()
        self.worker.kill()
        self.server.thaw()
        self.app.run("os.fsync(state['fd']); os.close(state.pop('fd'))")
        self.assertEqual(data, pathlib.Path(self.on_server("f")).read_bytes())

    def limit_descriptors(self, keeper, limit):
        before = resource.prlimit(keeper, resource.RLIMIT_NOFILE)
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, (limit, before[1]))
        return lambda: resource.prlimit(keeper, resource.RLIMIT_NOFILE, before)

    def test_a_keeper_that_can_start_no_worker_waits(self):
        self.app.run("state['fd'] = os.open(d + '/f', os.O_RDWR | os.O_CREAT);"
                     "os.pwrite(state['fd'], b'x' * 100_000, 0)", d=self.path())
        before = self.m.status()
        keeper = before["keeper_pid"]
        # Enough for a socket to the next worker and not for that.
        undo = self.limit_descriptors(keeper, 6)
        os.kill(before["worker_pid"], signal.SIGKILL)
        used = _processor_seconds(keeper)
        time.sleep(17)  # workers that die before they are ready end a mount sooner
        self.assertLess(_processor_seconds(keeper) - used, 3)
        undo()
        self.worker.wait_for_next(before, 30)
        self.app.run("os.fsync(state['fd']); os.close(state.pop('fd'))")
        self.assertEqual(b"x" * 100_000, pathlib.Path(self.on_server("f")).read_bytes())

    def test_a_keeper_that_can_take_no_caller_waits(self):
        keeper = self.m.status()["keeper_pid"]
        # Four are free below the limit; and each of these callers keeps one.
        taken = {int(name) for name in os.listdir(f"/proc/{keeper}/fd")}
        free = [number for number in range(1024) if number not in taken]
        undo = self.limit_descriptors(keeper, free[4])
        number = next(entry.device for entry in self.uidnfs.mounts())[2:]
        callers = []
        for _ in range(6):
            callers.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            self.addCleanup(callers[-1].close)
            callers[-1].connect(f"/run/uidnfs/mounts/{number}.sock")
            callers[-1].send(b"watch\n")
        used = _processor_seconds(keeper)
        time.sleep(2)
        self.assertLess(_processor_seconds(keeper) - used, 0.5)
        callers[0].close()
        undo()
        self.assertEqual("healthy", self.m.status()["state"])

    def test_a_worker_that_hangs(self):
        before = self.m.status()
        os.kill(before["worker_pid"], signal.SIGSTOP)
        self.app.start("write_file", self.path("f"), b"content")
        hanging = self.m.status()
        self.assertEqual(("stale", before["takeover"]), (hanging["state"], hanging["takeover"]))
        after = self.worker.wait_for_next(before, 90)
        self.assertIn("did not answer", after["last_takeover"]["reason"])
        self.app.finish(60)
        self.assertEqual(b"content", self.app.read_file(self.path("f")))

    def test_a_request_that_workers_die_of(self):
        """The server is silent, so the same request is in flight each time."""
        self.app.write_file(self.path("f"), b"content")
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        self.app.start("mkdir", self.path("deadly"))
        def waits():
            return self.m.status()["calls"]["in_flight"] > 0
        for _ in range(3):
            uidnfs_command.wait_until(waits, 30, "a call under way")
            self.worker.kill(signal.SIGSEGV)
        with self.assert_errno(errno.EIO):
            self.app.finish(60)
        self.server.thaw()
        self.assertEqual(b"content", self.app.read_file(self.path("f")))

    def test_a_request_that_merely_waits_while_workers_are_killed(self):
        """The server is silent, and somebody kills: that is no fault of the request."""
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        self.app.start("mkdir", self.path("waits"))
        for _ in range(6):
            uidnfs_command.wait_until(
                lambda: self.m.status()["calls"]["in_flight"] > 0, 30, "a call under way")
            self.worker.kill()
        self.server.thaw()
        self.app.finish(60)
        self.assertTrue(os.path.isdir(self.on_server("waits")))

    def test_it_ends_in_order_while_the_worker_is_dead(self):
        """umount right after the kill: what was written arrives, and nothing is left."""
        mount = self.mount("shared")
        app = self.actor(suite.APP_UID)
        app.write_file(mount / "takeover-last", b"last words")
        os.kill(mount.status()["worker_pid"], signal.SIGKILL)
        done = mount.umount()
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual(b"last words", (suite.lab().export("shared").path / "takeover-last").read_bytes())


class WithoutAKeeper(suite.IntegrationTest):
    def test_the_worker_goes_on_and_says_that_nobody_takes_over(self):
        mount = self.mount()
        app = self.actor(suite.APP_UID)
        before = mount.status()
        os.kill(before["keeper_pid"], signal.SIGKILL)
        app.write_file(mount / "without-keeper", b"content")
        self.assertEqual(b"content", app.read_file(mount / "without-keeper"))
        # Nobody listens for it any more: it ends with the mount.
        mount.umount()
        uidnfs_command.wait_until(
            lambda: before["worker_pid"] not in self.uidnfs.processes(), 30, "the worker's end")
