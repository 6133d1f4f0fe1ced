"""What a benchmark found, as a table in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HEADER: Final = ("", "ours", "baseline", "result", "goal", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `result` is what the goal is about: a ratio, or what we add; `is_met` is None without a goal."""

    name: str
    ours: str
    baseline: str
    result: str
    goal: str = "-"
    is_met: bool | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = {True: "ok", False: "MISSED", None: ""}[self.is_met]
        return (self.name, self.ours, self.baseline, self.result, self.goal, verdict)


def at_least(name: str, ours: str, baseline: str, ratio: float, goal: float | None = None) -> Row:
    """A ratio that should be high."""
    if goal is None:
        return Row(name, ours, baseline, f"{ratio:.2f}")
    return Row(name, ours, baseline, f"{ratio:.2f}", f">= {goal:g}", ratio >= goal)


def at_most(name: str, ours: str, baseline: str, value: float, unit: str, goal: float | None = None) -> Row:
    """A cost that should be low."""
    if goal is None:
        return Row(name, ours, baseline, f"{value:.2f} {unit}")
    return Row(name, ours, baseline, f"{value:.2f} {unit}", f"<= {goal:g} {unit}", value <= goal)


def rendered(title: str, rows: Sequence[Row]) -> str:
    """The table with its title; columns as wide as needed."""
    lines = [HEADER, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([title, "-" * len(title), *text, ""])
