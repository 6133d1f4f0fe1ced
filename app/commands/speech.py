"""What commands print. Results go to stdout, errors to stderr; with --json stdout has JSON and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from app.commands.errors import Unread, Unwritable
from app.commands.printing import cells, printable, shortened


def put(text: str) -> None:
    """A line of results. Raises Unread once nobody reads any more, and Unwritable."""
    out = sys.stdout
    encoding = out.encoding or "utf-8"
    try:
        out.write(f"{text}\n".encode(encoding, errors="backslashreplace").decode(encoding))
        out.flush()
    except OSError as error:
        # What is left in the buffer would be tried, and complained about, once more at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        if isinstance(error, BrokenPipeError):
            raise Unread from error
        raise Unwritable(f"standard output: cannot be written ({error.strerror})") from error


def document(found: Any) -> None:
    """A JSON document, for programs and for people."""
    put(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def entry(found: Any) -> None:
    """A JSON document in one line, of several."""
    put(msgspec.json.encode(found).decode())


def remark(text: str) -> None:
    """What a person may want to know, and no program."""
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def complain(*lines: str) -> None:
    """An error: what is wrong and what helps, and below it the places."""
    if not lines:
        return
    first, *rest = lines
    sys.stderr.write("".join(f"{each}\n" for each in (printable(first), *(f"  {printable(line)}" for line in rest))))
    sys.stderr.flush()


def table(rows: Sequence[Sequence[str]], head: Sequence[str], *, columns: int | None = None) -> None:
    """Columns below their heads. The last one is cut where the terminal, if it is one, has no more room."""
    lines = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(cells(line[place]) for line in lines) for place in range(len(head))]
    for each in lines:
        padded = [cell + " " * (width - cells(cell)) for cell, width in zip(each, widths, strict=True)]
        written = "  ".join(padded).rstrip()
        put(written if columns is None else shortened(written, columns))
