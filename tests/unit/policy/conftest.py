"""The shipped policies, found where the repository keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox_kernel.policy import Layer, Places, Policy, load_named

POLICIES = Path(__file__).parents[3] / "policies"
SHIPPED = ("default", "locked-down", "data-science", "classroom", "grading", "agent")


def read(path: str) -> str | None:
    file = Path(path)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def shipped(name: str) -> Policy:
    return load_named(name, [Layer("shipped", str(POLICIES))], read)


@pytest.fixture
def default() -> Policy:
    return shipped("default")


@pytest.fixture
def places() -> Places:
    return Places(folder="/home/ann/nb", notebook="/home/ann/nb/case.ipynb", home="/home/ann")
