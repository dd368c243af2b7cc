"""The environment that a task gets, and where its command is found in it."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable, Mapping, Sequence

from ...lifecycle.errors import MalformedPayloadError
from .config import RESERVED, VARIABLE_NAME

PASSED_ON = ("LANG", "LC_ALL", "LOGNAME", "PATH", "TZ", "USER")
"""What a task gets of the worker's own environment, which may hold secrets, without being configured to."""


def base_environment(inherited: Iterable[str], worker: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what every task of a worker gets, without what depends on its folders.

    >>> base_environment([], {"PATH": "/bin", "USER": "me", "LOGNAME": "me", "API_TOKEN": "secret"})
    {'LOGNAME': 'me', 'PATH': '/bin', 'USER': 'me'}
    """
    user = _user()
    environment = {"LOGNAME": user, "PATH": os.defpath, "USER": user}
    names = dict.fromkeys((*PASSED_ON, *inherited))
    return environment | {name: worker[name] for name in names if name in worker}


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that was given just a number
        return str(os.getuid())


def check_variable(name: str, value: str) -> None:
    """Check that a task may have a variable. Raises: MalformedPayloadError.

    >>> check_variable("PATH", "/bin")
    """
    if not re.fullmatch(VARIABLE_NAME, name):
        raise MalformedPayloadError(
            f"the variable name {name!r} is not allowed; it must match {VARIABLE_NAME}"
        )
    if name.startswith(RESERVED):
        raise MalformedPayloadError(
            f"the variable {name} is not allowed: names that begin with {RESERVED} are the worker's"
        )
    if "\0" in value or not encodable(value):
        raise MalformedPayloadError(
            f"the value of the variable {name} is not allowed: it holds a NUL or a lone surrogate"
        )


def encodable(text: str) -> bool:
    """Whether a text can be given to a process: it may have surrogates only where they stand for bytes."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def check_command(command: Sequence[str]) -> None:
    """Check that a command can be given to a process. Raises: MalformedPayloadError.

    >>> check_command(["echo", ""])
    """
    if not command or not command[0]:
        raise MalformedPayloadError("the command must not be empty: its first word is the program to run")
    for word in command:
        if "\0" in word or not encodable(word):
            raise MalformedPayloadError(f"the command's word {word!r} holds a NUL or a lone surrogate")


def find_executable(name: str, folder: str, path: str) -> str:
    """Return the file that a command's first word stands for, as a shell in `folder` would find it.

    `path` is the variable PATH. Raises: MalformedPayloadError that says where it was looked for.

    >>> find_executable("sh", "/", "/nowhere:/bin")
    '/bin/sh'
    >>> find_executable("mistyped", "/", "/usr/bin:/bin")
    Traceback (most recent call last):
        ...
    MalformedPayloadError: the command 'mistyped' was not found along PATH /usr/bin:/bin
    """
    if name.startswith("/"):
        candidates, problem = [name], "does not exist, or is no file"
    elif "/" in name:
        candidates, problem = (
            [os.path.join(folder, name)],
            "does not exist in the task's folder, or is no file",
        )
    else:
        candidates = [os.path.join(folder, place, name) for place in path.split(":")]
        problem = f"was not found along PATH {path}"
    forbidden = None
    for candidate in candidates:
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            forbidden = forbidden or candidate
    if forbidden:
        raise MalformedPayloadError(
            f"the command {name!r} cannot be executed: no permission to execute {forbidden}"
        )
    raise MalformedPayloadError(f"the command {name!r} {problem}")
