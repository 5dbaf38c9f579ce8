"""All tests of the doors again, as a user who is not root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import run_as_nobody

FILES = sorted(
    path
    for path in Path(__file__).parent.glob("test_*.py")
    if path.name not in ("test_as_nobody.py", "test_races.py")
)


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_as_an_unprivileged_user(file: Path) -> None:
    run_as_nobody(str(file))
