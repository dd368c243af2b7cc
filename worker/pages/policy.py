"""What a browser may do with what it gets here: names, logs and artifacts are hostile, pages are read by people.

Pages run the scripts that lie beside them and nothing else; artifacts run nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping

_NOWHERE = "base-uri 'none'; form-action 'none'"

EVERYTHING: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # an address here is a secret that a link must not tell
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""The headers of every response."""

PAGE: Mapping[str, str] = {
    **EVERYTHING,
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    f"img-src 'self' data:; {_NOWHERE}; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""The headers of a page."""

DATA: Mapping[str, str] = {
    **EVERYTHING,
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
}
"""The headers of what is no page: events, logs, artifacts. Whoever opens one in a window gets a sandbox."""

ASSET: Mapping[str, str] = {**DATA, "Cache-Control": "no-cache"}
"""The headers of a script or style sheet."""


def static_policy(scripts: Iterable[str], styles: Iterable[str]) -> str:
    """Return the policy of a page that is one file: only what stands in it runs, by its hash, and it asks for nothing.

    >>> static_policy(["run()"], []).split("; ")[:2]
    ["default-src 'none'", "script-src 'sha256-AvyuiL0SD1mVY3NNxR+V2uo+lhk6RMFrytWmRt6CrJQ='"]
    """
    return f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; img-src data:; {_NOWHERE}"


def _hashes(texts: Iterable[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
