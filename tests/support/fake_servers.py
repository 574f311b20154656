# SPDX-License-Identifier: Apache-2.0
"""Peers that are no NFS servers: one that never answers, one that talks garbage."""

import socket
import threading


class FakeServer:
    """Accepts on the given ports of `address` and treats every connection with `_serve`."""

    def __init__(self, address, ports):
        self.address = address
        self._sockets = []
        self._held = []
        self._ended = threading.Event()
        for port in ports:
            listener = socket.create_server((address, port), reuse_port=False)
            listener.settimeout(0.1)
            self._sockets.append(listener)
        self._threads = [threading.Thread(target=self._accept, args=(listener,), daemon=True)
                         for listener in self._sockets]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._ended.set()
        for thread in self._threads:
            thread.join(5)
        for sock in self._sockets + self._held:
            sock.close()

    @property
    def connections(self):
        return len(self._held)

    def _accept(self, listener):
        while not self._ended.is_set():
            try:
                sock, _ = listener.accept()
            except (TimeoutError, OSError):
                continue
            self._held.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        raise NotImplementedError


class SilentServer(FakeServer):
    """Takes every byte and says nothing."""

    def _serve(self, sock):
        try:
            while sock.recv(65536):
                pass
        except OSError:
            pass


class GarbageServer(FakeServer):
    """Answers the first bytes of a connection with `answer`, which is no RPC reply."""

    def __init__(self, address, ports, answer):
        self._answer = answer
        super().__init__(address, ports)

    def _serve(self, sock):
        try:
            while sock.recv(65536):
                sock.sendall(self._answer)
        except OSError:
            pass
