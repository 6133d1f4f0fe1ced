"""Assets on record, on both databases."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from app.asset_records import Asset, output_asset_id, output_place
from app.db.asset_shelf import AssetShelf
from tests.db.records import CREATED_AT, added

if TYPE_CHECKING:
    from app.db import Database, Repository


@pytest.fixture
def shelf(database: Database) -> AssetShelf:
    return AssetShelf(database)


def an_asset(**fields: Any) -> Asset:
    given: dict[str, Any] = {"id": str(uuid.uuid4()), "upload_id": "u", "hash": "blake3:1", "file_path": "a\0.png"}
    return Asset(**{**given, "created_at": CREATED_AT, **fields})


async def test_an_asset_comes_back_as_it_was_and_is_gone_once_deleted(shelf: AssetShelf) -> None:
    asset = an_asset(idempotency_key="k")
    assert await shelf.add(asset, keys_since=0)

    found = await shelf.get(asset.id)
    deleted = [await shelf.delete(asset.id), await shelf.delete(asset.id)]

    assert found == asset
    assert deleted == [True, False]
    assert await shelf.get(asset.id) is None


async def test_of_several_of_one_content_the_newest_is_found(shelf: AssetShelf) -> None:
    for number in (1, 3, 2):
        await shelf.add(an_asset(created_at=CREATED_AT + number, file_path=str(number)), keys_since=0)
    await shelf.add(an_asset(hash="blake3:2", created_at=CREATED_AT + 9), keys_since=0)

    found = await shelf.by_hash("blake3:1")

    assert found is not None
    assert found.file_path == "3"
    assert await shelf.by_hash("blake3:3") is None


async def test_a_key_makes_one_asset_until_it_is_old(shelf: AssetShelf) -> None:
    first = an_asset(idempotency_key="k")

    kept = [
        await shelf.add(first, keys_since=0),
        await shelf.add(an_asset(idempotency_key="k"), keys_since=CREATED_AT),
        await shelf.add(an_asset(idempotency_key="k", created_at=CREATED_AT + 2), keys_since=CREATED_AT + 1),
    ]

    assert kept == [True, False, True]
    assert await shelf.is_spent("k", CREATED_AT + 1)
    assert not await shelf.is_spent("k", CREATED_AT + 3)
    assert not await shelf.is_spent("other", 0)
    old = await shelf.get(first.id)
    assert old is not None
    assert old.idempotency_key is None


async def test_the_generation_of_an_output_is_found_by_the_outputs_id(
    shelf: AssetShelf, repository: Repository
) -> None:
    records = [await added(repository) for _ in range(20)]

    for record in records:
        place = output_place(output_asset_id(record.id, 77))
        assert place is not None
        assert await shelf.generation_between(place.first_id, place.last_id) == record.id
    stranger = output_place(output_asset_id(str(uuid.uuid4()), 0))
    assert stranger is not None
    assert await shelf.generation_between(stranger.first_id, stranger.last_id) is None
