"""The machine of a lifecycle: every trigger is tried from every stage, and only the table's edges move."""

import itertools
import logging
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from transitions import Event, EventData, Machine

from stagecall.lifecycle.errors import LifecycleError
from stagecall.lifecycle.machine import IllegalMoveError, machine_for, move
from stagecall.specs.lifecycle import TASK_RUN, Lifecycle, Stage

INVENTED = TASK_RUN.insert(Stage("scan", hook="scanned", arguments=("builder",)), after="build").insert(
    Stage("review", hook="reviewed", arguments=("result_set",)), after="stopped", name="invented"
)
LIFECYCLES = (TASK_RUN, INVENTED)

PAIRS = [
    pytest.param(lifecycle, source.name, trigger.name, id=f"{lifecycle.name}-{source.name}-{trigger.name}")
    for lifecycle in LIFECYCLES
    for source in lifecycle.stages
    for trigger in lifecycle.stages
]
LEGAL = [pair for pair in PAIRS if pair.values[1:] in set(pair.values[0].edges())]  # type: ignore[union-attr]
ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL]


@attrs.define
class Token:
    """What is moved: remembers the source and the stage of every move that it was told of."""

    stage: str
    moves: list[tuple[str, str]] = attrs.field(factory=list)

    def entered(self, source: str) -> None:
        self.moves.append((source, self.stage))


def test_two_more_stages_make_a_larger_table():
    """The pairs tried are all there are: 11 stages with 18 edges, and 13 stages with 22."""
    sizes = [(len(lifecycle.stages), len(list(lifecycle.edges()))) for lifecycle in LIFECYCLES]

    assert sizes == [(11, 18), (13, 22)]
    assert (len(LEGAL), len(ILLEGAL)) == (18 + 22, 11**2 + 13**2 - 18 - 22)


@pytest.mark.parametrize(("lifecycle", "source", "trigger"), LEGAL)
def test_legal_move_tells_the_source(lifecycle, source, trigger):
    """A trigger that the table has from here moves: `entered` is called once, with the source."""
    token = Token(source)

    move(token, lifecycle, trigger)

    assert token == Token(trigger, [(source, trigger)])


@pytest.mark.parametrize(("lifecycle", "source", "trigger"), ILLEGAL)
def test_illegal_move_raises_in_the_caller_and_changes_nothing(lifecycle, source, trigger):
    """A trigger that the table does not have from here raises what is allowed, and the stage stays."""
    token = Token(source)
    allowed = [target for edge_source, target in lifecycle.edges() if edge_source == source]

    with pytest.raises(IllegalMoveError) as raised:
        move(token, lifecycle, trigger)

    assert str(raised.value) == (
        f"no move from {source!r} to {trigger!r} in lifecycle {lifecycle.name!r}; "
        f"allowed: {', '.join(allowed) or 'nothing'}"
    )
    assert token == Token(source)


@pytest.mark.parametrize("lifecycle", LIFECYCLES, ids=lambda lifecycle: lifecycle.name)
def test_illegal_move_of_a_run_records_nothing(make_run, lifecycle):
    """A real run that is moved illegally, from any stage, keeps stage, resolution and trace as they were."""
    run = make_run(lifecycle=lifecycle)
    edges, refused = set(lifecycle.edges()), 0

    for source in lifecycle.by_name:
        run.stage = source
        for trigger in lifecycle.by_name:
            if (source, trigger) not in edges:
                with pytest.raises(IllegalMoveError):
                    move(run, lifecycle, trigger)
                refused += 1
                assert (run.stage, run.resolution, len(run.trace)) == (source, None, 0)

    assert refused == len(lifecycle.stages) ** 2 - len(edges)


@pytest.mark.parametrize("lifecycle", LIFECYCLES, ids=lambda lifecycle: lifecycle.name)
@pytest.mark.parametrize("trigger", ["nowhere", "", "to_dispose", "pending"])
def test_unknown_trigger_is_an_illegal_move(lifecycle, trigger):
    """What is no trigger of the lifecycle is refused from every stage like any other illegal move."""
    for source in lifecycle.by_name:
        token = Token(source)

        with pytest.raises(IllegalMoveError, match=f"no move from '{source}' to '{trigger}'"):
            move(token, lifecycle, trigger)

        assert token == Token(source)


@pytest.mark.parametrize("trigger", list(TASK_RUN.by_name))
def test_nothing_moves_from_a_stage_that_the_table_lacks(trigger):
    """A run that somehow is in a stage of another lifecycle is moved nowhere: nothing is allowed."""
    token = Token("scan")

    with pytest.raises(IllegalMoveError, match="allowed: nothing"):
        move(token, TASK_RUN, trigger)

    assert token == Token("scan")


def test_illegal_move_is_one_of_the_library_s_errors():
    """An embedder who catches the library's errors catches this one."""
    assert issubclass(IllegalMoveError, LifecycleError)


@pytest.mark.parametrize("lifecycle", LIFECYCLES, ids=lambda lifecycle: lifecycle.name)
def test_machine_is_shared_and_holds_no_run(lifecycle):
    """There is one machine for a lifecycle, with the table's edges, and moving registers no model."""
    machine = machine_for(lifecycle)
    tokens = [Token(lifecycle.initial.name) for _ in range(3)]

    for token in tokens:
        for destination in lifecycle.main_path[1:]:
            move(token, lifecycle, destination)

    assert machine_for(lifecycle) is machine
    assert machine.models == []
    assert [token.stage for token in tokens] == ["dispose"] * 3
    assert {
        (source, trigger) for trigger, event in machine.events.items() for source in event.transitions
    } == set(lifecycle.edges())


