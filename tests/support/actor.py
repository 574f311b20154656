# SPDX-License-Identifier: Apache-2.0
"""A process with a given identity that makes system calls for a test.

`Actor(2000)` is the application user: `app.mkdir(path)`, `app.stat(path)` are os.mkdir and os.stat
made by that process, with the same result or the same OSError. `read_file`, `write_file`,
`append_file` and `digest` do what they say, `app.run("...")` executes a snippet there. A call that
does not come back in time fails the test and ends the process.

The child gets its code by argument: a checkout below /root is not readable for UID 2000.
"""

import os
import pickle
import select
import signal
import struct
import subprocess
import threading

PYTHON = "/usr/bin/python3"
# How many times as long as usual a call may take; more where the processor is emulated.
_PATIENCE = float(os.environ.get("UIDNFS_TEST_PATIENCE", "1"))

_CHILD = r"""
import errno, fcntl, hashlib, mmap, os, pickle, struct, sys, time

def read_file(path):
    with open(path, "rb") as file:
        return file.read()

def write_file(path, data):
    with open(path, "wb") as file:
        file.write(data)

def append_file(path, data):
    with open(path, "ab") as file:
        file.write(data)

def digest(path):
    # (length, SHA-256)
    sum, length = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            sum.update(piece)
            length += len(piece)
    return length, sum.hexdigest()

own = {made.__name__: made for made in (read_file, write_file, append_file, digest)}

def exactly(length):
    data = b""
    while len(data) < length:
        piece = os.read(requests, length - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data

requests, answers = os.dup(0), os.dup(1)
os.dup2(os.open("/dev/null", os.O_RDWR), 0)
os.dup2(2, 1)
os.umask(0o022)
state = {}
while True:
    kind, name, args, kwargs = pickle.loads(exactly(struct.unpack(">I", exactly(4))[0]))
    try:
        if kind == "run":
            scope = dict(globals(), **kwargs)
            scope["result"] = None
            exec(compile(name, "snippet", "exec"), scope)
            answer = (True, scope["result"])
        else:
            function = own.get(name) or getattr(os, name)
            answer = (True, function(*args, **kwargs))
        data = pickle.dumps(answer)
    except OSError as error:
        data = pickle.dumps((False, OSError(error.errno, error.strerror, error.filename)))
    except BaseException as error:
        data = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    data = struct.pack(">I", len(data)) + data
    while data:
        data = data[os.write(answers, data):]
"""


class Actor:
    """One process, one call at a time; stop() ends it. Not for use by two threads at once."""

    def __init__(self, uid, gid=None, groups=(), timeout=60.0):
        gid = uid if gid is None else gid
        self.uid = uid
        self._timeout = timeout
        self._process = subprocess.Popen(
            [PYTHON, "-I", "-S", "-c", _CHILD], cwd="/", user=uid, group=gid,
            extra_groups=list(groups), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})

    @property
    def pid(self):
        return self._process.pid

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self._call("call", name, args, kwargs)

    def run(self, source, **variables):
        """Executes `source`; the value it leaves in `result` comes back."""
        return self._call("run", source, (), variables)

    def start(self, name, *args, **kwargs):
        """Begins a call without waiting for it; finish() has its result."""
        self._send("call", name, args, kwargs)

    def start_run(self, source, **variables):
        self._send("run", source, (), variables)

    def finish(self, timeout=None):
        ok, value = pickle.loads(self._receive((timeout or self._timeout) * _PATIENCE))
        if ok:
            return value
        raise value

    def kill(self, number=signal.SIGKILL):
        self._process.send_signal(number)

    def stop(self):
        for stream in (self._process.stdin, self._process.stdout):
            if not stream.closed:
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def _call(self, kind, name, args, kwargs):
        self._send(kind, name, args, kwargs)
        return self.finish()

    def _send(self, kind, name, args, kwargs):
        data = pickle.dumps((kind, name, args, kwargs))
        data = memoryview(struct.pack(">I", len(data)) + data)
        while data:
            data = data[self._process.stdin.write(data):]

    def _receive(self, timeout):
        length = struct.unpack(">I", self._exactly(4, timeout))[0]
        return self._exactly(length, timeout)

    def _exactly(self, length, timeout):
        data = b""
        while len(data) < length:
            if not select.select([self._process.stdout], [], [], timeout)[0]:
                self._process.kill()
                raise AssertionError(f"a call as uid {self.uid} did not return in {timeout} s")
            piece = os.read(self._process.stdout.fileno(), length - len(data))
            if not piece:
                raise AssertionError(f"the process of uid {self.uid} ended during a call")
            data += piece
        return data


class Crew:
    """Several actors of one identity, for calls that run at the same time."""

    def __init__(self, uid, size):
        self.actors = [Actor(uid) for _ in range(size)]

    def each(self, name, arguments):
        """Actor i makes the call with arguments[i]; results in order, all at the same time."""
        barrier = threading.Barrier(len(arguments))
        results = [None] * len(arguments)

        def one(index):
            barrier.wait()
            try:
                results[index] = getattr(self.actors[index], name)(*arguments[index])
            except (OSError, AssertionError, RuntimeError) as error:
                results[index] = error

        threads = [threading.Thread(target=one, args=(i,)) for i in range(len(arguments))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def stop(self):
        for actor in self.actors:
            actor.stop()
