"""What holds for every test: interrupts are delivered, however the run was started, and the same
code gets the same verdict.

A run in the background of a shell, or below `nohup`, begins with SIGINT ignored, Python leaves it
so, and every process that a test starts inherits it. Tests of interrupts would wait for ever.

Hypothesis tries the same examples each time. `HYPOTHESIS_PROFILE=explore` looks for others.
"""

from __future__ import annotations

import os
import signal
import threading

from hypothesis import settings

# Some run as a user who may not write beside them, and on machines that are busy.
settings.register_profile("stable", database=None, deadline=None, derandomize=True)
settings.register_profile("explore", database=None, deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "stable"))

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)
