"""A command has the environment, output and limits that its run asks for, and leaves nothing open."""

import asyncio
import errno
import os
import resource
import signal
import subprocess
import time

import pytest

from stagecall.engines.errors import NamingConflictError
from stagecall.engines.process.config import CONFIG_SCHEMA, ContainmentKind
from stagecall.engines.process.engine import PAYLOAD_SCHEMA
from stagecall.engines.process.spawn import Outputs, Program, start_gated
from stagecall.lifecycle.errors import (
    ConfigurationError,
    ExceptionReason,
    FeatureNotSupportedError,
    LifecycleError,
    MalformedPayloadError,
    TaskExceptionError,
)
from stagecall.lifecycle.log import TaskLog
from stagecall.lifecycle.proc import read
from stagecall.specs.schemas import MergedSchema

from .process_support import ALL_KINDS, PYTHON, House, descriptors, until, zombies


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize(
    ("script", "success", "lines"),
    [
        ("exit 0", True, []),
        (
            "echo out; echo err >&2; exit 3",
            False,
            ["out", "err", "[stagecall] the command exited with code 3"],
        ),
        ("kill -SEGV $$", False, ["[stagecall] the command was ended by signal 11 (SIGSEGV)"]),
    ],
)
async def test_success_is_exit_code_zero_and_a_failure_is_told(make_house, kind, script, success, lines):
    """A command succeeds by exiting with 0; how one failed is the last line of the log."""
    house = await make_house(kind)
    run = await house.sh(script)

    result = await run.result()

    assert result.success is success
    assert run.lines() == lines


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_waiting_again_gives_the_same_result(make_house, kind):
    """Any number of waiters get one result set."""
    house = await make_house(kind)
    run = await house.sh("sleep 0.1")

    first, second = await asyncio.gather(run.result(), run.result())

    assert first is second
    assert await run.result() is first


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_arguments_and_variables_arrive_as_they_are(make_house, kind):
    """No shell reads words or values: quotes, newlines and bytes that are no UTF-8 arrive unchanged."""
    house = await make_house(kind)
    words = ["", "a b", "'\"$HOME`", "line\nbreak", os.fsdecode(b"\xff"), "--"]
    program = "import os, sys; print(sys.argv[1:], os.environb[b'STRANGE'], os.environ['LD_STRANGE'])"
    run = await house.build({"command": [PYTHON, "-I", "-S", "-c", program, *words]})
    value = b"'\n $x\xfe"
    await run.builder.set_environment_variable("STRANGE", os.fsdecode(value))
    await run.builder.set_environment_variable("LD_STRANGE", "--")
    await run.start()

    await run.result()

    assert run.log() == f"{words!r} {value!r} --\n"


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_the_environment_holds_no_secret_of_the_worker(make_house, kind, monkeypatch):
    """A task gets a minimal environment, what its run sets, and what is configured to be inherited."""
    monkeypatch.setenv("API_TOKEN", "secret")
    monkeypatch.setenv("SHARED", "yes")
    house = await make_house(kind, inheritEnvironment=["SHARED", "MISSING"])
    run = await house.build({"command": ["env"]})
    await run.builder.set_environment_variable("TASK_ID", "abc")
    await run.builder.set_environment_variable("HOME", "/nowhere")
    await run.start()

    await run.result()

    environment = dict(line.split("=", 1) for line in run.lines())
    environment.pop("STAGECALL_SANDBOX", None)
    assert environment == {
        **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ},
        "USER": house.engine.setup.environment["USER"],
        "LOGNAME": house.engine.setup.environment["LOGNAME"],
        "HOME": "/nowhere",
        "PWD": str(run.folder),
        "TMPDIR": str(run.folder.parent / "tmp"),
        "SHARED": "yes",
        "TASK_ID": "abc",
    }


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_the_folder_is_fresh_private_and_gone_afterwards(make_house, kind):
    """A task works in an empty folder of its own, has another for temporary files, and stdin is empty."""
    house = await make_house(kind)
    run = await house.sh('pwd; ls -A; stat -c %a . "$TMPDIR"; cat; touch x; mktemp >/dev/null')

    result = await run.result()
    there = (run.folder / "x").exists()
    await result.dispose()

    assert run.lines() == [str(run.folder), "700", "700"]
    assert there
    assert not run.folder.parent.exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["no-such-command"], "the command 'no-such-command' was not found along PATH /bin:/usr/bin"),
        (["./missing"], "the command './missing' does not exist in the task's folder, or is no file"),
        (
            ["/etc/passwd"],
            "the command '/etc/passwd' cannot be executed: no permission to execute /etc/passwd",
        ),
        (["/etc"], "the command '/etc' does not exist, or is no file"),
        ([""], "the command must not be empty: its first word is the program to run"),
        ([], "the command must not be empty: its first word is the program to run"),
        (["a", "b\0c"], "the command's word 'b\\x00c' holds a NUL or a lone surrogate"),
        (["a", "\ud800"], "the command's word '\\ud800' holds a NUL or a lone surrogate"),
        (["true", "x" * 3_000_000], "the command and its environment are too long for this host"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_command_that_cannot_be_is_the_authors_fault(make_house, kind, command, message):
    """A command that does not exist or cannot be started makes the payload malformed, before anything ran."""
    house = await make_house(kind)

    async def start():
        run = await house.build({"command": command})
        await run.builder.set_environment_variable("PATH", "/bin:/usr/bin")
        await run.start()

    with pytest.raises(MalformedPayloadError) as caught:
        await start()

    assert str(caught.value) == message
    assert [list(run.owner.folder.iterdir()) for run in house.runs] in ([], [[]])


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_commands_are_found_as_a_shell_finds_them(make_house, kind, tmp_path):
    """The task's PATH counts, a name may begin with a dash, and a script without `#!` is the shell's."""
    for name in ("-dash", "plain"):
        (tmp_path / name).write_text("echo run as $0 with $1\n")
        (tmp_path / name).chmod(0o755)
    house = await make_house(kind)
    lines = []

    for name in ("-dash", "plain"):
        run = await house.build({"command": [name, "x"]})
        await run.builder.set_environment_variable("PATH", f"/nowhere:{tmp_path}:/bin")
        await run.start()
        await run.result()
        lines += run.lines()

    assert lines == [f"run as {tmp_path}/-dash with x", f"run as {tmp_path}/plain with x"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a b", "", "the variable name 'a b' is not allowed; it must match [A-Za-z_][A-Za-z0-9_]*"),
        ("", "", "the variable name '' is not allowed; it must match [A-Za-z_][A-Za-z0-9_]*"),
        ("A\n", "", "the variable name 'A\\n' is not allowed; it must match [A-Za-z_][A-Za-z0-9_]*"),
        (
            "STAGECALL_SANDBOX",
            "",
            "the variable STAGECALL_SANDBOX is not allowed: "
            "names that begin with STAGECALL_ are the worker's",
        ),
        ("A", "\0", "the value of the variable A is not allowed: it holds a NUL or a lone surrogate"),
        ("A", "\ud800", "the value of the variable A is not allowed: it holds a NUL or a lone surrogate"),
    ],
)
async def test_variables_that_a_task_cannot_have_are_refused(make_house, name, value, message):
    """A variable that a shell would drop, or that is the worker's, makes the payload malformed."""
    house = await make_house()
    run = await house.build({"command": ["true"]})

    with pytest.raises(MalformedPayloadError) as caught:
        await run.builder.set_environment_variable(name, value)

    assert str(caught.value) == message


