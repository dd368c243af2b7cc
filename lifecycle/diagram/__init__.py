"""Pictures of a lifecycle and of one run of it: mermaid and dot as text, SVG and HTML, a time line.

All of it is synchronous and meant for command lines and builds: `svg` and `html` run Graphviz and wait for
it, so where an event loop runs, call them in a thread.
"""

from .dot_text import dot
from .errors import DiagramError
from .mermaid_text import mermaid
from .page import html
from .picture import outline, svg
from .time_line import timeline

__all__ = ["DiagramError", "dot", "html", "mermaid", "outline", "svg", "timeline"]
