"""A live prompt of this process: its state, its backend and its mailbox.

Owns no behaviour but which facts may replace each other while they wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from app.backends import Backend
from app.comfyui.messages import Preview, Progress, ProgressState
from app.lifecycle import State
from app.mailbox import Mailbox
from app.observations import Observation, Polled, Positioned
from app.records import Generation

MAX_WAITING: Final = 8192
"""Facts waiting for one prompt: several per node of the largest workflow; past it the prompt is polled instead."""


def _slot_of(seen: Observation) -> Hashable | None:
    """What a newer fact of the same kind replaces: progress per node, states, previews, answers of polling."""
    match seen:
        case Progress(node=node):
            return "progress", node
        case ProgressState() | Preview() | Polled() | Positioned():
            return (type(seen),)
        case _:
            return None


@dataclass(slots=True, eq=False)
class Job:
    """One live prompt, in monotonic seconds: `heard_at` is its last message, and -inf asks for polling at once;
    `alive_at` is the last message or change of its record.

    `stored` is the record as the database has it; at `write_at`, in the event loop's time, it has to learn the rest.
    `has_turned` is set when the status has changed, and another takes its place.
    While `is_submitting`, its absence at ComfyUI proves nothing.
    """

    state: State
    stored: Generation
    backend: Backend
    heard_at: float
    alive_at: float
    is_submitting: bool = False
    write_at: float | None = None
    is_being_canceled: bool = False
    is_given_up: bool = False
    has_turned: asyncio.Event = field(default_factory=asyncio.Event)
    has_other_id: asyncio.Event = field(default_factory=asyncio.Event)
    mailbox: Mailbox[Observation] = field(default_factory=lambda: Mailbox(_slot_of, MAX_WAITING))

    @property
    def record(self) -> Generation:
        return self.state.record
