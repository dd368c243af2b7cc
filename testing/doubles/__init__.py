"""Stand-ins for what surrounds the plugin or engine you test, and runs to put it in.

| to | use |
|---|---|
| make runs, and have each judged by every rule | `Bench` |
| have an engine whose calls do as told | `ScriptedEngine` |
| have a plugin whose hooks do as told, or that remembers them | `ScriptedPlugin`, `HookRecorder` |
| see what a run told the worker or stored | `RecordingEnvironment`, `RecordingMonitor`, `RecordingStore` |
| have web hooks without a server | `RecordingWebHooks` |
| read a trace | `path`, `hooks`, `outcomes`, `errors`, `assert_sound` |

A fixture for pytest is five lines::

    @pytest.fixture
    def make_run(tmp_path):
        with Bench(tmp_path) as bench:
            yield bench
"""

from .engine import CALLS, Deed, ScriptedEngine
from .plugins import HookRecorder, ScriptedPlugin, task_plugin_class
from .runs import LIMITS, Bench
from .surroundings import RecordingEnvironment, RecordingMonitor, RecordingStore, RecordingWebHooks
from .traces import assert_sound, assert_sound_so_far, errors, hooks, outcomes, path

__all__ = [
    "CALLS",
    "LIMITS",
    "Bench",
    "Deed",
    "HookRecorder",
    "RecordingEnvironment",
    "RecordingMonitor",
    "RecordingStore",
    "RecordingWebHooks",
    "ScriptedEngine",
    "ScriptedPlugin",
    "assert_sound",
    "assert_sound_so_far",
    "errors",
    "hooks",
    "outcomes",
    "path",
    "task_plugin_class",
]
