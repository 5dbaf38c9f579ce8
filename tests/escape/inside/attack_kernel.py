"""Attacks on the kernel itself and on the walls: namespaces, mounts, filters, odd interfaces."""

from __future__ import annotations

import os
import struct
import tempfile

from _sys_raw import Absent, address, buffer, call
from attack import Target, attack

NEWNS, NEWUSER, NEWNET, NEWPID = 0x20000, 0x10000000, 0x40000000, 0x20000000


@attack()
def make_a_user_namespace(target: Target) -> None:
    call("unshare", NEWUSER)


@attack()
def make_a_user_namespace_by_clone(target: Target) -> None:
    pid = call("clone", NEWUSER | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@attack()
def make_a_user_and_mount_namespace(target: Target) -> None:
    call("unshare", NEWUSER | NEWNS | NEWNET)


@attack(root=True)
def make_a_mount_namespace(target: Target) -> None:
    call("unshare", NEWNS)


@attack(root=True)
def join_an_outside_namespace(target: Target) -> None:
    fd = os.open(f"/proc/{target.outside_pid}/ns/uts", os.O_RDONLY)
    call("setns", fd, 0)


@attack(root=True)
def join_inits_mount_namespace(target: Target) -> None:
    fd = os.open(f"/proc/{os.getppid()}/ns/mnt", os.O_RDONLY)
    call("setns", fd, 0)


@attack(root=True)
def mount_something(target: Target) -> None:
    call("unshare", NEWNS) if os.getuid() == 0 else None
    call("mount", b"x", tempfile.mkdtemp().encode(), b"tmpfs", 0, 0)


@attack(root=True)
def remount_a_root_writable(target: Target) -> None:
    call("unshare", NEWNS) if os.getuid() == 0 else None
    call("mount", b"x", b"/", 0, 32 | 4096, 0)


@attack(root=True)
def unmount_something(target: Target) -> None:
    """Of something that is not mounted the kernel says EINVAL, once it has let us so far."""
    try:
        call("umount2", tempfile.mkdtemp().encode(), 2)
    except OSError as error:
        if error.errno != 22:
            raise


@attack(root=True)
def copy_a_mount(target: Target) -> None:
    os.close(call("open_tree", -100, b"/usr/lib", 1))


@attack(root=True)
def make_a_file_system(target: Target) -> None:
    os.close(call("fsopen", b"tmpfs", 0))


@attack(root=True)
def change_the_root(target: Target) -> None:
    call("chroot", tempfile.mkdtemp().encode())


@attack(root=True)
def rename_the_machine(target: Target) -> None:
    name = os.uname().nodename.encode()
    call("sethostname", name, len(name))


@attack(root=True)
def change_a_kernel_setting(target: Target) -> None:
    """Owned by uid 0: a root without any capability may write it through any writable procfs."""
    path = "/proc/sys/kernel/ctrl-alt-del"
    if not os.path.exists(path):
        path = "/proc/sys/kernel/pid_max"
    fd = os.open(path, os.O_WRONLY)
    os.close(fd)


@attack(root=True)
def open_the_magic_request_key(target: Target) -> None:
    if not os.path.exists("/proc/sysrq-trigger") and os.path.exists("/sys/kernel"):
        raise Absent("the magic request key")
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))


@attack(root=True)
def open_the_kernels_memory(target: Target) -> None:
    for path in ("/dev/mem", "/proc/kcore", "/dev/kmsg"):
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            continue
        return
    raise PermissionError("none")


@attack(root=True)
def open_a_disk(target: Target) -> None:
    for name in ("vda", "sda", "nvme0n1", "xvda", "loop0"):
        try:
            os.close(os.open(f"/dev/{name}", os.O_RDONLY))
        except OSError:
            continue
        return
    raise PermissionError("none")


@attack()
def lower_the_score_of_the_memory_killer(target: Target) -> None:
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


@attack()
def write_an_own_uid_map(target: Target) -> None:
    os.close(os.open("/proc/self/uid_map", os.O_WRONLY))


@attack()
def write_own_memory_past_protections(target: Target) -> None:
    with open("/proc/self/mem", "r+b"):
        pass


@attack(root=True)
def become_another_user(target: Target) -> None:
    call("setuid", 65534)


@attack(root=True)
def join_groups(target: Target) -> None:
    call("setgroups", 0, 0)


