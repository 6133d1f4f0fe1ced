"""The event bus of several replicas: topics live in Redis, and one reader per process follows those watched here.

Owns who watches what in this process. Knows neither HTTP nor the database nor a Redis
command (`redis_log` does), and is no source of truth: what Redis loses, watchers get back as a snapshot.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import stamina

from app.bus import BusUnavailable, Cursor, Order, Subscription, cursor_of, spread
from app.events import Event, Moment
from app.redis_log import BusLimits, BusTimeouts, RedisLatest, RedisLog, Replay

__all__ = ["BusTimeouts", "RedisEventBus", "RedisLatest"]

log = logging.getLogger(__name__)

_ORIGIN: Final[Order] = (0, 0)
_MAX_UNSENT: Final = 10_000
"""Topics whose newest state waits for Redis to come back; past it the one that waits longest is forgotten."""


class RedisEventBus:
    """Publish from any replica, watch on any replica. `run()` must be running for subscriptions to hear anything.

    Entering a subscription and `latest` raise BusUnavailable when Redis does not answer. A `publish` that fails so is
    not lost for good: the topic's newest state follows when Redis answers again, so callers must not repeat it.
    A connection that breaks costs watchers nothing but time; when events were lost, the server restarted, or it is away
    for longer than `outage_s`, their subscriptions are broken off (overflowed) and they resume.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "comfy-relay:",
        log_length: int = 256,
        ttl_s: float = 300,
        feed_length: int = 4096,
        timeouts: BusTimeouts | None = None,
    ) -> None:
        """A topic is forgotten `ttl_s` after its end; watchers of a process that lags `feed_length` events resume."""
        self._timeouts = timeouts or BusTimeouts()
        limits = BusLimits(log_length=log_length, feed_length=feed_length, ttl_s=ttl_s)
        self._log = RedisLog(url, prefix, limits, self._timeouts)
        self._topics: dict[str, dict[Subscription, Order]] = {}
        self._unsent: dict[str, Event] = {}
        self._has_unsent, self._is_following, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Read for all local watchers, and send again what could not be sent, until cancelled or closed."""
        try:
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(self._read(), name="bus reader")]
                loops.append(group.create_task(self._resend(), name="bus resender"))
                await self._closing.wait()
                for loop in loops:
                    loop.cancel()
        finally:
            await self._log.close_reader()

    async def publish(self, topic: str, event: Event) -> Cursor:
        if topic in self._unsent:  # Sent now it would overtake the one that waits.
            self._remember(topic, event)
            raise BusUnavailable("earlier events of this topic still wait for redis")
        try:
            return cursor_of(await self._log.append(topic, event))
        except BusUnavailable:
            self._remember(topic, event)
            raise

    @asynccontextmanager
    async def subscribe(self, topic: str, after: str | None = None) -> AsyncIterator[Subscription]:
        subscription = Subscription()
        await self._wait_for_reader()
        watchers = self._topics.setdefault(topic, {})
        watchers[subscription] = _ORIGIN
        try:
            if self._closing.is_set():
                subscription.end()
            else:
                # Registered first and read second: what is published meanwhile comes from one or the other.
                watchers[subscription] = _admit(subscription, await self._log.since(topic, after))
            yield subscription
        finally:
            del watchers[subscription]
            if not watchers and self._topics.get(topic) is watchers:
                del self._topics[topic]

    async def latest(self, topic: str) -> RedisLatest:
        return await self._log.latest(topic)

    async def aclose(self) -> None:
        """End every subscription and `run`; what is already in a mailbox can still be read."""
        self._closing.set()
        self._is_following.set()  # Whoever waits for the reader now gets an end.
        for subscription in self._watchers():
            subscription.end()
        await self._log.aclose()

    async def _wait_for_reader(self) -> None:
        if not self._is_following.is_set() and not self._closing.is_set():
            try:
                async with asyncio.timeout(self._timeouts.command_s):
                    await self._is_following.wait()
            except TimeoutError as exc:
                raise BusUnavailable("nobody follows redis right now") from exc

    async def _read(self) -> None:
        while True:
            if not await self._reconnect():
                self._break_off("redis restarted")
            self._is_following.set()
            try:
                while True:
                    await self._read_once()
            except BusUnavailable as exc:
                log.warning("event bus lost redis", extra={"action": "bus_lost", "error": str(exc)})
            finally:
                self._is_following.clear()

    async def _reconnect(self) -> bool:
        """Wait for Redis, however long it takes; True when it is the server that was read before."""
        lost_at = time.monotonic()
        async for attempt in _until_redis_answers():
            with attempt:
                if attempt.num > 1 and time.monotonic() - lost_at >= self._timeouts.outage_s:
                    self._break_off("redis is away")
                return await self._log.identify()
        raise BusUnavailable("no attempt was made")

    async def _read_once(self) -> None:
        news = await self._log.follow(self._topics)
        if news.has_gap:
            self._break_off("events were lost")
            return
        for topic in news.unreadable & self._topics.keys():
            self._break_off("an event was unreadable", topic)
        for topic, entries in news.entries.items():
            spread(entries, self._topics.get(topic, {}))

    def _break_off(self, reason: str, topic: str | None = None) -> None:
        """Have the watchers of one topic, or all, resume. They are forgotten: nothing behind a gap may reach them."""
        broken = [self._topics.pop(name) for name in (list(self._topics) if topic is None else [topic])]
        for watchers in broken:
            for subscription in watchers:
                subscription.break_off()
        if broken:
            facts = {"action": "bus_gap", "reason": reason, "topics": len(broken), "generation_id": topic}
            log.warning("watchers must resume", extra=facts)

    def _watchers(self) -> list[Subscription]:
        return [subscription for watchers in self._topics.values() for subscription in watchers]

    def _remember(self, topic: str, event: Event) -> None:
        waiting = self._unsent.get(topic)
        if not isinstance(event, Moment) or (waiting is not None and waiting.is_terminal):
            return
        self._unsent[topic] = event
        if len(self._unsent) > _MAX_UNSENT:
            del self._unsent[next(iter(self._unsent))]
        self._has_unsent.set()

    async def _resend(self) -> None:
        while True:
            await self._has_unsent.wait()
            self._has_unsent.clear()
            async for attempt in _until_redis_answers():
                with attempt:
                    await self._send_unsent()

    async def _send_unsent(self) -> None:
        while self._unsent:
            topic, event = next(iter(self._unsent.items()))
            try:
                await self._log.append(topic, event)
            except BusUnavailable:
                if topic in self._unsent:  # To the end: one that Redis refuses must not hold up the others.
                    self._unsent[topic] = self._unsent.pop(topic)
                raise
            if self._unsent.get(topic) is event:
                del self._unsent[topic]


def _admit(subscription: Subscription, replay: Replay) -> Order:
    """Put the replay in front of what arrived while it was read; the place up to which the watcher has everything."""
    live = [entry for entry in subscription.mailbox.drain() if entry.order > replay.tail]
    subscription.deliver([*replay.entries, *live])
    return replay.tail


def _until_redis_answers() -> AsyncIterable[stamina.Attempt]:
    return stamina.retry_context(
        on=BusUnavailable, attempts=None, timeout=None, wait_initial=0.05, wait_max=1.0, wait_jitter=0.1
    )
