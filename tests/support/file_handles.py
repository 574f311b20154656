# SPDX-License-Identifier: Apache-2.0
"""File handles of the kernel (open_by_handle_at(2)) as a server's own. REQUIRES: root."""

import ctypes
import os
import struct

_AT_EMPTY_PATH = 0x1000
libc = ctypes.CDLL(None, use_errno=True)


class _Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def handle_of(directory, name=b""):
    """That of a name in an open directory, or of what is open."""
    handle, mount_id = _Handle(128), ctypes.c_int()
    flags = 0 if name else _AT_EMPTY_PATH
    if libc.name_to_handle_at(directory, name, ctypes.byref(handle), ctypes.byref(mount_id), flags):
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    return struct.pack(">i", handle.type) + bytes(handle.data[:handle.size])


def open_handle(root, raw):
    """An O_PATH descriptor; `root` is open on the same file system. OSError(ESTALE) for none."""
    handle = _Handle(len(raw) - 4, struct.unpack(">i", raw[:4])[0])
    ctypes.memmove(handle.data, raw[4:], len(raw) - 4)
    file = libc.open_by_handle_at(root, ctypes.byref(handle), os.O_PATH)
    if file < 0:
        raise OSError(ctypes.get_errno(), "open_by_handle_at")
    return file