def edge(machine: Machine) -> Any:
    return machine.events["build"].transitions["prepare"][0]


SUBSCRIPTIONS: dict[str, Callable[[Machine, Callable[[EventData], Any]], Any]] = {
    "nothing": lambda machine, tell: None,
    "entering": lambda machine, tell: machine.states["build"].on_enter.append(tell),
    "leaving": lambda machine, tell: machine.states["prepare"].on_exit.append(tell),
    "before the edge": lambda machine, tell: edge(machine).before.append(tell),
    "after the edge": lambda machine, tell: edge(machine).after.append(tell),
    "preparing the edge": lambda machine, tell: edge(machine).prepare.append(tell),
    "a condition": lambda machine, tell: edge(machine).conditions.append(
        edge(machine).condition_cls(lambda data: bool(tell(data)))
    ),
    "before any": lambda machine, tell: setattr(machine, "before_state_change", tell),
    "after any": lambda machine, tell: setattr(machine, "after_state_change", tell),
    "preparing any": lambda machine, tell: setattr(machine, "prepare_event", tell),
    "finalizing any": lambda machine, tell: machine.finalize_event.append(tell),
    "a final stage": lambda machine, tell: [
        machine.states["build"].__dict__.update(final=True),
        machine.on_final.append(tell),
    ],
    "an error": lambda machine, tell: [
        machine.states["build"].__dict__.update(on_enter=[fails]),
        setattr(machine, "on_exception", tell),  # type: ignore[func-returns-value]
    ],
    "an error nobody expects": lambda machine, tell: machine.states["build"].__dict__.update(
        on_enter=[fails]
    ),
    "nowhere to go": lambda machine, tell: setattr(edge(machine), "dest", None),
    "no edges": lambda machine, tell: machine.events["build"].transitions.clear(),
}


def fails(event: EventData) -> None:
    raise ValueError("a subscriber fails")


def story_of_a_move(
    subscribe: Callable[[Machine, Callable[[EventData], Any]], Any], plain: bool
) -> list[Any]:
    """Move one token, with transitions' own trigger or ours; return all that anybody was told."""
    machine, token = machine_for.__wrapped__(TASK_RUN), Token("prepare")
    told: list[Any] = []

    def tell(event: EventData) -> None:
        state = event.state.name if event.state is not None else None
        way = (event.transition.source, event.transition.dest) if event.transition is not None else None
        told.append(
            (
                state,
                token.stage,
                event.event.name,
                way,
                event.args,
                event.kwargs,
                repr(event.error),
                event.result,
            )
        )

    subscribe(machine, tell)
    trigger: Any = machine.events["build"]
    try:
        told.append(Event.trigger(trigger, token, 1, two=2) if plain else trigger.trigger(token, 1, two=2))
    except Exception as error:
        told.append(repr(error))
    return [*told, token]


@pytest.mark.parametrize("subscribe", SUBSCRIPTIONS.values(), ids=SUBSCRIPTIONS)
def test_short_way_of_a_move_tells_what_the_long_one_tells(subscribe):
    """Whatever is subscribed to with transitions is called, with the same event data, as by its own trigger."""
    assert story_of_a_move(subscribe, plain=False) == story_of_a_move(subscribe, plain=True)


def test_move_is_logged_by_transitions_where_its_log_is_wanted(caplog):
    """Whoever turns the log of transitions on reads of every move."""
    caplog.set_level(logging.INFO, logger="transitions.core")

    move(Token("prepare"), TASK_RUN, "build")

    assert "Finished processing state build enter callbacks." in caplog.text


def test_lifecycles_have_machines_of_their_own():
    """A stage of one lifecycle is no stage of another."""
    assert machine_for(TASK_RUN) is not machine_for(INVENTED)
    assert "scan" not in machine_for(TASK_RUN).events


class AnyTrigger(RuleBasedStateMachine):
    """Pull any triggers in any order: a run only ever moves along the table, and never into a stage again."""

    lifecycle: Lifecycle = TASK_RUN

    def __init__(self) -> None:
        super().__init__()
        self.token = Token(self.lifecycle.initial.name)
        self.edges = set(self.lifecycle.edges())

    @rule(trigger=st.sampled_from([*INVENTED.by_name, "nowhere"]))
    def pull(self, trigger: str) -> None:
        before = attrs.evolve(self.token, moves=list(self.token.moves))
        try:
            move(self.token, self.lifecycle, trigger)
        except IllegalMoveError:
            assert (before.stage, trigger) not in self.edges
            assert self.token == before
        else:
            assert (before.stage, trigger) in self.edges
            assert self.token == Token(trigger, [*before.moves, (before.stage, trigger)])

    @rule(ahead=st.booleans())
    def advance(self, ahead: bool) -> None:
        """Go one of the ways that lead on, so that long paths are walked too."""
        stage = self.lifecycle[self.token.stage]
        destination = stage.next if ahead else stage.on_exception or stage.next
        if destination is not None:
            move(self.token, self.lifecycle, destination)

    @invariant()
    def walked_along_the_table(self) -> None:
        walked = [self.lifecycle.initial.name, *(stage for _, stage in self.token.moves)]
        assert self.token.moves == list(itertools.pairwise(walked))
        assert set(self.token.moves) <= self.edges
        assert len(set(walked)) == len(walked)


class AnyTriggerInvented(AnyTrigger):
    """The same for a table with stages of an embedder's own."""

    lifecycle = INVENTED


for machine in (AnyTrigger, AnyTriggerInvented):
    machine.TestCase.settings = settings(stateful_step_count=30, max_examples=60)
TestAnyTrigger = AnyTrigger.TestCase
TestAnyTriggerInvented = AnyTriggerInvented.TestCase
