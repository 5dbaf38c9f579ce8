"""Policy files: what is a mistake, where it stands, and what `extends` means."""

from __future__ import annotations

import pytest

from sandbox_kernel.policy import PolicyError, Source, load
from tests.unit.policy.samples import over_default, policy, shipped

GRANT = '[[given.files]]\npath = "data"\nmode = "read"\nreason = "why"\n'


def mistakes(text: str, version: str = "version = 1\n") -> list[str]:
    with pytest.raises(PolicyError) as caught:
        policy(text, version=version)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[given\n", "course.toml:2: this is not TOML"),
        ("a = 1\na = 2\n", "course.toml:3: this is not TOML"),
        ("languge = 'full'", "course.toml:2: languge: unknown key; did you mean 'language'?"),
        ("[gven]", "course.toml:2: gven: unknown key; did you mean 'given'?"),
        (GRANT + "moode = 'read'", "course.toml:6: given.files[0].moode: unknown key"),
        ("[limits]\nwall = '1 s'", "course.toml:3: limits.wall: unknown key"),
        ("[limits]\nmemory = '4'", "course.toml:3: limits.memory: '4' is no size"),
        ("[limits]\nmemory = 4", "course.toml:3: limits.memory: 4 has no unit"),
        ("[limits]\nthreads = -1", "course.toml:3: limits.threads: -1 is no count"),
        ("[limits.max]\nmemory = '99999999999 TB'", "course.toml:3: limits.max.memory"),
        ("language = 'partial'", "course.toml:2: language: Invalid enum value 'partial'"),
        ("isolation = 'language-only'", "course.toml:2: isolation: Invalid enum value"),
        ("[[given.files]]\npath = 'a'\nmode = 'read'", "course.toml:2: given.files[0]: 'reason'"),
        ("[[given.files]]\nmode='read'\nreason='x'", "course.toml:2: given.files[0]: 'path'"),
        (GRANT.replace("data", ""), "course.toml:3: given.files[0].path"),
        (GRANT.replace('"read"', '"exec"'), "course.toml:4: given.files[0].mode"),
        (GRANT.replace('"why"', '""'), "course.toml:5: given.files[0].reason"),
        (GRANT.replace("data", "~bob/data"), "course.toml:2: '~bob/data'"),
        (GRANT.replace("data", "a/*/../b"), "course.toml:2: 'a/*/../b': '..' cannot follow"),
        (GRANT.replace("data", "a\\u0000b"), "course.toml:2: "),
        (GRANT + "deny = ['other/x']", "course.toml:2: deny 'other/x' lies outside its grant"),
        (GRANT + "deny = ['..']", "course.toml:2: deny '..' lies outside its grant"),
        (GRANT + "expires = 'soon'", "course.toml:2: expires = 'soon'"),
        (GRANT + "max_bytes = '1 MB'", "course.toml:2: max_bytes and max_count meter changes"),
        (GRANT + "max_count = -1", "course.toml:6: given.files[0].max_count"),
        ("[given]\nfiles = 'data'", "course.toml:3: given.files: Expected `array`"),
        ("[given]\nfiles = [1]", "course.toml:3: given.files[0]: Expected `object`"),
        ("[given]\nmodules = ['os; import x']", "course.toml:3: 'os; import x' is no module"),
        ("[given]\nenvironment = ['*']", "course.toml:3: '*' is no variable"),
        ("[given]\nsockets = ['example.org']", "course.toml:3: connect: 'example.org': write host"),
        ("[given]\nsockets = ['h:0']", "course.toml:3: connect: '0' is no port"),
        ("[given]\nsockets = ['h:9-2']", "course.toml:3: connect: '9-2' is no port"),
        ("[given]\nsockets = ['*.1.2.3.4:80']", "a wildcard stands before a name"),
        ("[given]\nsockets = ['10.0.0.1/8:80']", "is no network"),
        ("[[given.sockets]]\nreason = 'x'", "write exactly one of connect, listen, udp"),
        (
            "[[given.sockets]]\nreason='x'\nconnect='a:1'\nudp='a:1'",
            "write exactly one of connect, listen, udp",
        ),
        ("[[given.sockets]]\nreason='x'\nlisten='example.org:80'", "listen: write an address"),
        ("[processes]\nspawn = 1", "course.toml:3: processes.spawn: Expected `bool`"),
        ("preload = ['*']", "course.toml:2: '*' is no module name"),
        ("[refuse]\nlimits = {}", "course.toml:3: refuse.limits: unknown key"),
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    assert told in "\n".join(mistakes(text))


def test_all_mistakes_are_told_together() -> None:
    told = mistakes("[gven]\n[limts]\n")

    assert len(told) == 2


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("", "'version' is missing: write version = 1"),
        ("version = 2\n", "version 2 is newer than this sandbox-kernel, which reads version 1"),
        ("version = 0\n", "version 0 never existed: write version = 1"),
        ("version = '1'\n", "version is '1': write version = 1"),
        ("version = true\n", "version is True: write version = 1"),
    ],
)
def test_another_version_is_refused_with_what_to_change(version: str, told: str) -> None:
    # A key of a later version is not what the message should be about.
    text = "new_key = 1\n" if version == "version = 2\n" else ""

    assert told in "\n".join(mistakes(text, version))


