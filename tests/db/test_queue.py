"""The durable queue: who is next, and that nobody is handed out twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from app.db import Database, Repository
from app.db.statements import CLAIM, ITEMS_AHEAD, WAITING_AHEAD, WAITING_COUNT, WAITING_ORDER
from app.records import TERMINAL, Status
from tests.db.records import CREATED_AT, added, next_version

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.records import Generation


async def claimed(repository: Repository, limit: int, owner: str = "replica") -> tuple[Generation, ...]:
    claimed = await repository.claim(backend="gpu-0", client_id="client", owner=owner, limit=limit, now=CREATED_AT)
    return tuple(record for record, _ in claimed)


async def five_in_turn(repository: Repository) -> list[Generation]:
    """Added in another order than theirs."""
    last = await added(repository, priority=-1, created_at=CREATED_AT - 50)
    fourth = await added(repository, created_at=CREATED_AT + 1e-6)
    second = await added(repository, id="b", created_at=CREATED_AT)
    third = await added(repository, id="c", created_at=CREATED_AT)
    first = await added(repository, priority=7, created_at=CREATED_AT + 50)
    return [first, second, third, fourth, last]


async def test_higher_priority_goes_first_and_then_the_longer_wait(repository: Repository) -> None:
    in_turn = await five_in_turn(repository)

    first = await claimed(repository, 3)
    rest = await claimed(repository, 9)

    assert [record.id for record in first + rest] == [record.id for record in in_turn]


async def test_a_claim_returns_the_record_as_it_now_is(repository: Repository) -> None:
    record = await added(repository, seed=2**64 - 1, params={"b": 1, "a": "\x00"})

    claims = await claimed(repository, 1)

    assert claims == (next_version(record, backend="gpu-0", client_id="client", owner="replica"),)
    assert await repository.get(record.id) == claims[0]


async def test_a_claim_makes_the_unclaimed_version_stale(repository: Repository) -> None:
    record = await added(repository)
    await claimed(repository, 1)

    assert not await repository.apply(record, next_version(record, status=Status.CANCELED))


async def test_only_pending_and_unclaimed_rows_wait(repository: Repository) -> None:
    for status in Status:
        await added(repository, status=status, backend="gpu-1")
        await added(repository, status=status)

    claims = await claimed(repository, 99)

    assert [record.status for record in claims] == [Status.PENDING]
    assert await claimed(repository, 99) == ()
    assert await repository.pending_count() == 0


async def test_a_claim_of_nothing_takes_nothing(repository: Repository) -> None:
    await added(repository)

    assert await claimed(repository, 0) == ()

    assert await repository.pending_count() == 1


async def test_no_row_is_claimed_twice_by_many_at_once(repository: Repository, database_url: str) -> None:
    ids = {record.id for record in await asyncio.gather(*(added(repository) for _ in range(100)))}

    async def claim_all(claimer: Repository, owner: str) -> list[str]:
        taken: list[str] = []
        while rows := await claimed(claimer, 7, owner):
            taken += [row.id for row in rows]
        return taken

    async with Database(database_url) as second_database, Repository(second_database) as second:
        claimers = [repository, second, repository, second, repository]
        taken = await asyncio.gather(*(claim_all(claimer, f"owner-{n}") for n, claimer in enumerate(claimers)))

    everything = [generation_id for some in taken for generation_id in some]
    assert len(everything) == 100
    assert set(everything) == ids


async def test_the_order_and_the_places_in_it_agree(repository: Repository) -> None:
    in_turn = await five_in_turn(repository)

    order = await repository.pending_order(4)
    places = [await repository.pending_ahead_of(record) for record in in_turn]

    assert order == tuple(record.id for record in in_turn[:4])
    assert places == [0, 1, 2, 3, 4]
    assert await repository.pending_count() == 5


async def test_the_claimed_are_not_counted_as_ahead(repository: Repository) -> None:
    in_turn = await five_in_turn(repository)
    await claimed(repository, 2)

    assert await repository.pending_ahead_of(in_turn[-1]) == 2


@pytest.mark.parametrize("statement", [CLAIM, ITEMS_AHEAD, WAITING_AHEAD, WAITING_COUNT, WAITING_ORDER])
async def test_sqlite_reads_the_queue_in_turn_from_its_index(sqlite_url: str, statement: sa.ClauseElement) -> None:
    def plan(connection: sa.Connection) -> str:
        sql = str(statement.compile(dialect=connection.dialect))
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (None,) * sql.count("?"))
        return "\n".join(step.detail for step in steps)

    async with Database(sqlite_url) as database:
        steps = await database.read(plan)

    assert "ix_generations_waiting" in steps
    assert "TEMP B-TREE" not in steps


async def test_unfinished_are_the_claimed_that_have_not_ended(repository: Repository) -> None:
    records = [
        await added(repository, status=status, backend="gpu-0", owner="mine", created_at=CREATED_AT + number)
        for number, status in enumerate(Status)
    ]
    theirs = await added(repository, status=Status.RUNNING, backend="gpu-1", owner="theirs", created_at=CREATED_AT - 1)
    await added(repository)

    mine = tuple(record for record in records if record.status not in TERMINAL)
    assert await repository.unfinished("mine") == mine
    assert await repository.unfinished() == (theirs, *mine)
    assert await repository.unfinished("nobody") == ()
