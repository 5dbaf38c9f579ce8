"""Pictures, sound and film in base64: are they what they say they are?

A MIME type is only the worker's word. The data is decoded far enough to see the format's own
first bytes; front ends put it into `data:` addresses, so that nothing but base64 may be in it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]*+={0,2}\Z")

SIGNATURES: Mapping[str, tuple[bytes, ...]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
    "image/bmp": (b"BM",),
}
"""First bytes of each picture format that is displayed."""


def refusal(mime: str, data: object) -> str | None:
    """Why `data` is not displayed as a picture of type `mime`; None when it is one."""
    if not isinstance(data, str):
        return f"its data is of type {type(data).__name__}, not base64 text"
    if _BASE64.match(data.rstrip()) is None:
        return "its data is not base64"
    start = "".join(data[:64].split())
    try:
        first = base64.b64decode(start[: len(start) // 4 * 4], validate=True)
    except binascii.Error:
        return "its data is not base64"
    if not first.startswith(SIGNATURES[mime]):
        return f"its first bytes are not those of {mime}"
    return None
