"""The worker's file tree as a plan."""

from __future__ import annotations

import pytest

from sandbox_kernel.shared.errors import ConfinementFailed
from sandbox_kernel.trusted.confine.mounts import Tree, etc_files, tree
from sandbox_kernel.trusted.confine.roots import Roots

ROOTS = Roots(
    trees=("/usr/lib", "/home/u/venv/lib", "/opt/x/sandbox_kernel"),
    files=("/usr/bin/python3.11",),
    links=(("/lib", "usr/lib"), ("/etc/localtime", "/usr/share/zoneinfo/UTC")),
    listed=("/opt/x",),
)


def plan(
    working_directory: str = "/home/u/nb",
    roots: Roots = ROOTS,
    points: tuple[str, ...] = ("/home/u/nb/out", "/data/y"),
) -> Tree:
    return tree(
        roots,
        working_directory=working_directory,
        writable_points=points,
        masks=("/opt/x/sandbox_kernel/trusted", "/elsewhere/trusted"),
        memory_files=(("/etc/hosts", "x"), ("/etc/localtime", "x"), ("/usr/lib/os", "x")),
        scratch_bytes=1,
        shared_memory_bytes=1,
    )


def test_parents_are_bound_before_what_stands_in_them() -> None:
    depths = [path.count("/") for path in plan().binds]
    assert depths == sorted(depths)


def test_the_notebooks_folder_and_the_parents_of_writable_points_exist() -> None:
    assert set(plan().directories) == {"/home/u/nb", "/opt/x", "/data"}


def test_a_working_directory_inside_a_root_is_not_made() -> None:
    assert "/usr/lib/nb" not in plan("/usr/lib/nb").directories


def test_the_root_itself_is_not_made() -> None:
    """A notebook in `/` or in a folder that stands there, such as /tmp."""
    assert "/" not in plan("/").directories
    assert "/" not in plan("/tmp", points=("/tmp",)).directories


def test_what_is_bound_or_linked_is_not_written_from_memory() -> None:
    assert [path for path, _ in plan().files] == ["/etc/hosts"]


def test_only_what_is_inside_a_root_is_masked() -> None:
    assert plan().masks == ("/opt/x/sandbox_kernel/trusted",)


def test_a_notebook_where_the_scratch_goes_is_refused_in_words() -> None:
    with pytest.raises(ConfinementFailed, match=r"/sandbox/nb is where .* scratch goes"):
        plan("/sandbox/nb")


def test_etc_has_one_user_and_no_name_server_but_the_workers_own() -> None:
    files = dict(etc_files(1000, 100, "sandbox"))
    assert files["/etc/passwd"].count("\n") == 1
    assert ":1000:100:" in files["/etc/passwd"]
    servers = [line for line in files["/etc/resolv.conf"].splitlines() if "nameserver" in line]
    assert all(line == "nameserver 127.0.0.1" for line in servers)
    assert "root" not in "".join(files.values())
