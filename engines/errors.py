"""What engine objects raise beside the errors of the lifecycle: outcomes of a call, each told by its type."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from ..lifecycle.errors import ExceptionReason, StagecallError, TaskExceptionError


class EngineError(StagecallError):
    """The base of what engine objects report about a call.

    One that a plugin lets pass counts as the plugin's defect.
    """


class MaxConcurrencyExceededError(TaskExceptionError):
    """The engine runs as many sandboxes as it can: the run is resolved `resource-unavailable`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            ExceptionReason.RESOURCE_UNAVAILABLE, f"the engine already runs {limit} sandboxes, its most"
        )


class NamingConflictError(EngineError):
    """A name that a sandbox builder was given is taken already."""


class ResourceNotFoundError(EngineError):
    """The result set has no file or folder at the path asked for."""


class InvalidResourceError(ResourceNotFoundError):
    """There is something at the path asked for, but nothing that can be extracted.

    It is a special file, a link, or a folder where a file was asked for.
    """


class PartlyExtractedError(InvalidResourceError):
    """A folder was extracted but for some of what is in it: all else was handled first.

    `failures` maps the path of each file or folder that could not be read, relative to the folder asked for, to a
    message.

    >>> error = PartlyExtractedError("out", {"a": "out/a cannot be read", "b": "out/b cannot be read"})
    >>> str(error)
    'not all of out was extracted: out/a cannot be read, out/b cannot be read'
    """

    SHOWN = 10
    """Failures that the message lists."""

    def __init__(self, folder: str, failures: Mapping[str, str]) -> None:
        self.failures = failures
        shown = ", ".join(islice(failures.values(), self.SHOWN))
        more = f" and {len(failures) - self.SHOWN} more" if len(failures) > self.SHOWN else ""
        super().__init__(f"not all of {folder} was extracted: {shown}{more}")


class HandlerInterruptError(EngineError):
    """A handler given to `extract_folder` raised; all running handlers have returned.

    The handler's error is the cause.
    """


class NoSuchDisplayError(EngineError):
    """The sandbox has no display of that name."""


class SandboxAbortedError(EngineError):
    """The sandbox was aborted, so there is no result to wait for."""


class SandboxTerminatedError(EngineError):
    """The sandbox has ended, so it can be neither aborted nor joined."""


class ShellAbortedError(EngineError):
    """The shell was aborted, so there is no exit to wait for."""


class ShellTerminatedError(EngineError):
    """The shell has ended, so it cannot be aborted or resized."""
