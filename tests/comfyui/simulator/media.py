"""What the tests of incoming and outgoing files share: uploads, runs, and the files of a run."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from tests.comfyui.simulator.client import Client, Graph

RED_AND_BLUE = Image.new("RGB", (48, 32), (200, 10, 10))
RED_AND_BLUE.paste((10, 10, 200), (24, 0, 48, 32))


def a_node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def png(picture: Image.Image, **how: Any) -> bytes:
    out = BytesIO()
    picture.save(out, "PNG", **how)
    return out.getvalue()


async def upload(client: Client, content: bytes, name: str) -> str:
    response = await client.http.post("/upload/image", files={"image": (name, content)})
    stored: str = response.json()["name"]
    return stored


async def made(client: Client, graph: Graph) -> list[tuple[str, bytes]]:
    """Name and content of every file of a run, whatever key it came under."""
    entry = await client.history(await client.run(graph))
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]
    items = [
        item
        for ui in entry["outputs"].values()
        for found in ui.values()
        for item in found
        if isinstance(item, dict) and "filename" in item
    ]
    return [(item["filename"], (await client.http.get("/view", params=item)).content) for item in items]


def opened(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content)).convert("RGB")
