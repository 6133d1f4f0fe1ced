"""The queue of deliveries: which are due, who has them in hand, what came of an attempt.

Owns every query of the sending side. A delivery in hand is leased: nobody else takes it before the lease ends, and a
process that dies gives its deliveries back by doing nothing. Of one generation and one receiver only the first that is
pending is ever taken. Decides nothing about times: those are handed in.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.delivery_statements import (
    COLUMNS,
    DUE,
    ENDPOINT_COLUMNS,
    ENDPOINT_FIELDS,
    FIELDS,
    IS_FREE,
    LOOK,
    ONE_LANE,
    PENDING,
    PROBE,
)
from app.db.webhook_models import DELIVERIES, LANES, WEBHOOKS
from app.webhook_records import BROKEN_AFTER, Delivery, DeliveryStatus, Endpoint, Lane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.db.engine import Database
    from app.webhook_records import Attempt

_AT_ONCE: Final = 500
"""Rows changed in one transaction where there may be very many: what waits behind it waits some 10 ms."""

_D: Final = DELIVERIES.c
_L: Final = LANES.c
_INSTANT: Final = _D.next_attempt_at.type


@dataclass(frozen=True, slots=True)
class LaneLook:
    """A lane with something to deliver: when the first of it is due, and how it goes there."""

    lane: str
    due_at: float
    trouble: Lane | None

    @property
    def is_broken(self) -> bool:
        return self.trouble is not None and self.trouble.is_broken

    @property
    def opens_at(self) -> float:
        """When something may be sent there. A broken lane waits for itself, not for one of its deliveries."""
        if self.trouble is None:
            return self.due_at
        return self.trouble.blocked_until if self.is_broken else max(self.due_at, self.trouble.blocked_until)


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery in hand. `endpoint` is its registered receiver; None for one that a request named, and for one that is
    not there any more. `is_troubled`: the lane's last attempts failed.
    """

    delivery: Delivery
    endpoint: Endpoint | None
    is_troubled: bool


