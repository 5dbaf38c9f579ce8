"""Tickets: issued, narrowed, verified, refused."""

from __future__ import annotations

import biscuit_auth
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_kernel.policy.model import Issuer
from sandbox_kernel.policy.tickets import (
    Ticket,
    TicketError,
    TicketRefused,
    issue,
    narrow,
    new_keys,
    read,
    verify,
)
from sandbox_kernel.trusted.capabilities.files.decide import decide
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved
from tests.unit.policy.samples import NOW, rights

PRIVATE, PUBLIC = new_keys()
OTHER_PRIVATE, OTHER_PUBLIC = new_keys()
TEACHER = (Issuer(key=PUBLIC, reason="the course's teacher", name="Teacher"),)
REQUEST = {"files": [{"path": "data", "mode": "append"}], "modules": ["scipy"]}
TOKEN = issue(PRIVATE, REQUEST, expires_at=NOW + 1000, notebook="case.ipynb")
POLICY = '[[ask.files]]\npath = "data"\nmode = "write"\nreason = "r"\n'


def check(token: str, now: float = NOW, notebook: str | None = "/x/case.ipynb") -> object:
    return verify(token, TEACHER, notebook=notebook, now=now)


def refusal(token: str, now: float = NOW, notebook: str | None = "/x/case.ipynb") -> str:
    found = check(token, now, notebook)
    assert isinstance(found, TicketRefused)
    assert found.why
    return found.code


def append(token: str, source: str) -> str:
    """A block that the product would never write, signed as any holder can."""
    held = biscuit_auth.Biscuit.from_base64(token, biscuit_auth.PublicKey(PUBLIC))
    return str(held.append(biscuit_auth.BlockBuilder(source)).to_base64())


def may(token: str, mode: str, path: str) -> bool:
    ticket = check(token)
    assert isinstance(ticket, Ticket)
    found = rights(POLICY, grants=(ticket.grant(NOW),))
    request = FileRequest(path, f"/home/ann/nb/{path}", mode, True)  # type: ignore[arg-type]
    return isinstance(decide(request, found), Approved)


def test_a_ticket_of_a_listed_issuer_counts_as_a_yes() -> None:
    ticket = check(TOKEN)

    assert isinstance(ticket, Ticket)
    assert ticket.issuer == "Teacher"
    assert ticket.expires_at == NOW + 1000
    assert may(TOKEN, "append", "data/x")
    assert not may(TOKEN, "write", "data/x")
    assert not may(TOKEN, "read", "other")


def test_a_ticket_stays_within_the_policy() -> None:
    wide = issue(PRIVATE, {"files": [{"path": "/", "mode": "write"}]}, expires_at=NOW + 1)

    assert may(wide, "write", "data/x")
    assert not may(wide, "read", "other")


def test_a_narrowed_ticket_allows_less_and_no_more() -> None:
    token = narrow(TOKEN, {"files": [{"path": "data/a", "mode": "read"}]}, expires_at=NOW + 10)

    assert may(token, "read", "data/a/x")
    assert not may(token, "append", "data/a/x")
    assert not may(token, "read", "data/b")
    assert refusal(token, NOW + 11) == "ticket.expired"
    ticket = check(narrow(token, {"files": []}))
    assert isinstance(ticket, Ticket)
    assert not any(
        right.kind == "files" for right in rights(POLICY, grants=(ticket.grant(NOW),)).rights
    )


@pytest.mark.parametrize(
    "request_",
    [
        {"files": [{"path": "other"}]},
        {"files": [{"path": "data", "mode": "write"}]},
        {"files": [{"path": "data/.."}]},
        {"sockets": ["a.test:1"]},
        {"modules": ["*"]},
        {"fils": []},
    ],
)
def test_nobody_narrows_to_more(request_: dict[str, object]) -> None:
    with pytest.raises(TicketError):
        narrow(TOKEN, request_)


