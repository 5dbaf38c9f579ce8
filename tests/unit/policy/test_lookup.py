"""Which file is meant by the name of a policy."""

from __future__ import annotations

import pytest

from sandbox_kernel.policy import Layer, PolicyError, layers, load_file, load_named
from sandbox_kernel.policy.lookup import FileFacts, system_policy_problem

SEARCH = (Layer("user", "/u"), Layer("site", "/s"), Layer("shipped", "/p"))


def text(extends: str | None = None, language: str = "full") -> str:
    below = f'extends = "{extends}"\n' if extends else ""
    return f'version = 1\n{below}language = "{language}"\n'


def test_the_first_folder_that_has_the_name_wins() -> None:
    files = {"/s/a.toml": text(), "/p/a.toml": "not read"}

    found = load_named("a", SEARCH, files.get)

    assert [source.path for source in found.sources] == ["/s/a.toml"]


def test_a_policy_that_extends_its_own_name_means_the_next_one_down() -> None:
    files = {
        "/u/default.toml": text("default", "full"),
        "/p/default.toml": text(None, "restricted"),
    }

    found = load_named("default", SEARCH, files.get)

    assert [source.path for source in found.sources] == ["/p/default.toml", "/u/default.toml"]
    assert [source.name for source in found.sources] == ["shipped/default.toml", "default.toml"]
    assert found.table.language == "full"


def test_a_file_given_by_path_extends_what_the_folders_have() -> None:
    files = {"/tmp/own.toml": text("default"), "/p/default.toml": text(None, "restricted")}

    found = load_file("/tmp/own.toml", SEARCH, files.get)

    assert [source.path for source in found.sources] == ["/p/default.toml", "/tmp/own.toml"]


def test_a_missing_policy_is_told_with_the_folders_and_the_nearest_name() -> None:
    with pytest.raises(PolicyError, match=r"no policy 'clasroom' in /u, /s, /p.*'classroom'"):
        load_named("clasroom", SEARCH, {}.get)


def test_policies_that_extend_one_another_are_refused() -> None:
    files = {"/u/a.toml": text("b"), "/u/b.toml": text("a")}

    with pytest.raises(PolicyError, match="one of them extends itself"):
        load_named("a", SEARCH, files.get)


@pytest.mark.parametrize("name", ["", "../etc/passwd", "a/b", ".hidden", "a" * 65, "a\n"])
def test_a_name_that_is_none_is_not_looked_up(name: str) -> None:
    def read(path: str) -> str | None:
        raise AssertionError(path)

    with pytest.raises(PolicyError, match="is no name of a policy"):
        load_named(name, SEARCH, read)


def test_the_layers_are_those_of_jupyter_and_then_the_shipped() -> None:
    found = layers(["/home/u/.local/share/jupyter", "/usr/share/jupyter"], "/shipped")

    assert [layer.folder for layer in found] == [
        "/home/u/.local/share/jupyter/sandbox-kernel/policies",
        "/usr/share/jupyter/sandbox-kernel/policies",
        "/shipped",
    ]


@pytest.mark.parametrize(
    ("facts", "fine"),
    [
        ([FileFacts(0, 0o644), FileFacts(0, 0o755)], True),
        ([FileFacts(1000, 0o644), FileFacts(0, 0o755)], False),
        ([FileFacts(0, 0o664), FileFacts(0, 0o755)], False),
        ([FileFacts(0, 0o644), FileFacts(0, 0o1777)], False),
        ([FileFacts(0, 0o644), FileFacts(1000, 0o755)], False),
    ],
)
def test_a_system_policy_must_be_roots_alone(facts: list[FileFacts], fine: bool) -> None:
    assert (system_policy_problem("/etc/x.toml", facts) is None) is fine
