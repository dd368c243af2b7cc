"""What engines and plugins can do with the context of a run, and when they no longer can."""

import asyncio
import contextvars
import io
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from stagecall.lifecycle.errors import ExceptionReason, LifecycleError, MalformedPayloadError
from stagecall.specs.trace import Kind
from stagecall.testing.doubles import ScriptedEngine, ScriptedPlugin, errors, hooks, outcomes
from stagecall.testing.virtual_time import run_virtually, virtual_time


def read_log(context):
    with context.extract_log() as file:
        return file.read()


async def forever():
    await asyncio.get_running_loop().create_future()


# The log


@virtual_time
async def test_each_line_of_a_message_is_marked(make_run):
    """Messages are told from the sandbox's own output line by line; what UTF-8 cannot hold is escaped."""
    logs = []

    async def started(sandbox):
        plugin.context.log("one\ntwo")
        plugin.context.log_error("three\nfour\n")
        plugin.context.log("")
        plugin.context.log("lone \udcff surrogate, \u00e9")
        assert plugin.context.write_log(b"\xff raw")

    async def finished(success):
        logs.append((read_log(plugin.context), plugin.context.log_bytes))

    plugin = ScriptedPlugin(started=started, finished=finished)

    await make_run(plugin).wait()

    expected = (
        "[stagecall] one\n[stagecall] two\n[stagecall:error] three\n[stagecall:error] four\n[stagecall] \n"
        "[stagecall] lone \\udcff surrogate, \u00e9\n"
    ).encode() + b"\xff raw"
    assert logs == [(expected, len(expected))]


@virtual_time
async def test_message_after_the_close_goes_to_trace_and_worker(make_run):
    """A closed log takes nothing more; what comes late is not lost, also where a thread says it."""

    async def finished(success):
        plugin.context.log("late")
        assert plugin.context.write_log(b"later") is False

    def dispose():
        plugin.context.log_error("last")

    plugin = ScriptedPlugin(finished=finished, dispose=dispose)
    run = make_run(plugin)

    await run.wait()

    task_id = run.info.task_id
    message = "message after the task log was closed"
    assert [event.detail for event in run.trace.of(Kind.LATE_LOG)] == [{"text": "late"}, {"text": "last"}]
    assert make_run.monitor.logs == [
        (message, {"text": "late", "task_id": task_id}),
        (message, {"text": "last", "task_id": task_id}),
    ]
    assert [event.detail for event in run.trace.of(Kind.LOG_CLOSED)] == [{"bytes": 0}]


@virtual_time
async def test_reader_follows_the_log_to_its_close(make_run):
    """A reader gets what was there, what comes, and its end when the log is closed."""
    pieces = []

    async def follow(context, offset):
        pieces.append(b"".join([piece async for piece in context.new_log_reader(offset)]))

    async def started(sandbox):
        plugin.context.write_log(b"before ")
        readers.extend(asyncio.create_task(follow(plugin.context, offset)) for offset in (0, 3))
        await asyncio.sleep(1)
        plugin.context.write_log(b"after")
        await asyncio.sleep(1)
        assert pieces == []

    readers: list[asyncio.Task[None]] = []
    plugin = ScriptedPlugin(started=started)

    await make_run(plugin).wait()
    await asyncio.gather(*readers)

    assert sorted(pieces) == sorted([b"before after", b"ore after"])


@virtual_time
async def test_log_is_extracted_only_once_closed(make_run):
    """Before `finished` and `exception` the log can still grow, so it is not handed out."""
    seen = []

    async def stopped(result_set):
        with pytest.raises(LifecycleError, match="once it is closed"):
            plugin.context.extract_log()
        plugin.context.write_log(b"all")
        raise MalformedPayloadError("no")

    async def exception(reason):
        seen.append(read_log(plugin.context))

    plugin = ScriptedPlugin(stopped=stopped, exception=exception)

    await make_run(plugin).wait()

    assert seen == [b"all\n[stagecall:error] no\n"]


# The temporary folder


@virtual_time
async def test_run_without_log_and_use_makes_no_folder(make_run):
    """No file and no folder exist before somebody writes the first byte, or asks."""
    seen = []

    async def stopped(result_set):
        seen.append(list(make_run.folder.iterdir()))
        return True

    async def finished(success):
        seen.append(read_log(plugin.context))

    plugin = ScriptedPlugin(stopped=stopped, finished=finished)
    run = make_run(plugin)

    await run.wait()

    assert seen == [[], b""]
    assert "dispose:temporary_folder" not in [call for _, call, _ in hooks(run.trace)]


