"""What stands outside the walls: canaries, listeners, a process, a second kernel.

Each witness tells, after an attack, whether it got through, and is put right again.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import sandbox_kernel

PACKAGE = str(Path(sandbox_kernel.__file__).parent)
_OLD = (10**9, 10**9)


class Outside:
    """A context manager; `target()` is what attacks are told."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="outside-"))
        self.folder, self.root = self.base / "folder", self.base / "root"
        self.secret = secrets.token_hex(20)
        for folder in (self.folder, self.root):
            folder.mkdir()
        self.canary = self.folder / "canary"
        self.installed = self.root / "file"
        self._write()
        os.mkfifo(self.folder / "fifo")
        (self.base / "connection.json").write_text('{"key": "secret"}')
        (self.base / "notebook").mkdir()
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.path = socket.socket(socket.AF_UNIX)
        self.path.bind(str(self.base / "path"))
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagram.bind(str(self.base / "datagram"))
        self.abstract_name = f"outside-{secrets.token_hex(6)}"
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind("\0" + self.abstract_name)
        for listener in (self.tcp, self.path, self.abstract):
            listener.listen(50)
        for each in (self.tcp, self.udp, self.path, self.datagram, self.abstract):
            each.setblocking(False)
        self.process = self._start_process()
        self.other_scratch = str(self.base / "no-second-kernel")

    def _write(self) -> None:
        for path, text in ((self.canary, self.secret), (self.installed, "installed")):
            path.unlink(missing_ok=True)
            path.write_text(text)
            path.chmod(0o644)
            os.utime(path, _OLD)

    def _start_process(self) -> subprocess.Popen[str]:
        """A process that reports on its output each signal that it gets."""
        program = (
            "import signal, sys\n"
            "names = {signal.SIGUSR1: 'signalled', signal.SIGUSR2: 'asked'}\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, names)\n"
            "print('ready', flush=True)\n"
            "while True: print(names[signal.sigwait(names)], flush=True)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, "OUTSIDE": "secret"},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def target(self) -> dict[str, str | int]:
        """The fields of `inside/attack.Target`."""
        return {
            "canary": str(self.canary),
            "secret": self.secret,
            "folder": str(self.folder),
            "outside_pid": self.process.pid,
            "port": self.tcp.getsockname()[1],
            "udp_port": self.udp.getsockname()[1],
            "path_socket": str(self.base / "path"),
            "datagram_socket": str(self.base / "datagram"),
            "abstract_socket": self.abstract_name,
            "connection_file": str(self.base / "connection.json"),
            "other_scratch": self.other_scratch,
            "read_only_root": str(self.root),
            "package": PACKAGE,
            "trusted": PACKAGE + "/trusted",
        }

    def saw(self, witness: str, got: str) -> bool:
        """Whether the attack with this witness got through; everything is put right again."""
        if witness == "secret":
            return got == self.secret
        if witness in ("tcp", "path", "abstract"):
            return _accepted(
                {"tcp": self.tcp, "path": self.path, "abstract": self.abstract}[witness]
            )
        if witness == "name":
            return self._answers("\0" + self.abstract_name + "-made")
        if witness in ("udp", "datagram"):
            return _received({"udp": self.udp, "datagram": self.datagram}[witness])
        if witness == "signalled":
            return self._signalled()
        if witness == "made":
            return _removed(self.folder / "made")
        if witness == "changed":
            return self._changed(self.canary, self.secret)
        if witness == "root":
            made = _removed(self.root / "made")
            return self._changed(self.installed, "installed") or made
        raise ValueError(witness)

    @staticmethod
    def _answers(address: str) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(address)
            except ConnectionRefusedError:
                return False
            return True

    def _signalled(self) -> bool:
        """Ask by a second signal: pending ones are taken in the order of their numbers."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR2)
        got = self.process.stdout.readline()
        if got != "asked\n":
            assert self.process.stdout.readline() == "asked\n"
        return got != "asked\n"

    def _changed(self, path: Path, text: str) -> bool:
        try:
            status = path.stat()
            same = path.read_text() == text and stat.S_IMODE(status.st_mode) == 0o644
            same = same and status.st_mtime == _OLD[1] and not os.listxattr(path)
        except FileNotFoundError:
            same = False
        self._write()
        return not same

    def close(self) -> None:
        """Take everything away."""
        import shutil

        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for each in (self.tcp, self.udp, self.path, self.datagram, self.abstract):
            each.close()
        shutil.rmtree(self.base)


def _accepted(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _received(end: socket.socket) -> bool:
    try:
        end.recv(100)
    except BlockingIOError:
        return False
    return True


def _removed(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    return True
