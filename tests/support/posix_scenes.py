# SPDX-License-Identifier: Apache-2.0
"""Enumerated system calls whose outcome on a mount is compared with a local file system.

A scene is (name, preparation, calls): lists of steps, each a tuple of a function of PLAYER and its
arguments, paths relative to a directory of the scene's own. PLAYER runs in the process of some
identity and tells of each call what it returned or with which errno it failed, and at the end what
the tree looks like. The same scenes played by the same identity on the server's own file system are
the reference: nothing here says what POSIX wants, the kernel does.
"""

import itertools
import os

PLAYER = r"""
import errno, fcntl, hashlib, os, stat, time

def make(kind, path, mode=0o644):
    if kind == "file":
        with open(path, "wb") as made:
            made.write(b"content of " + os.fsencode(path))
        os.chmod(path, mode)
    elif kind == "empty":
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK, mode))
    elif kind == "dir":
        os.mkdir(path)
    elif kind == "full":
        os.mkdir(path)
        os.mkdir(path + "/inside")
    elif kind == "link":
        make("file", path + ".target")
        os.symlink(os.path.basename(path) + ".target", path)
    elif kind == "dirlink":
        make("dir", path + ".target")
        os.symlink(os.path.basename(path) + ".target", path)
    elif kind == "dangling":
        os.symlink("nowhere", path)
    elif kind == "loop":
        os.symlink(os.path.basename(path), path)
    elif kind == "fifo":
        os.mkfifo(path, mode)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | mode)
    elif kind != "none":
        raise ValueError(kind)

def opened(path, flags, mode=0o644):
    # Opens, tells what kind of thing came out, and whether reading and writing are possible.
    fd = os.open(path, flags | os.O_NONBLOCK, mode)
    try:
        said = [stat.S_IFMT(os.fstat(fd).st_mode), os.fstat(fd).st_size]
        for attempt in (lambda: os.read(fd, 100), lambda: os.write(fd, b"X")):
            try:
                said.append(attempt())
            except OSError as error:
                said.append(errno.errorcode[error.errno])
        return said
    finally:
        os.close(fd)

def write_at(path, offset, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.pwrite(fd, data, offset)
    finally:
        os.close(fd)

def permissions(path):
    return oct(os.lstat(path).st_mode)

def links(path):
    return os.lstat(path).st_nlink

def accessible(path, mode):
    return os.access(path, mode, effective_ids=True)

def set_times(path, which):
    now, omit = (1 << 30) - 1, (1 << 30) - 2
    times = {"set": ((1000000001, 123456789), (1000000002, 987654321)),
             "now": None, "old": ((0, 1), (1, 0))}[which]
    if times is None:
        os.utime(path)
        moment = os.stat(path)
        return abs(moment.st_mtime - time.time()) < 60
    os.utime(path, ns=tuple(s * 10**9 + n for s, n in times))
    found = os.stat(path)
    return found.st_atime_ns, found.st_mtime_ns

def moved(step, *paths):
    # Which of mtime (m) and ctime (c) of each path the step changes.
    def look():
        found = []
        for path in paths:
            try:
                seen = os.lstat(path)
                found.append((seen.st_mtime_ns, seen.st_ctime_ns))
            except OSError:
                found.append(None)
        return found
    before = look()
    time.sleep(0.011)  # longer than a tick of the server's clock
    said = call(step)
    after = look()
    changes = []
    for path, old, new in zip(paths, before, after):
        if old is None or new is None:
            changes.append((path, "absent" if new is None else "new"))
        else:
            changes.append((path, "".join(
                letter for letter, x, y in zip("mc", old, new) if x != y)))
    return said, changes

def held(path, *steps):
    # Steps made while the file is open; then what the descriptor says.
    fd = os.open(path, os.O_RDWR)
    try:
        said = [call(step) for step in steps]
        seen = os.fstat(fd)
        said.append((seen.st_nlink, seen.st_size, oct(seen.st_mode)))
        said.append(os.pread(fd, 100, 0))
        said.append(os.pwrite(fd, b"held", 2))
        said.append(os.pread(fd, 100, 0))
        return said
    finally:
        os.close(fd)

def call(step):
    name, *arguments = step
    function = globals().get(name) or getattr(os, name)
    try:
        said = function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return said if name not in ("open", "listdir") else sorted(said) if name == "listdir" else "ok"

def size(path):
    return os.lstat(path).st_size

def lstat_kind(path):
    return stat.S_IFMT(os.lstat(path).st_mode)

def snapshot():
    tree = []
    pending = ["."]
    while pending:
        directory = pending.pop()
        try:
            names = sorted(os.listdir(directory))
        except OSError as error:
            tree.append((directory, errno.errorcode[error.errno]))
            continue
        for name in names:
            path = directory + "/" + name
            try:
                seen = os.lstat(path)
            except OSError as error:
                tree.append((path, errno.errorcode[error.errno]))
                continue
            line = [path, oct(seen.st_mode), seen.st_nlink]
            if owners:
                line += [seen.st_uid, seen.st_gid]
            if stat.S_ISDIR(seen.st_mode):
                pending.append(path)
            else:
                line.append(seen.st_size)
            if stat.S_ISLNK(seen.st_mode):
                line.append(os.readlink(path))
            if stat.S_ISREG(seen.st_mode):
                try:
                    with open(path, "rb") as file:
                        line.append(hashlib.sha256(file.read()).hexdigest()[:12])
                except OSError as error:
                    line.append(errno.errorcode[error.errno])
            tree.append(tuple(line))
    return tree

def play(base, scenes):
    os.umask(0o022)
    outcomes = []
    for number, (name, preparation, calls) in enumerate(scenes):
        directory = "%s/%d" % (base, number)
        if stage == "new":
            os.mkdir(directory)
        os.chdir(directory)
        prepared = [call(step) for step in preparation]
        said = [call(step) for step in calls]
        outcomes.append((prepared, said, snapshot()))
    os.chdir("/")
    return outcomes

result = play(base, scenes)
"""

