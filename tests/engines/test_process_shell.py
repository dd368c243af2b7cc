"""Shells beside a task: with pipes, with a terminal, and no longer than their sandbox."""

import asyncio
import os
import re
from typing import Any

import pytest

from stagecall.engines.errors import (
    SandboxAbortedError,
    SandboxTerminatedError,
    ShellAbortedError,
    ShellTerminatedError,
)
from stagecall.engines.process.config import ContainmentKind
from stagecall.lifecycle.errors import FeatureNotSupportedError, MalformedPayloadError

from .process_support import ALL_KINDS, BOUND, CONTAINED, alive, descriptors, until


async def read_all(stream):
    """Return what comes from a stream until its end."""
    data = b""
    while piece := await asyncio.wait_for(stream.read(), BOUND):
        data += piece
    return data


async def read_until(stream, text):
    """Return what comes from a stream until it holds a text."""
    data = b""
    while text not in data:
        piece = await asyncio.wait_for(stream.read(), BOUND)
        assert piece, data
        data += piece
    return data


async def use(shell, text=b""):
    """Send a text to the shell and close its stdin; return its success, and what it wrote."""
    await shell.stdin.write(text)
    await shell.stdin.close()
    async with asyncio.timeout(BOUND):
        return await asyncio.gather(shell.wait(), read_all(shell.stdout), read_all(shell.stderr))


@pytest.fixture(params=ALL_KINDS)
async def run(request, make_house):
    """A task that does nothing, under each containment."""
    house = await make_house(request.param, killGrace=0)
    return await house.sh("sleep 1000")


async def test_a_shell_has_three_streams(run):
    """The default shell reads stdin to its end, and writes to stdout and stderr apart."""
    shell = await run.sandbox.new_shell([], False)

    outcome = await use(shell, b"echo out; echo err >&2; exit 0\n")

    assert outcome == [True, b"out\n", b"err\n"]


async def test_a_command_is_run_where_the_task_is(run):
    """A shell's command has the task's folder and variables; its failure is no success."""
    shell = await run.sandbox.new_shell(["sh", "-c", "pwd; echo $HOME; exit 3"], False)

    success, stdout, _ = await use(shell)

    assert (success, stdout.decode().splitlines()) == (False, [str(run.folder)] * 2)


async def test_stdin_goes_through_unchanged(run):
    """A megabyte through `cat` comes back as it was, whoever has to wait for whom."""
    shell = await run.sandbox.new_shell(["cat"], False)
    data = os.urandom(1_048_576)

    async def send():
        await shell.stdin.write(data)
        await shell.stdin.close()

    _, received = await asyncio.wait_for(asyncio.gather(send(), read_all(shell.stdout)), BOUND)

    assert received == data
    assert await shell.wait()


async def test_a_writer_waits_for_a_slow_reader(run):
    """What nobody reads is not piled up in memory: the writer is held back."""
    shell = await run.sandbox.new_shell(["sleep", "1000"], False)
    writing = asyncio.ensure_future(shell.stdin.write(bytes(1_048_576)))

    done, _ = await asyncio.wait([writing], timeout=0.1)

    assert not done
    await shell.abort()
    with pytest.raises(ShellTerminatedError):
        await writing


async def test_a_read_gives_what_is_there(run):
    """A reader gets bytes as soon as there are any, and no more than it asked for."""
    shell = await run.sandbox.new_shell(["sh", "-c", "echo hello; sleep 1000"], False)

    first = await asyncio.wait_for(shell.stdout.read(3), BOUND)
    second = await asyncio.wait_for(shell.stdout.read(), BOUND)

    assert (first, second) == (b"hel", b"lo\n")


async def test_writing_to_a_shell_that_has_ended_says_so(run):
    """What cannot be received any more is refused."""
    shell = await run.sandbox.new_shell(["true"], False)
    await shell.wait()

    with pytest.raises(ShellTerminatedError):
        await shell.stdin.write(b"x")

    await shell.stdin.close()


