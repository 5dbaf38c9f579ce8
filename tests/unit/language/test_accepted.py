"""Ordinary Python is accepted, and does what it does in CPython."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]

ACCEPTED = {
    "match": "match (1, [2, 3]):\n    case (a, [b, *_]): r = a + b\nassert r == 3",
    "mapping pattern": "match {'k': 1, 'z': 2}:\n    case {'k': v, **rest}: pass\nassert rest",
    "starred": "a, *b = [1, 2, 3]\nassert b == [2, 3]",
    "nested format": "w = 6\nassert f'{3.14159:{w}.{2}f}' == '  3.14'",
    "walrus": "if (n := 4) > 3: pass\nassert n == 4",
    "private": (
        "class A:\n    def __init__(self): self._x = 1; self.__y = 2\n"
        "    def __eq__(self, o): return self._x == o._x and self.__y == o.__y\n"
        "    def inc(self):\n        self._x += 1; self.__y -= 1\n        return self._x\n"
        "a = A(); assert a == A(); assert a.inc() == 2; a._x = 5; assert a._x == 5"
    ),
    "private in a subclass of a library class": (
        "import collections\nclass D(collections.OrderedDict):\n"
        "    def __init__(self): super().__init__(); self._n = 0\n"
        "    def add(self): self._n += 1; return self._n\nassert D().add() == 1"
    ),
    "private in comprehension and lambda": (
        "class A:\n    def __init__(self): self._v = [1, 2]\n"
        "    def f(self): return [x + len(self._v) for x in self._v], (lambda: self._v)()\n"
        "assert A().f() == ([3, 4], [1, 2])"
    ),
    "dataclass": (
        "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass P:\n"
        "    x: int\n    y: list = field(default_factory=list)\n"
        "match P(1, [2]):\n    case P(a, b): assert (a, b) == (1, [2])"
    ),
    "slotted dataclass": (
        "from dataclasses import dataclass\n@dataclass(slots=True, frozen=True)\nclass P:\n"
        "    _x: int\n    def get(self): return self._x\nassert P(3).get() == 3"
    ),
    "enum": "import enum\nclass C(enum.Enum):\n    R = 1\nassert C(1) is C.R and C.R.name == 'R'",
    "metaclass": (
        "class M(type):\n    def __new__(m, n, b, d, **k):\n"
        "        c = super().__new__(m, n, b, d); c.tag = n; return c\n"
        "    def __call__(c, *a, **k): return super().__call__(*a, **k)\n"
        "class X(metaclass=M): pass\nassert X.tag == 'X' and type(X()) is X and type(X) is M"
    ),
    "singleton": (
        "class S:\n    _i = None\n    def __new__(cls):\n        if cls._i is None:\n"
        "            cls._i = super().__new__(cls)\n        return cls._i\nassert S() is S()"
    ),
    "abstract": (
        "from abc import ABC, abstractmethod\nclass S(ABC):\n    @abstractmethod\n"
        "    def f(self): ...\ntry: S()\nexcept TypeError: pass\nelse: raise SystemExit"
    ),
    "nonlocal": (
        "def o():\n    c = 0\n    def i():\n        nonlocal c; c += 1; return c\n"
        "    i(); return i()\nassert o() == 2"
    ),
    "global": "g = 0\ndef f():\n    global g; g += 1\nf(); assert g == 1",
    "except*": (
        "try: raise ExceptionGroup('e', [ValueError(1), KeyError(2)])\n"
        "except* ValueError: v = 1\nexcept* KeyError: k = 1\nassert v and k"
    ),
    "async": (
        "import asyncio\nasync def g():\n    yield 1\n    yield 2\n"
        "async def m(): return [y async for y in g()]\nassert asyncio.run(m()) == [1, 2]"
    ),
    "properties": (
        "class A:\n    _n = 0\n    @property\n    def n(self): return self._n\n"
        "    @n.setter\n    def n(self, v): self._n = v\na = A(); a.n = 7; assert a._n == 7"
    ),
    "instance dictionary": (
        "class A:\n    def __init__(self, **k): self.__dict__.update(k)\n"
        "a = A(x=1); assert a.__dict__ == {'x': 1} and vars(a)['x'] == 1"
    ),
    "frozen object": (
        "class F:\n    def __init__(self): super().__setattr__('x', 1)\n"
        "    def __setattr__(self, n, v): raise AttributeError(n)\nassert F().x == 1"
    ),
    "proxy": (
        "class P:\n    def __init__(self, o): self._o = o\n"
        "    def __getattr__(self, n): return getattr(self._o, n)\nassert P([1, 2]).index(2) == 1"
    ),
    "type name": "class A: pass\nassert A().__class__.__name__ == 'A' and A.__mro__[0] is A",
    "wraps": (
        "import functools\ndef d(f):\n    @functools.wraps(f)\n"
        "    def w(*a): return f(*a) + 1\n    return w\n@d\ndef f(x): 'doc'; return x\n"
        "assert f(1) == 2 and f.__doc__ == 'doc' and f.__wrapped__(1) == 1"
    ),
    "format": (
        "assert '{0.real}-{1:>4}'.format(3, 'a') == '3-   a'\n"
        "assert '{0.__class__.__name__}'.format(3) == 'int'\n"
        "t = '{x}'\nassert t.format(x=1) == '1' and '{a}'.format_map({'a': 2}) == '2'"
    ),
    "namedtuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\n"
        "assert P(1, 2)._replace(x=5)._asdict() == {'x': 5, 'y': 2}"
    ),
    "NamedTuple and Protocol": (
        "from typing import NamedTuple, Protocol, runtime_checkable\n"
        "class N(NamedTuple):\n    a: int\n    b: str = 'z'\n"
        "@runtime_checkable\nclass Q(Protocol):\n    def f(self) -> int: ...\n"
        "assert N(1).b == 'z' and not isinstance(N(1), Q)"
    ),
    "type hints": (
        "import typing\nclass T: pass\ndef f(a: 'T', b: 'int | None' = None) -> 'list[int]': ...\n"
        "assert typing.get_type_hints(f)['a'] is T"
    ),
    "slots": (
        "class S:\n    __slots__ = ('a', '_b')\n    def __init__(self): self.a = 1; self._b = 2\n"
        "assert S()._b == 2"
    ),
    "exec and eval": "exec('y = 5')\nassert eval('y + 1', {'y': 5}) == 6 and y == 5",
    "exec defines functions": (
        "d = {}\nexec('def f(): return g() + 1\\ndef g(): return 1', d)\nassert d['f']() == 2\n"
        "assert '__builtins__' not in d"
    ),
    "compile": "c = compile('1 + 2', '<s>', 'eval')\nassert eval(c) == 3",
    "globals": "globals()['z'] = 3\nassert z == 3 and 'z' in globals()",
    "locals": "def f(a):\n    b = 2\n    return locals()\nassert f(1) == {'a': 1, 'b': 2}",
    "closure": (
        "def o():\n    x = 5\n    def i(): return x\n    return i\n"
        "assert o().__closure__[0].cell_contents == 5"
    ),
    "function facts": "def f(a, b=1): pass\nassert f.__code__.co_argcount == 2",
    "doctest": (
        "import doctest\ndef f(x):\n    '''\n    >>> f(2)\n    4\n    '''\n    return x * x\n"
        "doctest.run_docstring_examples(f, {'f': f})"
    ),
    "timeit": "import timeit\nassert timeit.timeit('1 + 1', number=10) >= 0",
    "attrgetter": "import operator\nassert operator.attrgetter('real', 'imag')(3) == (3, 0)",
    "pickle of own classes": (
        "import pickle\nclass A:\n    def __init__(self): self._v = 1\n"
        "a = pickle.loads(pickle.dumps([1, {'a': 2}]))\nassert a == [1, {'a': 2}]"
    ),
    "copy": (
        "import copy\nclass A:\n    def __init__(self): self._v = [1]\n"
        "b = copy.deepcopy(A()); assert b._v == [1]"
    ),
    "os and sys": (
        "import os, sys\nassert os.path.join('a', 'b') == 'a/b' and sys.version_info > (3,)"
    ),
    "name main": "r = 0\nif __name__ == '__main__': r = 1\nassert r",
    "underscore": "for _ in range(3): pass\n_, b = 1, 2\nassert _ == 1",
    "in place on items": "d = {'k': [1]}\nd['k'][0] += 1\nd['n'] = d.get('n', 0) + 1\nassert d",
    "future": "from __future__ import annotations\ndef f(x: Nowhere): return x\nassert f(1) == 1",
    "deep expression": "x = " + " + ".join(["1"] * 2500) + "\nassert x == 2500",
}
NEWER = {
    (3, 12): {
        "generics": (
            "type V[T] = list[T]\ndef f[T](x: T) -> T: return x\nclass B[T]:\n"
            "    def __init__(self, v: T): self._v = v\n    def g(self) -> T: return self._v\n"
            "assert B(3).g() == 3 and f(1) == 1"
        ),
        "nested quotes": "d = {'a': 1}\nassert f\"{d[\"a\"]}\" == '1'",
    },
    (3, 14): {
        "t-strings": "n = 3\nt = t'hi {n:>4}'\nassert t.interpolations[0].value == 3",
        "deferred annotations": (
            "class A:\n    x: Later\nclass Later: pass\nassert A.__annotations__['x'] is Later"
        ),
    },
}
for version, cases in NEWER.items():
    if sys.version_info >= version:
        ACCEPTED |= cases


@pytest.mark.parametrize("name", ACCEPTED)
def test_ordinary_python_runs(name: str, run: Run) -> None:
    run(ACCEPTED[name])


OURS_ONLY = {"exec defines functions"}  # CPython leaves `__builtins__` in the dictionary


@pytest.mark.parametrize("name", sorted(set(ACCEPTED) - OURS_ONLY))
def test_the_same_code_runs_in_cpython(name: str) -> None:
    """The control: a case that CPython does not run would show nothing."""
    code = compile(ACCEPTED[name], "<cell>", "exec", dont_inherit=True)
    module = types.ModuleType("__main__")
    exec(code, module.__dict__)
