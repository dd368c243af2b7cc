"""Where engines are found by name: what was registered, and the entry-point group `stagecall.engines`."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..lifecycle.errors import ConfigurationError
from .base import EngineProvider

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Providers of one kind by name; nothing registers by import.

    Installed ones come through an entry-point group, which is read on first use.

    >>> registry = Registry("engine", "stagecall.no-such-group", str)
    >>> registry.register("mine", "a provider")
    >>> registry["mine"]
    'a provider'
    """

    def __init__(self, what: str, group: str, kind: type[Any]) -> None:
        self._what = what
        self._group = group
        self._kind = kind
        self._registered: dict[str, T] = {}
        self._installed: dict[str, T] = {}

    def register(self, name: str, provider: T) -> None:
        """Make `provider` known under `name`. Raises: ConfigurationError if the name is taken."""
        if name in self._registered or name in self._entry_points():
            raise ConfigurationError(f"the {self._what} {name!r} is there already; names must differ")
        self._registered[name] = provider

    def names(self) -> list[str]:
        """Return the names there are, sorted."""
        return sorted({*self._registered, *self._entry_points()})

    def all(self) -> dict[str, T]:
        """Return every provider by its name; installed ones are imported."""
        return {name: self[name] for name in self.names()}

    def __getitem__(self, name: str) -> T:
        """Return the provider called `name`. Raises: ConfigurationError that lists the names there are."""
        if name in self._registered:
            return self._registered[name]
        if name not in self._installed:
            self._installed[name] = self._load(name)
        return self._installed[name]

    def _load(self, name: str) -> T:
        entry_points = self._entry_points()
        if name not in entry_points:
            close = difflib.get_close_matches(name, self.names(), n=1, cutoff=0.7)
            hint = (
                f"did you mean {close[0]!r}?" if close else f"there are {', '.join(self.names()) or 'none'}"
            )
            raise ConfigurationError(f"no {self._what} is called {name!r}; {hint}")
        try:
            provider: T = entry_points[name].load()
        except Exception as error:
            raise ConfigurationError(f"{self._what} {name!r} cannot be loaded: {error!r}") from error
        if not isinstance(provider, self._kind):
            raise ConfigurationError(
                f"{self._what} {name!r}: the entry point {entry_points[name].value!r} "
                f"must lead to an instance of {self._kind.__name__}"
            )
        return provider

    def _entry_points(self) -> dict[str, EntryPoint]:
        return installed(self._group)


@lru_cache
def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, read once: that looks through every installed package.

    Raises: ConfigurationError for two of one name that lead to different places.
    """
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = found.setdefault(point.name, point)
        if (
            other.value != point.value
        ):  # one package may be found twice, as an editable one is in its own folder
            raise ConfigurationError(
                f"two installed packages call something {point.name!r} in {group}: "
                f"{other.value} and {point.value}; uninstall one of them"
            )
    return found


ENGINES: Registry[EngineProvider] = Registry("engine", "stagecall.engines", EngineProvider)


def register_engine(name: str, provider: EngineProvider) -> None:
    """Make an engine known under `name`. Raises: ConfigurationError if the name is taken."""
    ENGINES.register(name, provider)


def engines() -> dict[str, EngineProvider]:
    """Return every engine's provider by name.

    >>> sorted(engines())[:2]
    ['mock', 'process']
    """
    return ENGINES.all()
