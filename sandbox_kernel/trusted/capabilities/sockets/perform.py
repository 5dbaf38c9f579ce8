"""Connect to, listen on or aim at what was approved: one address, exactly that one.

A name is never performed on: where it leads has to be decided first (`decide_address`), and the
address that was decided on is the one that is used.
"""

from __future__ import annotations

import ipaddress
import socket

from ..verdict import Approved
from .schema import AddressRequest, SocketRequest


def perform(approved: Approved[AddressRequest] | Approved[SocketRequest]) -> socket.socket:
    """A new, non-blocking socket for the approved use of the approved address.

    For `connect` the connection may still be under way (connect(2), EINPROGRESS): wait until it
    is writable and look at SO_ERROR. Raises TypeError for anything but an approval of an address
    or of a listener, OSError when the system refuses.
    """
    if not isinstance(approved, Approved):
        raise TypeError("only what decide() approved is performed")
    request = approved.request
    if isinstance(request, AddressRequest):
        use, host = request.use, request.address
    elif isinstance(request, SocketRequest) and request.use == "listen":
        use, host = "listen", request.host
    else:
        raise TypeError("a name is not performed on: decide on the address that it leads to")
    address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    kind = socket.SOCK_DGRAM if use == "udp" else socket.SOCK_STREAM
    made = socket.socket(family, kind)
    try:
        made.setblocking(False)
        if use == "listen":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((str(address), request.port))
            made.listen()
        else:
            try:
                made.connect((str(address), request.port))
            except BlockingIOError:
                return made
    except BaseException:
        made.close()
        raise
    return made
