# SPDX-License-Identifier: Apache-2.0
"""Parallel lookups in one directory with a slow server: how many round trips they take."""

import measure
import report
import rpc_proxy
import ganesha
import subjects

THREADS = (1, 4, 16)
PROXY_ADDRESS = "127.0.7.1"
# Below one and a half, everything was in flight together.
LIMIT = 1.5


def run(bench):
    delays = (0.1,) if bench.quick else (0.05, 0.1, 0.2)
    runs = 3
    for number in range(len(delays) * runs * len(THREADS)):
        _make_directory(bench.export, number)
    ports = (ganesha.PORTMAP_PORT, ganesha.MOUNT_PORT, ganesha.NFS_PORT)
    host = rpc_proxy.ProxyHost(PROXY_ADDRESS, bench.server.address, ports).start()
    try:
        with subjects.Uidnfs(bench.command, host.address, bench.export).mounted() as mount:
            rows = _measure(bench, host, mount, delays, runs)
    finally:
        host.stop()
    bench.report.table(
        "lookups", "Parallel lookups of different names in one directory, round trips",
        ["round trip", *(f"{threads} at once" for threads in THREADS), "calls by 16", "target"],
        rows,
        [f"wall time of all / delay of every NFS call by the proxy, medians of {runs} runs"])


def _make_directory(export, number):
    directory = export.path / f"names{number}"
    directory.mkdir()
    for i in range(max(THREADS)):
        (directory / f"f{i}").touch()


def _measure(bench, host, mount, delays, runs):
    directories = iter(range(len(delays) * runs * len(THREADS)))
    rows = []
    for delay in delays:
        trips = {threads: [] for threads in THREADS}
        calls = []
        for number in range(runs):
            bench.say(f"lookups, {delay * 1000:.0f} ms, run {number + 1} of {runs}")
            for threads in THREADS:
                directory = mount / f"names{next(directories)}"
                directory.stat()
                sample, seen = _once(bench, host, directory, threads, delay)
                trips[threads].append(sample.seconds / delay)
                if threads == max(THREADS):
                    calls.append(seen)
        medians = [measure.median(trips[threads]) for threads in THREADS]
        rows.append([f"{delay * 1000:.0f} ms", *medians, measure.median(calls),
                     report.verdict(max(medians) < LIMIT, "one")])
    return rows


def _once(bench, host, directory, threads, delay):
    host.clear()
    rule = host.rule(lambda call: call.name.startswith("NFS3 "), rpc_proxy.Delay(delay))
    try:
        sample = bench.load.run("lookups", directory, threads)
    finally:
        rule.remove()
        host.remove_rules()
    return sample, len(host.calls())
