"""Open what was approved: the file itself, for whoever acts on the trusted side for a cell.

The doors give a cell its own access, for as long as its rights last; this is the single access of
one decision. It takes nothing but what `decide` returned.
"""

from __future__ import annotations

import os
import stat

from ...doors import _sys_files
from ...doors.resolve import BENEATH, Unresolvable, printable
from ..verdict import Approved
from .schema import FileRequest

_FLAGS = {
    "read": os.O_RDONLY,
    "create": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "append": os.O_WRONLY | os.O_APPEND,
    "write": os.O_RDWR,
}


def perform(approved: Approved[FileRequest]) -> int:
    """A close-on-exec descriptor of the approved path, opened in the approved mode.

    The resolved path is walked from the root without following a link, so that it is the very
    path that was decided on. Raises TypeError for anything but an approval, Unresolvable
    (`special`) for what is neither a regular file nor a directory, and OSError.
    """
    if not isinstance(approved, Approved) or not isinstance(approved.request, FileRequest):
        raise TypeError("only what decide() approved is performed")
    request = approved.request
    flags = _FLAGS[request.mode] | os.O_NONBLOCK | os.O_NOCTTY
    relative = os.fsencode(request.real.lstrip("/")) or b"."
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mode = 0o666 if flags & os.O_CREAT else 0
        descriptor = _sys_files.openat2(root, relative, flags, mode=mode, resolve=BENEATH)
    finally:
        os.close(root)
    status = os.fstat(descriptor)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        os.close(descriptor)
        raise Unresolvable("special", printable(request.shown), "neither a file nor a directory")
    return descriptor
