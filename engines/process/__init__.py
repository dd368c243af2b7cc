"""The engine `process`: runs a command of the host in a fresh folder, and leaves no process of it behind."""

from .config import ProcessConfig
from .engine import ProcessEngine, ProcessProvider, provider

__all__ = ["ProcessConfig", "ProcessEngine", "ProcessProvider", "provider"]
