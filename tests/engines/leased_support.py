"""Commands in cells that take leases, as the worker starts them when it has a journal."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from stagecall.engines.process._cgroup import CgroupContainment
from stagecall.engines.process._group import GroupContainment
from stagecall.engines.process._marker import MarkerContainment
from stagecall.engines.process.config import ContainmentKind
from stagecall.engines.process.containment import Cell, Containment
from stagecall.engines.process.spawn import Outputs, Program
from stagecall.lifecycle.journal.lease import Lease

from .process_support import Leases, alive, until

CONTAINMENTS: dict[ContainmentKind, Callable[[], Containment]] = {
    ContainmentKind.CGROUP: CgroupContainment.here,
    ContainmentKind.MARKER: MarkerContainment,
    ContainmentKind.NONE: GroupContainment,
}
KIND_OF_LEASE = {
    ContainmentKind.CGROUP: "process.cgroup",
    ContainmentKind.MARKER: "process.marker",
    ContainmentKind.NONE: "process.group",
}


def made(lease: Lease) -> bool:
    """Whether the control group of a lease exists; other kinds have none."""
    return "folder" in lease.data and os.path.exists(lease.data["folder"])


@attrs.define(eq=False)
class Commands:
    """Starts shell scripts below a folder, in cells of one containment."""

    folder: Path
    kind: ContainmentKind
    leases: Leases = attrs.field(factory=Leases)
    journaled: bool = True
    cells: list[Cell] = attrs.field(factory=list)

    def cell(self) -> Cell:
        return CONTAINMENTS[self.kind]().new_cell(self.leases if self.journaled else None)

    def program(self, script: str, *arguments: str, **changes: Any) -> Program:
        command = ("/bin/sh", "-c", script, "script", str(self.folder), *arguments)
        return attrs.evolve(Program(command, "/bin/sh", str(self.folder), {"PATH": os.defpath}), **changes)

    async def start(self, program: Program, cell: Cell | None = None) -> Cell:
        """Start a program in a cell that is cleared in the end."""
        cell = cell or self.cell()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            await cell.start(program, Outputs(null, null))
        finally:
            os.close(null)
        self.cells.append(cell)
        return cell

    async def running(self, script: str, *arguments: str) -> Cell:
        """Start a script; return once it has made the file `ready`."""
        cell = await self.start(self.program(script, *arguments))
        await self.made("ready")
        return cell

    async def made(self, name: str) -> None:
        await until((self.folder / name).exists, f"the file {name}")

    def pids(self, name: str) -> list[int]:
        """Return the numbers that a script has written to a file."""
        return [int(line) for line in (self.folder / name).read_text().split()]


@asynccontextmanager
async def commands(folder: Path, kind: ContainmentKind) -> AsyncIterator[Commands]:
    """Commands below a folder; at the end nothing of them is alive."""
    made = Commands(folder, kind)
    yield made
    for cell in reversed(made.cells):
        await cell.clear()
    await until(lambda: not alive(folder), "the end of all commands")
