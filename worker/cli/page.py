"""The page of a run as a file: what `stagecall page` prints, and what `stagecall run` leaves in the output folder."""

from __future__ import annotations

import os
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ...lifecycle.errors import LifecycleError
from ...specs.trace import Trace
from ..pages.export import Recorded, page_of, write_page
from ..pages.runs import stored_log
from .exits import Problem
from .inspect import check_same, declared_lifecycle, read_trace
from .report import PAGE
from .tasks import name_of

if TYPE_CHECKING:
    from ...lifecycle.log import LogView
    from ...specs.lifecycle import Lifecycle


def page(file: str, lifecycle_file: str | None, output: str | None) -> str:
    """Return the page of a stored run, which leads to the artifacts beside `file`. Raises: Problem."""
    lifecycle, trace = declared_lifecycle(lifecycle_file), read_trace(file)
    check_same(lifecycle, trace, file)
    folder = Path() if file == "-" else Path(file).parent
    log = None
    with suppress(LifecycleError, OSError):
        log = stored_log(folder, trace)
    base = os.path.relpath(folder / "artifacts", folder if output is None else Path(output).parent)
    run = Recorded(trace, folder.absolute().name, folder, log, lifecycle, f"{quote(base)}/")
    with nullcontext() if log is None else closing(log):
        try:
            return page_of(run)
        except OSError as error:
            raise Problem(f"{name_of(file)}: its page cannot be made: {error}") from error


def leave_page(folder: Path, label: str, trace: Trace, lifecycle: Lifecycle, log: LogView) -> None:
    """Write the page of a run into its output folder, in a thread. Raises: OSError."""
    write_page(Recorded(trace, label, folder, log, lifecycle), folder / PAGE)
