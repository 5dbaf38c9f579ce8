"""The shipped policies and a notebook's places, for the tests of policies."""

from __future__ import annotations

import pytest

from sandbox_kernel.policy import Places, Policy
from tests.unit.policy.samples import NOTEBOOK, shipped


@pytest.fixture(scope="session")
def default() -> Policy:
    return shipped("default")


@pytest.fixture
def places() -> Places:
    return NOTEBOOK
