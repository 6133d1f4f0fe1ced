"""Callers' own templates on record: versions that never change, which one is in force, what is gone but not lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from app.db.errors import AlreadyRecorded
from app.db.template_shelf import StoredTemplate, TemplateShelf
from tests.db.records import CREATED_AT
from tests.db.test_repository import ODD_JSON, ODD_TEXT

if TYPE_CHECKING:
    from app.db import Database

DEFINITION: Final[dict[str, Any]] = {"title": "Mine", "parameters": [{"name": "prompt"}]}
WORKFLOW: Final[dict[str, Any]] = {"2": {"class_type": "B"}, "10": {"class_type": "A", "inputs": {"x": ["2", 0]}}}


@pytest.fixture
def shelf(database: Database) -> TemplateShelf:
    return TemplateShelf(database)


async def added(shelf: TemplateShelf, name: str = "mine", now: float = CREATED_AT, **definition: Any) -> StoredTemplate:
    return await shelf.add(name, DEFINITION | definition, WORKFLOW, now=now)


async def test_what_is_added_comes_back_as_it_was_and_in_its_order(shelf: TemplateShelf) -> None:
    stored = await added(shelf)

    found = await shelf.get("mine", 1)
    assert found == stored == StoredTemplate("mine", 1, CREATED_AT, DEFINITION, WORKFLOW)
    assert list(found.workflow) == ["2", "10"]


async def test_text_and_numbers_of_all_kinds_survive(shelf: TemplateShelf) -> None:
    await shelf.add(ODD_TEXT, ODD_JSON, {ODD_TEXT: ODD_JSON}, now=CREATED_AT)

    found = await shelf.get(ODD_TEXT, 1)
    assert found is not None
    assert (found.name, found.definition, found.workflow) == (ODD_TEXT, ODD_JSON, {ODD_TEXT: ODD_JSON})
    assert await shelf.version(ODD_TEXT) == 1
    assert await shelf.all(9) == (found,)


async def test_every_version_stays_and_the_last_is_in_force(shelf: TemplateShelf) -> None:
    versions = [await added(shelf, now=CREATED_AT + number, title=f"Title {number}") for number in range(3)]

    assert [each.version for each in versions] == [1, 2, 3]
    assert [await shelf.get("mine", each.version) for each in versions] == versions
    assert await shelf.version("mine") == 3
    assert await shelf.all(9) == (versions[-1],)


async def test_what_there_is_not_is_none(shelf: TemplateShelf) -> None:
    await added(shelf)

    assert await shelf.version("other") is None
    assert await shelf.get("other", 1) is None
    assert [await shelf.get("mine", number) for number in (0, 2, -1, 2**63 - 1)] == [None] * 4


async def test_templates_are_listed_by_name_and_no_more_than_asked_for(shelf: TemplateShelf) -> None:
    for name in ("b", "a-1", "c", "a_1", "a", "b"):
        await added(shelf, name)

    listed = [(each.name, each.version) for each in await shelf.all(9)]
    assert sorted(listed) == [("a", 1), ("a-1", 1), ("a_1", 1), ("b", 2), ("c", 1)]
    assert [name for name, _ in listed if len(name) == 1] == ["a", "b", "c"]
    assert [(each.name, each.version) for each in await shelf.all(2)] == listed[:2]


async def test_a_removed_template_is_not_in_force_and_its_versions_stay(shelf: TemplateShelf) -> None:
    versions = [await added(shelf), await added(shelf)]
    await added(shelf, "other")

    is_removed = await shelf.remove("mine", now=CREATED_AT + 1)

    assert is_removed
    assert await shelf.version("mine") is None
    assert [each.name for each in await shelf.all(9)] == ["other"]
    assert [await shelf.get("mine", number) for number in (1, 2)] == versions


async def test_only_what_is_in_force_can_be_removed(shelf: TemplateShelf) -> None:
    await added(shelf)
    await shelf.remove("mine", now=CREATED_AT)

    assert not await shelf.remove("mine", now=CREATED_AT)
    assert not await shelf.remove("nothing", now=CREATED_AT)


async def test_a_name_that_is_used_again_goes_on_counting(shelf: TemplateShelf) -> None:
    first = await added(shelf)
    await shelf.remove("mine", now=CREATED_AT)

    anew = await added(shelf, title="Another")

    assert anew.version == 2
    assert await shelf.version("mine") == 2
    assert await shelf.all(9) == (anew,)
    assert await shelf.get("mine", 1) == first


async def test_a_new_template_is_only_made_where_none_is_in_force(shelf: TemplateShelf) -> None:
    first = await shelf.add("mine", DEFINITION, WORKFLOW, now=CREATED_AT, is_new=True)

    with pytest.raises(AlreadyRecorded):
        await shelf.add("mine", DEFINITION, {}, now=CREATED_AT, is_new=True)
    in_force = await shelf.all(9)
    await shelf.remove("mine", now=CREATED_AT)
    anew = await shelf.add("mine", DEFINITION, WORKFLOW, now=CREATED_AT, is_new=True)

    assert (first.version, anew.version) == (1, 2)
    assert in_force == (first,)


async def test_of_many_who_make_a_template_of_the_same_name_one_does(shelf: TemplateShelf) -> None:
    makings = (shelf.add("mine", {"title": f"{n}"}, {}, now=CREATED_AT, is_new=True) for n in range(8))

    results = await asyncio.gather(*makings, return_exceptions=True)

    (kept,) = await shelf.all(9)
    assert [each for each in results if isinstance(each, StoredTemplate)] == [kept]
    assert kept.version == 1
    assert all(isinstance(each, StoredTemplate | AlreadyRecorded) for each in results)


async def test_writers_at_the_same_time_never_share_a_version(shelf: TemplateShelf) -> None:
    results = await asyncio.gather(*(added(shelf, title=f"{each}") for each in range(8)), return_exceptions=True)

    stored = [each for each in results if isinstance(each, StoredTemplate)]
    refused = [each for each in results if not isinstance(each, StoredTemplate)]
    assert sorted(each.version for each in stored) == list(range(1, len(stored) + 1))
    assert all(isinstance(each, AlreadyRecorded) for each in refused)
    assert [await shelf.get("mine", each.version) for each in stored] == stored
