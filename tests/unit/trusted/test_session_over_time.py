"""What a session says after any sequence of changes is what a fresh look at everything says."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox_kernel.policy import Origin, Places, Request, Rights, parse_request, resolve
from sandbox_kernel.shared.errors import Denied
from sandbox_kernel.trusted.capabilities.files.decide import decide
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved
from sandbox_kernel.trusted.policy_files import PolicyFiles
from sandbox_kernel.trusted.real_path import one_moment, real_path
from sandbox_kernel.trusted.session_rights import SessionRights
from tests.unit.policy.samples import policy

POLICY = """
[[given.files]]
path = "data"
mode = "read"
deny = ["data/secret", "data/link"]
reason = "r"
[[on_request.files]]
path = "work"
mode = "write"
deny = ["work/*.key"]
reason = "r"
[[ask.files]]
path = "."
mode = "read"
deny = ["current/closed"]
reason = "r"
[[ask.files]]
path = "../outside"
mode = "write"
reason = "r"
[[ask.files]]
path = "*/shared"
mode = "create"
reason = "r"
[[ask.sockets]]
connect = "*.example.org:443"
reason = "r"
[on_request]
modules = ["torch"]
[[refuse.files]]
path = "current/refused"
mode = "read"
reason = "r"
[[refuse.files]]
path = "work/kept"
mode = "write"
reason = "r"
"""
FOLDERS = ("data/secret", "data/part", "work/shared", "v1/closed", "v1/shared", "v2/closed")
LINKS = ("current", "link", "data/link", "work/link")
TARGETS = ("v1", "v2", "data", "work", "../outside", "missing", "data/secret")
PATHS = (
    *("data", "data/part", "data/secret", "work", "work/shared", "v1", "current", "link/shared"),
    *("current/closed", "current/refused", "link", "data/link", "work/link", "../outside", "."),
    *("*/shared", "v*", "none", "work/*.key", "work/kept"),
)
DENYING = """
[[given.files]]
path = "."
mode = "read"
deny = ["current/secret"]
reason = "r"
"""


def asked(words: object) -> Request:
    return parse_request(words, Origin("client"))


def words(r: random.Random) -> dict[str, object]:
    """A request that is well-formed."""
    found: dict[str, object] = {}
    lines = []
    for _ in range(r.randint(0, 2)):
        mode = r.choice(["read", "create", "append", "write"])
        line: dict[str, object] = {"path": r.choice(PATHS), "mode": mode}
        if mode != "read" and r.random() < 0.3:
            line["max_bytes"] = r.choice(["1 kB", "5 MB"])
        if r.random() < 0.2:
            line["expires"] = r.choice(["5 s", "30 s"])
        lines.append(line)
    if lines:
        found["files"] = lines
    if r.random() < 0.3:
        found["sockets"] = [{"connect": r.choice(["a.example.org:443", "b.example.org:443"])}]
    if r.random() < 0.2 or not found:
        found["modules"] = ["torch"]
    return found if asked(found).table is not None else words(r)


def _grant(session: SessionRights, r: random.Random) -> None:
    grant = session.new_grant(asked(words(r)), "client", r.choice(["session", "cell"]))
    would = session.would(grant)
    if r.random() < 0.7:  # Else it is refused.
        session.add(grant, would)


def _remove(session: SessionRights, r: random.Random) -> None:
    session.remove(r.sample(sorted(session.grants), min(1, len(session.grants))))


def _narrow(session: SessionRights, r: random.Random) -> None:
    for identity in list(session.grants)[:1]:
        session.narrow(identity, asked(words(r)))


OPERATIONS: dict[str, Callable[[SessionRights, random.Random], object]] = {
    "grant": _grant,
    "remove": _remove,
    "revoke": lambda session, r: session.remove_by_words(asked(words(r))),
    "narrow": _narrow,
    "save": lambda session, r: session.set_request(words(r)),
    "a cell": lambda session, r: session.for_cell(words(r)),
    "end": lambda session, r: session.end_cell(),
    "limits": lambda session, r: session.change_limits({"memory": r.choice(["1 MB", "2 MB"])}),
    "written": lambda session, r: session.move(
        replace(session.places, once_writable=(f"{session.places.folder}/work",))
    ),
    "nothing": lambda session, r: session.rights,
}


def told(rights: Rights) -> dict[str, object]:
    """All of it but where it was looked up, and when."""
    facts = {n: v for n, v in vars(rights).items() if n not in ("places", "now", "limits")}
    return {**facts, "limits": dict(rights.limits)}


def fresh(session: SessionRights, now: float) -> Rights:
    return resolve(
        session.policies.chosen,
        session.places,
        now=now,
        request=session.request,
        grants=tuple(session.grants.values()),
        revoked=session._revoked,
        began=1000.0,
    )


def swap(link: Path, target: Path) -> None:
    other = link.with_name("new-link")
    other.symlink_to(target)
    os.rename(other, link)


@pytest.mark.parametrize("swaps", [False, True], ids=["links-stay", "links-move"])
@pytest.mark.parametrize("seed", range(30))
def test_it_is_what_a_fresh_look_says(tmp_path: Path, seed: int, swaps: bool) -> None:
    r = random.Random(seed)
    nb, now = tmp_path / "nb", [1000.0]
    for name in (*FOLDERS, "../outside"):
        (nb / name).mkdir(parents=True, exist_ok=True)
    for name in LINKS:
        (nb / name).symlink_to(nb / "v1")
    places = Places(str(nb), str(nb / "a.ipynb"), str(tmp_path), canonical=real_path)
    files = PolicyFiles(policy(POLICY), None, ())
    session = SessionRights(files, places, asked({}), lambda: now[0])
    log: list[str] = []
    for _ in range(30):
        name = r.choice(list(OPERATIONS))
        log.append(name)
        if swaps and r.random() < 0.3:
            swap(nb / r.choice(LINKS), nb / r.choice(TARGETS))
        try:
            OPERATIONS[name](session, r)
        except Denied as refused:
            log.append(str(refused))
        now[0] += r.choice([0, 1, 6, 40])
        if swaps:
            session.look_again()
        mine, other = told(session.rights), told(fresh(session, now[0]))
        mine.pop("limits"), other.pop("limits")  # They are changed live here.
        assert mine == other, log
        for kind in ("files", "sockets", "modules"):
            of = tuple(right for right in session.rights.rights if right.kind == kind)
            assert session.rights.of(kind) == of


def _refused_grant(session: SessionRights) -> None:
    session.would(session.new_grant(asked({"files": ["/etc/shadow"]}), "client"))


@pytest.mark.parametrize(
    "meanwhile",
    [lambda session: None, _refused_grant, lambda session: session.for_cell({"files": ["v1"]})],
    ids=["nothing", "a refused grant", "a cell's metadata"],
)
def test_a_deny_follows_its_link_by_the_next_cell(
    tmp_path: Path, meanwhile: Callable[[SessionRights], object]
) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version / "secret").mkdir(parents=True)
    link = tmp_path / "current"
    link.symlink_to("v1")
    places = Places(str(tmp_path), None, str(tmp_path.parent), canonical=real_path)
    files = PolicyFiles(policy(DENYING), None, ())
    session = SessionRights(files, places, asked({}), lambda: 1000.0)

    def closed() -> list[str]:
        return [
            name
            for name in ("v1", "v2")
            if not isinstance(
                decide(
                    FileRequest(path := str(tmp_path / name / "secret"), path, "read", True),
                    session.rights,
                ),
                Approved,
            )
        ]

    assert closed() == ["v1"]
    swap(link, tmp_path / "v2")
    meanwhile(session)
    with one_moment():
        session.look_again()
    assert closed() == ["v2"]


def test_the_folder_of_the_notebook_follows_its_link_by_the_next_cell(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    places = Places(str(link), None, str(tmp_path.parent), canonical=real_path)
    files = PolicyFiles(policy(DENYING), None, ())
    session = SessionRights(files, places, asked({}), lambda: 1000.0)
    assert session.rights.places.folder == str(tmp_path / "one")
    swap(link, tmp_path / "two")
    session.look_again()
    assert session.rights.places.folder == str(tmp_path / "two")
