"""Plugins and engines that do at each call what they are told, the worst included, and bear witness of how they
were treated.

A witness does not read the trace. It sees what the driver does to it, so that a trace that lies is found out too.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from stagecall.engines.base import Engine, ResultSet, Sandbox, SandboxBuilder, SandboxOptions, Schema
from stagecall.lifecycle.context import TaskContext
from stagecall.lifecycle.errors import (
    ExceptionReason,
    FatalInternalError,
    FeatureNotSupportedError,
    LifecycleError,
    MalformedPayloadError,
    NonFatalInternalError,
    TaskExceptionError,
)
from stagecall.plugins.base import Plugin, TaskPlugin, TaskPluginOptions
from stagecall.specs.lifecycle import TASK_RUN, Lifecycle
from stagecall.testing.doubles import task_plugin_class
from stagecall.testing.virtual_time import hang, sleep_for_thread
from stagecall.worker.task_run import TaskRun


class Foreign(BaseException):
    """An error that is no Exception and that nobody knows."""


class Unprintable(Exception):
    """An error that fails even to say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


ERRORS: Mapping[str, Callable[[], BaseException]] = {
    "malformed": lambda: MalformedPayloadError("payload.x: cannot be"),
    "unsupported": lambda: FeatureNotSupportedError("no such feature"),
    "task-exception": lambda: TaskExceptionError(ExceptionReason.RESOURCE_UNAVAILABLE, "nothing left"),
    "intermittent": lambda: TaskExceptionError(ExceptionReason.INTERMITTENT_TASK, "try again"),
    "non-fatal": lambda: NonFatalInternalError("a hiccup"),
    "fatal": lambda: FatalInternalError("the host is broken"),
    "defect": lambda: ValueError("a defect"),
    "group": lambda: ExceptionGroup("several", [MalformedPayloadError("m"), NonFatalInternalError("n")]),
    "unprintable": Unprintable,
    "system-exit": lambda: SystemExit(3),
    "keyboard-interrupt": KeyboardInterrupt,
    "stray-cancelled": asyncio.CancelledError,
    "foreign": lambda: Foreign("from nowhere"),
    "foreign-group": lambda: BaseExceptionGroup("several", [Foreign("in a group"), OSError("o")]),
}
"""Each kind of error, by its name."""

CALM = ("ok", "false", "logs", "yields", "slow")
"""What a hook may do that keeps nobody from anything."""

WILD = (
    *ERRORS,
    "hangs",
    "stubborn",
    "stubborn-error",
    "returns-when-cancelled",
    "raises-when-cancelled",
    "until-cancelled",
    "aborts",
    "spawns",
    "wrong-value",
)
"""What else."""


@attrs.frozen
class Deed:
    """What a call does: `kind` is one of CALM or WILD, `seconds` how long it takes where that matters.

    `threaded` makes it a plain `def`; `inner` is what a spawned task does.
    """

    kind: str = "ok"
    seconds: float = 0.0
    threaded: bool = False
    inner: str = "ok"


