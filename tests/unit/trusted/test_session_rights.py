"""The rights of one kernel over time: said yes to, narrowed, taken back."""

from __future__ import annotations

import pytest

from sandbox_kernel.policy import Origin, Request, parse_request
from sandbox_kernel.trusted.capabilities.files.decide import decide
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved, Denied
from sandbox_kernel.trusted.policy_files import PolicyFiles
from sandbox_kernel.trusted.session_rights import NoSuchGrant, SessionRights
from tests.unit.policy.samples import NOTEBOOK, NOW, asking, policy

POLICY = """
[[given.files]]
path = "."
mode = "read"
reason = "r"
[[ask.files]]
path = "../inputs"
mode = "write"
reason = "r"
[on_request]
modules = ["torch"]
"""


@pytest.fixture
def session() -> SessionRights:
    files = PolicyFiles(policy(POLICY), None, ())
    return SessionRights(files, NOTEBOOK, asking({"modules": ["torch"]}), lambda: NOW)


def request(words: object) -> Request:
    return parse_request(words, Origin("client"))


def answer(session: SessionRights, path: str, mode: str = "read") -> Approved[object] | Denied:
    found = decide(FileRequest(path, path, mode, True), session.rights)  # type: ignore[arg-type]
    return found  # type: ignore[return-value]


def may(session: SessionRights, path: str, mode: str = "read") -> bool:
    return isinstance(answer(session, path, mode), Approved)


def test_a_grant_holds_until_it_is_revoked_by_its_words(session: SessionRights) -> None:
    words = {"files": [{"path": "../inputs", "mode": "append"}]}
    grant = session.new_grant(request(words), "client")
    session.add(grant)
    assert may(session, "/home/ann/inputs/a", "append")

    assert session.remove_by_words(request(words)) == [grant.id]

    refusal = answer(session, "/home/ann/inputs/a")
    assert isinstance(refusal, Denied)
    assert refusal.askable


def test_a_part_of_a_given_right_is_taken_back(session: SessionRights) -> None:
    taken = session.remove_by_words(request({"files": ["data/private"]}))

    assert taken == ["files {'path': 'data/private', 'mode': 'read'}"]
    assert may(session, "/home/ann/nb/data/x")
    refusal = answer(session, "/home/ann/nb/data/private/x")
    assert isinstance(refusal, Denied)
    assert "revoked in this session" in refusal.text


def test_what_metadata_turned_on_is_taken_back(session: SessionRights) -> None:
    assert session.rights.modules == {"torch"}

    session.remove_by_words(request({"modules": ["torch"]}))

    assert not session.rights.modules


def test_a_new_yes_lifts_what_was_taken_back(session: SessionRights) -> None:
    session.remove_by_words(request({"modules": ["torch"]}))

    grant = session.new_grant(request({"modules": ["torch"]}), "person")
    would = session.would(grant)
    assert would.modules == {"torch"}
    assert not session.rights.modules
    session.add(grant, would)

    assert session.rights == would


def test_what_nobody_has_cannot_be_taken_back(session: SessionRights) -> None:
    with pytest.raises(NoSuchGrant):
        session.remove_by_words(request({"sockets": ["a.test:443"]}))
    with pytest.raises(NoSuchGrant):
        session.remove(["grant-7"])


def test_a_grant_for_one_cell_ends_with_it(session: SessionRights) -> None:
    session.add(session.new_grant(request({"files": ["../inputs/a"]}), "person", "cell"))
    assert may(session, "/home/ann/inputs/a")

    session.end_cell()

    assert not may(session, "/home/ann/inputs/a")


ENDING = """
[[given.files]]
path = "."
mode = "read"
expires = "10 s"
reason = "r"
[[on_request.files]]
path = "../wished"
mode = "read"
expires = "30 s"
reason = "r"
[[ask.files]]
path = "../inputs"
mode = "read"
expires = "10 s"
reason = "r"
"""


def test_a_right_that_lasts_for_a_time_ends_however_often_it_is_looked_at() -> None:
    """A line's time runs from when it gives something: a yes, a wish, the beginning."""
    now = [NOW]
    wishes = asking({"files": [{"path": "../wished", "expires": "20 s"}]})
    files = PolicyFiles(policy(ENDING), None, ())
    session = SessionRights(files, NOTEBOOK, wishes, lambda: now[0])
    ended: dict[str, float] = {}
    for second in range(60):
        now[0] = NOW + second
        if second == 25:
            session.add(session.new_grant(request({"files": ["../inputs"]}), "client"))
        if second % 3 == 0:
            session.look_again()
            session.for_cell({})
            session.move(NOTEBOOK)  # All is resolved anew.
        for name in ("nb", "wished", "inputs"):
            if may(session, f"/home/ann/{name}/x"):
                ended[name] = second + 1
    assert ended == {"nb": 10, "wished": 20, "inputs": 35}


def test_wishes_that_are_saved_later_last_from_then() -> None:
    now = [NOW]
    files = PolicyFiles(policy(ENDING), None, ())
    session = SessionRights(files, NOTEBOOK, asking(None), lambda: now[0])
    now[0] = NOW + 100
    assert session.set_request({"files": ["../wished"]})
    assert session.rights.next_expiry == NOW + 130
    assert not session.set_request({"files": ["../wished"]})
    now[0] = NOW + 131
    assert not may(session, "/home/ann/wished/x")


def test_a_cells_own_time_runs_from_its_beginning(session: SessionRights) -> None:
    wanted = {"files": [{"path": "data", "expires": "5 s"}]}
    for since in (NOW, NOW - 4):
        cell = session.for_cell(wanted, since)
        assert cell.next_expiry == since + 5
    assert not session.for_cell(wanted, NOW - 5).of("files")
