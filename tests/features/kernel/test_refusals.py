"""How a refusal reads in the cell that met it."""

import pytest

POLICY = """
version = 1
extends = "default"
[[on_request.files]]
path = "asked.csv"
mode = "read"
reason = "the course's data"
"""


@pytest.fixture(scope="module", params=["full", "no-namespaces"])
def strict(request, start_kernel):
    return start_kernel(level=request.param, policy=POLICY)


def test_a_refusal_names_the_policy_and_ends_with_the_remedy(strict):
    said = strict.run("open('/etc/shadow')").error
    assert said.startswith(
        "PermissionError: [Errno 13] /etc/shadow: read not granted "
        "(no line of policy policy.toml covers it). To allow it, the policy needs:\n"
    )
    assert said.endswith('\n  reason = "…"')


def test_a_line_that_waits_for_a_request_is_named_with_its_place(strict):
    (strict.folder / "asked.csv").write_text("1\n")
    said = strict.run("open('asked.csv')").error
    assert "(policy policy.toml:4 allows it on request only)" in said
    assert said.endswith('{"sandbox": {"files": [{"path": "asked.csv", "mode": "read"}]}}')


def test_a_refusal_is_the_exception_of_the_call(strict):
    code = (
        "try:\n    open('/etc/shadow')\n"
        "except PermissionError as error:\n"
        "    print(type(error).__name__, error.errno, error.filename)"
    )
    assert strict.run(code).text() == "PermissionError 13 /etc/shadow\n"


def test_a_missing_file_that_could_be_had_reads_the_same_at_every_level(strict):
    said = strict.run("open('missing.csv')").error
    assert said == "FileNotFoundError: [Errno 2] No such file or directory: 'missing.csv'"
