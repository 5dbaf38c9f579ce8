"""The line of every key of a TOML document."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox_kernel.policy.locate import Path, locate

DOCUMENT = '''\
version = 1
"quoted key".inner = 2      # a comment with [brackets] = and "quotes"
long = """
a ] } " text
[not.a.header]"""
list = [
  "one",  # first
  { a = 1, b = [ 2, 3 ] },

  'two ] # no comment',
]
[given]
modules = ["math",
  "json"]
[[given.files]]
path = "a"
[[given.files]]
path = 'C:\\x'
deny = [
]
[given.files.extra]
x = 1979-05-27T07:32:00Z
[limits]
max.memory = "4 GB"
quote = """two quotes "" and more"""""
after = 1
'''


def test_every_kind_of_key_is_found_on_its_line() -> None:
    lines = locate(DOCUMENT)

    assert lines == {
        ("version",): 1,
        ("quoted key",): 2,
        ("quoted key", "inner"): 2,
        ("long",): 3,
        ("list",): 6,
        ("list", 0): 7,
        ("list", 1): 8,
        ("list", 1, "a"): 8,
        ("list", 1, "b"): 8,
        ("list", 1, "b", 0): 8,
        ("list", 1, "b", 1): 8,
        ("list", 2): 10,
        ("given",): 12,
        ("given", "modules"): 13,
        ("given", "modules", 0): 13,
        ("given", "modules", 1): 14,
        ("given", "files"): 15,
        ("given", "files", 0): 15,
        ("given", "files", 0, "path"): 16,
        ("given", "files", 1): 17,
        ("given", "files", 1, "path"): 18,
        ("given", "files", 1, "deny"): 19,
        ("given", "files", 1, "extra"): 21,
        ("given", "files", 1, "extra", "x"): 22,
        ("limits",): 23,
        ("limits", "max"): 24,
        ("limits", "max", "memory"): 24,
        ("limits", "quote"): 25,
        ("limits", "after"): 26,
    }


def _paths(value: Any, at: Path = ()) -> set[Path]:
    found = {at} if at else set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= _paths(inner, (*at, key))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found |= _paths(inner, (*at, index))
    return found


_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=12)
_scalar = st.one_of(st.integers(-9, 9), st.booleans(), _text)
_value = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)


def _inline(value: Any, gap: str) -> str:
    if isinstance(value, dict):
        inner = ", ".join(
            f"{json.dumps(k, ensure_ascii=False)} = {_inline(v, '')}" for k, v in value.items()
        )
        return f"{{{inner}}}"
    if isinstance(value, list):
        return "[" + gap + f",{gap}".join(_inline(v, gap) for v in value) + gap + "]"
    return json.dumps(value, ensure_ascii=False)


@given(st.dictionaries(_text, _value, max_size=5), st.sampled_from(["", "\n", " # ]\n "]))
def test_the_same_keys_are_found_as_by_the_parser(data: dict[str, Any], gap: str) -> None:
    document = "".join(
        f"\n# [x]\n{json.dumps(key, ensure_ascii=False)} = {_inline(value, gap)}\n"
        for key, value in data.items()
    )

    assert set(locate(document)) == _paths(tomllib.loads(document))
