"""Where text goes, and in which order."""


def test_python_c_and_children_write_in_order(kernel):
    code = (
        "import os, sys\nprint('py', flush=True)\nos.write(1, b'fd\\n')\nprint('py again')\n"
        "sys.stdout.flush()\nos.write(1, b'fd again\\n')"
    )
    assert kernel.run(code).text() == "py\nfd\npy again\nfd again\n"


def test_stderr_of_c_code_is_shown(kernel):
    assert kernel.run("import os; os.write(2, b'from c\\n')").text("stderr") == "from c\n"


def test_text_beyond_a_pipes_size_does_not_hang(kernel):
    result = kernel.run("import os\nprint(os.write(1, b'z' * 300_000))")
    assert result.text().count("z") == 300_000


def test_bytes_that_are_no_utf8_are_shown_as_such(kernel):
    assert kernel.run("import os; os.write(1, b'a\\xff\\xfeb\\n');").text() == "a��b\n"


def test_a_character_that_is_split_in_two_writes_is_whole(kernel):
    code = "import os, time\nos.write(1, b'\\xc3'); os.write(1, b'\\xa4\\n');"
    assert kernel.run(code).text() == "ä\n"


def test_lone_surrogates_are_shown_in_their_escaped_form(kernel):
    assert kernel.run(r"print('x\udc80y')").text() == "x\\udc80y\n"


def test_text_shows_while_the_cell_runs(kernel):
    seen = kernel.run("import time\nprint('early'); time.sleep(30)", interrupt_when="early")
    assert seen.text() == "early\n"
    assert "KeyboardInterrupt" in seen.error


def test_output_of_a_background_thread_is_not_lost(kernel):
    kernel.run(
        "import threading\ngo = threading.Event()\n"
        "t = threading.Thread(target=lambda: (go.wait(), print('late')))\nt.start()"
    )
    assert "late" in kernel.run("go.set(); t.join()").text()


def test_a_message_over_the_channels_size_is_told_and_the_next_cell_runs(kernel):
    result = kernel.run("from IPython.display import display\ndisplay({'a': 1}); 'x' * (70 << 20)")
    assert "withheld" in result.text("stderr")
    assert kernel.run("print('next')").text() == "next\n"


def test_stdout_has_no_terminal_and_a_descriptor(kernel):
    assert kernel.run("import sys; print(sys.stdout.isatty(), sys.stdout.fileno())").text() == (
        "False 1\n"
    )
