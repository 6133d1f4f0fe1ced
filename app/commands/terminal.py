"""What the terminal can show, told from the environment and from what the streams are connected to.

The one module of the commands that reads the environment. Asks the terminal nothing: an answer that comes late would
end up in the next command line.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Pictures(StrEnum):
    """How a terminal takes pictures: by a protocol of its own, or as half blocks of colour, which any can."""

    NONE = "none"
    KITTY = "kitty"
    ITERM = "iterm"
    BLOCKS = "blocks"


_ITERM: Final = frozenset({"iTerm.app", "WezTerm", "mintty"})
_KITTY_TERMS: Final = frozenset({"xterm-kitty", "xterm-ghostty"})


@dataclass(frozen=True, slots=True)
class Terminal:
    """`is_live`: lines may be drawn over again, with colours. `pictures` is what the terminal itself is known for."""

    is_live: bool = False
    pictures: Pictures = Pictures.NONE
    columns: int = 80
    rows: int = 24
    has_true_colour: bool = False


def here() -> Terminal:
    """That of this process. Bars need both streams to be one: who sends results elsewhere gets plain lines."""
    size = shutil.get_terminal_size()
    can_draw = (sys.stderr.encoding or "").lower().startswith("utf")
    is_terminal = can_draw and sys.stdout.isatty() and sys.stderr.isatty()
    return seen(os.environ, is_terminal=is_terminal, columns=size[0], rows=size[1])


def seen(environment: Mapping[str, str], *, is_terminal: bool, columns: int = 80, rows: int = 24) -> Terminal:
    """What is known of a terminal with this environment."""
    is_live = (
        is_terminal
        and not environment.get("NO_COLOR")
        and environment.get("TERM", "").lower() not in {"", "dumb", "unknown"}
    )
    pictures = _pictures(environment) if is_live else Pictures.NONE
    has_true_colour = environment.get("COLORTERM") in {"truecolor", "24bit"}
    return Terminal(is_live, pictures, columns, rows, has_true_colour)


def _pictures(environment: Mapping[str, str]) -> Pictures:
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("tmux", "screen")):
        return Pictures.NONE  # It keeps the pictures from the terminal behind it.
    if term in _KITTY_TERMS or environment.get("KITTY_WINDOW_ID") or program == "ghostty":
        return Pictures.KITTY
    if program in _ITERM or environment.get("LC_TERMINAL") == "iTerm2":
        return Pictures.ITERM
    return Pictures.NONE


def shows(terminal: Terminal, wanted: bool | None) -> bool:
    """Whether pictures are shown: where the terminal has a way of its own unless they are not wanted, or as blocks."""
    return terminal.is_live and (terminal.pictures is not Pictures.NONE if wanted is None else wanted)
