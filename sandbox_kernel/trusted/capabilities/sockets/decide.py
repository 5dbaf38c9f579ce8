"""May a cell use this host and port, look up this name, reach this address?

Names and addresses are decided apart, because a name says nothing of where it leads:

1. `decide` answers for what the program named.  A name needs a line that covers it.
2. The trusted side resolves the name, and `decide_address` answers for each address.  A grant by
   name covers public addresses only; a loopback, link-local or private one needs a line of its
   own, or `private = true`; one of a cloud's metadata services always a line of its own.
3. The kernel's own ports stay closed under any grant.
"""

from __future__ import annotations

from dataclasses import replace

from ....policy.kinds import hosts, sockets
from ....policy.model import RequestedSocket, RequestTable
from ....policy.problems import Origin
from ....policy.rights import Right, Rights
from .. import wording
from ..verdict import Approved, Denied, approve
from .schema import AddressRequest, NameRequest, SocketRequest

_WHAT: dict[str, str] = {
    "loopback": "an address of this machine",
    "private": "a private address",
    "link-local": "a link-local address",
    "shared": "an address of the provider's network",
    "multicast": "a multicast address",
    "metadata": "a cloud's metadata service",
    "reserved": "a reserved address",
}


def decide(
    request: SocketRequest, rights: Rights
) -> Approved[SocketRequest] | Approved[AddressRequest] | Denied:
    """Decide on what the program named.

    An address is decided at once, as by `decide_address`; the approval of a name still needs
    `decide_address` for each address that it leads to.
    """
    try:
        host = hosts.parse_host(request.host)
    except hosts.HostError as error:
        return _bad_host(request.use, request.shown, str(error), rights)
    if request.use == "listen":
        return _listen(request, host, rights)
    if not isinstance(host, str):
        return decide_address(AddressRequest(request.use, None, str(host), request.port), rights)
    refusal = _refused_name(request.use, host, request.port, request.shown, rights)
    if refusal is not None:
        return refusal
    for right in rights.of("sockets"):
        entry = _entry(right, request.use, request.port)
        if entry is not None and _names(entry.host, host):
            return approve(request, right)
    pattern = hosts.HostPattern("name", host)
    return _not_granted(request.use, pattern, request.port, request.shown, rights)


def decide_name(request: NameRequest, rights: Rights) -> Approved[NameRequest] | Denied:
    """Decide on looking a name up: allowed where some port of it is."""
    try:
        host = hosts.parse_host(request.name)
    except hosts.HostError as error:
        return _bad_host("resolve", request.name, str(error), rights)
    for right in rights.of("sockets"):
        entry = right.entry
        if not isinstance(entry, sockets.SocketEntry) or entry.use == "listen":
            continue
        if not isinstance(host, str) or _names(entry.host, host):
            return approve(request, right)
    if not isinstance(host, str):
        return approve(request, None)
    pattern = hosts.HostPattern("name", host)
    found = _not_granted("connect", pattern, request.port or 443, request.name, rights)
    # Without a port there is nothing exact that a person could say yes to.
    return replace(found, ask=found.ask if request.port else None)


def decide_address(request: AddressRequest, rights: Rights) -> Approved[AddressRequest] | Denied:
    """Decide on one address; the address that is approved is the one to connect to."""
    try:
        address = hosts.parse_address(request.address)
    except hosts.HostError as error:
        return _bad_host(request.use, request.shown, str(error), rights)
    kind = hosts.category(address)
    if request.port in rights.places.closed_ports and kind != "public":
        origin = Origin(rights.policy_file)
        why = "the kernel's own ports are closed to cells"
        return wording.closed(
            "sockets",
            "sockets.kernel_port",
            request.use,
            request.shown,
            why,
            origin,
            "PermissionError",
        )
    refusal = _refused_address(request, address, rights)
    if refusal is not None:
        return refusal
    named: Right | None = None
    for right in rights.of("sockets"):
        entry = _entry(right, request.use, request.port)
        if entry is None:
            continue
        if entry.host.covers_address(address):
            return approve(request, right)
        if _names(entry.host, request.name) and sockets.reachable_by_name(kind, entry.private):
            return approve(request, right)
        if _names(entry.host, request.name):
            named = right
    if named is not None and kind != "public":
        return _special(request, kind, named)
    pattern = hosts.parse_host_pattern(str(address))
    return _not_granted(request.use, pattern, request.port, request.shown, rights)


def _entry(right: Right, use: str, port: int) -> sockets.SocketEntry | None:
    """The right's entry where it is for this use and port."""
    entry = right.entry
    if isinstance(entry, sockets.SocketEntry) and entry.use == use and port in entry.ports:
        return entry
    return None


