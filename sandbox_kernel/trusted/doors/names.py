"""Granted host names and the synthetic addresses that stand for them inside the worker.

The worker never learns a real address of a granted name. Each name that it may look up gets one
IPv4 address of 198.18.0.0/15 (RFC 2544, benchmarking: never routed) and one IPv6 address of
2001:2::/48 (RFC 5180, the same purpose). `connect` to either means the name. The table lives as
long as the kernel, so that an address that a library keeps goes on meaning the same name.
"""

from __future__ import annotations

import ipaddress
import threading

from .sockaddr import IpAddress

IPV4_RANGE = ipaddress.IPv4Network("198.18.0.0/15")
IPV6_RANGE = ipaddress.IPv6Network("2001:2::/48")
MOST_NAMES = 65_000  # a wildcard grant lets the worker choose names: bound what it makes us keep
LONGEST_NAME = 253  # RFC 1035 2.3.4, in text form without the final dot


class TooManyNames(Exception):
    """The table is full; the name is answered as unknown."""


class BadName(ValueError):
    """Text that is no host name."""


def normal_name(text: str) -> str:
    """A host name in the form that grants are compared in: lower case, ASCII, no final dot.

    Raises BadName. International names are encoded by IDNA.
    """
    name = text.rstrip(".").lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise BadName(f"{text!r}: {error}") from None
    if not name or len(name) > LONGEST_NAME:
        raise BadName(f"{text!r}: empty or longer than {LONGEST_NAME} characters")
    for label in name.split("."):
        if not label or len(label) > 63 or not all(c.isalnum() or c in "-_" for c in label):
            raise BadName(f"{text!r}: not a host name")
    return name


class SyntheticNames:
    """The table. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number_of: dict[str, int] = {}
        self._name_of: dict[int, str] = {}

    def addresses(self, name: str) -> tuple[ipaddress.IPv4Address, ipaddress.IPv6Address]:
        """The two addresses of `name`, which is entered if it is new.

        Raises BadName, and TooManyNames when the table is full.
        """
        key = normal_name(name)
        with self._lock:
            number = self._number_of.get(key)
            if number is None:
                if len(self._number_of) >= MOST_NAMES:
                    raise TooManyNames(f"{MOST_NAMES} names are known already")
                number = len(self._number_of) + 1
                self._number_of[key] = number
                self._name_of[number] = key
        return IPV4_RANGE[number], IPV6_RANGE[number]

    def name(self, address: IpAddress) -> str | None:
        """The name that `address` stands for, or None for an address of another kind."""
        if isinstance(address, ipaddress.IPv4Address):
            number = int(address) - int(IPV4_RANGE.network_address)
        else:
            number = int(address) - int(IPV6_RANGE.network_address)
        with self._lock:
            return self._name_of.get(number)

    @staticmethod
    def is_synthetic(address: IpAddress) -> bool:
        """Whether `address` lies in the ranges, known or not."""
        if isinstance(address, ipaddress.IPv4Address):
            return address in IPV4_RANGE
        return address in IPV6_RANGE
