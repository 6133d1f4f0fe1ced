"""kill -9 of the service in the middle of a batch: every item runs once, and the archive has all of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from collections import Counter
from typing import Final

import httpx
import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.settings import Settings
from tests.batching import archived, batch, batch_events, completed, numbered, post_batch, results
from tests.conftest import MakeSettings
from tests.process import KillableService, free_port
from tests.service import Service
from tests.waiting import until

ITEMS: Final = 150
"""The benchmark `batches` does the same with a thousand; this many take some ten seconds."""

WRITTEN: Final = 800
"""Items that take several transactions to write."""


def rows_in(settings: Settings) -> int:
    """Generations on record, whoever writes them at the moment."""
    path = settings.database_url.get_secret_value().removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        return int(connection.execute("SELECT count(*) FROM generations").fetchone()[0])


async def told_until_killed(api: KillableService, url: str, after_items: int) -> list[str]:
    """The lines of an event stream whose sender is killed when it has told of so many items."""
    lines: list[str] = []
    items = 0
    async with api.http.stream("GET", url) as response:
        with contextlib.suppress(httpx.HTTPError):
            async for line in response.aiter_lines():
                lines.append(line)
                items += '"type":"item"' in line
                if items == after_items and api.process.returncode is None:
                    await api.kill()
    return lines


@pytest.mark.timeout(150)
async def test_a_batch_survives_three_kills_with_one_execution_for_each_item(make_settings: MakeSettings) -> None:
    async with Simulator(SimulatorOptions(step_s=0.005)) as comfy:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url})
        async with KillableService(settings, port=free_port()) as api:
            body = {"items": numbered(ITEMS)}
            started = await batch(api, body, key="one")
            for kill in range(3):
                goal = (kill + 1) * ITEMS // 5
                await until(lambda goal=goal: len(comfy.executions) >= goal)  # type: ignore[misc]
                await api.kill()
                await api.start()
                again = await post_batch(api, body, key="one")
                assert (again.json()["id"], again.headers["idempotency-replayed"]) == (started["id"], "true")
            ended = await completed(api, started["id"], within_s=100)
            lines = await results(api, started["id"])
            files, manifest = await archived(api, ended["urls"]["archive"])

    assert ended["counts"]["succeeded"] == ended["total"] == ITEMS
    assert Counter(comfy.executions.values()) == {1: ITEMS}
    assert [(line["index"], line["key"], line["seed"]) for line in lines] == [(n, f"k{n}", n) for n in range(ITEMS)]
    assert manifest["isComplete"]
    assert len(set(files.values())) == len(files) == ITEMS
    for number, item in enumerate(manifest["items"]):
        (file,) = item["files"]
        assert (item["prompt"], item["seed"], item["params"]["steps"]) == (f"number {number}", number, 1)
        assert hashlib.sha256(files[file["file"]]).hexdigest() == file["sha256"]


@pytest.mark.timeout(90)
async def test_a_batch_whose_writing_was_cut_off_goes_on_when_it_is_posted_again(
    make_settings: MakeSettings,
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.001)) as comfy:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url})
        async with KillableService(settings, port=free_port()) as api:
            body = {"items": numbered(WRITTEN)}
            cut_off = asyncio.create_task(post_batch(api, body))
            await until(lambda: rows_in(settings) > 0, within_s=30)
            await api.kill()
            left_over = rows_in(settings)
            with pytest.raises(httpx.HTTPError):
                await cut_off
            await api.start()
            kept = (await api.http.get("/api/generations", params={"limit": "200"})).json()["items"]
            listed = (await api.http.get("/api/batches")).json()["items"]
            ran_before = len(comfy.executions)
            answer = await post_batch(api, body)
            started = answer.json()
            first = await results(api, started["id"])
            await api.http.post(started["urls"]["cancel"])
            await completed(api, started["id"], within_s=60)

    assert 0 < left_over < WRITTEN
    assert (ran_before, listed) == (0, [])
    assert answer.headers["idempotency-replayed"] == "true"
    assert [line["key"] for line in first] == [f"k{n}" for n in range(WRITTEN)]
    assert {item["id"] for item in kept} <= {line["generationId"] for line in first}
    assert set(comfy.executions.values()) <= {1}


@pytest.mark.timeout(90)
async def test_a_watcher_misses_and_repeats_no_item_over_a_kill(make_settings: MakeSettings) -> None:
    async with Simulator(SimulatorOptions(step_s=0.01)) as comfy:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url})
        async with KillableService(settings, port=free_port()) as api:
            started = await batch(api, {"items": numbered(60)})
            seen = await told_until_killed(api, started["urls"]["events"], after_items=10)
            cursor = [line[4:] for line in seen if line.startswith("id: ")][-1]
            told = [line for line in seen if '"type":"item"' in line]
            await api.start()
            rest = await batch_events(api, started["urls"]["events"], cursor)

    before = {f"k{n}" for n in range(60) if any(f'"key":"k{n}"' in line for line in told)}
    after = [event["item"]["key"] for event in rest if event["type"] == "item"]
    assert len(before) == len(told)
    assert sorted([*before, *after]) == sorted(f"k{n}" for n in range(60))
    assert (rest[0]["type"], rest[-1]["type"]) == ("connected", "complete")


@pytest.mark.timeout(90)
async def test_what_a_killed_replica_took_in_is_finished_by_the_other(
    make_settings: MakeSettings, postgres_url: str, redis_url: str
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.01)) as comfy:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url}, database_url=postgres_url, redis_url=redis_url)
        async with Service(settings) as survivor, KillableService(settings, port=free_port()) as victim:
            started = await batch(victim, {"items": numbered(40), "maxInFlight": 4})
            await until(lambda: len(comfy.executions) >= 5)
            watcher = asyncio.create_task(batch_events(survivor, started["urls"]["events"], "0"))
            await victim.kill()
            ended = await completed(survivor, started["id"], within_s=60)
            events = await watcher

    told = [event["item"]["key"] for event in events if event["type"] == "item"]
    assert ended["counts"]["succeeded"] == 40
    assert Counter(comfy.executions.values()) == {1: 40}
    assert sorted(told) == sorted(f"k{n}" for n in range(40))
