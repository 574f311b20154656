# SPDX-License-Identifier: Apache-2.0
"""An NFS server that can be made to lie: a small tree in memory, served over TCP by MOUNT and NFS
version 3, and for each procedure a function that a test may put in the place of the honest one.

It knows nothing of uidnfs's own codec. A lie is `function(call) -> bytes`: the results of an accepted
reply. `Raw(record)` replaces the whole record, `Stream(bytes)` everything down to the record mark, and
None is silence.
"""

import contextlib
import dataclasses
import socket
import struct
import time

import fake_servers
import ganesha
import rpc_wire

REG, DIR, BLK, CHR, LNK, SOCK, FIFO = range(1, 8)
OK, PERM, NOENT, IO, NOTDIR, STALE, NOTSUPP = 0, 1, 2, 5, 20, 70, 10004
VERIFIER = b"verifier"
ROOT = b"root of the lying server"


@dataclasses.dataclass(frozen=True)
class Raw:
    """A record of these bytes, in one fragment."""

    record: bytes


@dataclasses.dataclass(frozen=True)
class Stream:
    """These bytes, as they are."""

    data: bytes


@dataclasses.dataclass
class Node:
    """A file or directory. `names` (of a directory) lead to handles."""

    fileid: int
    kind: int = REG
    data: bytes = b""
    target: bytes = b""
    names: dict = dataclasses.field(default_factory=dict)
    fields: dict = dataclasses.field(default_factory=dict)  # what attributes() says otherwise

    def attributes(self):
        said = {"kind": self.kind, "mode": 0o755 if self.kind == DIR else 0o644, "nlink": 1, "uid": 1001,
                "gid": 1001, "size": len(self.data), "used": len(self.data), "fsid": 7,
                "fileid": self.fileid, "time": (1_700_000_000, 0), **self.fields}
        out = struct.pack(">5I", *(said[name] for name in ("kind", "mode", "nlink", "uid", "gid")))
        out += struct.pack(">QQ", said["size"], said["used"]) + bytes(8)
        return out + struct.pack(">QQ", said["fsid"], said["fileid"]) + struct.pack(">II", *said["time"]) * 3


def present(attributes):
    """post_op_attr with them."""
    return struct.pack(">I", 1) + attributes


NO_ATTRIBUTES = struct.pack(">I", 0)
NO_WCC = struct.pack(">II", 0, 0)


def word(*numbers):
    return struct.pack(f">{len(numbers)}I", *numbers)


def entry(fileid, name, cookie, attributes=None, handle=None):
    """An entryplus3, with the word that announces it."""
    out = word(1) + struct.pack(">Q", fileid) + rpc_wire.opaque(name) + struct.pack(">Q", cookie)
    out += present(attributes) if attributes else NO_ATTRIBUTES
    return out + (word(1) + rpc_wire.opaque(handle) if handle else word(0))


def listing(entries, end=True, verifier=VERIFIER):
    """READDIRPLUS3resok."""
    return word(OK) + NO_ATTRIBUTES + verifier + b"".join(entries) + word(0, int(end))


def plain_entry(fileid, name, cookie):
    """An entry3, for READDIR."""
    return word(1) + struct.pack(">Q", fileid) + rpc_wire.opaque(name) + struct.pack(">Q", cookie)


def fsinfo(rtmax=65536, wtmax=65536, rtpref=65536, wtpref=65536, dtpref=65536, largest=1 << 50,
           delta=(0, 1)):
    out = word(OK) + NO_ATTRIBUTES + word(rtmax, rtpref, 1, wtmax, wtpref, 1, dtpref)
    return out + struct.pack(">Q", largest) + word(*delta, 0x1b)


@dataclasses.dataclass(frozen=True)
class Asked:
    """One call: its name without "NFS3 ", the handle it is about, and the rest of its arguments."""

    call: rpc_wire.Call
    name: str
    handle: bytes
    rest: rpc_wire.Reader