async def test_a_terminal_is_one(run):
    """With a tty the streams are one controlling terminal, with a size that is set, and signals for keys."""
    shell = await run.sandbox.new_shell([], True)
    await shell.set_size(132, 43)

    await shell.stdin.write(
        b"tty; stty size; ls -l /proc/$$/fd | grep -c /dev/pts; echo $TERM; trap 'echo INT' INT\n"
    )
    await shell.stdin.write(b"sleep 1002\n")
    await until(lambda: "sleep 1002 " in alive(run.owner.folder), "the command in the foreground")
    await shell.stdin.write(b"\x03")
    output = await read_until(shell.stdout, b"INT\r\n")
    await shell.stdin.write(b"exit 0\n")

    success = await asyncio.wait_for(shell.wait(), BOUND)
    output += await read_all(shell.stdout)
    text = output.decode()
    assert success
    assert re.search(r"/dev/pts/\d+\r\n", text), text
    assert "43 132\r\n" in text  # what was typed may be echoed in between
    assert "xterm-256color\r\n" in text
    assert await shell.stderr.read() == b""


async def test_resizing_a_terminal_is_seen_by_its_program(run):
    """`set_size` sends SIGWINCH to the program in the foreground, which sees the new size."""
    shell = await run.sandbox.new_shell(
        ["sh", "-c", "trap 'stty size; exit 0' WINCH; stty size; while :; do sleep 0.01; done"], True
    )
    before = await read_until(shell.stdout, b"\r\n")

    await shell.set_size(100, 50)

    after = await read_until(shell.stdout, b"\r\n")
    assert (before, after) == (b"24 80\r\n", b"50 100\r\n")
    assert await asyncio.wait_for(shell.wait(), BOUND)


@pytest.mark.parametrize("text", [b"whole line\n", b"begun"])
async def test_closing_the_stdin_of_a_terminal_types_its_end(run, text):
    """A program that reads a terminal comes to the end of what was typed; also within a line."""
    shell = await run.sandbox.new_shell(["sh", "-c", "stty -echo; echo ready; cat; echo end"], True)
    await read_until(shell.stdout, b"ready")

    await shell.stdin.write(text)
    await shell.stdin.close()
    await shell.stdin.close()

    output = await read_until(shell.stdout, b"end\r\n")
    assert text.strip() in output
    assert await asyncio.wait_for(shell.wait(), BOUND)
    with pytest.raises(ShellTerminatedError):
        await shell.stdin.write(b"more")


async def test_a_shell_without_a_terminal_has_no_size(run):
    """`set_size` needs a tty, and one that still exists."""
    piped = await run.sandbox.new_shell(["true"], False)
    terminal = await run.sandbox.new_shell(["true"], True)
    await terminal.wait()

    with pytest.raises(FeatureNotSupportedError, match="without a tty"):
        await piped.set_size(80, 24)
    with pytest.raises(ShellTerminatedError):
        await terminal.set_size(80, 24)


@pytest.mark.parametrize("tty", [False, True])
async def test_an_aborted_shell_is_dead_and_says_so(run, tty):
    """Abort kills the shell and leaves the task alone; waiting then raises, and the output ends."""
    shell = await run.sandbox.new_shell(
        ["sh", "-c", "trap '' TERM HUP; echo ready; sleep 1001 & sleep 1001"], tty
    )
    await read_until(shell.stdout, b"ready")

    await shell.abort()
    await shell.abort()

    await until(lambda: "sleep 1001 " not in alive(run.owner.folder), "the end of the shell's group")
    await until(lambda: "sleep 1000 " in alive(run.owner.folder), "the task to be alive")
    assert await read_all(shell.stdout) == b""
    with pytest.raises(ShellAbortedError):
        await shell.wait()


async def test_a_shell_that_has_ended_cannot_be_aborted(run):
    """Of end and abort one wins, and the other says so."""
    shell = await run.sandbox.new_shell(["true"], False)
    await shell.wait()

    with pytest.raises(ShellTerminatedError):
        await shell.abort()

    assert await shell.wait()


@pytest.mark.parametrize("kind", CONTAINED)
async def test_what_a_shell_leaves_behind_is_killed_with_it(make_house, kind):
    """A shell's end is the end of what it started, and its output ends with it."""
    house = await make_house(kind)
    run = await house.sh("sleep 1000")
    shell = await run.sandbox.new_shell(["sh", "-c", "setsid sleep 1001 & echo out"], False)

    success = await shell.wait()

    assert success
    assert [line for line in alive(run.owner.folder) if "1001" in line] == []
    assert await read_all(shell.stdout) == b"out\n"


