"""Videos that the simulator makes, played by an independent reader, and those that come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageChops, ImageStat

from app.comfyui.simulator import motion, pictures
from app.comfyui.simulator.mp4 import movie
from app.filetypes import kind_of
from tests.comfyui.simulator.client import txt2img
from tests.comfyui.simulator.media import RED_AND_BLUE, a_node, made, png, upload
from tests.comfyui.simulator.playing import film

if TYPE_CHECKING:
    from tests.comfyui.simulator.client import Client, Graph


def moving(size: tuple[int, int], count: int) -> list[Image.Image]:
    return motion.frames_of("recipe", pictures.paint("recipe", size), count)


@pytest.mark.parametrize(("size", "count"), [((64, 48), 1), ((70, 50), 40), ((16, 16), 2), ((33, 19), 3)])
def test_a_video_shows_the_frames_it_was_made_of(size: tuple[int, int], count: int) -> None:
    frames = moving(size, count)

    played = film(movie(frames, 12.5))

    assert played.fps == 12.5
    assert len(played.frames) == count
    for frame, shown in zip(frames, played.frames, strict=True):
        assert shown.size == (size[0] // 2 * 2, size[1] // 2 * 2)
        before, after = (each.convert("L") for each in (frame.crop((0, 0, *shown.size)), shown))
        assert max(ImageStat.Stat(ImageChops.difference(before, after)).mean) < 2


def test_a_video_of_black_and_white_survives_the_bytes_that_must_not_occur_in_it() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("black", "white", "black", "black")]

    played = film(movie(frames, 8))

    grey = [frame.convert("L").getextrema() for frame in played.frames]
    assert grey == [(0, 0), (255, 255), (0, 0), (0, 0)]


def test_what_does_not_move_costs_next_to_nothing() -> None:
    still = pictures.paint("recipe", (128, 128))

    one, many = (len(movie([still] * count, 8)) for count in (1, 50))

    assert many - one < 50 * 40


def test_a_picture_too_small_for_a_video_is_named() -> None:
    with pytest.raises(ValueError, match="1 x 8 pixels is too small"):
        movie([Image.new("RGB", (1, 8))], 8)


def a_video(**latent: Any) -> Graph:
    """Wan's graph, of a text or, with an input `start_image`, of a picture."""
    graph = txt2img()
    class_type = "WanImageToVideo" if "start_image" in latent else "EmptyHunyuanLatentVideo"
    inputs = {"width": 64, "height": 48, "length": 9, "batch_size": 1} | latent
    if "start_image" in latent:
        inputs |= {"positive": ["6", 0], "negative": ["7", 0], "vae": ["4", 2]}
        graph["3"]["inputs"] |= {"positive": ["5", 0], "negative": ["5", 1], "latent_image": ["5", 2]}
    graph["5"] = a_node(class_type, **inputs)
    graph["9"] = a_node("CreateVideo", images=["8", 0], fps=16.0)
    graph["10"] = a_node("SaveVideo", video=["9", 0], filename_prefix="v/clip", format="auto", codec="auto")
    return graph


async def test_a_video_of_a_text_has_the_length_and_pace_that_were_asked_for(client: Client) -> None:
    graph = a_video(length=11)

    ((name, content),) = await made(client, graph)

    assert name == "clip_00001_.mp4"
    assert kind_of(name, content[:4096]).mime_type == "video/mp4"
    played = film(content)
    assert (len(played.frames), played.fps, played.frames[0].size) == (9, 16.0, (64, 48))
    assert played.frames[0].tobytes() != played.frames[-1].tobytes()


async def test_a_video_depends_on_its_seed_alone(client: Client) -> None:
    first = await made(client, a_video())
    other_graph = a_video()
    other_graph["3"]["inputs"]["seed"] = 2
    other = await made(client, other_graph)
    await client.http.post("/free", json={"free_memory": True})
    again = await made(client, a_video())

    assert first[0][1] == again[0][1] != other[0][1]


async def test_a_video_of_a_picture_begins_with_it(client: Client) -> None:
    name = await upload(client, png(RED_AND_BLUE), "start.png")
    graph = a_video(start_image=["1", 0], clip_vision_output=["12", 0])
    graph["1"] = a_node("LoadImage", image=name)
    graph["11"] = a_node("CLIPVisionLoader", clip_name="clip_vision_h.safetensors")
    graph["12"] = a_node("CLIPVisionEncode", clip_vision=["11", 0], image=["1", 0], crop="none")

    ((_, content),) = await made(client, graph)

    first = film(content).frames[0]
    for x, colour in ((4, (200, 10, 10)), (60, (10, 10, 200))):
        shown = first.getpixel((x, 24))
        assert isinstance(shown, tuple)
        assert all(abs(a - b) <= 3 for a, b in zip(shown, colour, strict=True))


async def test_an_uploaded_video_is_passed_on_as_it_is(client: Client) -> None:
    content = movie(moving((32, 32), 2), 8)
    name = await upload(client, content, "in.mp4")
    save = a_node("SaveVideo", video=["1", 0], filename_prefix="v", format="auto", codec="auto")

    ((_, saved),) = await made(client, {"1": a_node("LoadVideo", file=name), "2": save})

    assert saved == content


async def test_frames_of_an_uploaded_video_are_refused_in_plain_words(client: Client) -> None:
    name = await upload(client, movie(moving((32, 32), 2), 8), "in.mp4")
    nodes = {"1": a_node("LoadVideo", file=name), "2": a_node("GetVideoComponents", video=["1", 0])}
    save = {"3": a_node("SaveImage", images=["2", 0], filename_prefix="f")}

    entry = await client.history(await client.run(nodes | save))

    assert entry["status"]["messages"][-1][1]["exception_message"].startswith("The simulator cannot decode videos.")


async def test_a_made_video_comes_apart_into_its_frames(client: Client) -> None:
    graph = a_video(length=5)
    graph["10"] = a_node("GetVideoComponents", video=["9", 0])
    graph["11"] = a_node("SaveImage", images=["10", 0], filename_prefix="f")

    assert len(await made(client, graph)) == 5