def test_a_plain_list_of_strings_is_shorthand() -> None:
    found = policy(
        '[given]\nmodules = ["math"]\nfiles = ["data"]\nsockets = ["example.org:443"]\n'
        'environment = ["LANG", { names = ["TZ"], reason = "zone" }]\n'
    ).table.given

    assert found.modules[0].names == ("math",)
    assert (found.files[0].path, found.files[0].mode) == ("data", "read")
    assert found.sockets[0].connect == "example.org:443"
    assert [line.names for line in found.environment] == [("LANG",), ("TZ",)]


def test_extending_merges_tables_replaces_scalars_and_adds_to_lists() -> None:
    below = Source(
        "below.toml",
        'version = 1\nlanguage = "full"\n[given]\nmodules = ["math"]\n'
        '[limits]\nmemory = "1 GB"\nthreads = 4\n',
    )
    above = Source(
        "above.toml",
        'version = 1\nextends = "below"\nlanguage = "restricted"\n[given]\nmodules = ["json"]\n'
        '[limits]\nmemory = "2 GB"\n',
    )

    found = load([below, above])

    assert found.table.language == "restricted"
    assert [line.names for line in found.table.given.modules] == [("math",), ("json",)]
    assert str(found.table.limits.memory) == "2 GB"
    assert found.table.limits.threads is not None
    assert found.origin("given", "modules", 0).place == "below.toml:4"
    assert found.origin("given", "modules", 1).place == "above.toml:5"
    assert found.origin("limits", "memory").place == "above.toml:7"
    assert found.origin("limits", "threads").place == "below.toml:7"
    assert found.origin("language").place == "above.toml:3"


def test_a_mistake_in_a_policy_below_is_told_with_its_own_file() -> None:
    with pytest.raises(PolicyError, match=r"below\.toml:2: langage"):
        load([Source("below.toml", "version = 1\nlangage = 1"), Source("a.toml", "version = 1")])


def test_an_empty_file_of_the_right_version_allows_nothing() -> None:
    table = policy("").table

    assert table.given == type(table.given)()
    assert table.display.html == "sanitise"
    assert not table.processes.spawn


def test_a_name_in_two_tiers_is_a_warning_that_says_which_holds() -> None:
    found = policy('[ask]\nmodules = ["os"]\n[refuse]\nmodules = ["os"]\n')

    assert [str(w) for w in found.warnings] == [
        "course.toml:3: os stands in refuse too (course.toml:5): refuse holds"
    ]


def test_a_limit_above_its_maximum_is_a_warning() -> None:
    found = policy('[limits]\nmemory = "4 GB"\n[limits.max]\nmemory = "2 GB"\n')

    assert "memory = '4 GB' is above limits.max '2 GB'" in str(found.warnings[0])


def test_a_very_long_file_is_refused_unread() -> None:
    assert "longer than" in mistakes("#" * 1_000_001)[0]


def test_what_extends_default_keeps_its_lines() -> None:
    found = over_default('[given]\nmodules = ["os"]\n')

    assert len(found.table.given.modules) == len(shipped("default").table.given.modules) + 1
    assert found.digest != shipped("default").digest