class LyingServer(fake_servers.FakeServer):
    """Honest until told otherwise; its root has the files "honest" and "other" and the directory "sub"."""

    CONTENT = b"the truth" * 1000

    def __init__(self, address):
        self.lies = {}
        self.bend = None      # function(stream bytes of one reply) -> bytes, for all replies
        self.drip = 0.0       # seconds between the bytes of a reply
        self.answered = 0
        self.nodes = {
            ROOT: Node(2, DIR, names={b"honest": b"h-honest", b"other": b"h-other", b"sub": b"h-sub"}),
            b"h-honest": Node(3, data=self.CONTENT),
            b"h-other": Node(4, data=b"another file"),
            b"h-sub": Node(5, DIR),
        }
        self._next = 100
        super().__init__(address, (ganesha.PORTMAP_PORT, ganesha.MOUNT_PORT, ganesha.NFS_PORT))

    def tell_the_truth(self):
        self.lies.clear()
        self.bend = None
        self.drip = 0.0
        for node in self.nodes.values():
            node.fields.clear()

    def honest(self, asked):
        """What the honest server answers; for lies that change only a part of it."""
        return getattr(self, "_" + asked.name.lower(), self._unknown)(asked)

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while not self._ended.is_set():
                self._answer(sock, rpc_wire.parse_call(rpc_wire.read_record(sock)))
        except (OSError, rpc_wire.WireError):
            with contextlib.suppress(OSError):
                sock.close()

    def _answer(self, sock, call):
        if call.program == rpc_wire.NFS:
            results = self._nfs(call)
        else:
            results = self.lies.get(call.name, self._small_service)(call)
        if results is None:
            return
        if isinstance(results, Stream):
            data = results.data
        elif isinstance(results, Raw):
            data = rpc_wire.mark(results.record)
        else:
            data = rpc_wire.mark(reply_header(call.xid) + results)
        if self.bend and call.program == rpc_wire.NFS:
            data = self.bend(data)
        self.answered += 1
        if not self.drip:
            sock.sendall(data)
            return
        for at in range(len(data)):
            sock.sendall(data[at:at + 1])
            time.sleep(self.drip)

    def _small_service(self, call):
        if call.name == "PORTMAP3 GETADDR":
            program = rpc_wire.Reader(call.args).uint()
            port = {rpc_wire.NFS: ganesha.NFS_PORT, rpc_wire.MOUNT: ganesha.MOUNT_PORT}.get(program, 0)
            return rpc_wire.opaque(f"{self.address}.{port >> 8}.{port & 255}".encode())
        if call.name == "MOUNT3 MNT":
            return word(OK) + rpc_wire.opaque(ROOT) + word(1, 1)
        return b""

    def _nfs(self, call):
        name = call.name.split()[1]
        if name == "NULL":
            return b""
        reader = rpc_wire.Reader(call.args)
        asked = Asked(call, name, reader.opaque(), reader)
        if name not in self.lies and asked.handle not in self.nodes:
            return word(STALE) + word(0, 0, 0, 0)
        return self.lies.get(name, self.honest)(asked)

    def _node(self, asked):
        return self.nodes.get(asked.handle)

    def _getattr(self, asked):
        return word(OK) + self._node(asked).attributes()

    def _setattr(self, asked):
        return word(OK) + NO_WCC

    def _lookup(self, asked):
        handle = self._node(asked).names.get(asked.rest.opaque())
        if handle is None:
            return word(NOENT) + NO_ATTRIBUTES
        return word(OK) + rpc_wire.opaque(handle) + present(self.nodes[handle].attributes()) + NO_ATTRIBUTES

    def _access(self, asked):
        return word(OK) + NO_ATTRIBUTES + word(asked.rest.uint())

    def _readlink(self, asked):
        return word(OK) + NO_ATTRIBUTES + rpc_wire.opaque(self._node(asked).target)

    def _read(self, asked):
        offset, count = asked.rest.ulong(), asked.rest.uint()
        whole = self._node(asked).data
        data = whole[offset:offset + count]
        end = offset + len(data) >= len(whole)
        return word(OK) + NO_ATTRIBUTES + word(len(data), int(end)) + rpc_wire.opaque(data)

    def _write(self, asked):
        offset, count, stable = asked.rest.ulong(), asked.rest.uint(), asked.rest.uint()
        data, node = asked.rest.opaque(), self._node(asked)
        node.data = node.data[:offset].ljust(offset, b"\0") + data + node.data[offset + count:]
        return word(OK) + NO_WCC + word(count, stable) + VERIFIER

    def _commit(self, asked):
        return word(OK) + NO_WCC + VERIFIER

    def _create(self, asked, kind=REG):
        name, self._next = asked.rest.opaque(), self._next + 1
        handle = b"made-%d" % self._next
        self.nodes[handle] = Node(self._next, kind)
        self._node(asked).names[name] = handle
        return word(OK, 1) + rpc_wire.opaque(handle) + present(self.nodes[handle].attributes()) + NO_WCC

    def _mkdir(self, asked):
        return self._create(asked, DIR)

    def _remove(self, asked):
        gone = self._node(asked).names.pop(asked.rest.opaque(), None)
        return word(OK if gone else NOENT) + NO_WCC

    def _readdirplus(self, asked):
        names = sorted(self._node(asked).names.items())
        cookie = asked.rest.ulong()
        return listing([entry(self.nodes[handle].fileid, name, number, self.nodes[handle].attributes(), handle)
                        for number, (name, handle) in enumerate(names, 1) if number > cookie])

    def _readdir(self, asked):
        names = sorted(self._node(asked).names.items())
        cookie = asked.rest.ulong()
        return listing([plain_entry(self.nodes[handle].fileid, name, number)
                        for number, (name, handle) in enumerate(names, 1) if number > cookie])

    def _fsstat(self, asked):
        return word(OK) + NO_ATTRIBUTES + struct.pack(">6Q", *([1 << 40] * 6)) + word(0)

    def _fsinfo(self, asked):
        return fsinfo()

    def _pathconf(self, asked):
        return word(OK) + NO_ATTRIBUTES + word(32000, 255, 1, 1, 0, 1)

    def _unknown(self, asked):
        # status and as many words "nothing follows" as any of them has
        return word(NOTSUPP) + word(0, 0, 0, 0)


def reply_header(xid):
    return word(xid, 1, 0, 0, 0, 0)
