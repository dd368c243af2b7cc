"""The worker's configuration file: what it may hold, what it means, and how it says no."""

from pathlib import Path
from typing import Any

import pytest

from stagecall.lifecycle.limits import Limits
from stagecall.specs.documents import load_document
from stagecall.specs.schema_export import json_schema
from stagecall.worker.cli.config import Available, WorkerConfig, read_config
from stagecall.worker.cli.exits import Problem
from stagecall.worker.runtime import DEFAULT_PLUGINS
from stagecall.worker.secret_sources import SecretSources
from stagecall.worker.stores.configuration import ArtifactOptions

TEXT: dict[str, Any] = {"type": "string"}
AVAILABLE = Available(
    engines={"mock": {}, "process": {"cgroup": TEXT}, "script": {"command": {**TEXT, "required": True}}},
    plugins={name: {} for name in DEFAULT_PLUGINS}
    | {
        "maxruntime": {
            "maxRunTime": {"type": "number"},
            "perTaskLimit": {**TEXT, "allowed": ["allow", "forbid"]},
        }
    }
    | {"greeter": {"greeting": {**TEXT, "required": True}}},
)


def read(yaml: str, engine: str | None = None) -> WorkerConfig:
    document = load_document(yaml, "worker.yml") if yaml else None
    return read_config(document, AVAILABLE, name="worker.yml", engine=engine)


def problems(yaml: str, engine: str | None = None) -> tuple[str, ...]:
    with pytest.raises(Problem) as caught:
        read(yaml, engine)
    return caught.value.lines


@pytest.mark.parametrize("yaml", ["", "{}", "plugins:", "plugins: {}", "limits:\nworker:\nengines:"])
def test_without_anything_the_defaults_hold(yaml):
    """No file, an empty one and empty sections are all the defaults."""
    assert read(yaml) == WorkerConfig("process", {}, DEFAULT_PLUGINS, Limits(), 1, None, None, None)


def test_everything():
    """Each section goes where it belongs; durations are seconds or texts with units."""
    config = read(
        """
        engine: script
        engines: {script: {command: ./run}, process: {cgroup: tasks}}
        plugins: {greeter: {greeting: hi}, success: , maxruntime: {maxRunTime: 60}}
        limits: {cancelGrace: 2, hookTimeout: 1 minute 30 seconds, reportBudget: 0}
        worker: {workerGroup: builders, workerId: b1, concurrency: 3, temporaryFolder: /var/scratch}
        """
    )

    assert config == WorkerConfig(
        engine="script",
        engine_config={"command": "./run"},
        plugins={"greeter": {"greeting": "hi"}, "success": {}, "maxruntime": {"maxRunTime": 60}},
        limits=Limits(cancel_grace=2, hook_timeout=90, report_budget=0),
        concurrency=3,
        worker_group="builders",
        worker_id="b1",
        temporary_folder=Path("/var/scratch"),
    )


def test_artifacts_go_where_the_file_says():
    """The section is what `open_store` takes; without it they go to the output folder."""
    yaml = """
        worker:
          artifacts:
            url: s3://bucket/prefix
            publicUrl: https://cdn.example.com/
            options: {region: eu-west-1, allow_http: true}
    """

    assert read("").artifacts is None
    assert read(yaml).artifacts == ArtifactOptions(
        "s3://bucket/prefix", "https://cdn.example.com/", {"region": "eu-west-1", "allow_http": True}
    )


@pytest.mark.parametrize(
    ("section", "violation"),
    [
        ("{}", "url: is missing; it must be a string"),
        ("{url: 1}", "url: must be a string, not a number; put it in quotes"),
        ("{url: memory://, option: {}}", 'option: unknown property; did you mean "options"?'),
        (
            "{url: memory://, options: {a: [1]}}",
            "options.a: must be a string or an integer or true or false, not a list",
        ),
    ],
)
def test_where_artifacts_go_must_be_well_formed(section, violation):
    """What is wrong is told with its path, before anything runs."""
    assert problems(f"worker: {{artifacts: {section}}}") == (f"worker.yml: worker.artifacts.{violation}",)


def test_plugins_keep_the_order_of_the_file():
    """The order of entries is the order of declaration, which dispose reverses."""
    assert list(read("plugins: {success: , env: , artifacts: }").plugins) == ["success", "env", "artifacts"]


@pytest.mark.parametrize(
    ("yaml", "enabled"),
    [
        (
            "plugins: {disabled: [tasklog, env]}",
            [name for name in DEFAULT_PLUGINS if name not in ("tasklog", "env")],
        ),
        ("plugins: {disabled: [env], env: , success: }", ["success"]),
        ("plugins: {disabled: []}", list(DEFAULT_PLUGINS)),
        ("plugins: {success: }", ["success"]),
    ],
)
def test_disabled_wins(yaml, enabled):
    """A disabled plugin is left out, whether the file names it or the defaults do."""
    assert list(read(yaml).plugins) == enabled


