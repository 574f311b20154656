# SPDX-License-Identifier: Apache-2.0
"""A program that does everything in a directory of its own and knows what must be there: the load of the
endurance test, as a snippet for an Actor.

Given `d` (its directory), `seconds` and `seed`; leaves {"operations", "slowest": [(second, milliseconds)],
"half_made": what a killed server left of a call (docs/FAULTS.md), "files"}.
A file is a bytearray of the model; open files keep theirs when the name is removed or replaced.
"""

SOURCE = r"""
import mmap, random
chance = random.Random(seed)
files, held, slowest, half_made = {}, [], [], []
done = []  # the last things that were done, for whoever reads of a failure
begun, operations = time.monotonic(), 0
LARGEST = 400_000

def place(name):
    return f"{d}/{name}"

def any_name():
    return f"f{chance.randrange(10)}"

def known():
    return chance.choice(sorted(files)) if files else None

def put(model, offset, data):
    if len(model) < offset:
        model.extend(bytes(offset - len(model)))
    model[offset:offset + len(data)] = data

def same(model, data, what):
    if bytes(model) != data:
        at = next((i for i, (a, b) in enumerate(zip(model, data)) if a != b), min(len(model), len(data)))
        raise ValueError(f"{what}: {len(data)} bytes instead of {len(model)}, other ones from {at}")

def noise():
    return chance.randbytes(chance.choice((1, 100, 5000, 70_000)))

def write():
    name, data, offset = any_name(), noise(), chance.randrange(LARGEST)
    fd = os.open(place(name), os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(fd, data, offset)
        put(files.setdefault(name, bytearray()), offset, data)
        if chance.random() < 0.3:
            os.fsync(fd)
    finally:
        os.close(fd)

def append():
    name, data = any_name(), noise()[:5000]
    fd = os.open(place(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(fd, data)
        files.setdefault(name, bytearray()).extend(data)
    finally:
        os.close(fd)

def read():
    if name := known():
        same(files[name], read_file(place(name)), name)

def truncate():
    if name := known():
        size = chance.randrange(LARGEST)
        os.truncate(place(name), size)
        model = files[name]
        model[size:] = bytes(max(0, size - len(model)))

def through_a_mapping():
    name = known()
    if name is None or not files[name]:
        return
    model, fd = files[name], os.open(place(name), os.O_RDWR)
    try:
        with mmap.mmap(fd, len(model)) as mapping:
            offset = chance.randrange(len(model))
            data = chance.randbytes(min(3000, len(model) - offset))
            mapping[offset:offset + len(data)] = data
            put(model, offset, data)
            same(model, mapping[:], name + " mapped")
            mapping.flush()
    finally:
        os.close(fd)

def hold():
    name = known()
    if name and len(held) < 3:
        done[-1] += f" {name}"
        held.append((os.open(place(name), os.O_RDWR), files[name], name))

def use_held():
    if held:
        fd, model, name = chance.choice(held)
        done[-1] += f" {name}"
        data, offset = noise(), chance.randrange(LARGEST)
        os.pwrite(fd, data, offset)
        put(model, offset, data)
        same(model, os.pread(fd, 2 * LARGEST, 0), name + " held open")

def let_go():
    if held:
        fd, _, _ = held.pop(chance.randrange(len(held)))
        os.close(fd)

def rename():
    if name := known():
        to = any_name()
        done[-1] += f" {name} {to}"
        os.rename(place(name), place(to))
        files[to] = files.pop(name)

def unlink():
    if name := known():
        done[-1] += f" {name}"
        os.unlink(place(name))
        del files[name]

def left_half_made(name, links):
    # Whether it was made since this began (the server has our clock, in steps) and nothing was done to it
    # since: EEXIST is right then.
    found = os.stat(place(name))
    is_new = time.time() - found.st_ctime < time.monotonic() - start + 0.1
    if (not is_new or found.st_nlink != links or len({found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns}) > 1
            or (links == 1 and found.st_size > 0)):
        return False
    half_made.append(name)
    return True

def directory():
    try:
        os.mkdir(place("dir"))
    except FileExistsError:
        if not left_half_made("dir", 2):
            raise
        return os.rmdir(place("dir"))
    write_file(place("dir/inside"), b"x")
    os.rename(place("dir/inside"), place("dir/other"))
    os.symlink("other", place("dir/link"))
    if read_file(place("dir/link")) != b"x":
        raise ValueError("the link leads elsewhere")
    for name in ("link", "other"):
        os.unlink(place(f"dir/{name}"))
    os.rmdir(place("dir"))

def exclusive():
    try:
        fd = os.open(place("exclusive"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        if not left_half_made("exclusive", 1):
            raise
        return os.unlink(place("exclusive"))
    os.close(fd)
    os.link(place("exclusive"), place("second"))
    os.unlink(place("exclusive"))
    os.unlink(place("second"))

def look():
    names = {name for name in os.listdir(d) if not name.startswith(".nfs")}
    if names != set(files):
        raise ValueError(f"names: {sorted(names)} instead of {sorted(files)}")
    for name, model in files.items():
        if (size := os.stat(place(name)).st_size) != len(model):
            raise ValueError(f"{name} has {size} bytes instead of {len(model)}")

everything = [write] * 5 + [read] * 5 + [append] * 2 + [use_held] * 3 + [
    truncate, through_a_mapping, hold, let_go, rename, unlink, directory, exclusive, look]
while time.monotonic() - begun < seconds or operations < 100:
    work, start = chance.choice(everything), time.monotonic()
    done.append(f"{start - begun:.2f} {work.__name__}")
    del done[:-12]
    try:
        work()
    except (OSError, ValueError) as error:
        raise ValueError(f"{type(error).__name__} {error}; {done}; held: {[name for *_, name in held]}") from error
    took, second = 1000 * (time.monotonic() - start), int(start - begun)
    if not slowest or slowest[-1][0] != second:
        slowest.append((second, took))
    elif took > slowest[-1][1]:
        slowest[-1] = (second, took)
    operations += 1
while held:
    let_go()
look()
for name in files:
    same(files[name], read_file(place(name)), name + " at the end")
result = {"operations": operations, "slowest": slowest, "half_made": half_made,
          "files": {name: bytes(model) for name, model in files.items()}}
"""
