"""Parameters inferred from whole graphs; what is expected of each was read off it by hand."""

from __future__ import annotations

from typing import Final

import pytest
from jsonschema import Draft202012Validator

from app.comfyui.definitions import Definitions
from app.comfyui.graph import as_link
from app.comfyui.inference import infer
from app.comfyui.templates import load_builtin, render
from app.comfyui.workflow import parse
from tests.comfyui.inferring import GRAPHS, KNOWN, RAW, SEED, as_written, bindings, changed, inferred, template_of

SAMPLED: Final = "steps=3.steps cfg=3.cfg seed=3.seed sampler=3.sampler_name scheduler=3.scheduler"
SIZED: Final = "width=5.width height=5.height"

EXPECTED: Final = {
    "sd15_txt2img": f"prompt=6.text negativePrompt=7.text {SIZED} {SAMPLED} model=4.ckpt_name batchSize=5.batch_size",
    "img2img": f"""prompt=6.text negativePrompt=7.text image=10.image width=11.width height=11.height {SAMPLED}
        denoise=3.denoise model=4.ckpt_name""",
    "inpaint": f"""prompt=6.text negativePrompt=7.text image=10.image mask=11.image {SAMPLED} denoise=3.denoise
        model=4.ckpt_name""",
    "hires_fix": f"""prompt=6.text negativePrompt=7.text {SIZED} width2=10.width height2=10.height
        steps=3.steps steps2=11.steps cfg=3.cfg,11.cfg seed=3.seed,11.seed sampler=3.sampler_name
        sampler2=11.sampler_name scheduler=3.scheduler,11.scheduler denoise2=11.denoise model=4.ckpt_name
        batchSize=5.batch_size""",
    "lora_chain": f"""prompt=6.text negativePrompt=7.text {SIZED} {SAMPLED} model=4.ckpt_name
        lora=10.lora_name loraStrength=10.strength_model,10.strength_clip
        lora2=11.lora_name loraStrength2=11.strength_model loraClipStrength2=11.strength_clip
        lora3=12.lora_name loraStrength3=12.strength_model vae=13.vae_name batchSize=5.batch_size""",
    "controlnet": f"""prompt=6.text prompt2=13.text negativePrompt=7.text image=10.image {SIZED} {SAMPLED}
        model=4.ckpt_name controlnet=11.control_net_name controlStrength=12.strength batchSize=5.batch_size""",
    "sdxl_refiner": """prompt=6.text_g,6.text_l,15.text negativePrompt=7.text_g,7.text_l,16.text
        width=5.width,6.width,7.width,15.width,16.width,6.target_width,7.target_width
        height=5.height,6.height,7.height,15.height,16.height,6.target_height,7.target_height
        steps=10.steps,11.steps cfg=10.cfg,11.cfg seed=10.noise_seed,11.noise_seed
        sampler=10.sampler_name,11.sampler_name scheduler=10.scheduler,11.scheduler
        switchStep=10.end_at_step,11.start_at_step model=4.ckpt_name model2=12.ckpt_name batchSize=5.batch_size""",
    "flux_custom_advanced": """prompt=6.text width=34.value height=35.value steps=17.steps guidance=26.guidance
        seed=25.noise_seed sampler=16.sampler_name scheduler=17.scheduler model=12.unet_name vae=10.vae_name
        clip=11.clip_name1 clip2=11.clip_name2 batchSize=27.batch_size""",
    "flux_ksampler": """prompt=4.t5xxl,4.clip_l width=6.width height=6.height steps=7.steps cfg=7.cfg
        guidance=4.guidance seed=7.seed sampler=7.sampler_name scheduler=7.scheduler model=1.unet_name vae=3.vae_name
        clip=2.clip_name1 clip2=2.clip_name2 batchSize=6.batch_size""",
    "sd3": """prompt=4.t5xxl negativePrompt=5.t5xxl,5.clip_l,5.clip_g width=6.width height=6.height steps=7.steps
        cfg=7.cfg seed=7.seed sampler=7.sampler_name scheduler=7.scheduler model=1.ckpt_name clip=2.clip_name1
        clip2=2.clip_name2 clip3=2.clip_name3 batchSize=6.batch_size""",
    "upscale": "image=1.image upscaleModel=2.model_name scaleBy=4.scale_by",
    "wan22_first_last_frame": """prompt=5.text negativePrompt=6.text image=8.image image2=7.image width=9.width
        height=9.height length=9.length fps=15.fps steps=12.steps,13.steps cfg=12.cfg,13.cfg
        seed=12.noise_seed,13.noise_seed sampler=12.sampler_name,13.sampler_name
        scheduler=12.scheduler,13.scheduler switchStep=12.end_at_step,13.start_at_step model=1.unet_name
        model2=2.unet_name vae=4.vae_name clip=3.clip_name batchSize=9.batch_size""",
    "ltxv_txt2video": """prompt=3.text negativePrompt=4.text width=5.width height=5.height length=5.length
        fps=11.fps,6.frame_rate steps=7.steps cfg=9.cfg seed=9.noise_seed sampler=8.sampler_name model=1.ckpt_name
        clip=2.clip_name batchSize=5.batch_size""",
    "ace_step_audio": """prompt=2.tags lyrics=2.lyrics seconds=4.seconds steps=5.steps cfg=5.cfg seed=5.seed
        sampler=5.sampler_name scheduler=5.scheduler model=1.ckpt_name batchSize=4.batch_size""",
    "stable_audio": """prompt=3.text negativePrompt=4.text seconds=5.seconds,6.seconds_total steps=7.steps cfg=7.cfg
        seed=7.seed sampler=7.sampler_name scheduler=7.scheduler model=1.ckpt_name clip=2.clip_name
        batchSize=5.batch_size""",
    "shared_primitives": """prompt=10.value size=12.value steps=3.steps cfg=3.cfg seed=11.value
        sampler=3.sampler_name scheduler=3.scheduler model=4.ckpt_name batchSize=5.batch_size""",
    "joined_texts": f"""prompt=11.value prompt2=10.value negativePrompt=7.text {SIZED} {SAMPLED} model=4.ckpt_name
        batchSize=5.batch_size""",
    "no_sampler": "width=1.width height=1.height seed=2.seed batchSize=1.batch_size",
    "video_to_video": "video=1.file audio=3.audio",
    "named_in_titles": """negativePrompt=7.text guidanceScale=3.cfg ink=10.lora_name
        inkStrength=10.strength_model,10.strength_clip noise=3.seed prefix=9.filename_prefix sideLength=12.value
        subject=11.value height=5.height steps=3.steps sampler=3.sampler_name scheduler=3.scheduler
        model=4.ckpt_name batchSize=5.batch_size""",
}
"""`name=node.input,node.input` of every parameter, in the order in which they are shown."""

