"""Receivers of webhooks on record, and the log of what was delivered to them. Owns every query of those who look.

Takes and returns values. What is still to be sent is `delivery_queue`'s; asked for again, a delivery is put back there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.delivery_queue import to_delivery, to_endpoint
from app.db.delivery_statements import COLUMNS, ENDPOINT_COLUMNS, ENDPOINT_FIELDS, PENDING
from app.db.outbox import insert_deliveries
from app.db.webhook_models import DELIVERIES, LANES, WEBHOOK_SECRETS, WEBHOOKS
from app.webhook_news import TEST
from app.webhook_records import ROTATION_S, Delivery, DeliveryStatus, Endpoint, ServiceSecret, Standing

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.db.engine import Database
    from app.db.outbox import Row

Place = tuple[float, str]
"""Where a page ended: the last one's time of creation, in seconds since the epoch, and its id."""

_AT_ONCE: Final = 500
"""Rows changed in one transaction where there may be very many."""

_D: Final = DELIVERIES.c
_W: Final = WEBHOOKS.c
_INSTANT: Final = _D.created_at.type
_S: Final = WEBHOOK_SECRETS.c
_SERVICE: Final = "service"
_BEFORE: Final = "service-before"
"""Since when it is there is when it was replaced."""

OWNERS: Final = ("webhook_id", "generation_id", "batch_id")
"""What deliveries are listed by."""


