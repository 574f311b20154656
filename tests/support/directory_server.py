# SPDX-License-Identifier: Apache-2.0
"""An NFS server with habits: a real directory, served over TCP by MOUNT and NFS version 3 (and a
portmapper), honest in all it says, and as far from NFS-Ganesha as RFC 1813 allows.

It asks nobody's permission: everything is done as root, and what is made is given to the caller.
ACCESS speaks by mode bits of the owner. REQUIRES: a file system with file handles
(sandbox.check_file_handles) and CAP_DAC_READ_SEARCH.
"""

import contextlib
import ctypes
import dataclasses
import errno
import os
import random
import socket
import stat
import struct
import threading
import time

import fake_servers
import file_handles
import ganesha
import rpc_wire
from lying_server import NO_ATTRIBUTES, NO_WCC, present, reply_header, word

NOENT, STALE, BADHANDLE = 2, 70, 10001
BAD_COOKIE, NOTSUPP, TOOSMALL, BADTYPE, JUKEBOX = 10003, 10004, 10005, 10007, 10008
_STATUS = {errno.ENAMETOOLONG: 63, errno.ENOTEMPTY: 66, errno.EDQUOT: 69, errno.ESTALE: STALE,
           errno.ELOOP: 22}  # the others are errno's own numbers
_TYPES = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFBLK: 3, stat.S_IFCHR: 4, stat.S_IFLNK: 5,
          stat.S_IFSOCK: 6, stat.S_IFIFO: 7}
# Words "nothing follows" behind the status of a refused call; others have one.
_EMPTY = {"GETATTR": 0, "SETATTR": 2, "WRITE": 2, "CREATE": 2, "MKDIR": 2, "SYMLINK": 2, "MKNOD": 2,
          "REMOVE": 2, "RMDIR": 2, "RENAME": 4, "LINK": 3, "COMMIT": 2}
_O_PATH = os.O_PATH | os.O_NOFOLLOW
_AT_SYMLINK_FOLLOW = 0x400


