"""Profiles in memory and in the database: read when wanted, written when there is time, never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app import timing
from app.backends import Backend
from app.db.engine import Database
from app.db.errors import DatabaseUnavailable
from app.db.timing_shelf import TimingShelf
from app.learning import MAX_PROFILES, MAX_STORED, Learner, Shelf
from app.lifecycle import State, begin
from app.records import Status
from app.timing import Kind, Profile, Times
from tests.following import TEXT_TO_IMAGE, claimed
from tests.jobs import a_job, backend
from tests.waiting import until

__all__ = ["backend"]

KEY = "template:txt2img@builtin"


def ended_run(key: str = KEY, **fields: Any) -> State:
    """A run that sampled for two seconds and was kept in a quarter of one."""
    times = timing.started(Times(), "3", 100.0)
    for step in range(1, 21):
        times = timing.stepped(times, "3", step, 100.0 + step / 10)
    times = timing.ended(times, ["3"], 102.0)
    over = {"status": Status.SUCCEEDED, "started_at": 99.0, "completed_at": 102.25, **fields}
    state = begin(claimed(**over), TEXT_TO_IMAGE, Kind(key, {"3": 1.0}))
    live = type(state.live)(state.live.plan, state.live.scale, state.live.kind, times=times)
    return State(state.record, live, state.moment)


class Shelves:
    """A shelf in memory that counts, and that can be out of reach."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.reads: list[list[str]] = []
        self.writes: list[set[str]] = []
        self.prunings: list[int] = []
        self.is_away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, profiles: list[str]) -> dict[str, dict[str, Any]]:
        await self.gate.wait()
        self.reads.append(profiles)
        if self.is_away:
            raise DatabaseUnavailable("away")
        return {name: self.stored[name] for name in profiles if name in self.stored}

    async def write(self, samples: dict[str, dict[str, Any]], *, now: float) -> None:
        assert now > 0
        if self.is_away:
            raise DatabaseUnavailable("away")
        self.writes.append(set(samples))
        self.stored |= samples

    async def prune(self, keep: int) -> int:
        self.prunings.append(keep)
        return 0


@asynccontextmanager
async def learning(shelf: Shelf, write_behind_s: float = 0.01) -> AsyncIterator[Learner]:
    learner = Learner(shelf, write_behind_s=write_behind_s)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(learner.run())
        await asyncio.sleep(0)  # A task that is canceled before it ran has no end to see to.
        yield learner
        task.cancel()


async def known(learner: Learner, key: str = KEY) -> Profile:
    await until(lambda: learner.profile(key) is not None)
    profile = learner.profile(key)
    assert profile is not None
    return profile


async def test_a_kind_nobody_knows_is_looked_for_once() -> None:
    shelf = Shelves()

    async with learning(shelf) as learner:
        assert learner.profile(KEY) is None
        profiles = [await known(learner) for _ in range(3)]

    assert profiles == [Profile()] * 3
    assert shelf.reads == [[KEY]]


async def test_what_is_learned_is_known_at_once_and_written_soon() -> None:
    shelf = Shelves()

    async with learning(shelf) as learner:
        learner.learn(ended_run())
        at_once = learner.profile(KEY)
        await until(lambda: bool(shelf.writes))

    assert at_once is not None
    assert at_once.nodes["3"].ran == (0.1,)
    assert (at_once.whole, at_once.tail) == ((3.25,), (0.25,))
    assert timing.from_json(shelf.stored[KEY]) == at_once


async def test_a_hundred_runs_are_one_write() -> None:
    shelf = Shelves()

    async with learning(shelf, write_behind_s=0.2) as learner:
        for number in range(100):
            learner.learn(ended_run(f"{KEY}/{number % 10}"))
            await asyncio.sleep(0)
        await until(lambda: bool(shelf.writes))

    assert [len(each) for each in shelf.writes] == [10]


async def test_what_was_not_written_yet_is_when_the_service_stops() -> None:
    shelf = Shelves()

    async with learning(shelf, write_behind_s=60) as learner:
        learner.learn(ended_run())

    assert shelf.stored.keys() == {KEY}


async def test_a_stop_right_after_the_first_run_forgets_nothing_of_earlier_lives() -> None:
    shelf = Shelves()
    shelf.stored[KEY] = timing.to_json(Profile(whole=(7.0,)))

    async with learning(shelf) as learner:
        learner.learn(ended_run())

    assert timing.from_json(shelf.stored[KEY]).whole == (7.0, 3.25)


async def test_a_run_during_which_the_service_was_away_is_no_example() -> None:
    async with learning(Shelves()) as learner:
        learner.learn(ended_run(started_at=60.0))

        assert learner.profile(KEY) is None