class WebhookShelf:
    """Methods raise a `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, webhook_id: str) -> Endpoint | None:
        statement = sa.select(*ENDPOINT_COLUMNS).where(_W.id == webhook_id)
        row = await self._database.read(lambda connection: connection.execute(statement).first())
        return None if row is None else to_endpoint(row)

    async def list(self, limit: int, before: Place | None = None) -> tuple[Endpoint, ...]:
        """At most `limit`, newest first, from behind that place."""
        statement = sa.select(*ENDPOINT_COLUMNS)
        if before is not None:
            statement = statement.where(_before(_W.created_at, _W.id, before))
        statement = statement.order_by(_W.created_at.desc(), _W.id.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(map(to_endpoint, rows))

    async def add(self, endpoint: Endpoint, *, most: int) -> bool:
        """Put it on record; False, and nothing was changed, where there are `most` already."""
        values = {name: getattr(endpoint, name) for name in ENDPOINT_FIELDS}
        count = sa.select(sa.func.count()).select_from(WEBHOOKS)

        def work(connection: sa.Connection) -> bool:
            has_room: bool = connection.execute(count).scalar_one() < most
            if has_room:
                connection.execute(sa.insert(WEBHOOKS), values)
            return has_room

        return await self._database.write(work)

    async def change(self, webhook_id: str, **values: Any) -> Endpoint | None:
        """Change these fields; the endpoint as it is then. None: there is none."""
        changing = sa.update(WEBHOOKS).where(_W.id == webhook_id).values(values).returning(*ENDPOINT_COLUMNS)
        row = await self._database.write_statement(lambda connection: connection.execute(changing).first())
        return None if row is None else to_endpoint(row)

    async def disable(self, webhook_id: str, reason: str, *, now: float) -> bool:
        """Disable it for a reason of the service's own; False: it was disabled, or there is none."""
        values = {"is_enabled": False, "disabled_reason": reason, "updated_at": now}
        statement = sa.update(WEBHOOKS).where(_W.id == webhook_id, _W.is_enabled).values(values)
        return await self._database.write_statement(lambda connection: connection.execute(statement).rowcount == 1)

    async def remove(self, webhook_id: str) -> bool:
        """Forget it, with everything that was or is to be delivered to it. False: there is none."""
        removing = sa.delete(WEBHOOKS).where(_W.id == webhook_id)
        lane = sa.delete(LANES).where(LANES.c.lane == webhook_id)

        def work(connection: sa.Connection) -> bool:
            connection.execute(lane)
            return connection.execute(removing).rowcount == 1

        was_there = await self._database.write(work)
        theirs = sa.select(_D.id).where(_D.webhook_id == webhook_id).limit(_AT_ONCE)
        await self._repeated(sa.delete(DELIVERIES).where(_D.id.in_(theirs)))
        return was_there

    async def service_secret(self, made: str, *, now: float) -> ServiceSecret:
        """The secret of this database: `made`, where there was none before."""
        statement = self._secret_row(_SERVICE, made, now).on_conflict_do_nothing()
        known = sa.select(_S.name, _S.secret, _S.created_at)

        def work(connection: sa.Connection) -> list[Any]:
            connection.execute(statement)
            return list(connection.execute(known).all())

        found = {name: (secret, since) for name, secret, since in await self._database.write(work)}
        before, replaced_at = found.get(_BEFORE, (None, 0.0))
        return ServiceSecret(found[_SERVICE][0], before, None if before is None else replaced_at + ROTATION_S)

    async def rotate_service_secret(self, made: str, *, now: float) -> None:
        """Put `made` in the place of the secret of this database, which is remembered as the one before."""
        current = sa.select(_S.secret).where(_S.name == _SERVICE).with_for_update()
        values = {"secret": made, "created_at": now}
        replacing = self._secret_row(_SERVICE, made, now).on_conflict_do_update(index_elements=[_S.name], set_=values)

        def work(connection: sa.Connection) -> None:
            before = connection.execute(current).scalar()
            if before is not None:
                kept = {"secret": before, "created_at": now}
                keeping = self._secret_row(_BEFORE, before, now)
                connection.execute(keeping.on_conflict_do_update(index_elements=[_S.name], set_=kept))
            connection.execute(replacing)

        await self._database.write(work)

    def _secret_row(self, name: str, secret: str, now: float) -> Any:
        dialect = postgresql if self._database.dialect.name == "postgresql" else sqlite
        return dialect.insert(WEBHOOK_SECRETS).values(name=name, secret=secret, created_at=now)

    async def delivery(self, delivery_id: str) -> Delivery | None:
        statement = sa.select(*COLUMNS).where(_D.id == delivery_id)
        row = await self._database.read(lambda connection: connection.execute(statement).first())
        return None if row is None else to_delivery(row)

    async def deliveries(
        self, owner: str, owner_id: str, limit: int, before: Place | None, statuses: Collection[DeliveryStatus] = ()
    ) -> tuple[Delivery, ...]:
        """At most `limit` deliveries of a receiver, a generation or a batch (`owner`: one of OWNERS), newest first."""
        statement = sa.select(*COLUMNS).where(_D[owner] == owner_id)
        if statuses:
            statement = statement.where(_D.status.in_([status.value for status in statuses]))
        if before is not None:
            statement = statement.where(_before(_D.created_at, _D.id, before))
        statement = statement.order_by(_D.created_at.desc(), _D.id.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(map(to_delivery, rows))

    async def standings(self, webhook_ids: Collection[str]) -> dict[str, Standing]:
        """How it goes with each of these receivers that is there, in one query."""
        pending = sa.select(sa.func.count()).where(_D.lane == _W.id, PENDING).scalar_subquery()
        joined = WEBHOOKS.outerjoin(LANES, LANES.c.lane == _W.id)
        statement = sa.select(_W.id, pending, LANES.c.failing_since).select_from(joined).where(_W.id.in_(webhook_ids))
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return {webhook_id: Standing(count, since) for webhook_id, count, since in rows}

    async def put(self, row: Row) -> None:
        """Put one delivery on record as it is."""
        await self._database.write(lambda connection: insert_deliveries(connection, [row]))

    async def again(self, delivery_id: str, *, now: float, give_up_at: float) -> None:
        """Have a delivery made again, or now if it waits; one that somebody has in hand goes on."""
        free = sa.or_(_D.leased_until.is_(None), _D.leased_until <= sa.literal(now, _INSTANT))
        statement = sa.update(DELIVERIES).where(_D.id == delivery_id, free).values(_again(now, give_up_at))
        await self._database.write(lambda connection: connection.execute(statement))

    async def failed_again(self, webhook_id: str, since: float, *, now: float, give_up_at: float) -> int:
        """Have every delivery to a receiver made again that failed and was created since, but for tests; how many."""
        failed = (_D.webhook_id == webhook_id, _D.status == DeliveryStatus.FAILED.value, _D.event != TEST)
        chosen = sa.select(_D.id).where(*failed, _D.created_at >= sa.literal(since, _INSTANT)).limit(_AT_ONCE)
        statement = sa.update(DELIVERIES).where(_D.id.in_(chosen)).values(_again(now, give_up_at))
        return await self._repeated(statement)

    async def _repeated(self, statement: sa.Update | sa.Delete) -> int:
        done = 0
        while True:
            count = await self._database.write(lambda connection: connection.execute(statement).rowcount)
            done += count
            if count < _AT_ONCE:
                return done


def _again(now: float, give_up_at: float) -> dict[str, Any]:
    return {
        "status": DeliveryStatus.PENDING.value,
        "attempts": 0,
        "next_attempt_at": now,
        "leased_until": None,
        "give_up_at": give_up_at,
        "ended_at": None,
    }


def _before(created_at: sa.ColumnElement[float], row_id: sa.ColumnElement[str], place: Place) -> sa.ColumnElement[bool]:
    return sa.tuple_(created_at, row_id) < sa.tuple_(sa.literal(place[0], _INSTANT), sa.literal(place[1], _D.id.type))