KINDS = ("none", "file", "empty", "dir", "full", "link", "dirlink", "dangling", "loop", "fifo",
         "socket")

LONGEST = "n" * 255
TOO_LONG = "n" * 256
ODD_NAMES = ("sp ace", "new\nline", "tab\t", "\\", "*?[", "-rf", "\u00e9\u00df\u4e2d", "\udcff\udc80",
             ".hidden", "...", "a:b", "%s%n", LONGEST)


def opens():
    """open(2) of every kind of thing with every set of flags."""
    extras = (os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_DIRECTORY, os.O_NOFOLLOW)
    for kind in KINDS:
        for access in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            for chosen in itertools.product((0, 1), repeat=len(extras)):
                flags = access | sum(flag for flag, on in zip(extras, chosen) if on)
                if kind == "fifo" and access == os.O_RDWR:
                    continue  # a fifo opened for both reads what it writes: timing
                yield f"open {kind} {flags:o}", [("make", kind, "t")], [("opened", "t", flags)]


def open_permissions():
    """open(2) and access(2) of files and directories of every mode."""
    for mode in range(0, 0o1000, 0o100):
        for kind in ("file", "dir"):
            prepared = [("make", kind, "t"), ("chmod", "t", mode)]
            calls = [("accessible", "t", want) for want in range(8)]
            for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC,
                          os.O_WRONLY | os.O_APPEND):
                calls.append(("opened", "t", flags))
            if kind == "dir":
                calls += [("listdir", "t"), ("make", "empty", "t/new"), ("mkdir", "t/sub"),
                          ("lstat_kind", "t/new"), ("chmod", "t", 0o755)]
            else:
                calls += [("truncate", "t", 3), ("chmod", "t", 0o600)]
            yield f"{kind} of mode {mode:o}", prepared, calls


