"""What can be asked of processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ProcessRequest:
    """Making a child process: `operation` is how, `detail` what the call named, for messages."""

    operation: Literal["fork", "exec", "spawn"]
    detail: str = ""
