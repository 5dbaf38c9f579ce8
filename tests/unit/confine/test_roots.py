"""Which files an installed environment needs, and which it never gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine.roots import (
    Interpreter,
    Roots,
    find_roots,
    never_a_root,
    resolve,
)


def roots(tmp: Path, path: tuple[str, ...], *, prefixes: tuple[str, ...] = ()) -> Roots:
    home = tmp / "home"
    home.mkdir(exist_ok=True)
    return find_roots(Interpreter("", prefixes, path), home=str(home))


@pytest.mark.parametrize("path", ["/", "/tmp", "/home", "/home/u", "/etc", "/proc", "/var/tmp"])
def test_never_home_nor_what_is_above_it(path: str) -> None:
    assert never_a_root(path, "/home/u")


@pytest.mark.parametrize("path", ["/home/u/venv", "/home/other", "/opt/conda", "/home/u2"])
def test_folders_below_home_and_beside_it_may_be(path: str) -> None:
    assert not never_a_root(path, "/home/u")


def test_home_on_the_module_path_is_left_out_with_a_warning(tmp_path: Path) -> None:
    found = roots(tmp_path, (str(tmp_path / "home"),))
    assert str(tmp_path / "home") not in (*found.trees, *found.listed)
    assert any("is left out" in warning for warning in found.warnings)


def test_a_project_on_the_module_path_gives_its_modules_and_nothing_beside_them(
    tmp_path: Path,
) -> None:
    project = tmp_path / "project"
    for file in ("package/__init__.py", "space/inner/__init__.py", "module.py", ".env"):
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_text("")
    for file in ("data/secret.csv", "notebooks/helper.py", ".git/config", "key.pem"):
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_text("")
    found = roots(tmp_path, (str(project),))
    shown = {p for p in (*found.trees, *found.files) if p.startswith(str(project))}
    assert shown == {str(project / name) for name in ("package", "space", "module.py")}
    assert str(project) in found.listed


def test_site_packages_is_readable_as_a_whole_wherever_it_is(tmp_path: Path) -> None:
    site = tmp_path / "home" / ".local" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    assert str(site) in roots(tmp_path, (str(site),)).trees


def test_a_venv_gives_its_library_and_not_its_settings(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    for name in ("lib", "share", "etc/jupyter", "bin"):
        (venv / name).mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("")
    found = roots(tmp_path, (), prefixes=(str(venv),))
    shown = {p for p in (*found.trees, *found.files) if p.startswith(str(venv))}
    assert shown == {str(venv / name) for name in ("lib", "share", "pyvenv.cfg")}


def test_links_to_the_interpreter_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "python3").write_text("")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("python3")
    (tmp_path / "bin" / "python3").symlink_to("../real/python3")
    real, links = resolve(str(tmp_path / "bin" / "python"))
    assert real == str(tmp_path / "real" / "python3")
    assert links[str(tmp_path / "bin" / "python")] == "python3"
    assert links[str(tmp_path / "bin" / "python3")] == "../real/python3"


def test_a_loop_of_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="too many"):
        resolve(str(tmp_path / "a"))


def test_dotdot_at_the_top_stays_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "up").symlink_to("../" * 30 + "usr")
    assert resolve(str(tmp_path / "up"))[0] == "/usr"


def test_the_running_interpreter_can_be_described() -> None:
    found = find_roots(Interpreter.running(), home="/nonexistent")
    covered = (*found.trees, *found.files, *found.listed)
    import json

    assert any(json.__file__.startswith(tree) for tree in covered)
