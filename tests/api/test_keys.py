"""With API keys: nothing without one, URLs that work where headers cannot be sent, and no secret anywhere."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from app.api.links import Links
from app.comfyui.simulator import Simulator
from tests.api.asking import NOBODY, QUICK, picture, problem
from tests.conftest import Serve
from tests.service import Json, Service

KEY, OTHER = "first-key-0123", "schlüssel-zwei"


@pytest.fixture
async def guarded(serve: Serve) -> Service:
    """A service with two keys, and a client that sends the first."""
    return await serve(api_keys=(KEY, OTHER))


@pytest.fixture
async def stranger(guarded: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with httpx.AsyncClient(base_url=guarded.url, trust_env=False, timeout=20) as client:
        yield client


ROUTES = [
    ("POST", "/api/generate"),
    ("GET", "/api/generate/progress?generationId={id}"),
    ("GET", "/api/generations"),
    ("GET", "/api/generations/{id}"),
    ("GET", "/api/generations/{id}/events"),
    ("GET", "/api/generations/{id}/preview"),
    ("GET", "/api/generations/{id}/workflow"),
    ("GET", "/api/generations/{id}/images/0"),
    ("GET", "/api/generations/{id}/outputs/0"),
    ("HEAD", "/api/generations/{id}"),
    ("POST", "/api/generations/{id}/cancel"),
    ("GET", "/api/nowhere"),
    ("GET", "/v1/anything"),
]


def urls_in(value: Any) -> Iterator[str]:
    """Every URL of ours anywhere in an answer."""
    match value:
        case dict():
            for part in value.values():
                yield from urls_in(part)
        case list():
            for part in value:
                yield from urls_in(part)
        case str() if value.startswith("/api/"):
            yield value


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nothing_is_told_without_a_key(stranger: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await stranger.request(method, path.format(id=NOBODY))

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    if method != "HEAD":
        problem(answer, 401, "unauthorized")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/"])
async def test_what_is_no_secret_needs_no_key(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(path, follow_redirects=True)).status_code == 200


@pytest.mark.parametrize("key", [KEY, OTHER])
@pytest.mark.parametrize("way", ["Authorization: Bearer ", "authorization: bearer ", "X-API-Key: "])
async def test_every_key_works_every_way(stranger: httpx.AsyncClient, key: str, way: str) -> None:
    name, _, scheme = way.partition(": ")

    answer = await stranger.get("/api/generations", headers={name.encode(): (scheme + key).encode()})

    assert answer.status_code == 200


WRONG_KEY = "The key that was sent is not one of this service"
WRONG_TOKEN = "This URL's token is wrong or has expired"


@pytest.mark.parametrize("root", ["/api/generations", "/api/v2/jobs", "/v1/models"])
@pytest.mark.parametrize(
    ("headers", "query", "told"),
    [
        ({}, "", "Send 'Authorization: Bearer KEY'"),
        ({"X-API-Key": "x"}, "", WRONG_KEY),
        ({"Authorization": "Bearer x"}, "?token=1.00", WRONG_KEY),
        ({}, "?token=1.00", WRONG_TOKEN),
    ],
)
async def test_what_was_sent_and_opens_nothing_is_told_from_what_is_missing(
    stranger: httpx.AsyncClient, root: str, headers: dict[str, str], query: str, told: str
) -> None:
    answer = await stranger.get(f"{root}/{NOBODY}{query}", headers=headers)

    assert answer.status_code == 401
    document = answer.json()
    assert told in (document["detail"] if root != "/api/v2/jobs" else document["error"]["message"])


async def test_one_right_key_is_enough(stranger: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer of-someone-else", "X-API-Key": KEY}

    assert (await stranger.get("/api/generations", headers=headers)).status_code == 200


@pytest.mark.parametrize("wrong", ["x", KEY[:-1], KEY + "0", KEY.upper(), f"{KEY},{OTHER}", "é"])
async def test_a_wrong_key_is_none(stranger: httpx.AsyncClient, wrong: str) -> None:
    for name, scheme in ((b"Authorization", "Bearer "), (b"Authorization", "Basic "), (b"X-API-Key", "")):
        problem(await stranger.get("/api/generations", headers={name: (scheme + wrong).encode()}), 401, "unauthorized")


@pytest.mark.parametrize("header", ["Authorization: Bearer", "Authorization:", "Authorization: " + KEY, "X-API-Key:"])
async def test_half_a_header_is_none(stranger: httpx.AsyncClient, header: str) -> None:
    name, _, value = header.partition(":")

    problem(await stranger.get("/api/generations", headers={name: value.strip()}), 401, "unauthorized")


async def test_the_urls_in_answers_work_without_a_key(guarded: Service, stranger: httpx.AsyncClient) -> None:
    answer = await guarded.generate(**{**QUICK, "steps": 4})
    events = await guarded.events(answer["id"])
    record = events[-1]["generation"]

    cancel = record["urls"].pop("cancel")
    urls = set(urls_in([answer["urls"]["self"], answer["urls"]["events"], record, events[:-1]]))

    assert len(urls) >= 5
    for url in urls:
        assert (await stranger.get(url)).status_code == 200, url
        assert (await stranger.head(url)).status_code == 200, url
    problem(await stranger.post(cancel), 401, "unauthorized")


async def test_a_browser_can_follow_with_the_url_alone(guarded: Service, stranger: httpx.AsyncClient) -> None:
    answer = await guarded.generate(**QUICK)
    token = answer["urls"]["events"].partition("?")[2]

    here = await stranger.get(answer["urls"]["events"])
    there = await stranger.get(f"/api/generate/progress?generationId={answer['id']}&{token}")

    assert here.text.count('"type":"complete"') == 1
    assert there.text.count('"type":"complete"') == 1


async def test_a_token_opens_its_own_generation_only(guarded: Service, stranger: httpx.AsyncClient) -> None:
    mine, other = [await guarded.finished((await guarded.generate(workflow=picture(n)))["id"]) for n in range(2)]
    token = mine["imageUrls"][0].partition("?")[2]

    for path in (
        f"/api/generations/{other['id']}?{token}",
        f"/api/generations/{other['id']}/images/0?{token}",
        f"/api/generations/{other['id']}?generationId={mine['id']}&{token}",
        f"/api/generate/progress?generationId={other['id']}&{token}",
        f"/api/generate/progress?generationId={other['id']}&generationId={mine['id']}&{token}",
        f"/api/generations?generationId={mine['id']}&{token}",
        f"/api/generations?{token}",
        f"/api/nowhere?generationId={mine['id']}&{token}",
    ):
        problem(await stranger.get(path), 401, "unauthorized")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_a_token_is_for_reading(guarded: Service, stranger: httpx.AsyncClient, method: str) -> None:
    answer = await guarded.generate(**QUICK)

    problem(await stranger.request(method, answer["urls"]["self"]), 401, "unauthorized")


async def test_a_token_expires(guarded: Service, stranger: httpx.AsyncClient) -> None:
    answer = await guarded.generate(**QUICK)
    yesterday = Links([KEY, OTHER], 60, clock=lambda: time.time() - 86_400)
    today = Links([OTHER, KEY], 60)

    problem(await stranger.get(yesterday.to(answer["id"], "")), 401, "unauthorized")
    assert (await stranger.get(today.to(answer["id"], ""))).status_code == 200


@pytest.mark.parametrize("token", ["x", ".", "9999999999.", "9999999999." + "0" * 32, "²." + "0" * 32, "9" * 400])
async def test_a_made_up_token_opens_nothing(guarded: Service, stranger: httpx.AsyncClient, token: str) -> None:
    answer = await guarded.generate(**QUICK)

    refused = await stranger.get(f"/api/generations/{answer['id']}", params={"token": token})

    problem(refused, 401, "unauthorized")


async def test_files_stay_out_of_shared_caches(guarded: Service) -> None:
    record = await guarded.finished((await guarded.generate(**QUICK))["id"])

    assert "private" in (await guarded.http.get(record["imageUrls"][0])).headers["cache-control"]


async def test_without_keys_urls_are_plain(api: Service) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])

    assert "token" not in json.dumps(record)
    assert "?" not in "".join([*record["urls"].values(), *record["imageUrls"]])


async def test_no_answer_and_no_log_line_tells_a_secret(
    guarded: Service, comfy: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    comfy.faults.cut_socket_before("executed")
    told: list[str] = []
    bodies: list[Json] = [QUICK, {"workflow": picture(5)}, {"workflow": {"1": {"class_type": "No", "inputs": {}}}}]
    for body in bodies:
        answer = await guarded.http.post("/api/generate", json=body, headers={"Prefer": "wait=10"})
        told.append(answer.text)
        told.append((await guarded.http.get(f"/api/generations/{answer.json().get('id', NOBODY)}/events")).text)
    for path in ("/api/generations", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs", "/api/generations/x"):
        told += [(await guarded.http.get(path)).text]
    await comfy.stop()
    told.append((await guarded.generate(workflow=picture(6)))["message"])
    told.append((await guarded.http.get("/readyz")).text)

    lines = [record for record in caplog.records if record.name.startswith("app.")]
    told += [" ".join(map(str, (record.getMessage(), *vars(record).values()))) for record in lines]
    secrets = {KEY, OTHER, f":{comfy.port}", "127.0.0.1", str(guarded.settings.data_dir), "test.db"}
    found = {(secret, line[:300]) for line in told for secret in secrets if secret in line}
    assert not found
    assert len(lines) > 5
