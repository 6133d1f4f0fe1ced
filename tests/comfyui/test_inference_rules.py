"""What makes an input a parameter, which inputs share one, and what a parameter allows."""

from __future__ import annotations

import pytest

from app.comfyui.definitions import Definitions
from app.comfyui.parameters import ParameterKind
from app.comfyui.templates import render
from tests.comfyui.graphs import a_node
from tests.comfyui.inferring import (
    GRAPHS,
    RAW,
    SEED,
    as_written,
    bindings,
    changed,
    inferred,
    parameters,
    template_of,
)
from tests.comfyui.test_inference import EXPECTED


def test_a_given_prompt_and_size_reach_every_place_they_have_in_sdxl() -> None:
    template = template_of(GRAPHS["sdxl_refiner"])

    nodes = render(template, {"prompt": "an owl", "width": 832, "switchStep": 15}, seed=SEED).workflow.nodes

    assert {nodes["6"].inputs["text_g"], nodes["6"].inputs["text_l"], nodes["15"].inputs["text"]} == {"an owl"}
    assert {nodes[each].inputs["width"] for each in ("5", "6", "15", "16")} == {832}
    assert (nodes["10"].inputs["end_at_step"], nodes["11"].inputs["start_at_step"]) == (15, 15)


def test_kinds_follow_the_definitions() -> None:
    wan, ltxv = parameters(GRAPHS["wan22_first_last_frame"]), parameters(GRAPHS["ltxv_txt2video"])

    assert (wan["image2"].kind, wan["length"].kind, wan["fps"].kind) == (
        ParameterKind.IMAGE,
        ParameterKind.INTEGER,
        ParameterKind.NUMBER,
    )
    assert parameters(GRAPHS["inpaint"])["mask"].kind is ParameterKind.IMAGE
    media = parameters(GRAPHS["video_to_video"])
    assert (media["video"].kind, media["audio"].kind) == (ParameterKind.VIDEO, ParameterKind.AUDIO)
    assert ltxv["cfg"].kind is ParameterKind.NUMBER


def test_bounds_are_those_of_comfyui() -> None:
    found = parameters(GRAPHS["sd15_txt2img"])

    assert {name: (each.minimum, each.maximum) for name, each in found.items() if each.maximum is not None} == {
        "width": (16, 16384),
        "height": (16, 16384),
        "steps": (1, 10000),
        "cfg": (0, 100),
        "seed": (0, 2**64 - 1),
        "batchSize": (1, 4096),
    }
    assert (found["width"].multiple_of, found["batchSize"].multiple_of) == (8, None)
    assert (found["sampler"].enum, found["model"].enum) == ((), ())


def test_a_parameter_that_goes_to_several_inputs_has_the_bounds_of_all() -> None:
    through_primitives = parameters(GRAPHS["shared_primitives"])["seed"]
    of_both_rates = parameters(changed("ltxv_txt2video", ("11", "fps", 25.0)))["fps"]

    assert (through_primitives.minimum, through_primitives.maximum) == (0, 2**63 - 1)
    assert (of_both_rates.minimum, of_both_rates.maximum) == (0.01, 1000.0)


@pytest.mark.parametrize(
    ("change", "name", "minimum", "multiple_of"),
    [
        (("5", "width", 500), "width", 16, None),
        (("5", "width", 8), "width", None, 8),
        (("3", "steps", 0), "steps", None, None),
    ],
)
def test_a_value_the_graph_holds_is_always_allowed(
    change: tuple[str, str, object], name: str, minimum: int | None, multiple_of: int | None
) -> None:
    graph = changed("sd15_txt2img", change)

    found = parameters(graph)[name]

    assert (found.minimum, found.multiple_of) == (minimum, multiple_of)
    assert render(template_of(graph), {}, seed=SEED).params[name] == change[2]


def test_numbers_written_as_text_are_read_as_comfyui_reads_them() -> None:
    found = parameters(changed("sd15_txt2img", ("3", "steps", "25"), ("3", "cfg", "6.5"), ("5", "width", 640.5)))

    assert (found["steps"].default, found["cfg"].default, found["width"].default) == (25, 6.5, 640)


def test_a_value_that_is_none_has_to_be_given() -> None:
    found = parameters(changed("sd15_txt2img", ("3", "steps", None), ("6", "text", None), ("4", "ckpt_name", [])))

    assert {name for name, each in found.items() if each.required} == {"steps", "prompt", "model"}
    assert render(template_of(changed("img2img", ("10", "image", []))), {"image": "a.png"}, seed=SEED).params


