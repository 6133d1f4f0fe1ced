"""The list of generations: newest first, page by page without gap or repeat, and filtered."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta, timezone

import pytest

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator
from tests.api.asking import QUICK, picture, places
from tests.conftest import Serve
from tests.service import Json, Service


async def listed(api: Service, **query: str | int | list[str]) -> list[str]:
    """The ids on the first page."""
    answer = await api.http.get("/api/generations", params=query)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


async def pages(api: Service, limit: int) -> AsyncIterator[list[str]]:
    """The ids page by page, to the last one."""
    cursor: Json = {}
    while True:
        page = (await api.http.get("/api/generations", params={"limit": limit, **cursor})).json()
        yield [each["id"] for each in page["items"]]
        if page["nextCursor"] is None:
            return
        cursor = {"cursor": page["nextCursor"]}


def a_cursor(*position: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


async def test_the_newest_comes_first(serve: Serve, database_url: str) -> None:
    api = await serve(database_url=database_url)
    ids = [(await api.generate(workflow=picture(n)))["id"] for n in range(5)]

    assert await listed(api) == ids[::-1]
    assert await listed(api, limit=2) == [ids[4], ids[3]]


async def test_pages_have_neither_gap_nor_repeat_while_new_ones_come(serve: Serve, database_url: str) -> None:
    api = await serve(database_url=database_url)
    ids = [(await api.generate(workflow=picture(n)))["id"] for n in range(7)]

    seen: list[str] = []
    async for page in pages(api, limit=2):
        seen += page
        await api.generate(workflow=picture(100 + len(seen)))

    assert seen == ids[::-1]


async def test_the_last_page_may_be_full(api: Service) -> None:
    for number in range(4):
        await api.generate(workflow=picture(number))

    assert [len(page) async for page in pages(api, limit=2)] == [2, 2]


async def test_nothing_is_an_empty_page(api: Service) -> None:
    assert (await api.http.get("/api/generations")).json() == {"items": [], "nextCursor": None}


async def test_items_are_records(api: Service) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])

    assert (await api.http.get("/api/generations")).json()["items"] == [record]


async def test_filters_narrow_the_list(serve: Serve, database_url: str, comfy: Simulator) -> None:
    api = await serve(database_url=database_url)
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY
    failed = await api.generate(**QUICK, projectId="a")
    raw = await api.generate(workflow=picture(1), projectId="b")
    for each in (failed, raw):
        await api.finished(each["id"])

    assert await listed(api, status="failed") == [failed["id"]]
    assert await listed(api, status=["failed", "succeeded"]) == [raw["id"], failed["id"]]
    assert await listed(api, projectId="b") == [raw["id"]]
    assert await listed(api, template="txt2img") == [failed["id"]]
    assert await listed(api, projectId="a", status="succeeded") == []
    assert await listed(api, batchId="none") == []


async def test_times_narrow_the_list(serve: Serve, database_url: str) -> None:
    api = await serve(database_url=database_url)
    old, new = [await api.generate(workflow=picture(n)) for n in range(2)]
    at = datetime.fromisoformat(new["createdAt"])
    elsewhere = at.astimezone(timezone(timedelta(hours=9)))

    assert await listed(api, createdAfter=at.isoformat()) == [new["id"]]
    assert await listed(api, createdAfter=elsewhere.isoformat()) == [new["id"]]
    assert await listed(api, createdBefore=at.isoformat()) == [old["id"]]


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own time zone is not UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
async def test_a_time_without_a_zone_is_utc(serve: Serve, database_url: str) -> None:
    api = await serve(database_url=database_url)
    old, new = [await api.generate(workflow=picture(n)) for n in range(2)]
    at = datetime.fromisoformat(new["createdAt"]).replace(tzinfo=None).isoformat()

    assert await listed(api, createdAfter=at) == [new["id"]]
    assert await listed(api, createdBefore=at) == [old["id"]]


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("0001-01-01T00:00:00", "9999-12-31T23:59:59"),
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:00"),
        ("1969-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
async def test_times_beyond_all_calendars_are_times(serve: Serve, database_url: str, early: str, late: str) -> None:
    api = await serve(database_url=database_url)
    answer = await api.generate(workflow=picture())

    assert await listed(api, createdAfter=early, createdBefore=late) == [answer["id"]]
    assert await listed(api, createdAfter=late) == []
    assert await listed(api, createdBefore=early) == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("light", [0, 1]),
        ("LIGHT", [0, 1]),
        ("100%", [0]),
        ("%", [0]),
        ("t_house", [1]),
        ("_", [1]),
        ("\\", [2]),
        ("ä", [2]),
        ("Ä", [2]),
        ("nothing like it", []),
        ("\0", []),
    ],
)
async def test_a_search_finds_what_was_meant_literally(
    serve: Serve, database_url: str, words: str, found: list[int]
) -> None:
    api = await serve(database_url=database_url)
    prompts = ["lights at 100% power", "a light_house", "back\\slash ärger"]
    ids = [(await api.generate(**{**QUICK, "prompt": prompt}))["id"] for prompt in prompts]

    assert await listed(api, q=words) == [ids[number] for number in reversed(found)]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "\0",
        a_cursor(),
        a_cursor("now", "id"),
        a_cursor(1e308, "0" * 36),
        a_cursor(-1e308, "0" * 36),
        a_cursor(1.0, "\0"),
        a_cursor(1.0, "'; DROP TABLE generations; --"),
        a_cursor(1.0),
        "A" * 201,
    ],
)
async def test_a_cursor_that_is_none_of_ours_is_told_so(serve: Serve, database_url: str, cursor: str) -> None:
    api = await serve(database_url=database_url)

    assert places(await api.http.get("/api/generations", params={"cursor": cursor})).keys() == {"?cursor"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "x"),
        ("status", "done"),
        ("createdAfter", "yesterday"),
        ("createdBefore", "9" * 400),
        ("q", "x" * 1001),
    ],
)
async def test_a_wrong_query_names_the_parameter(api: Service, name: str, value: str) -> None:
    assert places(await api.http.get("/api/generations", params={name: value})).keys() == {f"?{name}"}


async def test_a_page_holds_two_hundred_at_most(api: Service) -> None:
    assert await listed(api, limit=200) == []
