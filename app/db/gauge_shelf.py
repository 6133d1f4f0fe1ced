"""How much of what there is at present: a few counts, in one query along indexes. Owns that query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from app.db.delivery_statements import PENDING
from app.db.models import GENERATIONS
from app.db.webhook_models import DELIVERIES, LANES, WEBHOOKS
from app.records import Status

if TYPE_CHECKING:
    from app.db.engine import Database


class Gauges(NamedTuple):
    """Generations that wait for a server, deliveries still to be made, and registered receivers: those that are
    enabled and fail, and those that are disabled.
    """

    pending_generations: int
    pending_deliveries: int
    failing_webhooks: int
    disabled_webhooks: int


def _count(source: sa.FromClause, *conditions: Any) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(source).where(*conditions).scalar_subquery()


_W: Final = WEBHOOKS.c
_FAILING: Final = WEBHOOKS.join(LANES, LANES.c.lane == _W.id)
_COUNTS: Final = sa.select(
    _count(GENERATIONS, GENERATIONS.c.status == Status.PENDING),
    _count(DELIVERIES, PENDING),
    _count(_FAILING, _W.is_enabled),
    _count(WEBHOOKS, sa.not_(_W.is_enabled)),
)


class GaugeShelf:
    """Raises a `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Gauges:
        return Gauges(*await self._database.read(lambda connection: connection.execute(_COUNTS).one()))
