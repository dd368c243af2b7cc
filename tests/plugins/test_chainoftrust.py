"""The plugin `chainoftrust` signs what a run has stored, and a copy of it can be told from anything else."""

import base64
import json
import os
import subprocess
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from stagecall.lifecycle.errors import ConfigurationError, NonFatalInternalError
from stagecall.lifecycle.surroundings import Artifact
from stagecall.plugins.base import Plugin, TaskPlugin
from stagecall.plugins.chainoftrust import (
    CHAIN,
    SIGNATURE,
    ChainError,
    KeyFileError,
    chain_document,
    provider,
    read_public_key,
    read_signing_key,
    verify_folder,
)
from stagecall.plugins.success import SuccessPlugin
from stagecall.plugins.tasklog import TaskLogPlugin
from stagecall.specs.task import TaskDefinition, TaskInfo
from stagecall.worker.stores import FolderStore, MemoryStore

from .plugin_support import StubEngine, StubResultSet, configured, run

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EXPIRES = datetime(2031, 1, 1, tzinfo=UTC)
TASK_ID = "fN1SbArXTPSVFNUvaOlinQ"


def pem(key):
    if hasattr(key, "private_bytes"):
        pkcs8 = serialization.PrivateFormat.PKCS8
        return key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def key_file(tmp_path):
    return written(tmp_path / "signing.pem", pem(KEY))


@pytest.fixture
async def plugin(key_file):
    return await configured(provider, key=str(key_file), environment={"region": "here"})


def written(path, data, mode=0o600):
    path.write_bytes(data)
    path.chmod(mode)
    return path


class Late(Plugin):
    """Stores an artifact in `finished`, and takes its time for it."""

    async def new_task_plugin(self, options):
        return LateTaskPlugin(options.context)


class LateTaskPlugin(TaskPlugin):
    def __init__(self, context):
        self.context = context

    def finished(self, success):
        self.context.run_on_loop(self.context.upload_artifact("public/late.txt", b"late"))

    async def stopped(self, result_set):
        await self.context.upload_artifact("public/early.txt", b"early")
        await self.context.create_error_artifact(
            "public/none.txt", reason="file-missing-on-worker", message="x"
        )
        await self.context.create_redirect_artifact("public/away", url="http://x/", content_type="text/plain")
        return True


async def test_the_list_names_every_artifact_with_content(plugin):
    """The list holds the hash of all that was stored, by whichever plugin and hook, and of nothing without content."""
    seen = await run(
        StubEngine(StubResultSet(passed=False)),
        plugin,
        TaskLogPlugin(),
        Late(),
        SuccessPlugin(),
        taskId=TASK_ID,
    )

    chain = json.loads(seen.contents[CHAIN])
    hashes = {name: one.sha256 for name, one in seen.artifacts.items() if one.sha256 is not None}
    assert seen.resolution.state == "failed"
    assert chain["artifacts"] == {
        name: {"sha256": hashes[name]}
        for name in ("public/early.txt", "public/late.txt", "public/logs/task.log")
    }
    assert (chain["chainOfTrustVersion"], chain["taskId"], chain["runId"]) == (1, TASK_ID, 0)
    assert (chain["workerGroup"], chain["workerId"]) == ("local", os.uname().nodename)
    assert chain["task"]["taskId"] == TASK_ID
    assert chain["environment"]["region"] == "here"


async def test_the_signature_is_the_ecosystems(plugin):
    """The signature is detached, 64 bytes of ed25519 over the list as it is stored."""
    seen = await run(StubEngine(), plugin)

    signature = seen.contents[SIGNATURE]
    assert len(signature) == 64
    KEY.public_key().verify(signature, seen.contents[CHAIN])


async def test_an_exception_is_not_signed(plugin):
    """A run that ends as an exception has no list: what it stored is not what the task made."""
    seen = await run(StubEngine(), plugin, abort_in="waiting")

    assert (seen.resolution.state, list(seen.artifacts)) == ("exception", [])


async def test_a_list_that_cannot_be_stored_is_an_error(plugin):
    """A task whose list is lost does not count as completed: whoever waits for it could trust nothing."""

    class Refusing(MemoryStore):
        async def put(self, task, artifact, content):
            if artifact.name == SIGNATURE:
                raise NonFatalInternalError("the store is down")
            return await super().put(task, artifact, content)

    seen = await run(StubEngine(), plugin, store=Refusing())

    assert (seen.resolution.state, str(seen.resolution.reason)) == ("exception", "internal-error")


