"""Carry out the changes that a review allowed, file by file, beneath the grant's directory.

Every path is opened with openat2 beneath the descriptor of the granted place, links refused, so
that nothing that changes on the host meanwhile can lead a commit elsewhere. A file is written
under a temporary name beside its target and renamed: a reader sees the old or the new content,
and a crash leaves no half-written file. `create` renames with RENAME_NOREPLACE: what appeared
meanwhile is not overwritten. A thread of the worker may go on writing to the private layer:
sizes are those that were reviewed, and what `append` keeps is copied from the host's file, never
from the private one.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from dataclasses import dataclass

from . import _sys_files
from .resolve import BENEATH
from .staged_review import Act, Change, Refusal
from .staged_tree import CHUNK_BYTES, open_upper


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the changes of one staged place."""

    committed: tuple[Change, ...]
    refused: tuple[Refusal, ...]


def commit(changes: tuple[Change, ...], upper: int, lower: int) -> Outcome:
    """Make `changes` on the host.

    upper, lower: directory descriptors of the private layer and of the granted place. A change
    that the host refuses (gone, exists by now, no space, no permission) is listed and the rest
    goes on.
    """
    done: list[Change] = []
    refused: list[Refusal] = []
    for change in changes:
        try:
            _carry_out(change, upper, lower)
        except OSError as error:
            reason = error.strerror or str(error)
            refused.append(Refusal(change.path, "host", f"{change.act.value}: {reason}"))
        else:
            done.append(change)
    return Outcome(tuple(done), tuple(refused))


def _carry_out(change: Change, upper: int, lower: int) -> None:
    head, _, name = change.path.rpartition("/")
    target = _directory(lower, head)
    try:
        encoded = os.fsencode(name)
        if change.act is Act.MAKE_DIRECTORY:
            os.mkdir(encoded, 0o777, dir_fd=target)
        elif change.act is Act.REMOVE:
            _remove(encoded, target)
        else:
            source = _directory(upper, head)
            try:
                if change.act is Act.LINK:
                    _link(name, source, target)
                else:
                    _write(change, name, source, target)
            finally:
                os.close(source)
    finally:
        os.close(target)


def _directory(top: int, path: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY
    return _sys_files.openat2(top, os.fsencode(path) or b".", flags, resolve=BENEATH)


def _remove(name: bytes, directory: int) -> None:
    status = os.lstat(name, dir_fd=directory)
    if stat.S_ISDIR(status.st_mode):
        os.rmdir(name, dir_fd=directory)
    else:
        os.unlink(name, dir_fd=directory)


def _temporary() -> bytes:
    return b".sandbox-" + secrets.token_hex(8).encode()


def _link(name: str, source: int, target: int) -> None:
    content = os.readlink(os.fsencode(name), dir_fd=source)
    temporary = _temporary()
    os.symlink(content, temporary, dir_fd=target)
    _rename(temporary, os.fsencode(name), target, exclusive=False)


def _write(change: Change, name: str, source: int, target: int) -> None:
    encoded = os.fsencode(name)
    new = open_upper(name, source)
    try:
        status = os.fstat(new)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no longer a regular file")
        mode = status.st_mode & 0o777
        if change.act is not Act.CREATE:
            # The host's own bits stay as they are: a staged grant changes content.
            mode = os.lstat(encoded, dir_fd=target).st_mode & 0o777
        temporary = _temporary()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        out = os.open(temporary, flags, 0o600, dir_fd=target)
        try:
            try:
                if change.act is Act.APPEND:
                    _copy_kept(encoded, target, out, change.keep)
                _copy(new, out, change.keep, change.size)
                os.fchmod(out, mode or 0o600)
            finally:
                os.close(out)
        except BaseException:
            os.unlink(temporary, dir_fd=target)
            raise
    finally:
        os.close(new)
    _rename(temporary, encoded, target, exclusive=change.act is Act.CREATE)


def _copy_kept(name: bytes, directory: int, out: int, size: int) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    old = os.open(name, flags, dir_fd=directory)
    try:
        if os.fstat(old).st_size != size:
            raise OSError(errno.ESTALE, "the file was changed outside meanwhile")
        _copy(old, out, 0, size)
    finally:
        os.close(old)


def _copy(source: int, out: int, start: int, size: int) -> None:
    """Exactly `size` bytes from `start`, as reviewed, whatever the source has become."""
    at = start
    while at < start + size:
        data = os.pread(source, min(CHUNK_BYTES, start + size - at), at)
        if not data:
            raise OSError(errno.EIO, "the file became shorter")
        at += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(out, view) :]


def _rename(temporary: bytes, name: bytes, directory: int, *, exclusive: bool) -> None:
    try:
        if not exclusive:
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            return
        try:
            _sys_files.renameat2(directory, temporary, directory, name, _sys_files.RENAME_NOREPLACE)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            # A file system without the flag (some network ones): link is exclusive everywhere.
            os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            os.unlink(temporary, dir_fd=directory)
    except BaseException:
        if _exists(temporary, directory):
            os.unlink(temporary, dir_fd=directory)
        raise


def _exists(name: bytes, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True
