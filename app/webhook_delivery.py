"""Sending what is in the outbox, for ever: who gets how many at a time, and what is noted of each attempt.

Owns the loop and the deliveries in hand. Everything it goes by is on record, so that any process can go on with it at
any moment; a delivery in hand is leased, and no session is held while it is sent. A slow receiver has a few places of
its own and leaves the rest to others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import stamina

from app import clock
from app.db.delivery_queue import DeliveryQueue, LaneLook, Taken
from app.db.errors import DatabaseError
from app.db.webhook_shelf import WebhookShelf
from app.webhook_policy import Again, GivenUp, Outcome, Policy
from app.webhook_records import Delivery
from app.webhook_sending import Sender

log = logging.getLogger(__name__)

IDLE_S: Final = 5.0
"""How often is looked without a reason: what other processes wrote comes to light this way."""

BEHIND_S: Final = 1.0
"""Pause before a lane is looked at again whose deliveries all wait for others of their generation."""

DATABASE_RETRY_S: Final = 1.0
LEASE_SLACK_S: Final = 15.0
"""How much longer than an attempt a delivery is in hand: for noting what came of it."""

GRACE_S: Final = 5.0
"""How long a service that stops waits for attempts that are under way: one broken off would be made twice."""

SWEEP_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Places:
    """How many deliveries are in hand at a time: overall, and for one receiver."""

    at_once: int
    per_lane: int


class Deliverer:
    """`body(delivery)` is what is sent; `service_secrets()` sign for receivers that only a request named.

    `is_alone`: nobody else delivers from this database. `keep_s`: how long what ended stays in the log. `on_disabled`
    is called when a registered receiver was disabled.
    """

    def __init__(
        self,
        queue: DeliveryQueue,
        shelf: WebhookShelf,
        sender: Sender,
        policy: Policy,
        places: Places,
        *,
        body: Callable[[Delivery], str],
        service_secrets: Callable[[], Awaitable[tuple[str, ...]]],
        on_disabled: Callable[[], Awaitable[None]],
        is_alone: bool,
        keep_s: float,
    ) -> None:
        self._queue, self._shelf, self._sender, self._policy, self._places = queue, shelf, sender, policy, places
        self._body, self._service_secrets, self._on_disabled = body, service_secrets, on_disabled
        self._is_alone, self._keep_s = is_alone, keep_s
        self._awake, self._in_hand = asyncio.Event(), Counter[str]()
        self._last_lane, self._swept_at, self._begun = "", float("-inf"), False

    @property
    def lease_s(self) -> float:
        return self._sender.timeout_s + LEASE_SLACK_S

    def wake(self) -> None:
        """There is something to deliver."""
        self._awake.set()

    async def run(self) -> None:
        """Deliver for ever. When canceled, what is under way gets a moment to come to its end."""
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    await self._round(group)
            finally:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(GRACE_S, self._sender.timeout_s)):
                        while self._in_hand.total():
                            self._awake.clear()
                            await self._awake.wait()

    async def _round(self, group: asyncio.TaskGroup) -> None:
        self._awake.clear()
        try:
            pause_s = await self._look(group)
        except DatabaseError as error:
            log.warning("deliveries wait for the database", extra={"action": "webhook", "cause": str(error)})
            pause_s = DATABASE_RETRY_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._awake.wait()

    async def _look(self, group: asyncio.TaskGroup) -> float:
        """Take in hand what is due; seconds until something else will be."""
        now = clock.now()
        await self._keep_order(now)
        lanes = await self._queue.look()
        wanted = self._shares(lanes, now)
        taken = await self._queue.take(wanted, now=now, lease_s=self.lease_s)
        for each in taken:
            self._in_hand[each.delivery.lane] += 1
            group.create_task(self._deliver(each), name=f"deliver {each.delivery.id}")
        if taken:
            return 0.0
        opening = [lane.opens_at - now for lane in lanes if lane.opens_at > now]
        return max(0.0, min([IDLE_S, *opening, *([BEHIND_S] if wanted else [])]))

    async def _keep_order(self, now: float) -> None:
        """What is due now and then, and what a former life of this process had in hand."""
        if self._is_alone and not self._begun:
            await self._queue.give_back(now=now)
        self._begun = True
        if now - self._swept_at >= SWEEP_S:
            self._swept_at = now
            await self._queue.sweep(now=now, ended_before=now - self._keep_s)

    def _shares(self, lanes: Sequence[LaneLook], now: float) -> dict[str, int]:
        """How many to take of each lane, in turn. When half of all places are taken, nobody gets a second one."""
        used = self._in_hand.total()
        most = self._places.per_lane if used * 2 < self._places.at_once else 1
        ordered = sorted(lanes, key=lambda lane: (lane.lane <= self._last_lane, lane.lane))
        shares: dict[str, int] = {}
        for lane in ordered:
            share = min(most - self._in_hand[lane.lane], self._places.at_once - used)
            if share > 0 and lane.opens_at <= now:
                shares[lane.lane] = share
                used += share
                self._last_lane = lane.lane
        return shares

    async def _deliver(self, taken: Taken) -> None:
        delivery, endpoint = taken.delivery, taken.endpoint
        try:
            if delivery.webhook_id is not None and (endpoint is None or not endpoint.is_enabled):
                await self._noted(lambda: self._queue.given_up(taken, None, now=clock.now(), lane=None))
                return
            url = endpoint.url if endpoint is not None else delivery.url or ""
            secrets = await self._service_secrets() if endpoint is None else endpoint.secrets_at(clock.now())
            outcome = await self._sender.send(url, delivery.id, self._body(delivery), secrets)
            await self._noted(lambda: self._settle(taken, outcome))
        finally:
            self._in_hand -= Counter({delivery.lane: 1})
            self.wake()

    async def _settle(self, taken: Taken, outcome: Outcome) -> None:
        delivery, attempt, now = taken.delivery, outcome.attempt, clock.now()
        facts = {"action": "webhook", "delivery_id": delivery.id, "told": delivery.event, "attempt": delivery.attempts}
        if outcome.error is None:
            await self._queue.delivered(taken, attempt, now=now)
            log.info("webhook delivered", extra=facts)
            return
        trouble = await self._queue.trouble(delivery.lane)
        match self._policy.verdict(outcome, delivery, trouble, random.random()):  # noqa: S311 - a pause is no secret
            case Again(at=at, lane=lane):
                await self._queue.failed(taken, attempt, retry_at=at, lane=lane)
                log.info("webhook not delivered, tried again later", extra={**facts, "cause": outcome.error})
            case GivenUp() as verdict:
                # In this order: who sees a delivery that failed for good finds its receiver disabled already.
                await self._give_up_receiver(delivery, verdict, now)
                await self._queue.given_up(taken, attempt, now=now, lane=verdict.lane)
                log.warning("webhook given up", extra={**facts, "cause": outcome.error})

    async def _give_up_receiver(self, delivery: Delivery, verdict: GivenUp, now: float) -> None:
        """Have a receiver that is gone, or of no use for days, get nothing more."""
        if delivery.webhook_id is None:
            if verdict.is_gone:
                await self._queue.drop_target(delivery.target, now=now)
        elif verdict.disable_for is not None and await self._shelf.disable(
            delivery.webhook_id, verdict.disable_for, now=now
        ):
            facts = {"action": "webhook", "webhook_id": delivery.webhook_id, "cause": verdict.disable_for}
            log.warning("webhook receiver disabled", extra=facts)
            await self._on_disabled()
            await self._queue.drop_lane(delivery.lane, now=now)

    async def _noted(self, note: Callable[[], Awaitable[None]]) -> None:
        """Note it, also while the database is away for a moment; past the lease the delivery is made again."""
        try:
            async for attempt in stamina.retry_context(
                on=DatabaseError, attempts=None, timeout=LEASE_SLACK_S, wait_initial=0.05, wait_max=1.0
            ):
                with attempt:
                    await note()
        except DatabaseError as error:
            log.warning("an attempt could not be noted", extra={"action": "webhook", "cause": str(error)})
