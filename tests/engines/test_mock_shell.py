"""The shell of a mock sandbox: its commands, its end, and that of its sandbox."""

import asyncio

import pytest

from stagecall.engines.errors import SandboxTerminatedError, ShellAbortedError, ShellTerminatedError
from stagecall.engines.mock.shell import LONGEST_LINE
from stagecall.lifecycle.errors import FeatureNotSupportedError, MalformedPayloadError

from .mock_support import BOUND, House, read_all, turn_loop


async def use(shell, text=b""):
    """Send `text` to the shell; return its success and what it wrote to stdout and stderr."""
    if text:
        await shell.stdin.write(text)
    await shell.stdin.close()
    async with asyncio.timeout(BOUND):
        results = await asyncio.gather(shell.wait(), read_all(shell.stdout), read_all(shell.stderr))
    return tuple(results)


@pytest.fixture
async def sandbox(tmp_path):
    sandbox = await House(tmp_path).sandbox()
    yield sandbox
    try:
        await sandbox.abort()
    except SandboxTerminatedError:
        pass


@pytest.mark.parametrize(
    ("text", "success", "stdout", "stderr"),
    [
        (b"", True, b"", b""),
        (b"print-hello", True, b"Hello World", b"No error!"),
        (b"print-hello\n", True, b"Hello World", b"No error!"),
        (b"print-hello\n\nprint-hello\r\n", True, b"Hello World" * 2, b"No error!" * 2),
        (b"exit-false", False, b"", b""),
        (b"exit-false\nprint-hello\n", False, b"", b""),
        (b"sleep 0.001\n", True, b"", b""),
        (
            b"rm -rf /\n",
            False,
            b"",
            b"mock shell: cannot do 'rm -rf /'; there are print-hello, exit-false, sleep\n",
        ),
        (
            b"sleep long\nprint-hello",
            True,
            b"Hello World",
            b"mock shell: cannot do 'sleep long'; there are print-hello, exit-false, sleep\nNo error!",
        ),
        (b"x" * (LONGEST_LINE + 1), False, b"", b"mock shell: a line is longer than 4096 bytes\n"),
    ],
)
async def test_lines_on_stdin_are_commands(sandbox, text, success, stdout, stderr):
    """Each line is carried out; the shell succeeds as its last line did."""
    shell = await sandbox.new_shell([], tty=False)

    assert await use(shell, text) == (success, stdout, stderr)


@pytest.mark.parametrize(
    ("command", "success", "stdout", "stderr"),
    [
        (["print-hello"], True, b"Hello World", b"No error!"),
        (["exit-false"], False, b"", b""),
        (["sleep", "0.001"], True, b"", b""),
        (
            ["print-hello", "twice"],
            False,
            b"",
            b"mock shell: cannot do 'print-hello twice'; there are print-hello, exit-false, sleep\n",
        ),
    ],
)
async def test_shell_runs_the_command_it_is_given(sandbox, command, success, stdout, stderr):
    """With a command there is no need of stdin."""
    shell = await sandbox.new_shell(command, tty=False)

    result = await use(shell)

    assert result == (success, stdout, stderr)


async def test_sleep_takes_a_while_by_itself(sandbox, monkeypatch):
    """Without a number it takes its usual time, and succeeds."""
    monkeypatch.setattr("stagecall.engines.mock.shell.SLEEP_SECONDS", 0.001)
    shell = await sandbox.new_shell(["sleep"], tty=False)

    assert await use(shell) == (True, b"", b"")


async def test_command_that_is_not_there_is_malformed(sandbox):
    """The error names the commands there are, and no shell keeps the sandbox up."""
    with pytest.raises(
        MalformedPayloadError, match=r"'bash'; the mock shell has print-hello, exit-false, sleep"
    ):
        await sandbox.new_shell(["bash"], tty=False)

    assert (await sandbox.wait_for_result()).success is True


async def test_tty_has_one_output_and_a_size(sandbox):
    """With a tty stderr is at its end, its text on stdout; the size is remembered."""
    shell = await sandbox.new_shell([], tty=True)

    await shell.set_size(80, 24)
    await shell.set_size(132, 50)
    result = await use(shell, b"print-hello\nls")

    assert shell.size == (132, 50)
    assert result == (
        False,
        b"Hello WorldNo error!mock shell: cannot do 'ls'; there are print-hello, exit-false, sleep\n",
        b"",
    )
    with pytest.raises(ShellTerminatedError):
        await shell.set_size(80, 24)


async def test_shell_without_tty_has_no_size(sandbox):
    """There is no terminal to resize."""
    shell = await sandbox.new_shell([], tty=False)

    with pytest.raises(FeatureNotSupportedError, match="without a tty"):
        await shell.set_size(80, 24)


async def test_aborted_shell_has_no_result(sandbox):
    """All who wait hear of it, the streams end, and aborting again does nothing."""
    shell = await sandbox.new_shell([], tty=False)
    waiting = asyncio.create_task(shell.wait())
    await shell.stdin.write(b"sleep 300\n")
    await turn_loop()

    await shell.abort()
    await shell.abort()

    assert await read_all(shell.stdout) == await read_all(shell.stderr) == b""
    for call in (lambda: waiting, shell.wait):
        with pytest.raises(ShellAbortedError):
            await call()
    with pytest.raises(BrokenPipeError):
        await shell.stdin.write(b"print-hello\n")


async def test_ended_shell_cannot_be_aborted(sandbox):
    """The result stays."""
    shell = await sandbox.new_shell(["print-hello"], tty=False)
    await shell.wait()

    with pytest.raises(ShellTerminatedError):
        await shell.abort()

    assert await shell.wait() is True


async def test_cancelled_wait_leaves_the_shell_alone(sandbox):
    """Cancelling one who waits ends that wait, not the shell."""
    shell = await sandbox.new_shell([], tty=False)
    waiting = asyncio.create_task(shell.wait())
    await turn_loop()

    waiting.cancel()
    await asyncio.wait([waiting])

    assert (waiting.cancelled(), await use(shell, b"exit-false")) == (True, (False, b"", b""))


@pytest.mark.parametrize("end", ["kill", "abort"])
async def test_shells_end_with_their_sandbox(sandbox, end):
    """Killing or aborting the sandbox aborts its shells, and returns when they are gone."""
    shells = [await sandbox.new_shell(command, tty=False) for command in ([], ["sleep", "300"])]
    await turn_loop()

    await getattr(sandbox, end)()

    assert asyncio.all_tasks() == {asyncio.current_task()}
    for shell in shells:
        with pytest.raises(ShellAbortedError):
            await shell.wait()


async def test_sandbox_stays_up_for_its_shells(sandbox):
    """A task that is done ends when the last shell does, so that somebody can look into it."""
    first, second = [await sandbox.new_shell([], tty=False) for _ in range(2)]
    waiting = asyncio.create_task(sandbox.wait_for_result())
    await turn_loop()
    await first.stdin.close()
    await first.wait()
    await turn_loop()
    early = waiting.done()

    third = await sandbox.new_shell([], tty=False)
    await second.abort()
    await third.stdin.close()

    assert not early
    assert (await asyncio.wait_for(waiting, BOUND)).success is True
