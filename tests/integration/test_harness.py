# SPDX-License-Identifier: Apache-2.0
"""The tools of the other suites judged against the real server, without uidnfs: a watch that cannot
bark or a proxy that alters what it should pass on would make those suites worthless."""

import os
import time

import ganesha
import rpc_proxy
import rpc_wire
import suite
import uidnfs_command
import wire_watch

IDENTITY = rpc_wire.auth_sys(1001, 1001, (5, 6))


class Wire(suite.IntegrationTest):
    """Encoding and decoding of RPC headers."""

    def test_call_is_read_back_as_written(self):
        record = rpc_wire.encode_call(7, rpc_wire.NFS, 3, 1, IDENTITY, b"args")
        call = rpc_wire.parse_call(record)
        self.assertEqual((7, rpc_wire.NFS, 3, 1), (call.xid, call.program, call.version,
                                                  call.procedure))
        self.assertEqual(IDENTITY, call.credential)
        self.assertEqual(b"args", call.args)
        self.assertEqual("NFS3 GETATTR", call.name)

    def test_truncated_call_is_an_error(self):
        record = rpc_wire.encode_call(7, rpc_wire.NFS, 3, 1, IDENTITY)
        for length in range(len(record)):
            with self.assertRaises(rpc_wire.WireError):
                rpc_wire.parse_call(record[:length])


class Server(suite.IntegrationTest):
    """Ganesha as the tests start, stop and configure it."""

    def client(self, port, credential=IDENTITY):
        made = rpc_wire.RpcClient(self.server.address, port, credential)
        self.addCleanup(made.__exit__)
        return made

    def root(self, export="a"):
        status, handle, _ = self.client(ganesha.MOUNT_PORT).mnt(suite.lab().export(export).share)
        self.assertEqual(0, status)
        return handle

    def test_is_registered_with_the_portmapper(self):
        portmap = self.client(ganesha.PORTMAP_PORT)
        self.assertEqual(ganesha.MOUNT_PORT, portmap.getport(rpc_wire.MOUNT, 3))
        self.assertEqual(ganesha.NFS_PORT, portmap.getport(rpc_wire.NFS, 3))

    def test_records_the_identity_of_the_call(self):
        client = self.client(ganesha.NFS_PORT)
        self.assertEqual(0, client.create(self.root(), "by-1001"))
        made = os.stat(suite.lab().export("a").path / "by-1001")
        self.assert_owner(made, 1001, 1001)

    def test_refuses_another_identity(self):
        stranger = self.client(ganesha.NFS_PORT, rpc_wire.auth_sys(1002, 1002))
        self.assertEqual(13, stranger.create(self.root(), "by-1002"))

    def test_offers_only_krb5_for_that_export(self):
        client = self.client(ganesha.MOUNT_PORT)
        status, _, flavors = client.mnt(suite.lab().export("krb").share)
        self.assertEqual(0, status)
        self.assertNotIn(rpc_wire.AUTH_SYS, flavors)

    def test_refuses_unknown_and_forbidden_exports(self):
        client = self.client(ganesha.MOUNT_PORT)
        self.assertNotEqual(0, client.mnt("/exports/absent")[0])
        self.assertNotEqual(0, client.mnt(suite.lab().export("refused").share)[0])

    def test_file_handles_outlive_a_restart_and_the_verifier_does_not(self):
        handle = self.root()
        os.close(os.open(suite.lab().export("a").path / "f", os.O_CREAT))
        _, file = self.client(ganesha.NFS_PORT).lookup(handle, "f")
        before = self.client(ganesha.NFS_PORT).write_verifier(file)
        self.server.restart()
        self.assertEqual(0, self.client(ganesha.NFS_PORT).getattr(handle)[0])
        after = self.client(ganesha.NFS_PORT).write_verifier(file)
        self.assertNotEqual(before, after)
        self.server.restart(same_verifier=True)
        self.assertEqual(after, self.client(ganesha.NFS_PORT).write_verifier(file))

    def test_frozen_server_is_silent_and_then_answers(self):
        client = rpc_wire.RpcClient(self.server.address, ganesha.NFS_PORT, timeout=0.3)
        self.addCleanup(client.__exit__)
        self.addCleanup(self.server.thaw)
        client.null(rpc_wire.NFS, 3)
        self.server.freeze()
        with self.assertRaises(TimeoutError):
            client.null(rpc_wire.NFS, 3)
        self.server.thaw()
        self.client(ganesha.NFS_PORT).null(rpc_wire.NFS, 3)


