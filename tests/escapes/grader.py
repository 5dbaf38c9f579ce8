"""A grader's module, as the attacks meet it: trusted code that holds a secret."""

from __future__ import annotations

import functools
from collections.abc import Callable

SECRET = "s3cr3t"


def check(answer: object = None) -> bool:
    """True for the right answer."""
    return answer == SECRET


def _closure() -> Callable[[], int]:
    hidden = 42

    def check2() -> int:
        return hidden

    return check2


check2 = _closure()


@functools.lru_cache
def check3(answer: object) -> bool:
    """As `check`, remembered."""
    return answer == SECRET


class Checker:
    """A grader's class."""

    def __init__(self) -> None:
        self._answer = SECRET

    def grade(self) -> int:
        """The points."""
        return 1


checkobj = Checker()
