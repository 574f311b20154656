# SPDX-License-Identifier: Apache-2.0
"""Connections that break and a server that restarts: the application sees a pause, not an error,
and nothing written is lost."""

import hashlib
import os
import random
import threading
import time

import rpc_proxy
import suite
import uidnfs_command

MIB = 1 << 20


class Connection(suite.MountedTest):
    """What was in flight when the connection broke is sent again, with the same xid."""

    def setUp(self):
        super().setUp()
        self.host = self.m.host
        self.addCleanup(self.host.remove_rules)
        self.addCleanup(self.host.pass_on)

    def xids(self, name):
        return [seen.call.xid for seen in self.host.calls(name)]

    def test_reply_cut_in_the_middle(self):
        self.app.write_file(self.path("f"), bytes(MIB))
        fresh = self.path("f")
        for after in (2, 10, 30, 5000):
            with self.subTest(after=after):
                data = random.Random(after).randbytes(MIB)
                with open(self.on_server("f"), "wb") as file:
                    file.write(data)
                rule = self.host.rule(rpc_proxy.named("NFS3 READ"), rpc_proxy.CutReply(after), 1)
                self.host.clear()
                self.assertEqual(data, self.app.read_file(fresh))
                self.assertEqual(1, rule.hits)
                first = self.xids("NFS3 READ")[0]
                self.assertGreaterEqual(self.xids("NFS3 READ").count(first), 2)

    def test_call_cut_in_the_middle(self):
        data = random.Random(3).randbytes(4 * MIB)
        for after in (2, 50, 100000):
            with self.subTest(after=after):
                rule = self.host.rule(rpc_proxy.named("NFS3 WRITE"), rpc_proxy.CutCall(after), 1)
                self.app.write_file(self.path("f"), data)
                self.assertEqual(1, rule.hits)
                with open(self.on_server("f"), "rb") as file:
                    self.assertEqual(data, file.read())

    def test_reset_while_idle_is_not_noticed(self):
        self.app.write_file(self.path("f"), b"before")
        self.assertGreater(self.host.reset_all(), 0)
        self.app.write_file(self.path("g"), b"after")
        self.assertEqual(b"before", self.app.read_file(self.path("f")))

    def test_resets_under_load(self):
        """Every tenth of a second the connection breaks while 32 MiB are written and read back."""
        ended = threading.Event()

        def breaker():
            for _ in range(15):
                if ended.wait(0.1):
                    return
                self.host.reset_all()

        thread = threading.Thread(target=breaker)
        thread.start()
        try:
            self.app.run("""
import random
noise = random.Random(11)
with open(path, "wb") as file:
    for _ in range(32):
        file.write(noise.randbytes(1 << 20))
""", path=self.path("f"))
            found = self.app.digest(self.path("f"))
        finally:
            ended.set()
            thread.join()
        noise = random.Random(11)
        expected = hashlib.sha256(b"".join(noise.randbytes(MIB) for _ in range(32))).hexdigest()
        self.assertEqual((32 * MIB, expected), found)
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(expected, hashlib.file_digest(file, "sha256").hexdigest())

    def test_refused_for_a_while(self):
        """The server's port is closed: a hard mount waits, and goes on when it opens."""
        self.host.refuse()
        self.host.reset_all()
        self.app.start("write_file", self.path("f"), b"patience")
        time.sleep(1.0)
        self.assertFalse(os.path.exists(self.on_server("f")))
        self.host.accept_again()
        self.app.finish(30)
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(b"patience", file.read())

    def test_silence_for_a_while(self):
        """Nothing answers and nothing breaks: a hard mount waits."""
        self.host.black_hole()
        self.app.start("mkdir", self.path("d"))
        time.sleep(1.0)
        self.host.pass_on()
        self.app.finish(30)
        self.assertTrue(os.path.isdir(self.on_server("d")))


class ServerRestart(suite.MountedTest):
    """A new write verifier means that bytes not yet committed are sent again."""

    def written(self):
        """Bytes of all WRITE calls seen on the wire."""
        return sum(len(seen.call.args) for seen in self.m.host.calls("NFS3 WRITE"))

    def test_bytes_that_the_server_forgot_are_sent_again(self):
        """Written, not committed; the server dies and its memory with it; then fsync."""
        data = random.Random(5).randbytes(8 * MIB)
        self.m.host.clear()
        self.app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_RDWR)
os.write(state["fd"], data)
""", path=self.path("f"), data=data)
        uidnfs_command.wait_until(lambda: self.written() >= len(data), 10, "writing behind")
        self.server.kill()
        os.truncate(self.on_server("f"), 0)
        self.server.launch()
        self.app.run("os.fsync(state['fd'])")
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(data, file.read())
        self.app.run("os.close(state.pop('fd'))")
        self.assertEqual(data, self.app.read_file(self.path("f")))

    def test_restarts_while_writing(self):
        """Three restarts during 48 MiB; after close the server has every byte."""
        self.app.start_run("""
import random
noise = random.Random(9)
with open(path, "wb") as file:
    for _ in range(48):
        file.write(noise.randbytes(1 << 20))
        time.sleep(0.03)
""", path=self.path("f"))
        for _ in range(3):
            time.sleep(0.3)
            self.server.restart()
        self.app.finish()
        noise = random.Random(9)
        expected = hashlib.sha256(b"".join(noise.randbytes(MIB) for _ in range(48))).hexdigest()
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(expected, hashlib.file_digest(file, "sha256").hexdigest())

    def test_operations_on_names_survive_a_restart(self):
        self.app.write_file(self.path("f"), b"kept")
        self.server.restart()
        self.assertEqual(b"kept", self.app.read_file(self.path("f")))
        self.app.rename(self.path("f"), self.path("g"))
        self.assertEqual(["g"], os.listdir(self.on_server()))

    def test_frozen_server_is_waited_for(self):
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        self.app.start("write_file", self.path("f"), b"later")
        time.sleep(1.0)
        self.server.thaw()
        self.app.finish(30)
        with open(self.on_server("f"), "rb") as file:
            self.assertEqual(b"later", file.read())