def one_path():
    """Calls with one path on every kind of thing, and on paths that lead nowhere."""
    calls = {
        "mkdir": ("mkdir", "{}"), "rmdir": ("rmdir", "{}"), "unlink": ("unlink", "{}"),
        "symlink": ("symlink", "text", "{}"), "readlink": ("readlink", "{}"),
        "mkfifo": ("mkfifo", "{}"), "truncate": ("truncate", "{}", 5),
        "truncate up": ("truncate", "{}", 5000), "truncate below zero": ("truncate", "{}", -1),
        "chmod": ("chmod", "{}", 0o640), "utime": ("set_times", "{}", "set"),
        "touch": ("set_times", "{}", "now"), "old": ("set_times", "{}", "old"),
        "listdir": ("listdir", "{}"), "permissions": ("permissions", "{}"),
        "create": ("make", "empty", "{}"), "chdir": ("chdir", "{}"),
        "socket": ("make", "socket", "{}"), "links": ("links", "{}"),
        "access": ("accessible", "{}", os.R_OK),
    }
    paths = {"t": "t", "t/": "t/", "t/.": "t/.", "t/..": "t/..", "t/x": "t/x", "t/x/y": "t/x/y"}
    for (what, step), kind, path in itertools.product(calls.items(), KINDS, paths.values()):
        if path == "t/.." and what in ("chmod", "chdir"):
            continue  # would be the end of the scene's own directory
        yield (f"{what} {kind} {path}", [("make", kind, "t")],
               [tuple(part.format(path) if isinstance(part, str) else part for part in step)])
    for what, step in calls.items():
        for path in (LONGEST, TOO_LONG, TOO_LONG + "/x", "x/" * 2100 + "x", "", ".", ".."):
            if what in ("chmod", "chdir", "truncate", "utime", "touch", "old") and path in (".", ".."):
                continue
            yield (f"{what} of {path[:12]!r}, {len(path)} bytes", [],
                   [tuple(part.format(path) if isinstance(part, str) else part for part in step)])


def two_paths():
    """rename(2) and link(2) between every two kinds of things."""
    for call in ("rename", "link"):
        for source, target in itertools.product(KINDS, KINDS):
            prepared = [("mkdir", "d"), ("make", source, "s"), ("make", target, "d/t")]
            yield f"{call} {source} to {target}", prepared, [(call, "s", "d/t")]
        for source in KINDS:
            prepared = [("make", source, "s")]
            for path in ("s", "s/", "s/x", "s/x/y", "./s", ".", "..", "t/", "t/.", LONGEST,
                         TOO_LONG, "none/t", ""):
                name = f"{call} {source} to {path[:12]!r}, {len(path)} bytes"
                yield name, prepared, [(call, "s", path)]
                yield name + " backwards", prepared, [(call, path, "s")]
        yield f"{call} to another name of it", [("make", "file", "s"), ("link", "s", "t")], [
            (call, "s", "t"), ("links", "s")]
        yield f"{call} to a name of it elsewhere", [
            ("make", "file", "s"), ("mkdir", "d"), ("link", "s", "d/t")], [(call, "s", "d/t")]
    deep = [("mkdir", "a"), ("mkdir", "a/b"), ("mkdir", "a/b/c"), ("make", "file", "a/b/c/f")]
    for source, target in (("a", "a/b/c/d"), ("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/c"),
                           ("a/b/c", "a"), ("a/b/c/f", "a"), ("a/b/c/f", "f"), ("a/b", "b")):
        yield f"rename {source} to {target}", deep, [
            ("rename", source, target), ("listdir", "."), ("listdir", "a")]


def directory_permissions():
    """Names made, removed and moved in directories of every mode."""
    for mode in (0o000, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600, 0o700, 0o1700, 0o2700):
        prepared = [("mkdir", "d"), ("make", "file", "d/f"), ("mkdir", "d/sub"),
                    ("make", "file", "o"), ("chmod", "d", mode)]
        steps = [("make", "empty", "d/new"), ("mkdir", "d/newdir"), ("symlink", "x", "d/l"),
                 ("mkfifo", "d/p"), ("link", "o", "d/o2"), ("rename", "d/f", "d/g"),
                 ("rename", "o", "d/o"), ("rename", "d/g", "g"), ("unlink", "d/new"),
                 ("rmdir", "d/sub"), ("permissions", "d/f"), ("listdir", "d"),
                 ("opened", "d/f", os.O_RDONLY), ("chmod", "d", 0o755)]
        yield f"directory of mode {mode:o}", prepared, steps


