# SPDX-License-Identifier: Apache-2.0
"""Endurance: many mounts, a load on each that knows what must be there, a fault every few seconds, and
memory, descriptors, threads and latency that stay as they are. scripts/soak runs it for as long as wanted
and draws it.

UIDNFS_SOAK_SECONDS, UIDNFS_SOAK_MOUNTS, UIDNFS_SOAK_SEED; UIDNFS_SOAK_OUTPUT is a file for the drawing.
"""

import os
import pathlib
import random
import signal
import statistics
import struct
import threading
import time

import rpc_proxy
import soak_load
import suite
import svg_chart

SECONDS = float(os.environ.get("UIDNFS_SOAK_SECONDS", "120"))
MOUNTS = int(os.environ.get("UIDNFS_SOAK_MOUNTS", "4"))
SEED = int(os.environ.get("UIDNFS_SOAK_SEED", "1"))
OUTPUT = os.environ.get("UIDNFS_SOAK_OUTPUT")
EVERY = (1.0, 4.0)  # seconds between faults
# From the second quarter of the time to the last one; a short run still fills its caches then.
GROWTH_KIB = 8 << 10 if SECONDS >= 300 else 48 << 10
LONG = 120
MOST_PIPES = 9  # core::Pipes::kMost of them carry payload, one the answers of the device

EXECUTED_TWICE = ("NFS3 CREATE", "NFS3 MKDIR", "NFS3 SYMLINK", "NFS3 REMOVE", "NFS3 RMDIR", "NFS3 RENAME",
                  "NFS3 LINK", "NFS3 SETATTR", "NFS3 WRITE")


def _jukebox(record):
    return record[:4] + struct.pack(">5I", 1, 0, 0, 0, 0) + struct.pack(">5I", 10008, 0, 0, 0, 0)


def _kind(descriptor):
    """"pipe", "socket", "anon_inode", or a path; a descriptor that is closed meanwhile is of no kind."""
    try:
        return os.readlink(descriptor).split(":")[0]
    except OSError:
        return ""


