"""Protocol tests of Jupyter and of ipykernel, run against plain ipykernel and this kernel.

Two suites: `tests/conformance/test_jupyter_kernel.py` (jupyter_kernel_test and more), and the
ipykernel project's own message-spec tests, which are taken from its source distribution at run
time. The goal is that nothing fails here that plain ipykernel passes, but for what
`docs/conformance.md` lists with its reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

from benchmarks.kernels import PLAIN, SANDBOXED
from benchmarks.report import Row, finish, parser

ROOT = Path(__file__).parents[1]
OWN_SUITE = ROOT / "tests" / "conformance" / "test_jupyter_kernel.py"
DIFFERENCES = ROOT / "docs" / "conformance.md"

# Of ipykernel's tests, those of the messages. The others look at its own objects and streams.
UPSTREAM = ("__init__.py", "utils.py", "test_message_spec.py")

# The protocol is what is compared here, not the dialect: the sandboxed kernel runs under its
# default policy with the full language.
FULL_LANGUAGE = 'version = 1\nextends = "default"\nlanguage = "full"\n'
LAUNCH = """
import sys
from sandbox_kernel.__main__ import main
from sandbox_kernel.trusted.options import LaunchOptions
sys.exit(main(sys.argv[2:], LaunchOptions(policy_paths=[("admin", sys.argv[1])])))
"""

LONGEST = 240.0  # seconds for one suite against one kernel; a single test has its own deadline

Outcomes = Mapping[str, str]


def outcomes(report: Path) -> dict[str, str]:
    """Test name → `passed`, `failed` or `skipped`, from a JUnit file."""
    found = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        broken = kinds & {"failure", "error"}
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        found[name] = "failed" if broken else "skipped" if "skipped" in kinds else "passed"
    return found


def run(words: Sequence[str], cwd: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Run pytest in its own process and return what each test came to.

    Raises TimeoutExpired when it does not end, RuntimeError when it reports nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        done = subprocess.run(
            [*command, f"--junit-xml={report}", *words],
            cwd=cwd,
            env={**os.environ, **extra},
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
        if not report.exists():
            raise RuntimeError(f"pytest did not run:\n{done.stdout}{done.stderr}")
        return outcomes(report)


def own_suite(kernel_name: str) -> dict[str, str]:
    """Run our protocol tests against a kernel."""
    return run([str(OWN_SUITE)], ROOT, {"KERNEL_UNDER_TEST": kernel_name})


def source_distribution(folder: Path) -> Path:
    """The unpacked source distribution of the ipykernel that is installed here.

    Raises CalledProcessError when pip cannot get it (no network).
    """
    # Without isolation nothing is built or fetched beyond that one archive.
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-build-isolation"]
    wanted = f"ipykernel=={version('ipykernel')}"
    subprocess.run([*command, "--no-binary", "ipykernel", "-d", str(folder), wanted], check=True)
    with tarfile.open(next(folder.glob("ipykernel-*.tar.gz"))) as archive:
        # CPython 3.11 has the filter since 3.11.4.
        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safely)
    return next(path for path in folder.glob("ipykernel-*") if path.is_dir())


def upstream_suite(source: Path, kernel_name: str, folder: Path) -> dict[str, str]:
    """Run ipykernel's own tests, as they are, against a kernel.

    They start the kernel named `python3`; that name is given to the one under test by a folder that
    comes first on Jupyter's path.
    """
    tests = folder / kernel_name / "tests"
    tests.mkdir(parents=True)
    for name in UPSTREAM:
        shutil.copy(source / "tests" / name, tests / name)
    (tests.parent / "pytest.ini").write_text("[pytest]\ntimeout = 60\n")
    disguise = folder / kernel_name / "jupyter" / "kernels" / "python3"
    disguise.mkdir(parents=True)
    spec = KernelSpecManager().get_kernel_spec(kernel_name).to_dict()
    if kernel_name == SANDBOXED:
        policy = folder / "full.toml"
        policy.write_text(FULL_LANGUAGE)
        spec["argv"] = [sys.executable, "-P", "-c", LAUNCH, str(policy), "-f", "{connection_file}"]
        spec["metadata"] = {}
    (disguise / "kernel.json").write_text(json.dumps(spec))
    extra = {"JUPYTER_PATH": str(disguise.parents[1]), "IPYTHONDIR": str(folder / "ipython")}
    return run(["-p", "no:warnings", "tests"], tests.parent, extra)


def documented() -> frozenset[str]:
    """The tests that the page on conformance gives a reason for: the first code span of a row."""
    lines = DIFFERENCES.read_text(encoding="utf-8").splitlines()
    return frozenset(line.split("`")[1] for line in lines if line.startswith("| `"))


def side_by_side(title: str, plain: Outcomes, ours: Outcomes) -> str:
    """Both outcomes of each test, one a line."""
    names = sorted({*plain, *ours})
    width = max(map(len, names))
    lines = [
        f"  {name.ljust(width)}  {plain.get(name, '-').ljust(8)}  {ours.get(name, '-').ljust(8)}"
        f"{'' if plain.get(name) == ours.get(name) else '  differs'}".rstrip()
        for name in names
    ]
    head = f"  {''.ljust(width)}  {'plain'.ljust(8)}  sandboxed"
    return "\n".join([title, head, *lines, ""])


def lost(plain: Outcomes, ours: Outcomes) -> set[str]:
    """What plain ipykernel passes and this kernel does not."""
    return {name for name, came in plain.items() if came == "passed" and ours.get(name) != came}


def main(argv: Sequence[str]) -> int:
    """Run both suites against both kernels."""
    words = parser(__doc__)
    words.add_argument("--own-only", action="store_true", help="leave out ipykernel's own tests")
    options = words.parse_args(argv)
    suites = {"jupyter_kernel_test and more": [own_suite(name) for name in (PLAIN, SANDBOXED)]}
    if not options.own_only:
        with tempfile.TemporaryDirectory() as folder:
            source = source_distribution(Path(folder))
            suites[f"{source.name}'s own tests"] = [
                upstream_suite(source, name, Path(folder, "runs")) for name in (PLAIN, SANDBOXED)
            ]
    rows = []
    for title, (plain, ours) in suites.items():
        print(side_by_side(title, plain, ours))
        missing = lost(plain, ours)
        unexplained = missing - documented()
        passed = [sum(came == "passed" for came in run.values()) for run in (ours, plain)]
        detail = f"{passed[0]} passed beside {passed[1]}; {len(missing)} differ for a known reason"
        if unexplained:
            detail = "not in docs/conformance.md: " + ", ".join(sorted(unexplained))
        rows.append(Row(f"{title}: lost without a reason", len(unexplained), "", 0, detail))
    return finish("conformance", "Conformance", rows, options.json)
