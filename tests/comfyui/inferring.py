"""Graphs to infer parameters from, and what was inferred in a form that is easy to compare."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from app.comfyui.definitions import Definitions
from app.comfyui.inference import Inferred, infer, infer_with_reasons
from app.comfyui.parameters import Parameter
from app.comfyui.templates import Template, build_template
from app.comfyui.workflow import parse

DATA: Final = Path(__file__).parent.parent / "data"
GRAPHS: Final = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted((DATA / "graphs").glob("*.json"))}
"""Exports in API format, made for these tests."""

RAW: Final[dict[str, Any]] = json.loads(gzip.decompress((DATA / "0.8.0.json.gz").read_bytes()))
KNOWN: Final = Definitions(RAW)
SEED: Final = 1234


def inferred(graph: dict[str, Any], definitions: Definitions | None = KNOWN) -> Inferred:
    return infer_with_reasons(parse(graph), definitions)


def parameters(graph: dict[str, Any], definitions: Definitions | None = KNOWN) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in inferred(graph, definitions).definition.parameters}


def bindings(graph: dict[str, Any], definitions: Definitions | None = KNOWN) -> dict[str, list[str]]:
    found = parameters(graph, definitions)
    return {name: [".".join(binding) for binding in each.bindings] for name, each in found.items()}


def template_of(graph: dict[str, Any], definitions: Definitions | None = KNOWN) -> Template:
    return build_template("mine", graph, msgspec.to_builtins(infer(parse(graph), definitions)))


def as_written(expected: str) -> dict[str, list[str]]:
    return {name: places.split(",") for name, places in (each.split("=") for each in expected.split())}


def changed(name: str, *changes: tuple[str, str, object]) -> dict[str, Any]:
    """The graph of this name with other inputs: (node, input, value)."""
    graph: dict[str, Any] = json.loads(json.dumps(GRAPHS[name]))
    for node_id, input_name, value in changes:
        graph[node_id]["inputs"][input_name] = value
    return graph


def titled(name: str, **titles: str) -> dict[str, Any]:
    """The graph of this name with other titles, by node id after an `n`."""
    graph = changed(name)
    for node_id, title in titles.items():
        graph[node_id.removeprefix("n")]["_meta"]["title"] = title
    return graph
