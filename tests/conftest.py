"""What holds for every test: interrupts are delivered, however the run was started.

A run in the background of a shell, or below `nohup`, begins with SIGINT ignored, Python leaves it
so, and every process that a test starts inherits it. Tests of interrupts would wait for ever.
"""

from __future__ import annotations

import signal
import threading

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)
