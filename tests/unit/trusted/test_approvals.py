"""The approval store: exact, expiring, listed, revocable, private."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox_kernel.policy import Origin, Places, parse_request
from sandbox_kernel.policy.model import RequestTable
from sandbox_kernel.trusted import approvals
from sandbox_kernel.trusted.approvals import ApprovalStore, StoreError

NOW = 1_800_000_000.0


def table(path: str = "data/x.csv") -> RequestTable:
    found = parse_request({"files": [{"path": path, "mode": "read"}]}, Origin("t")).table
    assert found is not None
    return found


@pytest.fixture
def store(tmp_path: Path) -> ApprovalStore:
    return ApprovalStore(tmp_path / "state" / "approvals.json")


def test_an_approval_is_for_one_notebook_and_one_exact_request(store: ApprovalStore) -> None:
    store.add("/n/a.ipynb", table(), now=NOW, lifetime=100)

    (grant,) = ApprovalStore(store.path).grants("/n/a.ipynb", now=NOW)
    assert grant.table == table()
    assert (grant.source, grant.scope) == ("approval", "notebook")
    assert store.grants("/n/b.ipynb", now=NOW) == ()


def test_an_approval_ends_by_itself(store: ApprovalStore) -> None:
    store.add("/n/a.ipynb", table(), now=NOW, lifetime=100)

    assert store.grants("/n/a.ipynb", now=NOW + 99)
    assert store.grants("/n/a.ipynb", now=NOW + 100) == ()


def test_the_same_yes_again_renews(store: ApprovalStore) -> None:
    store.add("/n/a.ipynb", table(), now=NOW, lifetime=100)
    store.add("/n/a.ipynb", table(), now=NOW + 50, lifetime=100)

    (only,) = store.holding(now=NOW + 120)
    assert only.expires == NOW + 150


def test_approvals_are_listed_and_revoked(store: ApprovalStore) -> None:
    first = store.add("/n/a.ipynb", table("a"), now=NOW, lifetime=100)
    store.add("/n/a.ipynb", table("b"), now=NOW, lifetime=100)
    other = store.add("/n/c.ipynb", table("c"), now=NOW, lifetime=100)

    assert store.revoke(ids=[first.id], now=NOW) == [first]
    assert len(store.holding(now=NOW)) == 2
    assert store.revoke(ids=["unknown"], now=NOW) == []
    store.revoke(notebook="/n/a.ipynb", now=NOW)
    assert store.holding(now=NOW) == [other]


def test_nobody_else_can_read_the_store(store: ApprovalStore) -> None:
    store.add("/n/a.ipynb", table(), now=NOW, lifetime=100)

    assert {stat.S_IMODE(os.stat(path).st_mode) for path in store.paths} == {0o600}
    assert stat.S_IMODE(os.stat(os.path.dirname(store.path)).st_mode) == 0o700


def test_a_store_that_others_may_write_approves_nothing(store: ApprovalStore) -> None:
    store.add("/n/a.ipynb", table(), now=NOW, lifetime=100)
    os.chmod(store.path, 0o622)

    with pytest.raises(StoreError, match="chmod 600"):
        store.grants("/n/a.ipynb", now=NOW)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 2, "approvals": []}',
     b'{"version": 1, "approvals": [{"id": 1}]}', b'{"version": 1, "approvals": [], "x": 1}'],
)  # fmt: skip
def test_a_broken_store_approves_nothing_and_says_what_to_do(
    store: ApprovalStore, content: bytes
) -> None:
    store.add("/n/a.ipynb", table(), now=NOW, lifetime=100)
    Path(store.path).write_bytes(content)

    with pytest.raises(StoreError, match=r"approvals\.json"):
        store.grants("/n/a.ipynb", now=NOW)
    with pytest.raises(StoreError):
        store.add("/n/a.ipynb", table(), now=NOW, lifetime=100)
    assert Path(store.path).read_bytes() == content


def test_a_link_in_place_of_the_store_is_not_followed(store: ApprovalStore, tmp_path: Path) -> None:
    target = tmp_path / "target.json"
    target.write_text('{"version": 1, "approvals": []}')
    Path(store.path).parent.mkdir()
    os.symlink(target, store.path)

    with pytest.raises(StoreError):
        store.holding(now=NOW)


def test_kernels_take_turns(store: ApprovalStore) -> None:
    def add(number: int) -> None:
        ApprovalStore(store.path).add("/n/a.ipynb", table(f"f{number}"), now=NOW, lifetime=100)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(store.holding(now=NOW)) == 12
    assert sorted(os.listdir(os.path.dirname(store.path))) == [
        "approvals.json",
        "approvals.json.lock",
    ]


# --- attacks --------------------------------------------------------------------------------------


def places(folder: Path) -> Places:
    return Places(folder=str(folder), canonical=os.path.realpath)


@pytest.mark.parametrize(("pinned", "follows"), [(True, False), (False, True)])
def test_a_link_that_was_swapped_in_does_not_widen_a_remembered_yes(
    store: ApprovalStore, tmp_path: Path, pinned: bool, follows: bool
) -> None:
    place = tmp_path / "data"
    place.mkdir()
    leads = [str(place / "x.csv")]
    store.add("/n/a.ipynb", table(), now=NOW, lifetime=100, leads=leads)
    (grant,) = store.grants("/n/a.ipynb", now=NOW)
    assert len(grant.entries(places(tmp_path))) == 1
    place.rmdir()
    place.symlink_to("/etc")
    if not pinned:  # The control: a yes to a name alone.
        grant = replace(grant, leads=None)
    assert (len(grant.entries(places(tmp_path))) == 1) is follows
    assert grant.strayed(places(tmp_path)) == ([] if follows else ["data/x.csv"])


def test_a_remembered_yes_without_its_place_covers_no_file(
    store: ApprovalStore, tmp_path: Path
) -> None:
    store.add("/n/a.ipynb", table(), now=NOW, lifetime=100)
    (grant,) = store.grants("/n/a.ipynb", now=NOW)
    assert grant.entries(places(tmp_path)) == []


@pytest.mark.parametrize("notebook", ["/n/../../etc/passwd", "/n/a\n.ipynb", "/n/é.ipynb", ""])
def test_a_notebook_s_name_is_data_and_no_path_of_the_store(
    store: ApprovalStore, notebook: str
) -> None:
    store.add(notebook, table(), now=NOW, lifetime=100)
    assert store.grants(notebook, now=NOW)
    # The same letters otherwise composed are another name.
    assert store.grants("/n/e\u0301.ipynb", now=NOW) == ()
    assert store.grants("/n/a.ipynb", now=NOW) == ()
    assert sorted(os.listdir(os.path.dirname(store.path))) == [
        "approvals.json",
        "approvals.json.lock",
    ]


def test_a_pipe_in_place_of_the_store_is_an_error_and_holds_nobody(store: ApprovalStore) -> None:
    os.mkdir(os.path.dirname(store.path))
    os.mkfifo(store.path)
    with pytest.raises(StoreError, match="not a file"):
        store.grants("/n/a.ipynb", now=NOW)


def test_who_holds_the_lock_for_ever_does_not_hold_a_kernel(store: ApprovalStore) -> None:
    store.add("/n/a.ipynb", table(), now=NOW, lifetime=100)
    with open(f"{store.path}.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="does not let go"):
            store.add("/n/a.ipynb", table("b"), now=NOW, lifetime=100)
        assert store.grants("/n/a.ipynb", now=NOW)


def test_a_store_is_never_written_too_long_to_be_read(
    store: ApprovalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "MOST_APPROVALS", 10)
    for number in range(15):
        store.add("/n/a.ipynb", table(f"f{number}"), now=NOW, lifetime=100)
    kept = [approval.request["files"][0]["path"] for approval in store.holding(now=NOW)]  # type: ignore[index]
    assert kept == [f"f{number}" for number in range(5, 15)]
    monkeypatch.setattr(approvals, "MOST_BYTES", 4000)
    with pytest.raises(StoreError, match="full"):
        store.add("/n/a.ipynb", table("x" * 4000), now=NOW, lifetime=100)
    assert len(store.holding(now=NOW)) == 10
