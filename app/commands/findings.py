"""What a doctor finds: whether a thing works, what was seen, and what helps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """`warning`: work gets done, but less of it, or not for long. `broken`: something does not work."""

    FINE = "fine"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is empty where none is needed."""

    name: str
    state: State
    seen: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "state": self.state, "seen": self.seen, "remedy": self.remedy or None}


def fine(name: str, seen: str) -> Finding:
    return Finding(name, State.FINE, seen)


def warning(name: str, seen: str, remedy: str) -> Finding:
    return Finding(name, State.WARNING, seen, remedy)


def broken(name: str, seen: str, remedy: str) -> Finding:
    return Finding(name, State.BROKEN, seen, remedy)


def is_sound(findings: Sequence[Finding]) -> bool:
    """Whether nothing of it is broken."""
    return all(each.state is not State.BROKEN for each in findings)
