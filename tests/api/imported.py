"""The files of `tests/data` to import, and what is expected of each; read off it by hand.

What is expected of the parameters of exports stands beside the tests of inference.
"""

from __future__ import annotations

import json
from typing import Final

from tests.comfyui.inferring import DATA, GRAPHS, as_written
from tests.comfyui.test_inference import EXPECTED as EXPECTED_OF_EXPORTS
from tests.service import Json

EDITOR: Final = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted((DATA / "editor").glob("*.json"))}


def sampled(node: str) -> str:
    names = {"sampler": "sampler_name"}
    return " ".join(
        f"{name}={node}.{names.get(name, name)}" for name in ("steps", "cfg", "seed", "sampler", "scheduler")
    )


def sized(node: str) -> str:
    return f"width={node}.width height={node}.height batchSize={node}.batch_size"


EXPECTED_OF_FILES: Final = {
    "bypassed_lora": f"prompt=4.text {sized('5')} {sampled('6')} model=1.ckpt_name",
    "converted_widgets": f"prompt=3.value {sized('5')} {sampled('6')} model=1.ckpt_name".replace("6.steps", "4.value"),
    "dynamic_inputs": "image=1.image mask=2.image",
    "flux": f"""prompt=6.text {sized("27")} steps=17.steps guidance=26.guidance seed=25.noise_seed
        sampler=16.sampler_name scheduler=17.scheduler model=12.unet_name vae=10.vae_name clip=11.clip_name1
        clip2=11.clip_name2""",
    "img2img": f"prompt=6.text image=10.image {sampled('3')} denoise=3.denoise model=14.ckpt_name",
    "inpaint": f"prompt=6.text image=10.image {sampled('3')} denoise=3.denoise model=14.ckpt_name",
    "muted": "image=1.image",
    "nested_subgraph": "image=1.image width=20:30:4.width height=20:30:4.height upscaleModel=20:31.model_name",
    "primitive": f"""prompt=2.text {sized("3")} {sampled("4")} steps2=5.steps cfg2=5.cfg sampler2=5.sampler_name
        scheduler2=5.scheduler model=1.ckpt_name""".replace("4.seed", "4.seed,5.noise_seed"),
    "reroute": "image=1.image width=4.width height=4.height",
    "schema_1": f"prompt=6.text negativePrompt=7.text {sized('5')} {sampled('3')} model=4.ckpt_name",
    "sd3": f"""prompt=6.text {sized("135")} {sampled("271")} model=4.ckpt_name clip=11.clip_name1 clip2=11.clip_name2
        clip3=11.clip_name3""",
    "set_get": f"prompt=5.text {sized('6')} {sampled('7')} model=1.ckpt_name",
    "subgraph": """prompt=10:6.text prompt2=12.value negativePrompt=10:7.text,11:7.text
        width=10:5.width,11:5.width height=10:5.height,11:5.height batchSize=10:5.batch_size,11:5.batch_size
        steps=10:3.steps steps2=11:3.steps cfg=10:3.cfg cfg2=11:3.cfg seed=10:3.seed,11:3.seed
        sampler=10:3.sampler_name sampler2=11:3.sampler_name scheduler=10:3.scheduler scheduler2=11:3.scheduler
        model=1.ckpt_name""",
    "txt2img": f"""prompt=6.text negativePrompt=7.text {sized("5")} {sampled("3")} denoise=3.denoise
        model=4.ckpt_name""",
    "upscale": "image=1.image upscaleModel=2.model_name",
}
"""`name=node.input,node.input` of every parameter of what the editor saved."""

