"""Where plugins are found by name: what was registered, and the entry-point group `stagecall.plugins`."""

from __future__ import annotations

from ..engines.registry import Registry
from .base import PluginProvider

PLUGINS: Registry[PluginProvider] = Registry("plugin", "stagecall.plugins", PluginProvider)


def register(name: str, provider: PluginProvider) -> None:
    """Make a plugin known under `name`. Raises: ConfigurationError if the name is taken."""
    PLUGINS.register(name, provider)


def plugins() -> dict[str, PluginProvider]:
    """Return every plugin's provider by name.

    >>> "success" in plugins()
    True
    """
    return PLUGINS.all()
