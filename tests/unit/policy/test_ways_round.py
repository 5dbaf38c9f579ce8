"""Ways round a refused network or an inner address: translators, tunnels, spellings.

The control of each: without the line of [refuse] the same address is approved.
"""

from __future__ import annotations

import ipaddress

import pytest

from sandbox_kernel.policy.kinds.hosts import category, forms
from sandbox_kernel.trusted.capabilities.sockets.decide import decide, decide_address
from sandbox_kernel.trusted.capabilities.sockets.schema import AddressRequest, SocketRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved, Denied
from tests.unit.policy.samples import rights

GIVEN = '[[given.sockets]]\nconnect = "*:*"\nreason = "r"\n'
REFUSED = '[[refuse.sockets]]\nconnect = "93.184.216.0/24:*"\nreason = "r"\n'

#: The public address 93.184.216.34, as IPv6 has it.
WAYS = [
    "::ffff:93.184.216.34",
    "64:ff9b::5db8:d822",
    "64:ff9b:1::5db8:d822",
    "2002:5db8:d822::1",
    "::ffff:0:93.184.216.34",
    "::93.184.216.34",
    "2001:0:1:2:3:4:a247:27dd",
    "2606:2800::5efe:5db8:d822",
]


@pytest.mark.parametrize("address", ["93.184.216.34", *WAYS])
def test_a_refused_network_is_closed_by_every_way_there(address: str) -> None:
    for name in (None, "evil.test"):
        request = AddressRequest("connect", name, address, 443)
        answer = decide_address(request, rights(GIVEN + REFUSED))
        assert isinstance(answer, Denied)
        assert answer.code == "sockets.refused"
    answer = decide(SocketRequest("connect", address, 443), rights(GIVEN + REFUSED))
    assert isinstance(answer, Denied)
    # The control.
    request = AddressRequest("connect", "evil.test", address, 443)
    assert isinstance(decide_address(request, rights(GIVEN)), Approved)


def test_another_network_stays_open() -> None:
    for address in ("8.8.8.8", "64:ff9b::808:808", "2606:2800::1"):
        request = AddressRequest("connect", "fine.test", address, 443)
        assert isinstance(decide_address(request, rights(GIVEN + REFUSED)), Approved)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("::ffff:0:10.1.2.3", "private"),
        ("::ffff:0:127.0.0.1", "loopback"),
        ("::ffff:0:169.254.169.254", "metadata"),
        ("::ffff:0:8.8.8.8", "public"),
        ("3fff::1", "reserved"),
        ("5f00::1", "reserved"),
    ],
)
def test_inner_addresses_in_other_clothes(address: str, kind: str) -> None:
    assert (category(ipaddress.ip_address(address)) == "public") is (kind == "public")
    if kind in ("private", "loopback", "metadata"):
        assert category(ipaddress.ip_address(address)) == kind


def test_an_address_without_another_inside_has_one_form() -> None:
    for text in ("8.8.8.8", "2606:2800::1", "::1"):
        assert forms(ipaddress.ip_address(text)) == (ipaddress.ip_address(text),)