UNKNOWN: Final = {
    "ace_step_audio": {"7": "SaveAudioMP3"},
    "flux_ksampler": {"4": "CLIPTextEncodeFlux"},
    "ltxv_txt2video": {
        "5": "EmptyLTXVLatentVideo",
        "6": "LTXVConditioning",
        "7": "LTXVScheduler",
        "9": "SamplerCustom",
    },
    "no_sampler": {"2": "ImageAddNoise"},
    "sd3": {"4": "CLIPTextEncodeSD3", "5": "CLIPTextEncodeSD3"},
    "sdxl_refiner": {
        "6": "CLIPTextEncodeSDXL",
        "7": "CLIPTextEncodeSDXL",
        "15": "CLIPTextEncodeSDXLRefiner",
        "16": "CLIPTextEncodeSDXLRefiner",
    },
    "stable_audio": {"6": "ConditioningStableAudio"},
    "video_to_video": {"4": "ImageSharpen"},
    "wan22_first_last_frame": {"9": "WanFirstLastFrameToVideo"},
}
"""What the simulator cannot run of the exports: the nodes of each whose class it does not have."""

WIDE: Final[Json] = {"width": 96, "height": 64}
CHANGES: Final[dict[str, Json]] = {
    "editor/bypassed_lora": WIDE,
    "editor/converted_widgets": {**WIDE, "steps": 2},
    "editor/flux": WIDE,
    "editor/img2img": {"denoise": 0.5},
    "editor/inpaint": {"denoise": 0.75},
    "editor/muted": {},
    "editor/nested_subgraph": {"width": 48, "height": 32},
    "editor/primitive": {**WIDE, "steps": 2, "steps2": 3},
    "editor/reroute": WIDE,
    "editor/schema_1": {**WIDE, "negativePrompt": "fog"},
    "editor/sd3": WIDE,
    "editor/set_get": WIDE,
    "editor/subgraph": {**WIDE, "prompt2": "the same by moonlight", "cfg2": 3.5, "batchSize": 2},
    "editor/txt2img": {**WIDE, "batchSize": 1, "negativePrompt": "fog"},
    "editor/upscale": {},
    "graphs/sd15_txt2img": {**WIDE, "sampler": "heun"},
    "graphs/img2img": {**WIDE, "denoise": 0.5},
    "graphs/inpaint": {"denoise": 0.5},
    "graphs/hires_fix": {**WIDE, "width2": 192, "height2": 128, "denoise2": 0.25},
    "graphs/lora_chain": {**WIDE, "loraStrength": 0.25, "loraClipStrength2": 0.5},
    "graphs/controlnet": {**WIDE, "controlStrength": 0.5},
    "graphs/flux_custom_advanced": {**WIDE, "guidance": 2.5},
    "graphs/joined_texts": {**WIDE, "prompt2": "a woodcut, "},
    "graphs/shared_primitives": {"size": 64},
    "graphs/named_in_titles": {"height": 64, "sideLength": 96, "subject": "an owl", "noise": 11, "inkStrength": 0.25},
    "graphs/upscale": {"scaleBy": 0.25},
}
"""What a caller sends, besides a prompt, a seed and pictures where there are such parameters."""

SIZES: Final = {
    "editor/img2img": [(64, 64)],
    "editor/inpaint": [(64, 64)],
    "editor/muted": [(64, 64)],
    "editor/nested_subgraph": [(48, 32)],
    "editor/subgraph": [(96, 64)] * 4,
    "editor/upscale": [(256, 256)],
    "graphs/inpaint": [(64, 64)],
    "graphs/hires_fix": [(96, 64), (192, 128)],
    "graphs/shared_primitives": [(64, 64)],
    "graphs/upscale": [(64, 64)],
}
"""Of the saved pictures, in the order of the graph; others are one of 96 x 64."""


def graph_of(case: str) -> Json:
    """The graph that a file stands for."""
    kind, _, name = case.partition("/")
    graph: Json = GRAPHS[name] if kind == "graphs" else EDITOR[name]["expected"]
    return graph


def workflow_of(case: str) -> Json:
    """The file as it is sent."""
    kind, _, name = case.partition("/")
    workflow: Json = GRAPHS[name] if kind == "graphs" else EDITOR[name]["file"]
    return workflow


def expected_of(case: str) -> dict[str, list[str]]:
    kind, _, name = case.partition("/")
    return as_written((EXPECTED_OF_EXPORTS if kind == "graphs" else EXPECTED_OF_FILES)[name])
