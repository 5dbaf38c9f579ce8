"""Numbers for people and their tools: `status` and `usage` events, and `usage_reply`.

The last is what jupyter-resource-usage's kernel view asks for; its content is that of ipykernel's
`Kernel.usage_request` (ipykernel 6.11 and later), for the worker.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil

from ...policy.rights import Limit
from .kind import Reaction
from .sampling import Sample
from .table import LIMITS
from .verdict import used


def numbers(
    limits: Mapping[str, Limit], last: Sample | None, begin: Sample | None, peak_memory: int
) -> dict[str, Any]:
    """Use and limits in seconds, bytes and pieces; `used` is that of the running cell. Pure."""
    body: dict[str, Any] = {"peak_memory": peak_memory, "limits": {}}
    if last is not None:
        body |= {"cpu": last.cpu, "memory": last.memory, "copy": last.copy}
    for kind in LIMITS:
        limit = limits.get(kind.name)
        row: dict[str, Any] = {"refuses": kind.reaction is Reaction.REFUSE}
        if last is not None:
            row["used"] = round(used(kind, last, begin if begin is not None else last), 6)
        if limit is not None:
            row |= {
                "allowed": limit.value,
                "text": str(limit.amount),
                "most": None if math.isinf(limit.most.value) else limit.most.value,
                "set_by": limit.origin.place,
            }
        body["limits"][kind.name] = row
    return body


def together(limits: Mapping[str, Limit], sample: Sample) -> dict[str, dict[str, Any]]:
    """What all kernels of the person use and may use, by the names of limits. Pure."""
    own = {"kernels": 1, "memory": sample.memory, "threads": sample.threads}
    own["processes"] = sample.children
    rows: dict[str, dict[str, Any]] = {}
    for name, limit in limits.items():
        rows[name] = {
            "allowed": limit.value,
            "text": str(limit.amount),
            "set_by": limit.origin.place,
        }
        if name in own:
            rows[name]["used"] = own[name] + sample.others.get(name, 0.0)
    return rows


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
