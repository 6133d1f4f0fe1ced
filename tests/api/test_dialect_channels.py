"""The old front end that listens to channels: one hook, `file.{id}`, mounted with whatever id the page has then."""

from __future__ import annotations

import asyncio

import pytest

from app.comfyui.simulator import Simulator
from tests.api.asking import NOBODY, QUICK, held_while_drawing, hub_of, problem
from tests.api.browser import EventSource
from tests.conftest import Serve
from tests.service import Service, milestones
from tests.waiting import until


def source(api: Service, generation_id: str, cut_after: int | None = None) -> EventSource:
    return EventSource(api.http, f"/api/events/file.{generation_id}", cut_after)


async def test_the_channel_of_a_file_is_its_generations_stream(api: Service) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])

    there = await api.http.get(f"/api/events/file.{record['id']}")
    here = await api.http.get(record["urls"]["events"])

    assert there.content == here.content


async def test_a_hook_mounted_at_once_sees_everything(api: Service) -> None:
    answer = await api.generate(**{**QUICK, "steps": 4})

    seen = await source(api, answer["id"]).until("complete")

    assert milestones(seen)[0] == "connected"
    assert seen[-1]["imageUrls"]
    assert seen[-1]["generation"]["id"] == answer["id"]


@pytest.mark.parametrize(
    "channel",
    [
        *("chat.42", "chat", f"chat.{NOBODY}", NOBODY, f"file.{NOBODY}", "file.", "file.7", "File.7", "file.x/y"),
        f"file.{NOBODY.replace('-', '')}",
        f"xfile.{NOBODY}",
    ],
)
async def test_a_hook_mounted_with_a_chats_id_or_another_strangers_is_refused_at_once(
    api: Service, channel: str
) -> None:
    early = EventSource(api.http, f"/api/events/{channel}")

    seen = await early.until("complete")

    problem(await api.http.get(f"/api/events/{channel}"), 404, "not_found")
    assert (seen, early.statuses) == ([], [404])
    assert len(hub_of(api)) == 0


async def test_a_hook_that_is_remounted_with_the_right_id_sees_the_end(api: Service) -> None:
    early = await EventSource(api.http, "/api/events/file.chat-7").until("complete")
    answer = await api.generate(**QUICK)

    late = await source(api, answer["id"]).until("complete")

    assert early == []
    assert late[-1]["type"] == "complete"


async def test_a_hook_that_loses_its_connection_resumes_and_repeats_no_milestone(
    api: Service, comfy: Simulator
) -> None:
    async with held_while_drawing(api, comfy) as answer:
        hook = source(api, answer["id"], cut_after=1)
        listening = asyncio.create_task(hook.until("nothing ever"))
        await until(lambda: len(hook.statuses) == 2)
    seen = await listening

    assert hook.statuses == [200, 200, 204]
    assert milestones(seen).count("complete") == 1
    assert milestones(seen).count("connected") == 2


async def test_sequential_generations_have_a_channel_each(api: Service) -> None:
    ends = []
    for number in range(3):
        answer = await api.generate(**{**QUICK, "seed": number})
        ends.append((await source(api, answer["id"]).until("complete"))[-1]["generationId"])

    assert len(set(ends)) == 3


async def test_previews_come_inline_where_that_is_asked_for(api: Service, comfy: Simulator) -> None:
    async with held_while_drawing(api, comfy) as answer:
        url = f"/api/events/file.{answer['id']}?previews=inline"
        listening = asyncio.create_task(EventSource(api.http, url).until("complete"))
        await until(lambda: len(hub_of(api)) == 1)
    seen = await listening

    previews = [message for message in seen if message["type"] == "preview"]
    assert previews
    assert all(message["dataUrl"].startswith("data:image/") for message in previews)


async def test_channels_work_on_every_database_and_over_redis(serve: Serve, database_url: str, redis_url: str) -> None:
    api = await serve(database_url=database_url, redis_url=redis_url)
    answer = await api.generate(**QUICK)

    seen = await source(api, answer["id"]).until("complete")

    assert seen[-1]["type"] == "complete"
