"""Graphs held against what real servers define, before they are queued."""

from __future__ import annotations

import copy
from time import perf_counter
from typing import Any

import pytest

from app.comfyui.checks import MAX_FINDINGS, Code, Finding, check, merged
from app.comfyui.definitions import Definitions
from app.comfyui.near_names import nearest
from app.comfyui.templates import load_builtin
from app.comfyui.workflow import parse
from tests.comfyui.definitions import a_class, a_server
from tests.comfyui.graphs import a_node

VERSIONS = ("0.3.64", "0.8.0")
CHECKPOINT = "probe_sd15_random.safetensors"


def txt2img(**sampler: Any) -> dict[str, Any]:
    graph = load_builtin()["txt2img"].workflow.to_api()
    graph["4"]["inputs"]["ckpt_name"] = CHECKPOINT
    graph["3"]["inputs"] |= sampler
    return graph


def found(graph: dict[str, Any], server: Definitions | None = None) -> dict[str, Code]:
    return {each.pointer: each.code for each in check(parse(graph), server or a_server())}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_builtin_template_passes_where_its_checkpoint_is(version: str) -> None:
    assert check(parse(txt2img()), a_server(version)) == ()


@pytest.mark.parametrize(
    ("received", "wanted", "is_accepted"),
    [
        ("IMAGE", "IMAGE", True),
        ("*", "IMAGE", True),
        ("IMAGE", "*", True),
        ("IMAGE", "MASK,IMAGE", True),
        ("INT, FLOAT", "FLOAT,STRING", True),
        ("INT", "INT", True),
        ("COMFY_MATCHTYPE_V3", "IMAGE", True),
        ("IMAGE", "COMFY_MATCHTYPE_V3", True),
        ("LATENT", "IMAGE", False),
        ("LATENT", "MASK,IMAGE", False),
        ("STRING", "COMBO", False),
        ("FLOAT", "INT", False),
    ],
)
def test_a_link_must_bring_one_of_the_types_the_input_takes(received: str, wanted: str, is_accepted: bool) -> None:
    server = Definitions(
        {"Source": a_class(output=("NOTHING", received)), "Sink": a_class(is_output=True, it=[wanted])}
    )

    findings = check(parse({"1": a_node("Source"), "2": a_node("Sink", it=["1", 1])}), server)

    assert [finding.code for finding in findings] == ([] if is_accepted else [Code.WRONG_TYPE])


def test_a_link_of_the_wrong_type_names_the_slot_that_would_do() -> None:
    (finding,) = check(parse(txt2img(model=["4", 1])), a_server())

    assert finding.given == ("4", 1)
    assert finding.possible == (0,)
    assert finding.message == "takes 'MODEL', but the link brings 'CLIP'; slot 0 of that node would do"


def test_outputs_that_could_not_be_read_are_not_held_against_a_link() -> None:
    server = Definitions({"Source": {"input": {}, "output": "IMAGE"}, "Sink": a_class(is_output=True, it=["IMAGE"])})

    assert check(parse({"1": a_node("Source"), "2": a_node("Sink", it=["1", 3])}), server) == ()


def test_a_slip_in_a_sampler_is_answered_with_the_likely_one_and_some_others() -> None:
    (finding,) = check(parse(txt2img(sampler_name="eulr")), a_server())

    assert finding.code is Code.NOT_IN_LIST
    assert finding.pointer == "/3/inputs/sampler_name"
    assert "not 'eulr'; did you mean 'euler'? choose from: 'euler'" in finding.message
    assert finding.possible[0] == "euler"
    assert len(finding.possible) == 8


def test_an_unknown_class_is_answered_with_the_likely_one() -> None:
    graph = txt2img()
    graph["3"]["class_type"] = "KSamplr"

    (finding,) = check(parse(graph), a_server())

    assert finding.code is Code.UNKNOWN_NODE
    assert "there is no node class 'KSamplr'; did you mean 'KSampler'?" in finding.message
    assert finding.possible[0] == "KSampler"


@pytest.mark.parametrize(
    "given", ["models\\stable-diffusion\\1.5\\Probe_sd15_random.safetensors", "probe_sd15_random.ckpt"]
)
def test_a_model_in_another_folder_or_format_is_recognised(given: str) -> None:
    graph = txt2img()
    graph["4"]["inputs"]["ckpt_name"] = given

    (finding,) = check(parse(graph), a_server())

    assert finding.code is Code.UNKNOWN_MODEL
    assert finding.possible == (CHECKPOINT,)
    assert f"did you mean '{CHECKPOINT}'?" in finding.message


