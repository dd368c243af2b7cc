"""Stores by URL: what stands in the configuration of a worker becomes a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from ...lifecycle.errors import ConfigurationError
from ...lifecycle.surroundings import ArtifactStore
from ...specs.schemas import did_you_mean
from .faults import Retry, fault_of
from .folder import FolderStore
from .memory import MemoryStore
from .objects import ObjectStore

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client
    from obstore.store import RetryConfig

OBJECT_SCHEMES = ("s3", "gs", "az")
SCHEMES = ("file", "memory", *OBJECT_SCHEMES)
"""What the URL of a store begins with."""

_CLIENT_OPTIONS = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "default_headers",
        "http1_only",
        "http2_only",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_ca_certificate",
        "proxy_excludes",
        "proxy_url",
        "read_timeout",
        "root_certificate",
        "timeout",
        "user_agent",
    }
)
"""The options that are about connections; obstore takes them apart from those about the place."""

_CLIENT_DEFAULTS = {"timeout": "3 minutes", "connect_timeout": "10 seconds"}
"""A part may take that long on a slow line; obstore's own default is half a minute."""


def open_store(
    url: str,
    *,
    public_url: str | None = None,
    options: Mapping[str, Any] | None = None,
    retry: Retry | None = None,
) -> ArtifactStore:
    """Return the store that a URL names: `file:///folder`, `memory://`, `s3://bucket/prefix`, `gs://`, `az://`.

    `options` go to obstore as they are: `region`, `endpoint`, `skip_signature`, `allow_http`, `timeout`, ...; for
    memory `limit` in bytes. Credentials come from the usual environment variables. `public_url` is where the world
    finds what lies at `url`. Nothing is connected yet.

    Raises: ConfigurationError.

    >>> open_store("file:///srv/artifacts").root
    PosixPath('/srv/artifacts')
    >>> open_store("s3:/bucket")
    Traceback (most recent call last):
    stagecall.lifecycle.errors.ConfigurationError: the artifact store 's3:/bucket': there is no bucket; write s3://BUCKET/PREFIX
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refusal(url, str(error)) from error
    if parts.scheme not in SCHEMES:
        raise _refusal(url, f"unknown scheme {parts.scheme!r}; {did_you_mean(parts.scheme, SCHEMES)}")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise _refusal(
            parts._replace(query="", fragment="", netloc=parts.hostname or "").geturl(), _NOT_IN_URL
        )
    if public_url is not None:
        _check_public(url, public_url)
    if parts.scheme == "file":
        return _folder_store(url, parts, public_url, options or {})
    if parts.scheme == "memory":
        return _memory_store(url, parts, public_url, options or {})
    return _object_store(url, parts, public_url, options or {}, retry or Retry())


_NOT_IN_URL = "nothing may follow a ? or #, and no credentials belong into it: those go into the environment"


def _refusal(url: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"the artifact store {url!r}: {why}")


def _check_public(url: str, public_url: str) -> None:
    """Refuse an address to which no name can be appended."""
    try:
        parts = urlsplit(public_url)
    except ValueError as error:
        raise _refusal(url, f"the public URL {public_url!r}: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise _refusal(url, f"the public URL must begin with http:// or https://, not {public_url!r}")
    if not parts.netloc or "?" in public_url or "#" in public_url:
        raise _refusal(url, "the public URL must have a host, and nothing may follow a ? or #")


def _folder_store(
    url: str, parts: SplitResult, public_url: str | None, options: Mapping[str, Any]
) -> FolderStore:
    path = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not path.is_absolute() or "\0" in str(path):
        raise _refusal(url, "a folder is written file:///absolute/path")
    if options:
        raise _refusal(url, f"a folder has no options, not {', '.join(sorted(options))}")
    return FolderStore(path, public_url=public_url)


def _memory_store(
    url: str, parts: SplitResult, public_url: str | None, options: Mapping[str, Any]
) -> MemoryStore:
    if parts.netloc or parts.path.strip("/"):
        raise _refusal(url, "memory has no names, write memory://")
    if public_url is not None:
        raise _refusal(url, "memory has no public URL")
    if unknown := set(options) - {"limit"}:
        raise _refusal(url, f"the only option of memory is limit, not {', '.join(sorted(unknown))}")
    limit = options.get("limit", 0)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise _refusal(url, f"limit must be 0 or more bytes, not {limit!r}")
    return MemoryStore(**options)


def _object_store(
    url: str, parts: SplitResult, public_url: str | None, options: Mapping[str, Any], retry: Retry
) -> ObjectStore:
    if not parts.netloc:
        bucket = "CONTAINER" if parts.scheme == "az" else "BUCKET"
        raise _refusal(url, f"there is no {bucket.lower()}; write {parts.scheme}://{bucket}/PREFIX")
    return ObjectStore(_connecting(url, options, retry), url, public_url=public_url, retry=retry)


def _connecting(url: str, options: Mapping[str, Any], retry: Retry) -> Callable[[int], Client]:
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise _refusal(url, "needs obstore: pip install 'stagecall[stores]'") from error
    settings: dict[str, Any] = {
        "config": {name: value for name, value in options.items() if name not in _CLIENT_OPTIONS},
        "client_options": {
            **_CLIENT_DEFAULTS,
            **{name: value for name, value in options.items() if name in _CLIENT_OPTIONS},
        },
    }

    def connect(tries: int) -> Client:
        try:
            return from_url(url, retry_config=_retrying(retry, tries), **settings)
        except Exception as error:
            raise _refusal(url, fault_of(error).what) from error

    return connect


def _retrying(retry: Retry, tries: int) -> RetryConfig:
    """Return how obstore calls it: what it counts are the tries after the first."""
    return {
        "max_retries": tries - 1,
        "backoff": {
            "init_backoff": timedelta(seconds=retry.first),
            "max_backoff": timedelta(seconds=retry.most),
            "base": 2,
        },
        "retry_timeout": timedelta(seconds=retry.total),
    }
