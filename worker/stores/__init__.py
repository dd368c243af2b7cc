"""Where artifacts go without a queue: a folder on disk, memory, or object storage; `open_store` tells by a URL.

All refuse bad names although plugins have checked them, and all hold that a run may replace a redirect by anything,
and anything else only by the same. All give back what they hold.
"""

from .content import CHUNK_BYTES
from .faults import Retry
from .folder import FolderStore
from .memory import Kept, MemoryStore
from .objects import ObjectStore
from .replacing import by_run
from .undo import undo_part
from .urls import open_store

__all__ = [
    "CHUNK_BYTES",
    "FolderStore",
    "Kept",
    "MemoryStore",
    "ObjectStore",
    "Retry",
    "by_run",
    "open_store",
    "undo_part",
]
