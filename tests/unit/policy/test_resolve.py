"""Which rights a notebook has."""

from __future__ import annotations

import math
import posixpath
from dataclasses import replace

import pytest

from sandbox_kernel.policy import Rights, resolve
from sandbox_kernel.policy.bounds import may_choose
from sandbox_kernel.policy.kinds.files import FileEntry
from sandbox_kernel.trusted.capabilities.files.decide import decide
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved
from tests.unit.policy.samples import NOTEBOOK, NOW, asking, policy, rights, shipped, yes


def files(tier: str, path: str, mode: str = "read", more: str = "") -> str:
    return f'[[{tier}.files]]\npath = "{path}"\nmode = "{mode}"\nreason = "why"\n{more}\n'


def may(found: Rights, mode: str, path: str) -> bool:
    real = posixpath.normpath(f"/home/ann/nb/{path}")
    request = FileRequest(path, real, mode, True)  # type: ignore[arg-type]
    return isinstance(decide(request, found), Approved)


def test_an_empty_policy_allows_nothing() -> None:
    found = rights("")

    assert {right.kind for right in found.rights} == {"display"}
    assert found.display == {"html": "sanitise", "javascript": "drop", "widgets": "core"}
    assert not found.modules
    assert not found.environment
    assert not found.spawn
    assert found.language == "restricted"
    assert found.isolation == "no-namespaces"


@pytest.mark.parametrize("kind", ["files", "sockets", "modules", "environment"])
def test_an_empty_list_means_nothing(kind: str) -> None:
    assert not rights(f"[given]\n{kind} = []").of(kind)


def test_every_right_tells_its_line_and_its_reason() -> None:
    (right,) = rights(files("given", "data")).of("files")

    assert right.origin.place == "course.toml:2"
    assert right.origin.reason == "why"
    assert (right.tier, right.through) == ("given", "given")


def test_what_is_on_request_needs_the_metadata() -> None:
    text = files("on_request", "data")

    assert not may(rights(text), "read", "data/x")
    assert may(rights(text, {"files": ["data/x"]}), "read", "data/x")
    assert not may(rights(text, {"files": ["data/x"]}), "read", "data/y")


def test_a_request_gets_no_more_than_the_line_and_no_more_than_it_asked() -> None:
    found = rights(files("on_request", "data"), {"files": [{"path": ".", "mode": "write"}]})

    assert may(found, "read", "data/x")
    assert not may(found, "write", "data/x")
    assert not may(found, "read", "other")
    assert [unmet.why for unmet in found.unmet] == ["granted in part only (course.toml:2)"]


def test_what_is_to_be_asked_is_not_granted_by_metadata() -> None:
    found = rights(files("ask", "data"), {"files": ["data"]})

    assert not may(found, "read", "data/x")
    assert found.unmet[0].askable
    assert "needs a person's yes (course.toml:2" in found.unmet[0].why


@pytest.mark.parametrize("source", ["client", "person", "approval", "ticket"])
def test_a_yes_turns_on_every_tier_but_stays_within_the_policy(source: str) -> None:
    text = files("ask", "data") + files("on_request", "more")
    found = rights(text, grants=(yes({"files": ["data", "more", "other"]}, "g7", source),))

    assert may(found, "read", "data/x")
    assert may(found, "read", "more/x")
    assert not may(found, "read", "other")
    assert {right.grant_id for right in found.of("files")} == {"g7"}
    assert {right.through for right in found.of("files")} == {source}


def test_malformed_metadata_leaves_what_is_given_and_is_told() -> None:
    text = files("given", "data") + files("on_request", "more")
    found = rights(text, {"files": ["more"], "oops": 1})

    assert may(found, "read", "data/x")
    assert not may(found, "read", "more/x")
    assert "oops: unknown key" in found.problems[0].text


def test_a_denial_wins_over_every_line() -> None:
    text = files("given", ".") + files("given", "data", "write", 'deny = ["data/secret"]')
    found = rights(text)

    assert may(found, "write", "data/x")
    assert not may(found, "read", "data/secret/key")
    assert not may(found, "read", "data/SECRET/key")
    assert all(
        isinstance(right.entry, FileEntry) and right.entry.denial("/home/ann/nb/data/secret")
        for right in found.of("files")
    )


