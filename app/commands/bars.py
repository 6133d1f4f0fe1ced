"""How progress looks: lines of text and bars, as wide as the terminal. Owns rendering only, and knows no clock.

One line for each thing that runs, whatever happens: who draws over lines again has to know how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.commands.printing import cells, printable, shortened

LABEL_COLUMNS: Final = 24
NOTE_COLUMNS: Final = 20
ETA_COLUMNS: Final = 5
FEWEST_BAR_COLUMNS: Final = 10
MOST_BAR_COLUMNS: Final = 40

_FULL, _HALF, _REST = "━", "╸", "─"


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


def drawn(bars: Sequence[Bar], columns: int) -> list[list[Piece]]:
    """Each bar in exactly one line of at most so many columns, those of one kind of fact below each other."""
    label = min(LABEL_COLUMNS, max(8, columns // 3))
    count = max((cells(bar.count) for bar in bars), default=0)
    eta = max((cells(_eta(bar)) for bar in bars), default=0)
    numbers = 5 + (count + 1 if count else 0) + (max(eta, ETA_COLUMNS) + 1 if eta else 0)
    left = columns - 1 - label - 1 - numbers
    note = min(NOTE_COLUMNS, max(0, left - FEWEST_BAR_COLUMNS - 2))
    width = max(0, min(left - 2 - note, MOST_BAR_COLUMNS))
    shown = [_line(bar, label, width, count, max(eta, ETA_COLUMNS) if eta else 0, note) for bar in bars]
    return [_cut(pieces, columns - 1) for pieces in shown]


def _line(bar: Bar, label: int, width: int, count: int, eta: int, note: int) -> list[Piece]:
    indent = "  " if bar.is_inner else ""
    share = "" if bar.share is None else f"{int(bar.share * 100)}%"
    numbers = f"{share:>5}" + (f" {bar.count:>{count}}" if count else "") + (f" {_eta(bar):>{eta}}" if eta else "")
    told = shortened(printable(bar.note), note)
    return [
        Piece(_padded(indent + shortened(printable(bar.label), label - len(indent)), label), "" if indent else "bold"),
        Piece(" "),
        *_bar(bar.share, width),
        Piece(numbers, "cyan"),
        Piece(f"  {told}" if told else "", "dim"),
    ]


def plain(bar: Bar) -> str:
    """The same in words, for where nothing can be drawn."""
    share = "" if bar.share is None else f"{int(bar.share * 100)}%"
    numbers = " ".join(filter(None, (share, bar.count, _eta(bar))))
    told = ", ".join(filter(None, (numbers, printable(bar.note))))
    return f"{printable(bar.label)}: {told}" if told else printable(bar.label)


def duration(seconds: float) -> str:
    """`42s`, `3:05` or `2:03:20`."""
    whole = max(0, round(seconds))
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours}:{minutes % 60:02d}:{whole % 60:02d}"
    return f"{minutes}:{whole % 60:02d}" if minutes else f"{whole}s"


def _cut(pieces: list[Piece], columns: int) -> list[Piece]:
    """For windows too narrow for everything."""
    kept = []
    for piece in pieces:
        text = shortened(piece.text, columns) if cells(piece.text) > columns else piece.text
        columns -= cells(text)
        kept.append(Piece(text, piece.style))
    return kept


def _eta(bar: Bar) -> str:
    return "" if bar.eta_s is None else f"~{duration(bar.eta_s)}"


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
