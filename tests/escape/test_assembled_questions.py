"""Attacks on the assembled kernel: what it tells about files, and what a person is asked.

Each test shows first that the attack works where the right is there.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from typing import Any

from tests.features.kernel.conftest import Kernel

QUIET = 1.0

_ASK = (
    "import gc\n"
    "link = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link')\n"
    "def told(action, path):\n"
    "    answer = link.ask('tried', {'action': action, 'resource': path})\n"
    "    return answer['text'].replace(path, 'PATH')\n"
)


def test_a_refusal_does_not_tell_whether_a_file_of_the_host_exists(kernel, tmp_path):
    (tmp_path / "here").write_text("x")
    (tmp_path / "link").symlink_to("here")
    names = [str(tmp_path / name) for name in ("here", "gone", "link")]
    for action in ("read", "create", "append", "write"):
        ran = kernel.run(_ASK + f"print(len({{told({action!r}, name) for name in {names!r}}}))")
        assert ran.text() == "1\n", ran.error
    # Where a line covers the path, the two are told apart.
    (kernel.folder / "here").write_text("x")
    ran = kernel.run(_ASK + "print(told('write', 'here') == told('write', 'gone'))")
    assert ran.text() == "False\n", ran.error


def test_a_link_that_a_cell_made_leads_nowhere_after_its_right_has_ended(kernel, control, tmp_path):
    (tmp_path / "secret").write_text("secret")
    course = kernel.folder / "course"
    course.mkdir()
    (course / "secret").write_text("of the course")
    read = "print(open('course/secret').read())"
    assert kernel.run(read).text() == "of the course\n"
    (grant,) = control.grant({"files": [{"path": ".", "mode": "write"}]})
    made = kernel.run(
        "import os\nos.unlink('course/secret')\nos.rmdir('course')\n"
        f"os.symlink({str(tmp_path)!r}, 'course')"
    )
    assert made.status == "ok", made.error
    assert course.is_symlink(), "the attack needs its link on the host"
    control.revoke({"id": grant})
    assert "PermissionError" in kernel.run(read).error
    control.grant({"files": [{"path": ".", "mode": "read"}]}, scope="cell")
    assert "PermissionError" in kernel.run(read).error


class Person:
    """A front end that shows each question on stdin, and what was typed for it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.seen: list[str] = []

    def run(self, code: str, answer: Callable[[str], str]) -> str:
        """Run a cell and answer its questions, in the order in which they come; the output."""
        text = []

        def shown(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                text.append(message["content"]["text"])

        def asked(message: dict[str, Any]) -> None:
            prompt = message["content"]["prompt"]
            self.seen.append(prompt)
            # Time for a second question to come, which must not.
            with contextlib.suppress(queue.Empty):
                again = self.kernel.client.get_stdin_msg(timeout=QUIET)
                self.seen.append("AT ONCE: " + again["content"]["prompt"])
            self.kernel.client.input(answer(prompt))

        self.kernel.client.execute_interactive(
            code, allow_stdin=True, output_hook=shown, stdin_hook=asked, timeout=60
        )
        return "".join(text)


def test_a_line_for_the_cell_is_no_answer_to_a_question_about_its_rights(kernel):
    (kernel.folder / "wanted").write_text("content of the file")
    code = (
        "import gc, threading, time\n"
        "from sandbox_kernel.shared.messages import InputWanted\n"
        "link = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link')\n"
        "to = get_ipython().kernel.get_parent()['header']['msg_id']\n"
        "def tried(path):\n"
        "    print(path, link.ask('tried', {'action': 'read', 'resource': path})['retry'])\n"
        "threads = [threading.Thread(target=tried, args=(p,)) for p in ('wanted', 'wanted2')]\n"
        "for each in threads: each.start(); time.sleep(0.2)\n"
        "link.send(InputWanted(to, 'a number, please', False))\n"
        "for each in threads: each.join()\n"
    )
    person = Person(kernel)
    (kernel.folder / "wanted2").write_text("x")
    text = person.run(code, lambda prompt: "1" if prompt.startswith("[cell]") else "4")
    assert not [prompt for prompt in person.seen if prompt.startswith("AT ONCE")]
    assert len(person.seen) >= 2
    assert "True" not in text
    assert text.count("False") == 2
    # The control: the same question, answered with yes.
    assert "wanted True" in person.run(
        "tried('wanted')", lambda prompt: "4" if prompt.startswith("[cell]") else "1"
    )


def test_a_line_for_a_prompt_that_the_cell_gave_up_is_no_answer_to_a_question(kernel):
    (kernel.folder / "asked").write_text("content of the file")
    code = (
        "import gc\n"
        "from sandbox_kernel.shared.messages import InputDropped, InputWanted\n"
        "link = next(o for o in gc.unfreeze() or gc.get_objects() if type(o).__name__ == 'Link')\n"
        "to = get_ipython().kernel.get_parent()['header']['msg_id']\n"
        "def tried():\n"
        "    print(link.ask('tried', {'action': 'read', 'resource': 'asked'})['retry'])\n"
        "link.send(InputWanted(to, 'press 1 to go on', False, 7))\n"
        "link.send(InputDropped(to, 7))\n"
        "tried()"
    )
    person = Person(kernel)
    assert person.run(code, lambda prompt: "1") == "False\n"
    assert person.seen == ["[cell] press 1 to go on "]
    # The control: the same question, where no other prompt stood before it.
    assert person.run("tried()", lambda prompt: "1") == "True\n"


def test_a_question_names_the_file_that_a_yes_would_open(kernel):
    (kernel.folder / "hidden").mkdir(exist_ok=True)
    (kernel.folder / "hidden" / "diary").write_text("dear")
    (kernel.folder / "points.csv").symlink_to("hidden/diary")
    person = Person(kernel)
    person.run("open('points.csv')", lambda prompt: "no")
    assert str(kernel.folder / "hidden" / "diary") in person.seen[0]
    person.run("open('hidden/../hidden/diary')", lambda prompt: "no")
    assert str(kernel.folder / "hidden" / "diary") in person.seen[1]


def test_a_yes_is_void_when_its_path_leads_elsewhere_by_then(kernel, tmp_path):
    place = kernel.folder / "place"
    place.mkdir()
    (place / "file").write_text("shown")
    (kernel.folder / "other").mkdir()
    (kernel.folder / "other" / "file").write_text("not shown")

    def swap(prompt: str) -> str:
        place.rename(kernel.folder / "aside")
        place.symlink_to("other")
        return "1"

    text = Person(kernel).run(
        "try: print(open('place/file').read())\nexcept PermissionError: print('refused')", swap
    )
    assert "not shown" not in text
    assert "refused" in text
    assert "shown" in Person(kernel).run("print(open('aside/file').read())", lambda prompt: "1")
