"""How an engine that starts processes is configured: one schema and one class; `script` extends them."""

from __future__ import annotations

import enum

import attrs

from ..base import Schema
from .limits import LIMITS_SCHEMA, NO_LIMITS, Limits

VARIABLE_NAME = "[A-Za-z_][A-Za-z0-9_]*"
"""What an environment variable may be called: other names do not survive a shell."""
RESERVED = "STAGECALL_"
"""Variables whose names begin so belong to the library."""

ARGUMENT = {"type": "string", "regex": "[^\\x00]*"}
"""One word of a command."""


class ContainmentKind(enum.StrEnum):
    """How the processes of a task are held together; see `containment.py`."""

    AUTO = "auto"
    CGROUP = "cgroup"
    MARKER = "marker"
    NONE = "none"


@attrs.frozen
class ProcessConfig:
    """The configuration of an engine that starts processes; `kill_grace` is in seconds."""

    containment: ContainmentKind = ContainmentKind.AUTO
    kill_grace: float = 5.0
    limits: Limits = NO_LIMITS
    shell: tuple[str, ...] = ("/bin/sh",)
    inherit_environment: tuple[str, ...] = ()


CONFIG_SCHEMA: Schema = {
    "containment": {
        "type": "string",
        "allowed": [kind.value for kind in ContainmentKind],
        "meta": {
            "title": "Containment",
            "description": (
                "How all processes of a task are found when it ends: `cgroup` (a control group of its own), "
                "`marker` (an environment variable, session and parent), `none` (the process group: what "
                "leaves it goes on), or `auto`, the first of these that can be had."
            ),
            "default": "auto",
        },
    },
    "killGrace": {
        "type": "number",
        "min": 0,
        "meta": {
            "title": "Grace before SIGKILL",
            "description": "Seconds that a task has to end after SIGTERM, when it is killed or aborted.",
            "default": 5,
        },
    },
    "limits": {
        "type": "dict",
        "schema": LIMITS_SCHEMA,
        "meta": {"title": "Limits", "description": "What one process of a task may use."},
    },
    "shell": {
        "type": "list",
        "minlength": 1,
        "schema": ARGUMENT,
        "meta": {
            "title": "Default shell",
            "description": "The command of an interactive shell that names none.",
            "default": ["/bin/sh"],
        },
    },
    "inheritEnvironment": {
        "type": "list",
        "schema": {"type": "string", "regex": VARIABLE_NAME},
        "meta": {
            "title": "Inherited variables",
            "description": (
                "Names of variables that a task gets from the worker's environment, beside PATH, LANG, "
                "LC_ALL, TZ, USER and LOGNAME. Nothing else is passed on: there may be secrets in it."
            ),
        },
    },
}
