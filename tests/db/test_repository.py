"""One generation: what is put on record is what comes back, and only one of two writers gets its way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.db import AlreadyRecorded, Database, Repository
from app.db.models import GENERATIONS
from app.records import ErrorCode, Failure, Generation, Output, OutputKind, Status
from tests.db.records import CREATED_AT, a_generation, added, next_version

ODD_TEXT = "nul \x00, escape \x1a0000, surrogate \ud800, 灯台 🗼, 100% _under_ \\ ' \""
ODD_JSON: dict[str, Any] = {
    "text": ODD_TEXT,
    ODD_TEXT: [1, 2.5, True, None],
    "wide": [2**64 - 1, -(2**63), 2**80, 1e300, -0.0, 5e-324],
    "deep": {"a": {"b": {"c": [[[[{"d": []}]]]]}}},
    "zebra": 1,
    "aardvark": 2,
}
OUTPUTS = (
    Output(
        index=0,
        node_id="57:12",
        kind=OutputKind.IMAGE,
        filename=f"{ODD_TEXT}.png",
        subfolder="a/b",
        folder="temp",
        mime_type="image/png",
        size_bytes=2**40,
        sha256="0" * 64,
        location="00/00",
        width=1024,
        height=768,
    ),
    Output(
        index=1,
        node_id="9",
        kind=OutputKind.TEXT,
        filename="",
        mime_type="text/plain",
        size_bytes=3,
        sha256="",
        text="",
    ),
)
FAILURE = Failure(
    code=ErrorCode.OUT_OF_MEMORY,
    message=ODD_TEXT,
    node_id="3",
    node_type="KSampler",
    exception_type="OutOfMemoryError",
    node_errors=ODD_JSON,
)
EVERY_FIELD = Generation(
    id="1b4e28ba-2fa1-41d2-883f-0016d3cca427",
    prompt_id="6fa459ea-ee8a-4ca4-894e-db77e160355e",
    status=Status.FAILED,
    version=41,
    attempt=3,
    template=ODD_TEXT,
    params=ODD_JSON,
    prompt_text=ODD_TEXT,
    seed=2**64 - 1,
    priority=-(2**63),
    force=True,
    project_id=ODD_TEXT,
    batch_id=ODD_TEXT,
    metadata=ODD_JSON,
    deadline_at=1_795_000_000.000001,
    idempotency_key=ODD_TEXT,
    fingerprint="0" * 64,
    backend=ODD_TEXT,
    client_id="client",
    owner="owner",
    step=2**63 - 1,
    total_steps=7,
    percentage=33.333333333333336,
    outputs=OUTPUTS,
    outputs_reused=True,
    error=FAILURE,
    node_errors=ODD_JSON,
    created_at=1_795_000_000.999999,
    queued_at=1_795_000_001.123456,
    started_at=0.000001,
    completed_at=4_102_444_800.654321,
)


async def test_every_field_comes_back_as_it_was_put(repository: Repository) -> None:
    await repository.add(EVERY_FIELD, workflow={}, request={})

    assert await repository.get(EVERY_FIELD.id) == EVERY_FIELD


async def test_every_field_can_be_changed(repository: Repository) -> None:
    before = await added(repository, id=EVERY_FIELD.id)
    after = next_version(before, **{name: getattr(EVERY_FIELD, name) for name in Generation.__struct_fields__[4:]})

    assert await repository.apply(before, after)

    assert await repository.get(before.id) == after


async def test_a_change_may_empty_what_was_filled(repository: Repository) -> None:
    before = await added(repository, backend="gpu-0", error=FAILURE, node_errors=ODD_JSON, queued_at=CREATED_AT)
    after = next_version(before, backend=None, error=None, node_errors=None, queued_at=None)

    await repository.apply(before, after)

    assert await repository.get(before.id) == after


async def test_a_plain_record_keeps_its_defaults(repository: Repository) -> None:
    record = await added(repository)

    assert await repository.get(record.id) == record


async def test_times_between_two_microseconds_are_rounded(repository: Repository) -> None:
    record = await added(repository, created_at=1_795_000_000.1234567)

    found = await repository.get(record.id)

    assert found is not None
    assert found.created_at == 1_795_000_000.123457


async def test_numbers_json_has_no_word_for_become_null(repository: Repository) -> None:
    params = {"a": float("nan"), "b": [float("inf")], "c": "\ud800"}
    record = await added(repository, params=params, metadata={"a": float("-inf")})

    found = await repository.get(record.id)

    assert found is not None
    assert (found.params, found.metadata) == ({"a": None, "b": [None], "c": "\ud800"}, {"a": None})


async def test_workflow_and_request_are_kept_in_their_order(repository: Repository) -> None:
    workflow = {"9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}}, "3": ODD_JSON}
    record = a_generation()

    await repository.add(record, workflow=workflow, request=ODD_JSON)

    found = await repository.workflow(record.id)
    assert found == workflow
    assert list(found) == ["9", "3"]
    assert await repository.request(record.id) == ODD_JSON


async def test_what_is_not_on_record_is_none(repository: Repository) -> None:
    for unknown in ("", "nobody", ODD_TEXT):
        assert await repository.get(unknown) is None
        assert await repository.by_prompt_id(unknown) is None
        assert await repository.workflow(unknown) is None
        assert await repository.request(unknown) is None


async def test_a_record_is_found_by_its_prompt_id(repository: Repository) -> None:
    record = await added(repository)
    await added(repository)

    assert await repository.by_prompt_id(record.prompt_id) == record


async def test_a_record_is_found_by_its_idempotency_key(repository: Repository) -> None:
    record = await added(repository, idempotency_key="order-17")
    await added(repository)

    assert await repository.by_idempotency_key("order-17") == record
    assert await repository.by_idempotency_key("order-18") is None


async def test_only_those_that_wait_past_their_deadline_are_overdue(repository: Repository) -> None:
    late = await added(repository, deadline_at=CREATED_AT + 1)
    await added(repository, deadline_at=CREATED_AT + 3)
    await added(repository)
    await added(repository, deadline_at=CREATED_AT + 1, backend="gpu-0")
    await added(repository, deadline_at=CREATED_AT + 1, status=Status.CANCELED)

    assert await repository.overdue(CREATED_AT + 2) == (late,)


@pytest.mark.parametrize("taken", ["id", "prompt_id", "idempotency_key"])
async def test_an_id_is_given_only_once(repository: Repository, taken: str) -> None:
    record = await added(repository, seed=1, idempotency_key="order-17")

    with pytest.raises(AlreadyRecorded):
        await added(repository, seed=2, **{taken: getattr(record, taken)})

    assert await repository.get(record.id) == record


async def test_a_stale_version_changes_nothing(repository: Repository) -> None:
    before = await added(repository)
    after = next_version(before, status=Status.QUEUED)
    await repository.apply(before, after)

    assert not await repository.apply(before, next_version(before, status=Status.CANCELED))

    assert await repository.get(before.id) == after


async def test_a_change_of_a_forgotten_record_is_refused(repository: Repository) -> None:
    record = a_generation()

    assert not await repository.apply(record, next_version(record, status=Status.QUEUED))

    assert await repository.get(record.id) is None


async def test_a_change_has_to_raise_the_version_by_one(repository: Repository) -> None:
    record = await added(repository)

    with pytest.raises(ValueError, match="version"):
        await repository.apply(record, record)


async def test_of_two_processes_exactly_one_wins(repository: Repository, database_url: str) -> None:
    before = await added(repository)
    after = [next_version(before, backend=name) for name in ("gpu-0", "gpu-1")]
    async with Database(database_url) as other_database, Repository(other_database) as other:
        won = await asyncio.gather(repository.apply(before, after[0]), other.apply(before, after[1]))

    assert sorted(won) == [False, True]
    assert await repository.get(before.id) == after[won.index(True)]


async def test_a_deleted_record_is_gone(repository: Repository) -> None:
    record, other = await added(repository), await added(repository)

    assert await repository.delete(record.id)

    assert not await repository.delete(record.id)
    assert await repository.get(record.id) is None
    assert await repository.get(other.id) == other


async def test_what_was_added_outlives_the_process(database_url: str) -> None:
    async with Database(database_url) as database, Repository(database) as repository:
        record = await added(repository)

        # No orderly end of the first: its transaction is committed, or nobody else sees it.
        async with Database(database_url) as later_database, Repository(later_database) as later:
            found = await later.get(record.id)

    assert found == record


def test_the_columns_are_the_fields_in_their_order() -> None:
    names = tuple(GENERATIONS.c.keys())

    assert names[: len(Generation.__struct_fields__)] == Generation.__struct_fields__
    assert names[-4:] == ("owner_seen_at", "held_at", "workflow", "request")
