"""One Redis server's side of the event bus: keys, commands, encoding, timeouts.

The only module that imports redis. Any failure of the far end becomes BusUnavailable, and the server's address is in no
message. Each topic has two keys that expire together: a stream (the log for resuming) and a hash (the newest state, the
newest preview, and how far back the log reaches). The log keeps all milestones, but only the newest progress and the
newest preview's announcement; a preview's bytes are in the hash alone. Every event also goes into the feed, one short
stream that every process reads: so a read costs the same however many topics are watched. Needs Redis 6.2 or newer: one
server, or one primary with replicas, but no cluster (a script spans topic and feed), and no eviction of keys.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Container, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar, cast

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.bus import BusUnavailable, CursorExpired, Entry, Order, cursor_of, parse_cursor
from app.events import Event, Moment, PreviewReady, Progressed

log = logging.getLogger(__name__)

T = TypeVar("T")
Rows: TypeAlias = list[tuple[bytes, dict[bytes, bytes]]]
"""A stream's entries: each its id and its fields."""

_MAX_ID_PART: Final = 2**64 - 1
"""Both parts of a stream's id are unsigned 64-bit integers; Redis answers anything beyond with an error."""
_CONNECTIONS: Final = 16
_READ_AT_ONCE: Final = 500

# One round trip, and atomic: an event is in the log exactly when the state knows of it. An ended topic takes no more,
# so that an event sent again after an answer got lost cannot follow the end. `floor` is the oldest id to resume after.
# The feed's numbers have no gaps, so that a reader who sees one knows that something was lost.
_PUBLISH: Final = """
local log, state, feed, count = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local topic, event, slot, is_moment, is_terminal = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5] == '1'
local log_length, feed_length, topic_ttl, feed_ttl = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]
local ended = redis.call('HGET', state, 'ended')
if ended then return ended end
if slot ~= '' then
  local older = redis.call('HGET', state, slot)
  if older then redis.call('XDEL', log, older) end
end
local told = slot == 'preview' and '' or event
local id = redis.call('XADD', log, '*', 'event', told)
local number = redis.call('INCR', count)
redis.call('XADD', feed, 'MAXLEN', '~', feed_length, '*', 'number', number, 'topic', topic, 'id', id, 'event', told)
redis.call('HSETNX', state, 'floor', id)
redis.call('HSET', state, 'tail', id)
if slot ~= '' then redis.call('HSET', state, slot, id) end
if slot == 'preview' then redis.call('HSET', state, 'preview_event', event) end
if is_moment then redis.call('HSET', state, 'moment', id, 'moment_event', event) end
if is_terminal then redis.call('HSET', state, 'ended', id) end
if redis.call('XLEN', log) > log_length then
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1][1]
  redis.call('XDEL', log, oldest)
  redis.call('HSET', state, 'floor', oldest)
end
redis.call('PEXPIRE', log, topic_ttl)
redis.call('PEXPIRE', state, topic_ttl)
redis.call('PEXPIRE', feed, feed_ttl)
redis.call('PEXPIRE', count, feed_ttl)
return id
"""


@dataclass(frozen=True, slots=True)
class BusTimeouts:
    """How long Redis may take, in seconds: for one answer; to sit idle in one read; to be away before watchers go."""

    command_s: float = 2.0
    block_s: float = 5.0
    outage_s: float = 10.0


@dataclass(slots=True)
class RedisLatest:
    """The newest of a topic, as read at one moment."""

    moment: Entry | None = None
    preview: Entry | None = None


@dataclass(frozen=True, slots=True)
class BusLimits:
    """How many events Redis keeps per topic and in the feed; for how long an ended topic, and one that fell silent."""

    log_length: int = 256
    feed_length: int = 4096
    ttl_s: float = 300
    silent_ttl_s: float = 86_400


@dataclass(frozen=True, slots=True)
class Replay:
    """A topic's log after some place, up to `tail`."""

    entries: list[Entry]
    tail: Order


