"""The scenes of the exchange on restricted execution that this project comes from (2006).

Each test plays one of them with real kernels; its docstring is the idea. The controls run the same
cell where it is granted, or without the walls.
"""

import socket
import threading
from pathlib import Path

import pytest

from tests.features.kernel.conftest import Kernel, started
from tests.ports import unused_ports

BASE = 'version = 1\nextends = "default"\nlanguage = "full"\n'


def given(path: str, mode: str, **more: object) -> str:
    lines = [f'path = "{path}"', f'mode = "{mode}"', 'reason = "the scene"']
    lines += [f"{key} = {value!r}".replace("'", '"') for key, value in more.items()]
    return BASE + "[[given.files]]\n" + "\n".join(lines) + "\n"


@pytest.fixture
def kernels(tmp_path):
    running: list[Kernel] = []

    def start(name: str, policy: str = BASE, level: str | None = None) -> Kernel:
        folder = tmp_path / name
        folder.mkdir()
        running.append(started(folder, policy=policy, level=level))
        return running[-1]

    yield start
    for kernel in running:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel()


def test_p_may_write_and_q_may_not_though_a_message_passes(kernels, tmp_path):
    """Nothing leaks from one interpreter to another: neither an object nor through a message."""
    keys = tmp_path / "authorized_keys"
    keys.write_text("")
    p = kernels("p", given(str(tmp_path), "write"))
    q = kernels("q")
    assert (
        p.run(f"file = open({str(keys)!r}, 'a'); file.write('by p\\n'); file.flush()").status
        == "ok"
    )
    message = p.run("print(file.fileno(), id(file))").text().split()
    told = q.run(f"import os\nos.write({message[0]}, b'by q\\n')")
    assert told.status == "error"
    assert "PermissionError" in q.run(f"open({str(keys)!r}, 'a')").error
    p.run("file.close()")
    assert keys.read_text() == "by p\n"


def test_q_cannot_have_p_do_it_over_a_socket(kernels):
    """As long as P can listen for instructions from Q, Q has P's power: each has its own loopback,
    and listening needs a grant."""
    p = kernels("p")
    q = kernels("q")
    listen = "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 16666)); s.listen(1)"
    assert "PermissionError" in p.run(listen).error
    with socket.create_server(("127.0.0.1", 0)) as witness:
        port = witness.getsockname()[1]
        call = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"
        assert "PermissionError" in q.run(call).error
        witness.settimeout(0)
        with pytest.raises(BlockingIOError):
            witness.accept()
        socket.create_connection(("127.0.0.1", port), 2).close()  # The control: it is alive.
        witness.settimeout(5)
        witness.accept()[0].close()


def test_one_may_start_from_nothing(kernels, tmp_path_factory):
    """Choose which abilities the interpreter has, then make sure that it gets only those."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    canary = elsewhere / "canary.txt"
    canary.write_text("canary")
    kernel = kernels("nothing")
    tries = f"""
    open({str(canary)!r}).read()
    open({str(canary)!r}, 'w')
    __import__('os').listdir({str(elsewhere)!r})
    __import__('os').fork()
    __import__('socket').create_connection(('127.0.0.1', 9))
    __import__('socket').getaddrinfo('example.org', 80)
    __import__('subprocess').run(['/bin/true'])
    """
    for attempt in filter(None, map(str.strip, tries.splitlines())):
        assert "PermissionError" in kernel.run(attempt).error, attempt
    assert canary.read_text() == "canary"


def test_a_granted_file_that_does_not_exist_yet(kernels, tmp_path):
    """Temporary file access is given by giving access to a file that does not exist."""
    target = tmp_path / "later.txt"
    kernel = kernels("later", given(str(target), "create"))
    assert kernel.run(f"open({str(target)!r}, 'w').write('new');").status == "ok"
    assert target.read_text() == "new"
    other = kernel.run(f"open({str(tmp_path / 'other.txt')!r}, 'w').write('x');")
    assert not (tmp_path / "other.txt").exists()
    assert "PermissionError" in other.error or "was not written" in other.text("stderr")


def test_creating_is_not_changing(kernels, tmp_path):
    """There is a big difference between modifying an existing file and writing a new one."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "old.txt").write_text("as it was")
    kernel = kernels("create", given(str(folder), "create"))
    assert kernel.run(f"open({str(folder / 'new.txt')!r}, 'w').write('new');").status == "ok"
    kernel.run(f"open({str(folder / 'old.txt')!r}, 'w').write('changed');")
    assert (folder / "new.txt").read_text() == "new"
    assert (folder / "old.txt").read_text() == "as it was"


def test_a_wrapper_limits_how_many_bytes_are_written(kernels, tmp_path):
    """A reference is a ticket, and a wrapper attenuates it: so many bytes and no more."""
    folder = tmp_path / "metered"
    folder.mkdir()
    kernel = kernels("bytes", given(str(folder), "write", max_bytes="100 kB"))
    assert kernel.run(f"open({str(folder / 'small')!r}, 'w').write('x' * 1000);").status == "ok"
    kernel.run(f"open({str(folder / 'big')!r}, 'w').write('x' * 1_000_000);")
    assert (folder / "small").stat().st_size == 1000
    big = folder / "big"
    assert not big.exists() or big.stat().st_size <= 100_000


