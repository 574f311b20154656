# SPDX-License-Identifier: Apache-2.0
"""Whoever reaches the daemon's sockets and means it no good: connections that hang, headers without end,
bodies that are none. Everybody else is served meanwhile, and the volumes stay."""

import http.client
import os
import pathlib
import re
import resource
import socket
import statistics
import time

import test_volumes
import volume_daemon
from uidnfs_command import wait_until

MIB = 1024  # in KiB


def memory(pid, field="Pss"):
    """KiB of /proc/PID/smaps_rollup: Pss, Rss, Private_Dirty."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(rf"^{field}: +(\d+)", text, re.MULTILINE).group(1))


class HostileTest(test_volumes.VolumeTest):
    CONNECTIONS = 1000
    ACTIVATE = 0.05  # seconds; the median must be far below
    GROWTH = 64 * MIB

    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def activate(self, times=50):
        took = []
        for _ in range(times):
            began = time.monotonic()
            self.assertIn("Implements", self.daemon.ask("Plugin.Activate", timeout=10))
            took.append(time.monotonic() - began)
        return took

    def open_with(self, data):
        """A connection that said this much, or nothing when it was turned away."""
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(5)
        try:
            client.connect(str(self.daemon.socket))
            client.sendall(data)
        except OSError:
            pass
        return client

    def test_a_thousand_connections(self):
        self.mounted()
        self.activate()
        before = memory(self.daemon.process.pid, "Rss")
        halves = (b"", b"P", b"POST /VolumeDriver.Mount HTTP/1.1\r\nHost: d\r\n",
                  b"POST /VolumeDriver.Mount HTTP/1.1\r\nHost: d\r\nContent-Length: 4000\r\n\r\n{",
                  b"POST / HTTP/1.1\r\n" + b"a: " + b"b" * 100_000,
                  b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000,
                  b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
                  b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: d\r\n"
                  b"Content-Length: 18446744073709551615\r\n\r\n" + b"{" * 60_000)
        for number in range(self.CONNECTIONS):
            self.open_with(halves[number % len(halves)])
        took = self.activate()
        # What was begun is over after the limits on time; what says nothing may stay.
        growth = memory(self.daemon.process.pid, "Rss") - before
        print(f"\n{self.CONNECTIONS} connections: Activate median {1000 * statistics.median(took):.2f} ms, "
              f"largest {1000 * max(took):.2f} ms; the front grew by {growth} KiB")
        self.assertLess(statistics.median(took), self.ACTIVATE)
        self.assertLess(growth, self.GROWTH)
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()

    def test_deep_and_broken_bodies(self):
        bodies = (b"", b"{", b"[" * 20_000, b'{"Opts":' * 5_000, b'{"Name": "\\ud800"}', b"\xff\xfe",
                  b'{"Name": 1e999}', b'{"Name": "v", "Name": "w"}', b'{"Name": "../../etc"}',
                  b'{"Name": "a/b", "Opts": {"share": "nas1:/exports/a"}}',
                  b'{"Name": "' + b"n" * 60_000 + b'"}', b'"v"', b"null", b"0")
        for call in ("Create", "Mount", "Unmount", "Path", "Get", "Remove", "List", "Capabilities"):
            for body in bodies:
                with self.subTest(call=call, body=body[:20]):
                    client = self.open_with(
                        f"POST /VolumeDriver.{call} HTTP/1.1\r\nHost: d\r\nContent-Length: "
                        f"{len(body)}\r\n\r\n".encode() + body)
                    self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 "))
                    client.close()
        self.activate(3)
        self.assertEqual([], self.daemon.mounts())


class MetricsTest(test_volumes.VolumeTest):
    """The port for metrics is open to whoever reaches it, in [admin], which stands before the rules."""

    PORT = 9620
    rule = f'metrics_listen = "127.0.0.1:{PORT}"\n' + volume_daemon.RULE
    CONNECTIONS = 520
    AT_ONCE = 32
    SPARE = 8  # descriptors; for what else the daemon is about

    def scrape(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.PORT, timeout=10)
        self.addCleanup(connection.close)
        connection.request("GET", "/metrics")
        return connection.getresponse().read()

    def come_and_read_nothing(self):
        client = socket.socket()
        self.addCleanup(client.close)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        try:
            client.connect(("127.0.0.1", self.PORT))
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 2000)
        except OSError:
            pass  # somebody else came
        return client

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))

    def test_who_reads_no_answers_shuts_out_nobody(self):
        self.mounted()
        before = self.descriptors()
        clients = [self.come_and_read_nothing() for _ in range(self.CONNECTIONS)]
        wait_until(lambda: clients[-1].recv(1, socket.MSG_PEEK), 10, "the first answer to the last one")
        self.assertLess(self.descriptors(), before + self.AT_ONCE + self.SPARE)
        for _ in range(20):
            self.assertIn("Implements", self.daemon.ask("Plugin.Activate", timeout=10))
            self.assertEqual(200, self.daemon.admin_ask("GET", "/healthz")[0])
        self.assertIn(b"uidnfs_build_info", self.scrape())
        self.assertEqual("", self.daemon.unmount("v"))
        self.assert_nothing_left()