async def test_a_variable_is_set_once(make_house):
    """The second use of a name is a conflict, and the first one stays."""
    house = await make_house()
    run = await house.build({"command": ["sh", "-c", "echo $A"]})
    await run.builder.set_environment_variable("A", "1")

    with pytest.raises(NamingConflictError, match="the variable 'A' is set already"):
        await run.builder.set_environment_variable("A", "2")

    await run.start()
    await run.result()
    assert run.lines() == ["1"]


async def test_a_builder_is_used_up_by_starting_or_discarding(make_house):
    """A builder starts one sandbox at most."""
    house = await make_house()
    started, discarded = [await house.build({"command": ["true"]}) for _ in range(2)]
    await started.start()
    await discarded.builder.discard()

    for run in (started, discarded):
        with pytest.raises(LifecycleError, match="used up"):
            await run.builder.start_sandbox()


async def test_volumes_and_proxies_are_not_supported(make_house):
    """What a process of the host cannot be given is said to be unsupported."""
    house = await make_house()
    run = await house.build({"command": ["true"]})

    with pytest.raises(FeatureNotSupportedError):
        await run.builder.attach_proxy("queue", None)
    with pytest.raises(FeatureNotSupportedError):
        await run.builder.attach_volume("cache", None, read_only=True)


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_big_output_arrives_intact(make_house, kind):
    """50 MB go through the pipe in order, and messages of the worker come after them."""
    house = await make_house(kind)
    run = await house.python(
        "import sys\nfor n in range(50): sys.stdout.write(f'{n:7d}\\n' * 131072)\nsys.exit(1)"
    )

    await run.result()

    log = run.log()
    assert len(log) == 50 * 1_048_576 + len("[stagecall] the command exited with code 1\n")
    assert all(log[n * 1_048_576 :][:1_048_576] == f"{n:7d}\n" * 131072 for n in range(50))


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_many_runs_leave_nothing_open_and_no_zombie(make_house, kind):
    """Quick runs, four at once, use up neither descriptors nor processes."""
    house = await make_house(kind)
    warm = await house.sh("true")
    await warm.result()
    before = descriptors()

    async def several(number):
        for _ in range(50 if kind is ContainmentKind.NONE else 10):
            run = await house.start("/bin/true")
            assert (await run.result()).success
            await run.sandbox.dispose()

    await asyncio.gather(*(several(number) for number in range(4)))

    assert set(descriptors()) == set(before)
    assert zombies() == []


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_limits_hold_for_the_task(make_house, kind):
    """Every configured limit is in force from the first instruction on, as soft and as hard limit."""
    limits = {
        "cpuSeconds": 50,
        "openFiles": 64,
        "processes": 4000,
        "fileBytes": 8192,
        "memoryBytes": 2**31,
        "coreBytes": 0,
    }
    house = await make_house(kind, limits=limits)
    program = """
import resource
for name in ("CPU", "NOFILE", "NPROC", "FSIZE", "AS", "CORE"):
    print(name, *resource.getrlimit(getattr(resource, "RLIMIT_" + name)))
"""
    run = await house.python(program)

    await run.result()

    assert run.lines() == [
        "CPU 50 51",
        "NOFILE 64 64",
        "NPROC 4000 4000",
        "FSIZE 8192 8192",
        "AS 2147483648 2147483648",
        "CORE 0 0",
    ]


