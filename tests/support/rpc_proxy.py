# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that understands RPC records: it records every call and can do harm on request.

A ProxyHost plays a whole NFS server on an address of its own: it listens on the same ports as the
real one (portmap, MOUNT, NFS), so that a mount through it is told nothing special and no call goes
around it. One thread with an asyncio loop serves all connections of a host; rules and the call log
may be used from the test's thread.

Upstream connections leave from the client's own port number, so that the server's duplicate
request cache sees a reconnecting client as it would without the proxy.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import socket
import struct
import threading
import time

import rpc_wire

_RESET = struct.pack("ii", 1, 0)


@dataclasses.dataclass(frozen=True)
class SeenCall:
    """One call as it passed: its header, when (monotonic seconds) and on which connection."""

    call: rpc_wire.Call
    at: float
    connection: int
    client_port: int
    server_port: int

    @property
    def name(self):
        return self.call.name


@dataclasses.dataclass(frozen=True)
class Delay:
    """Forward the call after `seconds`; calls behind it are not held up."""

    seconds: float


@dataclasses.dataclass(frozen=True)
class DropCall:
    """The server never sees it."""


@dataclasses.dataclass(frozen=True)
class DropReply:
    """The server has done it; the client is not told."""


@dataclasses.dataclass(frozen=True)
class DelayReply:
    seconds: float


@dataclasses.dataclass(frozen=True)
class ReplaceReply:
    """`make(reply record)` goes to the client in its place, without markers on either side."""

    make: object


@dataclasses.dataclass(frozen=True)
class AnswerCall:
    """The server never sees it; `make(call record)` is the reply, without markers on either side."""

    make: object


@dataclasses.dataclass(frozen=True)
class CutCall:
    """`after` bytes of the call (marker included) reach the server, then both sides are reset."""

    after: int


@dataclasses.dataclass(frozen=True)
class CutReply:
    """`after` bytes of the reply (marker included) reach the client, then both sides are reset."""

    after: int


