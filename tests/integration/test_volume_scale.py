# SPDX-License-Identifier: Apache-2.0
"""Many volumes and many rounds: all work, the daemon stays as small as it is said to be, and what was
given back is gone. Times are printed; their bounds are for a busy machine."""

import concurrent.futures
import json
import os
import pathlib
import statistics
import threading
import time

import test_volumes
import volume_daemon
from uidnfs_command import wait_until

MIB = 1 << 20
MOUNTS = 200
ROUNDS = 1000
BESIDE = 8  # rounds of different volumes at one time


def memory_of(pid, field):
    """Bytes, of /proc/PID/smaps_rollup."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise AssertionError(f"no {field} of {pid}")


class ScaleTest(test_volumes.VolumeTest):
    def create(self, names):
        for name in names:
            self.assertEqual("", self.daemon.create(name, self.share(), uid=1001, gid=1001))

    def all_at_once(self, ask, names, width):
        with concurrent.futures.ThreadPoolExecutor(width) as pool:
            return list(pool.map(ask, names))

    def all_are_found(self):
        volumes = json.loads(self.daemon.admin_ask("GET", "/volumes")[1])
        return {volume["state"] for volume in volumes} == {"mounted"}

    def processes(self):
        """Pids of the daemon's own two."""
        return [self.daemon.process.pid, *self.daemon.children()]

    def test_two_hundred_at_a_time(self):
        names = [f"v{number}" for number in range(MOUNTS)]
        self.create(names)
        self.assertEqual({""}, {error for _, error in
                                self.all_at_once(self.daemon.mount, names, 8)})
        self.assertEqual(MOUNTS, len(self.daemon.mounts()))
        for path in self.daemon.mounts():
            pathlib.Path(path, "here").write_bytes(b"x")
        # There are more mounts than the program may open descriptors.
        done = self.uidnfs.run("status", "--json", prefix=("prlimit", f"--nofile={MOUNTS // 2}"))
        self.assertEqual(MOUNTS, len(done.stdout.splitlines()), done.stderr)
        self.assertNotIn("its keeper", done.stdout)  # cannot be asked, or does not answer
        workers = self.uidnfs.processes()
        self.assertEqual(2 * MOUNTS, len(workers))
        each = sum(memory_of(pid, "Pss") for pid in workers) / MOUNTS
        own = [memory_of(pid, "Rss") for pid in self.processes()]
        print(f"{MOUNTS} mounts: keeper and worker {each / MIB:.1f} MiB each (Pss), "
              f"front {own[0] / MIB:.0f} MiB, mounter {own[1] / MIB:.0f} MiB (Rss)")
        self.assertLess(each, 12 * MIB)
        self.assertLess(sum(own), 160 * MIB)
        # The next daemon does not find them all at the same time: who wants to mount would come
        # behind them, and each takes room for its answer.
        self.daemon.stop()
        self.daemon.start()
        wait_until(self.all_are_found, 60, "the adoption of all")
        found = [memory_of(pid, "Rss") for pid in self.processes()]
        print(f"found again: front {found[0] / MIB:.0f} MiB, mounter {found[1] / MIB:.0f} MiB (Rss)")
        self.assertLess(sum(found), sum(own) + 40 * MIB)
        self.assertEqual({""}, set(self.all_at_once(self.daemon.unmount, names, 8)))
        self.assert_nothing_left()

    def test_rounds_leave_nothing_and_nothing_grows(self):
        def descriptors():
            """Of each process, the fewest within a second: the connection of the last request is
            closed by the front when it has seen that the client went."""
            seen = []
            for _ in range(10):
                seen.append([len(os.listdir(f"/proc/{pid}/fd")) for pid in self.processes()])
                time.sleep(0.1)
            return [min(counts) for counts in zip(*seen)]

        def round_of(name):
            self.create([name])
            self.assertEqual("", self.daemon.mount(name)[1])
            self.assertEqual("", self.daemon.unmount(name))
            self.assertEqual("", self.daemon.remove(name))

        def rounds(names):
            list(self.all_at_once(round_of, names, BESIDE))

        rounds([f"warm{number}" for number in range(100)])
        before = descriptors(), [memory_of(pid, "Rss") for pid in self.processes()]
        rounds([f"v{number}" for number in range(ROUNDS)])
        self.assert_nothing_left()
        after = descriptors(), [memory_of(pid, "Rss") for pid in self.processes()]
        growth = [now - then for then, now in zip(before[1], after[1])]
        print(f"{ROUNDS} rounds: growth of front {growth[0] >> 10} KiB, mounter "
              f"{growth[1] >> 10} KiB")
        self.assertEqual(before[0], after[0])
        # What the allocator keeps of how many were under way at one time, some 360 KiB each in the
        # mounter: in use it had as much after 1,100 rounds as after 100. 1,000 leaked records of a
        # request would be 10 MiB.
        self.assertLess(max(growth), 4 * MIB)

    def test_times(self):
        names = [f"v{number}" for number in range(70)]
        self.create(names)
        alone = []
        for name in names[:20]:
            began = time.monotonic()
            self.assertEqual("", self.daemon.mount(name)[1])
            alone.append(time.monotonic() - began)
        answers, done = [], threading.Event()

        def activate():
            while not done.is_set():
                began = time.monotonic()
                self.daemon.ask("Plugin.Activate")
                answers.append(time.monotonic() - began)

        asking = threading.Thread(target=activate)
        asking.start()
        began = time.monotonic()
        errors = self.all_at_once(self.daemon.mount, names[20:], 50)
        together = time.monotonic() - began
        done.set()
        asking.join()
        self.assertEqual({""}, {error for _, error in errors})
        worker = next(pid for pid in self.uidnfs.processes()
                      if volume_daemon.status_of(pid, "Name") == "uidnfs-worker")
        print(f"one Mount {statistics.median(alone) * 1000:.1f} ms (median of 20), 50 at once "
              f"{together * 1000:.0f} ms, Activate meanwhile {statistics.median(answers) * 1000:.2f} ms "
              f"(median of {len(answers)}), idle worker {memory_of(worker, 'Rss') / MIB:.1f} MiB "
              f"resident, {memory_of(worker, 'Private_Dirty') / MIB:.1f} MiB private")
        self.assertLess(statistics.median(alone), 0.4)
        self.assertLess(together, 10)
        self.assertLess(statistics.median(answers), 0.1)
