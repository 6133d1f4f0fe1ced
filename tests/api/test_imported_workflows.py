"""Workflows as people have them, through the whole service: imported, read as a person reads them, run with changes.

The files are those of `tests/data`: what ComfyUI's editor saves, and what it exports. What is expected of each stands
in `imported`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from app.comfyui.simulator import Node, Outputs, Run, Simulator, SimulatorOptions
from tests.api.asking import places, problem
from tests.api.imported import CHANGES, EDITOR, SIZES, UNKNOWN, WIDE, expected_of, graph_of, workflow_of
from tests.api.standing import standing
from tests.api.test_references import png
from tests.comfyui.inferring import GRAPHS, RAW
from tests.service import Json, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


def models() -> dict[str, tuple[str, ...]]:
    """The model files that all those workflows name, in their folders."""
    folders = {
        "ckpt_name": "checkpoints",
        "unet_name": "diffusion_models",
        "vae_name": "vae",
        "lora_name": "loras",
        "control_net_name": "controlnet",
        "model_name": "upscale_models",
        **{f"clip_name{number}": "text_encoders" for number in ("", "1", "2", "3")},
    }
    graphs = [*GRAPHS.values(), *(each["expected"] for each in EDITOR.values())]
    named = [pair for graph in graphs for node in graph.values() for pair in node["inputs"].items()]
    return {
        folder: tuple({value: None for name, value in named if folders.get(name) == folder})
        for folder in folders.values()
    }


def handed_on(_: Run, given: Any) -> Outputs:
    return Outputs(values=[next(iter(given.values()))])


def joined(_: Run, given: Any) -> Outputs:
    return Outputs(values=[given["delimiter"].join((given["string_a"], given["string_b"]))])


MORE_NODES: Final = {
    name: Node(definition=RAW[name], function=function)
    for name, function in {
        **dict.fromkeys(("PrimitiveInt", "PrimitiveString", "PrimitiveStringMultiline", "PrimitiveFloat"), handed_on),
        **dict.fromkeys(("ResizeImageMaskNode", "BatchImagesNode"), handed_on),
        "StringConcatenate": joined,
    }.items()
}
"""Core classes of a newer ComfyUI, with its definitions."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bare(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> AsyncIterator[Service]:
    """The service in front of a server that has none of the workflows' models, and few node classes."""
    async with (
        Simulator(SimulatorOptions(step_s=0)) as comfy,
        standing(tmp_path_factory, migrated_sqlite, comfy) as service,
    ):
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stocked(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> AsyncIterator[Service]:
    """The service in front of a server such as the workflows were made on."""
    options = SimulatorOptions(step_s=0, models=models(), nodes=MORE_NODES)
    async with Simulator(options) as comfy, standing(tmp_path_factory, migrated_sqlite, comfy) as service:
        yield service


async def imported(api: Service, case: str) -> Json:
    """The template of a file, made of it where there is none yet."""
    name = case.replace("/", "-")
    answer = await api.http.post("/api/templates", json={"name": name, "workflow": workflow_of(case)})
    if answer.status_code == 409:
        answer = await api.http.get(f"/api/templates/{name}")
    assert answer.is_success, answer.text
    made: Json = answer.json()
    return made


def sent(case: str, template: Json) -> Json:
    """The parameters a caller changes: those of `CHANGES`, a prompt, a seed, and a picture for each input."""
    kinds = {each["name"]: each["kind"] for each in template["parameters"]}
    usual = {"prompt": f"a heron, as {case} shows it", "seed": 2**40 + 1}
    media = [name for name, kind in kinds.items() if kind == "image"]
    pictures = {name: png((40 * number, 90, 160)) for number, name in enumerate(media, 1)}
    urls = {name: f"data:image/png;base64,{base64.b64encode(each).decode()}" for name, each in pictures.items()}
    return {name: value for name, value in usual.items() if name in kinds} | urls | CHANGES[case]


async def test_every_file_is_run_or_known_not_to_run() -> None:
    cases = {f"graphs/{name}" for name in GRAPHS} | {f"editor/{name}" for name in EDITOR}

    assert cases == CHANGES.keys() | {f"graphs/{name}" for name in UNKNOWN} | {"editor/dynamic_inputs"}
    assert CHANGES.keys().isdisjoint(f"graphs/{name}" for name in UNKNOWN)


@pytest.mark.parametrize("case", [f"editor/{name}" for name in EDITOR] + [f"graphs/{name}" for name in GRAPHS])
async def test_a_file_becomes_a_template_with_the_parameters_a_person_would_expect(stocked: Service, case: str) -> None:
    template = await imported(stocked, case)

    graph = (await stocked.http.get(f"/api/templates/{template['name']}/workflow")).json()
    found = {each["name"]: [".".join(place) for place in each["bindings"]] for each in template["parameters"]}
    assert graph == graph_of(case)
    assert found == expected_of(case)
    assert template["parametersSchema"]["properties"].keys() == found.keys()


@pytest.mark.parametrize("case", CHANGES)
async def test_an_imported_workflow_runs_with_what_was_changed_and_nothing_else(stocked: Service, case: str) -> None:
    template = await imported(stocked, case)
    given = sent(case, template)

    record = await stocked.finished((await stocked.generate(template=template["name"], **given))["id"])

    ran = (await stocked.http.get(f"/api/generations/{record['id']}/workflow")).json()
    bound = {place: name for name, found in expected_of(case).items() if name in given for place in found}
    differing = differences(graph_of(case), ran)
    media = {name for name in given if name in {"image", "mask", "image2"}}
    assert record["status"] == "succeeded", record["error"]
    assert differing.keys() == bound.keys()
    assert all(differing[place] == given[name] for place, name in bound.items() if name not in media)
    assert all(record["params"][name] == value for name, value in given.items() if name not in media)
    assert [(each["width"], each["height"]) for each in record["images"]] == SIZES.get(case, [(96, 64)])


def differences(before: Json, after: Json) -> Json:
    """Values of `after` by `node.input` where they differ; the names of output files are ours to choose."""
    assert before.keys() == after.keys()
    return {
        f"{node_id}.{name}": value
        for node_id, node in after.items()
        for name, value in node["inputs"].items()
        if value != before[node_id]["inputs"].get(name) and not str(value).startswith("relay/")
    }


@pytest.mark.parametrize("name", UNKNOWN)
async def test_a_workflow_no_server_can_run_is_refused_with_its_unknown_nodes(stocked: Service, name: str) -> None:
    template = await imported(stocked, f"graphs/{name}")

    answer = await stocked.http.post("/api/generate", json={"template": template["name"]})

    document = problem(answer, 422, "not_possible")
    messages = [each["message"] for each in document["errors"]]
    assert {node: each["class_type"] for node, each in document["nodeErrors"].items()} == UNKNOWN[name]
    assert len(messages) == len(UNKNOWN[name])
    for message, (node_id, class_type) in zip(messages, UNKNOWN[name].items(), strict=True):
        assert message.startswith(f"node '{node_id}' ('{class_type}'): there is no node class '{class_type}';")


@pytest.mark.parametrize(
    ("name", "node_ids"),
    [
        ("converted_widgets", {"3": "PrimitiveString", "4": "PrimitiveInt"}),
        ("dynamic_inputs", {"3": "ResizeImageMaskNode", "5": "PrimitiveFloat", "6": "BatchImagesNode"}),
        ("subgraph", {"12": "PrimitiveStringMultiline"}),
    ],
)
async def test_an_editor_file_with_classes_no_server_has_is_refused_by_their_names(
    bare: Service, name: str, node_ids: dict[str, str]
) -> None:
    answer = await bare.http.post("/api/templates", json={"name": name, "workflow": EDITOR[name]["file"]})

    nodes = EDITOR[name]["file"]["nodes"]
    found = {place: message for place, message in places(answer).items() if place.startswith("/workflow/nodes/")}
    told = {str(nodes[int(place.rpartition("/")[2])]["id"]): message for place, message in found.items()}
    assert told.keys() == node_ids.keys()
    assert all(repr(class_type) in told[node_id] for node_id, class_type in node_ids.items())


async def test_a_model_nobody_has_is_told_and_a_checkpoint_is_replaced(bare: Service) -> None:
    lora = await imported(bare, "graphs/lora_chain")
    plain = await imported(bare, "editor/schema_1")

    refused = await bare.http.post("/api/generate", json={"template": lora["name"]})
    record = await bare.finished((await bare.generate(template=plain["name"], **WIDE))["id"])

    pointers = {each["pointer"] for each in problem(refused, 422, "not_possible")["errors"]}
    offered = (await bare.http.get("/api/models")).json()["checkpoints"]
    assert pointers == {"/lora", "/lora2", "/lora3", "/vae"}
    assert record["status"] == "succeeded"
    assert record["params"]["model"] in offered


async def test_a_name_goes_to_one_of_many_who_ask_for_it_at_the_same_time(bare: Service) -> None:
    body = {"name": "wanted", "workflow": GRAPHS["sd15_txt2img"]}

    answers = await asyncio.gather(*(bare.http.post("/api/templates", json=body) for _ in range(6)))
    replaced = await asyncio.gather(*(bare.http.put("/api/templates/wanted", json=body) for _ in range(6)))

    refused = [each for each in answers if each.status_code != 201]
    assert [each.json()["version"] for each in answers if each.status_code == 201] == [1]
    assert all(problem(each, 409, "template_exists") for each in refused)
    assert sorted(each.json()["version"] for each in replaced) == [2, 3, 4, 5, 6, 7]
