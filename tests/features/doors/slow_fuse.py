"""A FUSE file system of one folder `sub` with a file `late.txt`. A look-up of `sub` is answered
only when the file GO exists; that it was asked for is shown by the file ASKED. It stands for slow
disks and servers.

Run as root: `python slow_fuse.py MOUNT_POINT ASKED GO`. Source: <linux/fuse.h>.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
import sys

point, asked, go = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"slow", point.encode(), b"fuse", 0, options):
    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
TEXT = b"WRITTEN AFTER THE REVOCATION"


def attr(node):
    mode, size = (0o100644, len(TEXT)) if node == 3 else (0o40755, 0)
    return struct.pack("<6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 2, 0, 0, 0, 4096, 0)


def entry(node):
    return struct.pack("<4Q2I", node, 1, 0, 1000, 0, 0) + attr(node)


def reply(unique, data=b"", error=0):
    with contextlib.suppress(OSError):  # Whoever asked has given up.
        os.write(fd, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)


waiting = []
print("mounted", flush=True)
while True:
    if waiting and os.path.exists(go):
        for unique in waiting:
            reply(unique, entry(2))
        waiting.clear()
    if not select.select([fd], [], [], 0.01)[0]:
        continue
    try:
        data = os.read(fd, 1 << 17)
    except OSError:
        sys.exit()
    _, op, unique, node = struct.unpack_from("<IIQQ", data)
    body = data[40:]
    if op == 26:
        major, minor = struct.unpack_from("<II", body)
        reply(unique, struct.pack("<4I2H2I2HI7I", 7, 31, 0, 0, 12, 9, 65536, 1, 16, 0, 0, *[0] * 7))
    elif op == 1:
        name = body.rstrip(b"\0")
        if name == b"sub":
            if os.path.exists(go):
                reply(unique, entry(2))
            else:
                waiting.append(unique)
                open(asked, "w").close()
        elif name == b"late.txt":
            reply(unique, entry(3))
        else:
            reply(unique, error=2)
    elif op == 3:
        reply(unique, struct.pack("<QII", 1000, 0, 0) + attr(node))
    elif op in (14, 27):
        reply(unique, struct.pack("<QII", 0, 0, 0))
    elif op == 15:
        offset, size = struct.unpack_from("<QI", body, 8)
        reply(unique, TEXT[offset : offset + size])
    elif op == 28:
        reply(unique)
    elif op == 17:
        reply(unique, b"\0" * 80)
    elif op in (18, 29, 25):
        reply(unique)
    elif op in (2, 36, 42):
        pass
    else:
        reply(unique, error=38)
