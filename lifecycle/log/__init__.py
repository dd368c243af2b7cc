"""The log of one task: where its output and what is said about it are kept, in order, and read while they come."""

from .masks import Masks
from .task_log import TaskLog
from .view import LogView

__all__ = ["LogView", "Masks", "TaskLog"]
