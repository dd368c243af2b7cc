"""What goes wrong when a picture is made."""

from __future__ import annotations

from ..errors import StagecallError


class DiagramError(StagecallError):
    """The host's fault: Graphviz is missing, failed or took too long; the message says which."""
