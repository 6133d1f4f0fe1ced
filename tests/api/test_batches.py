"""Batches over HTTP: what makes one, what refuses one, and that the same one again is the same one."""

from __future__ import annotations

import hashlib
from typing import Any

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator, SimulatorOptions
from tests.api.asking import NOBODY, picture, problem
from tests.batching import TINY, archived, batch, completed, numbered, post_batch, results, standing
from tests.conftest import Serve
from tests.service import Json, Service
from tests.waiting import until


async def count_of(api: Service) -> int:
    return len((await api.http.get("/api/generations", params={"limit": "200"})).json()["items"])


async def test_a_batch_gives_every_item_its_result(serve: Serve, comfy: Simulator, database_url: str) -> None:
    api = await serve(database_url=database_url)
    body = {"items": numbered(12), "projectId": "shop", "metadata": {"order": 7}}

    started = await batch(api, body)
    ended = await completed(api, started["id"])
    lines = await results(api, started["id"])
    listed = await api.http.get("/api/generations", params={"batchId": started["id"], "limit": "200"})
    files, manifest = await archived(api, ended["urls"]["archive"])

    assert (started["status"], started["total"], started["metadata"]) == ("pending", 12, {"order": 7})
    assert (ended["status"], ended["percentage"], ended["etaSeconds"]) == ("succeeded", 100, None)
    assert ended["counts"] | {"succeeded": 12} == ended["counts"]
    assert [(line["index"], line["key"], line["prompt"]) for line in lines] == [
        (n, f"k{n}", f"number {n}") for n in range(12)
    ]
    assert {item["projectId"] for item in listed.json()["items"]} == {"shop"}
    assert sorted(item["batchIndex"] for item in listed.json()["items"]) == list(range(12))
    assert [item["files"][0]["file"] for item in manifest["items"]] == [f"{n:04}-k{n}.png" for n in range(12)]
    for item in manifest["items"]:
        assert hashlib.sha256(files[item["files"][0]["file"]]).hexdigest() == item["files"][0]["sha256"]
    assert len(comfy.executions) == 12


async def test_a_product_with_runs_draws_another_seed_for_each(api: Service) -> None:
    started = await batch(api, {"base": {"prompt": "x", **TINY}, "matrix": {"cfg": [4, 7]}, "runs": 3})

    lines = await results(api, started["id"])

    assert [line["params"]["cfg"] for line in lines] == [4, 4, 4, 7, 7, 7]
    assert len({line["seed"] for line in lines}) == 6


async def test_every_bad_item_is_named_and_nothing_is_on_record(api: Service, comfy: Simulator) -> None:
    items = numbered(6)
    items[1]["steps"] = "many"
    items[3] |= {"template": "nothing", "cfg": 1}
    items[4] |= {"stepz": 1, "priority": "high"}
    items[5]["workflow"] = {"1": {"class_type": "Nobody", "inputs": {}}}

    answer = await post_batch(api, {"items": items})

    document = problem(answer, 422, "invalid_request")
    places = [each["pointer"] for each in document["errors"]]
    assert {"/items/1/steps", "/items/3/template", "/items/4/priority"} <= set(places)
    assert any(place.startswith("/items/5/") for place in places)
    assert not any(place.startswith(("/items/0", "/items/2")) for place in places)
    assert await count_of(api) == 0
    assert (await api.http.get("/api/batches")).json()["items"] == []
    assert comfy.submits == 0


async def test_what_is_wrong_with_an_axis_is_told_of_the_axis_once(api: Service) -> None:
    body = {"base": {"prompt": "x", "stepz": 1}, "matrix": {"cfg": [4, "no"], "width": [64, 65]}, "runs": 2}

    document = problem(await post_batch(api, body), 422, "invalid_request")

    assert sorted(each["pointer"] for each in document["errors"]) == ["/base/stepz", "/matrix/cfg/1", "/matrix/width/1"]


REFUSED: dict[str, tuple[Any, str]] = {
    "nothing": ({}, ""),
    "no items": ({"items": []}, "/items"),
    "items that are none": ({"items": [1, {"prompt": "x"}]}, "/items/0"),
    "items that are no list": ({"items": {"prompt": "x"}}, "/items"),
    "a list": ([], ""),
    "an unknown field": ({"items": [{}], "itemz": 1}, "/itemz"),
    "runs of none": ({"base": {}, "runs": 0}, "/runs"),
    "a limit of none": ({"base": {}, "maxInFlight": 0}, "/maxInFlight"),
    "an empty axis": ({"base": {}, "matrix": {"cfg": []}}, "/matrix/cfg"),
    "an uneven group": ({"base": {}, "zip": [{"cfg": [1], "seed": [1, 2]}]}, "/zip/0"),
    "a key twice": ({"items": [{"key": "a", "prompt": "x"}, {"key": "a", "prompt": "y"}]}, "/items/1/key"),
    "a key that is no text": ({"items": [{"key": 5}]}, "/items/0/key"),
    "too many": ({"base": {}, "runs": 101}, ""),
    "runs of a graph": ({"base": {"workflow": picture()}, "runs": 2}, "/runs"),
    "a deadline in the past": ({"items": [{"prompt": "x", "deadlineSeconds": -1}]}, "/items/0/deadlineSeconds"),
}


