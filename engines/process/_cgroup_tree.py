"""One control group (v2) as a folder: who is in it, killing them, removing it. All of it blocks."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import attrs

from ...lifecycle.proc import read, send
from .containment import UnavailableError

PREFIX = "stagecall-"
"""What the name of a command's group begins with; 16 hexadecimal digits by chance follow."""
STEP_SECONDS = 0.05
"""How long to wait for the kernel's notice at most, before looking again."""


@attrs.frozen
class ControlGroup:
    """A control group: `folder` is its place in the file system, `name` that in /proc/<pid>/cgroup."""

    folder: str
    name: str

    @classmethod
    def own(cls) -> ControlGroup:
        """Return the control group that this process is in. Raises: UnavailableError."""
        try:
            name = own_name(Path("/proc/self/cgroup").read_text())
            return cls(folder_of(name, Path("/proc/self/mountinfo").read_text()), name)
        except OSError as error:
            raise UnavailableError(f"/proc cannot be read: {error}") from error

    def below(self, name: str) -> ControlGroup:
        """Return the group of that name within this one, which need not exist."""
        return ControlGroup(f"{self.folder}/{name}", f"{self.name.rstrip('/')}/{name}")

    def create(self) -> None:
        """Make the group."""
        os.mkdir(self.folder, 0o755)

    def add(self, pid: int) -> None:
        """Move a process into the group; one that is gone is none to move."""
        with contextlib.suppress(ProcessLookupError):
            self._write("cgroup.procs", str(pid))

    def populated(self) -> bool:
        """Whether a process is alive in the group or below it; zombies are not."""
        with contextlib.suppress(FileNotFoundError):
            return b"populated 1" in self._read("cgroup.events")
        return False

    def holds(self, pid: int) -> bool:
        """Whether a process, a zombie too, is in the group or below it."""
        mine = f"0::{self.name}"
        lines = read(pid, "cgroup").decode(errors="replace").splitlines()
        return any(line.removesuffix(" (deleted)") == mine or line.startswith(mine + "/") for line in lines)

    def members(self) -> Iterator[int]:
        """Yield the numbers of the processes in the group and below it."""
        for folder in self._folders():
            with contextlib.suppress(OSError):  # removed; or threaded, and then its members stand further up
                for number in Path(folder, "cgroup.procs").read_bytes().split():
                    if pid := int(number):  # 0 is a process that this namespace does not show
                        yield pid

    def signal(self, number: int) -> None:
        """Send a signal to every process there is now."""
        for pid in list(self.members()):
            with contextlib.suppress(PermissionError):
                send(pid, number, partial(self.holds, pid))

    def kill(self) -> None:
        """Send SIGKILL to every process, so that none can escape by forking."""
        try:
            self._write("cgroup.kill", "1")
        except FileNotFoundError:  # Linux before 5.14
            self._kill_frozen()

    def _kill_frozen(self) -> None:
        """Kill one by one while nothing can fork: the freezer lets SIGKILL through."""
        with contextlib.suppress(OSError):
            self._write("cgroup.freeze", "1")
        self.signal(signal.SIGKILL)

    def wait_empty(self, seconds: float) -> None:
        """Wait until nothing is alive in the group, for at most `seconds`."""
        deadline = time.monotonic() + seconds
        try:
            events = os.open(f"{self.folder}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            changed = select.poll()
            changed.register(events, select.POLLPRI)
            while b"populated 1" in os.pread(events, 256, 0) and time.monotonic() < deadline:
                changed.poll(STEP_SECONDS * 1000)
        finally:
            os.close(events)

    def remove_bare(self) -> bool:
        """Remove the group if it is empty and has no groups within it; return whether it is gone."""
        try:
            os.rmdir(self.folder)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove the group and those within it. Raises: OSError while a process is alive in one."""
        for folder in reversed(self._folders()):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(folder)

    def clear(self, seconds: float, reap: Callable[[], None] | None = None) -> None:
        """Kill all in the group until nothing is alive, and remove it; `reap` is called once it is empty.

        Raises: OSError if something is alive after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._clear_once(reap)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(STEP_SECONDS / 10)
            else:
                return

    def _clear_once(self, reap: Callable[[], None] | None) -> None:
        if self.populated():
            self.kill()
            self.wait_empty(STEP_SECONDS)
        if reap is not None and not self.populated():
            reap()
        self.remove()

    def _folders(self) -> list[str]:
        """Return the folders of this group and of all below it, parents first."""
        folders = [self.folder]
        for folder in folders:  # which grows meanwhile
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        return folders

    def _read(self, file: str) -> bytes:
        descriptor = os.open(f"{self.folder}/{file}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, 4096)
        finally:
            os.close(descriptor)

    def _write(self, file: str, text: str) -> None:
        descriptor = os.open(f"{self.folder}/{file}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def own_name(cgroup: str) -> str:
    """Return the name of a control group (v2), from what /proc/<pid>/cgroup holds. Raises: UnavailableError.

    >>> own_name("4:memory:/a\\n0::/user.slice/b")
    '/user.slice/b'
    """
    for line in cgroup.splitlines():
        if line.startswith("0::/"):
            name = line[3:]
            if name.endswith(" (deleted)") or name.startswith("/.."):
                raise UnavailableError(f"the worker's own control group cannot be reached from here: {name}")
            return name
    raise UnavailableError("the worker is in no control group of version 2")


def folder_of(name: str, mountinfo: str) -> str:
    """Return the folder of a control group, in a hybrid layout too. Raises: UnavailableError.

    >>> folder_of("/b", "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw")
    '/sys/fs/cgroup/unified/b'
    """
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        if source.split(" ")[0] != "cgroup2":
            continue
        root, point = (_unescaped(field) for field in mount.split(" ")[3:5])
        root = root.rstrip("/")
        if name == root or name.startswith(root + "/"):
            return f"{point}/{name[len(root) :].strip('/')}".rstrip("/")
    raise UnavailableError("no mounted file system of control groups (v2) shows the worker's own")


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
