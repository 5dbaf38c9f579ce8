"""Lines that are kept from one change of rights to the next, and are as if found anew."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from sandbox_kernel.policy import resolve
from sandbox_kernel.policy.known_lines import KnownLines, telling
from sandbox_kernel.policy.request import Request
from sandbox_kernel.policy.resolve import Grant
from sandbox_kernel.policy.rules import settle
from tests.unit.policy.samples import NOTEBOOK, NOW, asking, policy

FILES = """
[[given.files]]
path = "data"
mode = "read"
deny = ["data/secret"]
reason = "why"
[[on_request.files]]
path = "work"
mode = "write"
reason = "why"
{more}
[[refuse.files]]
path = "data/old"
mode = "read"
reason = "why"
"""
LINKS = [
    {},
    {"/home/ann/nb/data": "/srv/data"},
    {"/home/ann/nb/data/secret": "/home/ann/nb/work"},
    {"/home/ann/nb/work": "/etc", "/home/ann/nb/data/old": "/srv"},
]
ASKING = asking({"files": ["work"]})


@pytest.mark.parametrize("order", list(permutations(LINKS, 3)))
def test_a_path_that_leads_elsewhere_is_followed(order: tuple[dict[str, str], ...]) -> None:
    known, chosen = KnownLines(), policy(FILES.format(more=""))
    now: dict[str, str] = {}

    def canonical(path: str) -> str:
        for link, target in now.items():
            if path == link or path.startswith(f"{link}/"):
                return target + path.removeprefix(link)
        return path

    places = replace(NOTEBOOK, canonical=canonical)
    for links in (*order, *order):
        now = links
        fresh = resolve(chosen, places, now=NOW, request=ASKING)
        for _ in range(2):
            again = resolve(chosen, places, now=NOW, request=ASKING, known=known)
            assert plain(again) == plain(fresh)


def plain(rights: object) -> dict[str, object]:
    return {**vars(rights), "places": None}


def test_what_is_taken_back_another_place_and_another_policy_are_followed() -> None:
    known = KnownLines()
    one, other = policy(FILES.format(more="")), policy(FILES.format(more="").replace("work", "own"))
    moved = replace(NOTEBOOK, folder="/home/ann/other")
    taken = asking({"files": ["data/part"]}).table
    assert taken is not None
    yes = Grant("grant-1", taken, "client")
    for chosen, places, revoked, grants in [
        (one, NOTEBOOK, (), ()),
        (one, NOTEBOOK, (taken,), ()),
        (one, NOTEBOOK, (), (yes,)),
        (one, moved, (), ()),
        (other, moved, (), (yes,)),
        (one, replace(NOTEBOOK, closed=("/home/ann/nb/data/closed",)), (), ()),
        (one, replace(NOTEBOOK, once_writable=("/home/ann/nb",)), (), ()),
    ]:
        asked = {"now": NOW, "request": ASKING, "revoked": revoked, "grants": grants}
        fresh = resolve(chosen, places, **asked)
        assert resolve(chosen, places, **asked, known=known) == fresh


def test_lines_that_end_begin_anew_each_time() -> None:
    known, chosen = KnownLines(), policy(FILES.format(more='expires = "1 h"'))
    for now in (NOW, NOW + 100, NOW + 8000):
        fresh = resolve(chosen, NOTEBOOK, now=now, request=ASKING)
        assert resolve(chosen, NOTEBOOK, now=now, request=ASKING, known=known) == fresh


def test_they_are_kept_where_nothing_changes() -> None:
    known, chosen = KnownLines(), policy(FILES.format(more=""))

    elsewhere = ""
    places = replace(NOTEBOOK, canonical=lambda path: elsewhere or path)

    def found() -> object:
        return known.of(chosen, None, places, ())

    first = found()
    assert found() is first
    elsewhere = "/elsewhere"
    assert found() is not first


@pytest.mark.parametrize("gives", [False, True])
def test_where_protected_files_lead_matters_to_who_changes_files(gives: bool) -> None:
    given = '[[given.files]]\npath = "own"\nmode = "write"\nreason = "why"' if gives else ""
    known, chosen = KnownLines(), policy(FILES.format(more="") + given)
    now: dict[str, str] = {}
    looked: list[str] = []

    def canonical(path: str) -> str:
        looked.append(path)
        return now.get(path, path)

    own = "/etc/own.toml"
    places = replace(NOTEBOOK, canonical=canonical, read_only=(own,))
    reading, changing = (
        asking({"files": [{"path": "work", "mode": m}]}) for m in ("read", "write")
    )

    def carved_out(request: Request) -> list[str]:
        looked.clear()
        _, read_only = resolve(chosen, places, now=NOW, request=request, known=known).carved_out
        return [pattern.real for pattern in read_only]

    assert own in carved_out(reading)
    now[own] = "/srv/own.toml"
    assert ("/srv/own.toml" in carved_out(reading)) is gives
    assert (own in looked) is gives
    assert "/home/ann/nb/data/secret" in looked
    assert "/srv/own.toml" in carved_out(changing)
    now[own] = "/srv/other.toml"
    assert "/srv/other.toml" in carved_out(changing)
    now["/home/ann/nb/data/secret"] = "/srv/secret"
    now[own] = "/srv/third.toml"
    assert "/srv/third.toml" in carved_out(reading)


def test_they_are_taken_as_they_were_where_nobody_looks() -> None:
    known, chosen = KnownLines(), policy(FILES.format(more=""))
    looks = 0

    def canonical(path: str) -> str:
        nonlocal looks
        looks += 1
        return path

    places = replace(NOTEBOOK, canonical=canonical)
    first = known.of(chosen, None, known.settled(places), ())
    known.looks, looks = False, 0
    assert known.of(chosen, None, known.settled(places), ()) is first
    assert not looks
    known.looks = True
    assert known.of(chosen, None, known.settled(places), ()) is first
    assert looks


def test_places_are_settled_again_where_the_folder_is_another() -> None:
    known = KnownLines()
    now = "/home/ann/nb"
    places = replace(NOTEBOOK, canonical=lambda path: now)
    first = known.settled(places)
    assert first == settle(places)
    assert known.settled(places) is first
    now = "/srv/nb"
    assert known.settled(places).folder == "/srv/nb"
    assert known.settled(replace(places, notebook="/srv/other.ipynb")).read_only != first.read_only


def test_of_paths_without_links_the_longest_tell_of_all() -> None:
    led = {path: path for path in ("/a", "/a/b", "/a/b/c", "/a/bc", "/d", "/a/b-c/d", "/a/b-c")}
    links = {"/a/b/link": "/elsewhere", "/a/b/link/below": "/elsewhere/below"}
    assert set(telling({**led, **links})) == {"/a/b/c", "/a/bc", "/d", "/a/b-c/d", *links}
    assert telling({"/": "/"}) == {"/": "/"}
