"""What the checks of plugins have in common: what a user tells about the plugin, and the stand that it is put on."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, ClassVar

from ...lifecycle.limits import Limits
from ..conformance import Conformance
from ..doubles.runs import LIMITS as VIRTUAL_LIMITS
from ..virtual_time import run_virtually
from .stand import PluginFactory, Stand, View

REAL_LIMITS = Limits(
    cancel_grace=0.5, abandon_grace=0.5, hook_timeout=20, dispose_budget=5, dispose_total=10, report_budget=5
)
"""Seconds, for plugins that cannot be tested in virtual time."""


class PluginKit(Conformance):
    """The base of all groups of checks for plugins."""

    flags: ClassVar[Mapping[str, str]] = {
        "virtual-time": "its hooks wait only for timers, tasks of the run's loop and the library's own threads",
        "inert-construction": "making it acquires nothing: no file, thread, task or folder",
        "closed-payload": "every object in its payload says which properties it may have",
        "generated-payloads": "any payload that satisfies its schema may be tried",
        "plain-success": "a task that succeeds is completed with the plugin as it is without",
        "reproducible": "the same task logs and stores the same each time",
        "silent-after-close": "it writes nothing to the task log once that is closed",
    }

    payloads: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    """Valid payloads of the plugin, its own properties only; those that make it do the most are the best."""
    values: ClassVar[Mapping[str, Any]] = {}
    """Strategies for properties that are drawn from elsewhere than their schema, by name; see `strategies.payloads`."""
    task: ClassVar[Mapping[str, Any]] = {"function": "true"}
    """What the task does, as a payload of the mock engine, such as `{"function": "write-files", "argument": "a b"}`."""

    def drive(self, check: Coroutine[Any, Any, None]) -> None:
        """Run a check in virtual time, unless the plugin cannot be."""
        if self.is_virtual:
            run_virtually(check)
        else:
            super().drive(check)

    @property
    def is_virtual(self) -> bool:
        """Whether time is virtual."""
        return "virtual-time" in self.capabilities

    @property
    def lasting(self) -> float:
        """How long a task takes that lasts, in seconds."""
        return 40.0 if self.is_virtual else 0.2

    def stand(self, plugin_factory: PluginFactory) -> Stand:
        """Return a stand for a plugin made afresh."""
        return Stand(plugin_factory, self.task, VIRTUAL_LIMITS if self.is_virtual else REAL_LIMITS)

    def lasting_task(self) -> dict[str, Any]:
        """Return the kit's task as one that takes a while."""
        return {**self.task, "delay": round(self.lasting * 1000)}


def assert_sound_plugin(view: View, when: str) -> None:
    """Assert that nothing went wrong in the plugin that is its own fault; `when` begins the sentence."""
    __tracebackhide__ = True
    if view.defects:
        raise AssertionError(f"{when}, the plugin has defects: {'; '.join(view.defects)}")
