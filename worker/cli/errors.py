"""The outermost boundary: whatever goes wrong becomes one line on standard error and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from ...lifecycle.errors import ConfigurationError, LifecycleError, StagecallError
from ...specs.schemas import SchemaError
from ...specs.slugs import new_slug
from .escapes import colourless, harmless
from .exits import Exit, Problem


class ReaderGone(Exception):
    """A broken pipe that click does not see: it would end the program with 1, which is a verdict of `check`."""


@contextmanager
def reader_may_go() -> Iterator[None]:
    """Raise ReaderGone for a broken pipe."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error


def guarded(function: Callable[[], int], debugging: Callable[[], bool]) -> int:
    """Return the exit code of `function`, or of what it raised; `debugging`: is a traceback wanted?"""
    try:
        return function()
    except Problem as problem:
        return _told(Exit.USAGE, *problem.lines)
    except click.UsageError as error:
        return _told(Exit.USAGE, _usage(error))
    except (ConfigurationError, LifecycleError, SchemaError) as error:
        return _told(Exit.USAGE, str(error))
    except StagecallError as error:  # the host's fault: no Graphviz, a folder that cannot be removed
        return _told(Exit.EXCEPTION, str(error))
    except (KeyboardInterrupt, click.Abort):
        return _told(Exit.EXCEPTION, "interrupted")
    except (BrokenPipeError, ReaderGone):
        return _reader_gone()
    except Exception as error:
        return _unforeseen(error, debugging())


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path.removeprefix("stagecall").strip() if error.ctx is not None else ""
    message = " ".join(error.format_message().split())
    where, more = (f"{command}: ", f"{command} ") if command else ("", "")
    return f"{where}{message} (see: stagecall {more}--help)"


def _reader_gone() -> int:
    """Return the exit code where standard output's reader has had enough; what is buffered is dropped."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.COMPLETED


def _unforeseen(error: Exception, debugging: bool) -> int:
    if debugging:
        traceback.print_exception(error)
    hint = "" if debugging else "; --debug shows the traceback"
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return _told(Exit.EXCEPTION, f"internal error, incident {new_slug()}: {what}{hint}")


def _told(code: Exit, *lines: str) -> int:
    for line in lines:
        print(f"stagecall: {colourless(harmless(line))}", file=sys.stderr)
    return code
