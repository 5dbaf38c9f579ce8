"""Addresses that may stand in displayed HTML.

A link may lead out, because a person has to follow it. Whatever a browser loads by itself must
be in the document already: a remote picture would carry data past the worker's empty network,
with the person's address and cookies added.
"""

from __future__ import annotations

import re

_LINK = re.compile(r"(?:https?://|mailto:)[^\s\\<>\"'`]{1,4000}\Z", re.IGNORECASE)
_MEDIA = {
    "img": re.compile(
        r"data:image/(?:png|jpe?g|gif|webp|bmp|svg\+xml);base64,[A-Za-z0-9+/=\s]*\Z", re.IGNORECASE
    ),
    "audio": re.compile(r"data:audio/[a-z0-9.+-]{1,40};base64,[A-Za-z0-9+/=\s]*\Z", re.IGNORECASE),
    "video": re.compile(r"data:video/[a-z0-9.+-]{1,40};base64,[A-Za-z0-9+/=\s]*\Z", re.IGNORECASE),
    "source": re.compile(
        r"data:(?:audio|video)/[a-z0-9.+-]{1,40};base64,[A-Za-z0-9+/=\s]*\Z", re.IGNORECASE
    ),
}
_FRAGMENT = re.compile(r"#[^\s\\<>\"'`]{1,200}\Z")


def link(address: str) -> str | None:
    """The address when a link may lead there (http, https, mailto), else None."""
    address = address.strip()
    return address if _LINK.match(address) else None


def fragment(address: str) -> str | None:
    """The name after `#` when the address is a place in the same document, else None."""
    address = address.strip()
    return address[1:] if _FRAGMENT.match(address) else None


def embedded(element: str, address: str) -> str | None:
    """The address when `element` may load it, which means that it is data itself; else None."""
    address = address.strip()
    pattern = _MEDIA.get(element)
    return address if pattern is not None and pattern.match(address) else None
