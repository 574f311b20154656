# SPDX-License-Identifier: Apache-2.0
"""What the contract tests stand on: the volume server under test, and clients that send the bytes of
Docker's engine and of volman. Standard library only; everything is below one temporary directory and
ends with its test."""

import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

BINARY = os.environ.get("UIDNFS_VOLUME_SERVER", "")
PATIENCE = 20  # seconds; for what happens at once on an idle machine

DOCKER_HEAD = (
    "POST /{call} HTTP/1.1\r\n"
    "Host: %2Frun%2Fdocker%2Fplugins%2Fuidnfs.sock\r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Content-Length: {length}\r\n"
    "Accept: application/vnd.docker.plugins.v1.2+json\r\n"
    "Accept-Encoding: gzip\r\n\r\n"
)
# volman names no content type, and accepts none by name.
VOLMAN_HEAD = (
    "POST /{call} HTTP/1.1\r\n"
    "Host: 127.0.0.1:7589\r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Content-Length: {length}\r\n"
    "Accept-Encoding: gzip\r\n\r\n"
)


class Server:
    """One volume server; start() and kill() as often as a test likes, on the same state."""

    def __init__(self, root, **options):
        self.root = pathlib.Path(root)
        self.options = options
        self.process = None
        self.address = None

    def arguments(self):
        pairs = {"root": str(self.root), **self.options}
        return [BINARY] + [
            word for name, value in pairs.items() for word in ("--" + name.replace("_", "-"), str(value))
        ]

    def start(self, **popen):
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.arguments(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                **popen)
        line = self.process.stdout.readline().split()
        if line[:1] != ["ready"]:
            raise AssertionError("the server did not start: " + self.log()[-2000:])
        if line[1] != "-":
            host, port = line[1].rsplit(":", 1)
            self.address = (host, int(port))
        return self

    def log(self):
        return (self.root / "log").read_text(encoding="utf-8", errors="replace")

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def mounts(self):
        return self.tell("mounts").split()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_kib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.close()

    def close(self):
        if self.process is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process = None


class Client:
    """One connection. Bytes in, (status, headers, body) out."""

    head = DOCKER_HEAD

    def __init__(self, sock):
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, call, body=b""):
        self.sock.sendall(self.head.format(call=call, length=len(body)).encode() + body)

    def read_response(self):
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(lines[0].split()[1]), headers, body.decode()

    def _more(self):
        received = self.sock.recv(65536)
        if not received:
            raise ConnectionError("closed without an answer")
        self.buffer += received

    def is_closed(self):
        """Waits until the server closes; what it still sends is ignored."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def raw(self, call, body=b""):
        self.send(call, body)
        return self.read_response()

    def call(self, call, request=None):
        """The decoded answer; every answer of a dialect is HTTP 200."""
        body = b"" if request is None else json.dumps(request).encode()
        status, _, answer = self.raw(call, body)
        if status != 200:
            raise AssertionError(f"{call}: HTTP {status}: {answer}")
        return json.loads(answer)


class DockerClient(Client):
    head = DOCKER_HEAD

    def call(self, call, request=None):
        # moby encodes with json.Encoder, which ends the body with a newline.
        body = b"" if request is None else json.dumps(request).encode() + b"\n"
        status, _, answer = self.raw(call, body)
        if status != 200:
            raise AssertionError(f"{call}: HTTP {status}: {answer}")
        return json.loads(answer)


class VolmanClient(Client):
    head = VOLMAN_HEAD


class ContractTest(unittest.TestCase):
    """A server with both dialects, on a unix socket and a plain TCP port."""

    maxDiff = None
    options = {}

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="uidnfs-contract-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.server = Server(self.root, docker=self.root / "uidnfs.sock", **self.more_options())
        self.addCleanup(self.server.close)
        self.start()

    def start(self):
        self.server.start()

    def more_options(self):
        return {"cloudfoundry": "127.0.0.1:0", "insecure": "true", "drivers": self.root / "voldrivers",
                **self.options}

    def restart(self):
        self.server.kill()
        self.server.start()

    def docker(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.root / "uidnfs.sock"))
        client = DockerClient(sock)
        self.addCleanup(client.close)
        return client

    def volman(self):
        client = VolmanClient(socket.create_connection(self.server.address, PATIENCE))
        self.addCleanup(client.close)
        return client

    def until(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.01)


def make_certificates(root):
    """ca, server (127.0.0.1), client, and a client of another authority; as paths without suffix."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=root, timeout=60)

    for authority in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", f"{authority}.key", "-out", f"{authority}.crt", "-days", "2",
                "-subj", f"/CN={authority}")
    for name, authority, extension in (
            ("server", "ca", "subjectAltName=IP:127.0.0.1"),
            ("client", "ca", "extendedKeyUsage=clientAuth"),
            ("stranger", "other", "extendedKeyUsage=clientAuth")):
        (root / f"{name}.ext").write_text(extension)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN=nfs-{name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt",
                "-CAkey", f"{authority}.key", "-CAcreateserial", "-out", f"{name}.crt", "-days", "2",
                "-extfile", f"{name}.ext")


def tls_connection(address, root, name):
    """As volman connects: it checks the server, and shows the certificate `name`, or none."""
    context = ssl.create_default_context(cafile=root / "ca.crt")
    if name:
        context.load_cert_chain(root / f"{name}.crt", root / f"{name}.key")
    return context.wrap_socket(
        socket.create_connection(address, PATIENCE), server_hostname=address[0])
