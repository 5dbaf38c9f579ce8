"""The short soak that every change must pass; `make soak` runs the long one."""

from __future__ import annotations

import pytest

from tests.soak.soak import soak


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_cells_and_their_deaths_leave_nothing_behind(tmp_path) -> None:
    report = soak(tmp_path, cells=100, seed=20)
    assert not report.faults, report.text()
    assert len(report.deaths) == 5
