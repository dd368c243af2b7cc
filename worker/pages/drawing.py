"""The picture of a lifecycle as pages hold it: bare, for scripts to light up."""

from __future__ import annotations

from functools import lru_cache

from ...lifecycle.diagram import DiagramError, outline
from ...specs.lifecycle import Lifecycle


@lru_cache(maxsize=16)
def diagram_of(lifecycle: Lifecycle) -> str:
    """Return the lifecycle's outline as SVG to stand in a page; empty where there is no Graphviz.

    Graphviz is run once for each lifecycle, and waited for: in a thread, please.
    """
    try:
        return outline(lifecycle)
    except DiagramError:
        return ""
