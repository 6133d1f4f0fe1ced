"""The queries of the sending side of webhooks, as statements that serve both databases. Runs nothing."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from app.db.webhook_models import DELIVERIES, LANES, UNDELIVERED, WEBHOOKS
from app.webhook_records import Delivery, Endpoint

_D: Final = DELIVERIES.c
_L: Final = LANES.c
NOW: Final = sa.bindparam("now", type_=_D.next_attempt_at.type)
LANE: Final = sa.bindparam("lane", type_=_D.lane.type)
PENDING: Final = sa.text(UNDELIVERED)
FIELDS: Final = Delivery.__struct_fields__
COLUMNS: Final = tuple(_D[name] for name in FIELDS)
ENDPOINT_FIELDS: Final = Endpoint.__struct_fields__
ENDPOINT_COLUMNS: Final = tuple(WEBHOOKS.c[name] for name in ENDPOINT_FIELDS)
IS_FREE: Final = sa.or_(_D.leased_until.is_(None), _D.leased_until <= NOW)


def _lanes() -> sa.Select[Any]:
    """Every lane with something pending: a walk along the index from one lane to the next, however much is in each."""
    first = sa.select(sa.func.min(_D.lane).label("lane")).where(PENDING)
    found = first.cte("found", recursive=True)
    following = sa.select(sa.func.min(_D.lane)).where(PENDING, _D.lane > found.c.lane).scalar_subquery()
    found = found.union_all(sa.select(following).where(found.c.lane.is_not(None)))
    due_at = (
        sa.select(_D.next_attempt_at)
        .where(PENDING, _D.lane == found.c.lane)
        .order_by(_D.next_attempt_at)
        .limit(1)
        .scalar_subquery()
    )
    joined = sa.select(found.c.lane, due_at, _L.failures, _L.failing_since, _L.blocked_until)
    return joined.select_from(found.outerjoin(LANES, _L.lane == found.c.lane)).where(found.c.lane.is_not(None))


def _firsts(*, is_probe: bool) -> sa.Select[Any]:
    """Deliveries of a lane that nothing of the same generation and receiver is before, in turn."""
    earlier = DELIVERIES.alias("earlier")
    is_later = (
        sa.exists()
        .where(sa.text("earlier.status = 'pending'"), earlier.c.target == _D.target, earlier.c.subject == _D.subject)
        .where(earlier.c.sequence < _D.sequence)
        .correlate(DELIVERIES)
    )
    found = sa.select(_D.id).where(
        sa.text("webhook_deliveries.status = 'pending'"), _D.lane == LANE, IS_FREE, ~is_later
    )
    if not is_probe:
        found = found.where(_D.next_attempt_at <= NOW)
    turn = (_D.next_attempt_at, _D.sequence)
    return found.order_by(*turn).limit(sa.bindparam("rows", type_=sa.Integer)).with_for_update(skip_locked=True)


# Made once: SQLAlchemy takes longer to build a statement than the database to run it.
LOOK: Final = _lanes()
DUE: Final = _firsts(is_probe=False)
PROBE: Final = _firsts(is_probe=True)
ONE_LANE: Final = sa.select(*LANES.c).where(_L.lane == LANE)
