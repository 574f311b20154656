# SPDX-License-Identifier: Apache-2.0
"""What a volume costs: a Mount that a platform waits for, many at once, Activate meanwhile, and the
memory of an idle worker. Asked over Docker's socket, as the engine does."""

import concurrent.futures
import contextlib
import threading
import time

import measure
import report
import volume_daemon

ALONE = 20
TOGETHER = 50
ALONE_TARGET_MS = 40
TOGETHER_TARGET_MS = 1000
ACTIVATE_TARGET_MS = 1
IDLE_SECONDS = 1


def run(bench):
    source = f"{bench.server.address}:{bench.export.share}"
    rule = (f'[[policy.rule]]\nsources = ["{source}"]\n'
            'uids = ["1000-1999"]\ngids = ["1000-1999"]\n')
    daemon = volume_daemon.VolumeDaemon(bench.command, rule=rule)
    try:
        daemon.start()
        names = [f"volume{number}" for number in range(ALONE + TOGETHER)]
        for name in names:
            _check(daemon.create(name, source, uid=1001, gid=1001))
        bench.say(f"{ALONE} volumes, one after another")
        alone = [_time(daemon, name) for name in names[:ALONE]]
        bench.say(f"{TOGETHER} volumes at once")
        together, activate = _at_once(daemon, names[ALONE:])
        time.sleep(IDLE_SECONDS)
        idle = measure.memory(next(
            pid for pid in bench.command.processes()
            if volume_daemon.status_of(pid, "Name") == "uidnfs-worker"))
        own = [measure.memory(pid) for pid in (daemon.process.pid, *daemon.children())]
        for name in names:
            _check(daemon.unmount(name))
    finally:
        daemon.clear()
    _report(bench, alone, together, activate, idle, own)


def _report(bench, alone, together, activate, idle, own):
    def row(what, values, limit):
        median = measure.median(values)
        return [what, median, max(values), report.verdict(median < limit, f"< {limit}")]

    bench.report.table(
        "volumes", "Answers of the volume daemon, milliseconds",
        ["", "median", "largest", "target"],
        [row("one Mount", alone, ALONE_TARGET_MS),
         row(f"{TOGETHER} Mounts at once, all", [together], TOGETHER_TARGET_MS),
         row("Activate meanwhile", activate, ACTIVATE_TARGET_MS)],
        [f"one Mount: of {ALONE}; Activate: {len(activate)} calls, each with a connection of its "
         "own; this program's own part is in all of them"])
    bench.report.table(
        "volume memory", f"Memory with {ALONE + TOGETHER} volumes mounted, MiB",
        ["", "resident", "private"],
        [[what, memory.resident / measure.MIB, memory.private / measure.MIB]
         for what, memory in zip(("idle worker", "front", "mounter"), (idle, *own))])


def _at_once(daemon, names):
    """Milliseconds until all were mounted, and of each Activate meanwhile."""
    answers, done = [], threading.Event()

    def activate():
        while not done.is_set():
            began = time.monotonic()
            daemon.ask("Plugin.Activate")
            answers.append((time.monotonic() - began) * 1000)

    with contextlib.ExitStack() as stack:
        asking = threading.Thread(target=activate)
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(len(names)))
        stack.callback(asking.join)
        stack.callback(done.set)
        asking.start()
        began = time.monotonic()
        list(pool.map(lambda name: _time(daemon, name), names))
        return (time.monotonic() - began) * 1000, answers


def _time(daemon, name):
    began = time.monotonic()
    _check(daemon.mount(name)[1])
    return (time.monotonic() - began) * 1000


def _check(error):
    if error:
        raise measure.BenchError(f"the daemon says: {error}; see its log")
