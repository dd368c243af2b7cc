"""How a request is answered: by the handler of its hook, and in the handler's place where that cannot be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import web

from .connection import Connection, plain, too_large
from .exchange import Exchange, HookRequest

if TYPE_CHECKING:
    from .hook import AttachedHook
    from .server import WebHookServer


async def answer(hooks: WebHookServer, request: web.BaseRequest) -> web.StreamResponse:
    """Return what a request is answered with; what its handler fails with is reported, never repeated."""
    assert isinstance(request, HookRequest)
    hook = request.hook
    if hook is None:
        return plain(404, "no such hook")
    _track(hooks, hook, request)
    options = hooks.options
    if sum(len(name) + len(value) for name, value in request.raw_headers) > options.max_header_bytes:
        return plain(431, f"the headers may have {options.max_header_bytes} bytes")
    if (length := request.content_length or 0) > options.max_body_bytes:
        raise too_large(options.max_body_bytes, length)
    await _continue(request)
    return await _handled(hooks, hook, request)


def _track(hooks: WebHookServer, hook: AttachedHook, request: HookRequest) -> None:
    task = asyncio.current_task()
    assert task is not None
    exchange = Exchange(request, hook, cast(Connection, request.protocol), task)

    def over(_: object) -> None:
        exchange.over()
        exchange.connection.end(exchange)
        hook.end(exchange)
        hooks.exchanges.discard(exchange)

    hooks.exchanges.add(exchange)
    hook.begin(exchange)
    exchange.connection.begin(exchange)
    task.add_done_callback(over)


async def _continue(request: HookRequest) -> None:
    """Ask for the body of a client that waits to be asked (RFC 9110, 10.1.1)."""
    expected = request.headers.get("Expect")
    if expected is None:
        return
    if expected.lower() != "100-continue":
        raise web.HTTPExpectationFailed(text="417: only 100-continue can be expected\n")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer has not begun yet


async def _handled(hooks: WebHookServer, hook: AttachedHook, request: HookRequest) -> web.StreamResponse:
    try:
        response = await hook.handler(request)
        if not isinstance(response, web.StreamResponse):
            raise TypeError(f"the handler of a web hook must return a response, not {response!r}")
    except web.HTTPException:
        raise
    except BaseException as error:
        if _is_end(error, request):
            raise
        # Not even SystemExit may pass: it would end the loop, and so every run.
        incident = hooks.monitor.report_error(error, hook=hook.name)
        return _failed(request, incident)
    return response


def _is_end(error: BaseException, request: HookRequest) -> bool:
    """Tell whether this is what becomes of a handler whose client is gone, or who was cancelled."""
    task = asyncio.current_task()
    cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
    return cancelled or (isinstance(error, ConnectionError) and request.transport is None)


def _failed(request: HookRequest, incident: str) -> web.Response:
    if request.answer is not None:
        raise ConnectionError("the answer has begun, and cannot become another one")
    return plain(500, f"internal error, incident {incident}")
