"""Where web hooks are served, and what a client may ask of them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import attrs

from ...lifecycle.errors import ConfigurationError

KIB = 1024
MIB = 1024 * KIB


def _without_slash(url: str | None) -> str | None:
    return None if url is None else url.rstrip("/")


@attrs.frozen
class WebHookOptions:
    """How web hooks are served: where, below which public address, and within which limits.

    `port` 0 is any free one. `public_url` is what addresses begin with where a reverse proxy stands before the
    server; without it they name `host` and the port. `tls_certificate` and `tls_key` are PEM files; the key may
    stand in the certificate's. Times are in seconds, sizes in bytes.

    At most `max_connections` are open, and never more than three quarters of the descriptors that the process may
    have. Where one more arrives, the one that has been idle longest gives way, and without an idle one the new one
    is answered 503. A client that neither sends what it began nor takes what it is
    sent for `idle_timeout` is dropped; so is a connection without a request for that long. `drain` is how long open
    requests may take when the server is closed.

    Raises: ConfigurationError for what cannot be served.

    >>> WebHookOptions(public_url="https://ci.example.org/hooks/").public_url
    'https://ci.example.org/hooks'
    >>> WebHookOptions(host="0.0.0.0")
    Traceback (most recent call last):
    stagecall.lifecycle.errors.ConfigurationError: host 0.0.0.0 is every address of this host, and none \
that a client could ask for: set publicUrl
    """

    host: str = "127.0.0.1"
    port: int = 0
    public_url: str | None = attrs.field(default=None, converter=_without_slash)
    tls_certificate: str | None = None
    tls_key: str | None = None
    max_connections: int = 4000
    idle_timeout: float = 60.0
    max_header_bytes: int = 16 * KIB
    max_body_bytes: int = 16 * MIB
    drain: float = 10.0

    def __attrs_post_init__(self) -> None:
        if self.public_url is not None:
            _check_public(self.public_url)
        elif _is_wildcard(self.host):
            raise ConfigurationError(
                f"host {self.host or repr('')} is every address of this host, and none that a client could ask for: "
                "set publicUrl"
            )
        if self.tls_key is not None and self.tls_certificate is None:
            raise ConfigurationError("there is a tlsKey, but no tlsCertificate")
        for key, (value, least) in self._bounds().items():
            if value < least:
                raise ConfigurationError(f"{key} must be at least {least}, not {value}")

    def _bounds(self) -> dict[str, tuple[float, float]]:
        """Return numbers, each with the least that it may be, by their names in the configuration."""
        return {
            "port": (self.port, 0),
            "maxConnections": (self.max_connections, 1),
            "idleTimeout": (self.idle_timeout, 0.01),
            "maxHeaderBytes": (self.max_header_bytes, 256),
            "maxBodyBytes": (self.max_body_bytes, 0),
            "drain": (self.drain, 0),
        }

    def base(self, port: int) -> str:
        """Return what addresses begin with, given the port that is listened on.

        >>> WebHookOptions(host="::1").base(8080)
        'http://[::1]:8080'
        """
        if self.public_url is not None:
            return self.public_url
        scheme = "http" if self.tls_certificate is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{port}"

    @property
    def public_path(self) -> str:
        """The path of the public address, which a reverse proxy may leave before that of a request."""
        return urlsplit(self.public_url or "").path


_URL = re.compile(r"[!#-;=?-\[\]_a-z~]+")
"""The characters that may stand in a URL as they are (RFC 3986)."""


def _check_public(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = (
            parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username is not None or not _URL.fullmatch(url):
        raise ConfigurationError(
            f"publicUrl must be an http or https URL without user, query and fragment, not {url!r}"
        )


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host
