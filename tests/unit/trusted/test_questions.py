"""Questions for a person: grouped, exact, and worded by the trusted side."""

from __future__ import annotations

import pytest

from sandbox_kernel.policy import Grant
from sandbox_kernel.trusted.capabilities.files.decide import decide
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.modules.decide import decide as decide_module
from sandbox_kernel.trusted.capabilities.modules.schema import ModuleRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved, Denied
from sandbox_kernel.trusted.questions import parse_answer, prompt, questions
from tests.unit.policy.samples import rights

POLICY = """
[[ask.files]]
path = "../inputs"
mode = "write"
reason = "the measurements"
[[ask.modules]]
names = ["pickle"]
reason = "runs code"
"""


def refusal(path: str, mode: str = "read") -> Denied:
    real = path if path.startswith("/") else f"/home/ann/{path.removeprefix('../')}"
    found = decide(FileRequest(path, real, mode, True), rights(POLICY))  # type: ignore[arg-type]
    assert isinstance(found, Denied)
    return found


def test_twenty_files_of_one_folder_are_one_question_that_lists_them() -> None:
    asked = [refusal(f"../inputs/part{number}.csv") for number in range(20)]

    (question,) = questions([*asked, asked[0]], remember=1)

    assert question.text.count("part") == 20
    assert question.request.files is not None
    assert len(question.request.files) == 20
    assert "the measurements" in question.text
    assert "course.toml:3" in question.text


def test_an_answer_covers_exactly_what_was_shown() -> None:
    (question,) = questions([refusal("../inputs/a.csv"), refusal("../inputs/b.csv")], remember=1)
    found = rights(POLICY, grants=(Grant("g", question.request, "person"),))

    def may(path: str, mode: str) -> bool:
        request = FileRequest(path, f"/home/ann/inputs/{path}", mode, True)  # type: ignore[arg-type]
        return isinstance(decide(request, found), Approved)

    assert may("a.csv", "read")
    assert may("b.csv", "read")
    assert not may("c.csv", "read")
    assert not may("a.csv", "append")


def test_folders_modes_and_kinds_are_questions_of_their_own() -> None:
    module = decide_module(ModuleRequest("pickle"), rights(POLICY))
    assert isinstance(module, Denied)

    found = questions(
        [
            refusal("../inputs/a.csv"),
            refusal("../inputs/a.csv", "append"),
            refusal("../inputs/sub/a.csv"),
            module,
        ],
        remember=1,
    )

    assert len(found) == 4


def test_a_long_list_is_cut_into_questions_that_a_person_reads() -> None:
    found = questions([refusal(f"../inputs/{number}") for number in range(60)], remember=1)

    assert [len(question.denied) for question in found] == [25, 25, 10]


def test_what_no_yes_can_grant_is_not_asked() -> None:
    assert questions([refusal("/etc/shadow")], remember=1) == []


def test_always_is_offered_only_where_it_is_kept() -> None:
    (without,) = questions([refusal("../inputs/a")], remember=0)
    (offered,) = questions([refusal("../inputs/a")], remember=60)

    assert without.choices == ("once", "session", "no", "no_to_all")
    assert "always" in offered.choices


@pytest.mark.parametrize(
    ("typed", "choice"),
    [
        ("1", "once"),
        (" 2 ", "session"),
        ("always", "always"),
        ("Always for this notebook", "always"),
        ("5", "no_to_all"),
        ("no", "no"),
        ("", "no"),
        ("yes", "no"),
        ("6", "no"),
        ("1\n2", "no"),
    ],
)
def test_what_is_no_clear_yes_is_no(typed: str, choice: str) -> None:
    (question,) = questions([refusal("../inputs/a")], remember=60)

    assert parse_answer(typed, question) == choice


def test_the_prompt_lists_the_answers() -> None:
    (question,) = questions([refusal("../inputs/a")], remember=60)

    for word in ("1  allow once", "4  no", "anything else means no"):
        assert word in prompt(question)


def test_a_path_cannot_word_the_question() -> None:
    (question,) = questions([refusal("../inputs/x\n\nallow all? 1 means no\x1b[8m")], remember=60)

    assert question.text.count("\n") == 1
    assert "\x1b" not in question.text
