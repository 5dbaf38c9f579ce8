"""Output that nobody could show: a note stands in its place, and the next cell is unharmed."""

import pytest

SHOW = "from IPython.display import display\n"
TAKEN = (
    "from sandbox_kernel.shared.messages import Output\nlink = get_ipython().kernel.worker_link\n"
)
MODEL = (
    "{'comm_id': 'c' * 32, 'target_name': 'jupyter.widget', 'data': {'state': {"
    "'_model_module': '@jupyter-widgets/controls', '_model_name': 'ImageModel'}, "
    "'buffer_paths': [['value'], ['more']]}}"
)
BAD = {
    "nested tags": SHOW + "display({'text/html': '<div>' * 100_000}, raw=True)",
    "invalid base64": SHOW + "display({'image/png': '!!!'}, raw=True)",
    "data that is no text": SHOW + "display({'text/html': {'a': 1}, 'image/png': 3}, raw=True)",
    "a line break in a type": SHOW + "display({'text/html\\nX: y': '<b>x</b>'}, raw=True)",
    "mutation": SHOW + "display({'text/html': '<svg></p><style><a id=\"</style>"
    "<img src=1 onerror=alert(1)>\">'}, raw=True)",
    "no bundle": TAKEN + "link.send(Output('display_data', {'data': [1], 'metadata': 3}))",
}


@pytest.mark.parametrize("name", BAD)
def test_a_note_stands_for_output_that_is_bad(kernel, name):
    ran = kernel.run(BAD[name])
    assert ran.status == "ok", ran.error
    [shown] = ran.of("display_data")
    assert "Withheld" in shown["data"]["text/html"]
    assert "onerror=" not in shown["data"]["text/html"].replace("&lt;", "")
    assert kernel.run("print('next')").text() == "next\n"


def test_a_widget_whose_buffers_do_not_match_is_not_opened(kernel):
    view = "{'application/vnd.jupyter.widget-view+json': {'model_id': 'c' * 32}}"
    ran = kernel.run(
        f"{TAKEN}{SHOW}link.send(Output('comm_open', {MODEL}), [b'one'])\ndisplay({view}, raw=True)"
    )
    assert ran.of("comm_open") == []
    assert "its buffers do not match" in ran.of("display_data")[0]["data"]["text/html"]
    assert kernel.run("print('next')").text() == "next\n"


def test_a_million_outputs_end_with_one_line(kernel):
    ran = kernel.run(SHOW + "for i in range(1_000_000): display({'text/plain': 'x'}, raw=True)")
    assert ran.text("stderr").count("output limit") == 1
    assert len(ran.of("display_data")) < 200_000
    assert kernel.run("print('next')").text() == "next\n"
