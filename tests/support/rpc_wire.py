# SPDX-License-Identifier: Apache-2.0
"""ONC RPC as bytes: record marking, call and reply headers, and a small blocking client.

The tests look at the wire with this module and talk to the server without uidnfs, so it shares no
code with what it judges. Follows RFC 5531 (RPC), RFC 1813 (NFSv3, MOUNT v3) and RFC 1833 (portmap).
"""

import dataclasses
import itertools
import socket
import struct

PORTMAP = 100000
NFS = 100003
MOUNT = 100005

AUTH_NONE = 0
AUTH_SYS = 1

_NFS_PROCEDURES = (
    "NULL GETATTR SETATTR LOOKUP ACCESS READLINK READ WRITE CREATE MKDIR SYMLINK MKNOD REMOVE "
    "RMDIR RENAME LINK READDIR READDIRPLUS FSSTAT FSINFO PATHCONF COMMIT"
).split()
_MOUNT_PROCEDURES = "NULL MNT DUMP UMNT UMNTALL EXPORT".split()
_PORTMAP_PROCEDURES = "NULL SET UNSET GETPORT DUMP CALLIT".split()
_RPCBIND_PROCEDURES = "NULL SET UNSET GETADDR DUMP CALLIT".split()  # versions 3 and 4
PROCEDURES = {NFS: _NFS_PROCEDURES, MOUNT: _MOUNT_PROCEDURES, PORTMAP: _PORTMAP_PROCEDURES}
_PROGRAM_NAMES = {NFS: "NFS", MOUNT: "MOUNT", PORTMAP: "PORTMAP"}

LAST_FRAGMENT = 0x80000000


class WireError(Exception):
    """Bytes that are not RPC, or an RPC-level refusal."""


class Reader:
    """Takes XDR items from the front of a byte string."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def uint(self):
        return struct.unpack(">I", self._take(4))[0]

    def ulong(self):
        return struct.unpack(">Q", self._take(8))[0]

    def opaque(self):
        length = self.uint()
        data = self._take(length)
        self._take(-length % 4)
        return data

    def fixed(self, length):
        return self._take(length)

    def rest(self):
        return self._data[self._at:]

    def _take(self, length):
        end = self._at + length
        if end > len(self._data):
            raise WireError(f"record ends at {len(self._data)}, wanted {end}")
        data = self._data[self._at:end]
        self._at = end
        return data


def opaque(data):
    """XDR variable-length opaque or string."""
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


@dataclasses.dataclass(frozen=True)
class Credential:
    """What a call says about its sender; for flavors other than AUTH_SYS the ids are None."""

    flavor: int
    uid: int | None = None
    gid: int | None = None
    gids: tuple = ()
    machine: str = dataclasses.field(default="", compare=False)

    def __str__(self):
        if self.flavor == AUTH_NONE:
            return "AUTH_NONE"
        if self.flavor != AUTH_SYS:
            return f"flavor {self.flavor}"
        groups = ":".join(map(str, self.gids)) or "none"
        return f"AUTH_SYS uid={self.uid} gid={self.gid} gids={groups}"


def auth_sys(uid, gid, gids=()):
    return Credential(AUTH_SYS, uid, gid, tuple(gids))


@dataclasses.dataclass(frozen=True)
class Call:
    """The header of one call. `args` are the bytes after the verifier."""

    xid: int
    program: int
    version: int
    procedure: int
    credential: Credential
    args: bytes = dataclasses.field(repr=False)

    @property
    def name(self):
        """For example "NFS3 GETATTR"; unknown numbers appear as numbers."""
        program = _PROGRAM_NAMES.get(self.program, str(self.program))
        names = PROCEDURES.get(self.program, [])
        if self.program == PORTMAP and self.version > 2:
            names = _RPCBIND_PROCEDURES
        known = self.procedure < len(names)
        procedure = names[self.procedure] if known else f"procedure {self.procedure}"
        return f"{program}{self.version} {procedure}"


def parse_call(record):
    """A record's content (without markers) as a Call; WireError if it is not one."""
    reader = Reader(record)
    xid, direction, rpc_version = reader.uint(), reader.uint(), reader.uint()
    if direction != 0 or rpc_version != 2:
        raise WireError(f"not an RPC call: direction {direction}, version {rpc_version}")
    program, version, procedure = reader.uint(), reader.uint(), reader.uint()
    credential = _parse_credential(reader.uint(), reader.opaque())
    reader.uint()
    reader.opaque()
    return Call(xid, program, version, procedure, credential, reader.rest())


def _parse_credential(flavor, body):
    if flavor != AUTH_SYS:
        return Credential(flavor)
    reader = Reader(body)
    reader.uint()
    machine = reader.opaque().decode(errors="replace")
    uid, gid = reader.uint(), reader.uint()
    gids = tuple(reader.uint() for _ in range(reader.uint()))
    return Credential(flavor, uid, gid, gids, machine)


