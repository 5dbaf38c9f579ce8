"""Whatever is thrown at the readers of policies and metadata: an answer, never a crash."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_kernel.policy import Places, Policy, PolicyError, Problem, Source, load, resolve
from sandbox_kernel.policy.kinds.hosts import HostError, parse_endpoint, parse_host
from sandbox_kernel.policy.model import LimitSet, RequestTable
from tests.unit.policy.samples import NOTEBOOK, NOW, asking, policy, rights, yes

_names = st.sampled_from([*RequestTable.__struct_fields__, "path", "mode", "deny", "connect", "x"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=10,
)
_likely = st.fixed_dictionaries(
    {},
    optional={
        "files": st.lists(
            st.fixed_dictionaries(
                {"path": st.text(max_size=12)},
                optional={"mode": st.text(max_size=6) | st.just("write"), "deny": _json},
            )
        ),
        "sockets": st.lists(st.fixed_dictionaries({"connect": st.text(max_size=20)})),
        "modules": st.lists(st.text(max_size=10)),
        "limits": st.dictionaries(st.sampled_from(LimitSet.__struct_fields__), _json, max_size=3),
    },
)
WIDE = """
[[on_request.files]]
path = "/"
mode = "write"
reason = "r"
[[on_request.sockets]]
connect = "*:*"
reason = "r"
[on_request]
"""


@settings(max_examples=200)
@given(_json | _likely)
def test_any_metadata_is_read_or_void(metadata: Any) -> None:
    request = asking(metadata)

    assert request.malformed is bool(request.problems)
    resolve(policy(WIDE.replace("[on_request]\n", "")), NOTEBOOK, now=NOW, request=request)
    resolve(policy(""), NOTEBOOK, now=NOW, cell=request)


@settings(max_examples=200)
@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_refused_with_its_file(text: str) -> None:
    _, problems = _loaded("version = 1\n" + text)

    assert all(problem.origin.file == "any.toml" for problem in problems)


_line = st.sampled_from(
    ["[given]", "[[given.files]]", "[limits.max]", "[refuse]", "path = 'a'", "mode = 'read'",
     "reason = 'r'", "files = []", "files = [{}]", "modules = [1]", "modules = ['a']",
     "memory = ''",
     "deny = 1", "deny = ['b']", "x.y = 1", "given.files = 1", "display.html = []", "version = []",
     "sockets = ['[:1']", "expires = 2026-01-01", "expires = 2026-01-01T00:00:00Z",
     "[[tickets.issuers]]", "key = 'k'"],
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(_line, max_size=8))
def test_any_lines_are_a_policy_or_refused_with_a_line(lines: list[str]) -> None:
    found, problems = _loaded("\n".join(["version = 1", *lines]))

    assert all(problem.origin.line > 0 for problem in problems)
    if found is not None:
        resolve(found, NOTEBOOK, now=NOW)


def _loaded(text: str) -> tuple[Policy | None, tuple[Problem, ...]]:
    try:
        return load([Source("any.toml", text)]), ()
    except PolicyError as error:
        return None, error.problems


@given(st.text(max_size=40))
def test_any_text_is_a_host_or_refused_in_words(text: str) -> None:
    for read in (parse_host, parse_endpoint):
        # Any other exception fails the test.
        with suppress(HostError):
            read(text)


def test_a_hundred_and_fifty_denials_of_which_some_are_missing() -> None:
    deny = [f"missing/x{number}" for number in range(150)] + ["dangling", "cache/deep"]
    links = {"/home/ann/nb/dangling": "/home/ann/nb/nowhere", "/home/ann/nb/cache/deep": "/o/deep"}
    places = Places(
        folder="/home/ann/nb", canonical=lambda path: links.get(path, path), home="/home/ann"
    )

    found = rights(
        f'[[given.files]]\npath = "."\nmode = "read"\ndeny = {deny}\nreason = "r"\n', places=places
    )

    (entry,) = found.file_entries
    assert entry.denial("/home/ann/nb/missing/x149/y")
    assert entry.denial("/home/ann/nb/cache/deep/y")
    assert entry.denial("/home/ann/nb/nowhere")
    assert not entry.denial("/home/ann/nb/ok")


@pytest.mark.parametrize("kind", ["files", "sockets", "modules", "environment"])
def test_an_empty_list_in_a_request_asks_for_nothing(kind: str) -> None:
    text = WIDE + 'modules = ["*"]\nenvironment = ["A*"]\n'

    assert not rights(text, {kind: []}).of(kind)
    assert not rights(text, grants=(yes({kind: []}),)).of(kind)
