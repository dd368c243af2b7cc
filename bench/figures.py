"""What a row of the benchmark says."""

from __future__ import annotations

from typing import Any

import attrs

from bench.measure import Series


@attrs.frozen
class Figure:
    """One measured value; `unit` as it is written behind it."""

    title: str
    value: float
    unit: str

    def to_document(self) -> dict[str, Any]:
        """Return the figure as the JSON has it."""
        return {"title": self.title, "value": rounded(self.value), "unit": self.unit}


@attrs.frozen
class Target:
    """What the design asks of a row: at most `most`, or at least `least`; `text` is how the table shows it."""

    text: str
    most: float | None = None
    least: float | None = None

    def met(self, value: float) -> bool:
        """Whether a value is good enough."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)


@attrs.frozen
class Result:
    """One row as it was measured; `ratio` is that of `value` to the floor, and `beside` tells where the value
    comes from.
    """

    value: float
    spread: tuple[float, float]
    floor: Figure
    ratio: float | None
    beside: tuple[Figure, ...] = ()

    @classmethod
    def of(
        cls, series: Series, floor_title: str, floor: Series, unit: str, beside: tuple[Figure, ...] = ()
    ) -> Result:
        """Return the result of a row and its floor that took turns."""
        bare = Figure(floor_title, floor.median, unit)
        return cls(series.median, series.spread, bare, series.over(floor), beside)

    def to_document(self) -> dict[str, Any]:
        """Return the result as the JSON has it."""
        return {
            "value": rounded(self.value),
            "spread": [rounded(value) for value in self.spread],
            "floor": self.floor.to_document(),
            "ratio": None if self.ratio is None else rounded(self.ratio),
            "beside": [figure.to_document() for figure in self.beside],
        }


def rounded(value: float) -> float:
    """Return a value to four digits, which is more than any of these figures is good for.

    >>> rounded(123.456)
    123.5
    """
    return float(f"{value:.4g}")
