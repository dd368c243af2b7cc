"""What the plugin does for a task."""

import hashlib

import pytest
import stagecall_checksums
from hypothesis import given, settings

import stagecall
from stagecall.plugins import plugins
from stagecall.testing.doubles import Bench, ScriptedEngine
from stagecall.testing.strategies import payloads

HELLO_WORLD = hashlib.sha256(b"Hello World").hexdigest()


def run(checksums, files="hello.txt"):
    """Take a task that writes `Hello World` to some files to its end."""
    payload = {"function": "write-files", "argument": files, "checksums": checksums}
    return stagecall.run_task_sync({"payload": payload}, engine="mock", plugins={"checksums": {}})


def test_plugin_is_known_by_its_name():
    """The entry point leads to the provider."""
    assert plugins()["checksums"] is stagecall_checksums.provider


@pytest.mark.parametrize(
    ("checksums", "state"),
    [
        ({}, "completed"),
        ({"hello.txt": HELLO_WORLD}, "completed"),
        ({"hello.txt": "0" * 64}, "failed"),
        ({"hello.txt": HELLO_WORLD, "missing.txt": HELLO_WORLD}, "failed"),
    ],
)
def test_task_fails_unless_all_files_are_as_promised(checksums, state):
    """One file that is missing, or other than promised, fails the task."""
    assert run(checksums).state == state


def test_checksum_of_another_form_is_refused():
    """What is no checksum is told before anything runs."""
    resolution = run({"hello.txt": "a591"})

    assert resolution.reason == "malformed-payload"


@settings(deadline=None, max_examples=25)
@given(payloads(stagecall_checksums.ChecksumsPlugin().payload_schema()))
def test_promises_that_nothing_keeps_fail_the_task(payload):
    """A task that writes no file fails, whatever it promised, and is completed if that was nothing."""
    promised = payload.get("checksums", {})

    assert run(promised, files="").state == ("failed" if promised else "completed")


async def test_engine_that_extracts_no_files_is_named(tmp_path):
    """On an engine without files the task's author learns which property asked for them."""
    with Bench(tmp_path) as make_run:
        plugin = stagecall_checksums.ChecksumsPlugin()
        run = make_run(plugin, engine=ScriptedEngine(), payload={"checksums": {"a": HELLO_WORLD}})

        resolution = await run.wait()

    assert resolution.reason == "malformed-payload"
    assert "payload.checksums: this engine does not extract files" in str(resolution.cause)
