"""Checks of displays: streams that speak RFB."""

from __future__ import annotations

from ...engines.errors import NoSuchDisplayError, SandboxAbortedError, SandboxTerminatedError
from ..conformance import needs
from .expect import expect_error, read_all, read_at_least
from .recipes import EngineRecipes

VERSION_BYTES = 12
"""What a server of RFB says first is `RFB 003.008` and a newline (RFC 6143, 7.1.1)."""


class DisplayChecks(EngineRecipes):
    """What `Sandbox.list_displays` and `Sandbox.open_display` promise."""

    @needs("displays")
    async def test_display_list(self) -> None:
        """There are displays, each with a name of its own, and with sizes that can be."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())

            displays = await run.sandbox.list_displays()

            names = [display.name for display in displays]
            assert names, "a sandbox with displays lists them"
            assert len(set(names)) == len(names), "the names of displays differ"
            sizes = [size for display in displays for size in (display.width, display.height)]
            assert all(size is None or size > 0 for size in sizes), "sizes are in pixels, None where unknown"

    @needs("displays")
    async def test_display_open(self) -> None:
        """Each display that is listed can be opened, several times at once, and speaks RFB."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            names = [display.name for display in await run.sandbox.list_displays()]

            streams = [await run.sandbox.open_display(name) for name in names * 2]

            for stream in streams:
                greeting = await read_at_least(stream, VERSION_BYTES)
                assert greeting[:4] == b"RFB ", "a display greets with its version of RFB"
                await stream.close()

    @needs("displays")
    async def test_display_unknown(self) -> None:
        """To open a display that is not listed raises NoSuchDisplayError."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            names = {display.name for display in await run.sandbox.list_displays()}
            unknown = "".join(sorted(names)) + "-missing"

            await expect_error(
                NoSuchDisplayError,
                run.sandbox.open_display(unknown),
                "a display that is not listed is not there",
            )

    @needs("displays", "kill")
    async def test_display_closed_on_kill(self) -> None:
        """A display that is open comes to its end when the sandbox is killed."""
        async with self.rig() as rig:
            run = await rig.start(self.lasts())
            display, *_ = await run.sandbox.list_displays()
            stream = await run.sandbox.open_display(display.name)
            await read_at_least(stream, VERSION_BYTES)

            await run.sandbox.kill()

            await read_all(stream)

    @needs("displays")
    async def test_display_after_end(self) -> None:
        """A sandbox that has ended has no displays any more: the error says how it did."""
        async with self.rig() as rig:
            _, ended = await rig.finish(self.silent())
            aborted = await rig.start(self.lasts())
            display, *_ = await aborted.sandbox.list_displays()
            await aborted.sandbox.abort()

            for run, error in ((ended, SandboxTerminatedError), (aborted, SandboxAbortedError)):
                rule = "a sandbox that has ended has no displays"
                await expect_error(error, run.sandbox.list_displays(), rule)
                await expect_error(error, run.sandbox.open_display(display.name), rule)
