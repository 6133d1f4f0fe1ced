"""Sounds, meshes and latents that the simulator makes: real files, and the right ones."""

from __future__ import annotations

import json
import struct
import wave
from io import BytesIO
from typing import TYPE_CHECKING

from app.filetypes import kind_of
from app.records import OutputKind
from tests.comfyui.simulator.client import txt2img
from tests.comfyui.simulator.media import a_node, made, upload
from tests.comfyui.simulator.playing import notes, shape

if TYPE_CHECKING:
    from tests.comfyui.simulator.client import Client, Graph


def a_sound(seconds: float = 1.5, saver: str = "SaveAudio") -> Graph:
    graph = txt2img()
    graph["5"] = a_node("EmptyLatentAudio", seconds=seconds, batch_size=2)
    graph["8"] = a_node("VAEDecodeAudio", samples=["3", 0], vae=["4", 2])
    graph["9"] = a_node(saver, audio=["8", 0], **({"filename_prefix": "a/song"} if saver == "SaveAudio" else {}))
    return graph


async def test_sounds_are_flac_files_of_the_length_that_was_asked_for(client: Client) -> None:
    files = await made(client, a_sound())

    assert [name for name, _ in files] == ["song_00001_.flac", "song_00002_.flac"]
    assert {kind_of(name, content[:4096]).kind for name, content in files} == {OutputKind.AUDIO}
    played = [notes(content) for _, content in files]
    assert all(len(samples) == 1.5 * rate_hz for samples, rate_hz in played)
    assert played[0] != played[1]
    assert max(played[0][0]) > 1000


async def test_a_sound_can_be_previewed(client: Client) -> None:
    entry = await client.history(await client.run(a_sound(1.0, "PreviewAudio")))

    assert [item["type"] for item in entry["outputs"]["9"]["audio"]] == ["temp", "temp"]


async def test_an_uploaded_sound_keeps_its_samples(client: Client) -> None:
    samples = [0, 1000, -1000, 32767, -32768]
    out = BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setparams((2, 2, 8000, 0, "NONE", ""))
        writer.writeframes(struct.pack("<10h", *(each for sample in samples for each in (sample, 7))))
    name = await upload(client, out.getvalue(), "in.wav")
    save = a_node("SaveAudio", audio=["1", 0], filename_prefix="a")

    ((_, content),) = await made(client, {"1": a_node("LoadAudio", audio=name), "2": save})

    played, rate_hz = notes(content)
    assert (played.tolist(), rate_hz) == (samples, 8000)


async def test_a_mesh_is_a_glb_file_that_says_its_bounds(client: Client) -> None:
    graph = txt2img()
    graph["5"] = a_node("EmptyLatentHunyuan3Dv2", resolution=3072, batch_size=1)
    graph["8"] = a_node("VAEDecodeHunyuan3D", samples=["3", 0], vae=["4", 2], num_chunks=8000, octree_resolution=256)
    graph["10"] = a_node("VoxelToMesh", voxel=["8", 0], algorithm="surface net", threshold=0.6)
    graph["9"] = a_node("SaveGLB", mesh=["10", 0], filename_prefix="mesh/land")

    ((name, content),) = await made(client, graph)

    assert kind_of(name, content[:4096]).kind is OutputKind.MODEL_3D
    scene, corners, indices = shape(content)
    positions, triangles = scene["accessors"]
    assert (positions["count"], triangles["count"], len(indices) % 3) == (len(corners), len(indices), 0)
    assert max(indices) == len(corners) - 1
    assert [positions["min"], positions["max"]] == [
        [pick(axis) for axis in zip(*corners, strict=True)] for pick in (min, max)
    ]


async def test_a_latent_is_a_safetensors_file_of_the_real_shape(client: Client) -> None:
    graph = txt2img(width=128)
    graph["9"] = a_node("SaveLatent", samples=["3", 0], filename_prefix="l")

    ((name, content),) = await made(client, graph)

    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert kind_of(name, content[:4096]).kind is OutputKind.LATENT
    assert header["latent_tensor"] == {"dtype": "F32", "shape": [1, 4, 8, 16], "data_offsets": [0, 2048]}
    assert len(content) == 8 + length + 2048
