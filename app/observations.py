"""Every fact the service can learn about one generation.

Pure types. What ComfyUI says (`Message`), what was found by asking, what a caller wants and what our own storage did
are all observations for the same `lifecycle.observe`: polling is not a second code path, only another sender.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias

from app.comfyui.history import HistoryEntry
from app.comfyui.messages import Message
from app.records import Failure, Output


@dataclass(frozen=True, slots=True)
class Accepted:
    """ComfyUI took the prompt, under `prompt_id`: ours, unless a fork ignores it.

    `node_errors` are those of output nodes it silently dropped.
    """

    prompt_id: str
    node_errors: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The prompt was posted and no answer came: it may be there. Looking tells, and posting again never does.

    `instead` is what came in place of an answer.
    """

    instead: str = "no answer"


@dataclass(frozen=True, slots=True)
class Refused:
    """ComfyUI will never take this workflow."""

    failure: Failure


class Place(Enum):
    """Where ComfyUI has a prompt."""

    WAITING = auto()
    RUNNING = auto()
    HISTORY = auto()


@dataclass(frozen=True, slots=True)
class Polled:
    """Where the prompt was found by asking; waiting at `position` (1 is next)."""

    place: Place
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Positioned:
    """The generation waits in our own queue at `position` (1 is next)."""

    position: int


@dataclass(frozen=True, slots=True)
class Missing:
    """In neither queue nor history, asked in that order, with no submission under way."""


@dataclass(frozen=True, slots=True)
class Absent:
    """Its server has been out of reach for too long, or is none of ours any more: whatever it has is given up."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The caller no longer wants it."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Outputs of a node that are kept already, while the run goes on."""

    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """History was read and its files are kept, as far as they could be; `failure` says what could not."""

    entry: HistoryEntry
    outputs: tuple[Output, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class GaveUp:
    """We end it ourselves: past its deadline, or no sign of life."""

    failure: Failure


Submission: TypeAlias = Accepted | Unanswered | Polled | Missing | Absent
"""Where a prompt that was claimed for a backend stands there."""

Command: TypeAlias = Refused | Positioned | CancelRequested | Delivered | Finished | GaveUp
"""Facts that hold wherever the prompt stands: most of them of our own making."""

Observation: TypeAlias = Message | Submission | Command
