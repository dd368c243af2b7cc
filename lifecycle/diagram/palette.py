"""The colours of the pictures, light and dark, and the style sheet that both SVGs share."""

from __future__ import annotations

from string import Template

LIGHT = {
    "page": "#f7f8fa",
    "card": "#ffffff",
    "edge": "#c6cdd8",
    "main": "#8a96a8",
    "ink": "#1b2430",
    "muted": "#5b6778",
    "path": "#2f62d9",
    "soft": "#eef3fe",
    "good": "#1a7f4b",
    "warn": "#a8660a",
    "bad": "#c42b38",
    "badsoft": "#fdeeee",
    "lit": "#fdf3da",
    "lost": "#7a4bc2",
    "aside": "#d3a9ac",
}

DARK = {
    "page": "#10141a",
    "card": "#1a2029",
    "edge": "#3c4654",
    "main": "#66748a",
    "ink": "#e8ecf2",
    "muted": "#98a4b5",
    "path": "#7da2ff",
    "soft": "#1c2740",
    "good": "#4cc38a",
    "warn": "#e8b04b",
    "bad": "#ff7b82",
    "badsoft": "#3a1d22",
    "lit": "#332a14",
    "lost": "#b794f6",
    "aside": "#7d4c52",
}

FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace"

_SHAPES = f"""
.stagecall text{{font-family:{FONTS};font-size:11px}}
.stagecall .name{{font-size:14px;font-weight:600}}
.stagecall .name.right{{font-size:12.5px;font-weight:500}}
.stagecall .hook{{font-family:{MONO}}}
.stagecall .error{{font-size:10.5px}}
.stagecall .right{{text-anchor:end;font-variant-numeric:tabular-nums}}
.stagecall .verdict{{font-size:17px;font-weight:600}}
.stagecall .stagename{{font-weight:600}}
.stagecall .onbar{{font-size:10px}}
.stagecall .stage.skipped,.stagecall.run .edge:not(.taken){{opacity:.5}}
.stagecall .box{{stroke-width:1.25}}
.stagecall .entered .box{{stroke-width:1.5}}
.stagecall .stage.failed .box,.stagecall .current .box{{stroke-width:2}}
.stagecall .unknown .box{{stroke-dasharray:4 3}}
.stagecall .inner,.stagecall .column{{fill:none}}
.stagecall .edge path{{fill:none;stroke-width:2;stroke-linecap:round}}
.stagecall .edge.exception path{{stroke-width:1.25}}
.stagecall .edge.taken path{{stroke-width:2.5}}
.stagecall .edge.undeclared path{{stroke-dasharray:1 5}}
.stagecall .sign{{fill:none;stroke-width:2;stroke-linecap:round}}
.stagecall .grid{{stroke-dasharray:2 3}}
.stagecall .abort{{stroke-width:1.5}}
"""

_COLOURS = Template("""
.stagecall text{fill:$ink}
.stagecall .text,.stagecall .muted,.stagecall .right,.stagecall .more{fill:$muted}
.stagecall .hook{fill:$path}
.stagecall .name.right{fill:$ink}
.stagecall .error,.stagecall text.failed,.stagecall text.timeout{fill:$bad}
.stagecall text.refused,.stagecall text.open{fill:$warn}
.stagecall text.abandoned{fill:$lost}
.stagecall .box{fill:$card;stroke:$edge}
.stagecall .inner{stroke:$edge}
.stagecall .stage.aside .box{stroke:$aside}
.stagecall .entered .box{fill:$soft;stroke:$path}
.stagecall .entered .inner{stroke:$path}
.stagecall .stage.aside.entered .box{fill:$card;stroke:$bad}
.stagecall .current .box{fill:$lit;stroke:$warn}
.stagecall .stage.failed .box{fill:$badsoft;stroke:$bad}
.stagecall .stage.failed .inner,.stagecall .unknown .box{stroke:$bad}
.stagecall .unknown .name{fill:$bad}
.stagecall .edge path{stroke:$main}
.stagecall .edge polygon{fill:$main}
.stagecall .edge.exception path{stroke:$aside}
.stagecall .edge.exception polygon{fill:$aside}
.stagecall .edge.taken path{stroke:$path}
.stagecall .edge.taken polygon{fill:$path}
.stagecall .edge.exception.taken path,.stagecall .edge.undeclared path{stroke:$bad}
.stagecall .edge.exception.taken polygon,.stagecall .edge.undeclared polygon{fill:$bad}
.stagecall .abort,.stagecall .sign{stroke:$bad}
.stagecall .grid{stroke:$edge}
.stagecall .current .column{fill:$lit}
.stagecall .dot.ok,.stagecall .bar.ok{fill:$path}
.stagecall .dot.completed{fill:$good}
.stagecall .dot.failed,.stagecall .dot.exception,.stagecall .bar.failed{fill:$bad}
.stagecall .dot.refused,.stagecall .dot.open,.stagecall .bar.refused{fill:$warn}
.stagecall .dot.cancelled,.stagecall .bar.cancelled{fill:$muted}
.stagecall .dot.abandoned,.stagecall .bar.abandoned{fill:$lost}
.stagecall .bar.timeout{fill:$badsoft;stroke:$bad}
.stagecall .bar.open{fill:$lit;stroke:$warn}
.stagecall .onbar{fill:$card}
.stagecall .timeout+.onbar,.stagecall .open+.onbar{fill:$ink}
""")


def both(colours: Template) -> str:
    """Return rules in light colours, and again in dark ones for who prefers them."""
    return colours.substitute(LIGHT) + in_dark(colours.substitute(DARK))


def in_dark(rules: str) -> str:
    """Return `rules` for who prefers dark."""
    return f"@media (prefers-color-scheme:dark){{{rules}}}"


def style_sheet() -> str:
    """Return the style sheet of the SVGs."""
    return _SHAPES + both(_COLOURS)