class Rule:
    """What to do with calls that match; made by ProxyHost.rule()."""

    def __init__(self, match, action, times):
        self._match = match
        self.action = action
        self._left = times
        self._hits = 0
        self._answers = 0
        self._changed = threading.Condition()

    def take(self, call):
        """True when this rule applies to the call; counts it."""
        with self._changed:
            if self._left == 0 or not self._match(call):
                return False
            if self._left is not None:
                self._left -= 1
            self._hits += 1
            self._changed.notify_all()
            return True

    @property
    def hits(self):
        with self._changed:
            return self._hits

    def wait_for_hits(self, count=1, timeout=10.0):
        with self._changed:
            if not self._changed.wait_for(lambda: self._hits >= count, timeout):
                raise AssertionError(f"rule hit {self._hits} times in {timeout} s, not {count}")

    def note_answer(self):
        with self._changed:
            self._answers += 1
            self._changed.notify_all()

    def wait_for_answers(self, count=1, timeout=10.0):
        """Until the server has executed so many of the calls that this rule took."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._answers >= count, timeout):
                raise AssertionError(f"{self._answers} answers in {timeout} s, not {count}")

    def remove(self):
        with self._changed:
            self._left = 0


def named(*names):
    """Matches calls by name, for example named("NFS3 WRITE", "NFS3 COMMIT")."""
    return lambda call: call.name in names


class _Connection:
    """Client and server side of one proxied TCP connection."""

    def __init__(self, number, client, server, client_port, server_port):
        self.number = number
        self.client = client
        self.server = server
        self.client_port = client_port
        self.server_port = server_port
        self.on_reply = {}

    def reset(self):
        for writer in (self.client, self.server):
            with contextlib.suppress(OSError, AttributeError):
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class ProxyHost:
    """Stands for `upstream` (an address) on `address`, for every port in `ports`."""

    def __init__(self, address, upstream, ports, observer=None):
        self.address = address
        self._upstream = upstream
        self._ports = tuple(ports)
        self._observer = observer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy {address}", daemon=True)
        self._numbers = itertools.count(1)
        self._connections = {}
        self._listeners = []
        self._rules = []
        self._lock = threading.Lock()
        self._log = []
        self._open_gate = None

    def start(self):
        self._thread.start()
        self._do(self._listen())
        return self

    def stop(self):
        if not self._thread.is_alive():
            return
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def calls(self, *names):
        """What has passed so far, all of it or the calls of these names, in order of arrival."""
        with self._lock:
            log = list(self._log)
        return [seen for seen in log if not names or seen.name in names]

    def clear(self):
        with self._lock:
            self._log.clear()

    def wait_for_call(self, name, timeout=10.0):
        deadline = time.monotonic() + timeout
        while not self.calls(name):
            if time.monotonic() > deadline:
                raise AssertionError(f"no {name} seen within {timeout} s")
            time.sleep(0.01)

    def rule(self, match, action, times=None):
        """Applies `action` to matching calls, at most `times` of them; the first rule that fits."""
        rule = Rule(match, action, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove_rules(self):
        with self._lock:
            self._rules.clear()

    def black_hole(self):
        """Connections stay, new ones are accepted, and no byte moves until pass_on()."""
        self._do(self._set_gate(False))

    def pass_on(self):
        self._do(self._set_gate(True))

    def reset_all(self):
        """RST on every open connection, on both sides. Returns how many there were."""
        return self._do(self._reset_all())

    def refuse(self):
        """No more listening: new connections are refused until accept_again()."""
        self._do(self._close_listeners())

    def accept_again(self):
        self._do(self._listen())

    def open_connections(self):
        return self._do(self._count())

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self):
        if self._open_gate is None:
            self._open_gate = asyncio.Event()
            self._open_gate.set()
        for port in self._ports:
            self._listeners.append(
                await asyncio.start_server(self._accept(port), self.address, port, backlog=64))

    async def _close_listeners(self):
        for listener in self._listeners:
            listener.close()
            await listener.wait_closed()
        self._listeners.clear()

    async def _shut(self):
        await self._close_listeners()
        await self._reset_all()
        await asyncio.sleep(0)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reset_all(self):
        connections = list(self._connections.values())
        for connection in connections:
            connection.reset()
        return len(connections)

    async def _count(self):
        return len(self._connections)

    async def _set_gate(self, is_open):
        if is_open:
            self._open_gate.set()
        else:
            self._open_gate.clear()

    def _accept(self, port):
        async def serve(reader, writer):
            try:
                await self._serve(reader, writer, port)
            except (OSError, asyncio.IncompleteReadError):
                writer.transport.abort()
        return serve

    async def _serve(self, reader, writer, port):
        client_port = writer.get_extra_info("peername")[1]
        server_reader, server_writer = await self._connect_upstream(port, client_port)
        number = next(self._numbers)
        connection = _Connection(number, writer, server_writer, client_port, port)
        self._connections[number] = connection
        pumps = [
            asyncio.ensure_future(self._pump(reader, self._client_record, connection)),
            asyncio.ensure_future(self._pump(server_reader, self._server_record, connection)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._connections.pop(number, None)
            for side in (writer, server_writer):
                side.close()

    async def _connect_upstream(self, port, client_port):
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            with contextlib.suppress(OSError):
                raw.bind((self._source_address(port), client_port))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            await self._loop.sock_connect(raw, (self._upstream, port))
            return await asyncio.open_connection(sock=raw, limit=4 << 20)
        except BaseException:
            raw.close()
            raise

    def _source_address(self, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((self._upstream, port))
            return probe.getsockname()[0]

    async def _pump(self, reader, handle, connection):
        while True:
            raw, record = await _read_record(reader)
            await self._open_gate.wait()
            await handle(connection, raw, record)

    async def _client_record(self, connection, raw, record):
        call = rpc_wire.parse_call(record)
        seen = SeenCall(call, time.monotonic(), connection.number, connection.client_port,
                        connection.server_port)
        with self._lock:
            self._log.append(seen)
            rules = list(self._rules)
        if self._observer:
            self._observer(seen)
        rule = next((rule for rule in rules if rule.take(call)), None)
        action = rule.action if rule else None
        if isinstance(action, DropCall):
            return
        if isinstance(action, AnswerCall):
            connection.client.write(rpc_wire.mark(action.make(record)))
            await connection.client.drain()
            return
        if isinstance(action, CutCall):
            await _send_and_settle(connection.server, raw[:action.after])
            connection.reset()
            return
        if isinstance(action, Delay):
            self._loop.call_later(action.seconds, _write_if_open, connection.server, raw)
            return
        if action is not None:
            connection.on_reply[call.xid] = rule
        connection.server.write(raw)
        await connection.server.drain()

    async def _server_record(self, connection, raw, record):
        rule = connection.on_reply.pop(struct.unpack(">I", record[:4])[0], None)
        action = rule.action if rule else None
        if rule:
            rule.note_answer()
        if isinstance(action, DropReply):
            return
        if isinstance(action, CutReply):
            await _send_and_settle(connection.client, raw[:action.after])
            connection.reset()
            return
        if isinstance(action, DelayReply):
            self._loop.call_later(action.seconds, _write_if_open, connection.client, raw)
            return
        if isinstance(action, ReplaceReply):
            raw = rpc_wire.mark(action.make(record))
        connection.client.write(raw)
        await connection.client.drain()


async def _read_record(reader):
    """(bytes with markers, content) of the next record."""
    raw = bytearray()
    content = bytearray()
    while True:
        header = await reader.readexactly(4)
        marker = struct.unpack(">I", header)[0]
        fragment = await reader.readexactly(marker & ~rpc_wire.LAST_FRAGMENT)
        raw += header + fragment
        content += fragment
        if marker & rpc_wire.LAST_FRAGMENT:
            return bytes(raw), bytes(content)


async def _send_and_settle(writer, data):
    """The peer must have read these bytes before a reset may throw away what is queued."""
    writer.write(data)
    await writer.drain()
    await asyncio.sleep(0.05)


def _write_if_open(writer, data):
    if not writer.transport.is_closing():
        writer.write(data)
