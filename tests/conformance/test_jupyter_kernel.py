"""What every Jupyter kernel for Python owes its clients: `jupyter_kernel_test`, and beside it what
that suite does not ask and people rely on.

The same file runs against plain ipykernel when `KERNEL_UNDER_TEST` says `python3`;
`python -m benchmarks conformance` prints both side by side.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import jupyter_kernel_test

KERNEL = os.environ.get("KERNEL_UNDER_TEST", "sandbox-python")
DEADLINE = 30.0  # seconds for one answer


class TestKernel(jupyter_kernel_test.KernelTests):
    """jupyter_kernel_test's own tests, fed with Python, and what it does not ask."""

    kernel_name = KERNEL
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples: ClassVar[list[Any]] = [
        {"text": "zi", "matches": {"zip"}},
        {"text": "import mat"},
    ]
    complete_code_samples: ClassVar[list[str]] = ["1", "print('hi')", "def f(x):\n  return x\n\n\n"]
    incomplete_code_samples: ClassVar[list[str]] = ["print('''hello", "def f(x):\n  x*2"]
    invalid_code_samples: ClassVar[list[str]] = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result: ClassVar[list[Any]] = [
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    ]
    code_display_data: ClassVar[list[Any]] = [
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))",
            "mime": "text/html",
        },
        {
            "code": r"from IPython.display import Math, display; display(Math('\\frac{1}{2}'))",
            "mime": "text/latex",
        },
    ]
    # Not "range": the suite expects the session's own number where ipykernel answers 0.
    supported_history_operations = ("tail", "search")
    code_history_pattern = "1?2*"
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    @classmethod
    def setUpClass(cls) -> None:
        # ipykernel's shell changes its behaviour when it finds itself under pytest.
        os.environ.pop("PYTEST_CURRENT_TEST", None)
        super().setUpClass()

    def setUp(self) -> None:
        self.flush_channels()

    def reply(self) -> dict[str, Any]:
        content: dict[str, Any] = self.get_non_kernel_info_reply(timeout=DEADLINE)["content"]
        return content

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first iopub message that is `wanted`."""
        for message in self.iopub():
            if wanted(message):
                return message
        raise AssertionError("the message did not come")

    def iopub(self) -> Iterator[dict[str, Any]]:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            yield self.kc.get_iopub_msg(timeout=DEADLINE)

    def start_printing(self, code: str) -> None:
        """Run a cell and return when it has printed `started`."""
        self.kc.execute(f"print('started', flush=True)\n{code}")
        self.until(lambda m: "started" in str(m["content"].get("text", "")))

    def test_interrupt_of_a_waiting_cell(self) -> None:
        self.start_printing("import time\nfor i in range(300): time.sleep(.1)")
        self.km.interrupt_kernel()
        assert self.reply()["ename"] == "KeyboardInterrupt"

    def test_interrupt_of_a_cell_that_computes(self) -> None:
        self.start_printing("n = 0\nwhile True: n += 1")
        self.km.interrupt_kernel()
        assert self.reply()["ename"] == "KeyboardInterrupt"

    def test_interrupt_of_a_top_level_await(self) -> None:
        self.start_printing("import asyncio\nawait asyncio.sleep(60)")
        self.km.interrupt_kernel()
        try:
            assert self.reply()["status"] == "error"
        finally:
            # Where the interrupt is lost, the cell would hold up every test after this one.
            self.km.restart_kernel(now=True)
            self.kc.wait_for_ready(timeout=60)

    def test_top_level_await(self) -> None:
        self.kc.execute("import asyncio\nx = await asyncio.sleep(0, 7)\nx")
        message = self.until(lambda m: m["msg_type"] == "execute_result")
        assert message["content"]["data"]["text/plain"] == "7"

    def test_input(self) -> None:
        self.kc.execute("name = input('who? ')\nname", allow_stdin=True)
        asked = self.kc.get_stdin_msg(timeout=DEADLINE)["content"]
        assert asked["prompt"].endswith("who? ")
        self.kc.input("bob")
        message = self.until(lambda m: m["msg_type"] == "execute_result")
        assert message["content"]["data"]["text/plain"] == "'bob'"

    def test_input_without_a_person_is_an_error(self) -> None:
        self.kc.execute("input()", allow_stdin=False)
        assert self.reply()["ename"] == "StdinNotImplementedError"

    def test_matplotlib_draws_inline(self) -> None:
        self.kc.execute("import matplotlib.pyplot as plt; plt.plot([1, 2]);")
        message = self.until(lambda m: m["msg_type"] == "display_data")
        assert "image/png" in message["content"]["data"]

    def test_what_follows_an_error_is_aborted(self) -> None:
        for code in ("1/0", "2", "3"):
            self.kc.execute(code)
        assert [self.reply()["status"] for _ in range(3)] == ["error", "aborted", "aborted"]

    def test_a_display_is_updated(self) -> None:
        self.kc.execute("h = display('one', display_id=True)\nh.update('two')")
        message = self.until(lambda m: m["msg_type"] == "update_display_data")
        assert message["content"]["data"]["text/plain"] == "'two'"

    def test_user_expressions(self) -> None:
        self.kc.execute("a = 40", user_expressions={"b": "a + 2", "c": "1/0"})
        expressions = self.reply()["user_expressions"]
        assert expressions["b"]["data"]["text/plain"] == "42"
        assert expressions["c"]["ename"] == "ZeroDivisionError"

    def test_a_silent_cell_is_not_counted(self) -> None:
        counts = []
        for silent in (False, True, False):
            self.kc.execute("1", silent=silent)
            counts.append(self.reply()["execution_count"])
        assert counts[2] == counts[0] + 1

    def test_a_widget_answers_its_front_end(self) -> None:
        self.kc.execute("import ipywidgets\ns = ipywidgets.IntSlider(3)\ns")
        opened = self.until(
            lambda m: (
                m["msg_type"] == "comm_open"
                and m["content"]["data"]["state"].get("_model_name") == "IntSliderModel"
            )
        )
        self.reply()
        self.kc.shell_channel.send(
            self.kc.session.msg(
                "comm_msg",
                {
                    "comm_id": opened["content"]["comm_id"],
                    "data": {"method": "update", "state": {"value": 9}, "buffer_paths": []},
                },
            )
        )
        self.kc.execute("print('value', s.value)")
        self.until(lambda m: m["content"].get("text") == "value 9\n")

    def test_restart_forgets(self) -> None:
        self.kc.execute("a = 1")
        assert self.reply()["status"] == "ok"
        self.km.restart_kernel(now=False)
        self.kc.wait_for_ready(timeout=60)
        self.flush_channels()
        self.kc.execute("a")
        assert self.reply()["ename"] == "NameError"


class TestWelcome(jupyter_kernel_test.IopubWelcomeTests):
    """The welcome message on iopub (JEP 65)."""

    kernel_name = KERNEL
    support_iopub_welcome = True
