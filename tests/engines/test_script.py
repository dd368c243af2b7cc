"""The engine `script`: the operator's command gets the payload, and its exit code tells the outcome."""

import asyncio
import json
import signal

import pytest

from stagecall.engines.errors import ResourceNotFoundError, SandboxAbortedError
from stagecall.engines.process import files
from stagecall.engines.process.config import ContainmentKind
from stagecall.engines.script import SCRIPT_SCHEMA, provider
from stagecall.lifecycle.errors import (
    ConfigurationError,
    FatalInternalError,
    MalformedPayloadError,
    NonFatalInternalError,
)
from stagecall.specs.schemas import MergedSchema

from .process_support import CONTAINED, PYTHON, House, alive, no_cgroup, until

SCHEMA = {"repository": {"type": "string", "required": True}, "depth": {"type": "integer"}}


@pytest.fixture
async def script(tmp_path):
    """`await script(program, payload, **config)` is a started run of a shell script."""
    houses: list[House] = []

    async def start(program, payload=None, **config):
        folder = tmp_path / f"house-{len(houses)}"
        folder.mkdir()
        command = ["/bin/sh", "-c", program]
        houses.append(
            await House.make(folder, {"command": command, "containment": "none", **config}, provider)
        )
        return await (await houses[-1].build(payload or {})).start()

    yield start
    for house in houses:
        await house.close()
    assert alive(tmp_path) == []


@pytest.mark.parametrize("kind", [*CONTAINED, ContainmentKind.NONE])
async def test_the_payload_comes_as_json_on_stdin(script, kind):
    """The script reads the payload as one JSON object; it does not lie in the script's working folder."""
    if kind is ContainmentKind.CGROUP and (reason := await no_cgroup()):
        pytest.skip(reason)
    payload = {"repository": "https://example.org/é", "list": [1, None, "x" * 200_000]}
    run = await script("ls -A; cat", payload, containment=kind.value)

    result = await run.result()

    assert result.success
    assert json.loads(run.log()) == payload


async def test_a_script_need_not_read_its_payload(script):
    """A payload of any size that nobody reads holds up nothing."""
    run = await script("exit 0", {"text": "x" * 1_000_000})

    result = await run.result()

    assert result.success


async def test_exit_code_1_is_a_failed_task(script):
    """A failed task is a result, and the log says so."""
    run = await script("echo out; echo err >&2; exit 1")

    result = await run.result()

    assert not result.success
    assert run.lines() == ["out", "err", "[stagecall] the command exited with code 1"]


@pytest.mark.parametrize(
    ("program", "error", "message"),
    [
        ("exit 2", MalformedPayloadError, "the script refused the payload; the log says why"),
        ("exit 3", NonFatalInternalError, "the script met an internal error; the log says what"),
        (
            "exit 4",
            FatalInternalError,
            "the script exited with code 4: only the codes 0 to 3 have a meaning",
        ),
        (
            "kill -KILL $$",
            FatalInternalError,
            "the script was ended by signal 9 (SIGKILL): only the codes 0 to 3 have a meaning",
        ),
    ],
)
async def test_other_exit_codes_are_errors(script, program, error, message):
    """2 is the author's fault, 3 an error that the worker survives, anything else one that it does not."""
    run = await script(f"mkdir artifacts; : >artifacts/x; {program}")

    with pytest.raises(error) as caught:
        await run.result()

    assert str(caught.value) == message
    assert run.owner.artifacts == {}


@pytest.mark.parametrize("code", [0, 1])
async def test_what_lies_in_artifacts_is_uploaded(script, code):
    """Every file below `./artifacts/` is an artifact before there is a result, of a failed task too."""
    run = await script(
        "mkdir -p artifacts/sub; echo 1 >artifacts/one.txt; echo '{}' >artifacts/sub/two.json; "
        f"echo 3 >beside; exit {code}"
    )

    await run.result()

    uploaded = {name: (artifact.content_type, data) for name, (artifact, data) in run.owner.artifacts.items()}
    assert uploaded == {
        "public/one.txt": ("text/plain", b"1\n"),
        "public/sub/two.json": ("application/json", b"{}\n"),
    }


async def test_the_result_set_extracts_from_artifacts_only(script):
    """Paths are relative to `artifacts`, absolute ones lie below it, and nothing else can be had."""
    run = await script("mkdir artifacts; echo 1 >artifacts/file; echo 2 >beside")
    result = await run.result()
    found = []

    async def handle(name, file):
        found.append((name, file.read()))

    await result.extract_folder(".", handle)
    with await result.extract_file(f"{run.folder}/artifacts/file") as file:
        content = file.read()

    assert (found, content) == ([("file", b"1\n")], b"1\n")
    with pytest.raises(ResourceNotFoundError, match="there is no artifacts/beside"):
        await result.extract_file("beside")
    with pytest.raises(MalformedPayloadError):
        await result.extract_file("../beside")
    with pytest.raises(MalformedPayloadError):
        await result.extract_file(f"{run.folder}/beside")


async def test_artifacts_that_are_no_folder_are_the_scripts_defect(script):
    """A link in place of the folder is not followed, and said to be wrong."""
    run = await script("ln -s /etc artifacts")

    with pytest.raises(NonFatalInternalError, match="artifacts is a symbolic link"):
        await run.result()


