# SPDX-License-Identifier: Apache-2.0
"""Several programs in one directory of a slow server: how many round trips they wait for."""

import measure
import report
import slow_server
import subjects

DELAY = 0.1
THREADS = (1, 4, 16)
WORKS = ("lookup", "open", "read")
# The kernel does these one after the other in one directory.
SERIAL = ("create", "unlink")
SERIAL_TARGET = 0.9
PROXY_ADDRESS = "127.0.7.1"
# Below one and a half, everything was in flight together.
LIMIT = 1.5
# Larger than what is read with its open.
_FILE_BYTES = 128 << 10


def run(bench):
    runs = 1 if bench.quick else 3
    with slow_server.proxy(PROXY_ADDRESS, bench.server) as host:
        with subjects.Uidnfs(bench.command, host.address, bench.export).mounted() as mount:
            parallel = _Parallel(bench, host, mount)
            parallel.in_flight_together(runs)
            parallel.one_after_the_other(runs)


class _Parallel:
    """The tables."""

    def __init__(self, bench, host, mount):
        self._bench = bench
        self._host = host
        self._mount = mount
        self._made = 0

    def in_flight_together(self, runs):
        rows = []
        for work in WORKS:
            self._bench.say(f"parallel, {work}")
            trips = {threads: [] for threads in THREADS}
            for _ in range(runs):
                for threads in THREADS:
                    directory = self._directory_of_files()
                    if work != "lookup":
                        self._bench.load.run("stat", directory, threads, 1)
                    trips[threads].append(self._at_once(work, directory, threads))
            medians = [measure.median(trips[threads]) for threads in THREADS]
            rows.append([work, *medians, report.verdict(max(medians) < LIMIT, "one")])
        self._bench.report.table(
            "parallel", "Different files of one directory at once, round trips",
            ["", *(f"{threads} at once" for threads in THREADS), "target"], rows,
            [self._how(runs)])

    def one_after_the_other(self, runs):
        most = max(THREADS)
        rows = []
        trips = {(work, threads): [] for work in SERIAL for threads in (1, most)}
        for _ in range(runs):
            for threads in (1, most):
                directory = self._next_directory()
                directory.mkdir()  # through the mount, which knows that it is empty
                for work in SERIAL:
                    self._bench.say(f"parallel, {work} by {threads}")
                    files = range(most // threads)
                    # One name after the other, or all of them at once.
                    trips[work, threads].append(sum(
                        self._at_once(work, directory, threads, first) for first in files))
        for work in SERIAL:
            alone, together = (measure.median(trips[work, threads]) / most
                               for threads in (1, most))
            rows.append([work, alone, together, alone / together, report.verdict(
                alone / together >= SERIAL_TARGET, f">= {SERIAL_TARGET}")])
        self._bench.report.table(
            "serial", "What the kernel does one after the other in a directory, round trips each",
            ["", "one at a time", f"{most} at once", "speed", "target"], rows, [self._how(runs)])

    @staticmethod
    def _how(runs):
        return (f"wall time / {DELAY * 1000:.0f} ms, by which a proxy delays every NFS call; "
                f"medians of {runs} runs")

    def _next_directory(self):
        self._made += 1
        return self._mount / f"parallel-{self._made}"

    def _directory_of_files(self):
        """With its files, made on the server; the mount knows the directory and no name in it."""
        directory = self._next_directory()
        there = self._bench.export.path / directory.name
        there.mkdir()
        for number in range(max(THREADS)):
            (there / f"f{number}").write_bytes(bytes(_FILE_BYTES))
        directory.stat()
        return directory

    def _at_once(self, work, directory, threads, first=0):
        with slow_server.delayed(self._host, DELAY):
            sample = self._bench.load.run("at-once", work, directory, threads, first)
        return sample.seconds / DELAY
