"""What goes wrong in a worker or comes from a client: a clear error, and the next cell runs."""

import pytest

POLICY = """
version = 1
extends = "default"
language = "full"
[limits]
wall_time = "6 s"
grace = "0.5 s"
scratch = "16 MB"
"""
TOO_BIG = 70 << 20  # bytes; the channel to the worker takes 64 MiB
LINK = (
    "import gc\n"
    "link = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link')\n"
)


@pytest.fixture(scope="module")
def small(start_kernel):
    return start_kernel(policy=POLICY)


@pytest.fixture(autouse=True)
def the_next_cell_runs(small):
    yield
    assert small.run("print('next')").text() == "next\n"


@pytest.mark.parametrize("fill", ["open(path, 'wb')", "open(path, 'wb', buffering=0)"])
def test_a_full_scratch_is_told_and_gives_room_again(small, fill):
    code = (
        "import os\npath = os.environ['HOME'] + '/big'\n"
        f"file = {fill}\nwhile True: file.write(b'x' * (1 << 20)); file.flush()"
    )
    said = small.run(code).error
    assert said.startswith("LimitExceeded: scratch") or "No space left" in said, said
    # Where the machine is too busy for the grace, a fresh worker has neither the file nor the name.
    emptied = (
        "import contextlib, os\npath = os.environ['HOME'] + '/big'\n"
        "with contextlib.suppress(OSError, NameError): file.close()\n"
        "with contextlib.suppress(FileNotFoundError): os.remove(path)\n"
        "print(open(path, 'wb').write(b'x' * (1 << 20)))\nos.remove(path)"
    )
    ran = small.run(emptied)
    assert ran.text() == f"{1 << 20}\n", ran.error


def test_a_full_scratch_does_not_keep_libraries_from_working(small):
    small.run(
        "import os\npath = os.environ['HOME'] + '/big'\n"
        "with open(path, 'wb', buffering=0) as file:\n"
        "    while file.write(b'x' * (1 << 16)): pass"
    )
    drawn = small.run("import matplotlib.pyplot as plt; plt.plot([1, 2]);")
    assert "image/png" in drawn.of("display_data")[0]["data"]
    small.run("import os; os.remove(os.environ['HOME'] + '/big')")


def test_a_cell_over_the_channels_size_is_told(small):
    ran = small.run("x = 1 #" + "a" * TOO_BIG)
    assert ran.status == "error"
    assert ran.error.startswith("MessageTooBig: ")


def test_a_request_over_the_channels_size_is_answered(small):
    ran = small.request("complete_request", {"code": "a" * TOO_BIG, "cursor_pos": 1})
    assert ran.reply["content"]["status"] == "error"


@pytest.mark.parametrize(
    "silence",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        LINK + "link._socket.close()\nimport time; time.sleep(60)",
        LINK + "type(link).send = lambda *_, **__: None",
    ],
    ids=["stopped", "its channel closed", "its answers withheld"],
)
def test_a_worker_that_never_answers_is_ended_by_the_limit(small, silence):
    short = {"sandbox": {"limits": {"wall_time": "1 s"}}}
    said = small.run(silence, metadata=short).error
    assert said.startswith("LimitExceeded: wall_time")
    assert "killed" in said


def test_a_completion_that_never_comes_holds_up_no_cell(small):
    small.run(
        "def forever(*arguments):\n    while True: pass\nget_ipython().kernel.do_complete = forever"
    )
    message = small.client.session.msg("complete_request", {"code": "zi", "cursor_pos": 2})
    small.client.shell_channel.send(message)
    assert small.run("print('after it')").text() == "after it\n"
    small.run("del get_ipython().kernel.do_complete")
