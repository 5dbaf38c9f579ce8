"""`sys.stdout` and `sys.stderr` of a cell.

Text is gathered and sent when a line of it is old enough, when much has gathered, when something
else is displayed, and when the cell ends. What C code and child processes write to descriptors 1
and 2 does not pass here: these are pipes that the supervisor reads.
"""

from __future__ import annotations

import io
import threading
from typing import Any

from .session import LinkSession

#: Seconds that printed text may wait for more of it.
FLUSH_AFTER = 0.05
#: Characters that may gather before they are sent at once.
FLUSH_AT = 1 << 16


class CellStream(io.TextIOBase):
    """A text stream whose content becomes Jupyter `stream` messages."""

    encoding = "UTF-8"
    errors = "strict"

    def __init__(self, name: str, session: LinkSession, flusher: Flusher) -> None:
        self._name = name
        self._session = session
        self._flusher = flusher
        self._lock = threading.RLock()
        self._parts: list[str] = []
        self._size = 0

    @property
    def name(self) -> str:
        """`<stdout>` or `<stderr>`, as on a console."""
        return f"<{self._name}>"

    @property
    def lock(self) -> threading.RLock:
        """Held while text moves; a fork takes it so that no half state is copied."""
        return self._lock

    def fileno(self) -> int:
        """The descriptor that child processes inherit; the supervisor reads its other end."""
        return 1 if self._name == "stdout" else 2

    def isatty(self) -> bool:
        """A notebook is no terminal."""
        return False

    def writable(self) -> bool:
        """Text may be written."""
        return True

    def set_parent(self, parent: Any) -> None:
        """Called by the shell at each request; the supervisor knows the parent already."""

    def write(self, text: str) -> int:
        """Gather `text`; raises `TypeError` for anything but a string, like any text stream."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._lock:
            self._parts.append(text)
            self._size += len(text)
            if self._size >= FLUSH_AT:
                self.flush()
            elif len(self._parts) == 1:
                self._flusher.kick()
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of the strings."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Send what has gathered."""
        with self._lock:
            if not self._parts:
                return
            text = "".join(self._parts)
            self._parts, self._size = [], 0
            for start in range(0, len(text), 1 << 20):
                part = {"name": self._name, "text": text[start : start + (1 << 20)]}
                self._session.link.send(self._session.output("stream", part))


class Flusher:
    """Sends gathered text after `FLUSH_AFTER`, from a thread that starts with the first text.

    The thread is a daemon and holds nothing between two flushes, so that a fork (which does not
    copy it) loses nothing: `forget` lets the copy start its own.
    """

    def __init__(self) -> None:
        self.streams: tuple[CellStream, ...] = ()
        self.forget()

    def forget(self) -> None:
        """Drop the thread of a process that this one was forked from."""
        self._thread: threading.Thread | None = None
        self._due = threading.Event()
        self._stop = threading.Event()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, once there is one."""
        return self._thread

    def kick(self) -> None:
        """There is new text."""
        if self._thread is None:
            try:
                thread = threading.Thread(target=self._run, daemon=True, name="output flusher")
                thread.start()
            except (RuntimeError, MemoryError):
                # No memory, or no thread allowed: text goes out at once, as long as that lasts.
                for stream in self.streams:
                    stream.flush()
                return
            self._thread = thread
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._stop.wait(FLUSH_AFTER)
            self._due.clear()
            for stream in self.streams:
                try:
                    stream.flush()
                except OSError:
                    return  # The supervisor is gone; the main thread ends the process.


def streams(session: LinkSession) -> tuple[CellStream, CellStream, Flusher]:
    """The pair of streams of one worker, and their flusher."""
    flusher = Flusher()
    flusher.streams = CellStream("stdout", session, flusher), CellStream("stderr", session, flusher)
    return *flusher.streams, flusher
