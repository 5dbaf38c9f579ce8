"""The file in memory between the process that starts a kernel and the supervisor."""

from __future__ import annotations

import os
from typing import Any

import nbformat
import pytest

from sandbox_kernel.shared.errors import KernelFault
from sandbox_kernel.trusted.launch_inputs import (
    LaunchInputs,
    NoRequest,
    hand_over,
    take,
    with_inputs,
)
from sandbox_kernel.trusted.options import LaunchOptions


def test_what_was_handed_over_is_taken_whole_and_once() -> None:
    said = LaunchInputs("client", "/n.ipynb", {"files": [{"path": "ä"}]}, "agent")
    descriptor = hand_over(said)
    assert take(descriptor) == said
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_notebooks_own_metadata_object_can_be_handed_over() -> None:
    metadata = nbformat.from_dict({"files": [{"path": "x"}]})
    assert take(hand_over(LaunchInputs(requests=metadata))).requests == metadata


def test_nobody_changes_what_was_handed_over() -> None:
    descriptor = hand_over(LaunchInputs())
    try:
        for change in (lambda: os.write(descriptor, b"x"), lambda: os.truncate(descriptor, 0)):
            with pytest.raises(PermissionError):
                change()
    finally:
        os.close(descriptor)


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "requests", ["x" * (1 << 20), {"a": object()}, nested(100_000)], ids=["large", "object", "deep"]
)
def test_what_is_no_request_is_refused(requests: Any) -> None:
    with pytest.raises(NoRequest):
        hand_over(LaunchInputs("client", requests=requests))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"level": "language-only"}', b'{"policy": 1}'])
def test_something_else_is_refused(content: bytes) -> None:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    with pytest.raises(KernelFault, match="not what the sandbox provisioner hands over"):
        take(reading)


def test_what_the_launcher_said_itself_holds() -> None:
    inputs = LaunchInputs("session", "/n.ipynb", {"modules": ["scipy"]}, "agent")
    told = with_inputs(LaunchOptions(policy="grading", metadata={}), inputs)
    assert told == LaunchOptions(policy="grading", notebook="/n.ipynb", metadata={})
    assert with_inputs(LaunchOptions(), inputs) == LaunchOptions(
        policy="agent", notebook="/n.ipynb", metadata={"modules": ["scipy"]}
    )
