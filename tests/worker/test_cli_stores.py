"""`stagecall run` puts artifacts where the configuration says, and says where they are."""

import json

import pytest

from .cli_support import environment, stagecall
from .s3_support import ACCESS_KEY, REGION, SECRET_KEY, s3_server

TASK = """
taskId: AAAAAAAAQACAAAAAAAAAAA
payload:
  command: [sh, -c, "echo made > made.txt"]
  artifacts: [{type: file, path: made.txt, name: public/made}]
"""


@pytest.fixture
def run(tmp_path):
    """Run a task whose artifacts go where `section`, in YAML, says."""

    def run(section, *arguments, **env):
        (tmp_path / "config.yml").write_text(f"worker: {{journal: false, artifacts: {section}}}")
        (tmp_path / "task.yml").write_text(TASK)
        command = ["run", "task.yml", "--config", "config.yml", "--out", "out", *arguments]
        return stagecall(*command, cwd=tmp_path, env=environment(**env))

    return run


def test_artifacts_go_to_a_bucket(run, tmp_path):
    """With credentials of the environment; run.json and the page stay in the output folder."""
    with s3_server() as server:
        options = f"{{endpoint: '{server.url}', region: {REGION}, allow_http: true}}"
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}

        done = run(f"{{url: s3://bucket/runs, options: {options}}}", **keys)

    place = "runs/AAAAAAAAQACAAAAAAAAAAA/0/public/made"
    assert done.code == 0, done.err
    assert server.objects[place][0] == b"made\n"
    assert f"s3://bucket/{place}" in done.out + done.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.html", "run.json"]


def test_artifacts_go_to_a_folder(run, tmp_path):
    """One folder for all tasks, with a public address that the summary does not need."""
    done = run(f"{{url: 'file://{tmp_path}/kept', publicUrl: 'https://example.com/'}}", "--json")

    (made,) = [one for one in json.loads(done.out)["artifacts"] if one["name"] == "public/made"]
    assert done.code == 0, done.err
    assert made["path"] == str(tmp_path / "kept/AAAAAAAAQACAAAAAAAAAAA/0/public/made")
    assert (tmp_path / "kept/AAAAAAAAQACAAAAAAAAAAA/0/public/made").read_bytes() == b"made\n"


def test_artifacts_may_be_thrown_away(run):
    """What is kept in memory has no place that could be named: its name stands there."""
    done = run("{url: 'memory://'}")

    assert done.code == 0, done.err
    assert "  public/made\n" in done.out + done.err


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{url: 'ftp://host/'}", "the artifact store 'ftp://host/': unknown scheme 'ftp'; "),
        (
            "{url: 'file:relative'}",
            "the artifact store 'file:relative': a folder is written file:///absolute/path",
        ),
        (
            "{url: 's3://b', options: {regoin: x}}",
            "the artifact store 's3://b': Configuration key: 'regoin' is not valid",
        ),
    ],
)
def test_a_store_that_cannot_be_is_told_before_anything_runs(run, tmp_path, section, message):
    """The operator's mistake, in one line, and the exit code of a mistake."""
    done = run(section)

    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err
    assert not (tmp_path / "out" / "run.json").exists()
