"""Kernels of a batch, forked from a process that has imported what each of them needs.

Between the provisioner, which wants a process as `subprocess.Popen` gives one, and the template
(`trusted/template.py`). One template serves one thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox_kernel.trusted.template import MOST_BYTES

_templates: weakref.WeakKeyDictionary[Any, KernelTemplate] = weakref.WeakKeyDictionary()


def fork_from(manager: Any, template: KernelTemplate) -> None:
    """Have the kernel of this manager come from `template`."""
    _templates[manager] = template


def template_of(manager: Any) -> KernelTemplate | None:
    """The template that the kernel of `manager` comes from, if any."""
    return _templates.get(manager) if manager is not None else None


class TemplateGone(RuntimeError):
    """The template has ended, so no kernel comes from it any more."""


class KernelTemplate:
    """Starts the template's process; a context manager that ends it, and what came from it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MOST_BYTES)
        fd = theirs.fileno()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sandbox_kernel.trusted.template", str(fd)],
                pass_fds=[fd],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._link = ours
        #: Exit statuses of kernels that nobody has asked for yet.
        self._ended: dict[int, int] = {}

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        inputs: int,
    ) -> ForkedKernel:
        """Fork a kernel; `inputs` is the descriptor of its launch inputs. Raises TemplateGone."""
        order = {"arguments": [*arguments], "environment": {**environment}, "folder": folder}
        try:
            socket.send_fds(self._link, [json.dumps(order).encode()], [2, inputs])
            while (told := self._hear()) is None or "started" not in told:
                pass
        except OSError as error:
            raise TemplateGone(f"the process that kernels are forked from: {error}") from error
        return ForkedKernel(self, told["started"], told["pidfd"])

    def _hear(self) -> dict[str, Any] | None:
        data, fds, _, _ = socket.recv_fds(self._link, MOST_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise ConnectionResetError("it has ended")
        told: dict[str, Any] = json.loads(data)
        if fds:
            told["pidfd"] = fds[0]
        if "ended" in told:
            self._ended[told["ended"]] = told["status"]
        return told

    def status(self, pid: int) -> int | None:
        """The exit status of a kernel, once; None while it runs."""
        if self._link.fileno() < 0:
            return self._ended.pop(pid, -signal.SIGKILL)
        self._link.setblocking(False)
        try:
            while True:
                self._hear()
        except BlockingIOError:
            return self._ended.pop(pid, None)
        except OSError:
            return self._ended.pop(pid, -signal.SIGKILL)  # They end with the template.
        finally:
            self._link.setblocking(True)

    @property
    def alive(self) -> bool:
        """Whether kernels can still come from it."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the template, and with it every kernel that still runs."""
        self._link.close()
        self._process.wait()

    def __enter__(self) -> KernelTemplate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ForkedKernel:
    """A supervisor's process, as far as a provisioner looks at one (see `subprocess.Popen`)."""

    stdin = stdout = stderr = None

    def __init__(self, template: KernelTemplate, pid: int, pidfd: int) -> None:
        self._template = template
        self.pid = pid
        self._pidfd = pidfd
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._template.status(self.pid)
            if self.returncode is not None:
                os.close(self._pidfd)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("a forked kernel", timeout or 0)
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        """Signal it; nothing happens when it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)
