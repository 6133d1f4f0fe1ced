"""Stamps: live numbers in the database, which are no change of a record and never touch one that has ended."""

from __future__ import annotations

from app.db import Repository
from app.events import Moment
from app.records import Generation, Status
from tests.db.records import CREATED_AT, added


def a_moment(record: Generation, **fields: object) -> Moment:
    return Moment(generation_id=record.id, comfyui_prompt_id=record.prompt_id, status=record.status, **fields)  # type: ignore[arg-type]


async def test_stamped_numbers_are_read_back_and_the_version_stays(repository: Repository) -> None:
    one, other = await added(repository), await added(repository)

    moments = [a_moment(one, step=3, total_steps=20, percentage=31.5), a_moment(other, percentage=7.0)]
    await repository.stamp(moments, now=CREATED_AT)

    stamped = await repository.get(one.id)
    assert stamped is not None
    assert (stamped.step, stamped.total_steps, stamped.percentage, stamped.version) == (3, 20, 31.5, one.version)
    untouched = await repository.get(other.id)
    assert untouched is not None
    assert untouched.percentage == 7.0


async def test_what_has_ended_is_not_stamped(repository: Repository) -> None:
    ended = await added(repository, status=Status.SUCCEEDED, percentage=100.0, completed_at=CREATED_AT)

    await repository.stamp([a_moment(ended, percentage=50.0)], now=CREATED_AT)

    assert await repository.get(ended.id) == ended


async def test_nothing_to_stamp_asks_nothing(repository: Repository) -> None:
    await repository.stamp([], now=CREATED_AT)


async def test_what_its_owner_stamps_is_no_orphan(repository: Repository) -> None:
    kept = await added(repository, backend="gpu-0", owner="alive", status=Status.RUNNING)
    lost = await added(repository, backend="gpu-0", owner="dead", status=Status.RUNNING)
    await added(repository, status=Status.PENDING)
    await added(repository, backend="gpu-0", status=Status.FAILED, completed_at=CREATED_AT)

    await repository.stamp([a_moment(kept)], now=CREATED_AT + 10)

    assert [record.id for record in await repository.orphans(CREATED_AT + 5)] == [lost.id]
