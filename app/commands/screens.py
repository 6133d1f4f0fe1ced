"""Where commands that take a while say what they do: bars on a terminal, lines elsewhere, or nothing.

Owns stderr while one is open. Nothing here goes to stdout, and no control character to what is no terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment
from rich.text import Text

from app.commands import previews
from app.commands.bars import Bar, drawn, plain
from app.commands.previews import Area
from app.commands.printing import printable
from app.commands.terminal import Pictures, Terminal


class Screen(Protocol):
    """`show` keeps what to draw, `draw` draws it if it is news: ten times a second is enough."""

    def say(self, text: str) -> None: ...
    def show(self, bars: Sequence[Bar]) -> None: ...
    def picture(self, content: bytes) -> None: ...
    def draw(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: TracebackType | None) -> None: ...


def screen_of(terminal: Terminal, *, quiet: bool, pictures: bool | None) -> Screen:
    """`pictures` None: where the terminal has a way of its own for them; True: as half blocks elsewhere."""
    if quiet:
        return Silent()
    if not terminal.is_live:
        return Lines()
    protocol = Pictures.NONE if pictures is False else terminal.pictures
    if pictures and protocol is Pictures.NONE:
        protocol = Pictures.BLOCKS
    return Bars(protocol, has_true_colour=terminal.has_true_colour)


class Silent:
    """--quiet: only errors are told, and not here."""

    def say(self, text: str) -> None:
        pass

    def show(self, bars: Sequence[Bar]) -> None:
        pass

    def picture(self, content: bytes) -> None:
        pass

    def draw(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: TracebackType | None) -> None:
        pass


class Lines(Silent):
    """For files, pipes and terminals that are none: a line for each milestone."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, int]] = {}

    def say(self, text: str) -> None:
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()

    def show(self, bars: Sequence[Bar]) -> None:
        for bar in bars:
            mark = int((bar.share or 0.0) * bar.marks)
            if not bar.is_inner and self._told.get(bar.label) != (bar.phase, mark):
                self._told[bar.label] = (bar.phase, mark)
                self.say(plain(bar))


class Bars(Silent):
    """For terminals. The picture, once there is one, is above what is said after it, and the bars are last."""

    def __init__(self, pictures: Pictures, *, has_true_colour: bool) -> None:
        self._console = Console(file=sys.stderr, force_terminal=True, highlight=False, markup=False, soft_wrap=False)
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._pictures, self._has_true_colour = pictures, has_true_colour
        self._bars: tuple[Bar, ...] = ()
        self._drawn: tuple[Bar, ...] = ()
        self._area: Area | None = None
        self._below = 0
        self._picture = b""

    def say(self, text: str) -> None:
        shown = Text(printable(text), no_wrap=False, overflow="fold")
        self._below += len(shown.wrap(self._console, self._console.width))
        self._console.print(shown)

    def show(self, bars: Sequence[Bar]) -> None:
        self._bars = tuple(bars)

    def picture(self, content: bytes) -> None:
        if self._pictures is not Pictures.NONE:
            self._picture = content

    def draw(self) -> None:
        if self._bars != self._drawn:
            self._drawn = self._bars
            lines = [
                Text.assemble(*((piece.text, piece.style) for piece in pieces), end="")
                for pieces in drawn(self._bars, self._console.width)
            ]
            for each in lines:
                each.no_wrap, each.overflow = True, "crop"
            self._live.update(Text("\n").join(lines), refresh=True)
        if self._picture:
            self._draw_picture(self._picture)
            self._picture = b""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: TracebackType | None) -> None:
        self.draw()
        self._live.stop()

    def _draw_picture(self, content: bytes) -> None:
        size = self._console.size
        if self._area is None:
            self._area = previews.area_of(size.width, size.height)
            if self._area is None:
                self._pictures = Pictures.NONE
                return
            self._console.print("\n" * (self._area.rows - 1))
            self._below = 0
        up = self._area.rows + self._below + max(1, len(self._drawn)) - 1
        written = previews.drawn(content, self._pictures, self._area, has_true_colour=self._has_true_colour)
        if written and up < size.height:
            # The cursor is kept where the bars left it, for they find their own lines from there.
            text = f"\x1b7\r\x1b[{up}A{written}\x1b8"
            self._console.control(_Raw(text))


class _Raw(Control):
    """Written as it is: what draws pictures is none of the controls that Rich knows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.segment = Segment(text, None, [(ControlType.CARRIAGE_RETURN,)])
