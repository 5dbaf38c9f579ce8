"""Rights that change while the kernel runs: over the control channel, and by a person's answer."""

import contextlib
import json
import os
import resource
import threading

import jsonschema
import pytest

from sandbox_kernel.jupyter.control_client import CommandRefused, ControlClient

from .conftest import ROOT

POLICY = """
version = 1
extends = "default"
[[on_request.files]]
path = "wanted"
mode = "read"
reason = "what the notebook may ask for"
[[ask.files]]
path = "data"
mode = "write"
reason = "the person's data"
[[ask.modules]]
names = ["ctypes"]
reason = "to show a question about a module"
[limits]
wall_time = "60 s"
[limits.max]
wall_time = "90 s"
"""
SCHEMA = json.loads((ROOT / "docs" / "protocol.schema.json").read_text())


@pytest.fixture
def kernel(start_kernel):
    made = start_kernel(policy=POLICY)
    (made.folder / "data").mkdir()
    for number in range(3):
        (made.folder / "data" / f"part{number}.csv").write_text(f"row {number}\n")
    return made


@pytest.fixture
def control(kernel):
    with ControlClient(kernel.manager.connection_file) as client:
        yield client


def events(ran):
    return [content["kind"] for content in ran.of("sandbox_event")]


def test_what_is_granted_can_be_used_until_it_is_revoked(kernel, control):
    read = "print(open('data/part1.csv').read(), end='')"
    assert "PermissionError" in kernel.run(read).error
    (identity,) = control.grant({"files": [{"path": "data", "mode": "read"}]})
    assert kernel.run(read).text() == "row 1\n"
    assert [grant["id"] for grant in control.status()["grants"]] == [identity]
    assert control.revoke({"id": identity})["revoked"] == [identity]
    refused = kernel.run(read)
    assert "PermissionError" in refused.error
    assert "denied" in events(refused)
    assert {"granted", "revoked", "denied"} <= {record["event"] for record in control.audit()}


def test_revoke_takes_what_grant_took(kernel, control):
    request = {"files": [{"path": "data/part2.csv", "mode": "read"}]}
    control.grant(request)
    assert kernel.run("open('data/part2.csv').close()").status == "ok"
    control.revoke(request)
    assert "PermissionError" in kernel.run("open('data/part2.csv')").error


def test_a_narrowed_grant_allows_less(kernel, control):
    (identity,) = control.grant({"files": [{"path": "data", "mode": "write"}]})
    assert kernel.run("open('data/new.csv', 'w').write('x');").status == "ok"
    control.narrow(identity, {"files": [{"path": "data/part0.csv", "mode": "read"}]})
    assert kernel.run("print(open('data/part0.csv').read())").status == "ok"
    assert "PermissionError" in kernel.run("open('data/part1.csv')").error
    assert "PermissionError" in kernel.run("open('data/new.csv', 'w')").error


def test_a_grant_for_one_cell_ends_with_it(kernel, control):
    control.grant({"files": [{"path": "data", "mode": "read"}]}, scope="cell")
    assert kernel.run("open('data/part1.csv').close()").status == "ok"
    assert "PermissionError" in kernel.run("open('data/part1.csv')").error


def test_nothing_outside_the_policy_is_granted(kernel, control):
    with pytest.raises(CommandRefused, match="/etc/passwd"):
        control.grant({"files": [{"path": "/etc/passwd", "mode": "read"}]})
    assert control.status()["grants"] == []


def test_explain_tells_the_line_and_the_remedy(kernel, control):
    (wanted,) = control.explain({"files": [{"path": "data/part1.csv", "mode": "read"}]})["answers"]
    assert wanted["allowed"] is False
    assert wanted["askable"] is True
    assert ".toml:" in wanted["rule"]
    assert "grant" in wanted["remedy"]
    assert control.explain()["policy"] == "policy"


def test_limits_change_within_their_bounds(kernel, control):
    assert control.limits({"wall_time": "90 s"})["wall_time"]["value"] == "90 s"
    with pytest.raises(CommandRefused, match="at most 90 s"):
        control.limits({"wall_time": "91 s"})
    assert control.limits()["wall_time"]["value"] == "90 s"


def test_a_question_on_stdin_lists_what_a_yes_covers(kernel):
    code = "print(*(open(f'data/part{n}.csv').read() for n in range(3)), sep='', end='')"
    seen = kernel.run(code, answer="once")
    assert seen.text() == "row 0\nrow 1\nrow 2\n"
    assert "question" in events(seen)
    assert "PermissionError" in kernel.run("open('data/part0.csv')").error


