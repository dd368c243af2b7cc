"""How long importing takes beyond starting Python."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.effort import Effort
from bench.figures import Figure, Result
from bench.measure import Sample, take_turns

PACKAGE = "import stagecall"
RUN_TASK = "from stagecall import run_task"


async def package(effort: Effort) -> Result:
    """Milliseconds that `import stagecall` takes beyond bare Python."""
    return await _beyond_bare(effort, PACKAGE, RUN_TASK)


async def run_task(effort: Effort) -> Result:
    """Milliseconds that importing all that runs a task takes beyond bare Python."""
    return await _beyond_bare(effort, RUN_TASK, PACKAGE)


async def _beyond_bare(effort: Effort, measured: str, other: str) -> Result:
    samples = {"bare": _start("pass"), "measured": _start(measured), "other": _start(other)}
    series = await take_turns(samples, effort.of(15, 1))
    beyond = series["measured"].less(series["bare"])
    return Result(
        beyond.median,
        beyond.spread,
        Figure("a bare start of Python", series["bare"].median, "ms"),
        series["measured"].over(series["bare"]),
        (Figure(f"`{other}` beyond bare Python", series["other"].less(series["bare"]).median, "ms"),),
    )


def _start(program: str) -> Sample:
    async def sample() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        return (time.perf_counter() - start) * 1000

    return sample