def test_a_refusal_takes_away_from_every_tier_and_from_every_yes() -> None:
    text = files("given", ".", "write") + '[[refuse.files]]\npath = "keys"\nreason = "no"\n'
    found = rights(text, grants=(yes({"files": ["keys"]}),))

    assert may(found, "write", "x")
    assert not may(found, "read", "keys/a")


def test_a_refusal_of_writing_leaves_reading() -> None:
    text = files("given", ".", "write") + (
        '[[refuse.files]]\npath = "data"\nmode = "write"\nreason = "as the teacher gave them"\n'
    )
    found = rights(text)

    assert may(found, "read", "data/x")
    assert not may(found, "append", "data/x")
    assert may(found, "write", "x")


def test_refused_modules_sockets_and_display_are_gone() -> None:
    found = rights(
        """
        [given]
        modules = ["os", "numpy", "os.path"]
        sockets = ["example.org:443", "*.example.org:80"]
        environment = ["LANG", "LC_ALL"]
        [refuse]
        modules = ["os", "numpy.ctypeslib"]
        sockets = ["*.example.org:*"]
        environment = ["LC_*"]
        [[refuse.display]]
        html = "raw"
        reason = "never"
        [display]
        html = "raw"
        javascript = "raw"
        [[refuse.processes]]
        spawn = true
        reason = "never"
        [processes]
        spawn = true
        """
    )

    assert found.modules == {"numpy"}
    assert [entry.endpoint for entry in found.socket_entries] == ["example.org:443"]
    assert found.environment == {"LANG"}
    assert found.display["html"] == "frame"
    assert found.display["javascript"] == "raw"
    assert not found.spawn


@pytest.mark.parametrize("path", [".", "case.ipynb", "*.ipynb", "/", "~"])
def test_no_right_covers_a_change_of_the_notebook_itself(path: str) -> None:
    found = rights(files("given", path, "write"))

    assert may(found, "read", "case.ipynb")
    assert not may(found, "write", "case.ipynb")
    assert not may(found, "append", "case.ipynb")
    if path == "case.ipynb":
        assert [problem.code for problem in found.problems] == ["policy.protected"]


def test_policy_files_are_not_changed_and_the_approval_store_is_not_opened() -> None:
    guarded = replace(
        NOTEBOOK, read_only=("/home/ann/policies",), closed=("/home/ann/state", "/home/ann/run")
    )
    found = rights(files("given", "~", "write"), places=guarded)

    assert may(found, "read", "../policies/default.toml")
    assert not may(found, "create", "../policies/new.toml")
    assert not may(found, "read", "../state/approvals.json")
    assert not may(found, "read", "../run/kernel-1.json")
    assert may(found, "write", "../else")


def test_a_system_policy_bounds_the_places_and_the_modes() -> None:
    text = files("given", "data", "write") + files("given", "more")
    found = rights(text, system=files("given", "data"))

    assert may(found, "read", "data/x")
    assert not may(found, "write", "data/x")
    assert not may(found, "read", "more/x")
    (right,) = found.of("files")
    assert right.rule.bounded_by is not None
    assert right.rule.bounded_by.place == "system.toml:2"


@pytest.mark.parametrize(
    ("own", "systems", "tier"),
    [
        ("given", "given", "given"),
        ("given", "on_request", "on_request"),
        ("given", "ask", "ask"),
        ("ask", "given", "ask"),
        ("on_request", "ask", "ask"),
    ],
)
def test_nothing_moves_to_a_looser_tier_than_the_system_policys(
    own: str, systems: str, tier: str
) -> None:
    found = rights(files(own, "data"), system=files(systems, "data"))

    assert [rule.tier for rule in found.rules if rule.kind == "files"] == [tier]


def test_a_system_policy_bounds_settings() -> None:
    found = rights(
        'language = "full"\nisolation = "landlock-only"\n[display]\nhtml = "raw"\nwidgets = "any"\n'
        '[processes]\nspawn = true\n[questions]\ntimeout = "1 h"\nremember = "9 d"\n',
        system='language = "restricted"\nisolation = "full"\n[questions]\ntimeout = "1 min"\n'
        'remember = "1 d"\n[[ask.display]]\nhtml = "frame"\nreason = "x"\n',
    )

    assert found.language == "restricted"
    assert found.isolation == "full"
    assert found.display == {"html": "sanitise", "javascript": "drop", "widgets": "core"}
    assert not found.spawn
    assert (found.question_timeout, found.remember) == (60, 86400)


