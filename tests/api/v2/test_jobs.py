"""Jobs of the Comfy API v2: the same generations in another dress. Every answer is held against the contract."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from httpx_sse import EventSource

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator
from tests.api.asking import NOBODY, picture, text
from tests.api.v2.asking import ENDED, asset, drawn, ended, followed, places, refusal, submitted
from tests.service import Json, Service
from tests.waiting import WITHIN_S

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_job_is_a_generation_and_its_outputs_can_be_fetched_by_url_alone(
    v2: httpx.AsyncClient, relay: Service
) -> None:
    started = await submitted(v2, drawn(), metadata={"client": "acme"})

    job = await ended(v2, started["id"])
    record = await relay.record(started["id"])
    output = job["outputs"][0]
    async with httpx.AsyncClient(trust_env=False) as stranger:
        shown = await stranger.get(output["url"])
    assert (started["status"] in {"queued", "running"}, job["status"]) == (True, "succeeded")
    assert (record["status"], record["metadata"], job["metadata"]) == ("succeeded", *[{"client": "acme"}] * 2)
    assert (output["node_id"], output["type"], output["content_type"]) == ("9", "image", "image/png")
    assert (output["job_id"], output["size_bytes"]) == (job["id"], len(shown.content))
    assert job["progress"]["value"] == 1.0
    assert job["metrics"]["execution_ms"] >= 0
    assert job["urls"]["self"] == f"/api/v2/jobs/{job['id']}"


async def test_a_generation_is_a_job_however_it_was_started(v2: httpx.AsyncClient, relay: Service) -> None:
    record = await relay.generate(prompt="x", steps=1, width=64, height=64, metadata={"a": "b", "n": 1})

    job = await ended(v2, record["id"])

    assert (job["status"], job["metadata"], len(job["outputs"])) == ("succeeded", {"a": "b"}, 1)


async def test_the_stream_tells_status_progress_preview_and_every_output_before_the_end(
    v2: httpx.AsyncClient, drawing: Simulator
) -> None:
    drawing.hold("progress", node="4")
    job = await submitted(v2, drawn(steps=4, seed=1))
    await drawing.held()
    following = asyncio.create_task(followed(v2, job["id"]))
    drawing.release()

    events = await following

    names, told = [name for name, _ in events], dict(events)
    values = [data["value"] for name, data in events if name == "progress"]
    assert events[0] == ("status", {"status": "running", "queue_position": None})
    assert set(names) == {"status", "progress", "preview", "output"}
    assert events[-1] == ("status", {"status": "succeeded", "queue_position": None})
    assert values == sorted(values)
    assert values[-1] == 1.0
    assert told["output"] == (await ended(v2, job["id"]))["outputs"][0]


async def test_who_comes_half_way_gets_the_newest_progress_and_preview_at_once(
    v2: httpx.AsyncClient, drawing: Simulator
) -> None:
    job = await submitted(v2, drawn(steps=60, seed=2))
    async with asyncio.timeout(WITHIN_S), v2.stream("GET", job["urls"]["events"]) as early:
        await anext(event async for event in EventSource(early).aiter_sse() if event.event == "preview")
        drawing.hold("progress", node="4")
        await drawing.held()
    following = asyncio.create_task(followed(v2, job["id"]))
    drawing.release()

    events = await following

    assert [name for name, _ in events[:3]] == ["status", "progress", "preview"]
    assert events[1][1]["step"] > 0
    assert events[-1] == ("status", {"status": "succeeded", "queue_position": None})


async def test_who_comes_after_the_end_is_told_all_of_it(v2: httpx.AsyncClient) -> None:
    job = await ended(v2, (await submitted(v2, picture(count=2)))["id"])

    events = await followed(v2, job["id"])

    assert [name for name, _ in events] == ["output", "output", "progress", "status"]
    assert [data for name, data in events if name == "output"] == job["outputs"]


async def test_outputs_of_every_kind_are_outputs(v2: httpx.AsyncClient) -> None:
    job = await ended(v2, (await submitted(v2, text("a few words")))["id"])

    words = await v2.get(f"/api/v2/assets/{job['outputs'][0]['id']}/content")

    assert [(each["type"], each["content_type"]) for each in job["outputs"]] == [("text", "text/plain")]
    assert words.text == "a few words"


async def test_a_job_that_fails_says_where_and_why_without_a_traceback(
    v2: httpx.AsyncClient, drawing: Simulator
) -> None:
    drawing.faults.failures["VAEDecode"] = OUT_OF_MEMORY
    try:
        job = await ended(v2, (await submitted(v2, drawn(seed=3)))["id"])
    finally:
        drawing.faults.failures.clear()

    assert (job["status"], job["error"]["code"], job["error"]["node_id"]) == ("failed", "out_of_memory", "5")
    assert (job["error"]["class_type"], job["error"]["traceback"]) == ("VAEDecode", None)


async def test_a_running_job_is_canceled_and_an_ended_one_stays_as_it_is(
    v2: httpx.AsyncClient, drawing: Simulator
) -> None:
    drawing.hold("progress", node="4")
    job = await submitted(v2, drawn(steps=20, seed=4))
    await drawing.held()
    asked = await v2.post(f"/api/v2/jobs/{job['id']}/cancel")
    drawing.release()

    canceled = await ended(v2, job["id"])
    again = await v2.post(f"/api/v2/jobs/{job['id']}/cancel")

    assert asked.json()["status"] in {"canceling", "canceled"}
    assert canceled["status"] == "canceled"
    assert again.json() == canceled | {"outputs": again.json()["outputs"]}


async def test_a_job_that_is_over_keeps_the_count_of_its_nodes(v2: httpx.AsyncClient, drawing: Simulator) -> None:
    done = await ended(v2, (await submitted(v2, drawn(seed=41)))["id"])
    drawing.hold("progress", node="4")
    started = await submitted(v2, drawn(steps=4, seed=42))
    await drawing.held()
    asked = (await v2.post(f"/api/v2/jobs/{started['id']}/cancel")).json()
    drawing.release()
    canceled = await ended(v2, started["id"])
    told = dict(await followed(v2, done["id"]))["progress"]

    assert asked["progress"]["nodes_total"] == 6
    for progress in (done["progress"], told):
        assert (progress["nodes_done"], progress["nodes_total"]) == (6, 6)
    assert (canceled["status"], canceled["progress"]["nodes_total"]) == ("canceled", 6)
    assert 0 <= canceled["progress"]["nodes_done"] < 6


async def test_the_workflow_is_the_graph_that_ran(v2: httpx.AsyncClient) -> None:
    job = await submitted(v2, picture(7))

    shown = (await v2.get(f"/api/v2/jobs/{job['id']}/workflow")).json()

    assert shown == {"workflow": picture(7), "format": "api"}


async def test_a_key_is_good_for_one_job_whatever_is_asked_for_the_second_time(v2: httpx.AsyncClient) -> None:
    first = await submitted(v2, picture(8), key="once")

    for workflow in (picture(8), picture(9)):
        answer = await v2.post("/api/v2/jobs", json={"workflow": workflow}, headers={"Idempotency-Key": "once"})
        refusal(answer, 422, "idempotency_key_reuse")

    listed = (await v2.get("/api/v2/jobs", params={"limit": 1})).json()["jobs"]
    assert [each["id"] for each in listed] == [first["id"]]


async def test_of_requests_at_once_with_one_key_one_makes_a_job(v2: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "at once"}

    answers = await asyncio.gather(
        *(v2.post("/api/v2/jobs", json={"workflow": picture(10)}, headers=headers) for _ in range(5))
    )

    assert sorted(each.status_code for each in answers) == [201, 422, 422, 422, 422]


async def test_a_key_of_a_refused_request_is_free(v2: httpx.AsyncClient) -> None:
    await submitted(v2, {"1": {"class_type": "NoSuchNode", "inputs": {}}}, expect=422, key="refused")

    await submitted(v2, picture(11), key="refused")


async def test_a_key_of_the_other_api_is_another_key(v2: httpx.AsyncClient, relay: Service) -> None:
    await relay.generate(workflow=picture(12), headers={"Idempotency-Key": "of both"})

    await submitted(v2, picture(12), key="of both")

    await relay.generate(workflow=picture(12), headers={"Idempotency-Key": "of both"})


WRONG: dict[str, tuple[Json, str, str]] = {
    "no workflow": ({}, "invalid_workflow", "/workflow"),
    "no graph": ({"workflow": []}, "invalid_workflow", "/workflow"),
    "an empty graph": ({"workflow": {}}, "invalid_workflow", "/workflow"),
    "the editor's format": ({"workflow": {"nodes": [], "links": []}}, "workflow_format_ui", "/workflow"),
    "an unknown class": (
        {"workflow": {"1": {"class_type": "No", "inputs": {}}}},
        "invalid_workflow",
        "/workflow/1/class_type",
    ),
    "a link to nowhere": (
        {"workflow": {"1": {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "x"}}}},
        "invalid_workflow",
        "/workflow/1/inputs/images/0",
    ),
    "a missing asset": (
        {"workflow": {"1": {"class_type": "LoadImage", "inputs": {"image": asset(NOBODY)}}}},
        "missing_asset",
        "/workflow/1/inputs/image",
    ),
    "an asset without an id": (
        {"workflow": {"1": {"class_type": "LoadImage", "inputs": {"image": {"__type": "core/ASSET"}}}}},
        "missing_asset",
        "/workflow/1/inputs/image",
    ),
    "an asset inside of a list": (
        {"workflow": {"1": {"class_type": "LoadImage", "inputs": {"image": [asset(NOBODY)]}}}},
        "invalid_workflow",
        "/workflow/1/inputs/image/0",
    ),
    "an asset among inputs that are a list": (
        {"workflow": {"1": {"class_type": "LoadImage", "inputs": [asset(NOBODY)]}}},
        "invalid_workflow",
        "/workflow/1/inputs/0",
    ),
    "an asset in a node's place": ({"workflow": {"1": asset(NOBODY)}}, "invalid_workflow", "/workflow/1"),
    "a webhook": ({"workflow": picture(), "webhook_url": "http://x.test"}, "invalid_request", "/webhook_url"),
    "inputs": ({"workflow": picture(), "inputs": {}}, "invalid_request", "/inputs"),
    "a key for partner nodes": (
        {"workflow": picture(), "extra_data": {"api_key_comfy_org": "k"}},
        "extra_data_not_supported",
        "/extra_data/api_key_comfy_org",
    ),
    "a label that is a number": ({"workflow": picture(), "metadata": {"n": 1}}, "metadata_invalid", "/metadata/n"),
    "a label's name with a space": (
        {"workflow": picture(), "metadata": {"a b": "c"}},
        "metadata_invalid",
        "/metadata/a b",
    ),
    "a label with a line break": (
        {"workflow": picture(), "metadata": {"a": "b\n"}},
        "metadata_invalid",
        "/metadata/a",
    ),
    "a label too long": ({"workflow": picture(), "metadata": {"a": "é" * 129}}, "metadata_invalid", "/metadata/a"),
    "too many labels": (
        {"workflow": picture(), "metadata": {str(number): "x" for number in range(17)}},
        "metadata_invalid",
        "/metadata",
    ),
}


async def test_a_wrong_job_is_refused_in_the_envelope_and_the_place_is_named(v2: httpx.AsyncClient) -> None:
    for wrong, (body, code, place) in WRONG.items():
        answer = await v2.post("/api/v2/jobs", json=body)

        assert place in places(refusal(answer, 422, code)), (wrong, answer.text)


async def test_errors_of_a_workflow_are_told_by_node_as_well(v2: httpx.AsyncClient) -> None:
    graph = drawn()
    del graph["4"]["inputs"]["model"]
    graph["3"]["inputs"]["width"] = ["7", 0]

    broken = refusal(await v2.post("/api/v2/jobs", json={"workflow": graph}), 422, "invalid_workflow")
    graph["3"]["inputs"]["width"] = 64
    refused = refusal(await v2.post("/api/v2/jobs", json={"workflow": graph}), 422, "invalid_workflow")

    assert [each["field"] for each in broken["details"]["node_errors"]["3"]] == ["width"]
    assert [each["field"] for each in refused["details"]["node_errors"]["4"]] == ["model"]
    assert refused["details"]["node_errors"]["4"][0]["reason"]


async def test_what_is_no_json_is_refused_in_the_envelope(v2: httpx.AsyncClient) -> None:
    for content in (b"", b"{", b"\xff", b"[" * 100_000, b"3"):
        refusal(await v2.post("/api/v2/jobs", content=content), 422, "invalid_request")


async def test_a_body_too_large_is_refused_in_the_envelope(v2: httpx.AsyncClient) -> None:
    refusal(await v2.post("/api/v2/jobs", content=b" " * (17 * 1024**2)), 413, "body_too_large")


@pytest.mark.parametrize("job_id", [NOBODY, "x", "%00", NOBODY.replace("4000", "8000")])
async def test_who_is_no_job_is_not_found(v2: httpx.AsyncClient, job_id: str) -> None:
    for method, end in [("GET", ""), ("GET", "/workflow"), ("GET", "/events"), ("POST", "/cancel")]:
        refusal(await v2.request(method, f"/api/v2/jobs/{job_id}{end}"), 404, "not_found")


@pytest.mark.parametrize("path", ["", "/workflow", "/events", "/cancel"])
async def test_a_job_that_nobody_made_is_called_a_job(v2: httpx.AsyncClient, path: str) -> None:
    answer = await v2.request("POST" if path == "/cancel" else "GET", f"/api/v2/jobs/{NOBODY}{path}")

    assert refusal(answer, 404, "not_found")["message"] == f"There is no job '{NOBODY}'."


async def test_what_there_is_not_is_told_in_the_envelope(v2: httpx.AsyncClient, relay: Service) -> None:
    for path in ("", "/", "/billing", "/workspaces/1/members", "/jobs/x/logs", "/models"):
        refusal(await v2.get(f"/api/v2{path}"), 404, "not_found")
    refusal(await v2.put("/api/v2/jobs"), 405, "method_not_allowed")
    native = await relay.http.get("/api/v2x")
    assert native.headers["content-type"] == "application/problem+json"


async def test_without_a_key_nothing_is_told(v2: httpx.AsyncClient) -> None:
    for method, path in [("GET", "/jobs"), ("POST", "/jobs"), ("GET", f"/jobs/{NOBODY}"), ("POST", "/assets")]:
        refusal(await v2.request(method, f"/api/v2{path}", headers={"Authorization": "Bearer x"}), 401, "unauthorized")


async def test_jobs_are_listed_page_by_page_newest_first_and_by_label(v2: httpx.AsyncClient) -> None:
    labelled = [(await submitted(v2, picture(n), metadata={"run": "7", "n": str(n)}))["id"] for n in range(3)]
    await submitted(v2, picture(4), metadata={"run": "8"})
    await submitted(v2, picture(5), metadata={"RUN": "7"})

    listed: list[str] = []
    cursor = None
    while True:
        query = {"metadata[run]": "7", "limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await v2.get("/api/v2/jobs", params=query)).json()
        assert len(page["jobs"]) <= 2
        listed += [each["id"] for each in page["jobs"]]
        if (cursor := page["next_cursor"]) is None:
            break
    both = (await v2.get("/api/v2/jobs", params={"metadata[run]": "7", "metadata[n]": "1"})).json()["jobs"]

    assert listed == labelled[::-1]
    assert [(each["id"], each["metadata"]) for each in both] == [(labelled[1], {"run": "7", "n": "1"})]


async def test_jobs_are_listed_by_status(v2: httpx.AsyncClient) -> None:
    succeeded = await ended(v2, (await submitted(v2, picture(5)))["id"])

    for status in ENDED:
        page = (await v2.get("/api/v2/jobs", params={"status": status})).json()["jobs"]
        assert {each["status"] for each in page} <= {status}
        assert (succeeded["id"] in [each["id"] for each in page]) is (status == "succeeded")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"cursor": "x"}, "invalid_cursor"),
        ({"limit": "0"}, "invalid_request"),
        ({"status": "done"}, "invalid_request"),
        ({"statsu": "failed"}, "invalid_request"),
        ({"metadata[a b]": "c"}, "invalid_metadata_filter"),
        ({"metadata[]": "c"}, "invalid_metadata_filter"),
        ({f"metadata[{n}]": "x" for n in range(4)}, "invalid_metadata_filter"),
    ],
)
async def test_a_wrong_question_for_the_list_is_refused(v2: httpx.AsyncClient, query: Json, code: str) -> None:
    refusal(await v2.get("/api/v2/jobs", params=query), 422, code)
