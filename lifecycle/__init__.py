"""Moves one run along its lifecycle's table: machine, driver, context, log.

Here are also the errors that decide what a run becomes, and the Protocols of what surrounds it.
"""

from __future__ import annotations

from ..specs.lifecycle import TASK_RUN, Combine, Lifecycle, Order, Stage
from .cancellation import Cancellation
from .context import TaskContext
from .errors import (
    ConfigurationError,
    ExceptionReason,
    FatalInternalError,
    FeatureNotSupportedError,
    HookTimeoutError,
    JournalError,
    LifecycleError,
    MalformedPayloadError,
    NonFatalInternalError,
    RuleBrokenError,
    StagecallError,
    TaskExceptionError,
)
from .limits import Limits
from .resolution import Resolution, Severity
from .surroundings import (
    AddressedStore,
    Artifact,
    ArtifactStore,
    Environment,
    LeasingStore,
    Monitor,
    ReadableStore,
    WebHook,
    WebHooks,
)

__all__ = [
    "TASK_RUN",
    "AddressedStore",
    "Artifact",
    "ArtifactStore",
    "Cancellation",
    "Combine",
    "ConfigurationError",
    "Environment",
    "ExceptionReason",
    "FatalInternalError",
    "FeatureNotSupportedError",
    "HookTimeoutError",
    "JournalError",
    "LeasingStore",
    "Lifecycle",
    "LifecycleError",
    "Limits",
    "MalformedPayloadError",
    "Monitor",
    "NonFatalInternalError",
    "Order",
    "ReadableStore",
    "Resolution",
    "RuleBrokenError",
    "Severity",
    "Stage",
    "StagecallError",
    "TaskContext",
    "TaskExceptionError",
    "WebHook",
    "WebHooks",
]
