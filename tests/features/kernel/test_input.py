"""Lines that a person types: each answers the prompt that it was typed for, and no other."""

import pytest

CAUGHT = """
try:
    first = input('first ')
except KeyboardInterrupt:
    first = 'none'
print(first, input('second '))
"""


def prompted(kernel):
    return kernel.client.get_stdin_msg(timeout=30)


def typed(kernel, value, prompt=None):
    """Answer as JupyterLab does, which names the prompt; without one as older clients do."""
    message = kernel.client.session.msg("input_reply", {"value": value}, parent=prompt)
    kernel.client.stdin_channel.send(message)


def stream_of(kernel, cell):
    """Text of a cell that runs, once it is over."""
    text = []

    def idle(message):
        if message["parent_header"].get("msg_id") != cell:
            return False
        if message["msg_type"] == "stream":
            text.append(message["content"]["text"])
        return message["content"].get("execution_state") == "idle"

    kernel.published(idle)
    kernel.reply_to(cell)
    return "".join(text)


def test_the_answer_to_an_earlier_cells_prompt_is_not_the_next_ones(kernel):
    first = kernel.client.execute("input('first ')", allow_stdin=True)
    old = prompted(kernel)
    kernel.manager.interrupt_kernel()
    assert kernel.reply_to(first)["content"]["ename"] == "KeyboardInterrupt"
    second = kernel.client.execute("print('got', input('second '))", allow_stdin=True)
    new = prompted(kernel)
    typed(kernel, "for the first", old)
    typed(kernel, "for the second", new)
    assert stream_of(kernel, second) == "got for the second\n"


def test_the_answer_to_a_prompt_that_the_cell_gave_up_is_not_the_next_ones(kernel):
    cell = kernel.client.execute(CAUGHT, allow_stdin=True)
    old = prompted(kernel)
    kernel.manager.interrupt_kernel()
    new = prompted(kernel)
    assert new["content"]["prompt"] == "[cell] second "
    typed(kernel, "for the first", old)
    typed(kernel, "for the second", new)
    assert stream_of(kernel, cell) == "none for the second\n"


def test_a_prompt_is_answered_once(kernel):
    cell = kernel.client.execute("print(input('a '), input('b '))", allow_stdin=True)
    first = prompted(kernel)
    typed(kernel, "1", first)
    typed(kernel, "again", first)
    typed(kernel, "2", prompted(kernel))
    assert stream_of(kernel, cell) == "1 2\n"


def test_a_prompt_waits_for_a_client_whose_stdin_is_not_connected_yet(kernel):
    """Each channel is a socket of its own that connects when it can."""
    late = kernel.manager.client()
    late.session.session = "late" + late.session.session
    late.start_channels(stdin=False, hb=False)
    late.wait_for_ready(timeout=60)
    cell = late.execute("print('asking', flush=True); print('got', input('? '))", allow_stdin=True)
    kernel.published(lambda m: m["content"].get("text") == "asking\n")
    kernel.request("kernel_info_request", {}, "control")
    late.start_channels(shell=False, iopub=False, hb=False, control=False)
    late.get_stdin_msg(timeout=30)
    late.input("line")
    text = kernel.published(lambda m: "got" in m["content"].get("text", ""))
    assert (text["parent_header"]["msg_id"], text["content"]["text"]) == (cell, "got line\n")
    late.stop_channels()


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_control_a_line_answers_the_prompt_that_stands(kernel, named):
    cell = kernel.client.execute("print(input('a '))", allow_stdin=True)
    prompt = prompted(kernel)
    typed(kernel, "x", prompt if named else None)
    assert stream_of(kernel, cell) == "x\n"
