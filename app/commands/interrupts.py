"""Ctrl-C while something runs: the first asks for an orderly end, the second ends the command at once.

Owns the signals of the process while a command is at work. SIGTERM and SIGHUP end it at once, too: what was started
goes on at the service, for whoever sent the signal may start the command again. Whoever leaves something behind tells
what, and how to end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from typing import Any, Final, TypeVar

import typer

from app.commands.errors import ExitCode, Unread
from app.commands.speech import complain

T = TypeVar("T")

LEAVING: Final = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Those that end a command at once."""


class Interrupts:
    """`asked` is set by the first Ctrl-C, which also calls `notice` as long as nobody waits for it; unless there is
    nothing to be canceled: then it is as the second one.
    """

    def __init__(self, work: asyncio.Task[Any] | None, *, is_patient: bool = True) -> None:
        self._is_patient = is_patient
        self.asked = asyncio.Event()
        self.notice: Callable[[], None] | None = None
        self.ended_by: signal.Signals | None = None
        self._work = work

    def interrupt(self) -> None:
        if self.asked.is_set() or not self._is_patient:
            self.terminate(signal.SIGINT)
        elif self.notice is not None:
            self.notice()
        self.asked.set()

    @contextlib.contextmanager
    def starting(self, say: Callable[[str], None]) -> Iterator[None]:
        """While what would have to be canceled is not known yet."""
        self.notice = lambda: say("Waiting for the answer of the service, to cancel; Ctrl-C again leaves at once.")
        try:
            yield
        finally:
            self.notice = None

    def terminate(self, by: signal.Signals) -> None:
        self.ended_by = by
        if self._work is not None:
            self._work.cancel()


@contextlib.asynccontextmanager
async def heard(*, is_patient: bool = True) -> AsyncIterator[Interrupts]:
    """Until the block ends, Ctrl-C means what it says above. Ends the command with 130, or 128 and its number."""
    loop = asyncio.get_running_loop()
    interrupts = Interrupts(asyncio.current_task(loop), is_patient=is_patient)
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # As in a script's background.
            loop.add_signal_handler(signal.SIGINT, interrupts.interrupt)
        for each in LEAVING:
            if signal.getsignal(each) is not signal.SIG_IGN:  # As under nohup.
                loop.add_signal_handler(each, interrupts.terminate, each)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread: Python's own way then.
        yield interrupts
        return
    try:
        yield interrupts
    except asyncio.CancelledError as error:
        if interrupts.ended_by is None:
            raise
        code = ExitCode.INTERRUPTED if interrupts.ended_by is signal.SIGINT else 128 + interrupts.ended_by
        raise typer.Exit(code) from error
    finally:
        for each in (signal.SIGINT, *LEAVING):
            loop.remove_signal_handler(each)


@contextlib.contextmanager
def leaving(going: Collection[str], remark: str = "") -> Iterator[None]:
    """Whoever leaves the block before its end is told what goes on at the service, by its ids, and how to end it."""
    try:
        yield
    except BaseException as error:
        if going and not _is_unread(error):
            with contextlib.suppress(OSError):  # The terminal may be what has gone.
                complain(f"It goes on at the service; to end it: comfy-relay cancel {' '.join(sorted(going))}{remark}")
        raise


def _is_unread(error: BaseException) -> bool:
    """Nobody reads any more what is printed, and that was meant."""
    several = isinstance(error, BaseExceptionGroup) and error.subgroup(Unread) is not None
    return several or isinstance(error, Unread)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run what a command does in a loop of its own."""
    return asyncio.run(work)
