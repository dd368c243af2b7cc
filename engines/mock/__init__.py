"""The mock engine: tasks that only pretend, for property tests, benchmarks and the authors of plugins.

It does exactly what the payload says, starts no process, keeps its files in memory, and costs microseconds.
"""

from .builder import MockSandboxBuilder
from .display import MOCK_DISPLAY
from .engine import MockEngine, MockProvider, provider
from .payload import FUNCTIONS, Payload
from .result_set import MockResultSet
from .sandbox import MockSandbox
from .shell import MockShell
from .volumes import MockVolume, MockVolumeBuilder

__all__ = [
    "FUNCTIONS",
    "MOCK_DISPLAY",
    "MockEngine",
    "MockProvider",
    "MockResultSet",
    "MockSandbox",
    "MockSandboxBuilder",
    "MockShell",
    "MockVolume",
    "MockVolumeBuilder",
    "Payload",
    "provider",
]
