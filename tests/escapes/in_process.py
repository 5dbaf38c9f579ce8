"""Attacks in plain processes: the control, and the language layer alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.escapes.model import Attack

__all__ = ["play"]

_TIME = 90.0  # seconds for one attack, imports included
_ROOT = Path(__file__).resolve().parents[2]


def play(attack: Attack, layer: str) -> dict[str, Any]:
    """Run ``attack`` in a fresh process; ``won`` lists what it got, ``ended`` how it ended."""
    with tempfile.TemporaryDirectory(prefix="escape-") as folder:
        code = Path(folder, "attack.py")
        code.write_text(attack.code, encoding="utf-8", errors="surrogatepass")
        world = Path(folder, "world")
        world.mkdir()
        canary = world / "canary"
        canary.write_text("CANARY-7f3a91\n", encoding="utf-8")
        command = [sys.executable, "-m", "tests.escapes.one", layer, str(code), str(world)]
        try:
            done = subprocess.run(
                command, cwd=_ROOT, capture_output=True, text=True, timeout=_TIME, check=False
            )
        except subprocess.TimeoutExpired:
            return {"won": [], "ended": f"no end in {_TIME:.0f} s"}
    for line in reversed(done.stdout.splitlines()):
        if line.startswith('{"won"'):
            return dict(json.loads(line))
    said = done.stderr.strip()[-300:]
    if done.returncode < 0:
        return {"won": ["oob"], "ended": f"the process died of signal {-done.returncode}"}
    return {"won": [], "ended": f"no result ({done.returncode}): {said}"}