async def test_the_next_life_knows_what_this_one_learned(database_url: str) -> None:
    async with Database(database_url) as database, learning(TimingShelf(database)) as learner:
        for _ in range(3):
            learner.learn(ended_run())

    async with Database(database_url) as database, learning(TimingShelf(database)) as learner:
        profile = await known(learner)

    assert profile.nodes["3"].ran == (0.1, 0.1, 0.1)


async def test_what_is_learned_before_the_stored_profile_arrives_is_added_to_it_once() -> None:
    shelf = Shelves()
    shelf.stored[KEY] = timing.to_json(Profile(whole=(7.0,)))
    shelf.gate.clear()

    async with learning(shelf) as learner:
        learner.profile(KEY)
        learner.learn(ended_run())
        shelf.gate.set()
        await until(lambda: bool(shelf.writes))
        profile = await known(learner)

    assert profile.whole == (7.0, 3.25)
    assert timing.from_json(shelf.stored[KEY]) == profile


async def test_a_database_that_is_away_costs_knowledge_and_nothing_else() -> None:
    shelf = Shelves()
    shelf.is_away = True

    async with learning(shelf) as learner:
        learner.profile(KEY)
        await until(lambda: bool(shelf.reads))
        learner.learn(ended_run("other"))
        shelf.is_away = False
        profile = await known(learner)

    assert profile == Profile()
    assert len(shelf.reads) >= 2


@pytest.mark.parametrize(
    "fields", [{"status": Status.FAILED}, {"status": Status.CANCELED}, {"started_at": None}, {"completed_at": None}]
)
async def test_only_a_run_that_succeeded_and_was_heard_is_an_example(fields: dict[str, Any]) -> None:
    shelf = Shelves()

    async with learning(shelf) as learner:
        learner.learn(ended_run(**fields))

    assert shelf.stored == {}


async def test_memory_keeps_the_profiles_used_last() -> None:
    shelf = Shelves()

    async with learning(shelf) as learner:
        for number in range(MAX_PROFILES):
            learner.learn(ended_run(str(number)))
        learner.profile("0")
        learner.learn(ended_run("one more"))
        kept = [learner.profile(name) is not None for name in ("0", "1", "2", "one more")]

    assert kept == [True, False, True, True]


async def test_the_table_is_pruned_now_and_then() -> None:
    shelf = Shelves()

    async with learning(shelf) as learner:
        for number in range(3):
            learner.learn(ended_run(str(number)))
            await until(lambda: len(shelf.writes) == number + 1)  # noqa: B023 - awaited before it changes

    assert shelf.prunings == [MAX_STORED]


async def test_what_waits_for_a_backend_waits_for_its_share_of_all_that_is_in_front(
    backend: Backend,
) -> None:
    shelf = Shelves()
    jobs = [a_job(backend, "running", eta_s=6.0), a_job(backend, "queued")]
    waiting = claimed(template="txt2img")

    async with learning(shelf) as learner:
        learner.learn(ended_run())
        alone = learner.pending_s(waiting, 1, [], backends=1, at=0.0)
        behind = learner.pending_s(waiting, 3, jobs, backends=2, at=0.0)
        unknown = learner.pending_s(waiting, 3, [a_job(backend, "?", expected_s=None)], backends=2, at=0.0)
        raw = learner.pending_s(claimed(), 1, [], backends=1, at=0.0)
        nowhere = learner.pending_s(waiting, 1, [], backends=0, at=0.0)

    assert (alone, behind) == (3.25, (6.0 + 10.0 + 2 * 3.25) / 2 + 3.25)
    assert (unknown, raw, nowhere) == (None, None, None)


async def test_the_shelf_keeps_what_was_written_last(database_url: str) -> None:
    async with Database(database_url) as database:
        shelf = TimingShelf(database)
        for number in range(5):
            await shelf.write({f"k{number}": {"whole": [number]}, "every": {"whole": [number]}}, now=1_000.0 + number)

        forgotten = await shelf.prune(3)
        left = await shelf.read(["k0", "k1", "k2", "k3", "k4", "every"])

    assert forgotten == 3
    assert left == {"k3": {"whole": [3]}, "k4": {"whole": [4]}, "every": {"whole": [4]}}


async def test_nothing_written_and_nothing_read_asks_nothing_of_the_database() -> None:
    class Untouched(Database):
        async def read(self, work: object) -> Any:
            raise AssertionError("read")

        async def write(self, work: object) -> Any:
            raise AssertionError("written")

    shelf = TimingShelf(Untouched("sqlite:///unused.db"))

    await shelf.write({}, now=1.0)

    assert await shelf.read([]) == {}
