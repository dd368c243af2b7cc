"""The folders of one task: one to work in, one for its temporary files, both gone in the end."""

from __future__ import annotations

import os
from pathlib import Path

from ...lifecycle.folders import remove_folder
from .files import Tree


class Workspace:
    """Made when the task is started; `tree` is the working folder as it is read afterwards."""

    __slots__ = ("_root", "temporary", "tree")

    def __init__(self, parent: Path) -> None:
        self._root: str | None = f"{parent}/sandbox"
        os.mkdir(self._root, 0o700)
        self.temporary = f"{self._root}/tmp"
        os.mkdir(self.temporary, 0o700)
        os.mkdir(f"{self._root}/task", 0o700)
        self.tree = Tree(f"{self._root}/task")

    @property
    def folder(self) -> str:
        """The working folder."""
        return self.tree.path

    def write(self, name: str, content: bytes) -> str:
        """Write a file for the task outside its working folder; return its path."""
        path = f"{self._root}/{name}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(file, "wb") as stream:
            stream.write(content)
        return path

    async def remove(self) -> None:
        """Remove the folders and all in them; once more does nothing. Raises: NonFatalInternalError."""
        root, self._root = self._root, None
        self.tree.close()
        if root is not None and not self._removed_empty(root):
            await remove_folder(Path(root))

    def _removed_empty(self, root: str) -> bool:
        """Remove the folders without a thread, if the task left nothing in them."""
        try:
            for folder in (self.folder, self.temporary, root):
                os.rmdir(folder)
        except OSError:
            return False
        return True
