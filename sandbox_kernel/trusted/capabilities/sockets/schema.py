"""What can be asked of sockets."""

from __future__ import annotations

from dataclasses import dataclass

from ....policy.kinds.sockets import Use


@dataclass(frozen=True)
class SocketRequest:
    """One use of a host and port.

    `host` is as the program spelled it: a name or an address in any form.  For `listen` it is
    the address to bind to and `port` 0 asks for any free one.
    """

    use: Use
    host: str
    port: int

    @property
    def shown(self) -> str:
        """`host:port` for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class NameRequest:
    """A look-up of the addresses of a name, before any connection.

    `port` is the one that the program means to use, where it says so (`getaddrinfo`).
    """

    name: str
    port: int | None = None


@dataclass(frozen=True)
class AddressRequest:
    """The address that a granted name, or the program itself, leads to.

    `name` is the granted name that resolved to `address`, None where the program named the
    address itself.
    """

    use: Use
    name: str | None
    address: str
    port: int

    @property
    def shown(self) -> str:
        """`host:port` for messages; the name comes first where there is one."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        if self.name is None:
            return f"{address}:{self.port}"
        return f"{self.name}:{self.port} ({self.address})"
