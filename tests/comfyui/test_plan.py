"""Foretelling what a run will consist of: its nodes, its sampler steps, its pictures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.comfyui.estimates import megapixels_of
from app.comfyui.workflow import expected_output_nodes, may_make_pictures, parse, plan
from tests.comfyui import recordings
from tests.comfyui.graphs import a_node, recorded_graphs, txt2img

DATA = Path(__file__).parent.parent / "data"


def test_planned_steps_are_the_maximum_each_recorded_sampler_then_reported() -> None:
    samplers = {"KSampler", "ProbeSteps"}
    reported: dict[tuple[str, str], float] = {}
    for name in recordings.NAMES:
        texts = (line["json"] for line in recordings.received(name) if "json" in line)
        for data in (text["data"] for text in texts if text["type"] == "progress"):
            reported[data["prompt_id"], data["node"]] = data["max"]

    compared = 0
    for graph, answer in recorded_graphs():
        for node_id, node in plan(parse(graph)).nodes.items():
            key = answer.get("prompt_id", ""), node_id
            if node.class_type in samplers and key in reported:
                assert node.steps == reported[key]
                compared += 1
    assert compared > 20


def test_only_nodes_that_lead_to_an_output_are_planned() -> None:
    raw = txt2img() | {"50": a_node("KSampler", latent_image=["5", 0], steps=99)}

    made = plan(parse(raw))

    assert list(made.nodes) == ["4", "5", "3", "8", "9"]
    assert made.total_steps == 20
    assert (made.nodes["3"].name, made.nodes["9"].name) == ("Draw", "SaveImage")


def test_known_output_classes_decide_which_nodes_a_run_is_for() -> None:
    workflow = parse(txt2img() | {"50": a_node("MyUploader", images=["8", 0])})

    assert expected_output_nodes(workflow) == ("9",)
    assert expected_output_nodes(workflow, {"MyUploader", "SaveImage"}) == ("9", "50")
    assert "50" in plan(workflow, {"MyUploader"}).nodes
    assert "9" not in plan(workflow, {"MyUploader"}).nodes


def test_a_graph_of_classes_nobody_knows_is_planned_by_its_shape() -> None:
    workflow = parse({"1": a_node("Alpha"), "2": a_node("Omega", image=["1", 0])})

    assert expected_output_nodes(workflow, {"SaveImage"}) == ()
    assert set(plan(workflow, {"SaveImage"}).nodes) == {"1", "2"}


FLUX = {
    "s": a_node("BasicScheduler", steps=12),
    "n": a_node("PrimitiveInt", value=9),
    "c": a_node("ThirdPartyInt", Number="7"),
    "l": a_node("EmptyLatentImage"),
    "linked": a_node("BasicScheduler", steps=["n", 0]),
    "manual": a_node("ManualSigmas", sigmas="14.6, 3.1, 0.5, 0"),
    "split": a_node("SplitSigmas", sigmas=["s", 0], step=5),
    "denoise": a_node("SplitSigmasDenoise", sigmas=["s", 0], denoise=0.25),
    "flip": a_node("FlipSigmas", sigmas=["split", 1]),
}


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        (a_node("KSampler", steps="20"), 20),
        (a_node("KSampler", steps=["n", 0]), 9),
        (a_node("KSampler", steps=["c", 0]), 7),
        (a_node("KSampler", latent_image=["l", 0], steps=["s", 0]), 12),
        (a_node("KSamplerAdvanced", steps=20, start_at_step=8, end_at_step=10_000), 12),
        (a_node("KSamplerAdvanced", steps=20, start_at_step=0, end_at_step=8), 8),
        (a_node("KSamplerAdvanced", steps=20, start_at_step=20, end_at_step=8), 1),
        (a_node("KSampler", steps=10**30), 10_000),
        (a_node("SamplerCustomAdvanced", latent_image=["l", 0], sigmas=["s", 0]), 12),
        (a_node("SamplerCustom", sigmas=["linked", 0]), 9),
        (a_node("SamplerCustom", sigmas=["manual", 0]), 3),
        (a_node("SamplerCustom", sigmas=["split", 0]), 5),
        (a_node("SamplerCustom", sigmas=["split", 1]), 7),
        (a_node("SamplerCustom", sigmas=["flip", 0]), 7),
        (a_node("SamplerCustom", sigmas=["denoise", 0]), 9),
        (a_node("SamplerCustom", sigmas=["denoise", 1]), 3),
        (a_node("SamplerCustom", sigmas=["l", 0]), 1),
        (a_node("SomePackSampler", latent=["l", 0]), 1),
        (a_node("FaceDetailer", steps=15), 15),
        (a_node("KSamplerSelect", sampler_name="euler"), 0),
        (a_node("SamplerEulerAncestral", eta=1.0), 0),
        (a_node("SamplerSASolver", model=["s", 0]), 0),
        (a_node("LTXVLatentUpsampler", samples=["l", 0]), 0),
        (a_node("BasicScheduler", steps=12), 0),
        (a_node("ExtendIntermediateSigmas", steps=2, sigmas=["s", 0]), 0),
        (a_node("SaveLoRA", steps=500), 0),
        (a_node("FaceDetailer", steps=True), 0),
    ],
)
def test_steps_are_found_where_this_kind_of_node_has_them(sampler: dict[str, Any], steps: int) -> None:
    made = plan(parse(FLUX | {"sampler": sampler, "save": a_node("SaveImage", images=["sampler", 0])}))

    assert made.nodes["sampler"].steps == steps


def test_no_class_of_a_real_comfyui_that_only_chooses_a_method_counts_as_a_sampler() -> None:
    for version in ("0.3.64", "0.8.0"):
        classes = json.loads(gzip.decompress((DATA / f"{version}.json.gz").read_bytes()))
        choosing = [name for name, about in classes.items() if about["output"] in (["SAMPLER"], ["SIGMAS"])]

        raw = {
            name: a_node(name, **dict.fromkeys(classes[name]["input"].get("required", {}), "4")) for name in choosing
        }

        assert len(raw) > 20
        assert plan(parse(raw)).total_steps == 0


@pytest.mark.parametrize(
    ("more", "images"),
    [
        ({}, 4),
        ({"10": a_node("SaveImage", images=["8", 0])}, 8),
        ({"10": a_node("PreviewImage", images=["8", 0])}, 4),
        ({"9": a_node("PreviewImage", images=["8", 0])}, 4),
        ({"5": a_node("LoadImage")}, 1),
        ({"5": a_node("EmptySD3LatentImage", batch_size=["n", 0]), "n": a_node("PrimitiveInt", value=3)}, 3),
        ({"r": a_node("RepeatLatentBatch", samples=["5", 0], amount=2), "8": a_node("VAEDecode", samples=["r", 0])}, 8),
        (
            {"r": a_node("RebatchLatents", latents=["5", 0], batch_size=1), "8": a_node("VAEDecode", samples=["r", 0])},
            4,
        ),
        ({"r": a_node("ImageFromBatch", image=["8", 0], length=2), "9": a_node("SaveImage", images=["r", 0])}, 2),
        ({"9": a_node("SaveAnimatedWEBP", images=["8", 0])}, 1),
        ({"9": a_node("SaveLatent", samples=["3", 0])}, 1),
        ({"5": a_node("EmptyLatentImage", batch_size=10**9)}, 4096),
        ({"5": a_node("EmptyLatentImage", batch_size=-3)}, 1),
    ],
)
def test_pictures_are_counted_from_the_batch_they_come_from(more: dict[str, Any], images: int) -> None:
    assert plan(parse(txt2img(batch_size=4) | more)).images == images


SIZES = {
    "latent": a_node("EmptyLatentImage", width=1000, height=500, batch_size=2),
    "one": a_node("EmptyLatentImage", width=1000, height=1000, batch_size=1),
    "picture": a_node("LoadImage", image="a.png"),
    "encoded": a_node("VAEEncode", pixels=["picture", 0]),
    "scaled": a_node("LatentUpscaleBy", samples=["latent", 0], scale_by=2.0),
    "resized": a_node("LatentUpscale", samples=["latent", 0], width=2000, height=1000),
    "repeated": a_node("RepeatLatentBatch", samples=["one", 0], amount=3),
    "film": a_node("EmptyHunyuanLatentVideo", width=1000, height=100, length=33, batch_size=1),
    "n": a_node("PrimitiveInt", value=2000),
    "linked": a_node("EmptySD3LatentImage", width=["n", 0], height=1000, batch_size=1),
    "first": a_node("KSampler", latent_image=["one", 0], steps=2),
    "vast": a_node("EmptyLatentImage", width=10**30, height=-5, batch_size=10**9),
    "odd": a_node("LatentUpscaleBy", samples=["latent", 0], scale_by="2"),
}


@pytest.mark.parametrize(
    ("latent", "megapixels"),
    [
        ("latent", 1.0),
        ("one", 1.0),
        ("encoded", 0.0),
        ("scaled", 4.0),
        ("resized", 4.0),
        ("repeated", 3.0),
        ("film", 3.3),
        ("linked", 2.0),
        ("first", 1.0),
        ("vast", 16_384 * 4_096 / 1e6),
        ("odd", 1.0),
    ],
)
def test_a_samplers_pixels_are_found_where_its_latent_comes_from(latent: str, megapixels: float) -> None:
    nodes = parse(SIZES | {"sampler": a_node("KSampler", latent_image=[latent, 0], steps=5)}).nodes

    assert megapixels_of(nodes, nodes["sampler"]) == pytest.approx(megapixels)


def test_titles_are_the_names_a_person_sees() -> None:
    made = plan(parse(txt2img() | {"8": a_node("VAEDecode", "  Develop ", samples=["3", 0])}))

    assert (made.nodes["3"].name, made.nodes["8"].name, made.nodes["4"].name) == (
        "Draw",
        "Develop",
        "CheckpointLoaderSimple",
    )


@pytest.mark.parametrize(
    ("classes", "may"),
    [
        (["SaveVideo"], False),
        (["PreviewAny", "SaveAudio"], False),
        (["SaveVideo", "SaveImage"], True),
        (["SomebodysSaver"], True),
        (["VHS_VideoCombine"], True),
    ],
)
def test_a_graph_makes_no_pictures_only_if_all_its_ends_are_known_to_be_others(classes: list[str], may: bool) -> None:
    graph = parse({str(number): {"class_type": name, "inputs": {}} for number, name in enumerate(classes)})

    assert may_make_pictures(graph) is may