def test_no_answer_is_possible_without_a_front_end(kernel):
    assert "PermissionError" in kernel.run("open('data/part0.csv')").error


def test_a_client_that_says_so_is_asked_and_decides(kernel, control):
    control.command("status", {"answers": True})
    cell = kernel.client.execute("text = open('data/part1.csv').read()")
    asked = kernel.published(lambda m: m["content"].get("kind") == "question")["content"]
    assert "data/part1.csv" in asked["text"]
    assert [question["id"] for question in control.status()["questions"]] == [asked["id"]]
    with pytest.raises(CommandRefused):
        control.decide(asked["id"], "perhaps")
    control.decide(asked["id"], "session")
    assert kernel.reply_to(cell)["content"]["status"] == "ok"
    assert kernel.run("open('data/part1.csv').close()").status == "ok"


def test_an_interrupt_ends_the_waiting_for_an_answer(kernel, control):
    control.command("status", {"answers": True})
    cell = kernel.client.execute("open('data/part1.csv')")
    kernel.published(lambda m: m["content"].get("kind") == "question")
    kernel.manager.interrupt_kernel()
    assert kernel.reply_to(cell)["content"]["status"] == "error"
    assert control.status()["questions"] == []


def test_always_is_remembered_over_a_restart_and_can_be_taken_back(kernel, control):
    assert kernel.run("open('data/part1.csv').close()", answer="always").status == "ok"
    kernel.manager.restart_kernel()
    kernel.client.wait_for_ready(timeout=60)
    assert kernel.run("open('data/part1.csv').close()").status == "ok"
    (grant,) = control.status()["grants"]
    control.revoke({"id": grant["id"]})
    kernel.manager.restart_kernel()
    kernel.client.wait_for_ready(timeout=60)
    assert "PermissionError" in kernel.run("open('data/part1.csv')").error


def test_cells_ask_from_threads_too(kernel, control):
    control.command("status", {"answers": True})
    code = (
        "import threading\nresults = []\n"
        "def read():\n    results.append(open('data/part1.csv').read())\n"
        "t = threading.Thread(target=read); t.start(); t.join(); print(results)"
    )
    cell = kernel.client.execute(code)
    asked = kernel.published(lambda m: m["content"].get("kind") == "question")["content"]
    control.decide(asked["id"], "once")
    assert kernel.reply_to(cell)["content"]["status"] == "ok"


def test_a_cells_own_metadata_narrows(kernel, control):
    control.grant({"files": [{"path": "data", "mode": "read"}]})
    content = {"code": "open('data/part1.csv')", "silent": False}
    message = kernel.client.session.msg(
        "execute_request", content, metadata={"sandbox": {"files": []}}
    )
    kernel.client.shell_channel.send(message)
    reply = kernel.reply_to(message["header"]["msg_id"])["content"]
    assert reply["ename"] == "PermissionError"
    assert kernel.run("open('data/part1.csv').close()").status == "ok"


def test_wishes_of_a_saved_notebook_are_followed(kernel):
    (kernel.folder / "wanted").mkdir()
    (kernel.folder / "wanted" / "a.txt").write_text("yes")
    assert "PermissionError" in kernel.run("open('wanted/a.txt')").error
    kernel.save_notebook({"files": [{"path": "wanted", "mode": "read"}]})
    assert kernel.run("print(open('wanted/a.txt').read())").text() == "yes\n"
    kernel.save_notebook({"files": "everything"})
    told = kernel.run("open('wanted/a.txt')")
    assert "PermissionError" in told.error
    assert "files" in told.text("stderr")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("grant", {}),
        ("grant", {"files": []}),
        ("grant", {"files": None}),
        ("grant", {"fils": [{"path": "data"}]}),
        ("grant", {"files": [{"path": "data"}], "for": "ever"}),
        ("revoke", {"id": "grant-99"}),
        ("revoke", {"id": 5}),
        ("revoke", {"files": [{"path": "data"}]}),
        ("narrow", {"id": "grant-99", "files": []}),
        ("decide", {"id": 1, "answer": "session"}),
        ("decide", {"id": "one"}),
        ("limits", {"wall_time": "soon"}),
        ("limits", {"wall_tim": "1 s"}),
        ("audit", {"last": "all"}),
        ("dance", {}),
        (None, {}),
        ("status", []),
    ],
)
def test_bad_commands_are_told_and_change_nothing(module_kernel, command, arguments):
    content = {"command": command, "arguments": arguments}
    reply = module_kernel.request("sandbox_request", content, "control").reply["content"]
    assert reply["status"] == "error"
    assert reply["evalue"]
    jsonschema.validate(reply, {**SCHEMA, "$ref": "#/$defs/reply"})