async def test_what_makes_no_batch_is_told_where(serve: Serve) -> None:
    api = await serve(max_batch_items=100)

    answers = {name: await api.http.post("/api/batches", json=body) for name, (body, _) in REFUSED.items()}

    places = {name: problem(each, 422, "invalid_request")["errors"][0]["pointer"] for name, each in answers.items()}
    assert places == {name: place for name, (_, place) in REFUSED.items()}
    assert await count_of(api) == 0


async def test_a_body_that_is_no_json_is_told_so(api: Service) -> None:
    problem(await api.http.post("/api/batches", content=b"{items:"), 400, "malformed_body")
    problem(await api.http.post("/api/batches", content=b""), 400, "malformed_body")


async def test_the_same_batch_again_is_the_same_batch(api: Service, comfy: Simulator) -> None:
    body = {"base": {"prompt": "x", **TINY}, "runs": 3}

    first = await post_batch(api, body, "key")
    again = await post_batch(api, dict(reversed(body.items())), "key")
    other = await post_batch(api, body | {"runs": 4}, "key")
    without = await post_batch(api, body)
    await completed(api, first.json()["id"])
    late = await post_batch(api, body, "key")
    await completed(api, without.json()["id"])

    assert first.json()["id"] == again.json()["id"] == late.json()["id"] != without.json()["id"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == late.headers["idempotency-replayed"] == "true"
    problem(other, 422, "idempotency_mismatch")
    assert len(comfy.executions) == 6


async def test_items_with_keys_make_a_batch_known_without_a_header(api: Service, comfy: Simulator) -> None:
    first = await batch(api, {"items": numbered(3)})
    again = await batch(api, {"items": numbered(3)})
    other = await batch(api, {"items": numbered(4)})
    for each in (first, other):
        await completed(api, each["id"])

    assert first["id"] == again["id"] != other["id"]
    assert len(comfy.executions) == 7


async def test_under_its_key_a_batch_takes_further_items_and_makes_none_twice(api: Service, comfy: Simulator) -> None:
    first = await batch(api, {"items": numbered(3)}, "key")
    await completed(api, first["id"])

    more = await batch(api, {"items": numbered(5)}, "key")
    await completed(api, first["id"])
    changed = [{**item, "prompt": "another"} if item["key"] == "k1" else item for item in numbered(5)]
    refused = await post_batch(api, {"items": changed}, "key")
    lines = await results(api, first["id"])

    assert (more["id"], more["total"]) == (first["id"], 5)
    assert [line["key"] for line in lines] == [f"k{n}" for n in range(5)]
    assert len(comfy.executions) == 5
    assert [each["pointer"] for each in problem(refused, 422, "invalid_request")["errors"]] == ["/items/1/key"]


async def test_a_cancel_ends_what_has_no_end_and_leaves_the_rest(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(step_s=0.05)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url})
        stranger = await batch(api, {"items": numbered(2)})
        await completed(api, stranger["id"])
        started = await batch(api, {"items": numbered(300, steps=2)})
        await until(lambda: len(comfy.executions) >= 4)

        canceling = await api.http.post(started["urls"]["cancel"])
        ended = await completed(api, started["id"])
        again = await api.http.post(started["urls"]["cancel"])

    assert canceling.json()["status"] in {"canceling", "canceled"}
    assert (ended["status"], again.json()["status"]) == ("canceled", "canceled")
    assert ended["counts"]["succeeded"] + ended["counts"]["canceled"] == 300
    assert 1 <= ended["counts"]["succeeded"] < 20
    assert len(comfy.executions) < 20


async def test_a_retry_puts_new_generations_in_the_places_of_those_that_failed(api: Service, comfy: Simulator) -> None:
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY
    started = await batch(api, {"items": numbered(3)}, "key")
    failed = await completed(api, started["id"])
    before = await results(api, started["id"], status="failed")
    comfy.faults.failures.clear()
    extended = await batch(api, {"items": numbered(4)}, "key")
    await completed(api, started["id"])

    retried = await api.http.post(started["urls"]["retry"])
    ended = await completed(api, started["id"])
    nothing_left = await api.http.post(started["urls"]["retry"])
    after = await results(api, started["id"])

    assert (failed["status"], failed["counts"]["failed"], len(before)) == ("failed", 3, 3)
    assert {line["error"]["code"] for line in before} == {"out_of_memory"}
    assert (retried.status_code, retried.json()["total"], extended["total"]) == (202, 4, 4)
    assert (ended["status"], ended["counts"]["succeeded"], ended["counts"]["failed"]) == ("succeeded", 4, 0)
    assert [line["seed"] for line in after] == [0, 1, 2, 3]
    assert not {line["generationId"] for line in before} & {line["generationId"] for line in after}
    assert nothing_left.json()["counts"] == ended["counts"]
    assert (await api.record(before[0]["generationId"]))["status"] == "failed"


