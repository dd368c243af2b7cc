"""Where the secrets of a worker come from: each is there, and can be masked, or the worker does not start."""

import pytest

from stagecall.lifecycle.errors import ConfigurationError
from stagecall.worker.secret_sources import SecretSources


def test_secrets_are_read_from_variables_and_files(tmp_path, monkeypatch):
    """Values are bytes as they are; the lines of a file belong together."""
    monkeypatch.setenv("A_TOKEN", "caf\udce9 au lait")
    (tmp_path / "key").write_bytes(b"line one\nline two\n")

    sources = SecretSources(("A_TOKEN",), (tmp_path / "key",))

    assert sources.read() == (b"caf\xe9 au lait", b"line one\nline two\n")


@pytest.mark.parametrize(
    ("environment", "files", "message"),
    [
        (("MISSING",), (), "worker.secrets: the worker has no variable MISSING"),
        (("SHORT",), (), "worker.secrets: the variable SHORT: a secret of 2 bytes cannot be masked"),
        (("EMPTY",), (), "worker.secrets: the variable EMPTY: a secret of 0 bytes cannot be masked"),
        ((), ("missing",), "worker.secrets: the file .*/missing cannot be read: No such file or directory"),
        ((), ("short",), "worker.secrets: the file .*/short: a secret of 1 bytes cannot be masked"),
        ((), ("huge",), "worker.secrets: the file .*/huge: a secret of 131072 bytes cannot be masked"),
    ],
)
def test_secret_that_cannot_be_kept_stops_the_worker(tmp_path, monkeypatch, environment, files, message):
    """The message names the variable or the file, and not what is in it."""
    monkeypatch.delenv("MISSING", raising=False)
    monkeypatch.setenv("SHORT", "qy")
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "short").write_bytes(b"q\n")
    (tmp_path / "huge").write_bytes(b"q" * 1_000_000)

    with pytest.raises(ConfigurationError, match=message) as refused:
        SecretSources(environment, tuple(tmp_path / name for name in files)).read()

    assert "qy" not in str(refused.value)
