"""Web hooks: one HTTP server of the worker, and handlers that are attached to it below addresses nobody can guess.

    async with WebHookServer() as hooks:
        hook = await hooks.attach(handler)      # the handler answers below hook.url
        await hook.detach()                     # from now on nobody does

`WebHookServer` is imported from here when it is first used: its library takes long to import.
"""

from typing import TYPE_CHECKING

from .options import WebHookOptions

if TYPE_CHECKING:
    from .server import WebHookServer
else:

    def __getattr__(name: str) -> object:
        """Import the server when it is first asked for (PEP 562)."""
        if name != "WebHookServer":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .server import WebHookServer

        return WebHookServer


__all__ = ["WebHookOptions", "WebHookServer"]
