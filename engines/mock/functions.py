"""What a mock task can do: the functions by the names that a payload calls them.

Those AT_ONCE take no time of their own. Those LASTING do, sleeping or talking to somebody, and say themselves
when the payload's delay comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...lifecycle.errors import (
    FatalInternalError,
    FeatureNotSupportedError,
    MalformedPayloadError,
    NonFatalInternalError,
)
from ...lifecycle.threads import WORK
from ._odd import Left, Odd
from ._paths import normal

if TYPE_CHECKING:
    from .interior import Interior

CONTENT = b"Hello World"
"""What `write-files` writes to every file."""

SLEEP_SECONDS = 300.0
"""How long `stopNow-sleep` waits to be aborted."""


def _true(inside: Interior) -> bool:
    return True


def _false(inside: Interior) -> bool:
    return False


def _write_volume(inside: Interior) -> bool:
    path, colon, content = inside.payload.argument.partition(":")
    if not colon:
        raise MalformedPayloadError("payload.argument: write-volume takes <mount point>/<file>:<content>")
    if (found := inside.mount_of(path)) is None:
        inside.context.log_error(f"no volume is mounted at {path!r}")
        return False
    mount, file = found
    if mount.read_only:
        inside.context.log_error(f"the volume at {path!r} is mounted read-only")
        return False
    mount.volume.write(file, content.encode("utf-8", "backslashreplace"))
    return True


def _read_volume(inside: Interior) -> bool:
    path = inside.payload.argument
    if (found := inside.mount_of(path)) is None:
        inside.context.log_error(f"no volume is mounted at {path!r}")
        return False
    mount, file = found
    if (content := mount.volume.read(file)) is None:
        inside.context.log_error(f"there is no file {path!r}")
        return False
    inside.context.write_log(content + b"\n")
    return True


def _write_log(inside: Interior) -> bool:
    inside.write(inside.payload.argument)
    return True


def _write_error_log(inside: Interior) -> bool:
    inside.context.log_error(inside.payload.argument)
    return False


def _write_files(inside: Interior) -> bool:
    names = [normal(name) for name in inside.payload.argument.split()]
    if "" in names:
        raise MalformedPayloadError("payload.argument: write-files takes names of files, and '/' is none")
    inside.files = dict.fromkeys(names, CONTENT)
    return True


def _write_odd_files(inside: Interior) -> bool:
    files: dict[str, Left] = {}
    for word in inside.payload.argument.split():
        kind, colon, path = word.partition(":")
        if not colon or not normal(path) or kind not in ("file", *Odd):
            raise MalformedPayloadError(
                f"payload.argument: write-odd-files takes <kind>:<name>, with {', '.join(('file', *Odd))} as kinds"
            )
        files[normal(path)] = CONTENT if kind == "file" else Odd(kind)
    inside.files = files
    return True


def _print_env_var(inside: Interior) -> bool:
    name = inside.payload.argument
    value = (inside.variables or {}).get(name)
    if value is None:
        inside.context.log_error(f"the variable {name!r} is not set")
        return False
    inside.write(value)
    return True


def _malformed_after_start(inside: Interior) -> bool:
    raise MalformedPayloadError(inside.payload.argument or "the task asked for a malformed payload")


def _fatal(inside: Interior) -> bool:
    raise FatalInternalError(inside.payload.argument or "the task asked for a fatal internal error")


def _nonfatal(inside: Interior) -> bool:
    raise NonFatalInternalError(inside.payload.argument or "the task asked for a non-fatal internal error")


async def _get_url(inside: Interior) -> bool:
    await inside.delay()
    await _need_aiohttp("get-url")
    from . import _network

    return await _network.get(inside.payload.argument, inside.context)


async def _ping_proxy(inside: Interior) -> bool:
    await inside.delay()
    url = inside.payload.argument
    handler = (inside.proxies or {}).get(_hostname(url))
    if handler is None:
        inside.context.log_error(f"no proxy is attached at the host of {url!r}")
        return False
    await _need_aiohttp("ping-proxy")
    from . import _network

    inside.write("Pinging")
    return await _network.ping(url, handler, inside.context)


async def _write_log_sleep(inside: Interior) -> bool:
    inside.write(inside.payload.argument)
    await inside.delay()
    return True


async def _stop_now_sleep(inside: Interior) -> bool:
    await inside.delay()
    stop_now = getattr(inside.engine.environment, "stop_now", None)
    if stop_now is not None:
        stop_now()
    await asyncio.sleep(SLEEP_SECONDS)
    return True


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError as error:
        raise MalformedPayloadError(f"payload.argument: {url!r} is no URL: {error}") from error


async def _need_aiohttp(function: str) -> None:
    """Import aiohttp in a thread, as that takes long, before what needs it is imported."""
    try:
        await WORK.submit(import_module, "aiohttp").future
    except ModuleNotFoundError as error:
        raise FeatureNotSupportedError(
            f"the function {function} needs aiohttp: pip install 'stagecall[worker]'"
        ) from error


AT_ONCE: Mapping[str, Callable[[Interior], bool]] = MappingProxyType(
    {
        "true": _true,
        "false": _false,
        "write-volume": _write_volume,
        "read-volume": _read_volume,
        "write-log": _write_log,
        "write-error-log": _write_error_log,
        "write-files": _write_files,
        "write-odd-files": _write_odd_files,
        "print-env-var": _print_env_var,
        "malformed-payload-after-start": _malformed_after_start,
        "fatal-internal-error": _fatal,
        "nonfatal-internal-error": _nonfatal,
    }
)
"""Name -> whether the task succeeded, once the delay has passed."""

LASTING: Mapping[str, Callable[[Interior], Awaitable[bool]]] = MappingProxyType(
    {
        "get-url": _get_url,
        "ping-proxy": _ping_proxy,
        "write-log-sleep": _write_log_sleep,
        "stopNow-sleep": _stop_now_sleep,
    }
)
"""Name -> whether the task succeeded, once it is over."""
