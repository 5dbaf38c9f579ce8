"""Make "Sandboxed Python" known to a Jupyter, in this environment or another one.

`pip install` has done it already for the Jupyter of the same environment. This command is for a
Jupyter that lives elsewhere: a JupyterLab of the machine, a Hub's single-user environment, the
user's own.

A kernelspec that names a provisioner is hidden by a Jupyter that does not have that provisioner, so
`--user` and `--prefix` leave it out unless `--provisioner` says that the Jupyter there has
sandbox-kernel installed too. Without it the kernel runs all the same, under the default policy: it
is then not told which notebook it runs, and what a notebook's metadata asks for is not read.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

KERNEL_NAME = "sandbox-python"
DISPLAY_NAME = "Sandboxed Python"
PROVISIONER = "sandbox-provisioner"
LOGOS = ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg")


def kernelspec(python: str, display_name: str, provisioner: bool) -> dict[str, Any]:
    """The kernelspec for an interpreter named by its absolute path.

    The one that `pip install` places says `python`, which jupyter_client replaces by its own
    interpreter; that is right only for the environment that both share.
    """
    spec: dict[str, Any] = {
        "argv": [python, "-P", "-m", "sandbox_kernel", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        "interrupt_mode": "message",
        "metadata": {"debugger": False},
    }
    if provisioner:
        spec["metadata"]["kernel_provisioner"] = {"provisioner_name": PROVISIONER}
    return spec


def installed_logos() -> list[Path]:
    """The logo files where pip put them for this environment; fewer when some are gone."""
    placed = metadata.files("sandbox-kernel") or []
    paths = [Path(str(file.locate())) for file in placed if file.name in LOGOS]
    return [path for path in paths if path.is_file()]


def install(
    *,
    user: bool,
    prefix: str | None,
    name: str = KERNEL_NAME,
    display_name: str = DISPLAY_NAME,
    provisioner: bool,
) -> Path:
    """Write the kernelspec and return the folder it is in.

    Raises OSError where the place cannot be written, ValueError for a name Jupyter refuses.
    """
    with tempfile.TemporaryDirectory() as folder:
        # The folder's mode is copied along, and a system-wide spec is for every user.
        staged = Path(folder, name)
        staged.mkdir(mode=0o755)
        spec = kernelspec(sys.executable, display_name, provisioner)
        (staged / "kernel.json").write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")
        for logo in installed_logos():
            shutil.copyfile(logo, staged / logo.name)
        place = KernelSpecManager().install_kernel_spec(
            str(staged), kernel_name=name, user=user, prefix=prefix
        )
    return Path(place)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(prog="sandbox-kernel install", description=__doc__)
    words.formatter_class = argparse.RawDescriptionHelpFormatter
    where = words.add_mutually_exclusive_group()
    where.add_argument("--sys-prefix", action="store_true", help="this environment (the default)")
    where.add_argument("--user", action="store_true", help="this user's own Jupyter folder")
    where.add_argument("--prefix", help="PREFIX/share/jupyter/kernels")
    words.add_argument("--name", default=KERNEL_NAME, help="(default: %(default)s)")
    words.add_argument("--display-name", default=DISPLAY_NAME, help="(default: %(default)s)")
    words.add_argument(
        "--provisioner",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the Jupyter there has sandbox-kernel installed as well",
    )
    return words


def main(argv: Sequence[str]) -> int:
    """Install the kernelspec; exit status 1 when the place cannot be written."""
    options = parser().parse_args(argv)
    here = not options.user and options.prefix is None
    provisioner = here if options.provisioner is None else options.provisioner
    try:
        place = install(
            user=options.user,
            prefix=sys.prefix if here else options.prefix,
            name=options.name,
            display_name=options.display_name,
            provisioner=provisioner,
        )
    except (OSError, ValueError) as error:
        print(f"sandbox-kernel install: {error}", file=sys.stderr)
        return 1
    print(f"{options.display_name} is installed in {place}, run by {sys.executable}.")
    if not provisioner:
        print(
            "It runs under the default policy: what a notebook's metadata asks for is read only "
            "where the Jupyter has sandbox-kernel installed too (then: --provisioner)."
        )
    return 0
