# SPDX-License-Identifier: Apache-2.0
"""What asking the directory for an identity costs: runs ldap_bench, which has a slapd of its own, and
shows its numbers beside their targets."""

import re
import subprocess

import measure
import report

MORE_TRIPS = 3
BEYOND_THE_HASH = 200
_SECONDS = 200
_COLD = re.compile(r"cold resolve, (\w+) connection: +(\d+) LDAP round trips \((\d+) needed.*\), "
                   r"(\d+) us")
_HASH = re.compile(r"hash \((.*)\): (\d+) us median, (\d+) us at best")
_CACHED = re.compile(r"cached resolve: (-?\d+) us beyond the hash, (-?\d+) us at best")
_WITHOUT = re.compile(r"cached resolve without password: ([\d.]+) us")


def run(bench):
    if bench.ldap_bench is None:
        bench.say("ldap_bench is not built; the table of the directory is left out")
        return
    bench.say("identities of a directory")
    done = subprocess.run([str(bench.ldap_bench), "20" if bench.quick else "100"],
                          capture_output=True, text=True, check=False, timeout=_SECONDS,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise measure.BenchError(f"ldap_bench exited {done.returncode}: {done.stderr.strip()}")
    bench.report.table(
        "directory", "An identity of a directory on this machine",
        ["", "LDAP round trips", "needed", "us", "us at best", "target"], rows_of(done.stdout),
        ["medians; the service's bind on a connection that is used again comes after the answer"])


def rows_of(text):
    """Of what ldap_bench prints."""
    rows = []
    for kind, trips, needed, time in _COLD.findall(text):
        trips, needed = int(trips), int(needed)
        rows.append([f"cold, {kind} connection", trips, needed, int(time), None, report.verdict(
            trips <= needed + MORE_TRIPS, f"<= {MORE_TRIPS} more than needed")])
    for how, median, best in _HASH.findall(text):
        rows.append([f"hash of a password, {how}", None, None, int(median), int(best), None])
    for median, best in _CACHED.findall(text):
        rows.append(["cached, beyond the hash", 0, 0, int(median), int(best), report.verdict(
            int(median) < BEYOND_THE_HASH, f"< {BEYOND_THE_HASH} us")])
    for median in _WITHOUT.findall(text):
        rows.append(["cached, no password to verify", 0, 0, float(median), None, None])
    if len(rows) != 5:
        raise measure.BenchError(f"ldap_bench printed something else:\n{text}")
    return rows
