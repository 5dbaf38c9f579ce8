"""The `sandbox-kernel` command: finding subcommands, and putting the kernelspec somewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox_kernel import __version__
from sandbox_kernel.cli import __main__ as command
from sandbox_kernel.cli import install


def test_the_list_names_every_subcommand_with_what_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name, path in command.commands().items():
        assert f"  {name} " in printed
        assert command.summary(path), f"{path} has no docstring"


def test_the_list_imports_no_subcommand() -> None:
    code = (
        "import sys; from sandbox_kernel.cli.__main__ import main; main(['--help']);"
        "print([m for m in sys.modules if m.startswith('sandbox_kernel.cli.')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert printed.splitlines()[-1] == "['sandbox_kernel.cli.__main__']"


def test_a_word_that_is_no_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["instal"]) == 2
    assert "there is no command 'instal'. Did you mean install?" in capsys.readouterr().err


def test_nothing_at_all_is_answered_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 2
    assert "usage: sandbox-kernel COMMAND" in capsys.readouterr().out


def test_a_reader_that_has_gone_is_no_error_of_the_command() -> None:
    command = [sys.executable, "-m", "sandbox_kernel.cli", "policy", "explain", "tour.ipynb"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == ""


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sandbox-kernel {__version__}\n"


def installed_spec(prefix: Path, name: str = "sandbox-python") -> dict[str, object]:
    folder = prefix / "share" / "jupyter" / "kernels" / name
    spec = json.loads((folder / "kernel.json").read_text())
    assert isinstance(spec, dict)
    return spec


def test_another_jupyters_kernelspec_names_this_interpreter_and_no_provisioner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install.main(["--prefix", str(tmp_path)]) == 0
    spec = installed_spec(tmp_path)
    assert spec["argv"] == [
        *(sys.executable, "-P", "-m", "sandbox_kernel", "-f", "{connection_file}")
    ]
    assert spec["metadata"] == {"debugger": False}
    assert "runs under the default policy" in capsys.readouterr().out


def test_the_kernelspec_is_readable_by_everyone_and_has_its_logos(tmp_path: Path) -> None:
    install.main(["--prefix", str(tmp_path), "--name", "mine", "--display-name", "Mine"])
    assert installed_spec(tmp_path, "mine")["display_name"] == "Mine"
    folder = tmp_path / "share" / "jupyter" / "kernels" / "mine"
    assert {path.name for path in folder.iterdir()} == {"kernel.json", *install.LOGOS}
    assert all(path.stat().st_mode & 0o004 for path in [folder, *folder.iterdir()])


def test_the_provisioner_is_named_when_the_other_jupyter_has_it(tmp_path: Path) -> None:
    install.main(["--prefix", str(tmp_path), "--provisioner"])
    metadata = installed_spec(tmp_path)["metadata"]
    assert metadata == {
        "debugger": False,
        "kernel_provisioner": {"provisioner_name": "sandbox-provisioner"},
    }


def test_the_two_kernelspecs_say_the_same() -> None:
    """The one that pip places and the one that this command writes differ in `argv[0]` alone."""
    root = Path(__file__).resolve().parents[3]
    placed = json.loads((root / "kernelspec" / "sandbox-python" / "kernel.json").read_text())
    written = install.kernelspec("python", install.DISPLAY_NAME, provisioner=True)
    assert written == placed


def test_a_place_that_cannot_be_written_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert install.main(["--prefix", "/proc/nowhere"]) == 1
    assert capsys.readouterr().err.startswith("sandbox-kernel install: ")
