"""Metadata whose writer wants to hold the kernel up: patterns, numbers, sizes, dates.

Controls: the regular expression that a pattern means to a naive reader, and the number that
Python itself refuses to read.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from typing import Any

import biscuit_auth
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_kernel.policy import Origin, parse_request, tickets
from sandbox_kernel.policy.kinds import hosts, paths
from sandbox_kernel.policy.model import Issuer
from sandbox_kernel.policy.request import MOST_ENTRIES, MOST_TICKETS
from sandbox_kernel.policy.tickets import TicketRefused, issue, new_keys, verify

#: Seconds that no honest match takes, and that a hostile one goes beyond by years.
SHORT, LONG = 2.0, 60.0


def same(path: str) -> str:
    return path


def covers(pattern: str, path: str) -> bool:
    return paths.pattern(pattern, "/f", "/h", same).covers(path)


def naive(pattern: str) -> str:
    """The pattern as one regular expression, each star of it free to be tried anew."""
    segments = []
    for segment in pattern.split("/"):
        if segment == "**":
            segments.append(r"(?:/[^/.][^/]*)*")
        else:
            hidden = r"(?!\.)" if segment[0] in "*?" else ""
            body = re.escape(segment).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
            segments.append("/" + hidden + body)
    return "/f" + "".join(segments) + "(?:/.*)?"


HOSTILE = [("*a" * 14 + "b", "/f/" + "a" * 80), ("**/" * 14 + "x", "/f" + "/a" * 80 + "/b")]


def ends(code: str, seconds: float) -> bool:
    try:
        subprocess.run([sys.executable, "-c", code], timeout=seconds, check=True)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.mark.parametrize(("pattern", "path"), HOSTILE)
def test_no_pattern_takes_longer_than_its_path_and_itself(pattern: str, path: str) -> None:
    code = (
        "from sandbox_kernel.policy.kinds import paths\n"
        f"assert not paths.pattern({pattern!r}, '/f', '/h', str).covers({path!r})"
    )
    assert ends(code, LONG)


@pytest.mark.parametrize(("pattern", "path"), HOSTILE)
def test_control_one_regular_expression_does_not_come_to_an_end(pattern: str, path: str) -> None:
    code = f"import re\nassert not re.fullmatch({naive(pattern)!r}, {path!r})"
    assert not ends(code, SHORT)


_NAMES = st.text("ab.", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))


@settings(database=None, deadline=None)
@given(
    st.lists(st.one_of(st.just("**"), st.text("ab.*?", min_size=1, max_size=5)), min_size=1),
    st.lists(_NAMES, max_size=5),
)
def test_a_pattern_means_what_its_regular_expression_means(
    segments: list[str], names: list[str]
) -> None:
    if any(part in (".", "..") for part in segments):
        return
    pattern = "/".join(segments)
    if not paths.pattern(pattern, "/f", "/h", same).is_glob:
        return
    path = "/".join(["/f", *names])
    expected = re.fullmatch(naive(pattern), path, re.DOTALL) is not None
    assert covers(pattern, path) is expected


def problems(raw: Any) -> list[str]:
    return [problem.code for problem in parse_request(raw, Origin("test")).problems]


@pytest.mark.parametrize("host", ["9" * 5000, "1." + "9" * 5000, "1.2.3." + "9" * 5000])
def test_a_host_of_thousands_of_digits_is_a_mistake_and_no_crash(host: str) -> None:
    with pytest.raises(ValueError, match="integer string conversion"):
        int("9" * 5000)  # What the digits would be read with.
    assert problems({"sockets": [{"connect": f"{host}:80"}]})
    with pytest.raises(hosts.HostError):
        hosts.parse_host(host)


def test_addresses_are_still_read_in_all_their_forms() -> None:
    assert str(hosts.parse_host("2130706433")) == "127.0.0.1"
    assert str(hosts.parse_host("127.1")) == "127.0.0.1"
    assert str(hosts.parse_host("4294967295")) == "255.255.255.255"
    with pytest.raises(hosts.HostError):
        hosts.parse_host("4294967296")


@pytest.mark.parametrize(
    ("raw", "refused"),
    [
        ({"files": [{"path": f"d{n}"} for n in range(MOST_ENTRIES)]}, False),
        ({"files": [{"path": f"d{n}"} for n in range(MOST_ENTRIES + 1)]}, True),
        ({"files": [{"path": "d", "deny": [f"d/{n}" for n in range(MOST_ENTRIES)]}]}, True),
        ({"modules": [{"names": ["a"] * (MOST_ENTRIES + 1)}]}, True),
        ({"tickets": ["x"] * MOST_TICKETS}, False),
        ({"tickets": ["x"] * (MOST_TICKETS + 1)}, True),
    ],
)
def test_a_request_has_a_bounded_number_of_entries(raw: dict[str, Any], refused: bool) -> None:
    assert ("request.many" in problems(raw)) is refused


# --- tickets --------------------------------------------------------------------------------------

PRIVATE, PUBLIC = new_keys()
ISSUERS = (Issuer(key=PUBLIC, reason="of the test", name="Teacher"),)
TOKEN = issue(PRIVATE, {"files": [{"path": "data"}]}, expires_at=4e9)


def narrowed(request: bytes) -> str:
    """A block of a holder's own making."""
    held = biscuit_auth.Biscuit.from_base64(TOKEN, biscuit_auth.PublicKey(PUBLIC))
    text = base64.urlsafe_b64encode(request).decode()
    return str(held.append(biscuit_auth.BlockBuilder(f'narrow("{text}")')).to_base64())


@pytest.mark.parametrize(
    "request_",
    [
        json.dumps({"sockets": [{"connect": "9" * 5000 + ":80"}]}).encode(),
        json.dumps({"files": [{"path": f"{n}"} for n in range(MOST_ENTRIES + 1)]}).encode(),
        b"[" * 5000,
        b'{"files": [{"path": "a\\ud800"}]}',
    ],
)
def test_a_ticket_with_a_hostile_block_is_refused_and_crashes_nothing(request_: bytes) -> None:
    token = narrowed(request_)
    found = verify(token, ISSUERS, notebook=None, now=0.0)
    assert isinstance(found, TicketRefused)
    assert found.code == "ticket.malformed"


def test_a_ticket_whose_date_is_none_is_refused() -> None:
    # The library writes no such date; a holder who signs a block by hand does.
    first = f'grant("{base64.urlsafe_b64encode(b"{}").decode()}")'
    for date in ("+292277026596-12-04T15:30:07Z", "<invalid>", "9999-99-99"):
        source = f"{first};\ncheck if time($time), $time <= {date};\n"
        found = tickets._ticket([source], "", ["mark"])
        assert isinstance(found, TicketRefused), date