#: Among them half a character, and a byte that is no UTF-8.
ODD_PATHS = [f"data/{chr(0xD800)}", f"data/{chr(0xDCFF)}", "data/" + "x" * 5000, "a\0b", "/", ""]


@pytest.mark.parametrize("path", ODD_PATHS, ids=map(ascii, range(len(ODD_PATHS))))
def test_whatever_path_is_asked_for_the_next_command_is_answered(control, path):
    with contextlib.suppress(CommandRefused):
        control.grant({"files": [{"path": path, "mode": "read"}]})
    assert control.status()["busy"] is False


@pytest.fixture(scope="module")
def module_kernel(start_kernel):
    return start_kernel(policy=POLICY)


@pytest.mark.parametrize("command", ["status", "explain", "audit", "limits"])
def test_replies_have_the_documented_shape(module_kernel, command):
    content = {"command": command, "arguments": {}}
    jsonschema.validate(content, {**SCHEMA, "$ref": "#/$defs/request"})
    reply = module_kernel.request("sandbox_request", content, "control").reply["content"]
    assert reply["status"] == "ok", reply
    jsonschema.validate(reply, {**SCHEMA, "$ref": f"#/$defs/{command}_reply"})


def test_control_is_answered_while_a_cell_computes(kernel, control):
    cell = kernel.client.execute("print('go', flush=True)\nwhile True: pass")
    kernel.published(lambda m: m["content"].get("text") == "go\n")
    assert control.status()["busy"] is True
    timer = threading.Timer(0, kernel.manager.interrupt_kernel)
    timer.start()
    timer.join()
    assert kernel.reply_to(cell)["content"]["status"] == "error"


def test_a_grant_leaves_the_running_cell_its_own_lower_limits(kernel, control):
    kernel.client.session.metadata = {"sandbox": {"limits": {"wall_time": "3 s"}}}
    try:
        cell = kernel.client.execute("print('go', flush=True)\nwhile True: pass")
    finally:
        kernel.client.session.metadata = {}
    kernel.published(lambda message: message["content"].get("text") == "go\n")
    control.grant({"files": [{"path": "data", "mode": "read"}]})
    reply = kernel.reply_to(cell)["content"]
    assert reply["ename"] == "LimitExceeded"
    assert "3 s allowed" in reply["evalue"]
    assert control.limits()["wall_time"]["value"] != "3 s"


def test_a_line_whose_link_leads_elsewhere_by_the_next_cell_is_followed(start_kernel):
    line = '[[given.files]]\npath = "link"\nmode = "read"\nreason = "of the test"\n'
    kernel = start_kernel(policy='version = 1\nextends = "default"\n' + line)
    for name in ("one", "two"):
        (kernel.folder / name).mkdir()
        (kernel.folder / name / "file").write_text(name)
    link = kernel.folder / "link"
    read = "print(open('link/file').read())"
    for name in ("one", "two"):
        (kernel.folder / "new").symlink_to(name)
        (kernel.folder / "new").rename(link)
        assert kernel.run(read).text() == f"{name}\n"
        assert (
            "PermissionError"
            in kernel.run(f"open('{'two' if name == 'one' else 'one'}/file')").error
        )


def test_the_reply_comes_with_busy_news_and_idle(kernel, control):
    """All that a command causes is told before the kernel says that it is through with it."""
    control.status()  # Who has asked once is told of what others do.
    ran = kernel.request(
        "sandbox_request",
        {"command": "grant", "arguments": {"files": [{"path": "data", "mode": "read"}]}},
        "control",
    )
    assert ran.status == "ok"
    states = [content["execution_state"] for content in ran.of("status")]
    assert states == ["busy", "idle"]


def test_more_places_than_a_program_may_open_files_at_first(start_kernel):
    """A desktop gives 1,024 descriptors, which a program may raise."""
    policy = POLICY.replace('path = "data"\nmode = "write"', 'path = "d*/f"\nmode = "write"')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(os.listdir("/proc/self/fd")) + 100  # The kernel starts with as many as this program.
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        kernel = start_kernel(policy=policy)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in range(few):
        (kernel.folder / f"d{number}").mkdir()
        (kernel.folder / f"d{number}" / "f").write_text(str(number))
    with ControlClient(kernel.manager.connection_file) as control:
        control.grant({"files": [{"path": "d*/f", "mode": "write"}]})
        ran = kernel.run(f"print(sum(int(open(f'd{{n}}/f').read()) for n in range({few})))")
        assert (ran.text(), ran.text("stderr")) == (f"{sum(range(few))}\n", "")
