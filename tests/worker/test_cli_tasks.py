"""Task files and output folders are checked before anything runs, all of them, one line for each problem."""

from pathlib import Path

import pytest

from stagecall.worker.cli.exits import Problem
from stagecall.worker.cli.tasks import load_jobs, prepare_folders, read_document

TASK = "payload: {command: ['true']}\n"
SLUG = "VRzKBhTiQ0-FuPzN5AAWUA"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hello.yml").write_text(TASK)
    return tmp_path


def problems(*files: str) -> tuple[str, ...]:
    with pytest.raises(Problem) as caught:
        load_jobs(files, Path("out"))
    return caught.value.lines


def test_one_task_has_the_folder_for_itself():
    """Without company a task is called after its file, and `out` is its folder."""
    (job,) = load_jobs(["hello.yml"], Path("out"))

    assert (job.label, job.folder, len(job.task_id)) == ("hello", Path("out"), 22)


def test_several_tasks_have_a_folder_each():
    """File and place make a name, so that one file may be run several times."""
    jobs = load_jobs(["hello.yml", "./hello.yml"], Path("out"))

    assert [(job.label, job.folder) for job in jobs] == [
        ("hello-1", Path("out/hello-1")),
        ("hello-2", Path("out/hello-2")),
    ]


def test_without_out_the_task_id_names_the_folder(here):
    """No run overwrites another's results by default."""
    (here / "named.json").write_text(f'{{"taskId": "{SLUG}", "payload": {{}}}}')

    jobs = load_jobs(["hello.yml", "named.json"], None)

    assert [job.folder for job in jobs] == [
        Path("stagecall-out", jobs[0].task_id),
        Path("stagecall-out", SLUG),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("payload: {command: [true\n", "bad.yml:2:1: "),
        ("payload: {}\npayload: {}\n", 'bad.yml:2:1: the key "payload" occurs twice in this object'),
        ("\tpayload: {}", "bad.yml:1:1: "),
        (
            "payload: {}\ndeadlin: 2030-01-01T00:00:00Z",
            'bad.yml: task.deadlin: unknown property; did you mean "deadline"?',
        ),
        ("{}", "bad.yml: task.payload: is missing"),
        ("- payload", "bad.yml: task: must be an object, not a list"),
        ("", "bad.yml:1:1: expected a document, found nothing"),
        ("payload: {}\ntaskId: short", "bad.yml: task.taskId: must be "),
    ],
)
def test_a_bad_file_is_one_line(here, text, line):
    """YAML errors say line and column, wrong definitions the path."""
    (here / "bad.yml").write_text(text)

    (said,) = problems("bad.yml")

    assert said.startswith(line)
    assert "\n" not in said


def test_bytes_that_are_no_text(here):
    """A file that is not UTF-8 says where."""
    (here / "bad.yml").write_bytes(b"payload:\n  a: \xff")

    assert problems("bad.yml") == ("bad.yml:2:6: the byte 0xff is not UTF-8",)


def test_files_that_cannot_be_read(here):
    """A missing file and a folder are named; all problems of all files are told at once."""
    (here / "folder").mkdir()
    (here / "bad.yml").write_text("payload: 3")

    assert problems("no.yml", "hello.yml", "folder", "bad.yml") == (
        "no.yml: No such file or directory",
        "folder: Is a directory",
        "bad.yml: task.payload: must be an object, not a number",
    )


def test_endless_files_are_not_read():
    """A device that never ends is refused, not read for ever."""
    assert problems("/dev/zero") == ("/dev/zero: larger than 16 MiB, the most that is read",)


def test_two_tasks_with_one_id(here):
    """Two runs under one identity could not be told apart."""
    (here / "named.yml").write_text(f"taskId: {SLUG}\n{TASK}")

    assert problems("named.yml", "named.yml") == (
        f"named-1, named-2: all have the taskId {SLUG}; give each its own, or none",
    )


def test_names_cannot_harm_the_terminal(here):
    """A file's name is shown without the control characters it may hold."""
    (here / "a\x1b[2Jb.yml").write_text(TASK)

    (job,) = load_jobs(["a\x1b[2Jb.yml"], None)

    assert job.label == "ab"


def test_documents_may_be_json(here):
    """A name that ends in .json is read as JSON."""
    (here / "run.json").write_text('{"a": 1,}')

    with pytest.raises(Problem, match=r"run\.json:1:"):
        read_document("run.json")


def test_an_earlier_run_is_cleared(here):
    """Running again into the same folder leaves nothing of the earlier run, and touches nothing else."""
    old = here / "out" / "artifacts" / "public"
    old.mkdir(parents=True)
    (old / "old.txt").write_text("old")
    (here / "out" / "run.json").write_text("{}")
    (here / "out" / "mine.txt").write_text("mine")

    prepare_folders(load_jobs(["hello.yml"], Path("out")))

    assert [path.name for path in (here / "out").rglob("*")] == ["mine.txt"]


def test_artifacts_that_no_run_made_are_left_alone(here):
    """A folder called artifacts that may be somebody's is not removed."""
    (here / "out" / "artifacts").mkdir(parents=True)
    (here / "out" / "artifacts" / "mine.txt").write_text("mine")

    with pytest.raises(Problem, match=r"--out out: has artifacts/ but no run\.json"):
        prepare_folders(load_jobs(["hello.yml"], Path("out")))
    assert (here / "out" / "artifacts" / "mine.txt").exists()


def test_a_link_in_place_of_artifacts_is_not_followed(here):
    """What a link called artifacts leads to is not removed."""
    (here / "precious").mkdir()
    (here / "precious" / "file").write_text("x")
    (here / "out").mkdir()
    (here / "out" / "run.json").write_text("{}")
    (here / "out" / "artifacts").symlink_to(here / "precious")

    with pytest.raises(Problem, match="--out out: "):
        prepare_folders(load_jobs(["hello.yml"], Path("out")))
    assert (here / "precious" / "file").exists()


def test_a_folder_that_cannot_be_made(here):
    """A file where the folder should be is named."""
    (here / "out").write_text("a file")

    with pytest.raises(Problem, match="--out out: File exists"):
        prepare_folders(load_jobs(["hello.yml"], Path("out")))


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_artifacts_that_are_no_folder_are_left_alone(here, kind, trace):
    """What stands where artifacts would go is refused before the run, and neither followed nor removed."""
    (here / "mine").mkdir()
    (here / "mine" / "precious").touch()
    (here / "out").mkdir()
    if kind == "link":
        (here / "out" / "artifacts").symlink_to(here / "mine")
    else:
        (here / "out" / "artifacts").touch()
    if trace:
        (here / "out" / "run.json").touch()

    with pytest.raises(Problem) as caught:
        prepare_folders(load_jobs(["hello.yml"], Path("out")))

    assert caught.value.lines == ("--out out: artifacts is no folder; remove it or choose another folder",)
    assert (here / "mine" / "precious").exists()
    assert (here / "out" / "run.json").exists() is trace