@attrs.define(eq=False)
class Scene:
    """What all that take part in one run share: the run, and the moment when even the stubborn let go."""

    run: TaskRun | None = None
    released: threading.Event = attrs.field(factory=threading.Event)
    release_on_loop: list[asyncio.Future[None]] = attrs.field(factory=list)
    complaints: list[str] = attrs.field(factory=list)
    made: list["Witness"] = attrs.field(factory=list)
    held: dict[str, int] = attrs.field(factory=dict)

    def release(self) -> None:
        """Let all return that refused to."""
        self.released.set()
        for future in self.release_on_loop:
            if not future.done():
                future.set_result(None)

    def hold(self, what: str, by: int) -> None:
        """Count something acquired, or released again with -1."""
        self.held[what] = self.held.get(what, 0) + by

    async def until_released(self) -> None:
        """Wait for the release, whoever cancels."""
        while not self.released.is_set():
            future = asyncio.get_running_loop().create_future()
            self.release_on_loop.append(future)
            try:
                await future
            except asyncio.CancelledError:
                pass

    async def act(self, deed: Deed, context: TaskContext | None) -> Any:
        """Do it, on the loop; return True unless it says otherwise."""
        await asyncio.sleep(deed.seconds) if deed.kind == "slow" else None
        if deed.kind in ERRORS:
            raise ERRORS[deed.kind]()
        match deed.kind:
            case "false":
                return False
            case "wrong-value":
                return "neither"
            case "yields":
                await asyncio.sleep(0)
            case "logs" if context is not None:
                context.log("a message")
            case "hangs":
                await asyncio.get_running_loop().create_future()
            case "stubborn":
                await self.until_released()
            case "stubborn-error":
                await self.until_released()
                raise OSError("late")
            case "returns-when-cancelled" | "raises-when-cancelled":
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    if deed.kind.startswith("raises"):
                        raise OSError("cancelled, and no good loser") from None
            case "until-cancelled" if context is not None:
                await context.cancelled
            case "aborts" if self.run is not None:
                self.run.abort(ExceptionReason.SUPERSEDED)
            case "spawns" if context is not None:
                self.spawn(context, deed.inner, 3)
        return True

    def act_in_thread(self, deed: Deed, context: TaskContext | None) -> Any:
        """Do it, in a thread; return True, an awaitable of it, or what it says."""
        loop = self.run.loop if self.run is not None else None
        match deed.kind:
            case "slow" if context is not None:
                context.run_on_loop(sleep_for_thread(deed.seconds))
            case "hangs" | "stubborn" if loop is not None:
                hang(loop, self.released)
            case "yields" | "returns-when-cancelled" | "raises-when-cancelled" | "until-cancelled":
                return self.act(deed, context)
            case "logs" if context is not None:
                context.log("a message from a thread")
            case "aborts" if self.run is not None:
                self.run.abort(ExceptionReason.SUPERSEDED)
            case "false":
                return False
            case "wrong-value":
                return "neither"
            case kind if kind in ERRORS:
                raise ERRORS[kind]()
        return True

    def spawn(self, context: TaskContext, inner: str, again: int) -> None:
        """Spawn a task that does `inner`, and spawns another one at its end if it is cancelled."""

        async def work() -> None:
            try:
                await self.act(Deed(inner, 3.0), context)
            except asyncio.CancelledError:
                if again:
                    self.spawn(context, inner, again - 1)
                raise

        try:
            context.spawn(work())
        except LifecycleError:
            pass  # too late for that, and said so


@attrs.define(eq=False)
class Witness:
    """How one task plugin was treated."""

    scene: Scene
    name: str
    context: TaskContext
    running: list[str] = attrs.field(factory=list)
    disposed: int = 0

    def enter(self, hook: str, lifecycle: Lifecycle, args: tuple[Any, ...]) -> None:
        """Look around when a hook is called."""
        run = self.scene.run
        assert run is not None
        stage = lifecycle.hooks[hook]
        say = self.scene.complaints.append
        if self.disposed:
            say(f"{hook} of {self.name} after dispose")
        if self.running and hook != "dispose":
            say(f"{hook} of {self.name} beside {self.running}")
        if hook == "dispose":
            self.disposed += 1
        elif run.stage != stage.name:
            say(f"{hook} of {self.name} in {run.stage}")
        late = hook == "dispose" and run.stage != stage.name  # one that was made by an abandoned call
        closed = hook in ("finished", "exception", "dispose")
        if self.context.log_closed != closed and not late:
            say(f"{hook} of {self.name} with the log {'open' if closed else 'closed'}")
        if hook == "exception" and not (self.context.cancelled and args == (run.reason,)):
            say(f"{hook} of {self.name} with {args}, cancelled: {bool(self.context.cancelled)}")
        self.running.append(hook)

    def method(self, hook: str, lifecycle: Lifecycle, deed: Deed) -> Callable[..., Any]:
        """Return what is called for a hook."""

        async def on_loop(*args: Any) -> Any:
            self.enter(hook, lifecycle, args)
            try:
                return await self.scene.act(deed, self.context)
            finally:
                self.running.remove(hook)

        def in_thread(*args: Any) -> Any:
            self.enter(hook, lifecycle, args)
            try:
                return self.scene.act_in_thread(deed, self.context)
            finally:
                self.running.remove(hook)

        return in_thread if deed.threaded else on_loop


