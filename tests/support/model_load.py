# SPDX-License-Identifier: Apache-2.0
"""A load that knows what every byte must be: random reads, writes, appends, truncates, mmap,
renames, unlinks and listings in a directory of its own, against a model in memory.

`LOAD` is a snippet for an actor (tests/support/actor.py) with `d`, an empty directory, `seed` and
`seconds`; its result is how many operations it did. The first answer that differs from the model
ends it with an AssertionError that says which one.
"""

LOAD = r'''
import random

class File:
    """Content as it must be, wherever the name is by now."""
    def __init__(self):
        self.data = bytearray()

    def write(self, offset, piece):
        if offset > len(self.data):
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset:offset + len(piece)] = piece

    def cut(self, size):
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

LARGEST = 600_000
rng = random.Random(seed)
names = {}     # name: File
dirs = set()
fds = {}       # fd: (File, appends)
done = 0
begun = []

def fresh():
    begun.append(None)
    return f"f{len(begun)}"

def size():
    return rng.choice((1, 100, 4096, 5000, 70_000, 200_000))

def differs(what, found, expected):
    at = next((i for i, (a, b) in enumerate(zip(found, expected)) if a != b), -1)
    return AssertionError(f"operation {done} (seed {seed}): {what}: {len(found)} bytes, expected "
                          f"{len(expected)}, first difference at {at}")

def check(what, found, expected):
    if found != expected:
        raise differs(what, found, expected)

def create():
    if len(names) >= 12:
        return
    name = fresh()
    flags = os.O_RDWR | os.O_CREAT | rng.choice((0, os.O_EXCL, os.O_TRUNC))
    fd = os.open(f"{d}/{name}", flags, 0o640)
    names[name] = File()
    fds[fd] = (names[name], False)

def open_again():
    if not names or len(fds) >= 12:
        return
    name = rng.choice(sorted(names))
    kind = rng.choice(("plain", "append", "trunc"))
    flags = {"plain": os.O_RDWR, "append": os.O_RDWR | os.O_APPEND,
             "trunc": os.O_RDWR | os.O_TRUNC}[kind]
    fd = os.open(f"{d}/{name}", flags)
    if kind == "trunc":
        names[name].cut(0)
    fds[fd] = (names[name], kind == "append")

def pick():
    return rng.choice(sorted(fds))

def write():
    if not fds:
        return
    fd = pick()
    file, appends = fds[fd]
    piece = rng.randbytes(size())
    offset = len(file.data) if appends else rng.randrange(0, LARGEST - len(piece))
    if offset + len(piece) > 2 * LARGEST:
        return
    if appends:
        wrote = os.write(fd, piece)
    else:
        wrote = os.pwrite(fd, piece, offset)
    if wrote != len(piece):
        raise AssertionError(f"operation {done}: wrote {wrote} of {len(piece)}")
    file.write(offset, piece)

def read():
    if not fds:
        return
    fd = pick()
    file, _ = fds[fd]
    offset, length = rng.randrange(0, LARGEST), size()
    found = b""
    while len(found) < length:
        piece = os.pread(fd, length - len(found), offset + len(found))
        if not piece:
            break
        found += piece
    check(f"read at {offset}", found, bytes(file.data[offset:offset + length]))

def cut():
    if not fds:
        return
    fd = pick()
    new = rng.randrange(0, LARGEST)
    os.ftruncate(fd, new)
    fds[fd][0].cut(new)

def map_it():
    plain = [fd for fd in sorted(fds) if not fds[fd][1] and len(fds[fd][0].data) > 8192]
    if not plain:
        return
    fd = rng.choice(plain)
    file, _ = fds[fd]
    length = len(file.data)
    with mmap.mmap(fd, length) as memory:
        for _ in range(4):
            at = rng.randrange(0, length - 64)
            check(f"mapped at {at}", memory[at:at + 64], bytes(file.data[at:at + 64]))
            piece = rng.randbytes(64)
            memory[at:at + 64] = piece
            file.data[at:at + 64] = piece
        memory.flush()

def sync():
    if fds:
        os.fsync(pick())

def close():
    if fds:
        fd = pick()
        del fds[fd]
        os.close(fd)

def rename():
    if not names:
        return
    name = rng.choice(sorted(names))
    target = rng.choice(sorted(names)) if rng.random() < 0.5 else fresh()
    if target == name:
        return
    os.rename(f"{d}/{name}", f"{d}/{target}")
    names[target] = names.pop(name)

def unlink():
    if names:
        name = rng.choice(sorted(names))
        os.unlink(f"{d}/{name}")
        del names[name]

def directory():
    if len(dirs) < 4:
        name = fresh()
        os.mkdir(f"{d}/{name}")
        dirs.add(name)
    else:
        name = rng.choice(sorted(dirs))
        os.rmdir(f"{d}/{name}")
        dirs.remove(name)

def listing():
    found = sorted(n for n in os.listdir(d) if not n.startswith(".nfs"))
    check("listing", found, sorted(list(names) + list(dirs)))

def look():
    if names:
        name = rng.choice(sorted(names))
        check("size", [os.stat(f"{d}/{name}").st_size], [len(names[name].data)])

def whole():
    if names:
        name = rng.choice(sorted(names))
        check(name, read_file(f"{d}/{name}"), bytes(names[name].data))

OPERATIONS = ((create, 6), (open_again, 6), (write, 30), (read, 20), (cut, 5), (map_it, 6),
              (sync, 4), (close, 10), (rename, 6), (unlink, 3), (directory, 3), (listing, 4),
              (look, 6), (whole, 4))
choices = [operation for operation, weight in OPERATIONS for _ in range(weight)]
until = time.monotonic() + seconds
while time.monotonic() < until:
    operation = rng.choice(choices)
    try:
        operation()
    except OSError as error:
        raise AssertionError(
            f"operation {done} (seed {seed}), {operation.__name__}: {error}") from None
    done += 1
for fd in sorted(fds):
    check("an open file", os.pread(fd, 3 * LARGEST, 0), bytes(fds[fd][0].data))
    os.close(fd)
listing()
for name in sorted(names):
    check(name, read_file(f"{d}/{name}"), bytes(names[name].data))
left = {name: bytes(file.data) for name, file in names.items()}
result = done, left
'''
