"""What watchers of a batch are told, and the place in its ends they have seen. Pure.

The ends of items are on record, so the record is the log: a place in it is a moment up to which everything was told,
and the few items that ended since and were told as well. Two ends may be committed in another order than they
happened; that is why the moment lags behind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from app.batch_records import Standing
from app.records import Generation

SETTLE_S: Final = 2.0
"""How much later an end may be on record than it happened, measured on the clocks of all replicas."""

MAX_TOLD: Final = 64
"""Items in a place: a header of 600 characters at most. Past it the moment lags less."""

_PLACE: Final = re.compile(r"([0-9a-f]{1,16})((?:-[0-9a-f]{8}){0,128})")


@dataclass(frozen=True, slots=True)
class BatchConnected:
    """Always first: how the batch stands."""

    is_milestone: ClassVar[bool] = True
    is_terminal: ClassVar[bool] = False

    standing: Standing


@dataclass(frozen=True, slots=True)
class BatchProgressed:
    """It stands differently; a newer one replaces an older one nobody read yet."""

    is_milestone: ClassVar[bool] = False
    is_terminal: ClassVar[bool] = False

    standing: Standing


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """An item has its end."""

    is_milestone: ClassVar[bool] = True
    is_terminal: ClassVar[bool] = False

    record: Generation


@dataclass(frozen=True, slots=True)
class BatchCompleted:
    """Always last: no item is left unfinished."""

    is_milestone: ClassVar[bool] = True
    is_terminal: ClassVar[bool] = True

    standing: Standing


BatchEvent: TypeAlias = BatchConnected | BatchProgressed | ItemEnded | BatchCompleted


class Told:
    """A place among the ends of a batch. `floor`, in seconds since the epoch: everything up to it was told."""

    def __init__(self, floor: float, ids: dict[str, float] | None = None) -> None:
        self.floor = floor
        self._ids = ids or {}

    @classmethod
    def parsed(cls, text: str | None) -> Told | None:
        """The place of a text made by `text`; None for any other."""
        found = _PLACE.fullmatch(text or "")
        if found is None:
            return None
        floor = int(found[1], 16) / 1e6
        return cls(floor, dict.fromkeys(found[2].split("-")[1:], floor + SETTLE_S))

    @property
    def ids(self) -> frozenset[str]:
        """Short ids of those told that ended since `floor`."""
        return frozenset(self._ids)

    def add(self, record: Generation) -> bool:
        """Whether this end is news; it is told then."""
        ended_at, name = record.completed_at or 0.0, short(record)
        is_news = ended_at > self.floor and name not in self._ids
        if is_news:
            self._ids[name] = ended_at
            self._raise(ended_at - SETTLE_S)
        return is_news

    def text(self) -> str:
        return "-".join([f"{round(self.floor * 1e6):x}", *self._ids])

    def _raise(self, floor: float) -> None:
        if len(self._ids) > MAX_TOLD:
            floor = max(floor, sorted(self._ids.values())[-MAX_TOLD - 1])
        if floor > self.floor:
            self.floor = floor
            self._ids = {name: at for name, at in self._ids.items() if at > floor}


def short(record: Generation) -> str:
    """What an item is called in a place."""
    return record.id[:8]