async def test_a_task_over_its_cpu_time_is_told_by_its_signal(make_house):
    """A limit that is exceeded fails the task, and the log names the signal."""
    house = await make_house(limits={"cpuSeconds": 1, "coreBytes": 0})
    run = await house.sh("while :; do :; done")

    result = await run.result()

    assert result.exit.signal == signal.SIGXCPU
    assert run.lines() == ["[stagecall] the command was ended by signal 24 (SIGXCPU)"]


async def test_a_gate_that_is_never_opened_lets_nothing_run(tmp_path):
    """If the worker dies before it has contained a process, the process exits without running the command."""
    program = Program(("/bin/touch", "ran"), "/bin/touch", str(tmp_path), {"PATH": "/bin"})
    started = start_gated(program, Outputs(1, 2))

    started.close()

    _, status = await asyncio.to_thread(os.waitpid, started.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert list(tmp_path.iterdir()) == []


async def test_the_gate_does_not_obey_the_tasks_variables(tmp_path):
    """Before the gate opens no variable is in force that would let a task's code run in the trampoline."""
    environment = {"LD_PRELOAD": "/nowhere.so", "ENV": "/nowhere", "PATH": "/bin"}
    program = Program(("/bin/true",), "/bin/true", str(tmp_path), environment)
    started = start_gated(program, Outputs(1, 2))

    await until(lambda: read(started.pid, "environ"), "the trampoline")  # while it executes it shows none
    waiting = read(started.pid, "environ")

    started.close()
    await asyncio.to_thread(os.waitpid, started.pid, 0)
    assert waiting == b"PATH=/bin\0"


async def test_a_full_disk_ends_the_task(make_house, monkeypatch):
    """When the log cannot grow the task is ended, and the run has no result but a reason."""
    house = await make_house()

    async def full(log, pipe):
        raise TaskExceptionError(ExceptionReason.RESOURCE_UNAVAILABLE, "the task log cannot grow: no space")

    monkeypatch.setattr(TaskLog, "drain", full)
    run = await house.sh("sleep 1000")

    with pytest.raises(TaskExceptionError, match="no space"):
        await run.result()


async def test_a_child_that_somebody_else_reaped_is_no_success(make_house, monkeypatch):
    """Where the embedding program ignores SIGCHLD the exit code is unknown, and that is said."""
    house = await make_house()
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        run = await house.sh("exit 0")
        with pytest.raises(Exception, match="somebody else reaped it"):
            await run.result()
    finally:
        signal.signal(signal.SIGCHLD, before)


async def test_a_system_without_pidfds_waits_in_a_thread(make_house, monkeypatch):
    """Without pidfds, as on macOS, a thread waits for the process, and its group is killed all the same."""
    monkeypatch.delattr(os, "pidfd_open")
    house = await make_house()
    ended, killed = [await house.sh(script) for script in ("sleep 1000 & exit 4", "sleep 1000")]

    result = await ended.result()
    await killed.sandbox.kill()

    assert result.exit.code == 4
    assert (await killed.result()).exit.signal == signal.SIGTERM


async def test_auto_without_linux_has_no_containment(tmp_path, monkeypatch):
    """Beside Linux `auto` is `none`, and the operator is told."""
    monkeypatch.delattr(os, "pidfd_open")

    house = await House.make(tmp_path, {})

    assert house.engine.setup.containment.kind is ContainmentKind.NONE
    assert house.monitor.messages[0].startswith("tasks are contained by none, better cannot be had: cgroup: ")


def test_schemas_can_be_used():
    """The worker accepts the schemas of payload and configuration, and they let pass what is right."""
    merged = MergedSchema.merge({"engine process": PAYLOAD_SCHEMA})
    config = MergedSchema.merge({"engine process": CONFIG_SCHEMA})
    good = {
        "containment": "marker",
        "killGrace": 0.5,
        "limits": {"cpuSeconds": 1},
        "shell": ["bash", "-i"],
        "inheritEnvironment": ["HTTP_PROXY"],
    }

    assert merged.violations({"command": ["echo", "a\nb", ""]}) == ()
    assert [v.path for v in merged.violations({"command": []})] == ["payload.command"]
    assert [v.path for v in merged.violations({"command": ["a\0"]})] == ["payload.command[0]"]
    assert config.violations(good) == ()
    bad = {
        "containment": "jail",
        "killGrace": -1,
        "limits": {"cpu": 1},
        "shell": [],
        "inheritEnvironment": ["A=B"],
    }
    assert len(config.violations(bad)) == 5


async def test_the_result_of_a_quick_command_comes_at_once(make_house):
    """Waiting costs no polling: the end of a process is seen when it happens."""
    house = await make_house()
    began = time.monotonic()

    for _ in range(20):
        await (await house.start("/bin/true")).result()

    assert time.monotonic() - began < 10


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_a_host_without_room_for_a_process_is_not_the_workers_fault(make_house, kind, monkeypatch):
    """When the host has no process left to give, the run has no result but a reason, and nothing is left."""
    house = await make_house(kind)
    run = await house.build({"command": ["true"]})
    before = descriptors()

    def refuse(*arguments, **options):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)

    with pytest.raises(TaskExceptionError, match="the host cannot start another process") as caught:
        await run.builder.start_sandbox()

    assert caught.value.reason is ExceptionReason.RESOURCE_UNAVAILABLE
    assert list(run.owner.folder.iterdir()) == []
    assert set(descriptors()) == set(before)


async def test_limits_need_a_system_that_has_them(tmp_path, monkeypatch):
    """Where another process cannot be limited, limits are refused, not passed over."""
    monkeypatch.delattr(resource, "prlimit")

    with pytest.raises(ConfigurationError, match=r"limits: .* needs Linux"):
        await House.make(tmp_path, {"containment": "none", "limits": {"openFiles": 100}})
