"""Where artifacts go without a queue: a folder on disk, or memory.

All refuse bad names although plugins have checked them, and all hold that a run may replace a redirect by anything,
and anything else only by the same. All give back what they hold.
"""

from .content import CHUNK_BYTES
from .folder import FolderStore, by_run
from .memory import Kept, MemoryStore
from .undo import undo_part

__all__ = ["CHUNK_BYTES", "FolderStore", "Kept", "MemoryStore", "by_run", "undo_part"]
