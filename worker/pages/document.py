"""Pages from their templates: `static/run.html` and `static/index.html`.

A template is plain HTML with three marks: `<!--stagecall:policy-->`, `<!--stagecall:data-->` and
`<!--stagecall:diagram-->`. It names style sheets as `<link rel="stylesheet" href="…static/page.css">` and scripts as
`<script defer src="…static/run.js"></script>`. A served page leads to those files; the page that is one file holds
them, the scripts at the end of its body, as only scripts of their own address can be deferred.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .assets import asset, template
from .policy import static_policy

_STYLE = re.compile(r'<link rel="stylesheet" href="(?:\.\./)*static/([\w.-]+)">')
_SCRIPT = re.compile(r'<script defer src="(?:\.\./)*static/([\w.-]+)"></script>\n?')
_MARK = re.compile("<!--stagecall:(policy|data|diagram)-->")


def served_page(name: str, diagram: str = "") -> str:
    """Return a page that leads to its scripts, styles and data."""
    return _filled(template(name), {"diagram": diagram})


def whole_page(name: str, data: Mapping[str, Any], diagram: str = "") -> str:
    """Return a page that holds all it needs, `data` too, and asks for nothing."""
    source = template(name)
    styles = [asset(found) for found in _STYLE.findall(source)]
    scripts = [asset(found) for found in _SCRIPT.findall(source)]
    policy = f'<meta http-equiv="Content-Security-Policy" content="{static_policy(scripts, styles)}">'
    source = _STYLE.sub(lambda found: f"<style>{asset(found[1])}</style>", _SCRIPT.sub("", source))
    inlined = "".join(f"<script>{script}</script>\n" for script in scripts)
    head, body, rest = source.rpartition("</body>")
    filling = {"policy": policy, "data": embedded(data), "diagram": diagram}
    return _filled(head, filling) + inlined + body + rest


def embedded(data: Mapping[str, Any]) -> str:
    r"""Return data as an element that scripts read and no browser runs; nothing in it can end the element.

    >>> print(embedded({"text": "</script><!--"}))
    <script type="application/json" id="stagecall-data">{"text":"\u003c/script\u003e\u003c!--"}</script>
    """
    text = json.dumps(data, separators=(",", ":"), default=str)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="stagecall-data">{text}</script>'


def _filled(source: str, parts: Mapping[str, str]) -> str:
    """Put every part in its place in one pass, so that nothing put in is taken for a mark."""
    return _MARK.sub(lambda found: parts.get(found[1], ""), source)
