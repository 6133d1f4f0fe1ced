"""Lists: newest first, page by page, and only what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.db import GenerationFilter, Position
from app.records import Status
from tests.db.records import CREATED_AT, added

if TYPE_CHECKING:
    from app.db import Repository

EVERYTHING = GenerationFilter()


async def listed(repository: Repository, **filters: Any) -> list[str]:
    return [record.id for record in await repository.list(GenerationFilter(**filters), limit=100)]


async def test_records_come_whole_and_newest_first(repository: Repository) -> None:
    old = await added(repository, created_at=CREATED_AT - 1)
    new = await added(repository, created_at=CREATED_AT, metadata={"a": [1]})

    assert await repository.list(EVERYTHING, limit=9) == (new, old)


async def test_pages_of_equal_times_neither_repeat_nor_skip(repository: Repository) -> None:
    for number in range(7):
        await added(repository, id=f"same-{number}", created_at=CREATED_AT)
    for number in range(3):
        await added(repository, id=f"newer-{number}", created_at=CREATED_AT + 1e-6)

    pages: list[list[str]] = []
    after: Position | None = None
    while page := await repository.list(EVERYTHING, limit=3, after=after):
        pages.append([record.id for record in page])
        after = Position.of(page[-1])

    assert pages == [
        ["newer-2", "newer-1", "newer-0"],
        ["same-6", "same-5", "same-4"],
        ["same-3", "same-2", "same-1"],
        ["same-0"],
    ]


async def test_a_page_goes_on_behind_a_record_that_was_deleted(repository: Repository) -> None:
    records = [await added(repository, id=f"{number}") for number in range(3)]
    await repository.delete("1")

    page = await repository.list(EVERYTHING, limit=9, after=Position.of(records[1]))

    assert [record.id for record in page] == ["0"]


@pytest.mark.parametrize("column", ["project_id", "batch_id", "template"])
async def test_a_filter_is_by_the_whole_value(repository: Repository, column: str) -> None:
    wanted = await added(repository, **{column: "cat\x00"})
    await added(repository, **{column: "cat"})
    await added(repository)

    assert await listed(repository, **{column: "cat\x00"}) == [wanted.id]


async def test_any_of_several_statuses_will_do(repository: Repository) -> None:
    by_status = {status: await added(repository, status=status) for status in Status}
    wanted = (Status.RUNNING, Status.FAILED)

    found = await listed(repository, status=wanted)

    assert sorted(found) == sorted(by_status[status].id for status in wanted)


async def test_a_span_of_time_includes_its_start_and_not_its_end(repository: Repository) -> None:
    for number in range(5):
        await added(repository, id=f"{number}", created_at=CREATED_AT + number * 1e-6)

    found = await listed(repository, created_after=CREATED_AT + 1e-6, created_before=CREATED_AT + 3e-6)

    assert found == ["2", "1"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("LIGHT", {"plain"}),
        ("100%", {"percent"}),
        ("a_b", {"underscore"}),
        ("\\", {"backslash"}),
        ("/", {"slash"}),
        ("\x00", {"nul"}),
        ("nothing of it", set()),
        ("", {"plain", "percent", "underscore", "backslash", "slash", "nul", "without"}),
    ],
)
async def test_text_is_a_substring_in_any_case_and_no_pattern(
    repository: Repository, text: str, found: set[str]
) -> None:
    prompts = {
        "plain": "A lightHouse",
        "percent": "100% cotton",
        "underscore": "a_b",
        "backslash": "a\\b",
        "slash": "x/y",
        "nul": "1000 axb\x00",
        "without": None,
    }
    for generation_id, prompt in prompts.items():
        await added(repository, id=generation_id, prompt_text=prompt)

    assert set(await listed(repository, text=text)) == found


async def test_filters_hold_together_and_across_pages(repository: Repository) -> None:
    for number in range(6):
        await added(repository, id=f"{number}", project_id="p" if number % 2 else "q", status=Status.SUCCEEDED)
    filters = GenerationFilter(project_id="p", status=(Status.SUCCEEDED,), created_before=CREATED_AT + 1)

    first = await repository.list(filters, limit=2)
    second = await repository.list(filters, limit=2, after=Position.of(first[-1]))

    assert [record.id for record in first + second] == ["5", "3", "1"]


@pytest.mark.parametrize(("name", "value"), [("client", "acme"), ("a.b", '"%_\\'), ("é", "\u2028 \x7f /")])
async def test_a_label_is_found_by_name_and_whole_value(repository: Repository, name: str, value: str) -> None:
    wanted = await added(repository, metadata={"other": 1, name: value, "nul": "\0"})
    await added(repository, metadata={name: f"{value}x"})
    await added(repository, metadata={f"{name}x": value})
    await added(repository, metadata={name: [value]})
    await added(repository)

    found = await listed(repository, labels=((name, value),))
    both = await listed(repository, labels=((name, value), ("nul", "\0")))

    assert found == both == [wanted.id]
    assert await listed(repository, labels=((name, value), ("nul", "1"))) == []
