"""What signs for receivers that a request named, among several processes on one database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db.webhook_shelf import WebhookShelf
from app.webhook_secrets import STALE_S, ServiceSecrets

if TYPE_CHECKING:
    from app.db import Database


async def test_another_process_signs_with_the_new_secret_in_time(database: Database) -> None:
    shelf, time_s = WebhookShelf(database), [100.0]
    here = ServiceSecrets(shelf, None, is_shared=False)
    there = ServiceSecrets(shelf, None, is_shared=True, monotonic=lambda: time_s[0])
    (first,) = await there.signing()

    made = await here.rotate()
    time_s[0] += STALE_S + 0.1

    assert await there.signing() == await here.signing() == (made.secret, first)
