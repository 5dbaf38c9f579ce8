"""Where a system policy finds what it extends: only where root alone can have put it."""

from __future__ import annotations

from pathlib import Path

from sandbox_kernel.policy.lookup import Layer
from sandbox_kernel.trusted.policy_files import roots_own, search_path


def test_folders_that_others_may_write_are_left_out(tmp_path: Path) -> None:
    mine = Layer("mine", str(tmp_path))
    missing = Layer("missing", "/usr/share/no-such-folder")
    system = Layer("system", "/usr/share")
    assert roots_own([mine, missing, system]) == (system,)


def test_the_shipped_policies_are_always_among_them() -> None:
    shipped = search_path()[-1]
    assert (Path(shipped.folder) / "default.toml").is_file()
    assert shipped in roots_own(search_path())
