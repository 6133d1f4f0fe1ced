"""What the pictures look like, as far as a test can see, and what the nodes do with them."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageChops

from app.comfyui.simulator import pictures
from tests.comfyui.simulator.client import txt2img

if TYPE_CHECKING:
    from app.comfyui.simulator import Simulator
    from tests.comfyui.simulator.client import Client, Graph


async def _drawn(client: Client, graph: Graph) -> list[bytes]:
    """The bytes of all files of a run."""
    items = await client.files(await client.run(graph))
    return [(await client.http.get("/view", params=item)).content for item in items]


def _pixels(content: bytes) -> bytes:
    with Image.open(BytesIO(content)) as picture:
        return picture.convert("RGB").tobytes()


def test_the_same_recipe_gives_the_same_pixels() -> None:
    first, second = (pictures.paint("seed=1", (96, 64), "a lighthouse").tobytes() for _ in range(2))

    assert first == second


@pytest.mark.parametrize("size", [(64, 64), (512, 512)])
def test_pictures_are_lettered_with_where_they_are_from(size: tuple[int, int]) -> None:
    labelled, bare = pictures.paint("seed=1", size), pictures.landscape("seed=1", size)

    difference = ImageChops.difference(labelled, bare).getbbox()

    assert difference is not None
    assert difference[3] < size[1] / 2


def test_the_prompt_is_written_at_the_bottom() -> None:
    lettered, plain = pictures.paint("seed=1", (256, 256), "a lighthouse"), pictures.paint("seed=1", (256, 256))

    difference = ImageChops.difference(lettered, plain).getbbox()

    assert difference is not None
    assert difference[1] > 200


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (16, 2048)])
def test_any_size_can_be_painted(size: tuple[int, int]) -> None:
    assert pictures.paint("seed=1", size, "text").size == size


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 2},
        {"text": "a castle"},
        {"steps": 3},
        {"cfg": 4.0},
        {"width": 72},
        {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"},
    ],
)
async def test_a_picture_depends_on_everything_that_makes_it(client: Client, changed: dict[str, Any]) -> None:
    before = await _drawn(client, txt2img())
    after = await _drawn(client, txt2img(**changed))

    assert _pixels(before[0]) != _pixels(after[0])


async def test_the_same_workflow_gives_the_same_picture_on_another_server(client: Client, comfy: Simulator) -> None:
    before = await _drawn(client, txt2img())
    await client.http.post("/free", json={"free_memory": True})
    await _drawn(client, txt2img(seed=2))
    after = await _drawn(client, txt2img())

    assert before[0] == after[0]


async def test_a_batch_has_different_pictures(client: Client) -> None:
    drawn = await _drawn(client, txt2img(batch_size=3))

    assert len({_pixels(content) for content in drawn}) == 3


async def test_saved_pictures_carry_the_graph_and_the_workflow(client: Client) -> None:
    workflow = {"nodes": [], "id": "w"}
    prompt = await client.run(txt2img(), extra_data={"extra_pnginfo": {"workflow": workflow}})
    item = (await client.files(prompt))[0]

    content = (await client.http.get("/view", params=item)).content

    with Image.open(BytesIO(content)) as picture:
        chunks = picture.info
    assert json.loads(chunks["prompt"]) == txt2img()
    assert json.loads(chunks["workflow"]) == workflow
    assert chunks["Software"] == "ComfyUI simulator"


async def test_previews_are_fitted_into_512_pixels(client: Client) -> None:
    await client.run(txt2img(width=128))
    await client.hears("executing", node=None)

    with Image.open(BytesIO(client.binaries[0][8:])) as picture:
        assert (picture.format, picture.size) == ("JPEG", (512, 256))


def _from_upload(name: str, **nodes: Any) -> Graph:
    graph = txt2img(denoise=0.5)
    graph["1"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    graph["2"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["1", 0], "vae": ["4", 2]}}
    graph["3"]["inputs"]["latent_image"] = ["2", 0]
    return graph | nodes


async def _upload(client: Client, colour: tuple[int, int, int, int] = (200, 10, 10, 255)) -> str:
    content = pictures.encode(Image.new("RGBA", (64, 64), colour), "PNG")
    response = await client.http.post("/upload/image", files={"image": ("up.png", content, "image/png")})
    name: str = response.json()["name"]
    return name


async def test_image_to_image_keeps_something_of_its_source(client: Client) -> None:
    name = await _upload(client)

    painted = await _drawn(client, _from_upload(name))
    free = await _drawn(client, txt2img(denoise=0.5))

    assert _pixels(painted[0]) != _pixels(free[0])
    assert _mean(painted[0])[0] > _mean(free[0])[0]


def _mean(content: bytes) -> tuple[int, int, int]:
    with Image.open(BytesIO(content)) as picture:
        red, green, blue = picture.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
    return int(red), int(green), int(blue)


async def test_inpainting_leaves_what_the_mask_spares(client: Client) -> None:
    name = await _upload(client)
    spared = {"class_type": "SetLatentNoiseMask", "inputs": {"samples": ["2", 0], "mask": ["1", 1]}}
    graph = _from_upload(name, **{"10": spared})
    graph["3"]["inputs"]["latent_image"] = ["10", 0]

    painted = await _drawn(client, graph)

    assert set(_pixels(painted[0])) == {200, 10}


async def test_upscaling_by_a_model_makes_a_picture_four_times_as_large(client: Client) -> None:
    graph = txt2img()
    graph["10"] = {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "4x_simulated.pth"}}
    graph["11"] = {"class_type": "ImageUpscaleWithModel", "inputs": {"upscale_model": ["10", 0], "image": ["8", 0]}}
    graph["9"]["inputs"]["images"] = ["11", 0]

    drawn = await _drawn(client, graph)

    with Image.open(BytesIO(drawn[0])) as picture:
        assert picture.size == (256, 256)


async def test_a_flux_workflow_of_single_parts_draws(client: Client) -> None:
    names = {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp8_e4m3fn.safetensors", "type": "flux"}
    schedule = {"model": ["1", 0], "scheduler": "simple", "steps": 2, "denoise": 1.0}
    parts = {"noise": ["7", 0], "guider": ["5", 0], "sampler": ["8", 0], "sigmas": ["6", 0], "latent_image": ["9", 0]}
    graph = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}},
        "2": {"class_type": "DualCLIPLoader", "inputs": names},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["2", 0], "text": "a lighthouse"}},
        "4": {"class_type": "FluxGuidance", "inputs": {"conditioning": ["3", 0], "guidance": 3.5}},
        "5": {"class_type": "BasicGuider", "inputs": {"model": ["1", 0], "conditioning": ["4", 0]}},
        "6": {"class_type": "BasicScheduler", "inputs": schedule},
        "7": {"class_type": "RandomNoise", "inputs": {"noise_seed": 5}},
        "8": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "9": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "10": {"class_type": "SamplerCustomAdvanced", "inputs": parts},
        "11": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "12": {"class_type": "VAEDecode", "inputs": {"samples": ["10", 0], "vae": ["11", 0]}},
        "13": {"class_type": "SaveImage", "inputs": {"images": ["12", 0], "filename_prefix": "flux/one"}},
    }

    items = await client.files(await client.run(graph))

    assert items == [{"filename": "one_00001_.png", "subfolder": "flux", "type": "output"}]


async def test_a_prefix_that_leaves_the_output_folder_fails_the_prompt(client: Client) -> None:
    graph = txt2img()
    graph["9"]["inputs"]["filename_prefix"] = "../outside"

    entry = await client.history(await client.run(graph))

    assert entry["status"]["status_str"] == "error"
