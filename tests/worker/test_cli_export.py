"""`stagecall export`: to standard output or a file, in the format asked for or the one that the file's name tells."""

from pathlib import Path

import pytest

from stagecall.lifecycle.export import promela, scxml
from stagecall.specs.lifecycle import TASK_RUN
from stagecall.worker.cli import main

from ..support.invented import INVENTED, INVENTED_YAML

LOST = "{name: lost, stages: [{name: a, next: b}]}"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yml").write_text(INVENTED_YAML)
    (tmp_path / "lost.yml").write_text(LOST)
    return tmp_path


@pytest.mark.parametrize(("format", "write"), [("promela", promela), ("scxml", scxml)])
def test_formats_go_to_standard_output(capsys, format, write):
    """Without --output the text is printed, that of task runs or that of a lifecycle of one's own."""
    codes = [main(["export", "--format", format]), main(["export", "-f", format, "-l", "mine.yml"])]

    assert codes == [0, 0]
    assert capsys.readouterr() == (write(TASK_RUN) + write(INVENTED), "")


@pytest.mark.parametrize(("name", "write"), [("a.pml", promela), ("a.scxml", scxml), ("a.XML", scxml)])
def test_name_of_the_file_tells_the_format(capsys, here, name, write):
    """The suffix of --output decides where --format does not."""
    code = main(["export", "--output", name])

    assert (code, capsys.readouterr()) == (0, ("", ""))
    assert (here / name).read_text() == write(TASK_RUN)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "--format: is missing, and --output names none; allowed are promela, scxml"),
        (["--output", "a.txt"], "--format: is missing, and --output names none; allowed are promela, scxml"),
        (
            ["-f", "scxml", "-l", "lost.yml"],
            "lost.yml: stage 'a' leads to 'b', which is no stage; stages are a",
        ),
        (["-f", "scxml", "-o", "no/such/folder"], "--output no/such/folder: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said(capsys, arguments, line):
    """A format that nobody tells, a table that cannot be written, a file that cannot be: one line, exit code 2."""
    code = main(["export", *arguments])

    assert (code, *capsys.readouterr()) == (2, "", f"stagecall: {line}\n")