def _names(pattern: hosts.HostPattern, name: str | None) -> bool:
    """Whether a line covers what the program named; None: the program named an address."""
    if name is None:
        return pattern == hosts.ANY_HOST
    if name == hosts.LOCALHOST.text and pattern.kind == "network":
        return any(pattern.covers_address(n.network_address) for n in hosts.LOCALHOST.networks)
    return pattern.covers_name(name)


def _listen(
    request: SocketRequest, host: hosts.Address | str, rights: Rights
) -> Approved[SocketRequest] | Denied:
    if host == hosts.LOCALHOST.text:
        host = hosts.parse_address("127.0.0.1")
    if request.port in rights.places.closed_ports:
        return wording.closed(
            "sockets",
            "sockets.kernel_port",
            "listen",
            request.shown,
            "the kernel's own ports are closed to cells",
            Origin(rights.policy_file),
            "PermissionError",
        )
    if not isinstance(host, str):
        refused = _refused_address(
            AddressRequest("listen", None, str(host), request.port), host, rights
        )
        if refused is not None:
            return refused
        # Port 0 is whichever the host has free: a line must cover them all.
        lowest, highest = (1, 65535) if request.port == 0 else (request.port, request.port)
        for right in rights.of("sockets"):
            entry = _entry(right, "listen", lowest) and _entry(right, "listen", highest)
            if entry and (entry.host == hosts.ANY_HOST or entry.host.covers_address(host)):
                return approve(request, right)
    pattern = hosts.parse_host_pattern(str(host))
    return _not_granted("listen", pattern, request.port, request.shown, rights)


def _refused_name(use: str, name: str, port: int, shown: str, rights: Rights) -> Denied | None:
    for refusal in rights.refusals:
        entry = refusal.entry
        if (
            isinstance(entry, sockets.SocketEntry)
            and (entry.use, port in entry.ports) == (use, True)
            and _names(entry.host, name)
        ):
            why = f"[refuse] {entry.endpoint}"
            return wording.closed(
                "sockets", "sockets.refused", use, shown, why, refusal.origin, "PermissionError"
            )
    return None


def _refused_address(
    request: AddressRequest, address: hosts.Address, rights: Rights
) -> Denied | None:
    for refusal in rights.refusals:
        entry = refusal.entry
        if not isinstance(entry, sockets.SocketEntry) or entry.use != request.use:
            continue
        if request.port in entry.ports and (
            entry.host == hosts.ANY_HOST
            or any(entry.host.covers_address(form) for form in hosts.forms(address))
            or (request.name is not None and _names(entry.host, request.name))
        ):
            return wording.closed(
                "sockets",
                "sockets.refused",
                request.use,
                request.shown,
                f"[refuse] {entry.endpoint}",
                refusal.origin,
                "PermissionError",
            )
    return None


def _not_granted(
    use: sockets.Use, host: hosts.HostPattern, port: int, shown: str, rights: Rights
) -> Denied:
    # Port 0, "any free one", cannot stand in a line: the remedy shows the whole range.
    ports = hosts.Ports(port, port) if port else hosts.Ports(1, 65535)
    entry = sockets.SocketEntry(use, host, ports)
    endpoint = entry.endpoint
    asked = RequestTable(
        sockets=(
            RequestedSocket(
                connect=endpoint if use == "connect" else None,
                listen=endpoint if use == "listen" else None,
                udp=endpoint if use == "udp" else None,
            ),
        )
    )
    return wording.not_granted(
        rights,
        entry,
        code="sockets.not_granted",
        action=use,
        resource=shown,
        request=asked,
        covers=[rule for rule in wording.covering(rights, entry) if port],
    )


def _special(request: AddressRequest, kind: str, named: Right) -> Denied:
    """The refusal of an address that a granted name leads to."""
    line = hosts.parse_host_pattern(request.address)
    remedy = f'That address needs a line of its own: {request.use} = "{line}:{request.port}"'
    if sockets.reachable_by_name(kind, True):
        remedy += ", or private = true in the line of the name"
    place = named.origin.place
    why = f"the name is, by policy {place}, but it leads to {_WHAT[kind]}, which no name covers"
    if request.name is None:
        why = f"policy {place} covers public addresses, and this is {_WHAT[kind]}"
    return Denied(
        code="sockets.address",
        kind="sockets",
        action=request.use,
        resource=wording.visible(request.shown),
        rule=f"not granted ({why})",
        origin=named.origin,
        remedy=remedy + ".",
    )


def _bad_host(action: str, shown: str, error: str, rights: Rights) -> Denied:
    return Denied(
        code="sockets.bad_host",
        kind="sockets",
        action=action,
        resource=wording.visible(shown),
        rule=f"not granted (policy {rights.policy_file}: {wording.visible(error)})",
        origin=Origin(rights.policy_file),
        remedy="Write a host name or an address.",
    )
