"""What a notebook file asks for: its `metadata.sandbox`, read at the start and after each save."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from ..policy import Origin, Problem
from .session_rights import NOTEBOOK

#: A notebook file of more bytes is not read for its wishes.
_MOST_NOTEBOOK = 64 << 20


def notebook_metadata(path: str) -> tuple[Any, list[Problem]]:
    """`metadata.sandbox` of a notebook file, and why it could not be read, if so."""
    try:
        if os.path.getsize(path) > _MOST_NOTEBOOK:
            raise ValueError(f"it has more than {_MOST_NOTEBOOK} bytes")
        document = msgspec.json.decode(Path(path).read_bytes(), type=_Notebook)
    except FileNotFoundError:
        return None, []  # Not saved yet.
    except (OSError, ValueError, RecursionError) as error:
        text = f"the notebook's wishes could not be read from {path}: {error}"
        return None, [Problem("request.unreadable", text, Origin(NOTEBOOK))]
    return document.metadata.get("sandbox"), []


class _Notebook(msgspec.Struct):
    metadata: dict[str, Any] = {}
