"""`usage_reply`: what jupyter-resource-usage's kernel view shows, for the worker.

Content as of ipykernel's `Kernel.usage_request` (ipykernel 6.11 and later).
"""

from __future__ import annotations

import os
import socket
from typing import Any

import psutil

from .sampling import Sample


class UsageReply:
    """Remembers the last sample, because a percentage needs two."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def content(self, sample: Sample, worker: int) -> dict[str, Any]:
        """The reply; `sample` was taken now, `worker` is the worker's process id.

        `kernel_cpu` is in percent of one processor since the last reply, `kernel_memory` in bytes.
        """
        before, self._before = self._before, (sample.clock, sample.cpu)
        percent = 0.0
        if before is not None and sample.clock > before[0]:
            percent = max(sample.cpu - before[1], 0.0) / (sample.clock - before[0]) * 100
        measured = {"kernel_cpu": percent, "kernel_memory": sample.memory}
        return {**self.unknown(worker), **measured}

    def unknown(self, worker: int) -> dict[str, Any]:
        """What can be said without a sample."""
        content: dict[str, Any] = {
            "hostname": socket.gethostname(),
            "pid": worker,
            "cpu_count": len(os.sched_getaffinity(0)),
            "host_virtual_memory": dict(psutil.virtual_memory()._asdict()),
        }
        host = psutil.cpu_percent()
        if host:
            content["host_cpu_percent"] = host
        return content
