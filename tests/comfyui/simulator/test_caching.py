"""Which results are reused, and what of them is told (recording 03 has the frames)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from app.comfyui.simulator.pictures import encode
from tests.comfyui.simulator.client import saving, trivial

if TYPE_CHECKING:
    from tests.comfyui.simulator.client import Client


async def _cached(client: Client, prompt_id: str) -> list[str]:
    messages = dict((await client.history(prompt_id))["status"]["messages"])
    nodes: list[str] = messages["execution_cached"]["nodes"]
    return nodes


async def test_a_cached_prompt_names_the_old_file(client: Client) -> None:
    first = await client.files(await client.run(saving()))
    second = await client.run(saving())

    assert await client.files(second) == first
    assert await _cached(client, second) == ["1", "2"]


async def test_only_the_previous_prompt_is_remembered(client: Client) -> None:
    await client.run(trivial(1))
    await client.run(trivial(2))
    again = await client.run(trivial(1))

    assert await _cached(client, again) == []


async def test_the_key_is_the_content_and_not_the_id(client: Client) -> None:
    await client.run(trivial(1))
    renamed = {f"n{name}": node for name, node in trivial(1).items()}
    renamed["n2"]["inputs"]["source"] = ["n1", 0]

    again = await client.run(renamed)

    assert await _cached(client, again) == ["n1", "n2"]


async def test_a_file_with_other_content_is_loaded_anew(client: Client) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "up.png"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    for colour in (1, 2):
        content = encode(Image.new("RGB", (8, 8), (colour, 0, 0)), "PNG")
        await client.http.post("/upload/image", files={"image": ("up.png", content)}, data={"overwrite": "true"})
        prompt = await client.run(graph)

    assert await _cached(client, prompt) == []


async def test_freeing_memory_forgets_results(client: Client) -> None:
    await client.run(trivial())
    await client.http.post("/free", json={"free_memory": True})

    again = await client.run(trivial())

    assert await _cached(client, again) == []
