# SPDX-License-Identifier: Apache-2.0
"""The benchmark: one NFS-Ganesha in a sandbox, uidnfs and what it is measured against, all tables.

Started by scripts/bench, which builds what it needs. Everything it makes lives in the sandbox
(tests/support/sandbox.py) and ends with it, whatever the reason. Targets that are missed are shown
and are no failure.
"""

import argparse
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
sys.dont_write_bytecode = True

import calls  # noqa: E402
import directory  # noqa: E402
import distance  # noqa: E402
import footprint  # noqa: E402
import ganesha  # noqa: E402
import instructions  # noqa: E402
import latency  # noqa: E402
import limits  # noqa: E402
import measure  # noqa: E402
import parallel  # noqa: E402
import report  # noqa: E402
import sandbox  # noqa: E402
import scale  # noqa: E402
import streaming  # noqa: E402
import subjects  # noqa: E402
import transport  # noqa: E402
import uidnfs_command  # noqa: E402
import volumes  # noqa: E402

EXPORT = ganesha.Export("bench", owner=(1001, 1001))

SKIPPED = 77

# Name, what runs, and the network of the server: a proxy needs the server's ports on this side.
SECTIONS = (
    ("calls", calls.run, "loopback"),
    ("streaming", streaming.run, "loopback"),
    ("latency", latency.run, "loopback"),
    ("limits", limits.run, "loopback"),
    ("footprint", footprint.run, "loopback"),
    ("volumes", volumes.run, "loopback"),
    ("transport", transport.run, "loopback"),
    ("directory", directory.run, "loopback"),
    ("scale", scale.run, "loopback"),
    ("instructions", instructions.run, "loopback"),
    ("parallel", parallel.run, "own"),
    ("distance", distance.run, "own"),
)


class Bench:
    """What every section gets."""

    def __init__(self, arguments, head):
        self.quick = arguments.quick
        self.export = EXPORT
        self.server = None
        self.command = uidnfs_command.Uidnfs(arguments.uidnfs)
        self.load = arguments.load and measure.Load(_readable_copy(arguments.load))
        self.rpc_bench = arguments.rpc_bench
        self.ldap_bench = arguments.ldap_bench
        self.wire_bench = arguments.wire_bench
        self.scale = arguments.scale
        self.instructions = arguments.instructions
        self.report = report.Report(head)
        self.subjects = ()
        self.memory = None
        self._memory_fs = arguments.memory_fs
        self._passthrough = arguments.passthrough
        self._options = arguments.options

    def use(self, server):
        self.server = server
        ours = subjects.Uidnfs(self.command, server.address, self.export, self._options)
        self.subjects = (ours, subjects.Passthrough(self._passthrough, self.export, ours))
        self.memory = subjects.Memory(self._memory_fs, ours)

    def variant(self, options):
        """uidnfs with further mount options."""
        both = ",".join(filter(None, (self._options, options)))
        return subjects.Uidnfs(self.command, self.server.address, self.export, both)

    def say(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def watched(self, mount, *words):
        """Runs one work of the load; the processor time of client and server comes with it."""
        return self.load.run(
            *words, watched={"client": mount.pids, "server": [self.server.pid]})

    def load_as_server(self, work, path, *words):
        """Makes a file of the export where the server keeps it, owned by the mapped identity."""
        path.touch()
        os.chown(path, measure.APP_UID, measure.APP_UID)
        self.load.run(work, path, *words)
        os.chown(path, *self.export.owner)


def main():
    arguments = _arguments()
    if os.geteuid() != 0:
        print("skipped: the benchmark makes namespaces and mounts and needs root")
        return SKIPPED
    try:
        if not sandbox.is_inside():
            sandbox.enter(["-B", str(pathlib.Path(__file__).resolve()), *sys.argv[1:]])
        sandbox.become_init()
        sandbox.prepare("own")
        _run(arguments)
    except (sandbox.SandboxError, ganesha.ServerError, measure.BenchError, AssertionError,
            subprocess.TimeoutExpired) as error:
        print(f"bench: failed: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uidnfs", required=True, type=pathlib.Path)
    parser.add_argument("--load", type=pathlib.Path,
                        help="load.cpp, compiled; only the calls can do without")
    parser.add_argument("--passthrough", type=pathlib.Path,
                        help="passthrough_ll, compiled; only the calls can do without")
    parser.add_argument("--memory-fs", type=pathlib.Path, help="memory_fs.cpp, compiled; as above")
    parser.add_argument("--scale", type=pathlib.Path, help="left out: no table of known files")
    parser.add_argument("--wire-bench", type=pathlib.Path, help="left out: no limits of the wire")
    parser.add_argument("--instructions", type=pathlib.Path,
                        help="left out: instructions are not counted")
    parser.add_argument("--rpc-bench", type=pathlib.Path, help="left out: no table of it")
    parser.add_argument("--ldap-bench", type=pathlib.Path, help="left out: no table of it")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--json", help="write all tables to this file, too")
    parser.add_argument("--options", default="", help="further mount options for uidnfs")
    parser.add_argument("--load-before", type=float, default=os.getloadavg()[0],
                        help="load of the machine before anything was built for this")
    parser.add_argument("sections", nargs="*", metavar="SECTION",
                        help=f"only these of {', '.join(name for name, *_ in SECTIONS)}")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - {name for name, *_ in SECTIONS}
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    programs = (arguments.load, arguments.passthrough, arguments.memory_fs)
    if arguments.sections != ["calls"] and not all(programs):
        parser.error("only the calls can do without --load, --passthrough and --memory-fs")
    return arguments


def _run(arguments):
    start = time.monotonic()
    bench = Bench(arguments, _head(arguments))
    wanted = [section for section in SECTIONS
              if not arguments.sections or section[0] in arguments.sections]
    for network in dict.fromkeys(network for *_, network in wanted):
        server = ganesha.Ganesha([EXPORT], network).start()
        bench.use(server)
        try:
            for _, section, its_network in wanted:
                if its_network == network:
                    section(bench)
        except (AssertionError, measure.BenchError):
            print("end of the server's log:\n" + server.log_tail(), file=sys.stderr)
            raise
        finally:
            server.stop()
    if arguments.json:
        bench.report.write_json(arguments.json)
    print(f"\n{time.monotonic() - start:.0f} s in all")


def _head(arguments):
    done = subprocess.run([str(arguments.uidnfs), "--version"], capture_output=True, text=True,
                          check=False, timeout=10, stdin=subprocess.DEVNULL)
    head = {
        "version": done.stdout.partition("\n")[0],
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "load_before": round(arguments.load_before, 2),
        "quick": arguments.quick,
        "options": arguments.options,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    print(f"{head['version']}, kernel {head['kernel']}, {head['processors']} processors, "
          f"load {head['load_before']} before")
    return head


def _readable_copy(binary):
    """A checkout in a home directory may be closed to the application user."""
    copy = sandbox.ROOT / "load"
    shutil.copy(binary, copy)
    copy.chmod(0o755)
    return copy


if __name__ == "__main__":
    sys.exit(main())