def test_a_seed_below_zero_still_leaves_the_choice_to_us() -> None:
    found = parameters(changed("sd15_txt2img", ("3", "seed", -1)))["seed"]

    assert (found.is_seed, found.minimum, found.required) == (True, 0, False)


def test_a_prompt_is_required_only_where_the_graph_has_none() -> None:
    empty = parameters(changed("sd15_txt2img", ("6", "text", ""), ("7", "text", "")))

    assert not parameters(GRAPHS["sd15_txt2img"])["prompt"].required
    assert {name for name, each in empty.items() if each.required} == {"prompt"}


def test_a_text_longer_than_usual_is_let_through() -> None:
    found = parameters(changed("sd15_txt2img", ("6", "text", "x" * 30_000)))["prompt"]

    assert (found.max_length, found.examples) == (30_000, ())


def test_one_encoder_for_both_sides_is_the_prompt() -> None:
    found = bindings(changed("sd15_txt2img", ("3", "negative", ["6", 0])))

    assert found["prompt"] == ["6.text"]
    assert "negativePrompt" not in found


def test_a_text_on_both_sides_is_no_negative_prompt() -> None:
    graph = changed("sd15_txt2img", ("3", "negative", ["20", 0]))
    graph["20"] = a_node("ConditioningConcat", conditioning_to=["6", 0], conditioning_from=["7", 0])

    found = bindings(graph)

    assert (found["prompt"], found["negativePrompt"]) == (["6.text"], ["7.text"])


def test_a_text_that_is_zeroed_out_is_no_parameter() -> None:
    graph = changed("sd15_txt2img", ("3", "negative", ["20", 0]))
    graph["20"] = a_node("ConditioningZeroOut", conditioning=["7", 0])

    assert "negativePrompt" not in bindings(graph)


def test_conditioning_is_followed_by_the_output_it_leaves_by() -> None:
    swapped = changed("controlnet", ("3", "positive", ["12", 1]), ("3", "negative", ["12", 0]))
    model_first = changed("controlnet", ("3", "positive", ["12", 1]), ("3", "negative", ["12", 2]))
    model_first["12"]["class_type"] = "ApplyToModel"
    apply = RAW["ControlNetApplyAdvanced"] | {"output": ["MODEL", "CONDITIONING", "CONDITIONING"]}

    found = bindings(swapped), bindings(model_first, Definitions(RAW | {"ApplyToModel": apply}))

    assert [(each["prompt"], each["negativePrompt"]) for each in found] == [
        (["7.text"], ["6.text"]),
        (["6.text"], ["7.text"]),
    ]


def test_samplers_that_differ_in_cfg_have_one_each() -> None:
    found = bindings(changed("hires_fix", ("11", "cfg", 5)))

    assert (found["cfg"], found["cfg2"]) == (["3.cfg"], ["11.cfg"])


def test_equal_steps_of_a_second_pass_are_still_its_own() -> None:
    assert bindings(changed("hires_fix", ("11", "steps", 20)))["steps2"] == ["11.steps"]


def test_equal_cfg_serving_other_texts_is_not_shared() -> None:
    graph = changed("hires_fix", ("11", "positive", ["20", 0]))
    graph["20"] = a_node("CLIPTextEncode", "Second pass", text="more detail", clip=["4", 1])

    found = bindings(graph)

    assert (found["cfg"], found["cfg2"]) == (["3.cfg"], ["11.cfg"])
    assert (found["prompt"], found["prompt2"]) == (["6.text"], ["20.text"])


def test_a_lora_in_two_models_alike_is_one() -> None:
    graph = changed("wan22_first_last_frame", ("10", "model", ["20", 0]), ("11", "model", ["21", 0]))
    for node_id, source in (("20", "1"), ("21", "2")):
        graph[node_id] = a_node("LoraLoaderModelOnly", lora_name="x.safetensors", strength_model=1, model=[source, 0])

    found = bindings(graph)

    assert (found["lora"], found["loraStrength"]) == (
        ["20.lora_name", "21.lora_name"],
        ["20.strength_model", "21.strength_model"],
    )


def test_nodes_of_unknown_packs_are_understood_by_their_likeness() -> None:
    graph = {
        "1": a_node("Efficient Loader", ckpt_name="a.safetensors", positive="a barn", negative="fog"),
        "2": a_node("Seed (pack)", seed=5),
        "3": a_node(
            "KSampler (Efficient)",
            None,
            seed=["2", 0],
            steps=9,
            cfg=4,
            sampler_name="euler",
            scheduler="normal",
            denoise=1,
            model=["1", 0],
            positive=["1", 1],
            negative=["1", 2],
            latent_image=["1", 3],
        ),
        "4": a_node("Image Save", images=["3", 5], filename_prefix="x"),
    }

    found = inferred(graph).definition

    assert bindings(graph) == as_written(
        """prompt=1.positive negativePrompt=1.negative steps=3.steps cfg=3.cfg seed=2.seed sampler=3.sampler_name
        scheduler=3.scheduler model=1.ckpt_name"""
    )
    assert found.output_prefix == (("4", "filename_prefix"),)
    # Bounds of nodes we do not know are not ours to guess.
    assert {parameter.name for parameter in found.parameters if parameter.maximum is not None} == set[str]({"seed"})


