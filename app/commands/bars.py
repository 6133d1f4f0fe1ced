"""How progress looks: lines of text and bars, as wide as the terminal. Owns rendering only, and knows no clock.

One line for each thing that runs, whatever happens: who draws over lines again has to know how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.commands.printing import cells, printable, shortened

LABEL_COLUMNS: Final = 24
FEWEST_BAR_COLUMNS: Final = 10

_FULL, _HALF, _REST = "━", "╸", "━"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line. `share` is 0..1, None while nothing is known; `count` such as 12/20; `note` says what goes on.

    Where nothing can be drawn, a line is written whenever `phase` changes and `marks` times on the way to the end.
    """

    label: str
    share: float | None = None
    count: str = ""
    note: str = ""
    eta_s: float | None = None
    is_inner: bool = False
    phase: str = ""
    marks: int = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A text and what it looks like, in Rich's words for styles."""

    text: str
    style: str = ""


def line(bar: Bar, columns: int) -> list[Piece]:
    """A bar in exactly one line of at most so many columns."""
    indent = "  " if bar.is_inner else ""
    width = min(LABEL_COLUMNS, max(8, columns // 3))
    label = _padded(indent + shortened(printable(bar.label), width - len(indent)), width)
    numbers = _numbers(bar)
    note = printable(bar.note)
    left = columns - 1 - width - 1 - cells(numbers)
    note_columns = min(cells(note), max(0, left - FEWEST_BAR_COLUMNS - 2), 26)
    note = shortened(note, note_columns)
    # A note comes and goes; the bar in front of it should not jump with every node.
    bar_columns = max(0, min(left - 2 - 26 if left - 2 - 26 >= FEWEST_BAR_COLUMNS else left - 2 - note_columns, 40))
    return [
        Piece(label, "bold" if not bar.is_inner else ""),
        Piece(" "),
        *_bar(bar.share, bar_columns),
        Piece(numbers, "cyan"),
        Piece(f"  {note}" if note else "", "dim"),
    ]


def plain(bar: Bar) -> str:
    """The same in words, for where nothing can be drawn."""
    numbers = _numbers(bar).strip()
    told = ", ".join(filter(None, (numbers, printable(bar.note))))
    return f"{printable(bar.label)}: {told}" if told else printable(bar.label)


def duration(seconds: float) -> str:
    """`42s`, `3:05` or `2:03:20`."""
    whole = max(0, round(seconds))
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours}:{minutes % 60:02d}:{whole % 60:02d}"
    return f"{minutes}:{whole % 60:02d}" if minutes else f"{whole}s"


def _numbers(bar: Bar) -> str:
    share = "" if bar.share is None else f"{int(bar.share * 100):3d}%"
    eta = "" if bar.eta_s is None else f"~{duration(bar.eta_s)}"
    return "".join(f" {part}" for part in (share, bar.count, eta) if part)


def _bar(share: float | None, columns: int) -> list[Piece]:
    if columns < FEWEST_BAR_COLUMNS:
        return []
    if share is None:
        return [Piece(_REST * columns, "bright_black")]
    halves = round(min(1.0, max(0.0, share)) * columns * 2)
    done = _FULL * (halves // 2) + _HALF * (halves % 2)
    return [Piece(done, "green" if share >= 1 else "magenta"), Piece(_REST * (columns - len(done)), "bright_black")]


def _padded(text: str, width: int) -> str:
    return text + " " * max(0, width - cells(text))