@pytest.mark.parametrize("name", ["style.safetensors", "style"])
def test_a_server_without_any_model_of_a_kind_is_told_so(name: str) -> None:
    graph = txt2img(model=["10", 0])
    graph["10"] = a_node("LoraLoaderModelOnly", model=["4", 0], lora_name=name, strength_model=1)

    (finding,) = check(parse(graph), a_server())

    assert (finding.code, finding.possible) == (Code.UNKNOWN_MODEL, ())
    assert finding.message == f"there is no file '{name}' and no other of its kind; install it first"


def test_a_model_given_where_only_builtin_ones_are_listed_is_a_missing_model() -> None:
    graph = txt2img()
    graph["10"] = a_node("VAELoader", vae_name="sdxl.safetensors")
    graph["8"]["inputs"]["vae"] = ["10", 0]

    assert found(graph) == {"/10/inputs/vae_name": Code.UNKNOWN_MODEL}


def test_neither_uploads_nor_their_names_appear_in_what_is_said_of_a_loader() -> None:
    graph = {"1": a_node("LoadImage", image="mine.png"), "2": a_node("PreviewImage", images=["1", 0])}
    without = {"1": a_node("LoadImage"), "2": a_node("PreviewImage", images=["1", 0])}

    (finding,) = check(parse(without), a_server())

    assert check(parse(graph), a_server()) == ()
    assert (finding.code, finding.possible) == (Code.MISSING_INPUT, ())


@pytest.mark.parametrize("class_type", ["VHS_VideoCombine", "CustomCombo", "LoadLatent"])
def test_classes_with_checks_of_their_own_are_spared_lists_and_bounds_but_not_numbers(class_type: str) -> None:
    spec = a_class(is_output=True, rate=["INT", {"min": 1}], size=["INT"], format=[["a"]])
    graph = {"1": a_node(class_type, rate=0, size="large", format="video/custom")}

    assert found(graph, a_server(more={class_type: spec})) == {"/1/inputs/size": Code.NOT_A_NUMBER}


def test_nodes_no_output_needs_are_not_looked_at() -> None:
    graph = txt2img() | {"20": a_node("KSampler"), "21": a_node("VAEDecode", samples=["20", 9])}
    graph["9"]["inputs"]["not_defined"] = ["21", 0]

    assert found(graph) == {}


def test_one_sound_output_is_enough() -> None:
    graph = txt2img() | {"20": a_node("SaveImage", images=["21", 0], filename_prefix="x"), "21": a_node("EmptyImage")}

    assert found(graph) == {}


def test_a_fault_upstream_of_every_output_is_found() -> None:
    graph = txt2img(steps=0) | {"20": a_node("PreviewImage", images=["8", 0])}

    assert found(graph) == {"/3/inputs/steps": Code.OUT_OF_RANGE}