@dataclass(slots=True)
class News:
    """What the feed told at once: entries per topic, and topics of which something cannot be told."""

    entries: dict[str, list[Entry]] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    has_gap: bool = False


class RedisLog:
    """The topics' logs and the feed on one server. `follow` and `identify` are for one caller only, the reader."""

    def __init__(self, url: str, prefix: str, limits: BusLimits, timeouts: BusTimeouts) -> None:
        self._prefix, self._limits, self._timeouts = prefix, limits, timeouts
        self._commands, self._reader = _clients(url, timeouts)
        self._publish = self._commands.register_script(_PUBLISH)
        self._feed_key, self._count_key = f"{prefix}feed", f"{prefix}count"
        self._server, self._heard, self._number = "", b"0-0", 0
        self._decoder = msgspec.json.Decoder(Event)

    async def append(self, topic: str, event: Event) -> Order:
        limits = self._limits
        ttl_s = limits.ttl_s if event.is_terminal else limits.silent_ttl_s
        keys = [self._log_key(topic), self._state_key(topic), self._feed_key, self._count_key]
        # JSON, not MessagePack: parameters may hold integers beyond 64 bits, which only JSON carries.
        args: list[bytes | str | int] = [topic, msgspec.json.encode(event), _slot(event)]
        args += [int(isinstance(event, Moment)), int(event.is_terminal), limits.log_length, limits.feed_length]
        args += [int(ttl_s * 1000), int(limits.silent_ttl_s * 1000)]
        stream_id = await self._ask(self._publish(keys=keys, args=args))
        return _order(cast("bytes", stream_id))

    async def since(self, topic: str, after: str | None) -> Replay:
        """The log after a cursor, or just where it ends now. Previews are not replayed: `latest` has the newest."""
        order = None if after is None else parse_cursor(after)
        if after is not None and (order is None or not all(0 <= part <= _MAX_ID_PART for part in order)):
            raise CursorExpired(after)
        pipeline = self._commands.pipeline(transaction=True)
        pipeline.hmget(self._state_key(topic), "floor", "tail")
        if order is not None:
            pipeline.xrange(self._log_key(topic), min=f"({_stream_id(order)}")
        (floor, tail), *replay = await self._ask(pipeline.execute())
        if after is None or order is None:
            return Replay([], _order(tail or b"0-0"))
        if tail is None or not _order(floor) <= order <= _order(tail):
            raise CursorExpired(after)
        entries = [self._entry(stream_id, fields[b"event"]) for stream_id, fields in cast("Rows", replay[0])]
        return Replay([entry for entry in entries if entry is not None], _order(tail))

    async def latest(self, topic: str) -> RedisLatest:
        fields = ("moment", "moment_event", "preview", "preview_event")
        answer = await self._ask(self._commands.hmget(self._state_key(topic), fields))
        moment_id, moment, preview_id, preview = cast("list[bytes | None]", answer)
        return RedisLatest(self._entry(moment_id, moment), self._entry(preview_id, preview))

    async def identify(self) -> bool:
        """Connect. False when this is another server, or one that restarted: the feed is heard from its end then."""
        pipeline = self._reader.pipeline(transaction=True)
        pipeline.info("server")
        pipeline.xrevrange(self._feed_key, count=1)
        server, newest = await self._ask(pipeline.execute())
        run_id = str(cast("dict[str, object]", server)["run_id"])
        if run_id == self._server:
            return True
        self._server, self._heard, self._number = run_id, b"0-0", 0
        for stream_id, fields in cast("Rows", newest):
            self._heard, self._number = stream_id, int(fields[b"number"])
        return False

    async def follow(self, topics: Container[str]) -> News:
        """Wait for news of anything; tell those of `topics`. Nothing when the feed was idle for `block_s`."""
        block_s = self._timeouts.block_s
        read = self._reader.xread({self._feed_key: self._heard}, count=_READ_AT_ONCE, block=int(block_s * 1000))
        streams = cast("list[tuple[bytes, Rows]]", await self._ask(read, block_s))
        rows = streams[0][1] if streams else []
        wanted = [(row[b"topic"].decode(), row) for _, row in rows if row[b"topic"].decode() in topics]
        previews = await self._previews({topic for topic, row in wanted if not row[b"event"]})
        news = News(has_gap=not self._is_next(rows))
        for topic, row in wanted:
            entry = self._entry(row[b"id"], row[b"event"]) if row[b"event"] else previews.get(topic)
            if entry is not None and entry.order == _order(row[b"id"]):
                news.entries.setdefault(topic, []).append(entry)
            elif row[b"event"]:
                news.unreadable.add(topic)
        return news

    async def close_reader(self) -> None:
        with suppress(BusUnavailable):
            await self._ask(self._reader.aclose())

    async def aclose(self) -> None:
        with suppress(BusUnavailable):
            await self._ask(self._commands.aclose())

    async def _previews(self, topics: Iterable[str]) -> dict[str, Entry | None]:
        names = list(topics)
        if not names:
            return {}
        pipeline = self._commands.pipeline(transaction=False)
        for topic in names:
            pipeline.hmget(self._state_key(topic), "preview", "preview_event")
        answers = cast("list[list[bytes | None]]", await self._ask(pipeline.execute()))
        return {topic: self._entry(*answer) for topic, answer in zip(names, answers, strict=True)}

    def _is_next(self, rows: Rows) -> bool:
        """Take the rows as heard; False when the feed's numbers do not go on where they were."""
        if not rows:
            return True
        expected, first = self._number + 1, int(rows[0][1][b"number"])
        self._heard, self._number = rows[-1][0], int(rows[-1][1][b"number"])
        return first == expected and self._number == first + len(rows) - 1

    def _entry(self, stream_id: bytes | None, encoded: bytes | None) -> Entry | None:
        """None when there is none, or when another version of this service wrote what we cannot read."""
        if not stream_id or not encoded:
            return None
        try:
            event = self._decoder.decode(encoded)
        except msgspec.DecodeError as exc:
            log.warning("event bus holds an unreadable event", extra={"action": "bus_decode", "error": str(exc)})
            return None
        order = _order(stream_id)
        return Entry(cursor_of(order), order, event)

    async def _ask(self, answer: Awaitable[T], idle_s: float = 0) -> T:
        within_s = idle_s + self._timeouts.command_s
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError as exc:
            raise BusUnavailable(f"redis gave no answer within {within_s:g} s") from exc
        except (RedisError, OSError) as exc:
            raise BusUnavailable(f"redis failed: {type(exc).__name__}") from exc

    def _log_key(self, topic: str) -> str:
        return f"{self._prefix}log:{topic}"

    def _state_key(self, topic: str) -> str:
        return f"{self._prefix}state:{topic}"