PREFIXES: Final = {
    "hires_fix": ["9", "13"],
    "sdxl_refiner": ["19"],
    "upscale": ["5"],
    "wan22_first_last_frame": ["16"],
    "ltxv_txt2video": ["11"],
    "ace_step_audio": ["7"],
    "video_to_video": ["6"],
    "no_sampler": [],
    "named_in_titles": [],
}
"""Nodes whose file names are ours to choose; elsewhere it is node 9."""


def test_every_graph_is_one_that_comfyui_knows() -> None:
    for name, graph in GRAPHS.items():
        for node_id, node in graph.items():
            sections = RAW[node["class_type"]]["input"]
            required, optional = sections.get("required", {}), sections.get("optional", {})
            assert required.keys() <= node["inputs"].keys() <= {**required, **optional}.keys(), (name, node_id)
            for link in filter(None, map(as_link, node["inputs"].values())):
                assert link.slot < len(RAW[graph[link.node_id]["class_type"]]["output"]), (name, node_id)
    assert GRAPHS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("definitions", [KNOWN, None], ids=["known classes", "unknown classes"])
@pytest.mark.parametrize("name", GRAPHS)
def test_the_parameters_are_those_a_person_would_choose(name: str, definitions: Definitions | None) -> None:
    found = bindings(GRAPHS[name], definitions)

    assert found == as_written(EXPECTED[name])
    assert list(found) == list(as_written(EXPECTED[name]))


@pytest.mark.parametrize("name", GRAPHS)
def test_files_are_saved_where_the_service_says(name: str) -> None:
    prefixes = infer(parse(GRAPHS[name]), KNOWN).output_prefix

    assert prefixes == tuple((node_id, "filename_prefix") for node_id in PREFIXES.get(name, ["9"]))


@pytest.mark.parametrize("definitions", [KNOWN, None], ids=["known classes", "unknown classes"])
@pytest.mark.parametrize("name", GRAPHS)
def test_rendered_without_parameters_a_graph_differs_in_its_seed_alone(
    name: str, definitions: Definitions | None
) -> None:
    # The two strengths of one LoRA were given one name.
    graph = changed(name, ("10", "strength_clip", 0.6)) if name == "named_in_titles" else GRAPHS[name]
    template = template_of(graph, definitions)

    rendered = render(template, {}, seed=SEED)

    seeds = {binding for each in template.parameters.values() if each.is_seed for binding in each.bindings}
    expected = parse(graph).with_inputs(dict.fromkeys(seeds, SEED))
    assert rendered.workflow.to_api() == expected.to_api()
    assert bool(seeds) == (name not in {"upscale", "video_to_video"})


@pytest.mark.parametrize("name", GRAPHS)
def test_the_example_of_every_template_satisfies_its_schema_and_renders(name: str) -> None:
    template = template_of(GRAPHS[name])

    schema = template.json_schema()

    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(template.example())
    assert render(template, template.example(), seed=SEED).params


@pytest.mark.parametrize("name", GRAPHS)
def test_every_parameter_has_a_reason_and_a_description(name: str) -> None:
    found = inferred(GRAPHS[name])

    assert list(found.reasons) == [parameter.name for parameter in found.definition.parameters]
    nodes = {f"{node['class_type']} {node_id}" for node_id, node in GRAPHS[name].items()}
    assert all(any(node in reason for node in nodes) for reason in found.reasons.values())
    described = {parameter.name for parameter in found.definition.parameters if parameter.description}
    # Nobody knows what a person means by `$prefix`.
    assert set(found.reasons) - described == ({"prefix"} if name == "named_in_titles" else set())


def test_reasons_say_what_led_there() -> None:
    reasons = {**inferred(GRAPHS["named_in_titles"]).reasons, **inferred(GRAPHS["flux_custom_advanced"]).reasons}

    assert reasons["prompt"] == "positive conditioning of SamplerCustomAdvanced 13"
    assert reasons["guidance"] == "guidance of FluxGuidance 26"
    assert reasons["width"] == "size of EmptySD3LatentImage 27"
    assert reasons["subject"] == "named in the title of PrimitiveStringMultiline 11"


def test_the_built_in_template_is_inferred_from_its_own_graph() -> None:
    built_in = load_builtin()["txt2img"]

    found = {parameter.name: parameter for parameter in infer(built_in.workflow, KNOWN).parameters}

    assert {name: each.bindings for name, each in found.items()} == {
        name: each.bindings for name, each in built_in.parameters.items()
    }
    assert {name: each.kind for name, each in found.items()} == {
        name: each.kind for name, each in built_in.parameters.items()
    }
    assert infer(built_in.workflow, KNOWN).output_prefix == built_in.output_prefix_bindings
