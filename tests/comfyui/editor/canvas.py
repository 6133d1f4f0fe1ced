"""Small editor files, drawn in code: nodes by terse words, links by the slots they join."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

from app.comfyui.definitions import Definitions
from app.comfyui.editor import EditorFileError, to_workflow

DATA: Final = Path(__file__).parent.parent.parent / "data"
DEFINITIONS: Final = Definitions(json.loads(gzip.decompress((DATA / "0.8.0.json.gz").read_bytes())))
OUTER: Final = "7d0f1b52-93f4-4d3e-8a51-6f0f3b0f2a01"


def slot(name: str, kind: str, link: int | None = None) -> dict[str, Any]:
    return {"name": name, "type": kind, "link": link}


def control(name: str, kind: str, link: int | None = None) -> dict[str, Any]:
    return slot(name, kind, link) | {"widget": {"name": name}}


def node(node_id: int | str, class_type: str, *inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    outputs = [{"name": kind, "type": kind} for kind in more.pop("gives", ())]
    values = more.pop("values", [])
    return {
        "id": node_id,
        "type": class_type,
        "mode": 0,
        "inputs": list(inputs),
        "outputs": outputs,
        "widgets_values": values,
        **more,
    }


def canvas(nodes: list[dict[str, Any]], links: list[list[Any]], **more: Any) -> dict[str, Any]:
    return {"nodes": nodes, "links": links, "version": 0.4, **more}


def photo(node_id: int = 1, **more: Any) -> dict[str, Any]:
    """A LoadImage."""
    return node(node_id, "LoadImage", gives=("IMAGE", "MASK"), values=["ship.png", "image"], **more)


def saved(link: int, node_id: int = 9, **more: Any) -> dict[str, Any]:
    """A SaveImage fed by this link."""
    return node(node_id, "SaveImage", slot("images", "IMAGE", link), values=["ComfyUI"], **more)


def one_subgraph(*inner: dict[str, Any], links: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    subgraph = {"id": OUTER, "name": "Outer", "nodes": list(inner), "links": links, "inputs": [], "outputs": [], **more}
    return {"subgraphs": [subgraph]}


def wire(link_id: int, origin: int, out: int, target: int, into: int) -> dict[str, Any]:
    """A link as subgraphs have them."""
    return {"id": link_id, "origin_id": origin, "origin_slot": out, "target_id": target, "target_slot": into}


def problems_of(file: object) -> dict[str, str]:
    """Messages by pointer of a file that is refused."""
    try:
        to_workflow(file, DEFINITIONS)
    except EditorFileError as refused:
        return {problem.pointer: problem.message for problem in refused.problems}
    raise AssertionError("the file was not refused")


def graph_of(file: object) -> dict[str, Any]:
    return to_workflow(file, DEFINITIONS).graph


def inputs_of(file: object, node_id: str) -> dict[str, Any]:
    inputs = graph_of(file)[node_id]["inputs"]
    assert isinstance(inputs, dict)
    return inputs
