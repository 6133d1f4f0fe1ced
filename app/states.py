"""The values that lifecycle's rules pass around: a generation's whole state, and what a rule does to it.

Pure types, without a rule in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from app.comfyui.history import OutputFile
from app.comfyui.messages import Preview
from app.events import Event, Moment
from app.live import Live
from app.records import Generation, Status

Changes: TypeAlias = dict[str, object]
"""Fields of the record and their new values."""

EARLY: Final = (Status.PENDING, Status.QUEUED)
"""Before a run begins."""


@dataclass(frozen=True, slots=True)
class State:
    """The durable record, the live progress, and what the shell reported but history has not decided yet.

    `files` are those announced by `executed`, in order; `missing_since` is when the prompt was first not found;
    `preview` is the newest one. `instead`: what came when it was posted and ComfyUI did not say whether it took it.
    """

    record: Generation
    live: Live
    moment: Moment
    files: tuple[OutputFile, ...] = ()
    missing_since: float | None = None
    preview: Preview | None = None
    instead: str | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """What a rule wants besides a new State: `changes` of the record, and what becomes of them in a `Step`."""

    changes: Mapping[str, object] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    fetch_history: bool = False
    keep: tuple[OutputFile, ...] = ()
    interrupt: bool = False
    resubmit: bool = False


NOTHING: Final = Effects()


def with_live(state: State, live: Live) -> State:
    """`state` with other live progress. Written out: this runs for every message, `dataclasses.replace` is slow."""
    if live is state.live:
        return state
    return State(state.record, live, state.moment, state.files, state.missing_since, state.preview, state.instead)
