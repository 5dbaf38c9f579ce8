"""Interrupts reach every kind of running cell, and the session goes on."""

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "print('go', flush=True)\nwhile True: pass",
        "import time\nprint('go', flush=True)\ntime.sleep(600)",
        "import asyncio\nprint('go', flush=True)\nawait asyncio.sleep(600)",
        "import asyncio\nawait asyncio.sleep(0)\nprint('go', flush=True)\nwhile True: pass",
        "import threading\nprint('go', flush=True)\nthreading.Event().wait()",
        "import socket\na, b = socket.socketpair()\nprint('go', flush=True)\na.recv(1)",
    ],
)
def test_a_cell_is_interrupted(kernel, code):
    kernel.run("kept = 41")
    result = kernel.run(code, interrupt_when="go")
    assert result.status == "error"
    assert "KeyboardInterrupt" in result.error
    assert result.of("error")[0]["ename"] == "KeyboardInterrupt"
    assert kernel.run("import asyncio\nawait asyncio.sleep(0)\nprint(kept + 1)").text() == "42\n"


def test_finally_blocks_of_an_awaiting_cell_run(kernel):
    code = (
        "import asyncio\ntry:\n    print('go', flush=True)\n    await asyncio.sleep(600)\n"
        "finally:\n    print('cleaned up')"
    )
    assert "cleaned up" in kernel.run(code, interrupt_when="go").text()


def test_a_runaway_background_task_is_ended_between_cells(kernel):
    kernel.run(
        "import asyncio\nasync def spin():\n    await asyncio.sleep(2)\n"
        "    print('spins', flush=True)\n    while True: pass\n"
        "task = asyncio.ensure_future(spin())"
    )
    kernel.published(lambda m: m["content"].get("text") == "spins\n")
    kernel.interrupt()
    assert kernel.run("print('usable', task.done())").text() == "usable True\n"


def test_an_interrupt_between_cells_does_nothing(kernel):
    kernel.interrupt()
    assert kernel.run("print('fine')").text() == "fine\n"


def test_control_is_answered_and_completeness_checked_while_a_cell_runs(kernel):
    cell = kernel.client.execute("import time\nprint('go', flush=True)\ntime.sleep(600)")
    kernel.published(lambda m: m["content"].get("text") == "go\n")
    info = kernel.request("kernel_info_request", {}, "control")
    assert info.status == "ok"
    # Clients go by the last status: the cell still runs.
    state = kernel.published(lambda m: m["msg_type"] == "status")
    assert state["content"]["execution_state"] == "busy"
    checked = kernel.request("is_complete_request", {"code": "x = ("})
    assert checked.status == "incomplete"
    kernel.manager.interrupt_kernel()
    assert kernel.reply_to(cell)["content"]["ename"] == "KeyboardInterrupt"
    assert kernel.run("print('next')").text() == "next\n"


def test_input_is_answered_and_can_be_interrupted(kernel):
    assert kernel.run("print('hello', input('name? '))", answer="Ann").text() == "hello Ann\n"
    cell = kernel.client.execute("input('never answered ')", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=30)
    kernel.manager.interrupt_kernel()
    assert kernel.reply_to(cell)["content"]["ename"] == "KeyboardInterrupt"
    assert kernel.run("print('next')").text() == "next\n"


def test_input_without_a_client_that_answers_is_an_error_at_once(kernel):
    assert "StdinNotImplementedError" in kernel.run("input()").error


def test_an_interrupt_reaches_a_cell_that_the_worker_has_not_begun(kernel):
    """As soon as a client sees that the cell is on, long before the worker has read it."""
    for _ in range(30):
        cell = kernel.client.execute("while True: pass")
        kernel.published(
            lambda m: (
                m["msg_type"] == "execute_input" and m["parent_header"]["msg_id"] == cell  # noqa: B023
            )
        )
        kernel.manager.interrupt_kernel()
        assert kernel.reply_to(cell)["content"]["ename"] == "KeyboardInterrupt"
    assert kernel.run("print('next')").text() == "next\n"
