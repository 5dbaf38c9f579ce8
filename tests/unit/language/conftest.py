"""Sessions of the dialect for the unit tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox_kernel.language import DialectRules, Session

MODULES = """abc asyncio array base64 bisect calendar collections concurrent contextlib copy csv
    dataclasses datetime decimal doctest email enum fractions functools hashlib heapq
    importlib inspect io itertools json logging math numbers operator os pickle pprint
    random re statistics string sys textwrap threading time timeit traceback types typing
    unittest uuid warnings weakref zlib""".split()


@pytest.fixture(scope="session")
def session() -> Session:
    """A session whose world is not frozen: the test process goes on after it."""
    rules = DialectRules(
        modules=dict.fromkeys(MODULES, "tests.toml line 1: the tests"), policy="tests.toml"
    )
    return Session(rules, freeze=False)


@pytest.fixture
def run(session: Session) -> Callable[[str], dict[str, Any]]:
    """Run a cell in a fresh namespace, and give the namespace."""

    def run(source: str, **names: Any) -> dict[str, Any]:
        space = session.namespace(**names)
        session.run(source, space)
        return space

    return run
