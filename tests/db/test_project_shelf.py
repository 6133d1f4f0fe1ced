"""Projects on record: callers' names for generations that belong together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from app.db.project_shelf import Project, ProjectShelf
from app.records import Status
from tests.db.records import CREATED_AT, added
from tests.db.test_repository import ODD_JSON, ODD_TEXT

if TYPE_CHECKING:
    from app.db import Database, Repository


@pytest.fixture
def shelf(database: Database) -> ProjectShelf:
    return ProjectShelf(database)


def a_project(project_id: str = "shop", **fields: Any) -> Project:
    given: dict[str, Any] = {"title": None, "metadata": {}, "created_at": CREATED_AT}
    return Project(project_id, **(given | fields))


@pytest.mark.parametrize(
    "project",
    [a_project(), a_project("a/b?c", title="Both"), a_project(ODD_TEXT, title=ODD_TEXT, metadata=ODD_JSON)],
    ids=["bare", "titled", "odd"],
)
async def test_a_project_comes_back_as_it_was(shelf: ProjectShelf, project: Project) -> None:
    is_new = await shelf.add(project)

    assert is_new
    assert await shelf.get(project.id) == project
    assert await shelf.list(9) == (project,)


async def test_what_there_is_not_is_none(shelf: ProjectShelf) -> None:
    await shelf.add(a_project())

    assert await shelf.get("Shop") is None
    assert await shelf.get("") is None


async def test_a_second_project_of_an_id_changes_nothing(shelf: ProjectShelf) -> None:
    first = a_project(title="First", metadata={"order": 1})
    await shelf.add(first)

    is_new = await shelf.add(a_project(title="Second", created_at=CREATED_AT + 9))

    assert not is_new
    assert await shelf.list(9) == (first,)


async def test_of_many_who_add_the_same_project_one_does(shelf: ProjectShelf) -> None:
    results = await asyncio.gather(*(shelf.add(a_project(title=f"{number}")) for number in range(8)))

    (kept,) = await shelf.list(9)
    assert sum(results) == 1
    assert kept.title == f"{results.index(True)}"


async def test_projects_are_paged_newest_first_and_equal_times_neither_repeat_nor_skip(shelf: ProjectShelf) -> None:
    for number in range(5):
        await shelf.add(a_project(f"same-{number}"))
    await shelf.add(a_project("newer", created_at=CREATED_AT + 1e-6))
    await shelf.add(a_project("older", created_at=CREATED_AT - 1))

    seen: list[str] = []
    before: tuple[float, str] | None = None
    while page := await shelf.list(2, before):
        assert len(page) <= 2
        seen += [each.id for each in page]
        before = (page[-1].created_at, page[-1].id)

    assert seen == ["newer", *(f"same-{number}" for number in (4, 3, 2, 1, 0)), "older"]


async def test_generations_are_counted_by_status_and_only_the_projects_own(
    shelf: ProjectShelf, repository: Repository
) -> None:
    for status in (Status.SUCCEEDED, Status.SUCCEEDED, Status.PENDING):
        await added(repository, project_id="shop", status=status)
    await added(repository, project_id="shop ", status=Status.FAILED)
    await added(repository, status=Status.FAILED)

    assert await shelf.counts("shop") == {"succeeded": 2, "pending": 1}
    assert await shelf.counts("nothing") == {}


async def test_generations_are_counted_whether_or_not_the_project_is_on_record(
    shelf: ProjectShelf, repository: Repository
) -> None:
    await added(repository, project_id=ODD_TEXT)

    assert await shelf.get(ODD_TEXT) is None
    assert await shelf.counts(ODD_TEXT) == {"pending": 1}
