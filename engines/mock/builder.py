"""Collects what a mock sandbox needs, and refuses names that not every engine could take."""

from __future__ import annotations

import re

import attrs

from ...lifecycle.errors import MalformedPayloadError
from ..base import ProxyHandler, SandboxBuilder, Volume
from ..errors import NamingConflictError
from .interior import Interior, Mount
from .sandbox import MockSandbox
from .volumes import MockVolume

HOSTNAME = re.compile("[a-z]{3,22}")
"""The host names that work with every engine, and the only ones that work with this one."""


@attrs.define(eq=False)
class MockSandboxBuilder(SandboxBuilder):
    """Collects variables, volumes and proxies; nothing here waits, so methods can be called side by side."""

    _interior: Interior

    async def set_environment_variable(self, name: str, value: str) -> None:
        """Set a variable, for `print-env-var`. Raises: NamingConflictError, MalformedPayloadError."""
        _check_name("environment variable", name)
        if self._interior.variables is None:
            self._interior.variables = {}
        _check_new("environment variable", name, self._interior.variables)
        self._interior.variables[name] = value

    async def attach_volume(self, mountpoint: str, volume: Volume, read_only: bool) -> None:
        """Mount a volume of this engine. Raises: NamingConflictError, MalformedPayloadError."""
        if not isinstance(volume, MockVolume):
            raise TypeError(f"the mock engine mounts volumes of its own, not a {type(volume).__name__}")
        _check_name("mount point", mountpoint)
        if self._interior.mounts is None:
            self._interior.mounts = {}
        _check_new("mount point", mountpoint, self._interior.mounts)
        self._interior.mounts[mountpoint] = Mount(volume, read_only)

    async def attach_proxy(self, hostname: str, handler: ProxyHandler) -> None:
        """Attach a handler, for `ping-proxy`. Raises: NamingConflictError, MalformedPayloadError."""
        if not HOSTNAME.fullmatch(hostname):
            raise MalformedPayloadError(f"the host name {hostname!r} must match {HOSTNAME.pattern}")
        if self._interior.proxies is None:
            self._interior.proxies = {}
        _check_new("host name", hostname, self._interior.proxies)
        self._interior.proxies[hostname] = handler

    async def start_sandbox(self) -> MockSandbox:
        """Start the task."""
        sandbox = MockSandbox(self._interior)
        sandbox.begin()
        return sandbox

    async def discard(self) -> None:
        """Make room for another sandbox."""
        self._interior.engine.leave()


def _check_name(what: str, name: str) -> None:
    if not name or " " in name:
        raise MalformedPayloadError(f"the {what} {name!r} must not be empty and must have no spaces")


def _check_new(
    what: str, name: str, taken: dict[str, str] | dict[str, Mount] | dict[str, ProxyHandler]
) -> None:
    if name in taken:
        raise NamingConflictError(f"the {what} {name!r} is taken already")