def encode_credential(credential):
    """Flavor and body as they stand in a call header."""
    if credential.flavor != AUTH_SYS:
        return struct.pack(">II", credential.flavor, 0)
    gids = credential.gids
    body = struct.pack(">I", 0) + opaque(credential.machine.encode())
    body += struct.pack(f">III{len(gids)}I", credential.uid, credential.gid, len(gids), *gids)
    return struct.pack(">I", AUTH_SYS) + opaque(body)


def encode_call(xid, program, version, procedure, credential, args=b""):
    header = struct.pack(">6I", xid, 0, 2, program, version, procedure)
    return header + encode_credential(credential) + struct.pack(">II", AUTH_NONE, 0) + args


def mark(record):
    """The record as one fragment with its marker."""
    return struct.pack(">I", LAST_FRAGMENT | len(record)) + record


def parse_reply(record, xid):
    """The result bytes of an accepted, successful reply to `xid`; WireError otherwise."""
    reader = Reader(record)
    got, direction, rejected = reader.uint(), reader.uint(), reader.uint()
    if got != xid or direction != 1:
        raise WireError(f"reply to xid {got:#x} instead of {xid:#x}")
    if rejected:
        raise WireError(f"call denied: {struct.unpack('>I', reader.fixed(4))[0]}")
    reader.uint()
    reader.opaque()
    status = reader.uint()
    if status:
        raise WireError(f"call accepted with status {status}")
    return reader.rest()


def read_exactly(sock, length):
    data = bytearray()
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            raise WireError("connection closed by the peer")
        data += piece
    return bytes(data)


def read_record(sock):
    record = b""
    while True:
        marker = struct.unpack(">I", read_exactly(sock, 4))[0]
        record += read_exactly(sock, marker & ~LAST_FRAGMENT)
        if marker & LAST_FRAGMENT:
            return record


class RpcClient:
    """One TCP connection, one call at a time, with a fixed credential; a context manager."""

    def __init__(self, address, port, credential=Credential(AUTH_NONE), timeout=5.0):
        self._socket = socket.create_connection((address, port), timeout)
        self._credential = credential
        self._xids = itertools.count(0x1000)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def call(self, program, version, procedure, args=b""):
        """Result bytes; WireError when the server refuses the call, OSError when it is away."""
        xid = next(self._xids)
        record = encode_call(xid, program, version, procedure, self._credential, args)
        self._socket.sendall(mark(record))
        return parse_reply(read_record(self._socket), xid)

    def null(self, program, version):
        self.call(program, version, 0)

    def getport(self, program, version):
        """Portmap v2: TCP port of a program, 0 when not registered."""
        return Reader(self.call(PORTMAP, 2, 3, struct.pack(">4I", program, version, 6, 0))).uint()

    def mnt(self, path):
        """(status, root file handle, authentication flavors) of MOUNT v3 MNT."""
        reader = Reader(self.call(MOUNT, 3, 1, opaque(path.encode())))
        status = reader.uint()
        if status:
            return status, b"", ()
        handle = reader.opaque()
        return status, handle, tuple(reader.uint() for _ in range(reader.uint()))

    def getattr(self, handle):
        """(status, {mode, uid, gid, size}) of NFSv3 GETATTR."""
        reader = Reader(self.call(NFS, 3, 1, opaque(handle)))
        status = reader.uint()
        if status:
            return status, {}
        reader.uint()
        mode, _, uid, gid = (reader.uint() for _ in range(4))
        return status, {"mode": mode, "uid": uid, "gid": gid, "size": reader.ulong()}

    def lookup(self, directory, name):
        """(status, file handle) of NFSv3 LOOKUP."""
        reader = Reader(self.call(NFS, 3, 3, opaque(directory) + opaque(name.encode())))
        status = reader.uint()
        return status, (reader.opaque() if status == 0 else b"")

    def create(self, directory, name, mode=0o644):
        """Status of NFSv3 CREATE, UNCHECKED, with a mode and nothing else set."""
        attributes = struct.pack(">8I", 0, 1, mode, 0, 0, 0, 0, 0)
        args = opaque(directory) + opaque(name.encode()) + attributes
        return Reader(self.call(NFS, 3, 8, args)).uint()

    def write_verifier(self, handle):
        """The server's write verifier, from a COMMIT of the whole file."""
        reader = Reader(self.call(NFS, 3, 21, opaque(handle) + struct.pack(">QI", 0, 0)))
        if reader.uint() != 0:
            raise WireError("COMMIT refused")
        if reader.uint():
            reader.fixed(24)
        if reader.uint():
            reader.fixed(84)
        return reader.fixed(8)
