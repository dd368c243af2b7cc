"""A run in which anything may go wrong, told beforehand: behaviours, who behaves so, and what must hold all the same.

A `FaultSchedule` says what each call of a run does and when the run is aborted. A `Trial` plays it around the plugins
and the engine under test, on a virtual clock; `assert_kept` judges it. `play` does both.

Random schedules are drawn by `stagecall.testing.strategies`, runs that are also moved at random by
`stagecall.testing.machine`.
"""

from .behaviour import CALM, ERRORS, WILD, Act, Behaviour, Foreign, Unprintable
from .engine import ENGINE_CALLS, ENGINE_FEATURES, ChaosEngine
from .play import play
from .plugin import ChaosPlugin, Witness
from .scene import Scene
from .schedule import AbortAt, FaultSchedule, PluginFaults, own_actions
from .trial import Trial
from .verdict import assert_kept

__all__ = [
    "CALM",
    "ENGINE_CALLS",
    "ENGINE_FEATURES",
    "ERRORS",
    "WILD",
    "AbortAt",
    "Act",
    "Behaviour",
    "ChaosEngine",
    "ChaosPlugin",
    "FaultSchedule",
    "Foreign",
    "PluginFaults",
    "Scene",
    "Trial",
    "Unprintable",
    "Witness",
    "assert_kept",
    "own_actions",
    "play",
]
