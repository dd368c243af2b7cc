"""Puts the generated state diagram into README.md; with `--check` only says whether it is stale.

`make readme` calls it.
"""

import sys
from pathlib import Path

from stagecall.lifecycle import TASK_RUN
from stagecall.lifecycle.diagram import mermaid

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- diagram:start -->\n", "<!-- diagram:end -->"


def refreshed(text: str) -> str:
    """Return the text of README.md with the diagram as it is generated now."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}```mermaid\n{mermaid(TASK_RUN).strip()}\n```\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Refresh or check; return the exit code."""
    text = README.read_text(encoding="utf-8")
    fresh = refreshed(text)
    if "--check" in arguments:
        stale = "the diagram in README.md is stale: run `make readme`"
        print("README.md is up to date" if fresh == text else stale)
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
