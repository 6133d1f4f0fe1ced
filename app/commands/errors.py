"""How commands end: the exit codes, and the errors that lead to them.

CommandError
  Unwritable  a file that was made, or what is printed, cannot be put where it should be
  Misuse      the command line or a file given with it is wrong; nothing was asked for
  Incomplete  something of what was asked for failed; all of it has been told
  Interrupted somebody pressed Ctrl-C
  Unread      nobody reads any more what is printed
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a script can rely on."""

    FINE = 0
    FAILED = 1
    MISUSE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130
    UNREAD = 141


class CommandError(Exception):
    """`lines` are told on stderr, the first as the error, the others below it."""

    code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Misuse(CommandError):
    """Each line names what was given wrongly and how to give it."""

    code: ClassVar[ExitCode] = ExitCode.MISUSE


class Unwritable(CommandError):
    """The line names the place and why."""


class Incomplete(CommandError):
    """The lines sum up what failed."""


class Interrupted(CommandError):
    """The lines say what became of what was under way."""

    code: ClassVar[ExitCode] = ExitCode.INTERRUPTED


class Unread(CommandError):
    """There is nothing to say: that was meant, and what was started goes on."""

    code: ClassVar[ExitCode] = ExitCode.UNREAD
