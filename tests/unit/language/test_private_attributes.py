"""``self._x`` in a method: raw on the cell's own objects, refused on others, in each shape that a
method can have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from sandbox_kernel.language import Session

Run = Callable[..., dict[str, Any]]

BODIES = {
    "one access": "return self._target",
    "two accesses": "self._seen = 1\n        return self._target, self._seen",
    "in a loop": "out = []\n        for _ in range(2): out.append(self._target)\n"
    "        return out",
    "in a comprehension": "self._seen = 1\n        return [self._target for _ in range(2)]",
    "in a lambda": "self._seen = 1\n        return (lambda: self._target)()",
    "in a function": "def inner(): return self._target\n        self._seen = 1\n"
    "        return inner()",
    "in a generator": "self._seen = 1\n        yield self._target\n        yield self._target",
    "with a global": "global count\n        count = 1\n        self._seen = 2\n"
    "        return self._target",
    "in a long body": "self._seen = 1\n        "
    + "x = 1 + 2\n        " * 150
    + "return self._target",
    "in place": "self._target += 1\n        self._target += 1\n        return self._target",
    "behind a docstring": "'''About it.'''\n        self._seen = 1\n        return self._target",
    "after an early return": "if self._target is None: return None\n        self._seen = 1\n"
    "        return self._target",
}
CLASS = "class Mine{bases}:\n    def __init__(self):\n{first}        self._target = 4\n"
METHOD = "    def get(self):\n        {body}\n"
END = "found = Mine().get()\nfound = found if not hasattr(found, '__next__') else list(found)\n"


def _program(body: str, base: str) -> str:
    first = f"        {base}.__init__(self)\n" if base else ""
    return CLASS.format(bases=f"({base})", first=first) + METHOD.format(body=body)


@pytest.mark.parametrize("base", ["", "threading.Thread"])
@pytest.mark.parametrize("shape", BODIES)
def test_a_method_reads_as_in_python(run: Run, shape: str, base: str) -> None:
    source = f"import threading\n{_program(BODIES[shape], base)}{END}"
    exec(source, plain := {"__name__": "__main__"})
    assert run(source)["found"] == plain["found"]


@pytest.mark.parametrize("shape", BODIES)
def test_a_foreign_object_is_refused_in_every_shape(run: Run, shape: str) -> None:
    thread = threading.Thread(target=print)
    source = _program(BODIES[shape], "") + "found = list(Mine.get(thing) or ())\n"
    with pytest.raises(AttributeError, match="is refused"):
        run(source, thing=thread)
    assert thread._target is print  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", ["one access", "two accesses", "with a global"])
def test_a_foreign_object_is_refused_after_own_ones(run: Run, shape: str) -> None:
    source = _program(BODIES[shape], "") + "for _ in range(50): Mine().get()\nMine.get(thing)\n"
    with pytest.raises(AttributeError, match="is refused"):
        run(source, thing=threading.Thread(target=print))


def test_in_plain_python_the_foreign_object_opens() -> None:
    exec(_program(BODIES["one access"], "") + "found = Mine.get(thing)", space := {"thing": _T})
    assert space["found"] is print


_T = threading.Thread(target=print)


def test_a_traceback_names_the_line_of_either_body(session: Session) -> None:
    source = (
        "class A{}:\n    def f(self):\n        self._x = 1\n        return self._x / 0\nA().f()"
    )
    for base in ("", "(threading.Thread)"):
        space = session.namespace(threading=threading)
        with pytest.raises(ZeroDivisionError) as caught:
            session.run(source.format(base), space, "<cell>")
        lines = [(e.path, e.lineno + 1) for e in caught.traceback]
        assert [n for path, n in lines if str(path) == "<cell>"] == [5, 4]
