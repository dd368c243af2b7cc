"""`stagecall verify` tells whether a folder of artifacts is what a worker has signed."""

import base64
import json
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stagecall.worker.cli import main

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def out(tmp_path, monkeypatch):
    """The output folder of a run that a worker with the key `signing` has made; `public` lies beside it."""
    monkeypatch.chdir(tmp_path)
    signing = tmp_path / "signing"
    signing.write_bytes(base64.b64encode(KEY.private_bytes_raw()))
    signing.chmod(0o600)
    (tmp_path / "public").write_bytes(base64.b64encode(KEY.public_key().public_bytes_raw()))
    plugins = {"success": {}, "artifacts": {}, "chainoftrust": {"key": "signing"}}
    (tmp_path / "worker.json").write_text(json.dumps({"engine": "mock", "plugins": plugins}))
    payload = {
        "function": "write-files",
        "argument": "a.txt",
        "artifacts": [{"type": "file", "path": "a.txt", "name": "public/a.txt"}],
    }
    (tmp_path / "task.json").write_text(json.dumps({"payload": payload}))
    assert main(["run", "task.json", "-c", "worker.json", "--out", "out", "--no-journal"]) == 0
    return tmp_path / "out"


def test_what_a_run_left_is_trusted(out, capsys):
    """The output folder of a run, or a copy of its artifacts, is trusted, in a line and as JSON."""
    capsys.readouterr()
    shutil.copytree(out / "artifacts", out.parent / "copy")

    codes = [
        main(["verify", "out", "--key", "public"]),
        main(["verify", "copy", "--key", "public", "--json"]),
    ]

    line, document = capsys.readouterr().out.splitlines()
    assert codes == [0, 0]
    assert line.startswith("trusted: 1 artifact, signed by local/")
    assert json.loads(document) | {"worker": "", "taskId": ""} == {
        "trusted": True,
        "taskId": "",
        "runId": 0,
        "worker": "",
        "artifacts": ["public/a.txt"],
        "problems": {},
    }


def test_what_differs_is_told_and_exits_1(out, capsys):
    """What was changed or added is named, one a line; a name from outside cannot speak to the terminal."""
    capsys.readouterr()
    (out / "artifacts/public/a.txt").write_text("changed")
    (out / "artifacts/\x1b[31mred").write_text("added")

    code = main(["verify", "out", "--key", "public"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert [line.partition(":")[0] for line in lines[:2]] == ["public/a.txt", "\\x1b[31mred"]
    assert lines[2].startswith("NOT trusted: 2 of what is there differs from 1 artifact, signed by local/")


def test_a_list_of_somebody_else_exits_1(out, capsys):
    """A signature by another key is a verdict, not a usage error."""
    capsys.readouterr()
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    (out.parent / "other").write_bytes(base64.b64encode(other))

    codes = [
        main(["verify", "out", "--key", "other"]),
        main(["verify", "out", "--key", "other", "--json"]),
    ]

    line, document = capsys.readouterr().out.splitlines()
    assert codes == [1, 1]
    assert line.startswith("NOT trusted: out/artifacts/public/chainOfTrust.json: the signature")
    assert json.loads(document)["trusted"] is False


def test_files_besides_can_be_allowed(out, capsys):
    """--allow-unlisted is for folders with more in them."""
    (out / "artifacts/more").write_text("more")

    codes = [main(["verify", "out", "--key", "public", *more]) for more in ([], ["--allow-unlisted"])]

    assert codes == [1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out", "--key", "signing"], None),
        (["out", "--key", "nowhere"], "--key nowhere: No such file"),
        (["out"], "Missing option '--key'"),
        (["--key", "public"], "Missing argument 'DIR'"),
    ],
)
def test_what_cannot_be_asked_exits_2(out, capsys, arguments, message):
    """A key that cannot be read and a missing argument are usage errors; a list that is signed otherwise is not."""
    capsys.readouterr()

    code = main(["verify", *arguments])

    captured = capsys.readouterr()
    assert (code, message or "") == ((1, "") if message is None else (2, message))
    assert (message or "") in captured.err
