"""Every attack as a cell of a live kernel, and as a cell of plain ipykernel, where it succeeds.

Beside the targets of the other tests stands the kernel itself: its supervisor, its connection file,
the tokens of the server that started it, and the scratch of a second kernel of the same user.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from .live import LiveKernel, note_in_scratch, plain, sandboxed
from .outside import Outside
from .test_escapes import ATTACKS

LEVELS = ("full", "no-namespaces")
#: A live kernel holds descriptors of its own event loop; `test_lifecycle.py` looks at descriptors.
NOT_HERE = {"hold_a_descriptor_that_was_not_given"}
NAMES = [name for name in ATTACKS if name not in NOT_HERE]
#: Those that take a process of somebody else's, here the supervisor.
ON_A_PROCESS = [
    *("read_the_environment_of_an_outside_process", "open_the_memory_of_an_outside_process"),
    *("list_the_descriptors_of_an_outside_process", "see_an_outside_process"),
    *("signal_an_outside_process", "signal_an_outside_process_by_queue"),
    *("signal_an_outside_process_by_pidfd", "signal_an_outside_process_by_owning_a_descriptor"),
    *("open_a_pidfd_of_an_outside_process", "take_a_descriptor_of_an_outside_process"),
    *("seize_an_outside_process", "read_the_memory_of_an_outside_process"),
    *("write_the_memory_of_an_outside_process", "compare_kernel_objects"),
    *("limit_an_outside_process", "pin_an_outside_process", "renice_an_outside_process"),
    *("read_by_outside_root_link", "read_by_outside_cwd_link", "join_an_outside_namespace"),
]


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """What stands outside."""
    made = Outside()
    yield made
    made.close()


@pytest.fixture(scope="module")
def scratch(outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The scratch of a second kernel, at the level where it lies on the host, with a note."""
    second = sandboxed(tmp_path_factory.mktemp("second"), outside, "no-namespaces")
    place = note_in_scratch(second.kernel)
    assert Path(place, "home", "note").read_text() == "private"
    yield place
    second.close()


@pytest.fixture(scope="module", params=LEVELS)
def live(
    request: Any, outside: Outside, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveKernel]:
    """This kernel."""
    made = sandboxed(tmp_path_factory.mktemp("live"), outside, request.param)
    made.target["other_scratch"] = scratch
    yield made
    made.close()


@pytest.fixture(scope="module")
def control(
    outside: Outside, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveKernel]:
    """Plain ipykernel."""
    made = plain(tmp_path_factory.mktemp("plain"), outside)
    made.target["other_scratch"] = scratch
    yield made
    made.close()


def supervisor_of(live: LiveKernel) -> psutil.Process:
    return psutil.Process(live.kernel.manager.provisioner.process.pid)


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_from_a_cell_fails(name: str, live: LiveKernel) -> None:
    if live.level not in ATTACKS[name].levels:
        pytest.skip("a gap of this level that the documents name")
    result = live.attack(name, ATTACKS[name].witness)
    assert not result.through, result.how


@pytest.mark.parametrize("name", ON_A_PROCESS)
def test_an_attack_from_a_cell_on_its_own_supervisor_fails(name: str, live: LiveKernel) -> None:
    supervisor = supervisor_of(live)
    result = live.attack(name, outside_pid=supervisor.pid)
    if ATTACKS[name].witness == "signalled":
        # SIGUSR1 would have ended it.
        assert live.kernel.run("print('listens')").text() == "listens\n"
    else:
        assert not result.through, result.how
    assert supervisor.is_running()
    assert supervisor.status() != psutil.STATUS_STOPPED


@pytest.mark.parametrize("name", [name for name in NAMES if not ATTACKS[name].no_control])
def test_the_same_attack_from_a_cell_of_plain_ipykernel_succeeds(
    name: str, control: LiveKernel
) -> None:
    if ATTACKS[name].root and os.getuid() != 0:
        pytest.skip("takes uid 0 without walls, too")
    result = control.attack(name, ATTACKS[name].witness)
    if result.absent:
        pytest.skip(f"this kernel lacks {result.how}")
    assert result.through, result.how


def test_a_signal_to_the_process_that_holds_the_key_ends_plain_ipykernel(
    outside: Outside, tmp_path: Path
) -> None:
    """The control of the signals: an ipykernel that somebody else's cell can end."""
    victim, attacker = plain(tmp_path, outside), plain(tmp_path, outside)
    try:
        process = victim.kernel.manager.provisioner.process
        attacker.attack("signal_an_outside_process", outside_pid=process.pid)
        assert process.wait(timeout=20) == -signal.SIGUSR1
    finally:
        attacker.close()
        victim.close()
