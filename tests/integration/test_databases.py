# SPDX-License-Identifier: Apache-2.0
"""Databases on the mount: what they acknowledged is there after every kind of end."""

import os
import pathlib
import shutil
import signal
import tempfile

import programs
import suite

SQLITE = """
import sqlite3, sys
base = sqlite3.connect("base.db", timeout=30)
base.execute("create table if not exists t (id integer primary key, payload blob)")
base.commit()
number = 0
while number < int(sys.argv[1]):
    with base:
        base.executemany("insert into t (payload) values (?)", [(bytes(900),)] * 20)
    number += 1
    print(number, flush=True)
"""


class Sqlite(programs.ProgramTest):
    """One file and a journal beside it."""

    def test_sqlite_survives_kill(self):
        writer = self.command("/usr/bin/python3", "-c", SQLITE, "100000")
        seen = 0
        while seen < 20:
            seen = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)
        writer.stdout.close()
        output = self.shell("""/usr/bin/python3 -c '
import sqlite3
base = sqlite3.connect("base.db")
print(base.execute("pragma integrity_check").fetchone()[0])
print(base.execute("select count(*) from t").fetchone()[0])'""")
        verdict, count = output.split()
        self.assertEqual("ok", verdict)
        self.assertGreaterEqual(int(count), seen * 20)


class Postgres(programs.ProgramTest):
    """A server of many processes that takes fsync at its word."""

    def setUp(self):
        super().setUp()
        versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        self.assertTrue(versions, "PostgreSQL is not installed; run scripts/setup")
        with open("/etc/passwd", "r+", encoding="ascii") as passwd:
            if f":{suite.APP_UID}:" not in passwd.read():
                passwd.write(f"app:x:{suite.APP_UID}:{suite.APP_UID}::/:/bin/sh\n")
        self.sockets = tempfile.mkdtemp(prefix="uidnfs-pg-")
        self.addCleanup(shutil.rmtree, self.sockets)
        os.chown(self.sockets, suite.APP_UID, suite.APP_UID)
        self.prelude = f"""
PATH={versions[-1]}:$PATH; export PGHOST={self.sockets} PGUSER=app PGDATABASE=postgres
start() {{ pg_ctl -D data -l log -w -t 60 -o '-k {self.sockets} -c listen_addresses=' start > /dev/null \\
           || {{ cat log; false; }}; }}
stop() {{ pg_ctl -D data -w -t 60 -m "$1" stop > /dev/null; }}
"""

    def pg(self, script, timeout=120):
        return self.shell(self.prelude + script, timeout)

    def test_immediate_stop_and_server_restart_lose_nothing(self):
        self.addCleanup(self.pg, "pg_ctl -D data -m immediate stop > /dev/null 2>&1 || true")
        self.pg("""
initdb -D data -U app --auth=trust --data-checksums > /dev/null
start
pgbench -q -i -s 1 2> /dev/null
pgbench -c 4 -j 2 -t 60 2>&1 | grep -q 'actually processed: 240/240'
""")
        self.told_is_there_after_an_immediate_stop()
        # The NFS server dies under a running database: it must notice nothing.
        load = self.command("bash", "-euc", self.prelude + "pgbench -n -c 4 -j 2 -T 4 2>&1")
        self.server.restart()
        self.assertIn("number of failed transactions: 0", self.finish(load))
        sums = self.pg("""
psql -Atc 'select (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from
    pgbench_branches), (select sum(tbalance) from pgbench_tellers), (select sum(delta) from
    pgbench_history)'
psql -qc 'create extension amcheck'
pg_amcheck --heapallindexed postgres
stop fast
pg_checksums -c -D data > /dev/null
""")
        self.assertEqual(1, len(set(sums.split()[0].split("|"))), sums)

    def told_is_there_after_an_immediate_stop(self):
        """Every number whose commit was acknowledged survives recovery from the log."""
        self.pg("psql -qc 'create table told (n int primary key)'")
        writer = self.command("bash", "-euc", self.prelude + """
for n in $(seq 1 100000); do echo "insert into told values ($n) returning n;"; done | psql -Atq
""")
        seen = 0
        while seen < 60:
            seen = int(writer.stdout.readline())
        self.pg("stop immediate")
        for line in writer.stdout:
            if not line.strip().isdigit():
                break
            seen = int(line)
        writer.wait(30)
        writer.stdout.close()
        count, last = self.pg("start; psql -Atc 'select count(*), max(n) from told'").split("|")
        self.assertEqual(int(count), int(last))
        self.assertGreaterEqual(int(count), seen)
