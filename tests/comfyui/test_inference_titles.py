"""What titles of nodes say: the names of parameters, and words for their descriptions."""

from __future__ import annotations

import pytest

from tests.comfyui.inferring import GRAPHS, as_written, bindings, inferred, parameters, titled
from tests.comfyui.test_inference import EXPECTED


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("$prompt", {"prompt": ["6.text"]}),
        ("Scene: $my_scene, in English", {"myScene": ["6.text"]}),
        ("$my scene", {"myScene": ["6.text"]}),
        ("$My-Scene.text!", {"myScene": ["6.text"]}),
        ("$scene:text", {"scene": ["6.text"]}),
        ("$Größe", {"groe": ["6.text"]}),
        ("$5 and $ 7", {}),
        ("$scene.colour", {}),
    ],
)
def test_a_title_names_a_parameter(title: str, expected: dict[str, list[str]]) -> None:
    usual = as_written(EXPECTED["sd15_txt2img"])

    found = bindings(titled("sd15_txt2img", n6=title))

    assert found == {name: each for name, each in usual.items() if not expected or name != "prompt"} | expected


def test_a_name_on_several_nodes_sets_them_all() -> None:
    graph = titled("lora_chain", n10="$loras.strength_model", n11="$loras.strength_model", n5="$width $tall.height")

    found = bindings(graph)

    assert found["loras"] == ["10.strength_model", "11.strength_model", "10.strength_clip"]
    assert (found["width"], found["tall"]) == (["5.width"], ["5.height"])
    assert not {"height", "loraStrength", "loraStrength2"} & found.keys()


def test_the_rest_of_what_belongs_together_goes_with_the_name() -> None:
    found = parameters(titled("hires_fix", n3="$noise.seed"))

    assert found["noise"].is_seed
    assert [binding.node_id for binding in found["noise"].bindings] == ["3", "11"]
    assert "seed" not in found


def test_a_name_that_is_taken_moves_what_was_inferred() -> None:
    found = bindings(titled("sd15_txt2img", n9="$prompt.filename_prefix"))

    assert (found["prompt"], found["prompt2"]) == (["9.filename_prefix"], ["6.text"])


def test_a_name_on_an_encoder_of_several_texts_sets_those_that_agree() -> None:
    found = bindings(titled("flux_ksampler", n4="$subject $prompt"))

    assert found["prompt"] == ["4.t5xxl", "4.clip_l"]


def test_a_name_that_leads_nowhere_is_reported_with_the_remedy() -> None:
    notes = inferred(titled("sd15_txt2img", n8="$tiles", n5="$tall", n3="$speed.stepz", n6="$scene.clip")).notes

    assert notes == (
        "$speed in the title of KSampler 3 names input 'stepz', which has no value there; "
        "write $speed. and one of: seed, steps, cfg, sampler_name, scheduler, denoise",
        "$tall in the title of EmptyLatentImage 5 could be for several inputs; "
        "write $tall. and one of: width, height, batch_size",
        "$scene in the title of CLIPTextEncode 6 names input 'clip', which has no value there; "
        "write $scene. and one of: text",
        "$tiles in the title of VAEDecode 8 leads nowhere: the node has no value; put it in the title of one that has",
    )


def test_descriptions_tell_the_titles_that_people_gave() -> None:
    found = parameters(GRAPHS["lora_chain"])

    assert found["lora"].description == "File name of the LoRA."
    assert found["lora2"].description == "File name of the LoRA (Style)."
    assert found["loraStrength"].description == "Strength of LoRA detail.safetensors."