class Refused(Exception):
    """An answer other than NFS3_OK."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


@dataclasses.dataclass
class Habits:
    """What RFC 1813 leaves to a server."""

    attributes: bool = True         # post_op_attr, but for GETATTR
    wcc: bool = True                # wcc_data
    handles: bool = True            # of what CREATE, MKDIR, SYMLINK and MKNOD made
    missing: tuple = ()             # procedures that are NOTSUPP
    entries: bool = True            # attributes and handles in READDIRPLUS
    dots: bool = True               # "." and ".." in listings
    cookie: object = None           # function(number, name)
    checks_verifier: bool = False   # the directory's mtime, another one is BAD_COOKIE
    page: int = 0                   # entries in one
    last_page_is_empty: bool = False
    torn: bool = False              # pages end anywhere behind their first entry
    most: int = 1 << 20             # bytes that one READ or WRITE moves, whatever it asks for
    sizes: tuple = (1 << 20, 1 << 20, 65536)  # rtmax, wtmax, dtpref
    stable: int = 0                 # what a WRITE is at least
    whole_seconds: bool = False     # and time_delta does not say so
    restarts: float = 0             # chance that a call finds another write verifier
    exclusive: bool = True
    number: object = None           # function(inode number)
    folds_case: bool = False        # keeps it, and finds names whatever it is
    fragment: int = 0               # bytes in one of a reply
    shuffle: float = 0              # seconds that a reply may be late: out of order
    verifier_bytes: int = 0         # in the reply's header
    later: float = 0                # share of JUKEBOX
    portmapper: bool = True
    single_port: int = 0            # for both programs


class DirectoryServer(fake_servers.FakeServer):
    """Serves `directory` as /export. `habits` may be changed while it runs."""

    def __init__(self, address, directory, habits):
        self.habits = habits
        self.calls = {}
        self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._cookies = {}    # directory's inode number -> ({name: place}, [(name, cookie)])
        self._places = threading.Lock()
        self._verifier = os.urandom(8)
        self._chance = random.Random(1)
        self.nfs_port = habits.single_port or ganesha.NFS_PORT
        self.mount_port = habits.single_port or ganesha.MOUNT_PORT
        ports = {self.nfs_port, self.mount_port}
        super().__init__(address, ports | ({ganesha.PORTMAP_PORT} if habits.portmapper else set()))

    def stop(self):
        super().stop()
        os.close(self._root)

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        turn = threading.Lock()
        with contextlib.suppress(OSError, rpc_wire.WireError):
            while not self._ended.is_set():
                call = rpc_wire.parse_call(rpc_wire.read_record(sock))
                if self.habits.shuffle:
                    threading.Thread(target=self._reply, args=(sock, turn, call), daemon=True).start()
                else:
                    self._reply(sock, turn, call)
        with contextlib.suppress(OSError):
            sock.close()

    def _reply(self, sock, turn, call):
        body = reply_header(call.xid)
        if self.habits.verifier_bytes:
            body = body[:16] + rpc_wire.opaque(os.urandom(self.habits.verifier_bytes)) + body[20:]
        body += self._results(call)
        time.sleep(self._chance.random() * self.habits.shuffle)
        with turn, contextlib.suppress(OSError):
            sock.sendall(self._framed(body))

    def _framed(self, record):
        step = self.habits.fragment or len(record)
        pieces = [record[at:at + step] for at in range(0, len(record), step)]
        return b"".join(word(len(piece)) + piece for piece in pieces[:-1]) + rpc_wire.mark(pieces[-1])

    def _results(self, call):
        if call.program == rpc_wire.PORTMAP:
            port = {rpc_wire.NFS: self.nfs_port, rpc_wire.MOUNT: self.mount_port}
            number = port.get(rpc_wire.Reader(call.args).uint(), 0)
            if call.version == 2:
                return word(number)
            return rpc_wire.opaque(f"{self.address}.{number >> 8}.{number & 255}".encode())
        if call.program == rpc_wire.MOUNT:
            if call.procedure != 1:
                return b""
            if rpc_wire.Reader(call.args).opaque() != b"/export":
                return word(NOENT)
            return word(0) + rpc_wire.opaque(file_handles.handle_of(self._root)) + word(1, 1)
        return self._nfs(call)

    def _nfs(self, call):
        name = call.name.split()[1]
        if name == "NULL":
            return b""
        self.calls[name] = self.calls.get(name, 0) + 1
        if self._chance.random() < self.habits.restarts:
            self._verifier = os.urandom(8)
        try:
            if name in self.habits.missing:
                raise Refused(NOTSUPP)
            if self._chance.random() < self.habits.later:
                raise Refused(JUKEBOX)
            with contextlib.ExitStack() as stack:
                asked = _Asked(self, call, stack)
                return word(0) + getattr(self, "_" + name.lower())(asked)
        except Refused as refused:
            status = refused.status
        except OSError as error:
            status = _STATUS.get(error.errno, error.errno)
        return word(status) + bytes(4 * _EMPTY.get(name, 1))

    # ---- attributes

    def _time(self, nanoseconds):
        seconds, rest = divmod(nanoseconds, 10**9)
        return word(seconds, 0 if self.habits.whole_seconds else rest)

    def _attributes(self, found):
        number = self.habits.number(found.st_ino) if self.habits.number else found.st_ino
        out = word(_TYPES[stat.S_IFMT(found.st_mode)], stat.S_IMODE(found.st_mode), found.st_nlink,
                   found.st_uid, found.st_gid)
        out += struct.pack(">QQ", found.st_size, found.st_blocks * 512) + bytes(8)
        out += struct.pack(">QQ", 7, number)
        return out + b"".join(map(self._time, (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)))

    def _post(self, file):
        return present(self._attributes(os.fstat(file))) if self.habits.attributes else NO_ATTRIBUTES

    def _wcc(self, file, before):
        if not self.habits.wcc:
            return NO_WCC
        old = struct.pack(">Q", before.st_size)
        old += self._time(before.st_mtime_ns) + self._time(before.st_ctime_ns)
        return word(1) + old + present(self._attributes(os.fstat(file)))

    def _getattr(self, asked):
        return self._attributes(os.fstat(asked.file))

    def _setattr(self, asked):
        before = os.fstat(asked.file)
        asked.apply(asked.file, asked.sattr())
        return self._wcc(asked.file, before)

    def _access(self, asked):
        mode = os.fstat(asked.file).st_mode
        granted = (1 if mode & 0o400 else 0) | (0x1c if mode & 0o200 else 0) | (0x22 if mode & 0o100 else 0)
        return self._post(asked.file) + word(granted & asked.rest.uint())

    # ---- files

    def _readlink(self, asked):
        return self._post(asked.file) + rpc_wire.opaque(os.fsencode(os.readlink("", dir_fd=asked.file)))

    def _read(self, asked):
        offset, count = asked.rest.ulong(), asked.rest.uint()
        file = asked.open(os.O_RDONLY)
        data = os.pread(file, min(count, self.habits.most), offset)
        end = offset + len(data) >= os.fstat(file).st_size
        return self._post(file) + word(len(data), int(end)) + rpc_wire.opaque(data)

    def _write(self, asked):
        offset, _, stable = asked.rest.ulong(), asked.rest.uint(), asked.rest.uint()
        before, file = os.fstat(asked.file), asked.open(os.O_WRONLY)
        count = os.pwrite(file, asked.rest.opaque()[:self.habits.most], offset)
        return self._wcc(file, before) + word(count, max(stable, self.habits.stable)) + self._verifier

    def _commit(self, asked):
        return self._wcc(asked.file, os.fstat(asked.file)) + self._verifier

    # ---- names

    def _lookup(self, asked):
        path = asked.path(asked.rest.opaque())
        child = asked.keep(os.open(path, _O_PATH))
        return rpc_wire.opaque(file_handles.handle_of(child)) + self._post(child) + self._post(asked.file)

    def _made(self, asked, make, attributes_first=True):
        before, path = os.fstat(asked.file), asked.path(asked.rest.opaque())
        attributes = asked.sattr() if attributes_first else {}
        make(path, attributes)
        child = asked.keep(os.open(path, _O_PATH))
        os.chown(path, asked.call.credential.uid, asked.call.credential.gid, follow_symlinks=False)
        asked.apply(child, attributes)
        handle = word(1) + rpc_wire.opaque(file_handles.handle_of(child)) if self.habits.handles else word(0)
        return handle + self._post(child) + self._wcc(asked.file, before)

    def _create(self, asked):
        def make(path, attributes):
            how = asked.rest.uint()
            if how == 2 and not self.habits.exclusive:
                raise Refused(NOTSUPP)
            times = struct.unpack(">II", asked.rest.fixed(8)) if how == 2 else None
            if how != 2:
                attributes.update(asked.sattr())
            flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_EXCL if how else 0)
            if os.path.lexists(path) and how == 0:
                attributes.pop("mode", None)
            try:
                os.close(os.open(path, flags, 0o600))
            except FileExistsError:
                # The verifier is kept in the times.
                found = os.lstat(path)
                if not times or (int(found.st_atime), int(found.st_mtime)) != times:
                    raise
            if times:
                os.utime(path, times)
        return self._made(asked, make, attributes_first=False)

    def _mkdir(self, asked):
        return self._made(asked, lambda path, _: os.mkdir(path))

    def _symlink(self, asked):
        return self._made(asked, lambda path, _: os.symlink(asked.rest.opaque(), path))

    def _mknod(self, asked):
        def make(path, attributes):
            kind = asked.rest.uint()
            if kind not in (6, 7):
                raise Refused(BADTYPE)
            attributes.update(asked.sattr())
            os.mknod(path, stat.S_IFSOCK if kind == 6 else stat.S_IFIFO)
        return self._made(asked, make, attributes_first=False)

    def _remove(self, asked, remove=os.unlink):
        before = os.fstat(asked.file)
        remove(asked.path(asked.rest.opaque()))
        return self._wcc(asked.file, before)

    def _rmdir(self, asked):
        return self._remove(asked, os.rmdir)

    def _rename(self, asked):
        source, before = asked.path(asked.rest.opaque()), os.fstat(asked.file)
        to = asked.file_of(asked.rest.opaque())
        before_to = os.fstat(to)
        os.rename(source, asked.path(asked.rest.opaque(), to))
        return self._wcc(asked.file, before) + self._wcc(to, before_to)

    def _link(self, asked):
        directory = asked.file_of(asked.rest.opaque())
        before, path = os.fstat(directory), asked.path(asked.rest.opaque(), directory)
        if file_handles.libc.linkat(-100, b"/proc/self/fd/%d" % asked.file, -100, path, _AT_SYMLINK_FOLLOW):
            raise OSError(ctypes.get_errno(), "linkat")
        return self._post(asked.file) + self._wcc(directory, before)

    # ---- listings

    def _after(self, directory, cookie):
        """Names behind a cookie. Each has its place as long as the server runs."""
        with self._places:
            known, order = self._cookies.setdefault(os.fstat(directory).st_ino, ({}, []))
            names = os.listdir(b"/proc/self/fd/%d" % directory) + [b".", b".."] * self.habits.dots
            for name in sorted(set(names) - set(known)):
                number = known[name] = len(order)
                order.append((name, self.habits.cookie(number, name) if self.habits.cookie else number + 1))
            if cookie == 0:
                return list(order)
            for place, (_, at) in enumerate(order):
                if at == cookie:
                    return order[place + 1:]
        raise Refused(BAD_COOKIE)

    def _readdir(self, asked, plus=False):
        cookie, verifier, limit = asked.rest.ulong(), asked.rest.fixed(8), asked.rest.uint()
        limit = asked.rest.uint() if plus else limit
        own = bytes(8)
        if self.habits.checks_verifier:
            own = struct.pack(">Q", os.fstat(asked.file).st_mtime_ns)
            if cookie and verifier != own:
                raise Refused(BAD_COOKIE)
        out, count, first, end = b"", 0, 0, True
        for name, at in self._after(asked.file, cookie):
            try:
                entry = self._entry(asked, name, at, plus)
            except FileNotFoundError:
                continue
            if len(out) + len(entry) + 104 > limit or count == (self.habits.page or -1):
                end = False
                break
            first = first or len(entry)
            out, count = out + entry, count + 1
        if not count and not end:
            raise Refused(TOOSMALL)
        end = end and not (self.habits.last_page_is_empty and count)
        head = self._post(asked.file) + own
        page = head + out + word(0, int(end))
        if self.habits.torn and count:
            page = page[:self._chance.randrange(len(head) + first, len(page)) & ~3]
        return page

    def _readdirplus(self, asked):
        return self._readdir(asked, plus=True)

    def _entry(self, asked, name, cookie, plus):
        path = asked.path(name)
        found = os.lstat(path)
        number = self.habits.number(found.st_ino) if self.habits.number else found.st_ino
        out = word(1) + struct.pack(">Q", number) + rpc_wire.opaque(name) + struct.pack(">Q", cookie)
        if not plus:
            return out
        if not self.habits.entries:
            return out + word(0, 0)
        return out + present(self._attributes(found)) + word(1) + rpc_wire.opaque(file_handles.handle_of(asked.file, name))

    # ---- the whole

    def _fsstat(self, asked):
        room = os.fstatvfs(self._root)
        size, nodes = room.f_frsize, (room.f_files, room.f_ffree, room.f_favail)
        space = (room.f_blocks * size, room.f_bfree * size, room.f_bavail * size)
        return self._post(asked.file) + struct.pack(">6Q", *space, *nodes) + word(0)

    def _fsinfo(self, asked):
        read, write, listing = self.habits.sizes
        out = self._post(asked.file) + word(read, read, 1, write, write, 1, listing)
        return out + struct.pack(">Q", 1 << 62) + word(0, 1, 0x1b)

    def _pathconf(self, asked):
        return self._post(asked.file) + word(32000, 255, 1, 1, int(self.habits.folds_case), 1)


class _Asked:
    """One call: what it is about, opened, and the rest of its arguments."""

    def __init__(self, server, call, stack):
        self.call = call
        self.rest = rpc_wire.Reader(call.args)
        self._root = server._root
        self._folds_case = server.habits.folds_case
        self._stack = stack
        self.file = self.file_of(self.rest.opaque())

    def keep(self, file):
        """Until the call is answered."""
        self._stack.callback(os.close, file)
        return file

    def file_of(self, raw):
        if not 4 < len(raw) <= 64:
            raise Refused(BADHANDLE)
        return self.keep(file_handles.open_handle(self._root, raw))

    def path(self, name, directory=None):
        directory = self.file if directory is None else directory
        if name == b".." and os.path.samestat(os.fstat(directory), os.fstat(self._root)):
            name = b"."
        if self._folds_case:
            stored = (found for found in os.listdir(b"/proc/self/fd/%d" % directory)
                      if found.lower() == name.lower())
            name = next(stored, name)
        return b"/proc/self/fd/%d/%s" % (directory, name)

    def open(self, flags):
        if not stat.S_ISREG(os.fstat(self.file).st_mode):
            raise Refused(errno.EINVAL)
        return self.keep(os.open(f"/proc/self/fd/{self.file}", flags))

    def sattr(self):
        take = self.rest.uint
        out = {name: take() for name in ("mode", "uid", "gid") if take()}
        if take():
            out["size"] = self.rest.ulong()
        for name in ("atime", "mtime"):
            how = take()
            if how:
                out[name] = take() * 10**9 + take() if how == 2 else time.time_ns()
        return out

    def apply(self, file, attributes):
        path, found = f"/proc/self/fd/{file}", os.fstat(file)
        if "size" in attributes:
            os.truncate(path, attributes["size"])
        if stat.S_ISLNK(found.st_mode):
            return
        if "uid" in attributes or "gid" in attributes:
            os.chown(path, attributes.get("uid", -1), attributes.get("gid", -1))
        if "mode" in attributes:
            os.chmod(path, attributes["mode"])
        if "atime" in attributes or "mtime" in attributes:
            mtime = os.fstat(file).st_mtime_ns  # a new size has changed it
            os.utime(path, ns=(attributes.get("atime", found.st_atime_ns), attributes.get("mtime", mtime)))
