"""Records to put on file, told apart by what a test gives."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from app.records import Generation

if TYPE_CHECKING:
    from app.db import Repository

CREATED_AT = 1_795_000_000.25


def a_generation(**fields: Any) -> Generation:
    """A pending one with ids of its own."""
    given: dict[str, Any] = {"id": str(uuid.uuid4()), "prompt_id": str(uuid.uuid4()), "created_at": CREATED_AT}
    return Generation(**(given | fields))


def next_version(record: Generation, **fields: Any) -> Generation:
    """The record after a durable change."""
    return msgspec.structs.replace(record, version=record.version + 1, **fields)


async def added(repository: Repository, **fields: Any) -> Generation:
    """A generation that is on record."""
    record = a_generation(**fields)
    await repository.add(record, workflow={}, request={})
    return record
