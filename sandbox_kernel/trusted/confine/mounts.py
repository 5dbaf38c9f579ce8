"""The worker's file tree at `full`, as a list of steps that the warden's child carries out. Pure.

The root is a small tmpfs that is read-only at the end. Into it go read-only binds of the installed
environment, a few devices, /etc files written from memory, and the private scratch. Order matters:
directories and links first, binds by depth, masks last.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from dataclasses import dataclass

from ...shared.errors import ConfinementFailed
from .places import SCRATCH
from .roots import Roots


@dataclass(frozen=True)
class Tree:
    """What is where in the worker's root. Paths are absolute, as the worker sees them."""

    directories: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    binds: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    masks: tuple[str, ...]
    scratch_bytes: int
    shared_memory_bytes: int


def etc_files(
    uid: int, gid: int, host_name: str, scratch: str = SCRATCH
) -> tuple[tuple[str, str], ...]:
    """The files of /etc that are written from memory: one user, our name service."""
    return (
        ("/etc/passwd", f"sandbox:x:{uid}:{gid}:sandbox:{scratch}/home:/usr/sbin/nologin\n"),
        ("/etc/group", f"sandbox:x:{gid}:\n"),
        ("/etc/hosts", f"127.0.0.1 localhost {host_name}\n::1 localhost\n"),
        ("/etc/hostname", f"{host_name}\n"),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"),
        # The socket door answers there, over a stream: libc then asks by connect, not by datagram.
        ("/etc/resolv.conf", "nameserver 127.0.0.1\noptions use-vc timeout:5 attempts:1\n"),
        ("/etc/host.conf", "multi on\n"),
        ("/etc/gai.conf", ""),
        ("/etc/machine-id", ""),
    )


def tree(
    roots: Roots,
    *,
    working_directory: str,
    writable_points: Iterable[str],
    masks: Iterable[str],
    memory_files: Iterable[tuple[str, str]],
    scratch_bytes: int,
    shared_memory_bytes: int,
) -> Tree:
    """The worker's root for these roots and this notebook."""
    for path in (working_directory, *roots.trees, *roots.listed):
        if _inside(path, (SCRATCH,)):
            raise ConfinementFailed(
                f"{path} is where the worker's private scratch goes ({SCRATCH}). Move the"
                " notebook or the environment to another folder."
            )
    binds = sorted((*roots.trees, *roots.files), key=lambda path: (path.count("/"), path))
    directories = [working_directory, *roots.listed]
    directories += [os.path.dirname(point) for point in writable_points]
    links = [(link, target) for link, target in roots.links]
    linked = {link for link, _ in links}
    taken = [*binds, *linked]
    return Tree(
        tuple(d for d in dict.fromkeys(directories) if d != "/" and not _inside(d, roots.trees)),
        tuple(links),
        tuple(binds),
        tuple((p, text) for p, text in memory_files if not _inside(p, taken)),
        tuple(mask for mask in masks if _inside(mask, binds)),
        scratch_bytes,
        shared_memory_bytes,
    )


def _inside(path: str, trees: Iterable[str]) -> bool:
    return any(path == tree or path.startswith(tree + "/") for tree in trees)
