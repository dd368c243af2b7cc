"""A page with nothing but a log, and a server that can drop connections half way."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import attrs
from aiohttp import web

from stagecall.worker.pages.assets import asset, content_type
from stagecall.worker.pages.policy import PAGE

if TYPE_CHECKING:
    from playwright.async_api import Page

BOUND = 30.0
"""Seconds after which the server gives up on what it waits for."""

SCRIPTS = (
    *("format", "ansi", "colours", "logstore", "logsearch", "loglist", "logrow"),
    *("logselection", "logtoolbar", "logview", "followlog"),
)
START = """
globalThis.begin = (options) => {
  globalThis.view?.dispose();
  globalThis.view = new stagecall.LogView(document.getElementById("log"), { label: "Log of the task", ...options });
};
begin({});
globalThis.bytesOf = (text) => new TextEncoder().encode(text);
globalThis.fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
globalThis.frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
globalThis.until = async (holds) => {
  for (let frames = 0; frames < 900; frames++) {
    if (holds()) return true;
    await frame();
  }
  throw new Error(`did not come to hold: ${holds}`);
};
globalThis.manyLines = (count, line) => {
  const parts = [];
  for (let number = 1; number <= count; number++) parts.push(line(number), "\\n");
  return bytesOf(parts.join(""));
};
globalThis.rowsInSight = () => {
  const window = document.querySelector(".log-scroller").getBoundingClientRect();
  return [...document.querySelectorAll(".log-row")].filter((row) => {
    const box = row.getBoundingClientRect();
    return box.height > 0 && box.top >= window.top - 0.5 && box.bottom <= window.bottom + 0.5;
  });
};
globalThis.numbersInSight = () => rowsInSight().map((row) => row.querySelector(".log-number").textContent);
globalThis.textsInSight = () => rowsInSight().map((row) => row.querySelector(".log-text").textContent);
"""
STYLE = "body{margin:16px;background:#f7f8fa}@media(prefers-color-scheme:dark){body{background:#10141a}}"


@attrs.define(eq=False)
class LogSite:
    """Serves the page at `url`, and `log` below it, in ways that a test sets."""

    log: bytes = b""
    cuts: list[int] = attrs.field(factory=list)
    """For each answer to come: the bytes after which the connection is dropped."""
    statuses: list[int] = attrs.field(factory=list)
    """For each answer to come, before those: a status without content."""
    ranges: bool = True
    asked: list[str | None] = attrs.field(factory=list)
    """The Range header of each request."""
    url: str = attrs.field(init=False, default="")
    seen: asyncio.Condition = attrs.field(factory=asyncio.Condition, init=False)
    seen_bytes: int = attrs.field(default=0, init=False)
    _runner: Any = attrs.field(init=False, default=None)

    async def __aenter__(self) -> LogSite:
        app = web.Application()
        app.router.add_get("/log", self._log)
        app.router.add_get("/seen/{bytes}", self._seen)
        app.router.add_get("/{name:.*}", self._static)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._runner.cleanup()

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name == "":
            scripts = "".join(f"<script defer src={name}.js></script>" for name in [*SCRIPTS, "start"])
            text = (
                "<!doctype html><html lang=en><meta charset=utf-8><title>A log</title><link rel=icon href=data:,>"
                "<meta name=viewport content='width=device-width,initial-scale=1'>"
                f"<link rel=stylesheet href=logview.css><link rel=stylesheet href=page.css>"
                f"{scripts}<main id=log></main>"
            )
            return web.Response(text=text, content_type="text/html", headers=PAGE)
        own = {"start.js": (START, "text/javascript"), "page.css": (STYLE, "text/css")}
        if name in own:
            return web.Response(text=own[name][0], content_type=own[name][1])
        return web.Response(body=asset(name).encode(), headers={"Content-Type": content_type(name)})

    async def _log(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers.get("Range"))
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        first, total = 0, len(self.log)
        if self.ranges and (found := re.fullmatch(r"bytes=(\d+)-", self.asked[-1] or "")):
            first = int(found[1])
            if first >= total:
                return web.Response(status=416, headers={"Content-Range": f"bytes */{total}"})
        response = web.StreamResponse(status=206 if first else 200)
        if first:
            response.headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
        response.enable_chunked_encoding()
        await response.prepare(request)
        stop = self.cuts.pop(0) if self.cuts else total
        await response.write(self.log[first:stop])
        if stop < total:
            await self._until_seen(
                stop
            )  # a browser forgets what nobody has taken yet when a connection drops
            assert request.transport is not None
            request.transport.abort()
        return response

    async def _seen(self, request: web.Request) -> web.StreamResponse:
        async with self.seen:
            self.seen_bytes = int(request.match_info["bytes"])
            self.seen.notify_all()
        return web.Response()

    async def _until_seen(self, count: int) -> None:
        async with asyncio.timeout(BOUND), self.seen:
            await self.seen.wait_for(lambda: self.seen_bytes >= count)


@attrs.define
class LogPage:
    """The page, open in a browser; expressions are JavaScript."""

    page: Page
    site: LogSite

    async def run(self, script: str, argument: Any = None) -> Any:
        """Run a script (the body of an async function of `x`) in the page and return what it returns."""
        return await self.page.evaluate(f"async (x) => {{ {script} }}", argument)

    async def show(self, text: str, end: bool = True) -> None:
        """Put that text into the log and wait until it can be seen."""
        await self.run(
            "await view.append(bytesOf(x[0])); if (x[1]) await view.end(); await frame();", [text, end]
        )

    async def texts(self) -> list[str]:
        """The texts of the rows in sight."""
        return await self.run("return textsInSight()")

    async def numbers(self) -> list[str]:
        """The numbers of the rows in sight."""
        return await self.run("return numbersInSight()")