def test_a_forged_a_changed_and_a_foreign_ticket_are_refused() -> None:
    foreign = issue(OTHER_PRIVATE, REQUEST, expires_at=NOW + 1000)
    middle = len(TOKEN) // 2
    changed = TOKEN[:middle] + ("A" if TOKEN[middle] != "A" else "B") + TOKEN[middle + 1 :]

    assert refusal(foreign) == "ticket.not_trusted"
    assert refusal(changed) in ("ticket.not_trusted", "ticket.malformed")
    assert isinstance(verify(TOKEN, (), notebook=None, now=NOW), TicketRefused)
    bad_key = (Issuer(key="ed25519/zz", reason="r"), *TEACHER)
    assert isinstance(verify(TOKEN, bad_key, notebook="case.ipynb", now=NOW), Ticket)


def test_an_expired_ticket_is_refused() -> None:
    assert refusal(TOKEN, NOW + 1001) == "ticket.expired"


@pytest.mark.parametrize("notebook", ["/x/other.ipynb", None, "/case.ipynb/x"])
def test_a_ticket_for_another_notebook_is_refused(notebook: str | None) -> None:
    assert refusal(TOKEN, notebook=notebook) == "ticket.other_notebook"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ('grant("eyJtb2R1bGVzIjpbIioiXX0=")', "ticket.widened"),
        ('narrow("eyJtb2R1bGVzIjpbIioiXX0=")', "ticket.widened"),
        ('narrow("eyJtb2R1bGVzIjpbXX0="); narrow("eyJtb2R1bGVzIjpbXX0=")', "ticket.unknown_block"),
        ('narrow("bm8=")', "ticket.malformed"),
        ('narrow("e30")', "ticket.malformed"),
        ("check if 1 == 1", "ticket.unknown_block"),
        ("check if time($time), $time <= 2100-01-01T00:00:00Z, 1 == 1", "ticket.unknown_block"),
        ("time(1970-01-01T00:00:00Z)", "ticket.unknown_block"),
        ('notebook("case.ipynb")', "ticket.unknown_block"),
    ],
)
def test_a_block_of_unknown_shape_is_refused(source: str, code: str) -> None:
    assert refusal(append(TOKEN, source)) == code


def test_a_lying_block_does_not_lengthen_a_ticket() -> None:
    token = append(TOKEN, "check if time($time), $time <= 2100-01-01T00:00:00Z")

    ticket = read(token)
    assert isinstance(ticket, Ticket)
    assert ticket.expires_at == NOW + 1000
    assert refusal(token, NOW + 1001) == "ticket.expired"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: raw.hex()))
def test_what_is_no_ticket_is_refused_without_an_exception(token: str) -> None:
    assert refusal(token) == "ticket.malformed"


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("AZaz09-_=!"))
def test_no_changed_character_passes(index: int, character: str) -> None:
    changed = TOKEN[:index] + character + TOKEN[index + 1 :]
    found = check(changed)

    # The last characters before the padding carry bits that mean nothing.
    assert isinstance(found, TicketRefused) or found == check(TOKEN)


def test_a_very_long_ticket_is_refused_unread() -> None:
    assert refusal("A" * 20_000) == "ticket.malformed"


@pytest.mark.parametrize(
    ("key", "request_"),
    [
        ("no key", REQUEST),
        (PUBLIC, REQUEST),
        (PRIVATE, {"filess": []}),
        (PRIVATE, {"policy": "open"}),
        (PRIVATE, {"tickets": ["x"]}),
    ],
    # The keys are new in each process, and names of tests must not be.
    ids=["no key", "public key", "unknown key", "policy", "tickets"],
)
def test_a_bad_key_or_request_is_not_signed(key: str, request_: dict[str, object]) -> None:
    with pytest.raises(TicketError):
        issue(key, request_, expires_at=NOW)


def test_a_notebook_name_cannot_carry_datalog() -> None:
    with pytest.raises(TicketError):
        issue(PRIVATE, REQUEST, expires_at=NOW, notebook='a" || true; allow if true; "')