@pytest.mark.parametrize("first", ["use", "log"])
def test_folder_is_made_on_first_use_and_removed_in_dispose(make_run, first):
    """The folder is one and the same for the whole run, is there for every dispose hook, and then goes."""
    folders = []

    def started(sandbox):
        if first == "log":
            plugin.context.log("a byte")
        (plugin.context.temporary_folder / "file").write_text("content")

    def dispose():
        folders.append(plugin.context.temporary_folder)
        assert (folders[0] / "file").read_text() == "content"

    plugin = ScriptedPlugin(started=started, dispose=dispose)
    run = make_run(plugin)

    asyncio.run(run.wait())

    assert folders[0].parent == make_run.folder
    assert not folders[0].exists()
    assert outcomes(run.trace, "dispose:temporary_folder") == {"-": "ok"}
    with pytest.raises(LifecycleError, match="no temporary folder any more"):
        _ = plugin.context.temporary_folder


# Cancellation


@virtual_time
async def test_cancellation_is_flag_awaitable_and_wait(make_run):
    """A hook on the loop awaits it, a thread waits for it, anybody asks; all learn the reason."""
    seen: list[tuple[Any, ...]] = []

    async def started(sandbox):
        seen.append(("flag before", bool(first.context.cancelled), first.context.cancelled.wait(0)))
        seen.append(("awaited", await first.context.cancelled))

    def in_thread(sandbox):
        run.loop.call_soon_threadsafe(run.abort, ExceptionReason.SUPERSEDED)
        assert second.context.cancelled.wait(30)
        seen.append(("thread", second.context.cancelled.reason))

    async def exception(reason):
        seen.append(("flag after", bool(first.context.cancelled), first.context.cancelled.wait(0)))

    first = ScriptedPlugin("first", started=started, exception=exception)
    second = ScriptedPlugin("second", started=in_thread)
    run = make_run(first, second)

    await run.wait()

    assert seen[0] == ("flag before", False, False)
    assert set(seen[1:3]) == {
        ("awaited", ExceptionReason.SUPERSEDED),
        ("thread", ExceptionReason.SUPERSEDED),
    }
    assert seen[3:] == [("flag after", True, True)]


@virtual_time
async def test_error_cancels_the_context_too(make_run):
    """Whoever works in the background learns that the run is lost, whatever the cause."""

    async def stopped(result_set):
        raise MalformedPayloadError("no")

    plugin, calm = ScriptedPlugin(stopped=stopped), ScriptedPlugin(started=lambda sandbox: None)

    await make_run(plugin).wait()
    await make_run(calm).wait()

    assert plugin.context.cancelled.reason is ExceptionReason.MALFORMED_PAYLOAD
    assert calm.context.cancelled.reason is None


# Work in the background


@virtual_time
async def test_spawned_task_gives_its_result_and_is_joined_before_dispose(make_run):
    """Whoever spawned it may await it; whoever does not still finds it ended in dispose."""
    seen = []

    async def work(seconds):
        await asyncio.sleep(seconds)
        seen.append(seconds)
        return seconds

    async def started(sandbox):
        plugin.context.spawn(work(30), "long")
        assert await plugin.context.spawn(work(1)) == 1

    async def dispose():
        seen.append("dispose")

    plugin = ScriptedPlugin(started=started, dispose=dispose)
    run = make_run(plugin)

    resolution = await run.wait()

    assert resolution.state == "completed"
    assert seen == [1, 30, "dispose"]
    assert outcomes(run.trace, "background:long") == {"-": "ok"}
    assert outcomes(run.trace, "background:background") == {"-": "ok"}


@pytest.mark.parametrize(
    ("error", "reason", "severity"),
    [
        (MalformedPayloadError("wrong"), ExceptionReason.MALFORMED_PAYLOAD, "malformed"),
        (ValueError("defect"), ExceptionReason.INTERNAL_ERROR, "fatal"),
        (SystemExit(3), ExceptionReason.INTERNAL_ERROR, "fatal"),
        (KeyboardInterrupt(), ExceptionReason.INTERNAL_ERROR, "fatal"),
    ],
)
def test_error_of_spawned_task_counts_as_that_of_a_hook(make_run, error, reason, severity):
    """It ends a run that waits, with the reason of the error; what would end the program is contained."""

    async def work():
        await asyncio.sleep(1)
        raise error

    async def started(sandbox):
        plugin.context.spawn(work(), "work")

    plugin = ScriptedPlugin(started=started)
    run = make_run(plugin, engine=ScriptedEngine(holds=True))

    run_virtually(run.wait())

    assert (run.resolution.state, run.resolution.reason) == ("exception", reason)
    assert [told[0] for told in errors(run.trace)] == [severity]
    assert outcomes(run.trace, "background:work") == {"-": "failed"}


@virtual_time
async def test_spawned_task_is_cancelled_when_the_run_is_an_exception(make_run):
    """What nobody needs any more is cancelled after its grace, and the run is disposed only then."""
    seen = []

    async def work():
        try:
            await forever()
        finally:
            seen.append("cancelled")

    async def started(sandbox):
        plugin.context.spawn(work(), "work")
        raise MalformedPayloadError("no")

    async def dispose():
        seen.append("dispose")

    plugin = ScriptedPlugin(started=started, dispose=dispose)
    run = make_run(plugin)

    await run.wait()

    assert seen == ["cancelled", "dispose"]
    assert outcomes(run.trace, "background:work") == {"-": "cancelled"}
    assert asyncio.get_running_loop().time() == 5  # cancel_grace


