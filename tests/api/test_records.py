"""The record: the authoritative word on a generation, with the same numbers as the stream."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator
from tests.api.asking import QUICK, held_while_drawing, picture, text
from tests.conftest import Serve
from tests.service import Json, Service
from tests.waiting import WITHIN_S, until

FIELDS = {
    *("id", "comfyuiPromptId", "status", "template", "prompt", "params", "seed", "step", "totalSteps", "percentage"),
    *("queuePosition", "etaSeconds", "images", "imageUrls", "outputs", "error", "backend", "attempt", "outputsReused"),
    *("projectId", "batchId", "metadata", "createdAt", "queuedAt", "startedAt", "completedAt", "durationSeconds"),
    "urls",
}
"""Of the example in the contract."""

IMAGE_FIELDS = {
    *("index", "url", "thumbnailUrl", "filename", "mimeType", "width", "height", "sizeBytes", "nodeId"),
}

NUMBERS = ("status", "step", "totalSteps", "percentage", "queuePosition", "etaSeconds", "message")


async def test_a_finished_record_has_everything(api: Service) -> None:
    before = datetime.now(UTC)

    record = await api.finished((await api.generate(**QUICK, projectId="p", metadata={"a": [1]}))["id"])

    (image,) = record["images"]
    assert record.keys() >= FIELDS
    assert image.keys() >= IMAGE_FIELDS
    assert record["imageUrls"] == [image["url"]]
    assert (image["index"], image["nodeId"], image["mimeType"]) == (0, "9", "image/png")
    assert (image["width"], image["height"]) == (64, 64)
    assert image["sizeBytes"] == len(await api.bytes_of(image["url"]))
    assert (record["step"], record["totalSteps"], record["percentage"]) == (1, 1, 100)
    assert (record["error"], record["queuePosition"], record["etaSeconds"]) == (None, None, None)
    assert (record["backend"], record["projectId"], record["metadata"]) == ("gpu-0", "p", {"a": [1]})
    times = [record[name] for name in ("createdAt", "queuedAt", "startedAt", "completedAt")]
    assert all(time.endswith("Z") for time in times)
    parsed = [datetime.fromisoformat(time) for time in times]
    moments = [before, *parsed, datetime.now(UTC)]
    assert moments == sorted(moments)
    assert record["durationSeconds"] == round((parsed[3] - parsed[2]) / timedelta(seconds=1), 3)


async def test_a_failed_record_has_the_cause(api: Service, comfy: Simulator) -> None:
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY

    answer = await api.generate(**QUICK)
    end = (await api.events(answer["id"]))[-1]
    record = await api.record(answer["id"])

    error = record["error"]
    assert (end["type"], end["error"], end["generation"]) == ("error", error, record)
    assert record["status"] == "failed"
    assert (error["code"], error["nodeId"], error["nodeType"]) == ("out_of_memory", "3", "KSampler")
    assert error["exceptionType"] == "torch.OutOfMemoryError"
    assert record["percentage"] < 100
    assert record["completedAt"] is not None


async def test_a_text_is_an_output_and_no_image(api: Service) -> None:
    record = await api.finished((await api.generate(workflow=text("hello")))["id"])

    (output,) = record["outputs"]
    assert (output["kind"], output["text"], output["thumbnailUrl"]) == ("text", "hello", None)
    assert (record["images"], record["imageUrls"]) == ([], [])


async def test_who_polls_sees_the_numbers_of_who_streams(watched: Service, slow_comfy: Simulator) -> None:
    async with held_while_drawing(watched, slow_comfy) as answer, watched.stream(answer["id"]) as stream:
        await until(lambda: slow_comfy.count("progress_state") > 0)
        connected = (await anext(stream)).json()

        record = await watched.record(answer["id"])

    assert connected["status"] == "running"
    assert {name: record[name] for name in NUMBERS} == {name: connected[name] for name in NUMBERS}


async def test_polling_and_streaming_agree_at_every_step(watched: Service, slow_comfy: Simulator) -> None:
    answer = await watched.generate(prompt="steps", steps=5, width=64, height=64)

    polled: list[Json] = []
    while not polled or polled[-1]["completedAt"] is None:
        polled.append(await watched.record(answer["id"]))
    record = polled[-1]

    percentages = [each["percentage"] for each in polled]
    assert percentages == sorted(percentages)
    assert len({each["step"] for each in polled}) > 3
    assert all(each["step"] <= each["totalSteps"] == 5 for each in polled)
    assert record["percentage"] == 100


async def test_a_waiting_generation_tells_its_place(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_in_flight=1)
    async with held_while_drawing(api, comfy):
        waiting = [await api.generate(workflow=picture(n)) for n in range(3)]

        records = [await api.record(each["id"]) for each in waiting]

    assert [each["queuePosition"] for each in waiting] == [1, 2, 3]
    assert [each["queuePosition"] for each in records] == [1, 2, 3]
    assert {each["status"] for each in records} == {"pending"}


async def test_waiting_ends_with_the_generation(api: Service, comfy: Simulator) -> None:
    async with held_while_drawing(api, comfy) as answer:
        waiting = asyncio.create_task(api.record(answer["id"], wait=str(WITHIN_S)))
        await api.record(answer["id"])
        assert not waiting.done()

    assert (await waiting)["status"] == "succeeded"


async def test_waiting_ends_with_its_time(api: Service, comfy: Simulator) -> None:
    async with held_while_drawing(api, comfy) as answer:
        record = await api.record(answer["id"], wait="0.1")

    assert record["status"] == "running"


async def test_waiting_for_what_is_over_answers_at_once(api: Service) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])

    assert await api.record(record["id"], wait="3600") == record


async def test_an_unchanged_record_is_not_sent_again(api: Service) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])
    url = record["urls"]["self"]
    etag = (await api.http.get(url)).headers["etag"]

    same = await api.http.get(url, headers={"If-None-Match": f'"other", W/{etag}'})
    other = await api.http.get(url, headers={"If-None-Match": '"other"'})

    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert (other.status_code, other.json()) == (200, record)


async def test_a_changed_record_has_another_etag(watched: Service, slow_comfy: Simulator) -> None:
    async with held_while_drawing(watched, slow_comfy) as answer:
        url = answer["urls"]["self"]
        before = (await watched.http.get(url)).headers["etag"]
    await watched.finished(answer["id"])

    after = await watched.http.get(url, headers={"If-None-Match": before})

    assert after.status_code == 200
    assert after.headers["etag"] != before


async def test_head_has_the_headers_without_the_body(api: Service) -> None:
    url = (await api.finished((await api.generate(**QUICK))["id"]))["urls"]["self"]
    got = await api.http.get(url)

    head = await api.http.head(url)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == got.headers["etag"]


async def test_canceling_what_is_over_changes_nothing(api: Service) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])

    canceled = await api.http.post(record["urls"]["cancel"])

    assert (canceled.status_code, canceled.json()) == (200, record)


async def test_a_pending_generation_is_canceled_at_once(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_in_flight=1)
    async with held_while_drawing(api, comfy):
        waiting = await api.generate(workflow=picture(9))

        canceled = await api.http.post(waiting["urls"]["cancel"])

    assert canceled.json()["status"] == "canceled"
    assert comfy.executions[waiting["comfyuiPromptId"]] == 0
