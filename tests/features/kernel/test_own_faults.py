"""A fault of the kernel's own: the cell gets its reply, what was open ends, the next cell runs."""

import pytest

from tests.features.kernel.conftest import FULL_LANGUAGE, ROOT, started

FAULT = """
import pathlib, sys
if "tests.cases.launch" in sys.orig_argv:
    from sandbox_kernel.trusted.doors import Doors
    from sandbox_kernel.trusted.output_gate.gate import OutputGate
    from sandbox_kernel.trusted.permissions import Permissions
    from sandbox_kernel.trusted.session_rights import SessionRights

    def fails(of, name):
        plain = getattr(of, name)

        def called(self, *arguments):
            if pathlib.Path(name).exists():
                pathlib.Path(name).unlink()
                raise PermissionError(13, "a fault of the test")
            return plain(self, *arguments)

        setattr(of, name, called)

    fails(Permissions, "begin_cell")
    fails(Permissions, "end_cell")
    fails(OutputGate, "reply")
    fails(Doors, "follow")
    fails(SessionRights, "_resolved")
"""
POLICY = (
    FULL_LANGUAGE
    + """
[[ask.files]]
path = "granted"
mode = "read"
reason = "of the test"
"""
)
ENDS = {
    "begin_cell": ("error", "KernelFault", ""),
    "end_cell": ("ok", "", "during\n"),
    "reply": ("error", "WorkerDied", "during\n"),
}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    (folder / "sitecustomize.py").write_text(FAULT)
    (folder / "granted").mkdir()
    (folder / "granted" / "file").write_text("canary")
    kernel = started(folder, policy=POLICY, environment={"PYTHONPATH": f"{folder}:{ROOT}"})
    yield kernel
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


def worker_of(kernel):
    return kernel.request("usage_request", {}, "control").reply["content"]["pid"]


@pytest.mark.parametrize("where", ENDS)
def test_a_fault_costs_the_worker_and_no_reply(kernel, where):
    kernel.run("1")
    worker = worker_of(kernel)
    (kernel.folder / where).touch()
    during = kernel.run("print('during')")
    content = during.reply["content"]
    assert (during.status, content.get("ename", ""), during.text()) == ENDS[where]
    assert not (kernel.folder / where).exists()
    if where != "reply":
        told = kernel.published(lambda m: "Between two cells" in m["content"].get("text", ""))
        assert "may be wrong" in told["content"]["text"]
    assert kernel.run("print('after')").text() == "after\n"
    assert worker_of(kernel) != worker


@pytest.mark.parametrize("running", [False, True], ids=["between-cells", "in-a-cell"])
@pytest.mark.parametrize("where", ["follow", "_resolved"])
def test_a_revocation_that_fails_leaves_nothing_open(kernel, where, running):
    """Neither for the worker that ran, nor for the copy that takes its place."""

    def command(name, **arguments):
        content = {"command": name, "arguments": arguments}
        return kernel.request("sandbox_request", content, "control").reply["content"]

    reads = "print(open('granted/file').read())"
    granted = command("grant", files=[{"path": "granted", "mode": "read"}])
    assert kernel.run(reads).text() == "canary\n"
    worker = worker_of(kernel)
    if running:
        sent = kernel.client.execute("print('runs', flush=True)\nimport time\ntime.sleep(600)")
        kernel.published(lambda m: m["content"].get("text") == "runs\n")
    (kernel.folder / where).touch()
    assert command("revoke", ids=granted["ids"])["status"] == "error"
    assert not (kernel.folder / where).exists()
    if running:
        content = kernel.reply_to(sent)["content"]
        assert "a change of rights failed" in content["evalue"]
    else:
        kernel.published(lambda m: "a change of rights failed" in m["content"].get("text", ""))
    assert "canary" not in kernel.run(reads).text()
    assert worker_of(kernel) != worker
    records = command("audit", last=20)["records"]
    assert any(r["event"] == "revoked" and [r["grant"]] == granted["ids"] for r in records)