class DeliveryQueue:
    """The deliveries of a database that are still to be made. Methods raise a `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.ended = Counter[DeliveryStatus]()
        """Deliveries whose end was written here, since the start."""

    async def look(self) -> tuple[LaneLook, ...]:
        """Every lane with something pending, by name."""
        rows = await self._database.read(lambda connection: connection.execute(LOOK).all())
        return tuple(
            LaneLook(lane, due_at, None if failures is None else Lane(lane, failures, since, until))
            for lane, due_at, failures, since, until in rows
        )

    async def take(self, wanted: Mapping[str, int], *, now: float, lease_s: float) -> tuple[Taken, ...]:
        """Lease up to so many deliveries of each lane, those whose turn it is; of a broken lane one.

        No two takers get the same one.
        """

        def work(connection: sa.Connection) -> list[Taken]:
            found = []
            for lane, rows in sorted(wanted.items()):  # In one order, or two processes might wait for each other.
                found += _taken_of(connection, lane, rows, now, now + lease_s)
            return found

        return tuple(await self._database.write(work)) if wanted else ()

    async def delivered(self, taken: Taken, attempt: Attempt, *, now: float) -> None:
        """The receiver took it: the lane works, and what waited for it is due."""
        delivery = taken.delivery

        def work(connection: sa.Connection) -> int:
            ended = _end(connection, delivery, DeliveryStatus.DELIVERED, attempt, now)
            if taken.is_troubled:
                mended = sa.delete(LANES).where(_L.lane == delivery.lane).returning(_L.failures)
                failures = connection.execute(mended).scalar()
                if failures is not None and failures >= BROKEN_AFTER:
                    _hurry(connection, now, _D.lane == delivery.lane)
            if delivery.log:
                _hurry(connection, now, _D.target == delivery.target, _D.subject == delivery.subject)
            return ended

        self.ended[DeliveryStatus.DELIVERED] += await self._database.write(work)

    async def failed(self, taken: Taken, attempt: Attempt, *, retry_at: float, lane: Lane) -> None:
        """It is tried again then, and what comes after it waits. `lane` is how it goes there now.

        An attempt whose lease has passed to somebody else changes nothing.
        """
        delivery = taken.delivery
        again = {"next_attempt_at": retry_at, "leased_until": None, "log": delivery.noted(attempt)}
        mine = (_D.id == delivery.id, PENDING, _D.attempts == delivery.attempts)
        behind = (_D.target == delivery.target, _D.subject == delivery.subject, _D.sequence > delivery.sequence)
        early = (PENDING, *behind, _D.next_attempt_at < sa.literal(retry_at, _INSTANT))

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.update(DELIVERIES).where(*mine).values(again))
            connection.execute(sa.update(DELIVERIES).where(*early).values(next_attempt_at=retry_at))
            _put(connection, lane)

        await self._database.write(work)

    async def given_up(self, taken: Taken, attempt: Attempt | None, *, now: float, lane: Lane | None) -> None:
        """It is not tried again; what comes after it is due. None of both: it was not even tried."""
        delivery = taken.delivery

        def work(connection: sa.Connection) -> int:
            ended = _end(connection, delivery, DeliveryStatus.FAILED, attempt, now)
            _hurry(connection, now, _D.target == delivery.target, _D.subject == delivery.subject)
            if lane is not None:
                _put(connection, lane)
            return ended

        self.ended[DeliveryStatus.FAILED] += await self._database.write(work)

    async def trouble(self, lane: str) -> Lane | None:
        """How it goes with a lane; None for one that works."""
        row = await self._database.read(lambda connection: connection.execute(ONE_LANE, {"lane": lane}).first())
        return None if row is None else Lane(*row)

    async def mend(self, lane: str, *, now: float) -> None:
        """A lane works, as somebody else found out: what waits there is due."""

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(LANES).where(_L.lane == lane))
            _hurry(connection, now, _D.lane == lane)

        await self._database.write(work)

    async def drop(self, *conditions: sa.ColumnElement[bool], now: float) -> int:
        """Give up every pending delivery that meets the conditions and that nobody has in hand, a few at a time; how
        many.
        """
        free = sa.or_(_D.leased_until.is_(None), _D.leased_until <= sa.literal(now, _INSTANT))
        chosen = sa.select(_D.id).where(PENDING, free, *conditions).limit(_AT_ONCE)
        given_up = {"status": DeliveryStatus.FAILED.value, "ended_at": now, "leased_until": None}
        count = await self._repeated(sa.update(DELIVERIES).where(_D.id.in_(chosen)).values(given_up))
        self.ended[DeliveryStatus.FAILED] += count
        return count

    async def drop_lane(self, lane: str, *, now: float) -> int:
        """Give up what is pending there: its receiver is disabled."""
        return await self.drop(_D.lane == lane, now=now)

    async def drop_target(self, target: str, *, now: float) -> int:
        """Give up what is pending for a URL that is gone for good."""
        return await self.drop(_D.target == target, now=now)

    async def give_back(self, *, now: float) -> None:
        """End all leases. Only for one who is sure that nobody else delivers."""
        back = {"leased_until": None, "next_attempt_at": now}
        statement = sa.update(DELIVERIES).where(PENDING, _D.leased_until.is_not(None)).values(back)
        await self._database.write(lambda connection: connection.execute(statement))

    async def sweep(self, *, now: float, ended_before: float) -> int:
        """Remove what ended before that; give up what is past its time in broken lanes, and forget lanes of nothing."""
        broken = sa.select(_L.lane).where(_L.failures >= BROKEN_AFTER)
        late = (_D.give_up_at <= sa.literal(now, _INSTANT), _D.lane.in_(broken))
        await self.drop(*late, now=now)
        pending = sa.select(_D.lane).where(PENDING, _D.lane == _L.lane)
        idle = sa.and_(_L.blocked_until < sa.literal(ended_before, _INSTANT), ~pending.exists())
        await self._database.write(lambda connection: connection.execute(sa.delete(LANES).where(idle)))
        gone = sa.select(_D.id).where(_D.ended_at < sa.literal(ended_before, _INSTANT)).limit(_AT_ONCE)
        return await self._repeated(sa.delete(DELIVERIES).where(_D.id.in_(gone)))

    async def _repeated(self, statement: sa.Update | sa.Delete) -> int:
        done = 0
        while True:
            count = await self._database.write(lambda connection: connection.execute(statement).rowcount)
            done += count
            if count < _AT_ONCE:
                return done


def to_delivery(row: Sequence[Any]) -> Delivery:
    """The delivery of a row selected with `COLUMNS`."""
    values = dict(zip(FIELDS, row, strict=True))
    return Delivery(**values | {"status": DeliveryStatus(values["status"])})


def to_endpoint(row: Sequence[Any]) -> Endpoint:
    """The receiver of a row selected with `ENDPOINT_COLUMNS`."""
    return Endpoint(**dict(zip(ENDPOINT_FIELDS, row, strict=True)))


def _taken_of(connection: sa.Connection, lane: str, rows: int, now: float, until: float) -> list[Taken]:
    row = connection.execute(ONE_LANE, {"lane": lane}).first()
    trouble = None if row is None else Lane(*row)
    is_broken = trouble is not None and trouble.is_broken
    if trouble is not None and trouble.blocked_until > now:
        return []
    if is_broken:
        # Whoever moves this is the one that tries; others find it moved.
        block = sa.update(LANES).where(_L.lane == lane, _L.blocked_until <= sa.literal(now, _INSTANT))
        if connection.execute(block.values(blocked_until=until)).rowcount != 1:
            return []
    ids = connection.scalars(
        PROBE if is_broken else DUE, {"lane": lane, "now": now, "rows": 1 if is_broken else rows}
    ).all()
    if not ids:
        return []
    leased = {"leased_until": until, "next_attempt_at": until, "attempts": _D.attempts + 1}
    taking = sa.update(DELIVERIES).where(_D.id.in_(ids)).values(leased).returning(*COLUMNS)
    found = sorted(map(to_delivery, connection.execute(taking).all()), key=lambda each: each.sequence)
    endpoint = _endpoint(connection, found[0].webhook_id)
    return [Taken(delivery, endpoint, trouble is not None) for delivery in found]


def _endpoint(connection: sa.Connection, webhook_id: str | None) -> Endpoint | None:
    if webhook_id is None:
        return None
    row = connection.execute(sa.select(*ENDPOINT_COLUMNS).where(WEBHOOKS.c.id == webhook_id)).first()
    return None if row is None else to_endpoint(row)


def _end(
    connection: sa.Connection, delivery: Delivery, status: DeliveryStatus, attempt: Attempt | None, now: float
) -> int:
    log = delivery.log if attempt is None else delivery.noted(attempt)
    values = {"status": status.value, "ended_at": now, "leased_until": None, "log": log}
    return connection.execute(sa.update(DELIVERIES).where(_D.id == delivery.id, PENDING).values(values)).rowcount


def _hurry(connection: sa.Connection, now: float, *conditions: sa.ColumnElement[bool]) -> None:
    """Make what waits there due, but for what somebody has in hand."""
    later = (_D.next_attempt_at > sa.literal(now, _INSTANT), IS_FREE)
    connection.execute(
        sa.update(DELIVERIES).where(PENDING, *conditions, *later).values(next_attempt_at=now), {"now": now}
    )


def _put(connection: sa.Connection, lane: Lane) -> None:
    values = {"failures": lane.failures, "failing_since": lane.failing_since, "blocked_until": lane.blocked_until}
    insert: Any = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(LANES)
    statement = insert.values(lane=lane.lane, **values)
    told, known = statement.excluded.blocked_until, _L.blocked_until
    # Of a broken lane the last word counts; else somebody's `Retry-After` holds whatever others found.
    until = sa.case((_L.failures >= BROKEN_AFTER, told), (known > told, known), else_=told)
    counted = {"failures": _L.failures + 1, "blocked_until": until}
    connection.execute(statement.on_conflict_do_update(index_elements=[_L.lane], set_=counted))