@attack()
def set_the_same_user_again(target: Target) -> None:
    call("setuid", os.getuid())


@attack(root=True)
def load_a_bpf_program(target: Target) -> None:
    instructions = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)
    code, licence = buffer(16), buffer(8)
    code.raw, licence.raw = instructions, b"GPL\0\0\0\0\0"
    attributes = struct.pack("<IIQQIIQII", 1, 2, address(code), address(licence), 0, 0, 0, 0, 0)
    os.close(call("bpf", 5, attributes, len(attributes)))


@attack()
def set_up_an_io_ring(target: Target) -> None:
    os.close(call("io_uring_setup", 4, buffer(256)))


@attack()
def handle_own_page_faults(target: Target) -> None:
    try:
        os.close(call("userfaultfd", 1))
    except OSError as error:
        if error.errno == 38 and os.path.exists("/sys/kernel"):
            raise Absent("userfaultfd") from error
        raise


@attack()
def read_the_session_keyring(target: Target) -> None:
    try:
        call("keyctl", 0, -3, 1)
    except OSError as error:
        if error.errno == 38 and os.path.exists("/sys/kernel"):
            raise Absent("keyrings") from error
        raise


@attack()
def share_memory_by_system_v(target: Target) -> None:
    call("shmget", 0, 4096, 0o1000 | 0o600)


@attack()
def queue_messages_by_system_v(target: Target) -> None:
    call("msgget", 0, 0o1000 | 0o600)


@attack()
def open_a_message_queue(target: Target) -> None:
    try:
        name = f"sandbox-kernel-test-{os.getpid()}".encode()
        os.close(call("mq_open", name, 0o102, 0o600, 0))
        call("mq_unlink", name)
    except OSError as error:
        if error.errno == 38 and os.path.exists("/sys/kernel"):
            raise Absent("message queues") from error
        raise


@attack(root=True)
def count_events_of_the_processor(target: Target) -> None:
    """The clock of the own process, which every kernel with perf counts (perf_event_open(2))."""
    attributes = buffer(128)
    attributes[0:4] = (1).to_bytes(4, "little")
    try:
        os.close(call("perf_event_open", attributes, 0, -1, -1, 0))
    except OSError as error:
        if error.errno == 38 and os.path.exists("/sys/kernel"):
            raise Absent("perf events") from error
        raise


@attack()
def change_the_personality(target: Target) -> None:
    call("personality", 0xFFFFFFFF)


@attack()
def install_another_listener(target: Target) -> None:
    code = buffer(8)
    code.raw = struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000)
    program = struct.pack("<HxxxxxxQ", 1, address(code))
    call("prctl", 38, 1, 0, 0, 0)
    os.close(call("seccomp", 1, 8, program))


@attack()
def install_another_filter(target: Target) -> None:
    code = buffer(8)
    code.raw = struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000)
    program = struct.pack("<HxxxxxxQ", 1, address(code))
    call("prctl", 38, 1, 0, 0, 0)
    call("seccomp", 1, 0, program)


@attack()
def hide_memory_from_the_limits(target: Target) -> None:
    try:
        os.close(call("memfd_secret", 0))
    except OSError as error:
        if error.errno == 38 and os.path.exists("/sys/kernel"):
            raise Absent("memfd_secret") from error
        raise


@attack(root=True)
def load_a_module(target: Target) -> None:
    """Junk: the kernel says ENOEXEC once it has let us so far."""
    try:
        call("init_module", b"junk", 4, b"")
    except OSError as error:
        if error.errno == 38 and os.path.exists("/sys/kernel"):
            raise Absent("modules") from error
        if error.errno not in (8, 14):
            raise


@attack(levels=("full",))
def learn_host_paths_from_the_mount_table(target: Target) -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        text = file.read()
    if "/sys/fs" not in text and "/boot" not in text and "/run" not in text:
        raise PermissionError("nothing of the host's")


@attack(levels=("full",))
def learn_the_hosts_name(target: Target) -> None:
    if os.uname().nodename == "sandbox":
        raise PermissionError("a name of our own")


@attack(levels=("full",))
def see_more_than_a_few_processes(target: Target) -> None:
    if len([name for name in os.listdir("/proc") if name.isdigit()]) <= 3:
        raise PermissionError("init and ourselves")
