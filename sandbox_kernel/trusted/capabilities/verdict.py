"""The two answers of a decision.

`Approved` can be built by the `decide` modules alone, so that whoever holds one knows that the
checker said yes; `perform` takes nothing else.  `Denied` is a plain value that carries the whole
refusal: which exception the call would raise, the words, a stable code, and, where a person's yes
would help, exactly what to ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, NoReturn, TypeVar, final

from ...policy.model import RequestTable
from ...policy.problems import Origin
from ...policy.rights import Right

RequestT = TypeVar("RequestT")

_SEAL: Final = object()


@final
class Approved(Generic[RequestT]):
    """A request that the checker approved, with the right that covers it.

    `right` is None where no right is needed (modules under `language = "full"`).  Immutable, and
    equal only to itself.
    """

    __slots__ = ("request", "right")

    request: RequestT
    right: Right | None

    def __init__(self, seal: object, request: RequestT, right: Right | None) -> None:
        if seal is not _SEAL:
            raise TypeError("only decide() approves")
        object.__setattr__(self, "request", request)
        object.__setattr__(self, "right", right)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("an approval does not change")

    def __reduce__(self) -> Any:
        raise TypeError("an approval is not copied or stored")

    def __repr__(self) -> str:
        return f"Approved({self.request!r})"


def approve(request: RequestT, right: Right | None) -> Approved[RequestT]:
    """Approve. For the `decide` modules alone; tests/conformance holds them to it."""
    return Approved(_SEAL, request, right)


@dataclass(frozen=True)
class Denied:
    """A refusal.

    `code` is stable (`files.not_granted`); `kind`, `action` and `resource` say what was refused,
    `rule` and `origin` by what, `remedy` what would allow it.  `exception` names the exception
    that the cell's call raises.  `ask` is exactly what a person may be asked for, None where no
    answer would help.  `real` is the path, resolved, that a yes would cover; empty where there is
    none.  `text` is the whole for people.
    """

    code: str
    kind: str
    action: str
    resource: str
    rule: str
    origin: Origin
    remedy: str
    exception: str = "PermissionError"
    ask: RequestTable | None = None
    real: str = ""

    @property
    def askable(self) -> bool:
        """Whether a person's yes would grant it."""
        return self.ask is not None

    @property
    def text(self) -> str:
        """One message: what, by which rule of which file, and what would be right."""
        return f"{self.resource}: {self.action} {self.rule}. {self.remedy}".rstrip()
