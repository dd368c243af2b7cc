"""Task files and output folders: what can be wrong before a run begins is found here, all at once."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from ...specs.documents import DocumentError, load_document
from ...specs.slugs import new_slug
from ...specs.task import TaskDefinition, TaskDefinitionError
from ..stores import FolderStore
from .escapes import harmless
from .exits import Problem

MAX_BYTES = 16 * 1024 * 1024
"""The largest document that is read."""

DEFAULT_OUT = Path("stagecall-out")

KEPT_LOG = "task.log"
"""What recovery calls the log of a run in its output folder."""


@attrs.frozen
class Job:
    """A task to run: `label` names it to people; the definition has a task id.

    `folder`, in or at the output folder `out`, gets its `run.json` and `artifacts/`.
    """

    label: str
    definition: TaskDefinition
    out: Path
    folder: Path

    @property
    def task_id(self) -> str:
        """The task's id."""
        assert self.definition.task_id is not None
        return self.definition.task_id


def load_jobs(files: Sequence[str], out: Path | None) -> list[Job]:
    """Read every task file.

    One task goes to `out`, several to a folder of `out` each, named after file and place; without `out`, to
    `stagecall-out/<taskId>`.
    Raises: Problem with a line for everything that is wrong with any of them.
    """
    problems: list[str] = []
    jobs: list[Job] = []
    for number, file in enumerate(files, 1):
        try:
            definition = _definition(file)
        except Problem as problem:
            problems += problem.lines
            continue
        stem = harmless("stdin" if file == "-" else Path(file).stem)
        if out is None:
            place = DEFAULT_OUT / str(definition.task_id)
        else:
            place = out if len(files) == 1 else out / f"{stem}-{number}"
        label = stem if len(files) == 1 else f"{stem}-{number}"
        jobs.append(Job(label, definition, out or DEFAULT_OUT, place))
    problems += _same_ids(jobs)
    if problems:
        raise Problem(*problems)
    return jobs


def _definition(file: str) -> TaskDefinition:
    document = read_document(file)
    try:
        definition = TaskDefinition.parse(document)
    except TaskDefinitionError as error:
        raise Problem(*(f"{name_of(file)}: {violation}" for violation in error.violations)) from error
    return attrs.evolve(definition, task_id=definition.task_id or new_slug())


def _same_ids(jobs: Sequence[Job]) -> Iterator[str]:
    for task_id, count in Counter(job.task_id for job in jobs).items():
        if count > 1:
            labels = ", ".join(job.label for job in jobs if job.task_id == task_id)
            yield f"{labels}: all have the taskId {task_id}; give each its own, or none"


def name_of(file: str) -> str:
    """Return what a file is called in messages.

    >>> name_of("-")
    'standard input'
    """
    return "standard input" if file == "-" else file


def read_document(file: str) -> Any:
    """Return the one value of a YAML or JSON file; `-` is standard input.

    Raises: Problem that names file, line and column.
    """
    try:
        return load_document(_read(file), name_of(file))
    except OSError as error:
        raise Problem(f"{name_of(file)}: {error.strerror or error}") from error
    except DocumentError as error:
        raise Problem(str(error)) from error


def _read(file: str) -> bytes:
    if file == "-":
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Problem(f"{name_of(file)}: larger than {MAX_BYTES // 1024**2} MiB, the most that is read")
    return data


def artifact_store(jobs: Sequence[Job]) -> FolderStore:
    """Return a store that puts the artifacts of every job into its folder."""
    places = {job.task_id: job.folder.relative_to(job.out) / "artifacts" for job in jobs}
    return FolderStore(jobs[0].out, lambda task: places[task.task_id])


def prepare_folders(jobs: Sequence[Job]) -> None:
    """Create every job's folder, and clear what an earlier run left in it: `run.json`, `index.html` and `artifacts/`.

    Raises: Problem for a folder that cannot be used, and for an `artifacts/` that no run seems to have made.
    """
    for job in jobs:
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            _clear(job.folder)
        except OSError as error:
            raise Problem(f"--out {job.folder}: {error.strerror or error} ({error.filename})") from error


def _clear(folder: Path) -> None:
    trace, artifacts, page = folder / "run.json", folder / "artifacts", folder / "index.html"
    if os.path.lexists(artifacts) and (artifacts.is_symlink() or not artifacts.is_dir()):
        raise Problem(f"--out {folder}: artifacts is no folder; remove it or choose another folder")
    if os.path.lexists(trace):
        if artifacts.exists():
            shutil.rmtree(artifacts)
        (folder / KEPT_LOG).unlink(missing_ok=True)
        page.unlink(missing_ok=True)
        trace.unlink()
    elif artifacts.exists() and any(artifacts.iterdir()):
        raise Problem(
            f"--out {folder}: has artifacts/ but no run.json, so perhaps no run made it; "
            "remove it or choose another folder"
        )
    elif os.path.lexists(page):
        raise Problem(
            f"--out {folder}: has index.html but no run.json, so perhaps no run made it; "
            "remove it or choose another folder"
        )
