"""What the page makes of a trace is what the pictures of the command line make of it."""

import json

import pytest

from stagecall.lifecycle.diagram.card import tone
from stagecall.lifecycle.diagram.history import History
from stagecall.lifecycle.diagram.markup import duration
from stagecall.specs.trace import Event
from stagecall.worker.pages.assets import asset

from ..lifecycle.diagram_support import (
    aborted_run,
    broken_run,
    completed_run,
    hostile_run,
    malformed_run,
    running_run,
)

RUNS = [completed_run, broken_run, running_run, aborted_run, malformed_run, hostile_run]
TELL = """(events) => {
  const history = new stagecall.History();
  for (const event of events) history.take(event);
  const told = (call) => [call.stage, call.plugin, call.name, call.start, call.end, call.tone, call.error];
  const calls = history.calls.map(told);
  const visits = history.visits.map((visit) => [visit.stage, visit.start, visit.end, visit.bad]);
  return { visits, calls, moves: history.moves, plugins: history.plugins, over: history.over, current: history.current,
           resolution: [history.state, history.reason, history.cause], now: history.now };
}"""


async def load(page, *names):
    """Load scripts into an empty page."""
    await page.goto("about:blank")
    for name in names:
        await page.add_script_tag(content=asset(name))


@pytest.mark.parametrize("make", RUNS, ids=lambda make: make.__name__)
async def test_trace_is_read_as_the_pictures_read_it(page, make):
    """Visits, calls and how they went, moves and the resolution are the same in the browser as in Python."""
    trace = make()
    events = [event.as_dict(seq) for seq, event in enumerate(trace)]
    await load(page, "format.js", "history.js")

    told = await page.evaluate(TELL, json.loads(json.dumps(events, default=str)))

    history = History.of(type(trace)(trace.started, [Event.from_dict(event) for event in events]))
    calls = sorted(history.calls, key=lambda call: call.start)
    assert told == {
        "visits": [[visit.stage, visit.start, visit.end, visit.bad] for visit in history.visits],
        "calls": [
            [call.stage, call.plugin, call.name, call.start, call.end, tone(call), call.error]
            for call in calls
        ],
        "moves": [list(move) for move in history.moves],
        "plugins": list(dict.fromkeys(history.plugins)),
        "over": history.over,
        "current": history.current,
        "resolution": [history.state, history.reason, history.cause],
        "now": history.now,
    }


async def test_strange_events_do_no_harm(page):
    """Times that go back or are none, unknown kinds and outcomes, and fields of other types are taken as they come."""
    events = [
        {"seq": 0, "time": 1.0, "kind": "move", "stage": "build", "source": "prepare"},
        {"seq": 1, "time": "soon", "kind": "call", "stage": "build", "plugin": 7, "call": {"a": 1}},
        {
            "seq": 2,
            "time": -5,
            "kind": "return",
            "stage": "build",
            "plugin": 7,
            "call": {"a": 1},
            "outcome": "lucky",
        },
        {"seq": 3, "time": 1e999, "kind": "return", "stage": "build", "call": "never-begun"},
        {"seq": 4, "time": None, "kind": "__proto__", "stage": "build"},
        {"seq": 5, "kind": "constructor", "stage": None, "plugins": "none"},
        {"seq": 6, "time": 2.0, "kind": "run", "stage": "build", "plugins": {"name": "no list"}},
    ]
    await load(page, "format.js", "history.js")

    told = await page.evaluate(TELL, events)

    assert [visit[0] for visit in told["visits"]] == ["prepare", "build"]
    assert told["calls"] == [["build", "7", '{"a":1}', 1, 1, "failed", None]]
    assert told["now"] == 2


async def test_durations_read_as_in_the_pictures(page):
    """A time that stands on the page and on a picture reads the same on both."""
    seconds = [
        0.0,
        *(mantissa * 10.0**power for power in range(-6, 5) for mantissa in (1, 2.3, 4.99, 9.9, 9.96)),
    ]
    await load(page, "format.js")

    told = await page.evaluate("seconds => seconds.map((one) => stagecall.duration(one))", seconds)

    assert told == [duration(one) for one in seconds]
