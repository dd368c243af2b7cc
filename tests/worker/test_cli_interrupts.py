"""Signals are counted, and only Ctrl-C goes beyond the first step."""

import asyncio
import os
import signal

import pytest

from stagecall.worker.cli.interrupts import Interrupts


@pytest.fixture
def steps() -> list[str]:
    return []


@pytest.fixture
def interrupts(steps) -> Interrupts:
    def step(name):
        return lambda signal: steps.append(f"{name} by {signal}")

    return Interrupts(step("abort"), step("hurry"), step("quit"))


@pytest.mark.parametrize(
    ("signals", "taken"),
    [
        (["SIGINT", "SIGINT", "SIGINT", "SIGINT"], ["abort", "hurry", "quit", "quit"]),
        (["SIGTERM", "SIGTERM", "SIGHUP"], ["abort"]),
        (["SIGTERM", "SIGINT"], ["abort", "hurry"]),
        (["SIGINT", "SIGHUP", "SIGINT"], ["abort", "hurry"]),
    ],
)
def test_steps(interrupts, steps, signals, taken):
    """The first signal of any kind aborts, each further Ctrl-C goes one step on, others do not."""
    for name in signals:
        interrupts.take(signal.Signals[name])

    assert [step.split()[0] for step in steps] == taken


def test_signals_are_named(interrupts, steps):
    """People know SIGINT as Ctrl-C."""
    interrupts.take(signal.SIGTERM)
    interrupts.take(signal.SIGINT)

    assert steps == ["abort by SIGTERM", "hurry by Ctrl-C"]


async def test_handlers_are_taken_off_again(interrupts, steps):
    """While installed, signals reach the steps; afterwards they are handled as before."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    received = asyncio.Event()
    interrupts = Interrupts(lambda signal: received.set())

    with interrupts.installed():
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(30):
            await received.wait()

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


async def test_what_was_ignored_stays_ignored(interrupts, steps):
    """A program that was started with a signal ignored, as by nohup, goes on ignoring it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.installed():
            handler = signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert handler is signal.SIG_IGN