async def test_several_files_of_an_item_are_numbered_and_one_that_is_gone_is_told(api: Service) -> None:
    started = await batch(
        api, {"items": [{"workflow": picture(1, count=2), "key": "a/../b"}, {"workflow": picture(2)}]}
    )
    await completed(api, started["id"])
    whole, _ = await archived(api, started["urls"]["archive"])
    lines = await results(api, started["id"])
    (kept,) = [
        path for path in (api.settings.data_dir / "outputs").rglob("*/0") if lines[1]["generationId"] in str(path)
    ]
    kept.unlink()

    files, manifest = await archived(api, started["urls"]["archive"])

    assert set(whole) == {"0000-a-..-b-1.png", "0000-a-..-b-2.png", "0001.png"}
    assert set(files) == {"0000-a-..-b-1.png", "0000-a-..-b-2.png"}
    assert [file["file"] for file in manifest["items"][1]["files"]] == [None]


async def test_batches_are_listed_newest_first(api: Service) -> None:
    made = [(await batch(api, {"base": {"prompt": str(n), **TINY}}))["id"] for n in range(3)]

    first = (await api.http.get("/api/batches", params={"limit": "2"})).json()
    second = (await api.http.get("/api/batches", params={"limit": "2", "cursor": first["nextCursor"]})).json()

    assert [item["id"] for item in first["items"] + second["items"]] == made[::-1]
    assert second["nextCursor"] is None


async def test_a_batch_nobody_made_is_not_found(api: Service) -> None:
    for path in ("", "/generations", "/results", "/archive", "/events"):
        problem(await api.http.get(f"/api/batches/{NOBODY}{path}"), 404, "not_found")
    for path in ("cancel", "retry"):
        problem(await api.http.post(f"/api/batches/{NOBODY}/{path}"), 404, "not_found")


async def test_with_keys_the_urls_of_a_batch_open_that_batch_alone(serve: Serve) -> None:
    api = await serve(api_keys=("secret",))
    one, other = [await batch(api, {"items": numbered(1, cfg=cfg)}) for cfg in (1, 2)]
    await completed(api, one["id"])

    async def status(url: str) -> int:
        return (await api.http.get(url, headers={"X-API-Key": ""})).status_code

    foreign = one["urls"]["archive"].replace(one["id"], other["id"])
    line: Json = (await results(api, one["id"]))[0]

    assert [await status(one["urls"][name]) for name in ("self", "results", "archive", "events")] == [200] * 4
    assert await status(line["outputs"][0]["url"]) == 200
    assert await status(foreign) == 401
    assert await status(f"/api/batches/{one['id']}") == 401
    assert await status("/api/batches") == 401


async def test_batches_wait_while_comfyui_is_down_or_are_refused_where_that_is_asked_for(
    serve: Serve, comfy: Simulator
) -> None:
    await comfy.stop()
    patient = await serve()
    started = await batch(patient, {"items": numbered(2)})
    await patient.stop()
    strict = await serve(accept_when_down=False)
    refused = await post_batch(strict, {"items": numbered(2, cfg=3)})
    await patient.start()

    assert started["counts"]["pending"] == 2
    problem(refused, 503, "no_backend")
    assert (await standing(patient, started["id"]))["counts"]["pending"] == 2


async def test_more_items_than_may_wait_are_refused_until_some_have_ended(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve(max_batch_waiting=5)
    await batch(api, {"items": numbered(4)})

    answer = await post_batch(api, {"items": numbered(2, cfg=3)})

    problem(answer, 503, "queue_full")
    assert int(answer.headers["retry-after"]) > 0


async def test_the_deadline_of_an_item_counts_while_its_batch_holds_it_back(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve()
    started = await batch(api, {"items": numbered(3, deadlineSeconds=0.5), "maxInFlight": 1})

    ended = await completed(api, started["id"])

    lines = await results(api, started["id"])
    assert (ended["status"], ended["counts"]["failed"]) == ("failed", 3)
    assert {line["error"]["code"] for line in lines} == {"timed_out"}


async def test_work_that_yields_has_a_limit_of_its_own(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve(max_pending=2)
    for number in range(2):
        await api.generate(prompt=str(number), priority=-1, **TINY)

    full = await api.http.post("/api/generate", json={"prompt": "no room", "priority": -1, **TINY})
    urgent = await api.generate(prompt="room", **TINY)

    problem(full, 503, "queue_full")
    assert urgent["queuePosition"] == 1