@attrs.define(eq=False)
class ChaosPlugin(Plugin):
    """Makes a task plugin whose hooks do `deeds`, by hook; `creation` is what happens while it is made."""

    scene: Scene
    plugin_name: str
    deeds: Mapping[str, Deed]
    creation: Deed = Deed()
    after: frozenset[str] = frozenset()  # type: ignore[misc]
    accepts_invalid_payload: bool = False  # type: ignore[misc]
    lifecycle: Lifecycle = TASK_RUN
    told: int = 0

    @property
    def name(self) -> str:
        return self.plugin_name

    def payload_schema(self) -> Schema:
        return {self.plugin_name: {"type": "integer"}}

    async def new_task_plugin(self, options: TaskPluginOptions) -> TaskPlugin | None:
        told = await self.scene.act(self.creation, options.context)
        if told is False:
            return None
        if told == "neither":
            return "no task plugin"  # type: ignore[return-value]
        witness = Witness(self.scene, self.plugin_name, options.context)
        self.scene.made.append(witness)
        deeds = {"dispose": Deed(), **self.deeds}
        methods = {hook: witness.method(hook, self.lifecycle, deed) for hook, deed in deeds.items()}
        return task_plugin_class(self.lifecycle, **methods)()

    async def report_non_fatal_error(self) -> None:
        self.told += 1


@attrs.define(eq=False)
class ChaosEngine(Engine):
    """An engine around another one, whose calls first do `deeds`, by the name they have in a trace."""

    scene: Scene
    inner: Engine
    deeds: Mapping[str, Deed]

    def payload_schema(self) -> Schema:
        return self.inner.payload_schema()

    async def new_sandbox_builder(self, options: SandboxOptions) -> SandboxBuilder:
        builder = await self.inner.new_sandbox_builder(options)
        self.scene.hold("builder", 1)
        try:
            await self.act("new_sandbox_builder")
        except BaseException:
            self.scene.hold("builder", -1)
            await builder.discard()
            raise
        return _Builder(self, builder)

    async def act(self, call: str) -> None:
        """Do what was told for a call."""
        await self.scene.act(self.deeds.get(call, Deed()), None)

    async def release(self, what: str, call: str, inner: Callable[[], Awaitable[None]]) -> None:
        """Count something released, and do what was told for that."""
        self.scene.hold(what, -1)
        await inner()
        await self.act(call)


@attrs.define(eq=False)
class _Builder(SandboxBuilder):
    engine: ChaosEngine
    inner: SandboxBuilder

    async def start_sandbox(self) -> Sandbox:
        await self.engine.act("start_sandbox")
        sandbox = await self.inner.start_sandbox()
        self.engine.scene.hold("builder", -1)
        self.engine.scene.hold("sandbox", 1)
        return _Sandbox(self.engine, sandbox)

    async def discard(self) -> None:
        await self.engine.release("builder", "dispose:builder", self.inner.discard)


@attrs.define(eq=False)
class _Sandbox(Sandbox):
    engine: ChaosEngine
    inner: Sandbox

    async def wait_for_result(self) -> ResultSet:
        await self.engine.act("wait_for_result")
        result_set = await self.inner.wait_for_result()
        self.engine.scene.hold("result set", 1)
        return _ResultSet(self.engine, result_set)

    async def abort(self) -> None:
        await self.inner.abort()
        await self.engine.act("abort_sandbox")

    async def dispose(self) -> None:
        await self.engine.release("sandbox", "dispose:sandbox", self.inner.dispose)


@attrs.define(eq=False)
class _ResultSet(ResultSet):
    engine: ChaosEngine
    inner: ResultSet

    @property
    def success(self) -> bool:
        return self.inner.success

    async def dispose(self) -> None:
        await self.engine.release("result set", "dispose:result_set", self.inner.dispose)
