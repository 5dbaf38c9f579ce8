"""What can be asked of the environment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EnvironmentRequest:
    """Seeing one variable of the server's environment."""

    name: str