async def test_output_is_read_to_its_end_after_the_shell(make_house):
    """What a shell wrote can be read after its end, even if something else holds its pipe."""
    house = await make_house(ContainmentKind.NONE)
    run = await house.sh("sleep 1000")
    shell = await run.sandbox.new_shell(
        [
            "sh",
            "-c",
            "setsid sh -c 'echo $$ >stranger; exec sleep 1001' & until [ -s stranger ]; do :; done; echo out",
        ],
        False,
    )

    await shell.wait()

    assert await read_all(shell.stdout) == b"out\n"
    os.kill(int((run.folder / "stranger").read_text()), 9)
    await until(
        lambda: not [line for line in alive(run.owner.folder) if "1001" in line], "the end of the stranger"
    )


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("tty", [False, True])
async def test_a_shell_ends_with_its_sandbox(make_house, kind, tty):
    """When the task ends its shells are aborted, and nothing of them is alive when there is a result."""
    house = await make_house(kind)
    run = await house.sh("until [ -e go ]; do sleep 0.01; done")
    shell = await run.sandbox.new_shell(["sh", "-c", "trap '' TERM HUP; : >go; sleep 1000 & sleep 1000"], tty)

    result = await run.result()

    await run.house.check_dead(run)
    assert result.success
    with pytest.raises(ShellAbortedError):
        await shell.wait()
    with pytest.raises(SandboxTerminatedError):
        await run.sandbox.new_shell([], False)


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("end", ["kill", "abort"])
async def test_a_shell_that_dies_with_its_sandbox_was_aborted(make_house, kind, end):
    """A sandbox that is asked to end, and takes its time, aborts its shells at once: none seems to have failed."""
    house = await make_house(kind, killGrace=BOUND)
    run = await house.sh("trap 'sleep 0.2; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    await run.logged("ready")
    shell = await run.sandbox.new_shell(["sleep", "1000"], False)
    waiting = asyncio.ensure_future(shell.wait())
    await asyncio.sleep(0)

    ending = asyncio.ensure_future(getattr(run.sandbox, end)())
    await asyncio.wait([waiting], timeout=BOUND)

    assert isinstance(waiting.exception(), ShellAbortedError)
    with pytest.raises((SandboxTerminatedError, SandboxAbortedError)):
        await run.sandbox.new_shell([], False)
    await ending


async def test_a_shell_that_starts_while_the_sandbox_ends_does_not_stay(run):
    """A shell that is being started when its sandbox is killed is ended too, or refused."""
    starting = [asyncio.ensure_future(run.sandbox.new_shell(["sleep", "1000"], tty)) for tty in (False, True)]
    await asyncio.sleep(0)

    await run.sandbox.kill()

    outcomes: list[Any] = await asyncio.gather(*starting, return_exceptions=True)
    await run.house.check_dead(run)
    for outcome in outcomes:
        if not isinstance(outcome, SandboxTerminatedError):
            with pytest.raises(ShellAbortedError):
                await outcome.wait()


async def test_a_start_of_a_shell_that_is_cancelled_leaves_nothing(run):
    """A shell nobody got is not left running."""
    starting = asyncio.ensure_future(run.sandbox.new_shell(["sleep", "1001"], True))
    await asyncio.sleep(0)
    starting.cancel()

    await asyncio.wait([starting])

    if not starting.cancelled():
        await starting.result().abort()
    assert [line for line in alive(run.owner.folder) if "1001" in line] == []


async def test_a_command_that_does_not_exist_is_refused(run):
    """A shell's command is looked for before it is started."""
    with pytest.raises(MalformedPayloadError, match="the command 'no-such-command' was not found"):
        await run.sandbox.new_shell(["no-such-command"], False)


async def test_shells_leave_no_descriptor_open(run):
    """Whether a shell's output was read or not, disposing the sandbox closes all of it."""
    before = descriptors()
    for tty in (False, True):
        for command in (["true"], ["sleep", "1000"]):
            await run.sandbox.new_shell(command, tty)

    await run.sandbox.dispose()

    assert set(descriptors()) <= set(before)


async def test_the_configured_shell_is_the_default(make_house):
    """An operator says which shell a person gets who names none."""
    house = await make_house(shell=["echo", "configured"])
    run = await house.sh("sleep 1000")
    shell = await run.sandbox.new_shell([], False)

    outcome = await use(shell)

    assert outcome == [True, b"configured\n", b""]
