"""Serves pages with runs to look at, for whoever works on them: .venv/bin/python tests/pages/devserver.py [PORT].

One run takes its stages slowly, prints in colours, stores artifacts, and begins again when it is over; the index has
some hundred that are over. Scripts and styles are read again with every request.
"""

import asyncio
import base64
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from stagecall.worker.pages import assets
from stagecall.worker.pages.runs import Entry
from tests.pages.site_support import ScriptedRun, Site, listed

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def slowly(run: ScriptedRun, number: int) -> None:
    """Take a run through its stages, with something to see in each."""
    await asyncio.sleep(2)
    run.release("start_sandbox")
    await run.reach("waiting")
    for line in range(60 * number):
        colour = 31 + line % 6
        run.log(f"\x1b[{colour}mstep {line}\x1b[0m: compiling \x1b[1mmodule_{line}.c\x1b[0m\n")
        if line % 50 == 49:
            run.log(f"error: module_{line}.c:{line}: expected ';' before '}}' token\n")
        if line % 20 == 0:
            await run.artifact(f"public/reports/{line}.txt", f"report {line}\n".encode() * 40)
            await run.artifact(f"public/pictures/{line}.png", DOT, "image/png")
        await asyncio.sleep(0.1)
    await run.finish(success=number % 2 == 1)


def list_finished(site: Site, runs: int) -> None:
    """Put runs into the index that never were."""
    now = datetime.now(UTC)
    for number in range(runs):
        state = random.choice(["completed"] * 6 + ["failed", "exception"])
        entry = Entry(f"{number:022}", 0, f"task-{number}", now - timedelta(minutes=number), state, "dispose")
        entry.reason = "intermittent-task" if state == "exception" else None
        entry.seconds = random.expovariate(1 / 90)
        site.pages.index.put(listed(entry))


async def forget_assets() -> None:
    """Let scripts and styles be read again."""
    while True:
        for cached in (assets.asset, assets.asset_names, assets.template):
            cached.cache_clear()
        await asyncio.sleep(0.5)


async def main(port: int) -> None:
    """Serve until interrupted."""
    with tempfile.TemporaryDirectory() as folder:
        async with Site(Path(folder), port=port) as site, asyncio.TaskGroup() as group:
            group.create_task(forget_assets())
            list_finished(site, 300)
            print(f"all runs: {site.url}")
            for number in count(1):
                run = await site.begin(f"build-{number}", hold=["start_sandbox"])
                print(f"run {number}: {run.url}")
                await slowly(run, number)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