class Proxy(suite.IntegrationTest):
    """What passes, what is recorded and what is done to it."""

    def setUp(self):
        super().setUp()
        self.watch = wire_watch.WireWatch(1001, 1001, (5, 6))
        self.host = suite.lab().proxy(self.watch.observe)
        self.addCleanup(self.host.stop)

    def client(self, port=ganesha.NFS_PORT, credential=IDENTITY, timeout=5.0):
        made = rpc_wire.RpcClient(self.host.address, port, credential, timeout)
        self.addCleanup(made.__exit__)
        return made

    def test_stands_for_the_server_on_all_three_ports(self):
        port = self.client(ganesha.PORTMAP_PORT).getport(rpc_wire.MOUNT, 3)
        share = suite.lab().export("a").share
        status, handle, _ = self.client(port).mnt(share)
        self.assertEqual((0, 0), (status, self.client().getattr(handle)[0]))
        self.assertEqual(["PORTMAP2 GETPORT", "MOUNT3 MNT", "NFS3 GETATTR"],
                         [seen.name for seen in self.host.calls()])
        self.assertEqual([IDENTITY] * 3, [seen.call.credential for seen in self.host.calls()])

    def test_watch_accepts_the_right_identity(self):
        self.client().null(rpc_wire.NFS, 3)
        self.assertEqual(1, self.watch.count(rpc_wire.NFS))
        self.watch.check()

    def test_watch_reports_every_kind_of_stranger(self):
        strangers = (rpc_wire.Credential(rpc_wire.AUTH_NONE), rpc_wire.auth_sys(0, 1001, (5, 6)),
                     rpc_wire.auth_sys(1001, 0, (5, 6)), rpc_wire.auth_sys(1001, 1001),
                     rpc_wire.auth_sys(1001, 1001, (5, 6, 7)))
        ports = {ganesha.PORTMAP_PORT: (rpc_wire.PORTMAP, 2), ganesha.NFS_PORT: (rpc_wire.NFS, 3),
                 ganesha.MOUNT_PORT: (rpc_wire.MOUNT, 3)}
        for stranger in strangers:
            for port, program in ports.items():
                self.client(port, stranger).null(*program)
        self.assertEqual(15, len(self.watch.offences()))
        with self.assertRaisesRegex(AssertionError, r"AUTH_NONE(?s:.)*uid=1001 gid=0"):
            self.watch.check()

    def test_delayed_calls_do_not_hold_up_each_other(self):
        self.host.rule(rpc_proxy.named("NFS3 NULL"), rpc_proxy.Delay(0.3))
        client = self.client()
        begin = time.monotonic()
        for xid in range(4):
            client._socket.sendall(rpc_wire.mark(rpc_wire.encode_call(
                xid, rpc_wire.NFS, 3, 0, IDENTITY)))
        for _ in range(4):
            rpc_wire.read_record(client._socket)
        self.assertTrue(0.3 <= time.monotonic() - begin < 0.6)

    def test_lost_reply(self):
        rule = self.host.rule(rpc_proxy.named("NFS3 NULL"), rpc_proxy.DropReply(), times=1)
        client = self.client(timeout=0.3)
        with self.assertRaises(TimeoutError):
            client.null(rpc_wire.NFS, 3)
        client.null(rpc_wire.NFS, 3)
        self.assertEqual(1, rule.hits)

    def test_reply_cut_in_the_middle_of_the_record(self):
        self.host.rule(rpc_proxy.named("NFS3 NULL"), rpc_proxy.CutReply(10), times=1)
        client = self.client()
        client._socket.sendall(rpc_wire.mark(rpc_wire.encode_call(
            1, rpc_wire.NFS, 3, 0, IDENTITY)))
        self.assertEqual(10, len(rpc_wire.read_exactly(client._socket, 10)))
        with self.assertRaises(ConnectionResetError):
            client._socket.recv(1)

    def test_call_cut_in_the_middle_of_the_record(self):
        self.host.rule(rpc_proxy.named("NFS3 NULL"), rpc_proxy.CutCall(10), times=1)
        with self.assertRaises(ConnectionResetError):
            self.client().null(rpc_wire.NFS, 3)
        self.client().null(rpc_wire.NFS, 3)

    def test_black_hole_keeps_connections_and_passes_nothing(self):
        client = self.client(timeout=0.3)
        client.null(rpc_wire.NFS, 3)
        self.host.black_hole()
        with self.assertRaises(TimeoutError):
            client.null(rpc_wire.NFS, 3)
        self.assertEqual(1, self.host.open_connections())
        self.host.pass_on()
        self.client().null(rpc_wire.NFS, 3)

    def test_reset_and_refusal(self):
        client = self.client()
        client.null(rpc_wire.NFS, 3)
        self.host.refuse()
        self.assertEqual(1, self.host.reset_all())
        with self.assertRaises(ConnectionResetError):
            client.null(rpc_wire.NFS, 3)
        with self.assertRaises(ConnectionRefusedError):
            self.client()
        self.host.accept_again()
        self.client().null(rpc_wire.NFS, 3)

    def test_replaced_reply(self):
        self.host.rule(rpc_proxy.named("NFS3 GETATTR"), rpc_proxy.ReplaceReply(
            lambda record: record[:24] + (70).to_bytes(4, "big")), times=1)
        self.assertEqual(70, self.client().getattr(bytes(32))[0])


class Left(suite.IntegrationTest):
    """Finding what should not be there."""

    def test_process_of_the_binary_is_found(self):
        sleeper = uidnfs_command.Uidnfs("/usr/bin/sleep")
        process = sleeper.start("30")
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        uidnfs_command.wait_until(sleeper.processes, 5, "exec")
        self.assertEqual([process.pid], sleeper.processes())
        with self.assertRaisesRegex(AssertionError, "left behind: .*sleep 30"):
            sleeper.check_nothing_left(0.1)

    def test_actor_has_its_identity_and_passes_errors_on(self):
        app = self.actor(2000)
        self.assertEqual((2000, 2000, []), (app.getuid(), app.getgid(), app.getgroups()))
        with self.assert_errno(2):
            app.stat("/absent")
        self.assertEqual(42, app.run("result = number + 1", number=41))
