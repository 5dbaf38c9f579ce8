"""Attacks in a live kernel, judged from outside: a canary file, a listener, the supervisor.

Inside, ``win(x)`` tries to make something of what the attack got; only an effect beyond the
worker counts: the canary read or changed, a file made, a listener contacted, a kernel that no
longer answers rightly.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.cases.__main__ import play_apart
from tests.cases.model import parse_case
from tests.cases.play import PLAIN, SANDBOX
from tests.escapes.model import Attack
from tests.escapes.one import MODULES

__all__ = ["case_of", "play"]

CANARY = "CANARY-7f3a91"
_PREAMBLE = """
import functools, json, os, socket
CANARY, MADE, PORT = "${WORLD}/outside/canary", "${WORLD}/outside/made", ${live.port}
SECRET = "s3cr3t"
def check(answer=None):
    return answer == SECRET
def _closure():
    hidden = 42
    def check2():
        return hidden
    return check2
check2 = _closure()
@functools.lru_cache
def check3(answer):
    return answer == SECRET
class Checker:
    def grade(self):
        return 1
checkcls, checkobj = Checker, Checker()
def _effects(x):
    yield lambda: print(open(CANARY).read())
    yield lambda: os.system("cat " + CANARY + "; touch " + MADE)
    yield lambda: open(MADE, "w").write("x")
    yield lambda: socket.create_connection(("127.0.0.1", PORT), 1).send(b"x")
    for name in ("system", "open", "listdir", "popen", "unlink", "mkdir"):
        yield lambda name=name: print(getattr(x, name)(MADE if name == "mkdir" else CANARY).read())
    yield lambda: print(x(CANARY).read())
    yield lambda: print(x("__import__('builtins').open(" + repr(CANARY) + ").read()"))
    yield lambda: print(x("os").open(CANARY, 0))
    yield lambda: print(x["__builtins__"]["open"](CANARY).read())
    yield lambda: print(x["open"](CANARY).read())
def win(x):
    for effect in _effects(x):
        try:
            effect()
        except BaseException:
            pass
def integrity():
    pass
"""


def case_of(attack: Attack, layer: str) -> dict[str, Any]:
    """The acceptance case in which ``attack`` is played at ``layer`` (``os`` or ``both``)."""
    code = attack.code.replace("${WORLD}/canary", "${WORLD}/outside/canary")
    language = "full" if layer == "os" else "restricted"
    policy: dict[str, Any] = {"language": language}
    if language == "restricted":
        policy["given"] = {"modules": list(MODULES)}
    quiet = {"text_lacks": [CANARY]}
    return {
        "id": attack.id,
        "group": "A",
        "class": "deny",
        "source": "escapes",
        "what": attack.kind,
        "policy": policy,
        "world": [{"path": "outside/canary", "text": CANARY + "\n"}],
        "services": [{"name": "live", "kind": "tcp", "host": "127.0.0.1", "port": "auto"}],
        "steps": [
            {"cell": _PREAMBLE, "expect": {"status": "ok"}},
            {"cell": code, "expect": quiet},
            {"cell": "print('still here')", "expect": {"stdout": "still here\n", **quiet}},
            {
                "request": {"type": "kernel_info_request", "content": {}},
                "expect": {"reply": {"status": "ok"}},
            },
        ],
        "after": {
            "unchanged": ["outside/canary"],
            "absent": ["outside/made"],
            "no_contact": ["live"],
            "alive": True,
        },
        "needs": [],
    }


def play(attack: Attack, layer: str) -> dict[str, Any]:
    """Play ``attack`` in a live kernel; ``won`` lists the effects seen from outside."""
    record = case_of(attack, layer)
    with tempfile.TemporaryDirectory(prefix="escape-") as folder:
        options = argparse.Namespace(
            kernel=PLAIN if layer == "plain" else SANDBOX,
            level=None,
            policies=Path(__file__).resolve().parents[2] / "policies",
            throwaway=False,
            keep=False,
        )
        del folder
        result = play_apart(parse_case(record), record, options)
    won = [reason for reason in result.reasons if _is_effect(reason)]
    ended = "; ".join(r for r in result.reasons if not _is_effect(r)) or "contained"
    return {"won": won, "ended": ended[:400], "broken": result.outcome != "pass" and not won}


def _is_effect(reason: str) -> bool:
    """A reason that tells of an effect outside, rather than of a runner that could not play."""
    marks = (CANARY, "canary", "made", "contact")
    return any(mark in reason for mark in marks)


def dump(attack: Attack, layer: str) -> str:
    """The case as a line, to be played by hand."""
    return json.dumps(case_of(attack, layer))
