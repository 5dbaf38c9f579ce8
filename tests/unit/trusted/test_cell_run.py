"""What a worker may say about the request that runs."""

import pytest

from sandbox_kernel.trusted.cell_run import CellRun
from sandbox_kernel.trusted.channels import Incoming


def run(kind="execute_request", **content) -> CellRun:
    header = {"msg_id": "now", "msg_type": kind}
    return CellRun(Incoming("shell", [], header, content, {}, []), 7)


def test_only_one_reply_and_only_for_the_running_request():
    cell = run(code="1")
    assert not cell.accept_reply("earlier", {"status": "ok"}, {})
    assert cell.accept_reply("now", {"status": "error"}, {})
    assert not cell.accept_reply("now", {"status": "ok"}, {})
    assert cell.final_reply()["status"] == "error"


@pytest.mark.parametrize("status", [None, "aborted!", 3, ["ok"]])
def test_an_odd_status_never_escapes(status):
    cell = run(code="1")
    cell.accept_reply("now", {"status": status}, {})
    assert cell.final_reply()["status"] in ("ok", "error")


def test_no_reply_is_an_error_and_never_a_pass():
    reply = run(code="1").final_reply()
    assert reply["status"] == "error"
    assert isinstance(reply["traceback"], list)


def test_the_number_of_the_cell_is_not_the_workers():
    cell = run(code="1")
    cell.accept_reply("now", {"status": "ok", "execution_count": 99}, {})
    assert cell.final_reply()["execution_count"] == 7


def test_an_error_reply_has_the_shape_that_clients_read():
    cell = run(code="1")
    cell.accept_reply("now", {"status": "error", "ename": 5, "traceback": "no list"}, {})
    reply = cell.final_reply()
    assert isinstance(reply["ename"], str)
    assert isinstance(reply["evalue"], str)
    assert reply["traceback"] == []


@pytest.mark.parametrize(
    ("content", "counts"),
    [({}, True), ({"store_history": False}, False), ({"silent": True}, False)],
)
def test_what_counts_as_a_cell(content, counts):
    assert run(code="1", **content).stores_history is counts