def _clients(url: str, timeouts: BusTimeouts) -> tuple[Redis, Redis]:
    """For commands, and for the reader. Neither retries by itself: a command sent twice would be an event told twice.

    RESP2, because with RESP3 redis-py 8 no longer notices that an idle connection of its pool was closed. No socket
    timeouts of their own: redis-py would use asyncio.wait_for, which in Python 3.11 can swallow a cancellation
    (python/cpython#86296); every answer is under `_ask`'s timeout anyway.
    """
    limit_s = timeouts.command_s
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=limit_s,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        socket_connect_timeout=limit_s,
    )
    reader = Redis.from_url(
        url,
        single_connection_client=True,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        socket_connect_timeout=limit_s,
    )
    return Redis.from_pool(pool), reader


def _slot(event: Event) -> str:
    """What a newer event of the same slot replaces in the log; milestones have none."""
    match event:
        case Progressed():
            return "progress"
        case PreviewReady():
            return "preview"
        case _:
            return ""


def _order(stream_id: bytes) -> Order:
    """Stream ids are "milliseconds-sequence" in decimal; cursors say the same in hexadecimal."""
    milliseconds, _, sequence = stream_id.partition(b"-")
    return int(milliseconds), int(sequence)


def _stream_id(order: Order) -> str:
    return f"{order[0]}-{order[1]}"
