"""Attacks on files: read, write, or learn of what was not granted."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import stat
import tempfile
import threading
import time

from _sys_raw import call, libc
from attack import Target, attack


def _read(path: str, **options: int) -> str:
    fd = os.open(path, os.O_RDONLY, **options)
    try:
        return os.read(fd, 100).decode(errors="replace")
    finally:
        os.close(fd)


def _scratch() -> str:
    return tempfile.mkdtemp()


@attack("secret")
def read_a_file(target: Target) -> str:
    return _read(target.canary)


@attack("secret")
def read_by_relative_path(target: Target) -> str:
    return _read("../" * 30 + target.canary[1:])


@attack("secret")
def read_by_dotdot_from_a_root(target: Target) -> str:
    folder = os.open(target.read_only_root, os.O_RDONLY | os.O_DIRECTORY)
    return _read("../" * 30 + target.canary[1:], dir_fd=folder)


@attack("secret")
def read_by_absolute_link(target: Target) -> str:
    link = _scratch() + "/link"
    os.symlink(target.canary, link)
    return _read(link)


@attack("secret")
def read_by_relative_link(target: Target) -> str:
    link = _scratch() + "/link"
    os.symlink("../" * 30 + target.canary[1:], link)
    return _read(link)


@attack("secret")
def read_by_linked_folder(target: Target) -> str:
    link = _scratch() + "/link"
    os.symlink(target.folder, link)
    return _read(link + "/canary")


@attack("secret")
def read_by_hard_link(target: Target) -> str:
    link = tempfile.gettempdir() + "/hard"
    os.link(target.canary, link)
    return _read(link)


@attack("secret")
def read_by_own_root_link(target: Target) -> str:
    return _read("/proc/self/root" + target.canary)


@attack("secret")
def read_by_init_root_link(target: Target) -> str:
    return _read(f"/proc/{os.getppid()}/root{target.canary}")


@attack("secret")
def read_by_outside_root_link(target: Target) -> str:
    return _read(f"/proc/{target.outside_pid}/root{target.canary}")


@attack("secret")
def read_by_outside_cwd_link(target: Target) -> str:
    return _read(f"/proc/{target.outside_pid}/cwd/{os.path.basename(target.canary)}")


@attack("secret")
def read_by_openat2(target: Target) -> str:
    how = (os.O_RDONLY).to_bytes(8, "little") + bytes(16)
    fd = call("openat2", -100, target.canary.encode(), how, len(how))
    return os.read(fd, 100).decode()


@attack("secret", root=True)
def read_by_file_handle(target: Target) -> str:
    handle = ctypes.create_string_buffer(136)
    ctypes.memmove(handle, (128).to_bytes(4, "little"), 4)
    mount = ctypes.c_int(0)
    call("name_to_handle_at", -100, target.canary.encode(), handle, ctypes.byref(mount), 0)
    somewhere = os.open("/usr/lib", os.O_RDONLY)
    fd = call("open_by_handle_at", somewhere, handle, 0)
    return os.read(fd, 100).decode()


@attack("secret", root=True)
def read_the_shadow_file(target: Target) -> str:
    return target.secret if _read("/etc/shadow").count(":") > 1 else ""


@attack("secret")
def map_a_file(target: Target) -> str:
    with (
        open(target.canary, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as area,
    ):
        return area[:].decode()


@attack("secret")
def race_the_door_with_a_granted_name(target: Target) -> str:
    """Flip the path in memory between an allowed file and the canary while it is being opened."""
    good, bad = b"/etc/ld.so.cache\0", target.canary.encode() + b"\0"
    wanted = os.fsencode(target.secret)
    buffer = ctypes.create_string_buffer(256)
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            ctypes.memmove(buffer, bad, len(bad))
            ctypes.memmove(buffer, good, len(good))

    thread = threading.Thread(target=flip, daemon=True)
    thread.start()
    try:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            fd = libc.openat(-100, buffer, 0)
            if fd >= 0:
                text = os.read(fd, 100)
                os.close(fd)
                if text == wanted:
                    return target.secret
    finally:
        stop.set()
        thread.join()
    raise PermissionError("never")


@attack()
def see_that_a_file_exists(target: Target) -> None:
    os.stat(target.canary)


@attack()
def see_that_a_file_exists_by_a_link(target: Target) -> None:
    link = _scratch() + "/link"
    os.symlink(target.canary, link)
    os.stat(link)


@attack()
def see_that_a_file_exists_by_dotdot_after_a_link(target: Target) -> None:
    """Taken by its letters, the path would lead to a place in the scratch."""
    scratch = _scratch()
    os.symlink(target.folder, scratch + "/link")
    os.stat(f"{scratch}/link/../{os.path.basename(target.folder)}/canary")


@attack()
def see_that_a_folder_exists_by_a_slash_after_a_link(target: Target) -> None:
    """The slash makes lstat follow the link."""
    scratch = _scratch()
    os.symlink(target.folder, scratch + "/link")
    if not stat.S_ISDIR(os.lstat(scratch + "/link/").st_mode):
        raise PermissionError("the link itself")


@attack("secret", no_control="without walls there is no door")
def have_the_door_link_a_file_into_the_scratch(target: Target) -> str:
    """The door links shared memory by name; a name may be a symbolic link."""
    shared = os.environ["HOME"][: -len("home")] + "shm"
    if not os.path.isdir(shared):
        shared = "/dev/shm"
    name = f"attack-{os.getpid()}"
    os.symlink(target.canary, f"{shared}/{name}")
    try:
        os.link(f"/dev/shm/{name}", f"/dev/shm/{name}-2")
        return _read(f"{shared}/{name}-2")
    finally:
        os.unlink(f"{shared}/{name}")
        if os.path.lexists(f"{shared}/{name}-2"):
            os.unlink(f"{shared}/{name}-2")


@attack()
def see_that_a_file_exists_by_access(target: Target) -> None:
    if not os.access(target.canary, os.F_OK):
        raise PermissionError(target.canary)


@attack()
def see_that_a_file_exists_by_changing_into_its_folder(target: Target) -> None:
    here = os.getcwd()
    os.chdir(target.folder)
    os.chdir(here)


@attack()
def read_the_size_of_a_filesystem(target: Target) -> None:
    os.statvfs(target.folder)


@attack()
def list_a_folder(target: Target) -> None:
    if os.path.basename(target.canary) not in os.listdir(target.folder):
        raise PermissionError(target.folder)


@attack()
def list_the_root(target: Target) -> None:
    top = "/" + target.folder.split("/")[1]
    names = set(os.listdir("/"))
    if not names & {"boot", "home", "srv", "mnt", "opt", "media", "run"}:
        raise PermissionError(top)


@attack("made")
def make_a_file(target: Target) -> None:
    os.close(os.open(target.folder + "/made", os.O_CREAT | os.O_WRONLY))


@attack("made")
def make_a_folder(target: Target) -> None:
    os.mkdir(target.folder + "/made")


@attack("made")
def make_a_symbolic_link(target: Target) -> None:
    os.symlink("x", target.folder + "/made")


@attack("made")
def move_a_file_out(target: Target) -> None:
    path = _scratch() + "/x"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.rename(path, target.folder + "/made")


@attack("made")
def make_a_fifo(target: Target) -> None:
    os.mkfifo(target.folder + "/made")


@attack("made", root=True)
def make_a_device(target: Target) -> None:
    os.mknod(target.folder + "/made", stat.S_IFCHR | 0o666, os.makedev(1, 1))


@attack("changed")
def truncate_a_file(target: Target) -> None:
    os.truncate(target.canary, 0)


@attack("changed")
def write_a_file(target: Target) -> None:
    fd = os.open(target.canary, os.O_WRONLY)
    os.write(fd, b"changed")


@attack("changed")
def change_a_mode(target: Target) -> None:
    os.chmod(target.canary, 0o777)


@attack("changed")
def change_a_mode_by_a_link(target: Target) -> None:
    link = _scratch() + "/link"
    os.symlink(target.canary, link)
    os.chmod(link, 0o777)


@attack("changed")
def change_a_time(target: Target) -> None:
    os.utime(target.canary, (1, 1))


@attack("changed")
def remove_a_file(target: Target) -> None:
    os.unlink(target.canary)


@attack("root")
def write_into_the_installed_environment(target: Target) -> None:
    os.close(os.open(target.read_only_root + "/made", os.O_CREAT | os.O_WRONLY))


@attack("root")
def change_the_mode_of_an_installed_file(target: Target) -> None:
    fd = os.open(target.read_only_root + "/file", os.O_RDONLY)
    os.fchmod(fd, 0o777)


@attack("root")
def change_the_time_of_an_installed_file(target: Target) -> None:
    fd = os.open(target.read_only_root + "/file", os.O_RDONLY)
    os.utime(fd, (1, 1))


@attack("root")
def reopen_a_readable_file_for_writing(target: Target) -> None:
    fd = os.open(target.read_only_root + "/file", os.O_RDONLY)
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    os.write(again, b"changed")


@attack("root")
def reopen_a_readable_file_by_dev_fd(target: Target) -> None:
    fd = os.open(target.read_only_root + "/file", os.O_RDONLY)
    again = os.open(f"/dev/fd/{fd}", os.O_RDWR)
    os.write(again, b"changed")


@attack("root")
def truncate_an_installed_file(target: Target) -> None:
    os.truncate(target.read_only_root + "/file", 0)


@attack("root")
def set_an_attribute_of_an_installed_file(target: Target) -> None:
    os.setxattr(target.read_only_root + "/file", "user.made", b"x")


@attack(levels=("full",))
def read_the_trusted_side(target: Target) -> None:
    if not os.listdir(target.trusted):
        raise PermissionError(target.trusted)


@attack()
def read_the_connection_file(target: Target) -> None:
    _read(target.connection_file)


@attack()
def read_another_kernels_scratch(target: Target) -> None:
    _read(target.other_scratch + "/home/note")


@attack(levels=("full",), root=True)
def make_a_device_in_the_scratch(target: Target) -> None:
    path = _scratch() + "/disk"
    os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(1, 0))


@attack()
def watch_files(target: Target) -> None:
    os.close(call("inotify_init1", 0))


@attack()
def open_a_fifo_outside(target: Target) -> None:
    os.close(os.open(target.folder + "/fifo", os.O_RDONLY | os.O_NONBLOCK))


@attack()
def take_a_lease(target: Target) -> None:
    path = _scratch() + "/x"
    fd = os.open(path, os.O_CREAT | os.O_RDONLY)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)


@attack()
def be_told_of_changes_by_a_signal(target: Target) -> None:
    fd = os.open(tempfile.gettempdir(), os.O_RDONLY)
    fcntl.fcntl(fd, fcntl.F_NOTIFY, fcntl.DN_CREATE)
