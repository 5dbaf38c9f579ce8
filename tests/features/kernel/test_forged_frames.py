"""A cell that has taken over its worker process speaks to the supervisor directly.

Each attack uses the worker's own channel, as code that walks the heap can. The control is the last
test: the same channel, used the same way, does work for what a worker may say.
"""

import pytest

TAKE_OVER = """
import gc, json, os, struct
link = [o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link'][0]
sock = link._socket
me = get_ipython().kernel.get_parent()['header']['msg_id']
def say(**message):
    data = json.dumps(message).encode()
    sock.sendall(struct.pack('<II', 1, len(data)) + data)
bundle = {'data': {'text/plain': 'FOR' + 'GED'}, 'metadata': {}, 'execution_count': 1}
"""


@pytest.fixture(scope="module")
def taken(kernel):
    assert kernel.run(TAKE_OVER).status == "ok"
    return kernel


def run(kernel, code):
    result = kernel.run(TAKE_OVER + code)
    assert kernel.run("print('alive')").text() == "alive\n"
    return result


def own(result, kind):
    """Messages of the supervisor's own types that a cell could have wanted to forge."""
    return [content for content in result.of(kind) if "FORGED" in str(content)]


def test_a_reply_for_another_request_is_not_taken(taken):
    result = run(
        taken, "say(say='reply', to='another', content={'status': 'ok', 'x': 'FOR' + 'GED'})"
    )
    assert "FORGED" not in str(result.reply["content"])


def test_a_second_reply_is_not_sent(taken):
    code = "say(say='reply', to=me, content={'status': 'ok', 'payload': []})\n1/0"
    run(taken, code)
    assert not taken.client.shell_channel.msg_ready()


def test_finishing_early_gives_no_second_idle(taken):
    run(taken, "say(say='finished', to=me)\nsay(say='finished', to=me)")


@pytest.mark.parametrize(
    "kind",
    ["status", "execute_input", "shutdown_reply", "sandbox_event", "iopub_welcome", "made_up"],
)
def test_types_that_only_the_supervisor_sends_end_the_worker(taken, kind):
    code = f"say(say='output', type={kind!r}, content={{'x': 'FOR' + 'GED'}})"
    result = run(taken, code + "\nimport time; time.sleep(9)")
    assert result.status == "error"
    assert "protocol" in result.error
    assert not own(result, kind)


def test_the_display_of_another_cell_is_not_updated(taken):
    taken.run("display('first', display_id='of-cell-1')")
    code = (
        "say(say='output', type='update_display_data', content=dict(bundle, "
        "transient={'display_id': 'never-opened'}))"
    )
    assert not own(run(taken, code), "update_display_data")


def test_no_password_is_asked_when_the_client_takes_no_input(taken):
    run(taken, "say(say='input-wanted', to=me, prompt='Password:', password=True)")
    assert not taken.client.stdin_channel.msg_ready()


def test_the_number_of_a_result_is_the_supervisors(taken):
    result = run(taken, "say(say='output', type='execute_result', content=bundle)")
    (content,) = result.of("execute_result")
    assert content["execution_count"] == result.reply["content"]["execution_count"]


@pytest.mark.parametrize(
    "garbage",
    [
        "b'\\xff' * 64",
        "struct.pack('<II', 1, 2**31)",
        "struct.pack('<II', 1, 7) + b'not js.'",
        'struct.pack(\'<II\', 1, 30) + b\'{"say":"ready","unknown":123456}\'',
    ],
)
def test_garbage_ends_the_worker_and_not_the_kernel(taken, garbage):
    result = run(taken, f"sock.sendall({garbage})\nimport time; time.sleep(9)")
    assert result.status == "error"
    assert "WorkerDied" in result.error


def test_a_death_in_the_middle_of_a_message_is_told_and_the_next_cell_runs(taken):
    result = run(taken, "sock.sendall(struct.pack('<II', 1, 1000) + b'half'); os._exit(3)")
    assert result.status == "error"
    assert "exit code 3" in result.error


def test_control_an_honest_message_on_the_same_channel_is_published(taken):
    result = run(
        taken, "say(say='output', type='display_data', content=dict(bundle, transient={}))"
    )
    assert own(result, "display_data")