@virtual_time
async def test_spawn_is_refused_in_dispose_and_off_the_loop(make_run):
    """Nothing new begins while everything ends, and no thread may touch the loop."""
    refused: list[str] = []

    def try_to_spawn():
        with pytest.raises(LifecycleError, match="spawned on the run's loop") as error:
            plugin.context.spawn(forever())
        refused.append(str(error.value))

    def started(sandbox):
        try_to_spawn()

    async def dispose():
        try_to_spawn()

    plugin = ScriptedPlugin(started=started, dispose=dispose)
    run = make_run(plugin)

    resolution = await run.wait()

    assert resolution.state == "completed"
    assert (
        refused == ["background tasks are spawned on the run's loop, from prepare on and before dispose"] * 2
    )


# Hooks in threads


@virtual_time
async def test_thread_runs_coroutines_on_the_loop(make_run):
    """`run_on_loop` gives a plain `def` the result or the error of a coroutine; on the loop it is refused."""
    loop = asyncio.get_running_loop()
    seen = []

    async def good():
        return asyncio.get_running_loop() is loop, threading.current_thread() is threading.main_thread()

    async def bad():
        raise OSError("no")

    def started(sandbox):
        seen.append(plugin.context.run_on_loop(good()))
        with pytest.raises(OSError, match="no"):
            plugin.context.run_on_loop(bad())
        assert threading.current_thread() is not threading.main_thread()

    async def stopped(result_set):
        with pytest.raises(LifecycleError, match="await the coroutine"):
            plugin.context.run_on_loop(good())
        return True

    plugin = ScriptedPlugin(started=started, stopped=stopped)

    resolution = await make_run(plugin).wait()

    assert resolution.state == "completed"
    assert seen == [(True, True)]


REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


@virtual_time
async def test_context_variables_reach_hooks_in_threads(make_run):
    """What the embedder has set is seen in every hook, whether it runs on the loop or in a thread."""
    seen = []

    def started(sandbox):
        seen.append(REQUEST.get())

    async def stopped(result_set):
        seen.append(REQUEST.get())
        return True

    run = make_run(ScriptedPlugin(started=started, stopped=stopped))

    REQUEST.set("the embedder's")
    await run.wait()

    assert seen == ["the embedder's", "the embedder's"]


@virtual_time
async def test_awaitable_returned_by_def_is_awaited(make_run):
    """A `def` that returns a coroutine counts with the coroutine's value and error."""

    async def verdict():
        await asyncio.sleep(1)
        return False

    async def breaks():
        raise MalformedPayloadError("no")

    failed = make_run(ScriptedPlugin(stopped=lambda result_set: verdict()))
    broken = make_run(ScriptedPlugin(stopped=lambda result_set: breaks()))

    assert (await failed.wait()).state == "failed"
    assert (await broken.wait()).reason is ExceptionReason.MALFORMED_PAYLOAD


# Artifacts


@virtual_time
async def test_artifacts_end_up_in_run_trace_and_store(make_run):
    """Each kind is stored once, under its name, and expires with the task unless told otherwise."""
    never = datetime(2999, 1, 1, tzinfo=UTC)

    async def stopped(result_set):
        context = plugin.context
        await context.upload_artifact("a.txt", b"content", content_type="text/plain", content_encoding="gzip")
        await context.upload_artifact("b.bin", io.BytesIO(b"content"), expires=never)
        await context.create_error_artifact("c", reason="file-missing-on-worker", message="no file")
        await context.create_redirect_artifact("d", url="https://example.com/", content_type="text/html")
        await context.create_link_artifact("e", target="a.txt", content_type="text/plain")
        return True

    plugin = ScriptedPlugin(stopped=stopped)
    run = make_run(plugin)

    await run.wait()

    expires = run.info.expires
    assert [
        (one.name, one.storage, one.content_type, one.expires, one.url or one.target or one.reason)
        for one in run.artifacts
    ] == [
        ("a.txt", "object", "text/plain", expires, None),
        ("b.bin", "object", "application/octet-stream", never, None),
        ("c", "error", "application/octet-stream", expires, "file-missing-on-worker"),
        ("d", "redirect", "text/html", expires, "https://example.com/"),
        ("e", "link", "text/plain", expires, "a.txt"),
    ]
    assert run.artifacts == make_run.environment.store.artifacts
    assert [event.detail for event in run.trace.of(Kind.ARTIFACT)][::4] == [
        {
            "name": "a.txt",
            "storage": "object",
            "content_type": "text/plain",
            "expires": expires.isoformat(),
            "content_encoding": "gzip",
        },
        {
            "name": "e",
            "storage": "link",
            "content_type": "text/plain",
            "expires": expires.isoformat(),
            "target": "a.txt",
        },
    ]
    assert {event.stage for event in run.trace.of(Kind.ARTIFACT)} == {"stopped"}
