"""What the tests of the HTTP contract ask with: small graphs, raw requests, and a look at problem documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import sqlalchemy as sa

from app.api.streams import StreamHub
from app.comfyui.simulator import Simulator
from tests.databases import PostgresServer
from tests.service import Json, Service

NOBODY = "00000000-0000-4000-8000-000000000000"
"""A well-formed id nobody has."""

QUICK: Json = {"prompt": "a lighthouse", "steps": 1, "width": 64, "height": 64}
"""A body whose generation ends at once."""


def picture(color: int = 0, count: int = 1) -> Json:
    """A graph that saves `count` pictures of one color and takes no time."""
    inputs = {"width": 8, "height": 8, "batch_size": count, "color": color}
    return {
        "1": {"class_type": "EmptyImage", "inputs": inputs},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": f"picture/{color}/image"}},
    }


def text(words: str = "a text") -> Json:
    """A graph whose only output is a text."""
    return {"1": {"class_type": "PreviewAny", "inputs": {"source": words}}}


def problem(answer: httpx.Response, status: int, code: str) -> Json:
    """The problem document of an answer, which must be one of this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: Json = answer.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"]
    assert document["title"]
    assert document["detail"]
    return document


def places(answer: httpx.Response) -> dict[str, str]:
    """The message for each pointer of an answer that finds the request wrong."""
    document = problem(answer, 422, "invalid_request")
    return {each["pointer"]: each["message"] for each in document["errors"]}


async def post(api: Service, body: object = None, **request: Any) -> httpx.Response:
    """POST /api/generate, whatever comes of it."""
    given = request if body is None else {"json": body, **request}
    return await api.http.post("/api/generate", **given)


def hub_of(api: Service) -> StreamHub:
    """The open event streams of a service in this process."""
    hub: StreamHub = api.app.state.services.hub
    return hub


@asynccontextmanager
async def held_while_drawing(api: Service, comfy: Simulator, **body: Any) -> AsyncIterator[Json]:
    """A generation whose ComfyUI stands still in the middle of sampling until the block ends."""
    comfy.hold("progress", node="3")
    answer = await api.generate(**{"prompt": "held", "width": 64, "height": 64, "steps": 4, **body})
    await comfy.held()
    try:
        yield answer
    finally:
        comfy.release()


@contextmanager
def out_of_reach(server: PostgresServer, url: str) -> Iterator[None]:
    """Nobody gets to this database while the block lasts; who was there is thrown out."""
    name = sa.make_url(url).database
    server.execute(
        f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false',
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608 - a name of ours
    )
    try:
        yield
    finally:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
