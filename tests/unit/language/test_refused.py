"""What is refused: with its line, the construct, why, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox_kernel.language import RefusedModule, RefusedSyntax, Session

Run = Callable[..., dict[str, Any]]

BEFORE_IT_RUNS = {
    "x = 1\n__builtins__": (2, "__builtins__", "reserved"),
    "def f(_getattr_, /): pass": (1, "_getattr_", "another name"),
    "().__class__": (1, "__class__", "type("),
    "'{0.__globals__}'.format(f)": (1, "__globals__", "pass the value"),
    "match x:\n    case object(__globals__=g): pass": (2, "__globals__", "read the attribute"),
    "class A:\n    __array_interface__ = {}": (2, "__array_interface__", "docs/dialect.md"),
    "class A:\n    for __match_args__ in [()]: pass": (2, "__match_args__", "plain"),
    "from . import x": (1, "relative import", "full name"),
    "def f(x: 'a.__globals__'): pass": (1, "__globals__", "public name"),
    "__class__ = 1": (1, "__class__", "another name"),
}
WHEN_IT_RUNS = {
    "check.__globals__": AttributeError,
    "getattr(check, '__glo' + 'bals__')": AttributeError,
    "check.__code__": AttributeError,
    "check.__code__ = 1": AttributeError,
    "check.__defaults__ = (1,)": AttributeError,
    "print.__self__": AttributeError,
    "type.__dict__": AttributeError,
    "vars(type)": AttributeError,
    "getattr(object, '__sub' + 'classes__')()": AttributeError,
    "import json\njson.dumps = 1": AttributeError,
    "import json\nm = json\nm.dumps = 1": AttributeError,
    "import json\nsetattr(json, 'dumps', 1)": AttributeError,
    "import json\ndel json.dumps": AttributeError,
    "import json\njson.codecs": AttributeError,
    "from random import _os": ImportError,
    "from json import codecs": ImportError,
    "import sys\nsys.modules": AttributeError,
    "import os\nos.system('true')": PermissionError,
    "f = getattr(str, 'form' + 'at')\nf('{0.__code__}', check)": AttributeError,
    "import string\nstring.Formatter": AttributeError,
    "import operator\noperator.attrgetter('__class__.__base__')(1)": AttributeError,
    "import inspect\ninspect.currentframe()": AttributeError,
    "exec('import ctypes')": ImportError,
    "eval('().__class__')": SyntaxError,
    "(x for x in [1]).gi_frame": AttributeError,
    "type('A', (), {'__array_interface__': {}})": TypeError,
    "class M(type):\n    def __new__(m, n, b, d):\n        d = dict(d, __class__=int)\n"
    "        return super().__new__(m, n, b, d)\nclass A(metaclass=M): pass": TypeError,
    "import pickle\npickle.loads(b'cos\\nsystem\\n(S\\'true\\'\\ntR.')": PermissionError,
    "import types\ntypes.FunctionType": AttributeError,
    "class A:\n    def f(self): return self._module\nimport warnings\n"
    "A.f(warnings.catch_warnings())": AttributeError,
    "class A:\n    def f(self):\n        def g(self): return self._module\n"
    "        return g(cw)\n"
    "import warnings\ncw = warnings.catch_warnings()\nA().f()": AttributeError,
    "class B: pass\nB.__bases__ = (int,)": AttributeError,
}


def grader() -> Any:
    """A trusted function."""


@pytest.mark.parametrize("source", BEFORE_IT_RUNS)
def test_refused_before_anything_runs(source: str, session: Session) -> None:
    line, construct, instead = BEFORE_IT_RUNS[source]
    with pytest.raises(RefusedSyntax) as caught:
        session.check(source, "<cell>")
    assert caught.value.lineno == line
    assert construct in str(caught.value)
    assert instead in str(caught.value)


@pytest.mark.parametrize("source", WHEN_IT_RUNS)
def test_refused_when_it_runs(source: str, run: Run) -> None:
    with pytest.raises(WHEN_IT_RUNS[source]):
        run(source, check=grader)


@pytest.mark.parametrize(
    "source",
    ["check.__globals__", "getattr(check, '__glo' + 'bals__')", "import json\njson.codecs"],
)
def test_the_same_reaches_in_cpython(source: str) -> None:
    """The control: without the dialect the attribute is there."""
    exec(source, {"check": grader})


def test_a_refused_cell_runs_no_statement(session: Session) -> None:
    space = session.namespace(seen=[])
    with pytest.raises(RefusedSyntax):
        session.run("seen.append(1)\n().__class__", space)
    assert space["seen"] == []


def test_an_import_says_module_rule_and_how_to_ask(run: Run) -> None:
    with pytest.raises(RefusedModule) as caught:
        run("import ctypes.util")
    text = str(caught.value)
    assert "ctypes.util" in text
    assert "tests.toml" in text
    assert "modules" in text
    assert '"sandbox"' in text


def test_two_refusals_of_a_cell_are_both_told(session: Session) -> None:
    with pytest.raises(RefusedSyntax) as caught:
        session.check("().__class__\n\n__loader__", "<cell>")
    assert [r.line for r in caught.value.refusals] == [1, 3]