@pytest.fixture
async def stored(plugin, tmp_path):
    """A folder with what a run has left."""
    store = FolderStore(tmp_path / "store")
    seen = await run(StubEngine(), plugin, TaskLogPlugin(), Late(), store=store)
    return tmp_path / "store" / seen.task_id / "0"


def test_an_untouched_copy_is_trusted(stored):
    """A folder with just what was signed is trusted."""
    verdict = verify_folder(stored, KEY.public_key())

    assert verdict.trusted
    assert verdict.names == ("public/early.txt", "public/late.txt", "public/logs/task.log")


def test_what_was_changed_is_named(stored):
    """Each artifact that was changed, removed, replaced by a link, or added is named with what is wrong."""
    (stored / "public/early.txt").write_bytes(b"earlier")
    (stored / "public/late.txt").unlink()
    (stored / "public/late.txt").symlink_to(stored / "public/early.txt")
    (stored / "public/logs/task.log").unlink()
    (stored / "public/more").symlink_to("/")
    os.mkfifo(stored / "fifo")

    verdict = verify_folder(stored, KEY.public_key())

    assert {name: problem.partition(":")[0] for name, problem in verdict.problems.items()} == {
        "fifo": "is not in the signed list",
        "public/early.txt": "has other content",
        "public/late.txt": "cannot be read",
        "public/logs/task.log": "is missing",
        "public/more": "is not in the signed list",
    }


def test_files_besides_may_be_allowed(stored):
    """What the list does not name may lie beside it if that is said; what it names must be right all the same."""
    (stored / "more").write_text("more")

    assert not verify_folder(stored, KEY.public_key()).trusted
    assert verify_folder(stored, KEY.public_key(), unlisted=True).trusted


def test_a_fifo_in_an_artifacts_place_does_not_hang(stored):
    """Nothing but a regular file is read: a fifo is a problem of that artifact, at once."""
    (stored / "public/early.txt").unlink()
    os.mkfifo(stored / "public/early.txt")

    verdict = verify_folder(stored, KEY.public_key())

    assert dict(verdict.problems) == {
        "public/early.txt": "cannot be read: 'public/early.txt' is no regular file"
    }


def test_a_folder_that_is_a_link_is_not_entered(stored, tmp_path):
    """Folders are entered, links to them are not: what is behind one is not what was stored."""
    (stored / "public/logs").rename(tmp_path / "logs")
    (stored / "public/logs").symlink_to(tmp_path / "logs")

    verdict = verify_folder(stored, KEY.public_key())

    assert set(verdict.problems) == {"public/logs", "public/logs/task.log"}


def test_a_folder_without_end_is_a_problem(stored, request):
    """How deep folders go is whoever brings them to say: beyond where artifacts can lie they are not entered."""
    # Python's own removal would not come to the end.
    request.addfinalizer(lambda: subprocess.run(["rm", "-r", stored / "d"], check=True))
    folder = os.open(stored, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)

    verdict = verify_folder(stored, KEY.public_key())

    assert list(verdict.problems.values()) == ["is a folder deeper than any artifact lies"]


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")]
)
def test_a_folder_that_cannot_be_looked_into_is_a_problem(stored, monkeypatch, error):
    """What nobody can look into may hold anything: it is no reason to trust, nor for a traceback."""
    (stored / "closed").mkdir()
    scandir = os.scandir

    def closed_to_us(folder):
        if os.path.samestat(os.stat(folder), os.stat(stored / "closed")):
            raise error
        return scandir(folder)

    monkeypatch.setattr("os.scandir", closed_to_us)

    verdict = verify_folder(stored, KEY.public_key())

    assert dict(verdict.problems) == {"closed": f"cannot be read: {error.strerror}"}


@given(position=st.integers(0), change=st.integers(1, 255))
def test_any_changed_byte_of_the_list_breaks_the_signature(position, change):
    """Whichever byte of list or signature is changed, nothing of the list is believed."""
    info = TaskInfo.from_definition(TaskDefinition.parse({"payload": {}, "taskId": TASK_ID}))
    artifact = Artifact("public/a", "object", "text/plain", EXPIRES, sha256="0" * 64)
    document = chain_document(info, [artifact], worker_group="g", worker_id="w", environment={})
    both = bytearray(document + KEY.sign(document))
    both[position % len(both)] ^= change

    changed, signature = bytes(both[:-64]), bytes(both[-64:])

    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(signature, changed)


