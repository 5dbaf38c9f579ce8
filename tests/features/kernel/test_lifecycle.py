"""Death of the worker, order of cells, restart, the end."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
    ],
)
def test_a_dead_worker_is_told_and_the_next_cell_runs(kernel, code, said):
    result = kernel.run(code)
    assert result.status == "error"
    assert said in result.error
    assert result.types.count("error") == 1
    assert kernel.run("print('alive')").text() == "alive\n"


def test_numbers_go_on_after_a_death(kernel):
    before = kernel.run("1").reply["content"]["execution_count"]
    kernel.run("import os; os._exit(1)")
    result = kernel.run("'now'")
    assert result.reply["content"]["execution_count"] == before + 2
    assert kernel.run("In[-1], Out").status == "ok"


def test_cells_that_were_sent_before_an_error_are_aborted(kernel):
    ids = [kernel.client.execute(code) for code in ("1/0", "print(2)", "print(3)")]
    statuses = {}
    while len(statuses) < 3:
        reply = kernel.client.get_shell_msg(timeout=30)
        statuses[reply["parent_header"]["msg_id"]] = reply["content"]["status"]
    assert [statuses[i] for i in ids] == ["error", "aborted", "aborted"]
    assert kernel.run("print('next')").text() == "next\n"


def test_cells_go_on_when_the_client_says_so(kernel):
    first = kernel.client.execute("1/0", stop_on_error=False)
    second = kernel.client.execute("2")
    statuses = {}
    while len(statuses) < 2:
        reply = kernel.client.get_shell_msg(timeout=30)
        statuses[reply["parent_header"]["msg_id"]] = reply["content"]["status"]
    assert statuses == {first: "error", second: "ok"}


def test_silent_and_unstored_cells_do_not_count(kernel):
    before = kernel.run("1").reply["content"]["execution_count"]
    silent = kernel.run("2", silent=True)
    assert "execute_input" not in silent.types
    kernel.run("3", store_history=False)
    assert kernel.run("4").reply["content"]["execution_count"] == before + 1


def test_user_expressions_are_evaluated(kernel):
    reply = kernel.run("a = 5", user_expressions={"twice": "a * 2", "bad": "1/0"}).reply
    results = reply["content"]["user_expressions"]
    assert results["twice"]["data"]["text/plain"] == "10"
    assert results["bad"]["status"] == "error"


def test_history_is_of_this_session(kernel):
    kernel.run("first_of_history = 1")
    content = {"hist_access_type": "tail", "n": 3, "output": False, "raw": True}
    reply = kernel.request("history_request", content).reply["content"]
    assert any("first_of_history" in entry[2] for entry in reply["history"])


def test_restart_forgets_and_shutdown_leaves_no_process(start_kernel):
    kernel = start_kernel(transport="ipc")
    kernel.run("x = 1")
    kernel.manager.restart_kernel()
    kernel.client.wait_for_ready(timeout=60)
    assert "NameError" in kernel.run("x").error
    process = psutil.Process(kernel.manager.provisioner.pid)
    family = [process, *process.children(recursive=True)]
    assert len(family) > 1
    kernel.manager.shutdown_kernel()
    assert not psutil.wait_procs(family, timeout=10)[1]


def test_the_family_goes_when_the_supervisor_is_killed(start_kernel):
    kernel = start_kernel()
    process = psutil.Process(kernel.manager.provisioner.pid)
    children = process.children(recursive=True)
    assert children
    process.send_signal(signal.SIGKILL)
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_a_second_kernel_on_the_same_ports_is_told_why_it_cannot_start(kernel, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    second = subprocess.run(
        [sys.executable, "-P", "-m", "sandbox_kernel", "-f", kernel.manager.connection_file],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=tmp_path,
    )
    assert second.returncode == 1
    assert "another kernel" in second.stderr


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"transport": "carrier pigeon"})])
def test_a_broken_connection_file_is_told(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "sandbox_kernel", "-f", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert ended.returncode == 1
    assert str(path) in ended.stderr


def test_unsigned_and_repeated_messages_are_dropped(kernel):
    socket = kernel.client.shell_channel.socket
    session = kernel.client.session
    message = session.msg("execute_request", {"code": "print('forged')", "silent": False})
    frames = session.serialize(message)
    forged = [*frames[:1], b"0" * 64, *frames[2:]]
    socket.send_multipart(forged)
    socket.send_multipart(frames)
    socket.send_multipart(frames)
    kernel.reply_to(message["header"]["msg_id"])
    assert kernel.run("print('next')").text() == "next\n"
    assert not kernel.client.shell_channel.msg_ready()