def names():
    """Every kind of thing under odd names."""
    for name in ODD_NAMES:
        yield f"name {name[:12]!r}", [], [
            ("make", "file", name), ("rename", name, name[:250] + "2"), ("mkdir", name),
            ("symlink", name, "link"), ("readlink", "link"), ("link", name[:250] + "2", "hard"),
            ("listdir", "."), ("rmdir", name), ("unlink", name[:250] + "2")]


def modes():
    """Permission bits: umask, chmod, and what takes setuid and setgid away."""
    for mode in range(0, 0o10000, 0o333):
        yield f"create with mode {mode:o}", [], [
            ("make", "empty", "f", mode), ("permissions", "f"), ("mkdir", "d", mode),
            ("permissions", "d"), ("mkfifo", "p", mode), ("permissions", "p"),
            ("chmod", "f", mode), ("permissions", "f"), ("chmod", "d", mode), ("permissions", "d")]
    for mode in (0o4777, 0o2777, 0o6777, 0o4755, 0o2755, 0o6711, 0o2666, 0o4644, 0o1777):
        # truncate(2) is left out: what a SETATTR of the size takes away is the server's choice.
        for change in (("write_at", "f", 0, b"x"), ("set_times", "f", "set"),
                       ("link", "f", "g"), ("rename", "f", "g")):
            yield f"{change[0]} with mode {mode:o}", [("make", "file", "f"), ("chmod", "f", mode)], [
                change, ("permissions", "f"), ("permissions", "g")]
    yield "setgid directory", [("mkdir", "d"), ("chmod", "d", 0o2755)], [
        ("mkdir", "d/sub"), ("permissions", "d/sub"), ("make", "empty", "d/f"),
        ("permissions", "d/f")]


def times():
    """Which times each call changes, of the thing and of its directory."""
    things = [("make", "file", "f"), ("mkdir", "d"), ("make", "file", "d/g"), ("symlink", "f", "l"),
              ("mkdir", "d/sub"), ("mkfifo", "p"), ("link", "f", "h")]
    steps = (
        ("make", "empty", "new"), ("mkdir", "new"), ("symlink", "x", "new"), ("mkfifo", "new"),
        ("link", "f", "new"), ("link", "f", "d/new"), ("unlink", "f"), ("unlink", "h"),
        ("unlink", "d/g"), ("rmdir", "d/sub"), ("rename", "f", "new"), ("rename", "f", "d/new"),
        ("rename", "d/g", "f"), ("rename", "d", "e"), ("rename", "f", "h"), ("chmod", "f", 0o600),
        ("chmod", "d", 0o700), ("truncate", "f", 3), ("truncate", "f", 100), ("truncate", "f", 14),
        ("write_at", "f", 0, b"x"), ("write_at", "f", 0, b""), ("write_at", "f", 9000, b"x"),
        ("opened", "f", os.O_RDONLY), ("opened", "f", os.O_WRONLY | os.O_TRUNC),
        ("opened", "f", os.O_WRONLY | os.O_CREAT), ("opened", "f", os.O_RDONLY | os.O_CREAT),
        ("set_times", "f", "set"), ("readlink", "l"), ("listdir", "d"), ("permissions", "f"),
        # Calls that fail change nothing.
        ("mkdir", "d"), ("unlink", "d"), ("rmdir", "d"), ("rename", "f", "d"), ("link", "d", "e"),
    )
    paths = ("f", "h", "l", "p", "d", "d/g", "d/sub", ".", "new", "d/new", "e")
    for step in steps:
        yield f"times after {step}", things, [("moved", step, *paths)]