def test_dynamic_inputs_of_newer_servers_pass_and_the_rest_of_their_node_is_checked() -> None:
    graph = {
        "1": a_node("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "2": a_node("BatchImagesNode"),
        "3": a_node("ResizeImageMaskNode", input=["2", 0], scale_method="area"),
        "4": a_node("PreviewImage", images=["3", 0]),
    }
    graph["2"]["inputs"] |= {"images.image0": ["1", 0], "images.image1": ["1", 0]}
    graph["3"]["inputs"] |= {"resize_type": "scale dimensions", "resize_type.width": "?"}
    wrong = copy.deepcopy(graph)
    wrong["3"]["inputs"]["scale_method"] = "magic"

    assert found(graph, a_server("0.8.0")) == {}
    assert found(wrong, a_server("0.8.0")) == {"/3/inputs/scale_method": Code.NOT_IN_LIST}


def test_folders_that_uploads_make_are_not_held_against_a_loader() -> None:
    spec = a_class(is_output=True, folder=[["older"]])

    assert found({"1": a_node("LoadFolder", folder="newer")}, a_server(more={"LoadFolder": spec})) == {}


def test_a_fault_behind_a_switch_that_takes_any_one_type_is_found() -> None:
    graph = {
        "1": a_node("EmptyImage", width=0, height=8, batch_size=1, color=0),
        "2": a_node("ComfySwitchNode", switch=True, on_true=["1", 0]),
        "3": a_node("PreviewImage", images=["2", 0]),
    }

    assert found(graph, a_server("0.8.0")) == {"/1/inputs/width": Code.OUT_OF_RANGE}


def test_no_output_is_not_complained_of_where_the_unknown_class_may_be_one() -> None:
    graph = {"1": a_node("EmptyImage"), "2": a_node("SaveEverything", images=["1", 0])}

    assert found(graph) == {"/2/class_type": Code.UNKNOWN_NODE}


def test_a_fault_of_the_whole_graph_points_at_the_whole_graph() -> None:
    (finding,) = check(parse({"1": a_node("EmptyImage")}), a_server())

    assert (finding.code, finding.node_id, finding.pointer) == (Code.NO_OUTPUTS, None, "")


def test_pointers_escape_the_names_they_lead_through() -> None:
    finding = Finding("57:1/2", "X", "a~b/c", Code.MISSING_INPUT, "is required")

    assert finding.pointer == "/57:1~12/inputs/a~0b~1c"


def test_findings_are_certain_unless_a_class_may_have_checks_of_its_own() -> None:
    uncertain = {code for code in Code if not code.is_certain}

    assert uncertain == {Code.WRONG_TYPE, Code.OUT_OF_RANGE, Code.NOT_IN_LIST, Code.UNKNOWN_MODEL}


def test_likely_names_are_found_among_thousands_without_the_unlikely() -> None:
    files = [f"folder/model-{number:05}.safetensors" for number in range(9000)] + ["flux/Dreamer_XL.safetensors"]

    assert nearest("dreamerXL.safetensors", files)[:1] == ("flux/Dreamer_XL.safetensors",)
    assert nearest("qqqq", files) == ()


def a_finding(node_id: str, code: Code = Code.MISSING_INPUT) -> Finding:
    return Finding(node_id, "X", "it", code, "is required")


@pytest.mark.parametrize(
    "by_backend",
    [{}, {"a": ()}, {"a": (a_finding("1"),), "b": ()}],
    ids=["no backend", "one that can", "one of two that can"],
)
def test_nothing_is_said_while_some_backend_can_run_the_graph(by_backend: dict[str, tuple[Finding, ...]]) -> None:
    assert merged(by_backend) == ()


def test_the_backend_that_lacks_least_speaks_for_all() -> None:
    one, two = a_finding("1"), a_finding("2")

    assert merged({"a": (one, two), "b": (one,), "c": (one, two)}) == (one,)


@pytest.mark.parametrize("other", [a_finding("2"), a_finding("1", Code.WRONG_TYPE)], ids=["place", "fault"])
def test_backends_that_lack_different_things_are_said_to(other: Finding) -> None:
    first, *rest = merged({"a": (a_finding("1"),), "b": (other, a_finding("3"))})

    assert (first.code, first.pointer) == (Code.NO_SINGLE_BACKEND, "")
    assert first.message.startswith("no backend could run this workflow")
    assert rest == [a_finding("1")]


def chain(length: int) -> dict[str, Any]:
    graph = {str(at): a_node("ImageInvert", image=[str(at - 1), 0]) for at in range(1, length - 1)}
    graph["0"] = a_node("EmptyImage", width="wide", height=8, batch_size=1, color=0)
    return graph | {"end": a_node("PreviewImage", images=[str(length - 2), 0])}


def unknown_classes_and_faults() -> dict[str, Any]:
    graph = {str(at): a_node(f"KSampler{at}") for at in range(30)}
    return graph | {f"p{at}": a_node("PreviewImage") for at in range(30)}


def hundreds_of_faults() -> dict[str, Any]:
    graph = {"m": a_node("CheckpointLoaderSimple", ckpt_name="x" * 150), "l": a_node("EmptyLatentImage")}
    for at in range(4999):
        names = {"sampler_name": f"euler{at}" + "x" * 150, "scheduler": f"normal{at}" + "y" * 150}
        graph[f"k{at}"] = a_node("KSampler", model=["m", 3], latent_image=["l", 0], **names)
        graph[f"s{at}"] = a_node("SaveLatent", samples=[f"k{at}", 0], filename_prefix="x")
    return graph


@pytest.mark.parametrize(
    ("graph", "count"),
    [
        (chain(10_000), 1),
        (hundreds_of_faults(), MAX_FINDINGS),
        ({str(at): a_node(f"KSampler{at}") for at in range(10_000)}, MAX_FINDINGS),
        (unknown_classes_and_faults(), MAX_FINDINGS),
    ],
    ids=["chain", "faults", "unknown", "both"],
)
def test_the_largest_graphs_take_a_moment_and_few_findings(graph: dict[str, Any], count: int) -> None:
    workflow, server = parse(graph), a_server()

    begin = perf_counter()
    findings = check(workflow, server)

    assert len(findings) == count
    # Some 0.1 s alone on the machine; a hundred times that would be a product of two lengths.
    assert perf_counter() - begin < 5
