"""The templates that ship, run on the simulator: what is sent, heard and made."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageDraw

from app.comfyui import ComfyClient, Executing, Listener, Preview, Progress, connect
from app.comfyui.history import Outcome
from app.comfyui.simulator import Simulator, SimulatorOptions
from app.comfyui.templates import load_builtin, render
from app.comfyui.workflow import plan
from tests.comfyui.simulator.media import opened, png
from tests.comfyui.simulator.playing import film
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.comfyui import Message
    from app.comfyui.history import HistoryEntry

BUILTIN = load_builtin()
PICTURE_TEMPLATES = [name for name in BUILTIN if not name.endswith("2video")]
SAMPLING_TEMPLATES = [name for name in BUILTIN if name != "upscale"]
SMALL: dict[str, Any] = {"prompt": "a lighthouse", "width": 64, "height": 48, "steps": 3, "length": 9}
HALF_AND_HALF = Image.new("RGB", (64, 48), (200, 10, 10))
HALF_AND_HALF.paste((10, 10, 200), (32, 0, 64, 48))
RIGHT_HALF = Image.new("RGB", (64, 48))
ImageDraw.Draw(RIGHT_HALF).rectangle((32, 0, 63, 47), fill="white")


@dataclass
class Ran:
    """A finished prompt: what was heard of it, its history and its files."""

    heard: list[Message]
    entry: HistoryEntry
    files: list[bytes]

    @property
    def pictures(self) -> list[Image.Image]:
        return [opened(content) for content in self.files]

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]


class Bench:
    """One simulated server with a client and a listener."""

    def __init__(self, client: ComfyClient, listener: Listener, heard: list[Message]) -> None:
        self.client, self.listener, self.heard = client, listener, heard

    async def run(self, name: str, **given: Any) -> Ran:
        """Upload the pictures a template wants, render it small, and wait until its history is there."""
        template = BUILTIN[name]
        params = {each: value for each, value in (SMALL | given).items() if each in template.parameters}
        for each, picture in (("image", HALF_AND_HALF), ("mask", RIGHT_HALF)):
            if each in template.parameters:
                stored = await self.client.upload(png(given.get(each, picture)), f"{each}.png")
                params[each] = stored.filename
        rendered = render(template, params, seed=given.get("seed", 7), output_prefix="relay/x/image")
        self.heard.clear()
        accepted = await self.client.submit(
            rendered.workflow.to_api(), prompt_id=str(uuid.uuid4()), client_id=self.listener.client_id
        )
        assert accepted.node_errors == {}
        entry = await self._history(accepted.prompt_id)
        return Ran(list(self.heard), entry, [await self._content(file) for file in entry.files])

    async def _history(self, prompt_id: str) -> HistoryEntry:
        await until(lambda: Executing(prompt_id, None) in self.heard)
        entry = await self.client.history(prompt_id)
        assert entry is not None
        assert entry.outcome is Outcome.SUCCESS, entry.error
        return entry

    async def _content(self, file: Any) -> bytes:
        async with self.client.view(file) as download:
            return b"".join([chunk async for chunk in download.chunks])


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    heard: list[Message] = []
    async with (
        Simulator(SimulatorOptions(step_s=0.001)) as comfy,
        connect("gpu-1", comfy.url) as client,
        asyncio.TaskGroup() as tasks,
    ):
        listener = Listener("gpu-1", comfy.url, heard.append, on_connected=lambda _: None, on_gap=lambda _: None)
        listening = tasks.create_task(listener.run())
        await until(lambda: listener.is_proven)
        yield Bench(client, listener, heard)
        listening.cancel()


@pytest.mark.parametrize("name", PICTURE_TEMPLATES)
async def test_a_template_for_pictures_gives_one_where_it_was_told_to(bench: Bench, name: str) -> None:
    ran = await bench.run(name)

    assert [(file.subfolder, file.type, file.key) for file in ran.entry.files] == [("relay/x", "output", "images")]
    assert ran.entry.files[0].filename.startswith("image_")
    assert ran.pictures[0].size == ((256, 192) if name == "upscale" else (64, 48))


@pytest.mark.parametrize("name", ["txt2video", "img2video"])
async def test_a_template_for_videos_gives_one_that_plays(bench: Bench, name: str) -> None:
    ran = await bench.run(name, fps=24)

    ((file, content),) = zip(ran.entry.files, ran.files, strict=True)
    played = film(content)
    assert (file.filename.rpartition(".")[2], file.is_animated) == ("mp4", True)
    assert (len(played.frames), played.fps, played.frames[0].size) == (9, 24, (64, 48))


@pytest.mark.parametrize("name", SAMPLING_TEMPLATES)
async def test_the_steps_that_were_foretold_are_heard_with_previews(bench: Bench, name: str) -> None:
    ran = await bench.run(name)

    params = {each: SMALL[each] for each in SMALL if each in BUILTIN[name].parameters}
    media = {each: "x.png" for each in ("image", "mask") if each in BUILTIN[name].parameters}
    foretold = plan(render(BUILTIN[name], params | media, seed=7).workflow)
    assert [step.value for step in ran.of(Progress)] == [1, 2, 3]
    assert {step.maximum for step in ran.of(Progress)} == {foretold.total_steps}
    assert len(ran.of(Preview)) == 3


@pytest.mark.parametrize("name", SAMPLING_TEMPLATES)
async def test_what_is_made_depends_on_the_seed_and_the_prompt_and_on_nothing_else(bench: Bench, name: str) -> None:
    first = await bench.run(name)
    other_seed = await bench.run(name, seed=8)
    other_prompt = await bench.run(name, prompt="a castle")
    again = await bench.run(name)

    made = [_pixels(name, ran.files[0]) for ran in (first, other_seed, other_prompt, again)]
    assert made[0] == made[3]
    assert len(set(made)) == 3


def _pixels(name: str, content: bytes) -> bytes:
    """Saved pictures carry the graph, and with it the names of uploads."""
    return content if name.endswith("2video") else opened(content).tobytes()


@pytest.mark.parametrize("name", [name for name in SAMPLING_TEMPLATES if "batchSize" in BUILTIN[name].parameters])
async def test_a_batch_gives_as_many_different_pictures(bench: Bench, name: str) -> None:
    ran = await bench.run(name, batchSize=3)

    assert len({picture.tobytes() for picture in ran.pictures}) == 3


async def test_inpainting_keeps_every_pixel_outside_of_the_mask(bench: Bench) -> None:
    (picture,) = (await bench.run("inpaint", growMask=0)).pictures

    left, right = (0, 0, 32, 48), (32, 0, 64, 48)
    assert picture.crop(left).tobytes() == HALF_AND_HALF.crop(left).tobytes()
    assert picture.crop(right).tobytes() != HALF_AND_HALF.crop(right).tobytes()


async def test_a_grown_mask_reaches_further(bench: Bench) -> None:
    (narrow,) = (await bench.run("inpaint", growMask=0)).pictures
    (wide,) = (await bench.run("inpaint", growMask=8)).pictures

    kept, taken = (0, 0, 24, 48), (24, 0, 32, 48)
    assert wide.crop(kept).tobytes() == narrow.crop(kept).tobytes()
    assert wide.crop(taken).tobytes() != narrow.crop(taken).tobytes()


@pytest.mark.parametrize("name", ["img2img", "inpaint"])
@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"width": 0, "height": 0}, (64, 48)),
        ({"width": 128, "height": 0}, (128, 96)),
        ({"width": 0, "height": 24}, (32, 24)),
        ({"width": 40, "height": 40}, (40, 40)),
    ],
)
async def test_a_side_that_is_not_given_follows_from_the_picture(
    bench: Bench, name: str, given: dict[str, int], size: tuple[int, int]
) -> None:
    ran = await bench.run(name, **given)

    assert ran.pictures[0].size == size


async def test_little_denoising_keeps_more_of_the_picture(bench: Bench) -> None:
    ((little,), (much,)) = [(await bench.run("img2img", denoise=part)).pictures for part in (0.1, 1.0)]

    assert _distance(little, HALF_AND_HALF) < _distance(much, HALF_AND_HALF)


def _distance(one: Image.Image, other: Image.Image) -> int:
    return sum(abs(a - b) for a, b in zip(one.tobytes(), other.tobytes(), strict=True))


async def test_a_video_of_a_picture_begins_with_that_picture(bench: Bench) -> None:
    ran = await bench.run("img2video")

    first = film(ran.files[0]).frames[0]
    assert _distance(first, HALF_AND_HALF) < 3 * 64 * 48 * 3


async def test_upscaling_keeps_what_the_picture_shows(bench: Bench) -> None:
    (enlarged,) = (await bench.run("upscale")).pictures

    assert (enlarged.getpixel((20, 90)), enlarged.getpixel((230, 90))) == ((200, 10, 10), (10, 10, 200))
