"""The use cases of webhooks: register, read, change, remove, try out, look through what was delivered, deliver again.

A receiver's secret is shown once, when it is made. Who is told of what is decided by the outbox, in the
transaction of what is told; sending is `webhook_delivery`'s.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from app import clock
from app.addresses import Allowed
from app.db.columns import encode_json
from app.db.delivery_queue import DeliveryQueue
from app.db.outbox import STALE_S, Outbox, new_id
from app.db.webhook_shelf import Place, WebhookShelf
from app.errors import InvalidRequest, NotFound, Problem
from app.webhook_errors import TooManyWebhooks, WebhookDisabled
from app.webhook_news import TEST
from app.webhook_records import ROTATION_S, Delivery, DeliveryStatus, Endpoint, Standing
from app.webhook_secrets import ServiceSecrets, new_secret
from app.webhook_sending import Sender
from app.webhook_urls import problem_of

__all__ = ["Delivery", "DeliveryStatus", "Endpoint", "Standing", "Webhooks", "new_secret"]

MAX_WEBHOOKS: Final = 100
"""Each that wants an event adds a row to the transaction of what happened."""


class Webhooks:
    """`is_shared`: other processes write to the outbox, too. `wake` has the sending side look what there is to do.

    `receivers`: whom webhooks may go to besides the public. `body(delivery)` is what is sent. `service_secrets` sign
    for receivers that only a request named.
    """

    def __init__(
        self,
        shelf: WebhookShelf,
        queue: DeliveryQueue,
        outbox: Outbox,
        sender: Sender,
        receivers: Allowed,
        *,
        body: Callable[[Delivery], str],
        wake: Callable[[], None],
        service_secrets: ServiceSecrets,
        give_up_s: float,
        is_shared: bool,
    ) -> None:
        self._shelf, self._queue, self._outbox, self._sender = shelf, queue, outbox, sender
        self.receivers, self._body, self._wake = receivers, body, wake
        self._give_up_s, self._is_shared = give_up_s, is_shared
        self.service_secrets = service_secrets

    @property
    def ended(self) -> Mapping[DeliveryStatus, int]:
        """How many deliveries ended here since the start, tests aside."""
        return self._queue.ended

    async def register(
        self, url: str, events: Collection[str], description: str | None, *, is_enabled: bool
    ) -> Endpoint:
        """A new receiver: every process tells it from now on. Raises InvalidRequest, TooManyWebhooks."""
        await self._check(url)
        now = clock.now()
        endpoint = Endpoint(
            id=str(uuid.uuid4()),
            url=url,
            events=tuple(events),
            description=description,
            secret=new_secret(),
            is_enabled=is_enabled,
            created_at=now,
            updated_at=now,
        )
        if not await self._shelf.add(endpoint, most=MAX_WEBHOOKS):
            raise TooManyWebhooks(MAX_WEBHOOKS)
        await self._told()
        return endpoint

    async def get(self, webhook_id: str) -> Endpoint:
        """Raises NotFound."""
        endpoint = await self._shelf.get(webhook_id)
        if endpoint is None:
            raise NotFound("webhook", webhook_id)
        return endpoint

    async def standing(self, webhook_id: str) -> Standing:
        """How it goes with a receiver."""
        return (await self.standings([webhook_id])).get(webhook_id, Standing())

    async def standings(self, webhook_ids: Collection[str]) -> Mapping[str, Standing]:
        """How it goes with each of these that is there."""
        return await self._shelf.standings(webhook_ids)

    async def list(self, limit: int, before: Place | None) -> tuple[Endpoint, ...]:
        """Newest first, after the one created at that time (seconds since the epoch) with that id."""
        return await self._shelf.list(limit, before)

    async def change(self, webhook_id: str, **values: Any) -> Endpoint:
        """Change some of `url`, `events`, `description` and `is_enabled`. Raises NotFound, InvalidRequest.

        Disabled, it gets nothing more, and what was still to be sent has failed; enabled again, or with another URL, it
        starts anew.
        """
        before = await self.get(webhook_id)
        if "url" in values:
            await self._check(values["url"])
        if "is_enabled" in values:
            values["disabled_reason"] = None
        now = clock.now()
        endpoint = await self._shelf.change(webhook_id, **values, updated_at=now)
        if endpoint is None:
            raise NotFound("webhook", webhook_id)
        if endpoint.is_enabled and (endpoint.url != before.url or not before.is_enabled):
            await self._queue.mend(webhook_id, now=now)
        await self._told()
        if not endpoint.is_enabled:
            await self._queue.drop_lane(webhook_id, now=clock.now())
        self._wake()
        return endpoint

    async def rotate(self, webhook_id: str) -> Endpoint:
        """A new secret; the one before signs beside it for a day. Raises NotFound."""
        before, now = await self.get(webhook_id), clock.now()
        values = {"secret": new_secret(), "previous_secret": before.secret, "previous_until": now + ROTATION_S}
        endpoint = await self._shelf.change(webhook_id, **values, updated_at=now)
        if endpoint is None:
            raise NotFound("webhook", webhook_id)
        return endpoint

    async def remove(self, webhook_id: str) -> None:
        """Forget it and its log; nothing more is sent there. Raises NotFound."""
        if not await self._shelf.remove(webhook_id):
            raise NotFound("webhook", webhook_id)
        await self._outbox.refresh()

    async def test(self, webhook_id: str) -> Delivery:
        """Send it an event of no meaning, now and once, whether or not it is enabled; what came of it.

        One that takes it works: what waits for it is sent at once. Raises NotFound.
        """
        endpoint, now = await self.get(webhook_id), clock.now()
        delivery = Delivery(
            id=new_id(),
            lane=webhook_id,
            target=webhook_id,
            webhook_id=webhook_id,
            subject=webhook_id,
            sequence=0,
            event=TEST,
            news=encode_json({"webhookId": webhook_id}),
            attempts=1,
            next_attempt_at=now,
            give_up_at=now,
            occurred_at=now,
            created_at=now,
        )
        outcome = await self._sender.send(endpoint.url, delivery.id, self._body(delivery), endpoint.secrets_at(now))
        is_delivered = outcome.error is None
        row = {name: getattr(delivery, name) for name in Delivery.__struct_fields__}
        row["status"] = (DeliveryStatus.DELIVERED if is_delivered else DeliveryStatus.FAILED).value
        await self._shelf.put(row | {"log": (outcome.attempt,), "ended_at": clock.now()})
        if is_delivered:
            await self._queue.mend(webhook_id, now=clock.now())
            self._wake()
        return await self.delivery(delivery.id)

    async def deliveries(
        self, owner: str, owner_id: str, limit: int, before: Place | None, statuses: Collection[DeliveryStatus] = ()
    ) -> tuple[Delivery, ...]:
        """The deliveries of a receiver, a generation or a batch (`owner`: `webhook_id` ...), newest first."""
        return await self._shelf.deliveries(owner, owner_id, limit, before, statuses)

    async def delivery(self, delivery_id: str) -> Delivery:
        """Raises NotFound."""
        delivery = await self._shelf.delivery(delivery_id)
        if delivery is None:
            raise NotFound("delivery", delivery_id)
        return delivery

    async def redeliver(self, delivery_id: str) -> Delivery:
        """Send it again, under its id; or now, where it waits. Raises NotFound, WebhookDisabled."""
        delivery = await self.delivery(delivery_id)
        if delivery.webhook_id is not None:
            await self._check_enabled(delivery.webhook_id)
        now = clock.now()
        await self._shelf.again(delivery_id, now=now, give_up_at=now + self._give_up_s)
        self._wake()
        return await self.delivery(delivery_id)

    async def redeliver_failed(self, webhook_id: str, since: float) -> int:
        """Send everything again that failed and is not older than that (seconds since the epoch); how much that is.

        Raises NotFound, WebhookDisabled.
        """
        await self._check_enabled(webhook_id)
        now = clock.now()
        count = await self._shelf.failed_again(webhook_id, since, now=now, give_up_at=now + self._give_up_s)
        self._wake()
        return count

    async def _check_enabled(self, webhook_id: str) -> None:
        if not (await self.get(webhook_id)).is_enabled:
            raise WebhookDisabled(webhook_id)

    async def _check(self, url: str) -> None:
        """Raises InvalidRequest for a receiver that nothing would ever be sent to."""
        problem = problem_of(url, self.receivers) or await self._sender.problem_of(url)
        if problem is not None:
            raise InvalidRequest(Problem("/url", problem))

    async def _told(self) -> None:
        """Return when every process knows of the change, so that nothing after this answer is missed or too much."""
        await self._outbox.refresh()
        if self._is_shared:
            await asyncio.sleep(STALE_S)
