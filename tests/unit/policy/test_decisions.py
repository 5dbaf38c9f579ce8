"""Decisions on files and sockets, beyond what holds for every kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox_kernel.policy import Rights
from sandbox_kernel.trusted.capabilities.environment.decide import select
from sandbox_kernel.trusted.capabilities.files.decide import decide as decide_file
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.modules.decide import decide as decide_module
from sandbox_kernel.trusted.capabilities.modules.schema import ModuleRequest
from sandbox_kernel.trusted.capabilities.out_of_bounds import out_of_bounds
from sandbox_kernel.trusted.capabilities.sockets.decide import (
    decide,
    decide_address,
    decide_name,
)
from sandbox_kernel.trusted.capabilities.sockets.schema import (
    AddressRequest,
    NameRequest,
    SocketRequest,
)
from sandbox_kernel.trusted.capabilities.verdict import Approved, Denied
from sandbox_kernel.trusted.capabilities.wording import visible
from tests.unit.policy.samples import NOTEBOOK, asking, rights, yes

ASK_HERE = '[[ask.files]]\npath = "."\nmode = "write"\nreason = "own folder"\n'


def file(path: str, mode: str = "read", exists: bool = True) -> FileRequest:
    real = path if path.startswith("/") else f"/home/ann/nb/{path}"
    return FileRequest(path, real, mode, exists)  # type: ignore[arg-type]


def refused(answer: object) -> Denied:
    assert isinstance(answer, Denied)
    return answer


def connect(found: Rights, host: str, port: int = 80) -> Approved[object] | Denied:
    return decide(SocketRequest("connect", host, port), found)  # type: ignore[return-value]


def sockets(*lines: str, private: bool = False) -> Rights:
    return rights(
        "".join(
            f'[[given.sockets]]\n{line}\nprivate = {str(private).lower()}\nreason = "r"\n'
            for line in lines
        )
    )


def test_a_missing_file_is_told_as_missing_only_where_a_line_covers_it() -> None:
    found = rights(ASK_HERE)

    inside = refused(decide_file(file("x.csv", exists=False), found))
    assert (inside.exception, inside.askable) == ("FileNotFoundError", False)
    outside = [
        refused(decide_file(file("/etc/x", exists=exists), found)) for exists in (True, False)
    ]
    assert outside[0] == outside[1]
    assert outside[0].exception == "PermissionError"


def test_what_exists_in_the_tier_is_asked_for_exactly() -> None:
    refusal = refused(decide_file(file("data/[x] *.csv"), rights(ASK_HERE)))

    assert refusal.ask is not None
    granted = rights(ASK_HERE, grants=(yes({"files": [{"path": refusal.ask.files[0].path}]}),))  # type: ignore[index]
    assert isinstance(decide_file(file("data/[x] *.csv"), granted), Approved)
    assert isinstance(decide_file(file("data/x y.csv"), granted), Denied)
    assert isinstance(decide_file(file("data/[x] *.csv", "write"), granted), Denied)


def test_a_weaker_mode_is_told_with_its_line() -> None:
    found = rights('[[given.files]]\npath = "data"\nmode = "read"\nreason = "course data"\n')

    refusal = refused(decide_file(file("data/x", "append"), found))

    assert refusal.code == "files.mode"
    assert "course.toml:2 allows less" in refusal.text


def test_the_modes_are_a_chain() -> None:
    modes = ("read", "create", "append", "write")
    for held, mode in enumerate(modes):
        found = rights(f'[[given.files]]\npath = "d"\nmode = "{mode}"\nreason = "r"\n')
        answers = [isinstance(decide_file(file("d/x", m), found), Approved) for m in modes]
        assert answers == [index <= held for index in range(4)]


def test_a_denial_is_told_with_its_path_and_cannot_be_asked_away() -> None:
    text = '[[given.files]]\npath = "."\nmode = "read"\ndeny = ["keys"]\nreason = "r"\n' + ASK_HERE

    refusal = refused(decide_file(file("KEYS/id"), rights(text)))

    assert refusal.code == "files.denied"
    assert "deny keys" in refusal.text
    assert "course.toml:2" in refusal.text
    assert not refusal.askable


def test_the_kernels_own_files_are_protected() -> None:
    text = '[[given.files]]\npath = "/"\nmode = "write"\nreason = "r"\n'
    found = rights(text, places=replace(NOTEBOOK, closed=("/home/ann/state",)))

    assert refused(decide_file(file("/home/ann/state/a"), found)).code == "files.protected"
    assert refused(decide_file(file("case.ipynb", "write"), found)).code == "files.protected"


@pytest.mark.parametrize("real", ["data/x", "/a/../b", "/a//b", "/a/", "", "/a/./b"])
def test_a_path_that_is_not_resolved_is_a_fault_of_the_caller(real: str) -> None:
    with pytest.raises(ValueError, match="not an absolute, normal path"):
        FileRequest("x", real, "read", True)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("169.254.169.254", "a cloud's metadata service"),
        ("10.0.0.5", "a private address"),
        ("127.0.0.1", "an address of this machine"),
        ("::ffff:127.0.0.1", "an address of this machine"),
        ("fe80::1", "a link-local address"),
        ("100.64.0.1", "an address of the provider's network"),
        ("64:ff9b::a9fe:a9fe", "a cloud's metadata service"),
        ("224.0.0.1", "a multicast address"),
    ],
)
def test_a_granted_name_does_not_cover_a_special_address(address: str, told: str) -> None:
    found = sockets('connect = "nice.test:80"')
    assert isinstance(connect(found, "nice.test"), Approved)

    refusal = refused(decide_address(AddressRequest("connect", "nice.test", address, 80), found))

    for part in ("nice.test", address, told, "course.toml:2"):
        assert part in refusal.text
    fine = decide_address(AddressRequest("connect", "nice.test", "8.8.8.8", 80), found)
    assert isinstance(fine, Approved)


def test_a_special_address_is_covered_by_its_own_line_or_by_private() -> None:
    asked = AddressRequest("connect", "nice.test", "10.0.0.5", 80)
    metadata = AddressRequest("connect", "nice.test", "169.254.169.254", 80)

    own = sockets('connect = "nice.test:80"', 'connect = "10.0.0.0/8:80"')
    assert isinstance(decide_address(asked, own), Approved)
    private = sockets('connect = "nice.test:80"', private=True)
    assert isinstance(decide_address(asked, private), Approved)
    assert isinstance(decide_address(metadata, private), Denied)
    named = sockets('connect = "nice.test:80"', 'connect = "169.254.169.254:80"')
    assert isinstance(decide_address(metadata, named), Approved)


@pytest.mark.parametrize(
    "spelling",
    ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "::ffff:127.0.0.1", "::1", "0.0.0.0",
     "localhost", "LOCALHOST."],
)  # fmt: skip
def test_a_wildcard_covers_no_spelling_of_this_machine(spelling: str) -> None:
    found = sockets('connect = "*:*"')
    assert isinstance(connect(found, "8.8.8.8"), Approved)

    answer = connect(found, spelling)

    if isinstance(answer, Approved):
        # A name may still be looked up; the address that it leads to is refused.
        answer = decide_address(AddressRequest("connect", "localhost", "127.0.0.1", 80), found)
    assert isinstance(answer, Denied)


@pytest.mark.parametrize("spelling", ["localhost", "127.0.0.1", "::1", "127.1"])
def test_localhost_is_both_of_its_addresses(spelling: str) -> None:
    found = sockets('connect = "localhost:80"')

    assert isinstance(connect(found, spelling), Approved)
    assert isinstance(connect(found, spelling, 81), Denied)
    assert isinstance(connect(found, "127.0.0.2"), Denied)


def test_the_kernels_own_ports_stay_closed() -> None:
    text = '[[given.sockets]]\nconnect = "localhost:*"\nreason = "r"\n'
    found = rights(text, places=replace(NOTEBOOK, closed_ports=frozenset({5555})))

    assert isinstance(connect(found, "127.0.0.1", 5554), Approved)
    assert refused(connect(found, "127.0.0.1", 5555)).code == "sockets.kernel_port"
    assert refused(connect(found, "0x7f.1", 5555)).code == "sockets.kernel_port"


def test_uses_are_apart() -> None:
    found = sockets('connect = "example.org:53"', 'listen = "127.0.0.1:18080"')

    assert isinstance(decide(SocketRequest("udp", "example.org", 53), found), Denied)
    assert isinstance(decide(SocketRequest("listen", "127.0.0.1", 18080), found), Approved)
    for host, port in (("127.0.0.1", 18099), ("127.0.0.1", 0), ("0.0.0.0", 18080), ("::1", 18080)):
        assert isinstance(decide(SocketRequest("listen", host, port), found), Denied)
    assert isinstance(connect(found, "127.0.0.1", 18080), Denied)


def test_any_free_port_is_listened_on_only_where_every_port_may_be() -> None:
    any_port = SocketRequest("listen", "127.0.0.1", 0)

    assert isinstance(decide(any_port, sockets('listen = "127.0.0.1:*"')), Approved)
    for line in ('listen = "127.0.0.1:1-65534"', 'listen = "127.0.0.2:*"', 'udp = "127.0.0.1:*"'):
        assert isinstance(decide(any_port, sockets(line)), Denied)


def test_a_name_is_looked_up_only_where_some_port_of_it_is_granted() -> None:
    found = sockets('connect = "*.example.org:443"')

    assert isinstance(decide_name(NameRequest("a.example.org"), found), Approved)
    refusal = refused(decide_name(NameRequest("secret-data.evil.test"), found))
    assert "secret-data.evil.test" in refusal.text
    assert refusal.exception == "PermissionError"


def test_an_ungranted_address_is_told_with_its_port() -> None:
    refusal = refused(connect(rights(""), "198.51.100.7", 5432))

    for part in ("198.51.100.7:5432", "connect", "policy"):
        assert part in refusal.text


def test_modules_are_not_enforced_without_the_dialect_and_nothing_says_they_are() -> None:
    found = rights('language = "full"\n[refuse]\nmodules = ["os"]\n')

    assert isinstance(decide_module(ModuleRequest("os"), found), Approved)


def test_a_refused_submodule_of_a_given_module_is_refused() -> None:
    found = rights('[given]\nmodules = ["numpy"]\n[refuse]\nmodules = ["numpy.ctypeslib"]\n')

    assert isinstance(decide_module(ModuleRequest("numpy.linalg"), found), Approved)
    assert isinstance(decide_module(ModuleRequest("numpy.ctypeslib"), found), Denied)


def test_only_named_variables_are_selected() -> None:
    found = rights('[given]\nenvironment = ["LANG", "LC_*"]\n')
    environ = {"LANG": "C", "LC_ALL": "C", "LCX": "1", "HF_TOKEN": "s", "JUPYTERHUB_API_TOKEN": "s"}

    assert select(environ, found) == {"LANG": "C", "LC_ALL": "C"}


def test_a_grant_out_of_bounds_is_refused_entry_by_entry() -> None:
    table = asking({"files": ["data", "/etc"], "modules": ["os"], "sockets": ["a.test:1"]}).table
    assert table is not None

    found = out_of_bounds(table, rights(ASK_HERE))

    assert [refusal.resource for refusal in found] == ["/etc", "a.test:1", "os"]
    assert all("[[ask." in refusal.text for refusal in found)


def test_a_metered_line_covers_a_grant_of_all_of_it() -> None:
    text = ASK_HERE.replace("reason", 'deny = ["x"]\nmax_bytes = "1 MB"\nreason')
    table = asking({"files": [{"path": ".", "mode": "write"}]}).table
    assert table is not None

    assert out_of_bounds(table, rights(text)) == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[2K\r", "\\x1b[2K\\r"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\udcffb", "a\\udcffb"),
        ("Bücher 数据", "Bücher 数据"),
    ],
)
def test_a_cells_own_words_cannot_word_the_message(text: str, shown: str) -> None:
    assert visible(text) == shown
    refusal = refused(decide_file(FileRequest(text, f"/x/{text}", "read", True), rights("")))
    assert text not in refusal.text or text == shown
    assert refusal.text.startswith(shown)
    refusal.text.encode("utf-8")
