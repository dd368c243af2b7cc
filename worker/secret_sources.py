"""Where the secrets of a worker come from that no task log may show: variables of its environment, and files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import attrs

from ..lifecycle.errors import ConfigurationError
from ..lifecycle.log.masks import LONGEST, check_secret
from ..specs.schemas import Schema

_TEXT = {"type": "string", "minlength": 1}
SECRETS: Schema = {
    "environment": {
        "type": "list",
        "schema": _TEXT,
        "meta": {"description": "Variables of the worker's environment, by name."},
    },
    "files": {
        "type": "list",
        "schema": _TEXT,
        "meta": {"description": "Files that hold one secret each; each line of it is masked, too."},
    },
}
"""What the configuration says in `worker.secrets`."""


@attrs.frozen
class SecretSources:
    """Names of the worker's environment variables, and paths of files, whose values are secrets."""

    environment: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def read(self) -> tuple[bytes, ...]:
        """Return the values. Raises: ConfigurationError that names what has none, or one that cannot be masked.

        >>> SecretSources(environment=("NO_SUCH_VARIABLE",)).read()
        Traceback (most recent call last):
        stagecall.lifecycle.errors.ConfigurationError: worker.secrets: the worker has no variable NO_SUCH_VARIABLE
        """
        values = []
        for where, value in (*self._variables(), *self._contents()):
            try:
                check_secret(value)
            except ValueError as error:
                raise ConfigurationError(f"worker.secrets: {where}: {error}") from error
            values.append(value)
        return tuple(values)

    def _variables(self) -> Iterator[tuple[str, bytes]]:
        for name in self.environment:
            value = os.environb.get(os.fsencode(name))
            if value is None:
                raise ConfigurationError(f"worker.secrets: the worker has no variable {name}")
            yield f"the variable {name}", value

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        for path in self.files:
            try:
                with path.open("rb") as file:
                    yield f"the file {path}", file.read(2 * LONGEST)  # enough to be too long
            except OSError as error:
                raise ConfigurationError(
                    f"worker.secrets: the file {path} cannot be read: {error.strerror}"
                ) from error
