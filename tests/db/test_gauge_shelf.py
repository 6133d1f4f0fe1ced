"""What is counted for those who watch, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.db.gauge_shelf import Gauges, GaugeShelf
from app.db.webhook_models import LANES
from app.db.webhook_shelf import WebhookShelf
from app.webhook_records import Endpoint, Standing

if TYPE_CHECKING:
    from app.db import Database


def an_endpoint(webhook_id: str, *, is_enabled: bool = True) -> Endpoint:
    url = f"https://example.com/{webhook_id}"
    return Endpoint(
        id=webhook_id, url=url, events=(), secret="whsec_x", is_enabled=is_enabled, created_at=1.0, updated_at=1.0
    )


async def test_receivers_that_fail_and_those_that_are_disabled_are_told_apart(database: Database) -> None:
    shelf = WebhookShelf(database)
    for endpoint in (an_endpoint("works"), an_endpoint("fails"), an_endpoint("off", is_enabled=False)):
        await shelf.add(endpoint, most=10)
    lanes = [
        {"lane": lane, "failures": 1, "failing_since": 7.0, "blocked_until": 8.0} for lane in ("fails", "off", "named")
    ]
    await database.write(lambda connection: connection.execute(sa.insert(LANES), lanes))

    gauges, standings = await GaugeShelf(database).read(), await shelf.standings(["works", "fails", "gone"])

    assert gauges == Gauges(0, 0, failing_webhooks=1, disabled_webhooks=1)
    assert standings == {"works": Standing(0, None), "fails": Standing(0, 7.0)}
