"""What the tests of the Comfy API v2 ask with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
from blake3 import blake3
from httpx_sse import EventSource

from tests.api.v2.contract import check_answer, check_event
from tests.service import Json
from tests.waiting import WITHIN_S

KEY = "a-key-of-ours"
ENDED = {"succeeded", "failed", "canceled"}


def caller(url: str, key: str | None = KEY) -> httpx.AsyncClient:
    """A client of the Comfy API v2 that trusts no answer."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    hooks: dict[str, Any] = {"response": [check_answer]}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=WITHIN_S, trust_env=False, event_hooks=hooks)


def drawn(steps: int = 2, seed: int = 0) -> Json:
    """A graph with a sampler, which sends previews and may be stopped half-way."""
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["1", 1]}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "4": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0],
                "positive": ["2", 0],
                "negative": ["2", 0],
                "latent_image": ["3", 0],
                "seed": seed,
                "steps": steps,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "job"}},
    }


def asset(asset_id: object) -> Json:
    """What stands for an asset in a workflow."""
    return {"__type": "core/ASSET", "info": {"id": asset_id, "file_path": "cat.png"}}


def loading(image: object, node: str = "LoadImage") -> Json:
    """A graph that saves the picture it loads."""
    return {
        "10": {"class_type": node, "inputs": {"image": image}},
        "11": {"class_type": "SaveImage", "inputs": {"images": ["10", 0], "filename_prefix": "loaded"}},
    }


async def submitted(
    v2: httpx.AsyncClient, workflow: Json, expect: int = 201, key: str | None = None, **body: Any
) -> Json:
    """The answer to POST /api/v2/jobs, which must have that status."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = await v2.post("/api/v2/jobs", json={"workflow": workflow, **body}, headers=headers)
    assert answer.status_code == expect, answer.text
    job: Json = answer.json()
    return job


async def ended(v2: httpx.AsyncClient, job_id: str) -> Json:
    """The job once it is over."""
    await followed(v2, job_id)
    job: Json = (await v2.get(f"/api/v2/jobs/{job_id}")).json()
    return job


async def followed(v2: httpx.AsyncClient, job_id: str) -> list[tuple[str, Json]]:
    """Every event until the stream closes; each must be one the contract has."""
    events = []
    async with asyncio.timeout(WITHIN_S), v2.stream("GET", f"/api/v2/jobs/{job_id}/events") as response:
        assert response.status_code == 200, await response.aread()
        async for event in EventSource(response).aiter_sse():
            assert not event.id
            check_event(event.event, event.json())
            events.append((event.event, event.json()))
    return events


def refusal(answer: httpx.Response, status: int, code: str) -> Json:
    """The `error` of an answer, which must be of this status and code."""
    assert answer.status_code == status, answer.text
    error: Json = answer.json()["error"]
    assert error["code"] == code, error
    assert error["message"]
    return error


def places(error: Json) -> Iterator[str]:
    """The pointers an error names."""
    return (each["pointer"] for each in (error["details"] or {}).get("errors", []))


def hashed(content: bytes) -> str:
    return f"blake3:{blake3(content).hexdigest()}"


async def sent(v2: httpx.AsyncClient, content: bytes, expect: int = 201, key: str | None = None, **fields: str) -> Json:
    """The answer to POST /api/v2/assets, which must have that status."""
    form = {"content_type": "image/png", "file_path": "cat.png", **fields}
    headers = {"Idempotency-Key": key} if key else {}
    answer = await v2.post("/api/v2/assets", data=form, files={"file": ("cat.png", content)}, headers=headers)
    assert answer.status_code == expect, answer.text
    made: Json = answer.json()
    return made
