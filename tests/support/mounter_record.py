# SPDX-License-Identifier: Apache-2.0
"""The records of front and mounter, packed as plugins/mounter/protocol.hpp lays them out, and a
front that says with them whatever a test wants."""

import os
import pathlib
import re
import socket
import struct
import subprocess

HEADER = pathlib.Path(__file__).parents[2] / "plugins" / "mounter" / "protocol.hpp"
NUMBERS = {"std::uint32_t": "I", "std::uint64_t": "Q", "Verb": "I", "Kind": "I"}
VERBS = {"start": 1, "cancel": 2, "stop": 3, "detach": 4, "adopt": 5, "status": 6, "log_level": 7,
         "reload": 8, "deny": 9, "allow": 10}
ENDED = 2  # Kind::ended


class Layout:
    """One struct of the header: where each field lies."""

    def __init__(self, name):
        text = HEADER.read_text(encoding="utf-8")
        self.magic = int(re.search(r"kMagic = (0x[0-9a-f]+)", text).group(1), 16)
        body = re.search(rf"struct {name} {{(.*?)\n}};", text, re.DOTALL).group(1)
        fields = re.findall(r"^\s+(std::uint\d+_t|Verb|Kind|FixedText<\d+>) (\w+)", body, re.MULTILINE)
        self.offsets, at, widest = {}, 0, 1
        for kind, field in fields:
            capacity = re.fullmatch(r"FixedText<(\d+)>", kind)
            code = "I" if capacity else NUMBERS[kind]
            align = struct.calcsize(code)
            at += -at % align
            self.offsets[field] = (at, code, int(capacity.group(1)) if capacity else None)
            at += align + (int(capacity.group(1)) if capacity else 0)
            widest = max(widest, align)
        self.size = at + -at % widest

    def pack(self, **values):
        data = bytearray(self.size)
        for field, value in {"magic": self.magic, **values}.items():
            at, code, capacity = self.offsets[field]
            if capacity is None:
                struct.pack_into("=" + code, data, at, value)
                continue
            raw = value if isinstance(value, bytes) else value.encode()
            assert len(raw) <= capacity, f"{field} is too long"
            struct.pack_into("=I", data, at, len(raw))
            data[at + 4:at + 4 + len(raw)] = raw
        return bytes(data)

    def unpack(self, data):
        assert len(data) == self.size, f"a record of {len(data)} bytes, expected {self.size}"
        values = {}
        for field, (at, code, capacity) in self.offsets.items():
            [number] = struct.unpack_from("=" + code, data, at)
            if capacity is None:
                values[field] = number
            else:
                values[field] = data[at + 4:at + 4 + number].decode(errors="replace")
        return values


REQUEST = Layout("Request")
REPLY = Layout("Reply")


def words(*options):
    """As Request::options has them."""
    return b"".join(option.encode() + b"\0" for option in options)


class Front:
    """Starts `uidnfsd mounter CONFIG`, and is what it serves."""

    def __init__(self, binary, config, log):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.next_id = 1
        self.early = {}
        self.ended = []

        def give():
            os.set_inheritable(theirs.fileno(), True)
            os.dup2(theirs.fileno(), 3)

        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [binary, "mounter", config], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                pass_fds=(3,), preexec_fn=give)
        theirs.close()
        self.first = REPLY.unpack(self.socket.recv(REPLY.size + 1))

    def send(self, verb, **fields):
        """The id of the request."""
        number = self.next_id
        self.next_id += 1
        fields = {"milliseconds": 7000, **fields}
        self.socket.send(REQUEST.pack(verb=VERBS[verb], id=fields.pop("id", number), **fields))
        return number

    def receive(self, number):
        """The answer to that request."""
        while number not in self.early:
            reply = REPLY.unpack(self.socket.recv(REPLY.size + 1))
            if reply["kind"] == ENDED:
                self.ended.append(reply)
            else:
                self.early[reply["id"]] = reply
        return self.early.pop(number)

    def ask(self, verb, **fields):
        return self.receive(self.send(verb, **fields))

    def close(self):
        """The front ends; the exit status of the mounter."""
        self.socket.close()
        return self.process.wait(10)
