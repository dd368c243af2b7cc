"""A lifecycle in the languages of other tools: SCXML for those that draw and run state charts, Promela for Spin.

Both come from the same table that the driver follows, sound or not. Spin's opinion on it is a second one: the
Promela model shares nothing with the driver, the machine or `lifecycle/check` but the table.
"""

from .claims import CLAIMS, Claim
from .names import ExportError
from .promela import promela
from .scxml import scxml

__all__ = ["CLAIMS", "Claim", "ExportError", "promela", "scxml"]