def test_names_are_unknown_without_a_grant(kernels):
    """DNS would tell which addresses an intranet has: no name resolves without a grant."""
    kernel = kernels("dns")
    for name in ("localhost.localdomain", "intranet", "example.org", socket.gethostname() + ".x"):
        look = f"import socket\nsocket.getaddrinfo({name!r}, 80)"
        assert "PermissionError" in kernel.run(look).error, name


def test_listening_needs_a_grant_of_its_own(kernels):
    """One does not want untrusted code to accept connections: go function by function."""
    (port,) = unused_ports(1)
    listen = f"import socket\ns = socket.create_server(('127.0.0.1', {port}))\n"
    assert "PermissionError" in kernels("deaf").run(listen).error
    grant = f'[[given.sockets]]\nlisten = "127.0.0.1:{port}"\nreason = "the scene"\n'
    kernel = kernels("hears", BASE + grant)
    assert kernel.run(listen).status == "ok"
    thread = threading.Thread(target=kernel.run, args=("s.accept()[0].close()",))
    thread.start()
    socket.create_connection(("127.0.0.1", port), 5).close()
    thread.join(30)
    assert not thread.is_alive()


def test_a_little_file_system_of_ones_own(kernels):
    """It starts out empty, and whatever is put into it violates nobody's secrecy."""
    first, second = kernels("one"), kernels("two")
    look = (
        "import os, tempfile\nt = tempfile.gettempdir()\n"
        "home = [n for n in os.listdir(os.path.expanduser('~')) if n[0] != '.']\n"
        "print(os.listdir(t), home, os.listdir('.'))"
    )
    assert first.run(look).text() == "[] [] []\n"
    assert first.run("open(t + '/mine', 'w').write('x');").status == "ok"
    assert first.run("print(os.listdir(t))").text() == "['mine']\n"
    assert second.run(look).text() == "[] [] []\n"


def test_a_crash_of_a_sandbox_does_not_hurt_its_host(kernels):
    """If untrusted code crashes its interpreter, it has only harmed itself; here not even that."""
    kernel = kernels("crash")
    kernel.run("kept = 42")
    assert "SIGSEGV" in kernel.run("import ctypes; ctypes.string_at(0)").error
    assert kernel.run("print(kept)").text() == "42\n"


def test_memory_is_capped(kernels):
    """Memory is a limited resource that other programs on the system need too."""
    kernel = kernels("memory", BASE + '[limits]\nmemory = "300 MB"\n')
    assert "memory" in kernel.run("blocks = [bytearray(50_000_000) for _ in range(100)]").error
    assert kernel.run("print('usable')").text() == "usable\n"


def test_extension_modules_must_be_on_the_list(kernels):
    """C extension modules are shared between interpreters: so they must be whitelisted."""
    kernel = kernels("modules", 'version = 1\nextends = "default"\n')
    refused = kernel.run("import _ctypes")
    assert "ImportError" in refused.error or "RefusedModule" in refused.error
    assert "_ctypes" in refused.error
    assert kernel.run("import math, _decimal").status == "error"
    assert kernel.run("import math, decimal").status == "ok"


@pytest.mark.parametrize("level", ["full", "no-namespaces"])
def test_two_kernels_share_nothing(kernels, level, tmp_path):
    """Several sandboxes at different levels: files, scratch, ports, sockets, signals, memory."""
    one = kernels("one", given(str(tmp_path / "one"), "write"), level)
    two = kernels("two", BASE, level)
    made = one.run(
        "import os, socket, tempfile\n"
        "open('shared.txt', 'w').write('x')\n"
        "open(tempfile.gettempdir() + '/scratch.txt', 'w').write('x')\n"
        "u = socket.socket(socket.AF_UNIX); u.bind(tempfile.gettempdir() + '/u.sock'); u.listen()\n"
        "print(tempfile.gettempdir(), os.getpid(), sep='|')"
    )
    assert made.status == "ok", made.error
    scratch, pid = made.text().strip().split("|")
    own_scratch = two.run("import tempfile; print(tempfile.gettempdir())").text().strip()
    path = str(Path(tmp_path / "one" / "shared.txt"))
    assert "PermissionError" in two.run(f"open({path!r})").error
    if scratch != own_scratch:
        assert two.run(f"open({scratch + '/scratch.txt'!r})").status == "error"
    else:
        assert two.run("import os; print(os.listdir(tempfile.gettempdir()))").text() == "[]\n"
    reach = f"import socket\nsocket.socket(socket.AF_UNIX).connect({scratch + '/u.sock'!r})"
    assert two.run(reach).status == "error"
    host_pid = one.manager.provisioner.pid
    signal = f"import os, signal\nos.kill({host_pid}, signal.SIGTERM)"
    assert two.run(signal).status == "error"
    memory = f"open('/proc/{host_pid}/mem', 'rb').read(1)"
    assert two.run(memory).status == "error"
    assert one.run("print('alive')").text() == "alive\n"
    assert int(pid) > 0
