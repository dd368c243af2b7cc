"""Checks of how a plugin goes through a run: aborted, cancelled, on a poor engine, without a payload."""

from __future__ import annotations

import asyncio

import pytest

from ...lifecycle.errors import ExceptionReason
from ...lifecycle.leaks import take
from ...specs.lifecycle import TASK_RUN
from ...specs.rules import judge
from ...specs.schemas import MergedSchema
from ...specs.trace import Event, Kind
from ...worker.runtime import Runtime
from ..conformance import needs
from ..doubles.traces import assert_sound, path
from ..sweep import Interruption, sweep
from .engines import BareEngine
from .kit import PluginKit, assert_sound_plugin
from .stand import Moment, PluginFactory, Stand, defects, schema_of

ABORTED_IN = tuple(stage.name for stage in TASK_RUN.stages if stage.provisional and stage.name != "pending")
"""The stages in which an abort still decides."""

REAL_POINTS = 20
"""How many points of a sweep are tried where each takes real time."""

STRAY = asyncio.CancelledError.__name__
"""What a hook raises when its task is cancelled by a stranger, as in a sweep."""

NEVER_GIVEN = "stagecall-conformance"
"""A property that the kit adds and requires, so that the plugin's part of a payload is invalid."""


class StageChecks(PluginKit):
    """Whatever becomes of a run, the plugin gets through it."""

    @needs("plain-success")
    async def test_plain_success_is_unaffected(self, plugin_factory: PluginFactory) -> None:
        """A task that succeeds is completed, as it would be without the plugin."""
        async with self.stand(plugin_factory) as stand:
            for payload in self.payloads:
                view = await stand.run(payload)

                assert view.state == "completed", f"with the payload {payload} a plain task ends {view.state}"

    @pytest.mark.parametrize("stage", ABORTED_IN)
    async def test_survives_abort_in_each_stage(self, plugin_factory: PluginFactory, stage: str) -> None:
        """Aborted in any stage, it gets through `exception` and dispose without an error."""
        async with self.stand(plugin_factory) as stand:
            view = await stand.run(
                self.payloads[0],
                engine=stand.engine(**self.lasting_task()),
                abort=(_entered(stage), ExceptionReason.CANCELED),
            )

            if stage not in path(view.trace):
                pytest.skip(f"a run with the payload {self.payloads[0]} does not come to {stage}")
            assert view.reason == "canceled", f"the abort in {stage} came to {view.state} ({view.reason})"
            assert_sound_plugin(view, f"aborted in {stage}")

    async def test_cancelled_hook_ends_in_time(self, plugin_factory: PluginFactory) -> None:
        """Aborted while one of its hooks runs, that hook ends within the graces, and without an error."""
        async with self.stand(plugin_factory) as stand:
            called = {call for call, _ in (await stand.run(self.payloads[0])).calls}
            for hook in [hook for hook in TASK_RUN.hooks if hook in called and hook != "dispose"]:
                view = await stand.run(
                    self.payloads[0],
                    abort=(_called(stand.plugin.name, hook), ExceptionReason.SUPERSEDED),
                )

                assert_sound_plugin(view, f"aborted in its hook {hook}")

    async def test_survives_cancellation_at_every_point(self, plugin_factory: PluginFactory) -> None:
        """Whenever the program is cancelled, with all its tasks, the run is disposed, and the plugin makes no error."""
        async with self.stand(plugin_factory) as stand:
            stand.environment.temporary_folder("first-").rmdir()  # its own folder is made around the first
            before = take([stand.folder])
            undisturbed = await stand.run(self.payloads[0])
            if judge(undisturbed.trace) or before.compare():
                pytest.skip(
                    "a run breaks rules, or leaves something behind, without any cancellation already"
                )

            report = await sweep(
                lambda: stand.run(self.payloads[0]),
                interruption=Interruption.CANCEL_ALL,
                every_task=True,
                limit=None if self.is_virtual else REAL_POINTS,
                roots=(stand.folder,),
                check=False,
            )

            assert not report.bad, str(report)
            for run in stand.runs:
                found = [text for text in defects(run.trace, stand.plugin.name) if STRAY not in text]
                assert not found, (
                    f"cancelled in {run.trace[-1].stage}, the plugin has defects: {'; '.join(found)}"
                )

    async def test_missing_engine_features_are_no_defect(self, plugin_factory: PluginFactory) -> None:
        """On an engine that offers nothing the payload may be malformed, but nothing is broken."""
        async with self.stand(plugin_factory) as stand:
            for payload in self.payloads:
                for holds in (False, True):
                    engine = BareEngine(holds=holds)
                    abort = (self._finisher(engine) if holds else _never, ExceptionReason.CANCELED)

                    view = await stand.run(payload, engine=engine, abort=abort)

                    when = f"with the payload {payload} on an engine without features"
                    assert_sound_plugin(view, when)
                    assert view.reason in (None, "malformed-payload"), f"{when} it came to {view.reason}"

    def _finisher(self, engine: BareEngine) -> Moment:
        """Return a moment that never comes, but has the task end after a while."""

        def watch(event: Event) -> bool:
            if event.kind is Kind.CALL and event.call == "wait_for_result":
                asyncio.get_running_loop().call_later(self.lasting, engine.sandboxes[-1].finish)
            return False

        return watch

    async def test_works_without_its_payload(self, plugin_factory: PluginFactory) -> None:
        """A plugin that accepts an invalid payload gets None instead, and gets through `exception` and dispose."""
        async with self.stand(plugin_factory) as stand:
            if not stand.plugin.accepts_invalid_payload:
                pytest.skip(
                    f"{type(stand.plugin).__name__}.accepts_invalid_payload is False: it never gets None"
                )
            runtime = _requiring_more(stand)

            view = await stand.drive(runtime, self.payloads[0], valid=False)

            assert_sound_plugin(view, "given payload=None")
            assert view.reason == "malformed-payload"

    @needs("silent-after-close")
    async def test_writes_nothing_to_a_closed_log(self, plugin_factory: PluginFactory) -> None:
        """From `finished` and `exception` on the task's author reads no more: such messages belong elsewhere."""
        async with self.stand(plugin_factory) as stand:
            for moment in (_never, _entered("started")):
                view = await stand.run(self.payloads[0], abort=(moment, ExceptionReason.CANCELED))

                assert view.late == (), f"the log was closed; it still wrote {'; '.join(view.late)}"

    async def test_runs_keep_every_rule(self, plugin_factory: PluginFactory) -> None:
        """The trace of a run with the plugin keeps the ordering rules, whether it succeeds, fails or is aborted."""
        async with self.stand(plugin_factory) as stand:
            for function, moment in [("true", _never), ("false", _never), ("true", _entered("waiting"))]:
                task = {**self.lasting_task(), "function": function}

                view = await stand.run(
                    self.payloads[0],
                    engine=stand.engine(**task),
                    abort=(moment, ExceptionReason.WORKER_SHUTDOWN),
                )

                assert_sound(view.trace)


def _never(event: Event) -> bool:
    return False


def _entered(stage: str) -> Moment:
    """Return the moment when a stage has been entered; in waiting, when it waits."""

    def reached(event: Event) -> bool:
        if stage == "waiting":
            return event.kind is Kind.CALL and event.call == "wait_for_result"
        return event.kind is Kind.MOVE and event.stage == stage

    return reached


def _called(plugin: str, hook: str) -> Moment:
    return lambda event: (event.kind, event.plugin, event.call) == (Kind.CALL, plugin, hook)


def _requiring_more(stand: Stand) -> Runtime:
    """Return a runtime whose schema makes every payload invalid in the plugin's part, and in no other."""
    runtime = stand.runtime()
    required = {NEVER_GIVEN: {"type": "string", "required": True}}
    runtime.schema = MergedSchema.merge(
        {"engine": {}, stand.owner(runtime): {**schema_of(stand.plugin), **required}}
    )
    return runtime
