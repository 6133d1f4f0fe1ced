"""Bodies nobody foresaw, for templates and for generations: strategies of hypothesis, from junk to nearly sound.

Numbers beyond every range, text no encoding has, lists in place of values, nesting, and graphs of real node classes
whose values are drawn from their definitions, linked by type, to themselves or in circles.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st

from app.comfyui.simulator.nodes import standard_nodes
from app.comfyui.simulator.nodes.models import model_names, options_of
from app.comfyui.templates import load_builtin
from tests.comfyui.inferring import DATA, GRAPHS
from tests.service import Json

KEPT: Final = "kept"
"""A template that stands, to be asked for and replaced."""

TEMPLATES: Final = load_builtin()
NODES: Final = {name: each.definition for name, each in standard_nodes(model_names({})).items()}
EDITOR: Final[Json] = json.loads((DATA / "editor" / "subgraph.json").read_text("utf-8"))["file"]
EXPORT: Final[Json] = TEMPLATES["txt2img"].workflow.to_api()
NAMES: Final = sorted({name for each in TEMPLATES.values() for name in each.parameters})


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


odd = st.sampled_from(
    [10**19, -(10**40), 2**64, 1e308, -1e308, 5e-324, float("nan"), float("inf"), -0.0, "\0", "\ud800", "\U0001f5fc"]
    + ["x" * 3000, "a/b~c", "", " ", "../..", "%00", True, None, [], {}, ["3", 0], [["3", 0]], {"__value__": [1]}]
    + [nested(levels) for levels in (90, 99, 101, 400)]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | odd
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
spots = st.sampled_from(["6.text", "3.seed", "3.steps", "5.width", "4.ckpt_name", "3.model", "99.x", "3.", ".", "3"])
corrections = (
    st.none()
    | spots
    | st.lists(spots, max_size=3)
    | st.lists(spots.map(lambda place: place.split(".")), max_size=2)
    | st.dictionaries(
        st.sampled_from(["bindings", "kind", "default", "minimum", "maximum", "multipleOf", "enum", "isSeed", "name"])
        | st.sampled_from(["maxLength", "examples", "required", "description", "colour"]),
        scalars | spots | st.lists(scalars, max_size=2) | st.sampled_from(["integer", "image", "string"]),
        max_size=3,
    )
    | junk
)
bindings = st.dictionaries(st.sampled_from([*NAMES, "detail", "Nö", "a b", "\ud800", ""]), corrections, max_size=3)


@st.composite
def wounded(draw: st.DrawFn, whole: Json) -> Any:
    """A workflow with something else in a place or two of it."""
    copy: Any = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 2))):
        at = copy
        for _ in range(draw(st.integers(0, 4))):
            inner = at[draw(st.sampled_from(sorted(at, key=str)))] if isinstance(at, dict) and at else None
            inner = at[draw(st.integers(0, len(at) - 1))] if isinstance(at, list) and at else inner
            at = inner if isinstance(inner, dict | list) and inner else at
        key = draw(st.sampled_from(sorted(at, key=str)) if isinstance(at, dict) else st.integers(0, len(at) - 1))
        at[key] = draw(junk)
    return copy


@st.composite
def values(draw: st.DrawFn, spec: list[Any], nodes: list[str]) -> Any:
    """Something for one input: mostly what its definition asks for, at times a value or a link that does not fit."""
    kind, given = spec[0], spec[1] if len(spec) > 1 else {}
    if draw(st.integers(0, 11)) == 0:
        return draw(junk)
    if choices := options_of(spec):
        return draw(st.sampled_from(choices))
    match kind:
        case "INT":
            return draw(st.integers(given.get("min", 0), given.get("max", 2**64)))
        case "FLOAT":
            return draw(st.floats(given.get("min", 0), given.get("max", 100)))
        case "STRING":
            return draw(st.text(max_size=5))
        case "BOOLEAN":
            return draw(st.booleans())
    fitting = [each for each in nodes if kind in NODES[each.partition(":")[0]]["output"]]
    source = draw(st.sampled_from(fitting or nodes))
    outputs = NODES[source.partition(":")[0]]["output"]
    return [source, outputs.index(kind) if kind in outputs else draw(st.integers(-1, 3))]


@st.composite
def graphs(draw: st.DrawFn) -> Json:
    """Nodes of real classes, linked by type as far as there are such, in circles and to themselves if so drawn."""
    drawn = draw(st.lists(st.sampled_from(sorted(NODES)), min_size=1, max_size=5))
    classes = [*drawn, *draw(st.sampled_from([["SaveImage", "EmptyImage"], ["PreviewAny"], []]))]
    nodes = [f"{class_type}:{number}" for number, class_type in enumerate(classes)]
    graph: Json = {}
    for name, class_type in zip(nodes, classes, strict=True):
        wanted = NODES[class_type]["input"].get("required", {})
        inputs = {each: draw(values(spec, nodes)) for each, spec in wanted.items() if draw(st.integers(0, 30))}
        graph[name] = {"class_type": class_type, "inputs": inputs}
    return graph


workflows = (
    junk | wounded(EXPORT) | wounded(EDITOR) | wounded(GRAPHS["named_in_titles"]) | st.sampled_from([EXPORT, EDITOR])
)
template_bodies = st.fixed_dictionaries(
    {"workflow": workflows},
    optional={
        "name": st.sampled_from(["one", "two", KEPT, "txt2img", "UPPER", "a/b"]) | junk,
        "title": st.text(max_size=5) | odd,
        "description": st.text(max_size=5) | odd,
        "bindings": bindings | junk,
        "other": junk,
    },
)
references = st.lists(junk | st.fixed_dictionaries({"source": scalars, "parameter": scalars}), max_size=3) | junk
extras: Final[dict[str, st.SearchStrategy[Any]]] = {
    "references": references,
    "metadata": st.dictionaries(st.text(max_size=4), junk, max_size=3) | junk,
    "projectId": scalars,
    "priority": scalars,
    "force": scalars,
    "deadlineSeconds": scalars,
}
sound = st.fixed_dictionaries(
    {},
    optional={
        "prompt": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
        "steps": st.integers(1, 30),
        "seed": st.integers(-1, 2**64 - 1),
        "cfg": st.floats(0, 30),
        "width": st.sampled_from([64, 512, 1024]),
    },
)
wild = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), scalars | st.integers(0, 128), max_size=3)
params = sound | sound | wild | st.builds(lambda one, other: one | other, sound, wild)
rare = {name: each for name, each in extras.items() if name in {"metadata", "priority", "references"}}
generation_bodies = st.one_of(
    st.builds(
        lambda known, beside, more: {**more, **beside, **known},
        st.fixed_dictionaries(
            {
                "template": st.sampled_from(["txt2img", "flux-txt2img", KEPT])
                | st.sampled_from([*sorted(TEMPLATES), "no"])
            }
        ),
        params,
        st.just({}) | st.fixed_dictionaries({}, optional={"params": params | junk, **rare}),
    ),
    st.fixed_dictionaries({"workflow": workflows | graphs()}, optional=extras),
    junk,
)
