"""What stores have in common: names that are fit for one, where a run's artifacts lie, and what a run may replace."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...lifecycle.errors import LifecycleError, NonFatalInternalError
from ...lifecycle.surroundings import Artifact
from ...plugins.artifacts.names import name_problem

if TYPE_CHECKING:
    from ...specs.task import TaskInfo


def check_name(name: str) -> None:
    """Refuse what is no name of an artifact. Raises: NonFatalInternalError."""
    if problem := name_problem(name):
        raise NonFatalInternalError(f"the artifact {name!r} cannot be stored: its name {problem}")


def check_replacement(stored: Artifact | None, new: Artifact) -> None:
    """Refuse what may not take the place of what is `stored`. Raises: NonFatalInternalError.

    Source: the protocols; a redirect is pointed elsewhere when a live log ends, nothing else changes.
    """
    if stored is not None and stored.storage != "redirect" and stored != new:
        raise NonFatalInternalError(
            f"the run has stored {new.name!r} already ({stored.storage}); only a redirect may be replaced"
        )


def by_run(task: TaskInfo) -> Path:
    """Return the folder of a run within a store that serves many: `<taskId>/<runId>`."""
    return Path(task.task_id, str(task.run_id))


def run_folder(layout: Callable[[TaskInfo], Path], task: TaskInfo) -> Path:
    """Return the folder that a layout gives a run. Raises: LifecycleError for one that leads out of the store."""
    folder = layout(task)
    if folder.is_absolute() or ".." in folder.parts:
        raise LifecycleError(f"the layout of a store must stay below its root, {str(folder)!r} does not")
    return folder


class Shelves:
    """What each run has stored in one store, remembered as long as the run's TaskInfo lives; from any thread."""

    def __init__(self) -> None:
        self.by_task: dict[int, dict[str, Artifact]] = {}
        self._lock = threading.Lock()

    def get(self, task: TaskInfo, name: str) -> Artifact | None:
        """Return what the run has stored under a name, None if nothing."""
        with self._lock:
            return self.by_task.get(id(task), {}).get(name)

    def of(self, task: TaskInfo) -> dict[str, Artifact]:
        """Return what the run has stored by name: for `admit`, which may come when the task has gone."""
        with self._lock:
            if id(task) not in self.by_task:
                self.by_task[id(task)] = {}
                weakref.finalize(task, self.by_task.pop, id(task), None).atexit = False
            return self.by_task[id(task)]

    def admit(
        self, shelf: dict[str, Artifact], artifact: Artifact, publish: Callable[[], None] | None = None
    ) -> Artifact:
        """Remember an artifact once `publish` has returned, and return it.

        Raises: as `check_replacement`, before anything is published.
        """
        with self._lock:
            check_replacement(shelf.get(artifact.name), artifact)
            if publish is not None:
                publish()
            shelf[artifact.name] = artifact
        return artifact

    def claim(self, shelf: dict[str, Artifact], artifact: Artifact) -> Callable[[], None]:
        """Remember an artifact that is about to be published; return what forgets it again if that fails.

        Raises: as `check_replacement`.
        """
        with self._lock:
            before = shelf.get(artifact.name)
            check_replacement(before, artifact)
            shelf[artifact.name] = artifact

        def withdraw() -> None:
            with self._lock:
                if shelf.get(artifact.name) is not artifact:
                    return
                if before is None:
                    del shelf[artifact.name]
                else:
                    shelf[artifact.name] = before

        return withdraw