def open_files():
    """Names that come and go while a file is open."""
    prepared = [("make", "file", "f"), ("make", "file", "g"), ("mkdir", "d"), ("link", "f", "h")]
    steps = {
        "unlink": [("unlink", "f")], "unlink both": [("unlink", "f"), ("unlink", "h")],
        "unlink and create": [("unlink", "f"), ("make", "file", "f")],
        "rename": [("rename", "f", "d/x")], "rename over": [("rename", "g", "f")],
        "rename over both": [("rename", "g", "f"), ("rename", "f", "h")],
        "unlink and mkdir": [("unlink", "f"), ("mkdir", "f")],
        "rename over and back": [("rename", "f", "t"), ("rename", "g", "f"), ("rename", "t", "g")],
        "chmod to nothing": [("chmod", "f", 0)], "truncate": [("truncate", "f", 3)],
        "truncate up": [("truncate", "f", 50)], "link": [("link", "f", "i"), ("unlink", "f")],
        "write by path": [("write_at", "f", 5, b"other")],
        "rename a directory over": [("rename", "d", "f")],
    }
    for what, made in steps.items():
        yield f"{what} while open", prepared, [("held", "f", *made), ("held", "g")]


def offsets():
    """Writes and truncates at odd places."""
    for offset in (0, 1, 4095, 4096, 4097, 131071, 131072, (1 << 20) - 1, 1 << 20, 3 << 20):
        for length in (0, 1, 4096, 5000):
            yield f"write {length} at {offset}", [("make", "file", "f")], [
                ("write_at", "f", offset, b"w" * length), ("truncate", "f", offset + length // 2),
                ("write_at", "f", offset + 10, b"later"), ("truncate", "f", 7)]
    for size in ((1 << 31) - 1, 1 << 31, 1 << 32, (1 << 32) + 1, (1 << 43), (1 << 63) - 1):
        # The content is a hole: only its size is compared.
        yield f"truncate to {size}", [("make", "file", "f")], [
            ("truncate", "f", size), ("size", "f"), ("unlink", "f")]


def ownership(ids):
    """chown(2) to every pair of ids, and what it takes away; for processes that may."""
    for kind, uid, gid in itertools.product(("file", "dir", "link", "fifo"), ids, ids):
        yield f"chown {kind} to {uid}:{gid}", [("make", kind, "t")], [("lchown", "t", uid, gid)]
    for mode in (0o4777, 0o2777, 0o6755, 0o2644, 0o1777):
        for uid, gid in itertools.product(ids, ids):
            if (uid, gid) == (-1, -1):
                continue  # nothing to send, and so nothing for the server to take away
            yield f"chown of mode {mode:o} to {uid}:{gid}", [
                ("make", "file", "t"), ("chmod", "t", mode)], [
                ("chown", "t", uid, gid), ("permissions", "t")]


def foreign(me, other):
    """(preparation by root, calls by `me`) about things of others in directories of others."""
    steps = [("opened", "d/t", os.O_RDONLY), ("opened", "d/t", os.O_WRONLY | os.O_APPEND),
             ("truncate", "d/t", 3), ("chmod", "d/t", 0o640), ("lchown", "d/t", me, -1),
             ("lchown", "d/t", -1, me), ("set_times", "d/t", "now"), ("set_times", "d/t", "set"),
             ("link", "d/t", "d/hard"), ("make", "empty", "d/new"), ("mkdir", "d/sub"),
             ("rename", "d/t", "d/moved"), ("rename", "d/moved", "d/t"), ("rename", "d/new", "d/t"),
             ("unlink", "d/t"), ("unlink", "d/new"), ("rmdir", "d/sub"), ("chmod", "d", 0o777)]
    for directory_owner, file_owner in itertools.product((0, me, other), repeat=2):
        for directory_mode in (0o755, 0o777, 0o1777, 0o2775, 0o770, 0o711):
            for mode in (0o644, 0o666, 0o600, 0o4755):
                yield (f"{file_owner}'s file {mode:o} in {directory_owner}'s {directory_mode:o}",
                       [("mkdir", "d"), ("make", "file", "d/t"),
                        ("lchown", "d/t", file_owner, file_owner), ("chmod", "d/t", mode),
                        ("lchown", "d", directory_owner, directory_owner),
                        ("chmod", "d", directory_mode), ("chmod", ".", 0o777)], steps)


GROUPS = {made.__name__: made for made in (
    opens, open_permissions, one_path, two_paths, directory_permissions, names, modes, times,
    open_files, offsets)}
