"""`sandbox-kernel nbgrader`, and the line that it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox_kernel.cli.nbgrader import CONFIG, LINE, main, with_line


@pytest.fixture
def course(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path


def test_enable_writes_the_line_once_and_last(course: Path) -> None:
    file = course / CONFIG
    file.write_text("c = get_config()\n")
    assert main(["status", str(course)]) == 1
    assert main(["enable", str(course)]) == 0
    assert main(["enable", str(course)]) == 0
    assert file.read_text().count(LINE) == 1
    assert main(["status", str(course)]) == 0


def test_a_line_that_is_not_the_last_one_does_not_count(course: Path) -> None:
    text = with_line("") + "c.Autograde.autograde_preprocessors = []\n"
    (course / CONFIG).write_text(text)
    assert main(["status", str(course)]) == 1
    assert main(["enable", str(course)]) == 0
    assert (course / CONFIG).read_text().rstrip().endswith(LINE)


def test_disable_leaves_the_rest(course: Path) -> None:
    file = course / CONFIG
    file.write_text("c = get_config()\n")
    main(["enable", str(course)])
    assert main(["disable", str(course)]) == 0
    assert file.read_text().strip() == "c = get_config()"


def test_a_folder_without_a_course_is_refused(tmp_path: Path) -> None:
    assert main(["enable", str(tmp_path)]) == 2
    assert not (tmp_path / CONFIG).exists()
    assert main(["enable", str(tmp_path / "none")]) == 2


def test_the_line_puts_the_contained_parts_in_place(course: Path) -> None:
    loader = pytest.importorskip("traitlets.config.loader")
    pytest.importorskip("nbgrader")
    (course / CONFIG).write_text(with_line("c = get_config()\n"))
    config = loader.PyFileConfigLoader(CONFIG, path=str(course)).load_config()
    from sandbox_kernel.jupyter.nbgrader import ContainedExecute

    assert config.Autograde.autograde_preprocessors.count(ContainedExecute) == 1
    assert config.Autograde.exporter_class.endswith("ContainedExporter")
    assert "markdown2html" in config.HTMLExporter.filters


def test_a_course_that_executes_in_a_way_of_its_own_is_an_error() -> None:
    loader = pytest.importorskip("traitlets.config")
    pytest.importorskip("nbgrader")
    from sandbox_kernel.jupyter.nbgrader import contain

    config = loader.Config()
    config.Autograde.autograde_preprocessors = ["somewhere.Runner"]
    with pytest.raises(ValueError, match="just once"):
        contain(config)
