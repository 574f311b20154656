# SPDX-License-Identifier: Apache-2.0
"""Between a client and a real directory server: each message of the server passes through a function
of the test, which may say something else. LDAP's messages as bytes (RFC 4511, X.690), as far as lies
need them; nothing here is the code that is tested.
"""

import contextlib
import socket
import threading

BIND_RESPONSE, SEARCH_ENTRY, SEARCH_DONE, SEARCH_REFERENCE, EXTENDED = 0x61, 0x64, 0x65, 0x73, 0x78
INTEGER, TEXT, ENUMERATED, SEQUENCE, SET, CONTROLS, REFERRAL = 2, 4, 10, 0x30, 0x31, 0xa0, 0xa3
PAGES = b"1.2.840.113556.1.4.319"


def item(tag, body):
    """One element of BER with a definite length."""
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def number(value):
    return item(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def message(identity, tag, body, controls=b""):
    return item(SEQUENCE, number(identity) + item(tag, body) + controls)


def result(code, text=b"", more=b""):
    """LDAPResult without its tag."""
    return item(ENUMERATED, bytes((code,))) + item(TEXT, b"") + item(TEXT, text) + more


def entry(dn, **attributes):
    """SearchResultEntry without its tag; values are lists of bytes."""
    return item(TEXT, dn) + item(SEQUENCE, b"".join(
        item(SEQUENCE, item(TEXT, name.encode()) + item(SET, b"".join(item(TEXT, one) for one in values)))
        for name, values in attributes.items()))


class Said:
    """A message of the server: `data` is all of it, `tag` what it is, `identity` which question it answers."""

    def __init__(self, data):
        self.data = data
        at = _body(data)
        size = data[at + 1]
        self.identity = int.from_bytes(data[at + 2:at + 2 + size], "big")
        self.rest = data[at + 2 + size:]
        self.tag = self.rest[0]


def _body(data):
    return 2 + (data[1] & 0x7f if data[1] & 0x80 else 0)


def _first(buffer):
    """Bytes of the first message in `buffer`; 0: it is not all there."""
    if len(buffer) < 2 or len(buffer) < _body(buffer):
        return 0
    at = _body(buffer)
    size = at + (int.from_bytes(buffer[2:at], "big") if at > 2 else buffer[1])
    return size if len(buffer) >= size else 0


class LyingDirectory:
    """Listens on a port of its own; `lie(said) -> bytes` takes the place of each message, None: the truth."""

    def __init__(self, port):
        self.lie = None
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ldap://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError), client, \
                socket.create_connection(("127.0.0.1", self._upstream)) as server:
            threading.Thread(target=_pass_on, args=(client, server), daemon=True).start()
            buffer = b""
            while data := server.recv(65536):
                buffer += data
                while size := _first(buffer):
                    said, buffer = Said(buffer[:size]), buffer[size:]
                    client.sendall(self.lie(said) if self.lie else said.data)


def _pass_on(client, server):
    with contextlib.suppress(OSError):
        while data := client.recv(65536):
            server.sendall(data)
        server.shutdown(socket.SHUT_RDWR)
