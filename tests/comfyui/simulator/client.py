"""A plain ComfyUI client for these tests: one socket that writes down what it hears, and HTTP beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.comfyui.simulator import ANY_NODE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.comfyui.simulator import Simulator

PATIENCE_S = 10.0
Graph = dict[str, Any]


def trivial(colour: int = 1, size: int = 8) -> Graph:
    """Two nodes and no file."""
    return _picture(colour, size) | {"2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}


def saving(colour: int = 1, prefix: str = "x", size: int = 8) -> Graph:
    """Two nodes and one file in output."""
    return _picture(colour, size) | {
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}}
    }


def previewing(colour: int = 1) -> Graph:
    """Two nodes and one file in temp."""
    return _picture(colour, 8) | {"2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}


def _picture(colour: int, size: int) -> Graph:
    inputs = {"width": size, "height": size, "batch_size": 1, "color": colour}
    return {"1": {"class_type": "EmptyImage", "inputs": inputs}}


def txt2img(**changed: Any) -> Graph:
    """The standard checkpoint graph; `text`, `width`, `batch_size` and the sampler's inputs may be changed."""
    sampler = {"seed": 1, "steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    sampler |= {name: value for name, value in changed.items() if name in sampler}
    sampler |= {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
    latent = {"width": changed.get("width", 64), "height": 64, "batch_size": changed.get("batch_size", 1)}
    model = {"ckpt_name": changed.get("ckpt_name", "sd_xl_base_1.0.safetensors")}
    text = changed.get("text", "a lighthouse")
    return {
        "3": {"class_type": "KSampler", "inputs": sampler},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": model},
        "5": {"class_type": "EmptyLatentImage", "inputs": latent},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": text}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": "blurry"}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "ComfyUI"}},
    }


class Client:
    """See module. `wires` is everything heard, as sent; `said` the text messages among it that could be read."""

    def __init__(self, comfy: Simulator, client_id: str, http: httpx.AsyncClient, socket: ClientConnection) -> None:
        self.comfy, self.client_id, self.http, self.socket = comfy, client_id, http, socket
        self.wires: list[str | bytes] = []
        self.closed = asyncio.Event()
        self.close_code: int | None = None
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        try:
            async for wire in self.socket:
                self.wires.append(wire)
                self._changed.set()
        except ConnectionClosed:
            pass
        self.close_code = self.socket.close_code
        self.closed.set()

    @property
    def said(self) -> list[dict[str, Any]]:
        read = []
        for wire in self.wires:
            with contextlib.suppress(ValueError):
                message = json.loads(wire) if isinstance(wire, str) else None
                if isinstance(message, dict) and isinstance(message.get("data"), dict):
                    read.append(message)
        return read

    @property
    def kinds(self) -> list[str]:
        """Types of the text messages, without `status`."""
        return [message["type"] for message in self.said if message["type"] != "status"]

    def data(self, kind: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.said if message["type"] == kind]

    @property
    def binaries(self) -> list[bytes]:
        return [wire for wire in self.wires if isinstance(wire, bytes)]

    async def hears(self, kind: str, *, node: str | None = ANY_NODE, count: int = 1) -> None:
        """Return once so many messages of this type (and node) came."""
        async with asyncio.timeout(PATIENCE_S):
            while sum(node in (ANY_NODE, data.get("node")) for data in self.data(kind)) < count:
                self._changed.clear()
                await self._changed.wait()

    async def post(self, graph: Graph, **more: Any) -> str:
        """Queue a graph and return its prompt id."""
        response = await self.http.post("/prompt", json={"prompt": graph, "client_id": self.client_id} | more)
        response.raise_for_status()
        prompt_id: str = response.json()["prompt_id"]
        return prompt_id

    async def run(self, graph: Graph, **more: Any) -> str:
        """Queue a graph and return when the worker is done with it."""
        prompt_id = await self.post(graph, **more)
        await self.comfy.wait_for("finished", node=prompt_id)
        return prompt_id

    async def history(self, prompt_id: str) -> dict[str, Any]:
        """The history entry, or {}."""
        body = json.loads((await self.http.get(f"/history/{prompt_id}")).content)
        entry: dict[str, Any] = body.get(prompt_id, {})
        return entry

    async def queue(self) -> dict[str, list[str]]:
        """Prompt ids in the queue."""
        listed = (await self.http.get("/queue")).json()
        return {name: [item[1] for item in items] for name, items in listed.items()}

    async def files(self, prompt_id: str) -> list[dict[str, str]]:
        """All file items of a finished prompt."""
        outputs = (await self.history(prompt_id))["outputs"]
        return [item for ui in outputs.values() for item in ui.get("images", ())]

    async def has_heard_all(self) -> None:
        """Return when nothing sent before is under way any more: a pong comes after it."""
        async with asyncio.timeout(PATIENCE_S):
            await (await self.socket.ping())


@contextlib.asynccontextmanager
async def client_of(comfy: Simulator, client_id: str = "client-a") -> AsyncIterator[Client]:
    """A client that is connected and has been greeted."""
    url = f"{comfy.url.replace('http', 'ws')}/ws?clientId={client_id}"
    http = httpx.AsyncClient(base_url=comfy.url, trust_env=False, timeout=PATIENCE_S)
    async with http, asyncio.TaskGroup() as tasks:
        socket = await connect(url, proxy=None, max_size=None)
        client = Client(comfy, client_id, http, socket)
        tasks.create_task(client.listen())
        await client.hears("status")
        yield client
        await socket.close()
