"""The plugin `env` sets the variables of a task, each once."""

import pytest

from stagecall.lifecycle.errors import ConfigurationError, ExceptionReason
from stagecall.plugins.env import provider

from .plugin_support import StubEngine, configured, run


async def test_last_of_run_operator_and_author_wins():
    """`TASK_ID` and `RUN_ID` come first, then `extra` of the configuration, then `env` of the payload."""
    engine = StubEngine()
    plugin = await configured(
        provider, extra={"RUN_ID": "from extra", "REGION": "east", "MODE": "from extra"}
    )

    seen = await run(engine, plugin, payload={"env": {"MODE": "from payload", "EMPTY": ""}}, runId=3)

    assert seen.resolution.state == "completed"
    assert engine.variables == {
        "TASK_ID": seen.task_id,
        "RUN_ID": "from extra",
        "REGION": "east",
        "MODE": "from payload",
        "EMPTY": "",
    }


async def test_run_id_is_the_attempt():
    """Without anybody's wish a task knows its id and its attempt."""
    engine = StubEngine()

    seen = await run(engine, await configured(provider), runId=3)

    assert engine.variables == {"TASK_ID": seen.task_id, "RUN_ID": "3"}


async def test_every_variable_that_cannot_be_set_is_named():
    """Bad names and conflicts are the author's fault, all told at once by their place in the payload."""
    engine = StubEngine(taken=frozenset({"TAKEN"}))
    payload = {"env": {"two words": "1", "TAKEN": "2", "GOOD": "3"}}

    seen = await run(engine, await configured(provider), payload=payload)

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert seen.log == [
        '[stagecall:error] payload.env["two words"]: no spaces, please',
        "[stagecall:error] payload.env.TAKEN: TAKEN is taken",
    ]


async def test_conflict_over_a_variable_of_the_worker_is_not_the_authors_fault():
    """A variable that the payload does not have is nothing its author could mend."""
    seen = await run(
        StubEngine(taken=frozenset({"TASK_ID"})), await configured(provider), payload={"env": {"A": "1"}}
    )

    assert seen.resolution.reason is ExceptionReason.INTERNAL_ERROR
    assert "the variable TASK_ID of plugin env cannot be set: TASK_ID is taken" in str(seen.resolution.cause)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [({}, None), ({"env": {}}, None), ({"env": {"A": "1"}}, ExceptionReason.MALFORMED_PAYLOAD)],
)
async def test_engine_without_variables_matters_only_to_who_asks_for_some(payload, reason):
    """Nobody misses what the payload did not ask for."""
    seen = await run(StubEngine(variables=None), await configured(provider), payload=payload)

    assert seen.resolution.reason is reason
    assert seen.log == ([] if reason is None else ["[stagecall:error] payload.env: no variables here"])


@pytest.mark.parametrize("env", [{"A": 1}, {"": "1"}, ["A=1"]])
async def test_variables_are_texts_by_name(env):
    """The schema refuses anything but texts, before there is a sandbox."""
    seen = await run(StubEngine(), await configured(provider), payload={"env": env})

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert "payload.env" in seen.log[0]


@pytest.mark.parametrize("extra", [{"two words": "1"}, {"1A": "1"}, {"": "1"}, {"A": "\0"}])
async def test_impossible_variable_of_the_operator_is_found_at_start(extra):
    """No task needs to fail for a mistake in the configuration."""
    with pytest.raises(ConfigurationError, match="plugin env, extra: "):
        await configured(provider, extra=extra)


async def test_values_of_secret_variables_are_not_in_the_log():
    """Whoever sets a variable that the operator calls secret, the log shows no value that it could have had."""
    plugin = await configured(
        provider, secret=["TOKEN", "UNSET", "EMPTY"], extra={"TOKEN": "operators-token", "EMPTY": ""}
    )
    script = "echo $TOKEN; echo operators-token; echo $MODE; printf authors; sleep 0.1; printf -- '-token\\n'"
    payload = {"command": ["sh", "-c", script], "env": {"TOKEN": "authors-token", "MODE": "open"}}

    seen = await run("process", plugin, payload=payload)

    assert seen.resolution.state == "completed"
    assert seen.log == ["[masked]", "[masked]", "open", "[masked]"]


async def test_secret_that_is_too_short_to_be_masked_is_refused():
    """The operator learns it at the start, the author from the run; nobody is shown the value."""
    plugin = await configured(provider, secret=["TOKEN"])

    with pytest.raises(
        ConfigurationError, match=r"plugin env, extra: TOKEN: a secret of 2 bytes cannot be masked"
    ):
        await configured(provider, secret=["TOKEN"], extra={"TOKEN": "qy"})
    seen = await run(StubEngine(), plugin, payload={"env": {"TOKEN": "qy"}})

    assert seen.resolution.reason is ExceptionReason.MALFORMED_PAYLOAD
    (line,) = seen.log
    assert line.startswith(
        "[stagecall:error] payload.env.TOKEN: a secret of 2 bytes cannot be masked in the log"
    )
    assert "qy" not in line
