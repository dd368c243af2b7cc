"""A program that is killed: `python recovery_victim.py run|recover JOURNAL [HOOK]`."""

import asyncio
import os
import signal
import sys
from typing import Any

from stagecall import recover
from stagecall.lifecycle.journal import Lease
from stagecall.testing.doubles import ScriptedPlugin
from stagecall.worker.runtime import Runtime


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def run(journal: str, hook: str) -> None:
    """Run a task, and be killed in a hook, when all before it is on disk."""

    async def killed(*arguments: Any) -> None:
        plugin.context.log(f"killed in {hook}")
        await plugin.context.lease("port", number=8080)
        die()

    hooks: dict[str, Any] = {hook: killed}
    plugin = ScriptedPlugin(**hooks)
    async with await Runtime.create("mock", [plugin], journal=journal) as runtime:
        print(runtime.environment.reserve_folder("x").parent, flush=True)
        await runtime.new_run({"payload": {"function": "true"}}).wait()


async def kill_while_undoing(lease: Lease) -> None:
    die()


async def main(what: str, journal: str, *arguments: str) -> None:
    if what == "run":
        await run(journal, *arguments)
    else:
        await recover(journal, undos={"port": kill_while_undoing})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
