"""Files that come in: pictures and their pixels, masks, and what is done with them."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageDraw

from tests.comfyui.simulator.client import txt2img
from tests.comfyui.simulator.media import RED_AND_BLUE, a_node, made, opened, png, upload

if TYPE_CHECKING:
    from tests.comfyui.simulator.client import Client, Graph


def passed_through(name: str, **nodes: Any) -> Graph:
    """LoadImage to SaveImage; nodes given in between replace what is saved as node 9 says."""
    saved = a_node("SaveImage", images=["1", 0], filename_prefix="p")
    return {"1": a_node("LoadImage", image=name), "9": saved, **nodes}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1"])
async def test_a_picture_that_is_loaded_and_saved_keeps_its_pixels(client: Client, mode: str) -> None:
    picture = RED_AND_BLUE.convert(mode)
    name = await upload(client, png(picture), f"{mode}.png")

    ((_, content),) = await made(client, passed_through(name))

    assert opened(content).tobytes() == picture.convert("RGB").tobytes()


async def test_transparent_parts_keep_their_colour_and_are_the_mask(client: Client) -> None:
    picture = RED_AND_BLUE.convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    name = await upload(client, png(picture), "soft.png")
    mask = {"2": a_node("MaskToImage", mask=["1", 1]), "3": a_node("SaveImage", images=["2", 0], filename_prefix="m")}

    files = await made(client, passed_through(name, **mask))

    saved = {filename[0]: opened(content) for filename, content in files}
    assert saved["p"].tobytes() == RED_AND_BLUE.tobytes()
    assert saved["m"].getchannel("R").tobytes() == picture.getchannel("A").point(lambda alpha: 255 - alpha).tobytes()


async def test_a_picture_of_16_bits_is_shown_in_8(client: Client) -> None:
    deep = Image.new("I;16", (4, 4), 40_000)
    name = await upload(client, png(deep), "deep.png")

    ((_, content),) = await made(client, passed_through(name))

    assert set(opened(content).tobytes()) == {156}


async def test_a_picture_is_turned_as_the_camera_was_held(client: Client) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    name = await upload(client, png(RED_AND_BLUE, exif=exif), "turned.png")

    ((_, content),) = await made(client, passed_through(name))

    assert opened(content).tobytes() == RED_AND_BLUE.transpose(Image.Transpose.ROTATE_270).tobytes()


async def test_all_frames_of_an_animation_are_loaded(client: Client) -> None:
    out = BytesIO()
    others = [Image.new("RGB", (48, 32), (level, 0, 0)) for level in (50, 90)]
    RED_AND_BLUE.save(out, "PNG", save_all=True, append_images=others)
    name = await upload(client, out.getvalue(), "moving.png")

    files = await made(client, passed_through(name))

    assert [opened(content).getpixel((0, 0)) for _, content in files] == [(200, 10, 10), (50, 0, 0), (90, 0, 0)]


async def test_a_mask_is_made_of_a_channel_grown_and_turned_round(client: Client) -> None:
    picture = Image.new("RGB", (9, 9))
    picture.putpixel((4, 4), (0, 255, 0))
    name = await upload(client, png(picture), "dot.png")
    nodes = {
        "2": a_node("ImageToMask", image=["1", 0], channel="green"),
        "3": a_node("GrowMask", mask=["2", 0], expand=2, tapered_corners=True),
        "4": a_node("GrowMask", mask=["3", 0], expand=-1, tapered_corners=True),
        "5": a_node("InvertMask", mask=["4", 0]),
        "6": a_node("MaskToImage", mask=["5", 0]),
        "9": a_node("SaveImage", images=["6", 0], filename_prefix="p"),
    }

    ((_, content),) = await made(client, passed_through(name, **nodes))

    expected = Image.new("RGB", (9, 9), "white")
    ImageDraw.Draw(expected).rectangle((3, 3, 5, 5), fill="black")
    assert opened(content).tobytes() == expected.tobytes()


async def test_a_picture_is_laid_over_each_of_a_batch_where_the_mask_is_white(client: Client) -> None:
    name = await upload(client, png(RED_AND_BLUE), "two.png")
    half = Image.new("L", (48, 32))
    half.paste(255, (0, 0, 24, 32))
    mask = await upload(client, png(half), "half.png")
    nodes = {
        "2": a_node("RepeatImageBatch", image=["1", 0], amount=2),
        "3": a_node("EmptyImage", width=24, height=16, batch_size=1, color=0x00FF00),
        "4": a_node("LoadImageMask", image=mask, channel="red"),
        "5": a_node(
            "ImageCompositeMasked", destination=["2", 0], source=["3", 0], mask=["4", 0], x=0, y=0, resize_source=True
        ),
        "9": a_node("SaveImage", images=["5", 0], filename_prefix="p"),
    }

    files = await made(client, passed_through(name, **nodes))

    assert len(files) == 2
    for _, content in files:
        assert (opened(content).getpixel((0, 0)), opened(content).getpixel((47, 0))) == ((0, 255, 0), (10, 10, 200))


async def test_a_control_net_draws_the_outlines_of_its_picture(client: Client) -> None:
    hint = Image.new("RGB", (64, 64))
    ImageDraw.Draw(hint).rectangle((16, 16, 47, 47), fill="white")
    name = await upload(client, png(hint), "hint.png")
    control = {
        "1": a_node("LoadImage", image=name),
        "2": a_node("ControlNetLoader", control_net_name="control_canny.safetensors"),
        "10": a_node(
            "ControlNetApplyAdvanced",
            positive=["6", 0],
            negative=["7", 0],
            control_net=["2", 0],
            image=["1", 0],
            strength=1.0,
            start_percent=0.0,
            end_percent=1.0,
        ),
    }
    graph = txt2img() | control
    graph["3"]["inputs"] |= {"positive": ["10", 0], "negative": ["10", 1]}

    ((_, content),) = await made(client, graph)

    assert opened(content).getpixel((16, 30)) == (255, 255, 255)
    assert opened(content).getpixel((30, 30)) != (255, 255, 255)


async def test_a_repeated_latent_gives_as_many_different_pictures(client: Client) -> None:
    name = await upload(client, png(RED_AND_BLUE), "start.png")
    graph = txt2img(denoise=0.5) | {
        "1": a_node("LoadImage", image=name),
        "2": a_node("VAEEncode", pixels=["1", 0], vae=["4", 2]),
        "10": a_node("RepeatLatentBatch", samples=["2", 0], amount=3),
    }
    graph["3"]["inputs"]["latent_image"] = ["10", 0]

    files = await made(client, graph)

    assert len({content for _, content in files}) == 3
    assert all(opened(content).size == RED_AND_BLUE.size for _, content in files)


@pytest.mark.parametrize(
    ("class_type", "name", "kind"),
    [("LoadImage", "image", "image"), ("LoadVideo", "file", "video"), ("LoadAudio", "audio", "audio")],
)
async def test_a_file_that_is_not_there_is_named_when_the_prompt_is_posted(
    client: Client, class_type: str, name: str, kind: str
) -> None:
    shown = {"2": a_node("PreviewAny", source=["1", 0])}

    response = await client.http.post("/prompt", json={"prompt": {"1": a_node(class_type, **{name: "none.x"})} | shown})

    error = response.json()["node_errors"]["1"]["errors"][0]
    assert (error["type"], error["details"]) == ("custom_validation_failed", f"{name} - Invalid {kind} file: none.x")


@pytest.mark.parametrize(
    ("class_type", "name"), [("LoadImage", "image"), ("LoadVideo", "file"), ("LoadAudio", "audio")]
)
async def test_nodes_that_load_files_list_what_was_uploaded(client: Client, class_type: str, name: str) -> None:
    await upload(client, b"whatever", "mine.bin")

    definition = (await client.http.get(f"/object_info/{class_type}")).json()[class_type]

    spec = definition["input"]["required"][name]
    assert (spec[1]["options"] if spec[0] == "COMBO" else spec[0]) == ["mine.bin"]
