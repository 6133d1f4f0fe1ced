"""The outbox: what receivers are to be told, written in the transaction of what it tells of.

Owns who wants to be told of what, as far as this process knows it, and the rows that follow from a change. Sends
nothing. A change nobody wants to hear of costs a comparison; no query is made for any other either, for the few
receivers there are are kept in memory.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from app import clock
from app.db.columns import encode_json
from app.db.webhook_models import DELIVERIES, WEBHOOKS
from app.webhook_news import GenerationNews, Milestone, batch_completed, events_of, may_matter, milestones
from app.webhook_records import DeliveryStatus
from app.webhook_urls import lane_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.batch_records import Batch
    from app.db.engine import Database
    from app.records import Generation, Status, WebhookTarget

Row = dict[str, Any]

STALE_S: Final = 2.0
"""What was known of receivers so long ago is asked for anew before it is used, where other processes may change it."""

_KNOWN: Final = sa.select(WEBHOOKS.c.id, WEBHOOKS.c.events).where(WEBHOOKS.c.is_enabled)


class Outbox:
    """`is_shared`: other processes register receivers, too. `give_up_s`: how long a delivery is tried.

    `on_written` is called when deliveries were committed.
    """

    def __init__(
        self,
        database: Database,
        *,
        give_up_s: float,
        is_shared: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._give_up_s, self._is_shared = database, give_up_s, is_shared
        self._monotonic = monotonic
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._known_at = float("-inf")
        self.on_written: Callable[[], None] = _nothing

    async def refresh(self) -> None:
        """Learn which receivers are registered. Raises a `DatabaseError`, and then still knows what it knew."""
        asked_at = self._monotonic()
        rows = await self._database.read(lambda connection: connection.execute(_KNOWN).all())
        self._wanted = {webhook_id: tuple(events) for webhook_id, events in rows}
        self._known_at = asked_at

    async def of_change(self, before: Generation, after: Generation) -> tuple[Row, ...]:
        """The deliveries a change asks for; none for nearly every change."""
        if not may_matter(before, after):
            return ()
        await self.ensure_known()
        if after.webhook is None and not self._wanted:
            return ()
        wanted = self._receivers(after.webhook)
        if not any(event in events for event in events_of(before, after) for _, events in wanted):
            return ()
        return tuple(self._rows(wanted, milestones(before, after)))

    async def ensure_known(self) -> None:
        """Have the receivers known; asks the database only where another process may have changed them since."""
        if self._is_shared and self._monotonic() - self._known_at > STALE_S:
            await self.refresh()

    def of_end(self, batch: Batch, counts: Mapping[Status, int], at: float) -> tuple[Row, ...]:
        """The deliveries the end of a batch asks for, `at` that time (seconds since the epoch)."""
        return tuple(self._rows(self._receivers(batch.webhook), [batch_completed(batch, counts, at)]))

    def written(self) -> None:
        """Deliveries were committed."""
        self.on_written()

    def _receivers(self, named: WebhookTarget | None) -> list[tuple[Row, tuple[str, ...]]]:
        found: list[tuple[Row, tuple[str, ...]]] = [
            ({"lane": webhook_id, "target": webhook_id, "webhook_id": webhook_id, "url": None}, events)
            for webhook_id, events in self._wanted.items()
        ]
        if named is not None:
            lane = lane_of(named.url)
            found.append(({"lane": lane, "target": named.url, "webhook_id": None, "url": named.url}, named.events))
        return found

    def _rows(self, receivers: list[tuple[Row, tuple[str, ...]]], told: Iterable[Milestone]) -> Iterable[Row]:
        for milestone in told:
            news = encode_json(milestone.news)
            for receiver, events in receivers:
                if milestone.event in events:
                    yield receiver | delivery_row(milestone, news, clock.now(), self._give_up_s)


def delivery_row(milestone: Milestone, news: str, now: float, give_up_s: float) -> Row:
    """A new delivery but for its receiver."""
    of_generation = isinstance(milestone.news, GenerationNews)
    subject = milestone.news.id
    return {
        "id": new_id(),
        "generation_id": subject if of_generation else None,
        "batch_id": None if of_generation else subject,
        "subject": subject,
        "sequence": milestone.sequence,
        "event": milestone.event,
        "news": news,
        "status": DeliveryStatus.PENDING.value,
        "attempts": 0,
        "next_attempt_at": now,
        "leased_until": None,
        "give_up_at": now + give_up_s,
        "log": (),
        "occurred_at": milestone.news.completed_at or now,
        "created_at": now,
        "ended_at": None,
    }


def insert_deliveries(connection: sa.Connection, rows: Iterable[Row]) -> None:
    """Put deliveries on record, in the transaction of the connection."""
    if rows := list(rows):
        connection.execute(sa.insert(DELIVERIES), rows)


def new_id() -> str:
    """An id that no receiver has seen."""
    return f"msg_{uuid.uuid4().hex}"


def _nothing() -> None:
    """Nobody delivers yet."""
