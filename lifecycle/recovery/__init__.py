"""Ends the runs of processes that died: completes their traces, reports what nobody was told, undoes their leases."""

from __future__ import annotations

from .recover import recover
from .result import Left, RecoveredRun, Recovery

__all__ = ["Left", "RecoveredRun", "Recovery", "recover"]