def test_limits_are_raised_by_metadata_up_to_the_maximum_and_no_further() -> None:
    text = '[limits]\nmemory = "1 GB"\nthreads = 4\n[limits.max]\nmemory = "2 GB"\n'

    assert rights(text, {"limits": {"memory": "2 GB"}}).limits["memory"].value == 2e9
    above = rights(text, {"limits": {"memory": "3 GB", "threads": 5}})
    assert above.limits["memory"].value == 2e9
    assert above.limits["threads"].value == 4
    assert [problem.code for problem in above.problems] == ["limits.above_max"] * 2
    lower = rights(text, {"limits": {"memory": "10 MB"}})
    assert lower.limits["memory"].value == 1e7
    assert "wall_time" not in lower.limits


def test_limits_follow_the_stricter_policy() -> None:
    found = rights(
        '[limits]\nmemory = "8 GB"\nwall_time = "1 s"\n[limits.max]\nmemory = "64 GB"\n'
        '[limits.session]\noutput = "5 MB"\n',
        {"limits": {"memory": "32 GB"}},
        system='[limits]\nmemory = "1 GB"\nwall_time = "1 h"\n[limits.max]\nmemory = "2 GB"\n'
        '[limits.session]\noutput = "1 MB"\n',
    )

    assert found.limits["memory"].value == 2e9
    assert found.limits["wall_time"].value == 1
    assert found.limits["wall_time"].origin.place == "course.toml:4"
    assert found.session_limits["output"].value == 1e6
    assert found.session_limits["output"].origin.file == "system.toml"


def test_a_live_change_of_limits_holds_within_the_maximum() -> None:
    text = '[limits]\nmemory = "1 GB"\n[limits.max]\nmemory = "2 GB"\n'

    found = rights(text, grants=(yes({"limits": {"memory": "1500 MB"}}),))
    assert found.limits["memory"].value == 1.5e9
    assert found.limits["memory"].amount.text == "1500 MB"


def test_a_cell_narrows_kind_by_kind() -> None:
    text = files("given", ".", "write") + (
        '[on_request]\nmodules = ["os", "json"]\n[limits]\nmemory = "1 GB"\n'
    )
    base = {"modules": ["os", "json"]}

    narrow = rights(text, base, cell={"files": [{"path": "data"}], "limits": {"memory": "1 MB"}})
    assert may(narrow, "read", "data/x")
    assert not may(narrow, "write", "data/x")
    assert not may(narrow, "read", "x")
    assert narrow.modules == {"os", "json"}
    assert narrow.limits["memory"].value == 1e6

    nothing = rights(text, base, cell={"files": [], "modules": []})
    assert not nothing.of("files")
    assert not nothing.modules

    wider = rights(text, base, cell={"files": [{"path": "/"}], "limits": {"memory": "9 GB"}})
    assert not may(wider, "read", "../x")
    assert wider.limits["memory"].value == 1e9


def test_a_denial_holds_in_a_cell_that_drops_the_right_that_brought_it() -> None:
    text = files("given", ".") + files("given", "data", "read", 'deny = ["data/secret"]')

    found = rights(text, cell={"files": [{"path": ".", "mode": "read"}]})

    assert not may(found, "read", "data/secret")


def test_malformed_metadata_of_a_cell_leaves_it_nothing() -> None:
    found = rights(files("given", "."), cell={"files": "all"})

    assert not found.rights
    assert found.problems


def test_a_cells_display_setting_leaves_the_others() -> None:
    found = rights(
        '[display]\nhtml = "frame"\nwidgets = "any"\n', cell={"display": {"html": "sanitise"}}
    )

    assert found.display == {"html": "sanitise", "javascript": "drop", "widgets": "any"}


def test_a_right_ends_when_its_time_is_over() -> None:
    text = files("given", "a", "read", 'expires = "1970-01-01T00:00:00Z"') + files("ask", "b")
    found = rights(text, grants=(yes({"files": [{"path": "b", "expires": "10 s"}]}),))

    assert not may(found, "read", "a")
    assert may(found, "read", "b")
    assert found.next_expiry == NOW + 10


