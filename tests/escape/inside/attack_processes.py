"""Attacks on processes: see, signal, trace, start."""

from __future__ import annotations

import fcntl
import os
import resource
import signal

from _sys_raw import X86, Absent, buffer, call, call_number, libc, run_machine_code
from attack import Target, attack


@attack()
def read_the_environment_of_an_outside_process(target: Target) -> None:
    with open(f"/proc/{target.outside_pid}/environ", "rb") as file:
        if b"OUTSIDE=" not in file.read():
            raise PermissionError("another process")


@attack()
def read_the_environment_of_init(target: Target) -> None:
    with open(f"/proc/{os.getppid()}/environ", "rb") as file:
        file.read()


@attack()
def open_the_memory_of_an_outside_process(target: Target) -> None:
    with open(f"/proc/{target.outside_pid}/mem", "r+b"):
        pass


@attack()
def open_the_memory_of_init(target: Target) -> None:
    with open(f"/proc/{os.getppid()}/mem", "r+b"):
        pass


@attack()
def list_the_descriptors_of_an_outside_process(target: Target) -> None:
    os.listdir(f"/proc/{target.outside_pid}/fd")


@attack()
def list_the_descriptors_of_init(target: Target) -> None:
    os.listdir(f"/proc/{os.getppid()}/fd")


@attack()
def see_an_outside_process(target: Target) -> None:
    with open(f"/proc/{target.outside_pid}/stat", "rb") as file:
        if b"(" not in file.read():
            raise PermissionError("empty")


@attack("signalled")
def signal_an_outside_process(target: Target) -> None:
    os.kill(target.outside_pid, signal.SIGUSR1)


@attack("signalled")
def signal_an_outside_process_by_queue(target: Target) -> None:
    info = buffer(128)
    number = signal.SIGUSR1
    queue = 129 if X86 else 138
    info[0:4] = int(number).to_bytes(4, "little")
    info[8:12] = (-1).to_bytes(4, "little", signed=True)
    call_number(queue, target.outside_pid, int(number), info)


@attack("signalled")
def signal_an_outside_process_by_pidfd(target: Target) -> None:
    fd = call("pidfd_open", target.outside_pid, 0)
    call("pidfd_send_signal", fd, int(signal.SIGUSR1), 0, 0)


@attack("signalled")
def signal_an_outside_process_by_owning_a_descriptor(target: Target) -> None:
    """F_SETOWN and O_ASYNC: the kernel sends the signal when data comes."""
    import socket

    a, b = socket.socketpair()
    fcntl.fcntl(a, 10, int(signal.SIGUSR1))
    fcntl.fcntl(a, fcntl.F_SETOWN, target.outside_pid)
    fcntl.fcntl(a, fcntl.F_SETFL, fcntl.fcntl(a, fcntl.F_GETFL) | os.O_ASYNC)
    b.send(b"x")


@attack()
def signal_everyone(target: Target) -> None:
    os.kill(-1, 0)
    if os.getpid() < 100:
        # Only our own are here, and the kernel spared init.
        raise PermissionError("nobody else is here")


@attack()
def open_a_pidfd_of_an_outside_process(target: Target) -> None:
    os.close(call("pidfd_open", target.outside_pid, 0))


@attack()
def take_a_descriptor_of_an_outside_process(target: Target) -> None:
    fd = call("pidfd_open", target.outside_pid, 0)
    os.close(call("pidfd_getfd", fd, 0, 0))


@attack()
def seize_an_outside_process(target: Target) -> None:
    """It runs on; our end lets it go."""
    call("ptrace", 0x4206, target.outside_pid, 0, 0)


@attack()
def let_everyone_trace_us(target: Target) -> None:
    """Without Yama the call does not exist: then dumpability stands for it."""
    if libc.prctl(4, 0, 0, 0, 0) < 0:
        raise PermissionError("PR_SET_DUMPABLE")


@attack()
def read_the_memory_of_an_outside_process(target: Target) -> None:
    """A transfer of nothing: it succeeds where the right to read exists."""
    call("process_vm_readv", target.outside_pid, 0, 0, 0, 0, 0)