class Sampler:
    """Looks at the processes of the mounts once a second."""

    def __init__(self, begun):
        self._begun = begun
        self.lines = {"memory": {}, "descriptors": {}, "threads": {}}
        self.most_pipes = 0  # ends of them, of one process

    def look(self, pids):
        """`pids`: name (of a line, which goes on with the next process) to process."""
        at = time.monotonic() - self._begun
        for name, pid in pids.items():
            try:
                place = pathlib.Path(f"/proc/{pid}")
                rollup = (place / "smaps_rollup").read_text(encoding="ascii")
                kinds = [_kind(place / "fd" / number) for number in os.listdir(place / "fd")]
                values = {"memory": int(rollup.split("Pss:")[1].split()[0]),
                          "descriptors": len(kinds) - kinds.count("pipe"),
                          "threads": len(os.listdir(place / "task"))}
                self.most_pipes = max(self.most_pipes, kinds.count("pipe"))
            except (OSError, IndexError):
                continue  # it ended, or begins just now
            for what, value in values.items():
                self.lines[what].setdefault(name, []).append((at, value))

    def quarters(self, what):
        """For each line the medians of its second and of its last quarter."""
        for name, line in self.lines[what].items():
            values = [value for _, value in line]
            quarter = max(1, len(values) // 4)
            yield name, statistics.median(values[quarter:2 * quarter] or values), \
                statistics.median(values[-quarter:])


class Soak(suite.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.chance = random.Random(SEED)
        self.mounts = [self.mount("shared", options="timeo=10") for _ in range(MOUNTS)]
        self.addCleanup(self.server.thaw)
        self.faults = []

    def processes(self):
        """{"worker 0": pid, "keeper 0": pid, ...}; a keeper that starts a worker just now has none."""
        keepers = {pid: number for number, pid in enumerate(self.keepers)}
        found = {f"keeper {number}": pid for pid, number in keepers.items()}
        for pid in self.uidnfs.processes():
            try:
                text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
            except OSError:
                continue
            parent = int(text.rpartition(")")[2].split()[1])
            if parent in keepers and "worker" in text:
                found[f"worker {keepers[parent]}"] = pid
        return found

    # Faults: each is over when it returns, or ends by itself.

    def connections_reset(self, host):
        host.reset_all()

    def black_hole(self, host):
        host.black_hole()
        time.sleep(self.chance.uniform(0.2, 2.5))
        host.pass_on()

    def replies_lost(self, host):
        host.rule(rpc_proxy.named(*EXECUTED_TWICE), rpc_proxy.DropReply(), times=2)

    def replies_cut(self, host):
        host.rule(lambda call: True, rpc_proxy.CutReply(self.chance.randrange(1, 200)), times=2)

    def calls_cut(self, host):
        host.rule(rpc_proxy.named("NFS3 WRITE", "NFS3 CREATE", "NFS3 RENAME"),
                  rpc_proxy.CutCall(self.chance.randrange(1, 400)), times=2)

    def jukebox(self, host):
        host.rule(rpc_proxy.named("NFS3 READ", "NFS3 LOOKUP", "NFS3 GETATTR"),
                  rpc_proxy.ReplaceReply(_jukebox), times=3)

    def server_restarted(self, _):
        self.server.restart()

    def server_stopped(self, _):
        self.server.freeze()
        time.sleep(self.chance.uniform(0.2, 2.0))
        self.server.thaw()

    def worker_killed(self, host):
        """Where another worker takes over; the suites of the take-over do it at every moment."""
        number = next(number for number, mount in enumerate(self.mounts) if mount.host is host)
        if self.takeover != "none" and (pid := self.processes().get(f"worker {number}")):
            os.kill(pid, signal.SIGKILL)

    def one_fault(self, begun):
        kinds = [self.connections_reset, self.black_hole, self.replies_lost, self.replies_cut, self.calls_cut,
                 self.jukebox, self.server_restarted, self.server_stopped]
        if self.takeover != "none" and SECONDS >= LONG:
            kinds += [self.worker_killed] * 3
        kind = self.chance.choice(kinds)
        self.faults.append((time.monotonic() - begun, kind.__name__.replace("_", " ")))
        kind(self.chance.choice(self.mounts).host)

    def test_everything_for_a_while(self):
        states = [mount.status() for mount in self.mounts]
        self.keepers = [state["keeper_pid"] for state in states]
        self.takeover = states[0]["takeover"]
        actors = [self.actor(suite.APP_UID) for _ in self.mounts]
        for number, (mount, actor) in enumerate(zip(self.mounts, actors)):
            actor.mkdir(mount / f"soak-{number}")
            actor.start_run(soak_load.SOURCE, d=mount / f"soak-{number}", seconds=SECONDS,
                            seed=SEED * 1000 + number)
        begun = time.monotonic()
        sampler, ended = Sampler(begun), threading.Event()

        def watch():
            while not ended.wait(1.0):
                sampler.look(self.processes())
                for mount in self.mounts:
                    mount.host.clear()  # what passed is asked by nobody, and would be gigabytes

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            while (now := time.monotonic() - begun) < SECONDS - 3:
                time.sleep(self.chance.uniform(*EVERY))
                self.one_fault(begun)
            for mount in self.mounts:
                mount.host.remove_rules()
            results = [actor.finish(120 + SECONDS - now) for actor in actors]
        finally:
            ended.set()
            watcher.join()
            self.draw(sampler, locals().get("results", []))
        for number, (mount, result) in enumerate(zip(self.mounts, results)):
            there = pathlib.Path(mount.on_server(f"soak-{number}"))
            self.assertEqual(sorted(result["files"]), sorted(os.listdir(there)), "nothing is left behind")
            for name, content in result["files"].items():
                self.assertEqual(content, (there / name).read_bytes(), f"{name} on the server")
            self.assertEqual("healthy", mount.status()["state"])
        # One call of a mount may be under way when the server is killed; few are just being carried out.
        restarts = sum(name == "server restarted" for _, name in self.faults)
        half_made = [name for result in results for name in result["half_made"]]
        self.assertLessEqual(len(half_made), restarts, half_made)
        print(f"\n{MOUNTS} mounts, {SECONDS:.0f} s: {sum(r['operations'] for r in results)} operations, "
              f"{len(self.faults)} faults, takeover {self.takeover}")
        self.assert_flat(sampler, results)

    def assert_flat(self, sampler, results):
        for name, early, late in sampler.quarters("memory"):
            self.assertLess(late - early, GROWTH_KIB, f"{name} grew from {early} to {late} KiB")
        for what, allowance in (("descriptors", 4), ("threads", 3)):
            for name, early, late in sampler.quarters(what):
                self.assertLessEqual(late - early, allowance, f"{what} of {name}: {early}, then {late}")
        # As many as reads need at that moment: they come and go.
        self.assertLessEqual(sampler.most_pipes, 2 * MOST_PIPES)
        if SECONDS < LONG:
            return
        # The median of the slowest operation of each second: faults are in both.
        for number, result in enumerate(results):
            slowest = [value for _, value in result["slowest"]]
            quarter = len(slowest) // 4
            early, late = (statistics.median(part) for part in (slowest[quarter:2 * quarter],
                                                                 slowest[-quarter:]))
            self.assertLess(late, 3 * early + 50, f"ms, mount {number}: {early:.1f}, then {late:.1f}")

    def draw(self, sampler, results):
        if not OUTPUT:
            return
        panels = [(title, unit, [[(x, y / by) for x, y in line] for line in sampler.lines[what].values()])
                  for what, title, unit, by in (("memory", "Memory of each process (Pss)", "MiB", 1024),
                                                ("descriptors", "Descriptors", "number", 1),
                                                ("threads", "Threads", "number", 1))]
        panels.append(("Slowest operation of each second", "ms", [result["slowest"] for result in results]))
        title = (f"uidnfs soak: {MOUNTS} mounts, {SECONDS:.0f} s, {len(self.faults)} faults, "
                 f"{sum(result['operations'] for result in results)} operations")
        pathlib.Path(OUTPUT).write_text(svg_chart.render(title, panels, self.faults), encoding="utf-8")
