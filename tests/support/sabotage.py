"""Ways to break the driver: patches, each of which some rule must convict."""

import pytest

from stagecall.lifecycle.calls import Call
from stagecall.lifecycle.driver import Run
from stagecall.specs.trace import Outcome
from stagecall.worker.task_run import TaskRun


def stops_disposing_at_the_first_error(patch: pytest.MonkeyPatch) -> None:
    async def impatient(self: TaskRun) -> None:
        for one in reversed(self.participants):
            call = Call("dispose", one.name, one.target.dispose)
            await self.run_calls((call,))
            if call.outcome is not Outcome.OK:
                return

    patch.setattr(TaskRun, "dispose", impatient)


def does_not_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Run, "_fence", lambda self, plugin: None)
