"""Writes of many callers in one transaction: each gets its own answer, whatever becomes of its neighbours."""

from __future__ import annotations

import asyncio

import pytest

from app.db import AlreadyRecorded, Database, DatabaseRefused, DatabaseUnavailable, Repository
from app.records import Status
from tests.db.records import a_generation, added, next_version


async def test_many_callers_at_once_all_get_their_rows(repository: Repository) -> None:
    async def story() -> str:
        pending = await added(repository)
        queued = next_version(pending, status=Status.QUEUED)
        assert await repository.apply(pending, queued)
        assert await repository.apply(queued, next_version(queued, status=Status.SUCCEEDED, percentage=100.0))
        return pending.id

    ids = await asyncio.gather(*(story() for _ in range(300)))

    records = [await repository.get(generation_id) for generation_id in ids]
    assert {(record.status, record.version) for record in records if record} == {(Status.SUCCEEDED, 2)}
    assert None not in records


async def test_in_one_batch_only_one_of_two_changes_wins(repository: Repository) -> None:
    befores = [await added(repository) for _ in range(20)]
    rivals = [(before, next_version(before, backend=name)) for before in befores for name in ("gpu-0", "gpu-1")]

    won = await asyncio.gather(*(repository.apply(before, after) for before, after in rivals))

    assert won == [True, False] * 20
    assert await repository.get(befores[0].id) == rivals[0][1]


async def test_changes_that_build_on_each_other_may_wait_together(repository: Repository) -> None:
    new = a_generation()
    queued = next_version(new, status=Status.QUEUED)
    running = next_version(queued, status=Status.RUNNING)

    answers = await asyncio.gather(
        repository.add(new, workflow={}, request={}),
        repository.apply(new, queued),
        repository.apply(queued, running),
    )

    assert list(answers) == [None, True, True]
    assert await repository.get(new.id) == running


async def test_changes_of_different_columns_share_a_batch(repository: Repository) -> None:
    records = [await added(repository) for _ in range(3)]
    changes = [
        (records[0], next_version(records[0], backend="gpu-0")),
        (records[1], next_version(records[1], step=3, total_steps=20)),
        (records[2], next_version(records[2], seed=7, params={"seed": 7})),
    ]

    won = await asyncio.gather(*(repository.apply(before, after) for before, after in changes))

    assert won == [True, True, True]
    assert [await repository.get(record.id) for record in records] == [after for _, after in changes]


async def test_a_taken_id_fails_its_own_caller_alone(repository: Repository) -> None:
    taken = await added(repository)
    new = [a_generation() for _ in range(4)]
    batch = [new[0], new[1], a_generation(prompt_id=taken.prompt_id), new[2], new[3]]

    answers = await asyncio.gather(
        *(repository.add(record, workflow={}, request={}) for record in batch), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [type(None), type(None), AlreadyRecorded, type(None), type(None)]
    assert [await repository.get(record.id) for record in new] == new


async def test_a_value_the_database_refuses_fails_its_own_caller_alone(repository: Repository) -> None:
    new = [a_generation(), a_generation(step=2**70), a_generation()]

    answers = await asyncio.gather(
        *(repository.add(record, workflow={}, request={}) for record in new), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [type(None), DatabaseRefused, type(None)]
    assert [await repository.get(record.id) for record in new] == [new[0], None, new[2]]


async def test_a_value_without_a_json_form_fails_its_own_caller_alone(repository: Repository) -> None:
    new = [a_generation(), a_generation(params={"a": object()}), a_generation()]

    answers = await asyncio.gather(
        *(repository.add(record, workflow={}, request={}) for record in new), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [type(None), TypeError, type(None)]


async def test_a_canceled_caller_takes_nobody_along(repository: Repository) -> None:
    records = [a_generation() for _ in range(30)]
    callers = [asyncio.ensure_future(repository.add(record, workflow={}, request={})) for record in records]
    await asyncio.sleep(0)

    for caller in callers[::3]:
        caller.cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)

    stayed = [record for number, record in enumerate(records) if number % 3]
    assert [answer for number, answer in enumerate(answers) if number % 3] == [None] * 20
    assert [await repository.get(record.id) for record in stayed] == stayed


async def test_writes_that_wait_when_it_closes_are_still_committed(database: Database) -> None:
    records = [a_generation() for _ in range(200)]
    async with Repository(database) as repository:
        callers = [asyncio.ensure_future(repository.add(record, workflow={}, request={})) for record in records]
        await asyncio.sleep(0)

    await asyncio.gather(*callers)

    assert [await repository.get(record.id) for record in records] == records


async def test_a_closed_repository_takes_no_more_writes(database: Database) -> None:
    async with Repository(database) as repository:
        pass

    with pytest.raises(DatabaseUnavailable):
        await added(repository)


async def test_a_writer_that_is_canceled_leaves_nobody_waiting(database: Database) -> None:
    repository = Repository(database)
    callers = [asyncio.ensure_future(added(repository)) for _ in range(200)]
    writer = asyncio.ensure_future(repository.run())
    await asyncio.sleep(0)

    writer.cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert {type(answer) for answer in answers} == {DatabaseUnavailable}


async def test_a_caller_waits_to_be_let_in_when_too_many_wait(database: Database) -> None:
    async with Repository(database, max_waiting_writes=2) as repository:
        records = await asyncio.gather(*(added(repository) for _ in range(50)))

        assert [await repository.get(record.id) for record in records] == records
