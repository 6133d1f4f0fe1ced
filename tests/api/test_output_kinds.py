"""Whatever a workflow makes arrives whole and is called what it is, wherever files are kept."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from app.comfyui.simulator import Simulator
from tests import files
from tests.buckets import Bucket
from tests.conftest import Serve
from tests.service import Json, Service

EMPTY = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 4, "color": 0x336699}}
VIDEO = {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8.0}}
SAVES_VIDEO = {"video": ["2", 0], "filename_prefix": "film/take", "format": "mp4", "codec": "h264"}
CHECKPOINT = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"}}
SAMPLING: Json = {
    "model": ["1", 0],
    "positive": ["2", 0],
    "negative": ["2", 0],
    "latent_image": ["3", 0],
    "seed": 7,
    "steps": 1,
    "cfg": 1.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 1.0,
}
FRAMES: Json = {
    "1": CHECKPOINT,
    "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a wave"}},
    "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 4}},
    "4": {"class_type": "KSampler", "inputs": SAMPLING},
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
}
SAVES_ANIMATION: Json = {
    "images": ["5", 0],
    "filename_prefix": "moving/x",
    "fps": 4.0,
    "lossless": True,
    "quality": 80,
    "method": "default",
}
PREVIEW = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}

GRAPHS: dict[str, Json] = {
    "video": {"1": EMPTY, "2": VIDEO, "3": {"class_type": "SaveVideo", "inputs": SAVES_VIDEO}},
    "animation": {**FRAMES, "6": {"class_type": "SaveAnimatedWEBP", "inputs": SAVES_ANIMATION}},
    "audio": {
        "1": CHECKPOINT,
        "2": {"class_type": "EmptyLatentAudio", "inputs": {"seconds": 1.5, "batch_size": 1}},
        "3": {"class_type": "VAEDecodeAudio", "inputs": {"samples": ["2", 0], "vae": ["1", 2]}},
        "4": {"class_type": "SaveAudio", "inputs": {"audio": ["3", 0], "filename_prefix": "sound/x"}},
    },
    "3d": {
        "1": CHECKPOINT,
        "2": {"class_type": "EmptyLatentHunyuan3Dv2", "inputs": {"resolution": 256, "batch_size": 1}},
        "3": {
            "class_type": "VAEDecodeHunyuan3D",
            "inputs": {"samples": ["2", 0], "vae": ["1", 2], "num_chunks": 8000, "octree_resolution": 16},
        },
        "4": {"class_type": "VoxelToMeshBasic", "inputs": {"voxel": ["3", 0], "threshold": 0.6}},
        "5": {"class_type": "SaveGLB", "inputs": {"mesh": ["4", 0], "filename_prefix": "mesh/x"}},
    },
    "latent": {
        "1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "2": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0], "filename_prefix": "latents/x"}},
    },
}

EXPECTED: dict[str, Json] = {
    "video": {"kind": "video", "mimeType": "video/mp4", "width": 64, "height": 48, "durationSeconds": 0.5},
    "animation": {"kind": "image", "mimeType": "image/webp", "width": 64, "frames": 4, "durationSeconds": 1.0},
    "audio": {"kind": "audio", "mimeType": "audio/flac", "width": None, "durationSeconds": 1.5},
    "3d": {"kind": "3d", "mimeType": "model/gltf-binary", "width": None},
    "latent": {"kind": "latent", "width": None, "durationSeconds": None},
}


SUBFOLDERS = {"video": "film", "animation": "moving", "audio": "sound", "3d": "mesh", "latent": "latents"}


def saving(*prefixes: str) -> Json:
    """A graph that saves one picture in several places."""
    graph: Json = {"0": {**EMPTY, "inputs": {**EMPTY["inputs"], "batch_size": 1}}}  # type: ignore[dict-item]
    for number, prefix in enumerate(prefixes, start=1):
        inputs = {"images": ["0", 0], "filename_prefix": prefix}
        graph[str(number)] = {"class_type": "SaveImage", "inputs": inputs}
    return graph


async def made(api: Service, graph: Json, **request: Any) -> Json:
    record = await api.finished((await api.generate(workflow=graph, **request))["id"])
    assert record["status"] == "succeeded", record["error"]
    return record


@pytest.fixture(params=["local", "bucket", "comfyui"])
async def everywhere(request: pytest.FixtureRequest, serve: Serve, comfy: Simulator, bucket: Bucket) -> Service:
    """A service that keeps files in a folder, in a bucket, or not at all."""
    urls = {"local": None, "bucket": bucket.url, "comfyui": "comfyui:"}
    chosen: dict[str, Any] = {"storage_url": urls[request.param]}
    if request.param == "bucket":
        chosen |= {"storage_key_id": "test", "storage_secret": "test"}
    return await serve(comfyui_urls={"gpu-0": comfy.url}, **chosen)


@pytest.mark.parametrize("kind", GRAPHS)
async def test_a_file_of_any_kind_arrives_whole_and_is_called_what_it_is(
    everywhere: Service, comfy: Simulator, kind: str
) -> None:
    record = await made(everywhere, GRAPHS[kind])

    [output] = record["outputs"]
    assert {name: output[name] for name in EXPECTED[kind]} == EXPECTED[kind]
    answer = await everywhere.http.get(output["url"])
    assert answer.content == comfy.output_bytes(output["filename"], SUBFOLDERS[kind])
    assert len(answer.content) == output["sizeBytes"]
    assert answer.headers["content-type"] == output["mimeType"]
    assert bool(record["images"]) is (output["kind"] == "image")


async def test_three_outputs_in_subfolders_keep_their_names_and_their_order(everywhere: Service) -> None:
    record = await made(everywhere, saving("a/b/first", "a/second", "third"))

    assert [image["filename"] for image in record["images"]] == [
        *("first_00001_.png", "second_00001_.png", "third_00001_.png")
    ]
    assert [image["nodeId"] for image in record["images"]] == ["1", "2", "3"]
    seen = [files.pixels(await everywhere.bytes_of(url)) for url in record["imageUrls"]]
    assert len(set(seen)) == 1


async def test_an_uploaded_picture_comes_out_as_it_went_in(everywhere: Service) -> None:
    sent = files.png(40, 30)
    upload = (await everywhere.http.post("/api/uploads", files={"file": sent})).json()
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }

    record = await made(everywhere, graph, references=[upload["id"]])

    assert files.pixels(await everywhere.bytes_of(record["imageUrls"][0])) == files.pixels(sent)
    assert await everywhere.bytes_of(upload["url"]) == sent


async def test_every_place_gives_parts_thumbnails_and_nothing_after_removal(everywhere: Service) -> None:
    record = await made(everywhere, saving("x"))
    [image] = record["images"]

    whole = await everywhere.http.get(image["url"])
    part = await everywhere.http.get(image["url"], headers={"Range": "bytes=8-15"})
    thumbnail = await everywhere.http.get(image["thumbnailUrl"])
    removed = await everywhere.http.delete(record["urls"]["self"])
    after = await everywhere.http.get(image["url"])

    assert (part.status_code, part.content) == (206, whole.content[8:16])
    assert Image.open(io.BytesIO(thumbnail.content)).format == "WEBP"
    assert (removed.status_code, after.status_code) == (204, 404)


async def test_texts_and_files_stand_beside_each_other(api: Service) -> None:
    graph = saving("x") | {"9": {"class_type": "PreviewAny", "inputs": {"source": "Grüße"}}}

    record = await made(api, graph)

    assert sorted(output["kind"] for output in record["outputs"]) == ["image", "text"]
    [text] = [output for output in record["outputs"] if output["kind"] == "text"]
    assert (text["text"], (await api.http.get(text["url"])).text) == ("Grüße", "Grüße")


@pytest.mark.parametrize(
    ("graph", "asked", "count"),
    [
        ({**saving("x"), "9": {**PREVIEW, "inputs": {"images": ["0", 0]}}}, {}, 1),
        ({**saving("x"), "9": {**PREVIEW, "inputs": {"images": ["0", 0]}}}, {"keepTemporary": True}, 2),
        ({"1": EMPTY, "2": PREVIEW}, {}, 4),
    ],
)
async def test_temporary_files_are_kept_when_asked_for_or_when_there_is_nothing_else(
    api: Service, graph: Json, asked: Json, count: int
) -> None:
    record = await made(api, graph, **asked)

    assert len(record["images"]) == count
    for url in record["imageUrls"]:
        assert (await api.bytes_of(url)).startswith(b"\x89PNG")


@pytest.mark.parametrize("keeps", [True, False])
async def test_the_workflow_inside_a_picture_stays_unless_it_shall_not(
    serve: Serve, comfy: Simulator, keeps: bool
) -> None:
    api = await serve(comfyui_urls={"gpu-0": comfy.url}, keep_metadata=keeps)

    record = await made(api, saving("x"))

    kept = await api.bytes_of(record["imageUrls"][0])
    original = comfy.output_bytes(record["images"][0]["filename"], "")
    assert ("prompt" in Image.open(io.BytesIO(kept)).info) is keeps
    assert files.pixels(kept) == files.pixels(original)
    assert (kept == original) is keeps