@attack()
def write_the_memory_of_an_outside_process(target: Target) -> None:
    call("process_vm_writev", target.outside_pid, 0, 0, 0, 0, 0)


@attack()
def compare_kernel_objects(target: Target) -> None:
    call("kcmp", target.outside_pid, os.getpid(), 1, 0, 0)


@attack()
def limit_an_outside_process(target: Target) -> None:
    resource.prlimit(target.outside_pid, resource.RLIMIT_CORE)


@attack()
def raise_an_own_limit(target: Target) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    except ValueError as error:  # How Python words EPERM here.
        raise PermissionError(str(error)) from error


@attack()
def pin_an_outside_process(target: Target) -> None:
    os.sched_setaffinity(target.outside_pid, os.sched_getaffinity(0))


@attack()
def renice_an_outside_process(target: Target) -> None:
    os.setpriority(os.PRIO_PROCESS, target.outside_pid, 1)


def _reap(pid: int) -> None:
    if pid == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


@attack()
def fork(target: Target) -> None:
    _reap(os.fork())


@attack()
def fork_by_vfork(target: Target) -> None:
    """What posix_spawn does on every libc; the child runs a program."""
    _, status = os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    if status:
        raise PermissionError("the program did not run")


@attack()
def fork_by_clone(target: Target) -> None:
    _reap(call("clone", 17, 0, 0, 0, 0))


@attack()
def fork_by_clone3(target: Target) -> None:
    arguments = bytearray(64)
    arguments[32:40] = (17).to_bytes(8, "little")
    _reap(call("clone3", bytes(arguments), 64))


@attack()
def run_a_program(target: Target) -> None:
    os.execv("/bin/true", ["true"])


@attack()
def run_a_program_from_memory(target: Target) -> None:
    fd = os.memfd_create("program", 0)
    os.write(fd, b"#!/bin/sh\nexit 0\n")
    os.execve(fd, ["program"], {})


@attack()
def run_a_program_from_memory_by_execveat(target: Target) -> None:
    fd = os.memfd_create("program", 0)
    with open("/bin/true", "rb") as file:
        os.write(fd, file.read())
    argv = (os.fsencode("program") + b"\0",)
    import ctypes

    vector = (ctypes.c_char_p * 2)(argv[0], None)
    call("execveat", fd, b"", vector, 0, 0x1000)


@attack()
def start_a_shell(target: Target) -> None:
    import subprocess

    subprocess.run(["/bin/sh", "-c", "true"], check=True)


@attack(fresh=True, no_control="descriptors are closed at every level")
def hold_a_descriptor_that_was_not_given(target: Target) -> str:
    """0 to 3 are the null device, two pipes and the channel."""
    found = []
    for fd in range(4, 1024):
        try:
            os.fstat(fd)
        except OSError:
            continue
        found.append(fd)
    if not found:
        raise PermissionError("none")
    return repr(found)


@attack()
def find_a_token_in_the_environment(target: Target) -> None:
    wanted = ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY")
    if not any(name in os.environ for name in wanted):
        raise PermissionError("none of them")


@attack(no_control="takes a terminal; test_terminal.py has one")
def use_the_supervisors_terminal(target: Target) -> None:
    """TIOCSTI pushes input into a terminal; here any terminal request."""
    with open("/dev/tty", "rb"):
        pass


@attack(no_control="takes a terminal; test_terminal.py has one")
def push_input_into_a_terminal(target: Target) -> None:
    call("ioctl", 0, 0x5412, b"x")


@attack(no_control="takes a terminal; test_terminal.py has one")
def push_input_with_high_bits_set(target: Target) -> None:
    call("ioctl", 0, 0xDEAD00005412, b"x")


@attack()
def call_through_the_32_bit_entry(target: Target) -> None:
    """getpid by int 0x80: the numbers mean other calls there."""
    if not X86:
        raise Absent("int 0x80")
    if run_machine_code(bytes.fromhex("b814000000cd80c3")) <= 0:
        raise PermissionError("int 0x80")


@attack()
def call_by_an_x32_number(target: Target) -> None:
    try:
        call_number(0x40000000 + 39)
    except OSError as error:
        if error.errno == 38 and os.path.exists("/sys/kernel"):
            raise Absent("the x32 ABI") from error
        raise