def test_engine_of_the_command_line_wins():
    """`--engine` overrides the file, and takes the configuration that the file has for it."""
    config = read("engine: mock\nengines: {process: {cgroup: tasks}}", engine="process")

    assert (config.engine, config.engine_config) == ("process", {"cgroup": "tasks"})


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("[]", "must be an object, not a list"),
        ("plugin: {}", 'plugin: unknown property; did you mean "plugins"?'),
        ("engine: moc", 'engine: must be one of "mock", "process", "script"; did you mean "mock"?'),
        ("engine:", "engine: must be a string, not null"),
        ("engines: {scrip: {}}", 'engines.scrip: unknown engine; did you mean "script"?'),
        ("engines: {process: {cgrop: x}}", 'engines.process.cgrop: unknown property; did you mean "cgroup"?'),
        ("plugins: []", "plugins: must be an object, not a list"),
        ("plugins: {succes: }", 'plugins.succes: unknown plugin; did you mean "success"?'),
        ("plugins: {env: 3}", "plugins.env: must be an object, not a number"),
        ("plugins: {greeter: }", "plugins.greeter.greeting: is missing; it must be a string"),
        ("plugins: {greeter: {greeting: 1}}", "plugins.greeter.greeting: must be a string, not a number; "),
        (
            "plugins: {maxruntime: {perTaskLimit: alow}}",
            'plugins.maxruntime.perTaskLimit: must be one of "allow", ',
        ),
        ("limits: {hookTimeOut: 3}", 'limits.hookTimeOut: unknown property; did you mean "hookTimeout"?'),
        ("worker: {concurrency: 0}", "worker.concurrency: must be at least 1, not 0"),
        ("worker: {workerId: ''}", "worker.workerId: must have at least 1 character, not 0"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(yaml, line):
    """Each violation is one line with the file, the path, what is wrong, and what was perhaps meant."""
    (said,) = problems(yaml)

    assert said.startswith(f"worker.yml: {line}")


@pytest.mark.parametrize("value", ["1 month", "-1", "soon", "[]"])
def test_limits_are_durations(value):
    """What is no duration says what one looks like."""
    (line,) = problems(f"limits: {{disposeTotal: {value}}}")

    assert line.startswith("worker.yml: limits.disposeTotal: must be ")


@pytest.mark.parametrize(
    ("value", "size"), [("1000", 1000), ("100 MiB", 100 << 20), ("null", None), ("0", 0)]
)
def test_limit_of_the_log_is_a_size(value, size):
    """A log may be limited in bytes, in a unit, or not at all."""
    assert read(f"limits: {{maxLogBytes: {value}}}").limits == Limits(max_log_bytes=size)


@pytest.mark.parametrize("value", ["1 minute", "-1", "100M", "[]", "true", "1.5"])
def test_what_is_no_size_is_refused(value):
    """What is no size says what one looks like."""
    (line,) = problems(f"limits: {{maxLogBytes: {value}}}")

    assert line.startswith("worker.yml: limits.maxLogBytes: must be ")


def test_secrets_are_named_in_the_file_not_written_into_it():
    """The file says where secrets come from: variables and files, which are read when the worker starts."""
    config = read("worker: {secrets: {environment: [TOKEN], files: [/etc/key]}}")

    assert config.secrets == SecretSources(("TOKEN",), (Path("/etc/key"),))


def test_everything_that_is_wrong_is_said_at_once():
    """A file is not mended one error at a time."""
    lines = problems("plugins: {disabled: [x]}\nworker: {a: 1}\nlimits: {b: 1}")

    assert [line.split(": ")[1] for line in lines] == ["plugins.disabled[0]", "worker.a", "limits.b"]


def test_an_engine_that_needs_a_configuration_is_missed():
    """An engine without what it needs is an error of the configuration, wherever it was chosen."""
    assert problems("", engine="script") == (
        "worker.yml: engines.script.command: is missing; it must be a string",
    )


def test_an_engine_that_is_not_chosen_needs_nothing():
    """The configuration of other engines may be left out."""
    assert read("engine: mock").engine == "mock"


def test_unknown_engine_on_the_command_line():
    """The message names the option, not the file."""
    assert problems("", engine="moc") == ('--engine: unknown engine "moc"; did you mean "mock"?',)


def test_schema_can_be_exported():
    """The file's JSON Schema tells defaults and descriptions, so that an editor can help."""
    exported = json_schema(AVAILABLE.schema(), "Worker configuration")

    properties = exported["properties"]
    assert list(properties) == ["engine", "engines", "plugins", "limits", "worker"]
    assert properties["engine"]["default"] == "process"
    assert properties["limits"]["properties"]["cancelGrace"]["default"] == 5.0
    assert all("description" in one for one in properties["limits"]["properties"].values())
    assert set(properties["limits"]["properties"]) == {
        "cancelGrace", "abandonGrace", "hookTimeout", "disposeBudget", "disposeTotal", "reportBudget", "journalBudget",
        "maxLogBytes",
    }  # fmt: skip
