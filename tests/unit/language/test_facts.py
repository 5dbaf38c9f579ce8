"""Plain facts: the one read of a private name of an object that a library made."""

from __future__ import annotations

import http.client
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from sandbox_kernel.language.facts import NO_FACT, Facts

Run = Callable[..., dict[str, Any]]


class Library:
    """A class as a given library has them."""

    __slots__ = ("__dict__", "_slot", "_unset")
    _default = 7
    _names: ClassVar = ["a", "b"]

    def __init__(self) -> None:
        self._count = 3
        self._label = "three"
        self._missing = None
        self._items = [1, threading]
        self._many = (1,) * 100_000
        self._lock = threading.Lock()
        self._module = threading
        self._call = len
        self._slot = 1.5
        self.__mangled = 4
        self.ran: list[str] = []

    @property
    def _computed(self) -> int:
        self.ran.append("property")
        return self._count + self.__mangled

    def __getattr__(self, name: str) -> int:
        if name == "_lazy":
            self.__dict__["ran"].append("hook")
            return 5
        raise AttributeError(name)

    def uses(self) -> Any:
        return self._lazy, self._unset, self._default

    def _method(self) -> int:
        return 1


FACTS = {
    "_count": 3,
    "_label": "three",
    "_missing": None,
    "_slot": 1.5,
    "_default": 7,
    "_names": ["a", "b"],
}
REFUSED = [
    "_items",
    "_many",
    "_lock",
    "_module",
    "_call",
    "_Library__mangled",
    "_computed",
    "_lazy",
    "_method",
    "_unset",
    "_absent",
    "__class__",
    "__dict__",
]


@pytest.fixture
def facts() -> Facts:
    return Facts(lambda module: module in (__name__, "threading", "http.client", "types"))


@pytest.mark.parametrize("name", FACTS)
def test_a_plain_value_that_the_class_speaks_of_is_read(facts: Facts, name: str) -> None:
    assert facts.read(Library(), name) == FACTS[name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plain_stored_value_is_not_read(facts: Facts, name: str) -> None:
    thing = Library()
    assert facts.read(thing, name) is NO_FACT
    assert thing.ran == []


def test_the_controls_are_there_to_be_read() -> None:
    """Each refused name, but the unset and the absent one, gives something in plain Python."""
    thing = Library()
    there = {name for name in REFUSED if getattr(thing, name, NO_FACT) is not NO_FACT}
    assert there == set(REFUSED) - {"_unset", "_absent"}
    assert thing.ran == ["property", "hook"]


def test_what_someone_else_hung_on_the_object_is_not_read(facts: Facts) -> None:
    thing = Library()
    thing._answer = 42  # type: ignore[attr-defined]
    assert facts.read(thing, "_answer") is NO_FACT
    assert facts.read(types.SimpleNamespace(_answer=42), "_answer") is NO_FACT


def test_a_subclass_of_a_plain_type_is_not_read(facts: Facts) -> None:
    class Text(str):
        def __len__(self) -> int:
            raise AssertionError

    thing = Library()
    thing._label = Text("x")
    assert facts.read(thing, "_label") is NO_FACT


def test_classes_of_a_module_that_is_not_given_are_not_read() -> None:
    assert Facts(lambda module: False).read(Library(), "_count") is NO_FACT


def test_a_protected_module_keeps_its_own(facts: Facts) -> None:
    facts.protected.add(__name__)
    assert facts.read(Library(), "_count") is NO_FACT


def test_a_class_tells_its_own_facts(facts: Facts) -> None:
    assert facts.read(Library, "_default") == 7
    assert facts.read(Library, "_names") == ["a", "b"]
    for name in ("_slot", "_computed", "_method", "_count", "_hidden"):
        assert facts.read(Library, name) is NO_FACT


def test_a_group_is_copied(facts: Facts) -> None:
    for thing in (Library, Library()):
        facts.read(thing, "_names").append("c")
    assert Library._names == ["a", "b"]


def test_a_grader_s_subclass_of_a_given_class_keeps_its_own(facts: Facts) -> None:
    class Hidden(threading.Thread):
        def __init__(self) -> None:
            super().__init__()
            self._answer = 42

    Hidden.__module__ = "grader"
    assert facts.read(Hidden(), "_answer") is NO_FACT


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (threading.Thread(name="t"), "_name"),
        (http.client.HTTPConnection("localhost"), "_http_vsn_str"),
    ],
)
def test_facts_of_the_standard_library(facts: Facts, thing: object, name: str) -> None:
    assert facts.read(thing, name) == getattr(thing, name)


def test_a_cell_reads_a_fact(run: Run) -> None:
    source = (
        "read = [pool._max_workers, getattr(pool, '_max_workers'), hasattr(pool, '_max_workers')]\n"
        "def f(p): return p._max_workers\nread.append(f(pool))\n"
    )
    assert run(source, pool=ThreadPoolExecutor(3))["read"] == [3, 3, True, 3]


READS = [
    "pool._work_queue",
    "pool._shutdown_lock",
    "pool._adjust_thread_count",
    "pool._idle_semaphore",
]
STORES = [
    "pool._max_workers = 9",
    "pool._max_workers += 9",
    "setattr(pool, '_max_workers', 9)",
    "del pool._max_workers",
]


@pytest.mark.parametrize("attack", READS + STORES)
def test_a_cell_neither_follows_nor_sets_one(run: Run, attack: str) -> None:
    pool = ThreadPoolExecutor(3, initializer=print)
    with pytest.raises(AttributeError):
        run(attack, pool=pool)
    assert pool._max_workers == 3


@pytest.mark.parametrize("attack", READS + STORES)
def test_in_plain_python_each_does_something(attack: str) -> None:
    pool = ThreadPoolExecutor(3, initializer=print)
    exec(f"found = {attack}" if attack in READS else attack, space := {"pool": pool})
    assert space.get("found") is not None or getattr(pool, "_max_workers", None) != 3
