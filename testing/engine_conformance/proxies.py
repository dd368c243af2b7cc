"""Checks of proxies: requests of the task reach the handler that was attached to the host name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ...engines.base import ProxyHandler, SandboxBuilder
from ...engines.errors import NamingConflictError
from ..conformance import needs
from .expect import expect_error
from .recipes import EngineRecipes
from .rig import Prepare

if TYPE_CHECKING:
    from aiohttp import web

SHORTEST, LONGEST = "abc", "abcdefghijklmnopqrstuv"
"""Names of hosts, of 3 and of 22 letters, that work with every engine."""


class ProxyChecks(EngineRecipes):
    """What `SandboxBuilder.attach_proxy` promises."""

    @needs("proxies")
    async def test_proxy_ping(self) -> None:
        """A request reaches the handler as the task made it, and the answer reaches the task."""
        seen: list[tuple[str, str, str]] = []

        async def handler(request: web.Request) -> web.Response:
            seen.append((request.method, request.path, request.query_string))
            return _response(text="secret=42")

        async with self.rig() as rig:
            result, run = await rig.finish(self.fetches("http://proxy/v1/ping?q=a"), attached(proxy=handler))

            assert seen == [("GET", "/v1/ping", "q=a")], "the handler sees what was asked for"
            assert result.success, "the task gets the answer"
            assert "secret=42" in run.output(), "the task gets the whole answer"

    @needs("proxies")
    async def test_proxy_not_found(self) -> None:
        """The status of the answer reaches the task: a 404 fails one that needs an answer."""

        async def handler(request: web.Request) -> web.Response:
            return _response(status=404, text="no secret")

        async with self.rig() as rig:
            result, _ = await rig.finish(self.fetches("http://proxy/v1/missing"), attached(proxy=handler))

            assert not result.success, "a task that is answered 404 knows it"

    @needs("proxies")
    async def test_proxy_streaming(self) -> None:
        """The task gets the beginning of an answer before the handler has written its end."""
        async with self.rig() as rig:
            run = await rig.build(self.fetches("http://proxy/stream"))

            async def handler(request: web.Request) -> web.StreamResponse:
                from aiohttp import web

                response = web.StreamResponse()
                await response.prepare(request)
                for piece in ("first", "second"):
                    await response.write(f"{piece}\n".encode())
                    await run.logged(f"{piece}\n")
                return response

            await run.builder.attach_proxy("proxy", handler)
            result = await (await run.start()).wait()

            assert result.success, "an answer that comes in pieces is one"

    @needs("proxies")
    async def test_proxy_parallel(self) -> None:
        """Requests of two sandboxes are handled side by side."""
        both = asyncio.Barrier(2)

        async def handler(request: web.Request) -> web.Response:
            await both.wait()
            return _response(text="together")

        async with self.rig() as rig:
            if not rig.room(2):
                return
            payload = self.fetches("http://proxy/")
            runs = [await rig.start(payload, attached(proxy=handler)) for _ in range(2)]

            results = await asyncio.gather(*(run.wait() for run in runs))

            assert all(result.success for result in results), "requests do not wait for each other"

    @needs("proxies")
    async def test_proxy_hostnames(self) -> None:
        """Names of 3 to 22 small letters work, and each leads to its own handler."""
        handlers = {name: _saying(name) for name in (SHORTEST, LONGEST)}
        async with self.rig() as rig:
            for name in handlers:
                _, run = await rig.finish(self.fetches(f"http://{name}/"), attached(**handlers))

                assert f"I am {name}." in run.output(), "each host name leads to its own handler"

    @needs("proxies")
    async def test_proxy_conflict(self) -> None:
        """To attach a second handler to a host name raises NamingConflictError, and leaves the first."""
        async with self.rig() as rig:
            run = await rig.build(self.fetches("http://proxy/"))
            await run.builder.attach_proxy("proxy", _saying("first"))

            await expect_error(
                NamingConflictError,
                run.builder.attach_proxy("proxy", _saying("second")),
                "a host name has one handler",
            )

            await (await run.start()).wait()
            assert "I am first." in run.output(), "the handler that was attached first stays"

    @needs("proxies")
    async def test_proxy_of_each_its_own(self) -> None:
        """A handler that one sandbox has is not reached from another."""
        called: list[str] = []

        async def handler(request: web.Request) -> web.Response:
            called.append(request.path)
            return _response(text="mine")

        async with self.rig() as rig:
            await rig.finish(self.fetches("http://proxy/of-one"), attached(proxy=handler))
            result, _ = await rig.finish(self.fetches("http://proxy/of-another"))

            assert called == ["/of-one"], "a handler is reached from its own sandbox only"
            assert not result.success, "a host that is not there cannot be reached"


def attached(**handlers: ProxyHandler) -> Prepare:
    """Return what attaches handlers to host names."""

    async def prepare(builder: SandboxBuilder) -> None:
        for hostname, handler in handlers.items():
            await builder.attach_proxy(hostname, handler)

    return prepare


def _saying(name: str) -> ProxyHandler:
    async def handler(request: web.Request) -> web.Response:
        return _response(text=f"I am {name}.")

    return handler


def _response(**options: Any) -> web.Response:
    from aiohttp import web  # takes long to import, and only engines with proxies need it

    return web.Response(**options)
