"""What this service has learned of how long things take: profiles in memory, read and written behind everybody's back.

Owns `Learner`. Nobody waits for it: a profile that is not in memory yet is missing this time, and fetched for the next
fact. What a run taught is written down a moment after its end, many in one transaction. A database that is away costs
knowledge, never work.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from app import clock, timing
from app import live as lives
from app.db.errors import DatabaseError
from app.jobs import Job
from app.live import Live
from app.observations import Accepted, Observation, Place, Polled
from app.records import Generation, Status
from app.states import EARLY, State, with_live
from app.timing import Kind, Profile

log = logging.getLogger(__name__)

MAX_PROFILES: Final = 1_000
"""Profiles in memory; past it the one that was not used for the longest time is forgotten."""

MAX_STORED: Final = 5_000
"""Profiles in the database: more than memory has, as replicas may serve different callers."""

WRITE_BEHIND_S: Final = 0.5
"""How much later the database learns: of hundreds of quick runs a second it hears once."""

PRUNE_EVERY: Final = 100
"""Writes between two prunings."""


UNHEARD_S: Final = 2.0
"""A run in which more time passed while no node was at work is no example: this service, or the server, was away."""


class Shelf(Protocol):
    """Where profiles outlast the process; `app.db.timing_shelf` for one."""

    async def read(self, profiles: list[str]) -> dict[str, dict[str, Any]]: ...

    async def write(self, samples: dict[str, dict[str, Any]], *, now: float) -> None: ...

    async def prune(self, keep: int) -> int: ...


class Learner:
    """`run` reads and writes; until it runs nothing is known. All other methods return at once."""

    def __init__(
        self,
        shelf: Shelf,
        *,
        write_behind_s: float = WRITE_BEHIND_S,
        wall: Callable[[], float] = clock.now,
    ) -> None:
        self._shelf, self._write_behind_s, self._wall = shelf, write_behind_s, wall
        self._profiles: OrderedDict[str, Profile] = OrderedDict()
        self._wanted: dict[str, None] = {}
        self._unwritten: dict[str, Profile] = {}
        self._awake = asyncio.Event()
        self._writes = 0

    def profile(self, key: str) -> Profile | None:
        """What is known of a kind; None while it is being fetched, an empty one where nothing is known."""
        known = self._profiles.get(key)
        if known is not None:
            self._profiles.move_to_end(key)
        elif key not in self._wanted and len(self._wanted) < MAX_PROFILES:
            self._wanted[key] = None
            self._awake.set()
        return known

    def want(self, kind: Kind | None) -> None:
        """A run of this kind is about to begin: what is known of it should be in memory by then."""
        if kind is not None:
            self.profile(kind.key)

    def foreseen(self, job: Job, seen: Observation, jobs: Iterable[Job], at: float) -> State:
        """The state of `job` with what is known of its future, before `seen` is folded into it.

        Once it has told steps of its own nothing is added any more: a frame must cost nothing here.
        """
        state = job.state
        if state.live.own or state.record.is_terminal:
            return state
        live = self._with_forecast(state.live)
        if isinstance(seen, Accepted) or (isinstance(seen, Polled) and seen.place is Place.WAITING):
            place, turn_at = turn_of(job, jobs, at)
            # More in front than we put there: somebody else uses this server, and nothing is known of his runs.
            is_shared = isinstance(seen, Polled) and seen.position is not None and seen.position > place
            live = lives.with_turn(live, place, None if is_shared else turn_at)
        return with_live(state, live)

    def pending_s(
        self, record: Generation, position: int, jobs: Iterable[Job], backends: int, at: float
    ) -> float | None:
        """When a generation that waits for a backend should be done: those at work share `backends` servers, and those
        in front are taken for runs like this one. None where either is unknown.
        """
        key = timing.key_of(record)
        profile = self.profile(key) if key is not None else None
        own_s = timing.whole_s(profile) if profile is not None else None
        at_work = [_left_s(each, at) for each in jobs if not each.record.is_terminal]
        if own_s is None or backends <= 0 or None in at_work:
            return None
        return (sum(each or 0.0 for each in at_work) + (position - 1) * own_s) / backends + own_s

    def learn(self, state: State) -> None:
        """A run is over: remember what it took, if it is an example for others."""
        live, record = state.live, state.record
        if live.kind is None or record.status is not Status.SUCCEEDED:
            return
        if record.started_at is None or record.completed_at is None or live.times.ended_at is None:
            return
        if live.times.ended_at - record.started_at - sum(live.times.took.values()) > UNHEARD_S:
            return
        before = self.profile(live.kind.key) or Profile()
        whole_s = max(0.0, record.completed_at - record.started_at)
        tail_s = max(0.0, record.completed_at - live.times.ended_at)
        after = timing.learned(before, live.kind, live.plan, live.times, live.cached or (), whole_s, tail_s)
        if after is before:
            return
        self._keep(live.kind.key, after)
        self._unwritten[live.kind.key] = after
        self._awake.set()

    async def run(self) -> None:
        """Fetch what is wanted and write what was learned, for ever; at the end what is still unwritten."""
        try:
            while True:
                await self._awake.wait()
                self._awake.clear()
                await self._fetch()
                if self._unwritten:
                    await self._write_later()
        finally:
            await self._write()

    async def _write_later(self) -> None:
        """Let more come together first; what is wanted meanwhile does not wait for that."""
        try:
            async with asyncio.timeout(self._write_behind_s):
                while True:
                    await self._awake.wait()
                    self._awake.clear()
                    await self._fetch()
        except TimeoutError:
            await self._write()

    async def _fetch(self) -> None:
        wanted = list(self._wanted)
        if not wanted:
            return
        try:
            stored = await self._shelf.read(wanted)
        except DatabaseError as error:
            log.info("timings were not read", extra={"action": "learn", "cause": str(error)})
            self._wanted.clear()  # Whoever comes next wants it again.
            return
        for key in wanted:
            del self._wanted[key]
            earlier, later = timing.from_json(stored.get(key, {})), self._profiles.get(key)
            self._keep(key, earlier if later is None else timing.together(earlier, later))
            if later is not None:
                self._unwritten[key] = self._profiles[key]

    async def _write(self) -> None:
        """What is wanted is fetched first: afterwards what is written now would be found there, and count twice."""
        await self._fetch()
        unwritten, self._unwritten = self._unwritten, {}
        if not unwritten:
            return
        try:
            await self._shelf.write({key: timing.to_json(each) for key, each in unwritten.items()}, now=self._wall())
            self._writes += 1
            if self._writes % PRUNE_EVERY == 1:
                await self._shelf.prune(MAX_STORED)
        except DatabaseError as error:
            log.info("timings were not written", extra={"action": "learn", "cause": str(error)})

    def _with_forecast(self, live: Live) -> Live:
        if live.kind is None or live.forecast is not None or (profile := self.profile(live.kind.key)) is None:
            return live
        forecast = timing.forecast_of(profile, live.kind, live.plan) if profile.nodes else None
        return live if forecast is None else lives.with_forecast(live, forecast)

    def _keep(self, key: str, profile: Profile) -> None:
        self._profiles[key] = profile
        self._profiles.move_to_end(key)
        if len(self._profiles) > MAX_PROFILES:
            self._profiles.popitem(last=False)


def turn_of(job: Job, jobs: Iterable[Job], at: float) -> tuple[int, float | None]:
    """Its place among those we handed to its backend (1 is next), and when its turn should come, if that is known.

    ComfyUI takes what has a higher priority first, then the others as they came; `jobs` come in that order.
    """
    place, wait_s, is_before = 1, 0.0, True
    rank, is_known = _rank(job.record), True
    for other in jobs:
        if other is job:
            is_before = False
        elif other.backend is job.backend and other.record.id in job.backend.in_flight:
            is_early = other.record.status in EARLY
            if is_early and not (_rank(other.record) < rank or (is_before and _rank(other.record) == rank)):
                continue
            place += is_early
            left_s = _left_s(other, at)
            wait_s += left_s or 0.0
            is_known = is_known and left_s is not None
    return place, at + wait_s if is_known else None


def _rank(record: Generation) -> int:
    return -record.priority


def _left_s(job: Job, at: float) -> float | None:
    """What a job still occupies its backend for."""
    live = job.state.live
    if job.record.status in EARLY:
        return live.forecast.expected_s if live.forecast is not None else None
    return None if live.eta_s is None else max(0.0, live.eta_s - max(0.0, at - live.eta_at))