def test_another_key_is_not_enough(stored):
    """A list that another worker has signed is not trusted, and nothing else is looked at."""
    with pytest.raises(ChainError, match="not made with this key"):
        verify_folder(stored, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (b"{", "is no JSON"),
        (b"[]", "is no object"),
        (b'{"chainOfTrustVersion": 2}', "this release knows 1"),
        (b'{"chainOfTrustVersion": 1, "artifacts": []}', "artifacts is missing"),
        ({"artifacts": {"../a": {"sha256": "0" * 64}}}, "must not have '.' or '..'"),
        ({"artifacts": {"a": {"sha256": "0"}}}, "has no sha256"),
        ({"task": None}, "task is missing"),
    ],
)
def test_a_signed_list_that_is_none_is_refused(tmp_path, chain, message):
    """A signature makes no list of what is none: names that lead elsewhere are refused, whoever signed them."""
    whole = {"chainOfTrustVersion": 1, "artifacts": {}, "taskId": TASK_ID, "runId": 0, "workerGroup": "g"}
    whole |= {"workerId": "w", "task": {}, "environment": {}}
    data = chain if isinstance(chain, bytes) else json.dumps(whole | chain).encode()
    (tmp_path / "public").mkdir()
    (tmp_path / CHAIN).write_bytes(data)
    (tmp_path / SIGNATURE).write_bytes(KEY.sign(data))

    with pytest.raises(ChainError, match=message):
        verify_folder(tmp_path, KEY.public_key())


def test_a_folder_without_a_list_is_refused(tmp_path):
    """Where no list is, or no folder, that is said."""
    with pytest.raises(ChainError, match=r"chainOfTrust\.json: No such file"):
        verify_folder(tmp_path, KEY.public_key())
    with pytest.raises(ChainError, match="none: No such file"):
        verify_folder(tmp_path / "none", KEY.public_key())


def test_every_form_of_a_key_is_read(tmp_path):
    """Keys are PEM, or Base64 of their bytes with whatever white space: the private half alone, or both in a row."""
    seed, public = bytes(range(32)), KEY.public_key().public_bytes_raw()
    private = [pem(KEY), base64.b64encode(seed) + b"\n", base64.encodebytes(seed + public)]

    read = [
        read_signing_key(written(tmp_path / f"{number}", data)).public_key().public_bytes_raw()
        for number, data in enumerate(private)
    ]
    read += [
        read_public_key(written(tmp_path / f"p{number}", data, 0o644)).public_bytes_raw()
        for number, data in enumerate([pem(KEY.public_key()), base64.b64encode(public)])
    ]

    assert read == [public] * 5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 32 or 64 bytes of this half, not 0"),
        (b"%%%", "neither PEM nor Base64"),
        (b"AAAA", "not 3"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key can be read"),
        (pem(KEY.public_key()), "no private key can be read"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "of another kind than ed25519"),
        (b"A" * 70_000, "longer than any key"),
    ],
)
async def test_a_file_without_a_key_is_refused_at_start(tmp_path, data, message):
    """A worker does not start with a key that it cannot sign with, and says which file it is."""
    path = written(tmp_path / "key", data)

    with pytest.raises(ConfigurationError, match=f"plugin chainoftrust, key: .*key: .*{message}"):
        await configured(provider, key=str(path))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o601])
def test_a_key_that_others_may_use_is_refused(tmp_path, mode):
    """A signing key is for its owner only, as ssh has it; what to do about it is said."""
    path = written(tmp_path / "key", pem(KEY), mode)

    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        read_signing_key(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pem(KEY), "this is a private key"),
        (pem(ec.generate_private_key(ec.SECP256R1()).public_key()), "of another kind than ed25519"),
        (base64.b64encode(bytes(64)), "has 32 bytes of this half, not 64"),
        (b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "no public key can be read"),
    ],
)
def test_what_is_no_public_key_is_refused(tmp_path, data, message):
    """Verifying takes a public ed25519 key, and says what else it was given."""
    with pytest.raises(KeyFileError, match=message):
        read_public_key(written(tmp_path / "key", data))


def test_a_key_that_is_no_file_is_refused(tmp_path):
    """A fifo or folder in a key's place is refused at once."""
    os.mkfifo(tmp_path / "fifo", 0o600)

    with pytest.raises(KeyFileError, match=r"is no file"):
        read_signing_key(tmp_path / "fifo")
    with pytest.raises(KeyFileError, match=r"is no file|Is a directory"):
        read_signing_key(tmp_path)
