"""The shipped policies and a notebook's places, for the tests of policies."""

from __future__ import annotations

import pytest
from hypothesis import settings

from sandbox_kernel.policy import Places, Policy
from tests.unit.policy.samples import NOTEBOOK, shipped

# The tests run as a user who may not write beside them, and on machines that are busy.
settings.register_profile("policy", database=None, deadline=None)
settings.load_profile("policy")


@pytest.fixture(scope="session")
def default() -> Policy:
    return shipped("default")


@pytest.fixture
def places() -> Places:
    return NOTEBOOK
