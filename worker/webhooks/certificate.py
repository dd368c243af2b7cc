"""A TLS certificate in files, loaded again when they change: certificates are renewed while a worker runs."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING

from ...lifecycle.errors import ConfigurationError

if TYPE_CHECKING:
    from ...lifecycle.surroundings import Monitor
    from .options import WebHookOptions

CHECKED_EVERY = 1.0
"""Seconds in which the files are looked at no more than once."""


class Certificate:
    """Certificate and key of the options, as a context for the next connection.

    Raises: ConfigurationError where they cannot be used at first. Later the last ones that could be used stay.
    """

    def __init__(self, options: WebHookOptions, monitor: Monitor) -> None:
        certificate, key = options.tls_certificate, options.tls_key
        self._files = [file for file in (certificate, key) if file is not None]
        self._monitor = monitor
        self._checked = 0.0
        try:
            self._seen = self._stamp()
            self._context = self._load()
        except OSError as error:  # SSLError is one
            raise ConfigurationError(f"web hooks: {self._problem(error)}") from error

    async def current(self) -> ssl.SSLContext:
        """Return the context for a new connection."""
        now = asyncio.get_running_loop().time()
        if now - self._checked >= CHECKED_EVERY:
            self._checked = now
            await asyncio.to_thread(self._refresh)
        return self._context

    def _refresh(self) -> None:
        try:
            if (stamp := self._stamp()) != self._seen:
                self._context, self._seen = self._load(), stamp
        except OSError as error:
            # Perhaps one of two files is there already: another attempt follows.
            self._monitor.log(f"web hooks go on with the certificate they have: {self._problem(error)}")

    def _stamp(self) -> list[tuple[int, int, int]]:
        found = [os.stat(file) for file in self._files]
        return [(one.st_ino, one.st_mtime_ns, one.st_size) for one in found]

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(*self._files)
        return context

    def _problem(self, error: OSError) -> str:
        return f"cannot use the certificate and key of {' and '.join(self._files)}: {error.strerror or error}"
