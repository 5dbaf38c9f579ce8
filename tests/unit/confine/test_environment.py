"""What of the server's environment reaches a worker."""

from __future__ import annotations

import pytest

from sandbox_kernel.trusted.confine.environment import complete, scrub


def test_nothing_passes_that_no_line_names() -> None:
    assert scrub({"SECRET_PLAN": "x", "FOO": "x", "PWD": "/home/u"}, ()).environment == {}


def test_language_and_time_zone_pass_always() -> None:
    given = {"LANG": "de_DE.UTF-8", "LC_NUMERIC": "C", "TZ": "Europe/Berlin"}
    assert scrub(given, ()).environment == given


@pytest.mark.parametrize(
    "name",
    [
        "JUPYTERHUB_API_TOKEN",
        "JUPYTERHUB_USER",
        "JPY_API_TOKEN",
        "JPY_SESSION_NAME",
        "GITHUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASSWORD",
        "OPENAI_API_KEY",
        "SSH_AUTH_SOCK",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "LD_PRELOAD",
        "HOME",
        "JUPYTER_TOKEN",
    ],
)
def test_a_name_that_carries_a_secret_or_steers_python_never_passes(name: str) -> None:
    found = scrub({name: "value"}, {name})
    assert found.environment == {}
    assert name in found.refused


@pytest.mark.parametrize(
    ("value", "passes"),
    [
        ("http://user:password@proxy:3128", False),
        ("https://token@host/x", False),
        ("user:password@proxy:3128", False),
        ("http://proxy:3128", True),
        ("http://proxy/path@x", True),
        ("a@b.org", True),
    ],
)
def test_an_address_with_a_password_does_not_pass(value: str, passes: bool) -> None:
    assert ("HTTP_PROXY" in scrub({"HTTP_PROXY": value}, {"HTTP_PROXY"}).environment) is passes


def test_a_worker_lives_in_its_scratch() -> None:
    full = complete({"TZ": "UTC", "HOME": "/root"}, home="/s/home", temporary="/s/tmp")
    assert full["HOME"] == "/s/home"
    assert full["TMPDIR"] == "/s/tmp"
    assert full["IPYTHONDIR"].startswith("/s/home")
    assert full["TZ"] == "UTC"
    assert "PYTHONPATH" not in full
