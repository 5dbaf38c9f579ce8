"""``${NAME}`` in the strings of a case.

Only the names that FORMAT.md gives are replaced; anything else that looks like one is left as it
is, because cells may use ``string.Template`` themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9_.-]+)\}")


def fill(value: Any, names: Mapping[str, str]) -> Any:
    """Return `value` with the placeholders in every string below it (and in keys) replaced."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: names.get(found[1], found[0]), value)
    if isinstance(value, Mapping):
        return {fill(key, names): fill(entry, names) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [fill(entry, names) for entry in value]
    return value


def kernel_names(ports: Sequence[int], connection_file: str) -> dict[str, str]:
    """Names that are known once a kernel runs."""
    return {
        "KERNEL.ports": json.dumps(list(ports)),
        "KERNEL.connection_file": connection_file,
    }