def test_a_yes_of_any_kind_ends_with_its_time() -> None:
    text = '[ask]\nmodules = ["pickle"]\n'
    until = replace(yes({"modules": ["pickle"]}), ends=NOW + 5)

    found = rights(text, grants=(until,))
    assert found.modules == {"pickle"}
    assert found.next_expiry == NOW + 5
    assert not rights(text, grants=(replace(until, ends=NOW),)).modules


def test_only_issuers_that_the_system_policy_lists_too_are_believed() -> None:
    def issuer(key: str) -> str:
        return f'[[tickets.issuers]]\nkey = "ed25519/{key}"\nreason = "r"\n'

    own = issuer("aa") + issuer("bb")

    assert [i.key for i in rights(own).issuers] == ["ed25519/aa", "ed25519/bb"]
    assert [i.key for i in rights(own, system=issuer("bb")).issuers] == ["ed25519/bb"]
    assert not rights(own, system="").issuers


def test_what_is_taken_back_is_gone_for_the_session() -> None:
    found = rights(files("given", "."), revoked=({"files": ["data"]},))

    assert may(found, "read", "x")
    assert not may(found, "read", "data/x")


def test_a_link_that_a_cell_may_have_made_leads_nowhere() -> None:
    """A cell may write to the folder; another right goes through a link in that folder."""
    links = {"/home/ann/nb/data": "/home/ann/.ssh", "/home/ann/nb/in": "/home/ann/nb/real"}
    linked = replace(NOTEBOOK, canonical=lambda path: links.get(path, path))
    text = files("given", "data") + files("given", "in")

    assert may(rights(text, places=linked), "read", "../.ssh/id")
    planted = rights(text + files("given", ".", "write"), places=linked)
    assert not may(planted, "read", "../.ssh/id")
    assert may(planted, "read", "real/x")
    assert [problem.code for problem in planted.problems] == ["files.planted_link"]
    # A link stays when the right under which it was made has ended.
    once = replace(linked, once_writable=("/home/ann/nb",))
    assert not may(rights(text, places=once), "read", "../.ssh/id")
    # A line that could let cells write, but never did, leaves the person's own links alone.
    unused = text + files("ask", ".", "write")
    assert may(rights(unused, places=linked), "read", "../.ssh/id")


def test_a_request_through_a_link_is_bounded_by_where_it_leads() -> None:
    links = {"/home/ann/nb/data/link": "/etc/passwd"}
    linked = replace(NOTEBOOK, canonical=lambda path: links.get(path, path))
    found = rights(files("on_request", "data"), {"files": ["data/link"]}, places=linked)

    assert not found.of("files")


def test_two_globs_share_what_both_match() -> None:
    found = rights(files("given", "data/*.csv"), system=files("given", "*/a*"))

    assert may(found, "read", "data/a.csv")
    assert not may(found, "read", "data/b.csv")
    assert not may(found, "read", "data/a.txt")


def test_a_notebook_chooses_a_policy_only_where_the_policy_lets_it() -> None:
    chosen = policy('notebook_policies = ["exam"]\n')

    assert may_choose("exam", chosen, None)
    assert may_choose("course", chosen, None)
    assert not may_choose("open", chosen, None)
    assert not may_choose("exam", chosen, policy("", "system.toml"))


def test_relative_paths_are_relative_to_the_notebook() -> None:
    elsewhere = replace(NOTEBOOK, folder="/srv/course", notebook="/srv/course/a.ipynb")
    (right,) = rights(files("given", "../data"), places=elsewhere).of("files")

    assert isinstance(right.entry, FileEntry)
    assert right.entry.place.real == "/srv/data"


def test_an_amount_without_bound_is_no_limit() -> None:
    found = rights('[limits]\nwall_time = "unlimited"\n')

    assert "wall_time" not in found.limits
    assert math.isinf(shipped("default").table.limits.max.cpu_time.value)  # type: ignore[union-attr]


def test_resolution_takes_the_places_as_they_are_resolved() -> None:
    """The notebook's folder is itself a link: rights stand at the real place."""
    linked = replace(NOTEBOOK, canonical=lambda path: path.replace("/home/ann", "/data/ann"))
    found = resolve(policy(files("given", "x")), linked, now=NOW, request=asking(None))
    (right,) = found.of("files")

    assert isinstance(right.entry, FileEntry)
    assert right.entry.place.real == "/data/ann/nb/x"