def test_what_a_node_computes_is_no_parameter() -> None:
    graph = changed("img2img", ("11", "width", ["20", 0]), ("3", "steps", ["21", 0]), ("3", "cfg", ["22", 0]))
    graph["20"] = a_node("GetImageSize", image=["10", 0])
    graph["21"] = a_node("Math", a=["20", 1], value=64)
    graph["22"] = a_node("Expression", value="a / 2")

    found = bindings(graph)

    assert not {"width", "height", "steps", "cfg"} & found.keys()


def test_links_are_followed_through_primitives_and_reroutes() -> None:
    graph = changed("img2img", ("3", "cfg", ["20", 0]), ("3", "latent_image", ["22", 0]), ("6", "text", ["23", 0]))
    graph |= {"20": a_node("Reroute", any_type=["21", 0]), "21": a_node("PrimitiveFloat", value=7.5)}
    graph |= {"22": a_node("Reroute", any_type=["12", 0]), "23": a_node("Text", text=["24", 0])}
    graph["24"] = a_node("PrimitiveString", value="a well")

    found = bindings(graph)

    assert (found["cfg"], found["width"], found["prompt"]) == (["21.value"], ["11.width"], ["24.value"])


@pytest.mark.parametrize("names", [("start_image", "end_image"), ("end_image", "start_image")])
def test_the_first_picture_of_a_video_comes_before_the_last(names: tuple[str, str]) -> None:
    graph = changed("wan22_first_last_frame")
    pictures = {name: graph["9"]["inputs"].pop(name) for name in names}
    graph["9"]["inputs"] |= pictures

    found = bindings(graph)

    assert (found["image"], found["image2"]) == (["8.image"], ["7.image"])


def test_what_a_picture_is_made_from_comes_before_what_guides_it() -> None:
    graph = changed("controlnet")
    graph["3"]["inputs"] = {"latent_image": ["21", 0]} | graph["3"]["inputs"] | {"latent_image": ["21", 0]}
    graph |= {"20": a_node("LoadImage", image="b.png"), "21": a_node("VAEEncode", pixels=["20", 0], vae=["4", 2])}

    found = bindings(graph)

    assert (found["image"], found["image2"], found["denoise"]) == (["20.image"], ["10.image"], ["3.denoise"])


def test_a_size_that_differs_from_that_of_the_picture_is_left_alone() -> None:
    graph = changed("sdxl_refiner", ("6", "width", 4096), ("6", "height", 4096), ("7", "target_width", 512))

    found = bindings(graph)

    assert not {"6.width", "7.target_width"} & set(found["width"])
    assert {"7.width", "6.target_width"} < set(found["width"])


def test_models_that_a_graph_saves_keep_their_names() -> None:
    graph = changed("sd15_txt2img")
    graph["20"] = a_node("CheckpointSave", filename_prefix="merged", model=["4", 0], clip=["4", 1], vae=["4", 2])

    assert inferred(graph).definition.output_prefix == (("9", "filename_prefix"),)


def test_nodes_that_lead_to_no_output_have_no_parameters() -> None:
    graph = changed("sd15_txt2img")
    graph["20"] = a_node("LoraLoaderModelOnly", lora_name="x.safetensors", strength_model=1, model=["4", 0])

    assert bindings(graph) == as_written(EXPECTED["sd15_txt2img"])


def test_a_picture_is_a_mask_if_nothing_more_of_it_is_used() -> None:
    both = changed("inpaint", ("14", "mask", ["10", 1]), ("14", "pixels", ["10", 0]))
    by_slot = changed("inpaint", ("13", "mask", ["11", 1]))
    by_class = changed("inpaint")
    by_class["11"]["class_type"] = "LoadImageMask"
    by_class["11"]["inputs"]["channel"] = "red"
    by_class["13"]["inputs"]["mask"] = ["11", 0]

    assert [each for each in bindings(both) if each in {"image", "mask"}] == ["image"]
    assert bindings(by_slot)["mask"] == bindings(by_class)["mask"] == ["11.image"]