async def test_a_failing_upload_is_not_silent(script):
    """The error of the store is the error of the run."""
    run = await script("mkdir artifacts; : >artifacts/x; until [ -e go ]; do sleep 0.01; done")

    async def fail(artifact):
        raise NonFatalInternalError("the store is down")

    run.owner.storing = fail
    (run.folder / "go").touch()

    with pytest.raises(NonFatalInternalError, match="the store is down"):
        await run.result()


async def test_every_failing_upload_is_told(script):
    """One upload that fails keeps none of the others from being tried, and none is lost."""
    run = await script(
        "mkdir artifacts; touch artifacts/a artifacts/b artifacts/c; until [ -e go ]; do sleep 0.01; done"
    )

    async def fail(artifact):
        if artifact.name != "public/b":
            raise NonFatalInternalError(f"no {artifact.name}")

    run.owner.storing = fail
    (run.folder / "go").touch()

    with pytest.raises(ExceptionGroup, match="2 artifacts are not stored"):
        await run.result()
    assert list(run.owner.artifacts) == ["public/b"]
    assert sorted(run.lines()) == [
        "[stagecall:error] artifact public/a is not stored: no public/a",
        "[stagecall:error] artifact public/c is not stored: no public/c",
    ]


async def test_what_cannot_be_read_is_an_error_artifact(script, monkeypatch):
    """A task that leaves what nobody can read has failed, and says what; the rest is uploaded."""
    monkeypatch.setattr(files, "MAX_DEPTH", 2)
    run = await script(
        "mkdir -p artifacts/deep/er artifacts/fine; touch artifacts/deep/er/x artifacts/fine/y"
    )

    result = await run.result()

    message = "artifacts/deep/er is not entered: deeper than 2 folders"
    assert not result.success
    assert {
        name: (one.storage, one.reason, one.message) for name, (one, _) in run.owner.artifacts.items()
    } == {
        "public/fine/y": ("object", None, None),
        "public/deep/er": ("error", "invalid-resource-on-worker", message),
    }
    assert run.lines() == [f"[stagecall:error] artifact public/deep/er: {message}"]


async def test_an_abort_interrupts_uploads(script):
    """A sandbox that is aborted while artifacts are uploaded has no result, and does not wait for them."""
    run = await script("mkdir artifacts; : >artifacts/x; until [ -e go ]; do sleep 0.01; done")
    uploading = asyncio.Event()

    async def hang(artifact):
        uploading.set()
        await asyncio.sleep(1000)

    run.owner.storing = hang
    (run.folder / "go").touch()
    waiting = asyncio.ensure_future(run.result())
    await uploading.wait()

    await run.sandbox.abort()

    with pytest.raises(SandboxAbortedError):
        await waiting


async def test_a_killed_script_has_failed(script):
    """A task that was killed, for instance for taking too long, is no error of the script's."""
    run = await script("mkdir artifacts; echo 1 >artifacts/x; echo ready; exec sleep 1000")
    await run.logged("ready")

    await run.sandbox.kill()

    result = await run.result()
    assert (result.success, result.exit.signal) == (False, signal.SIGTERM)
    assert list(run.owner.artifacts) == ["public/x"]


async def test_variables_reach_the_script(tmp_path):
    """Plugins may set variables for the script as for any command."""
    house = await House.make(
        tmp_path, {"command": ["sh", "-c", "echo $TASK_ID"], "containment": "none"}, provider
    )
    run = await house.build({})
    await run.builder.set_environment_variable("TASK_ID", "abc")
    await run.start()

    await run.result()

    assert run.lines() == ["abc"]
    await house.close()


async def test_the_configured_schema_is_the_payloads(tmp_path):
    """The operator says what a payload may hold; without a schema nothing."""
    command = [PYTHON, "-c", ""]
    house = await House.make(
        tmp_path, {"command": command, "schema": SCHEMA, "containment": "none"}, provider
    )
    bare = await House.make(tmp_path, {"command": command, "containment": "none"}, provider)

    assert house.engine.payload_schema() == SCHEMA
    assert bare.engine.payload_schema() == {}


@pytest.mark.parametrize(
    "config",
    [
        {"command": ["x"], "schema": {"a": {"type": "no-such-type"}}},
        {"command": [""]},
    ],
)
async def test_a_configuration_that_cannot_be_used_is_refused(tmp_path, config):
    """A schema or command that cannot be used fails when the engine is made."""
    with pytest.raises(ConfigurationError):
        await House.make(tmp_path, {"containment": "none", **config}, provider)


def test_the_schema_of_the_configuration_can_be_used():
    """The worker accepts the schema, and it lets a full configuration pass."""
    merged = MergedSchema.merge({"engine script": SCRIPT_SCHEMA})

    good = {"command": ["run.sh"], "schema": SCHEMA, "killGrace": 1, "limits": {"openFiles": 100}}

    assert merged.violations(good) == ()
    assert [violation.path for violation in merged.violations({})] == ["payload.command"]


async def test_a_scripts_daemons_are_killed(script):
    """The containment of the engine `process` holds scripts too."""
    run = await script("setsid sleep 1000 & exit 0", containment="marker")

    await run.result()

    await until(lambda: not alive(run.owner.folder), "the end of the daemon", 1)
