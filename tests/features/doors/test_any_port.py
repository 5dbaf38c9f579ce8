"""Any free port is one of those that may be listened on, and none that is refused."""

from __future__ import annotations

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Raised, Start, World

GIVEN = '[[given.sockets]]\nlisten = "127.0.0.1:*"\nreason = "test"\n'
REFUSED = '[[refuse.sockets]]\nlisten = "127.0.0.1:1024-65535"\nreason = "test"\n'
ANY = (
    "s = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nit = s.getsockname()[1]\ns.close()"
)


def test_any_free_port_is_none_that_is_refused(world: World, start: Start, level: Level) -> None:
    worker = start(world.rights(GIVEN + REFUSED), level)
    with pytest.raises(Raised) as refused:
        worker.run(ANY)
    assert refused.value.kind == "PermissionError"
    assert any("refuse" in text for text in worker.denied)


def test_control_any_free_port_is_had_where_none_is_refused(
    world: World, start: Start, level: Level
) -> None:
    assert start(world.rights(GIVEN), level).run(ANY) >= 1024
