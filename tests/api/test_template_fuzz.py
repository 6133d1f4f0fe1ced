"""Whatever is sent as a workflow, as bindings or as parameters: an answer that says where and what, and soon.

The ComfyUI behind the service takes and refuses prompts as ever, and never gets to run one: some that are valid would
draw for hours.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.comfyui.simulator.nodes import standard_nodes
from app.comfyui.simulator.nodes.models import model_names, options_of
from app.comfyui.templates import load_builtin
from tests.api.asking import QUICK, places, problem
from tests.api.standing import standing
from tests.comfyui.inferring import DATA, GRAPHS
from tests.service import Json, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUNDED = settings(
    derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
ANSWER_S: Final = 10.0
"""Longer than any answer may take."""

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> AsyncIterator[Service]:
    """The service in front of a ComfyUI that stands still in the middle of a small picture."""
    async with (
        Simulator(SimulatorOptions(step_s=0)) as comfy,
        standing(tmp_path_factory, migrated_sqlite, comfy, max_in_flight=1000) as service,
    ):
        comfy.hold("execution_start")
        await service.generate(**QUICK)
        await comfy.held()
        kept = await service.http.post("/api/templates", json={"name": KEPT, "workflow": EXPORT})
        assert kept.status_code == 201, kept.text
        yield service
        await service.http.post(f"{comfy.url}/queue", json={"clear": True})
        comfy.release()


class Asked:
    """Requests and what came of them: each answer is looked at as it comes."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self.statuses: Counter[int] = Counter()

    def __call__(self, method: str, path: str, body: object = None) -> httpx.Response:
        content = b"" if method == "GET" else json.dumps(body).encode()
        answer = self._http.request(method, path, content=content)
        self.statuses[answer.status_code] += 1
        assert answer.status_code in {200, 201, 202, 400, 404, 409, 422}, (answer.text, content)
        if answer.is_error:
            check_problem(answer, body)
        return answer


def check_problem(answer: httpx.Response, body: object) -> None:
    """It is a problem document that names places of the body, each with something to read."""
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["status"] == answer.status_code
    assert document["detail"]
    assert "raceback" not in answer.text
    if answer.status_code == 422:
        assert document["errors"]
        for each in document["errors"]:
            assert len(each["message"]) > 5
            assert leads_into(body, each["pointer"]), (each, body)


def leads_into(body: Any, pointer: str) -> bool:
    """Whether every step but the last, which may be missing, is there. Text that is no UTF-8 comes as `?`."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    for step in steps[:-1]:
        match body:
            case dict():
                parts = {name.encode(errors="replace").decode(): part for name, part in body.items()}
            case list():
                parts = {str(number): part for number, part in enumerate(body)}
            case _:
                parts = {}
        if step not in parts:
            return False
        body = parts[step]
    return pointer == "" or pointer.startswith("/")


async def explore(api: Service, examples: int, strategy: Any, ask: Callable[[Asked, Any, int], None]) -> Counter[int]:
    """Ask with so many examples, from a thread of its own; how often each status came."""
    with httpx.Client(base_url=api.url, trust_env=False, timeout=ANSWER_S) as http:
        asked, number = Asked(http), itertools.count()

        @settings(BOUNDED, max_examples=examples)
        @given(strategy)
        def each(example: Any) -> None:
            ask(asked, example, next(number))

        await asyncio.to_thread(each)
    assert (await api.http.get("/healthz")).status_code == 200
    return asked.statuses


async def test_any_body_for_a_template_gets_a_template_or_a_problem(api: Service) -> None:
    def ask(asked: Asked, body: Any, number: int) -> None:
        ways = [("POST", "/api/templates?dryRun=true"), ("POST", "/api/templates"), ("PUT", f"/api/templates/{KEPT}")]
        asked(*ways[number % 3], body)

    statuses = await explore(api, 400, template_bodies, ask)

    listed = (await api.http.get("/api/templates")).json()["items"]
    assert KEPT in {each["name"] for each in listed}

    assert statuses[200] + statuses[201] > 10
    assert statuses[422] > 50


async def test_any_correction_of_a_sound_workflow_gets_a_template_or_a_problem(api: Service) -> None:
    def ask(asked: Asked, written: Any, _: int) -> None:
        asked("POST", "/api/templates?dryRun=true", {"workflow": EXPORT, "bindings": written})

    statuses = await explore(api, 300, bindings, ask)

    assert statuses[200] > 20
    assert statuses[422] > 20


async def test_any_body_for_a_generation_gets_a_generation_or_a_problem(api: Service) -> None:
    def ask(asked: Asked, body: Any, _: int) -> None:
        answer = asked("POST", "/api/generate", body)
        if answer.is_success:
            record = f"/api/generations/{answer.json()['id']}"
            assert asked("GET", record).json()["template"] == body.get("template")
            assert asked("GET", f"{record}/workflow").json()

    statuses = await explore(api, 600, generation_bodies, ask)

    assert statuses[202] > 10
    assert statuses[422] > 50


async def test_any_graph_of_real_nodes_is_taken_or_refused_by_name_as_a_workflow_and_as_a_template(
    api: Service,
) -> None:
    def ask(asked: Asked, graph: Any, _: int) -> None:
        asked("POST", "/api/generate", {"workflow": graph})
        asked("POST", "/api/templates?dryRun=true", {"workflow": graph})

    statuses = await explore(api, 250, graphs(), ask)

    assert statuses[202] > 5
    assert statuses[200] > 20
    assert statuses[422] > 20


@pytest.mark.parametrize(
    ("more", "place", "says"),
    [
        ({"bindings": {"My size": "5.width"}}, "/bindings/My size", "camelCase"),
        ({"bindings": {"detail": "3.steps", "de_tail": "3.cfg"}}, "/bindings/de_tail", "camelCase"),
        ({"bindings": {"steps": {"minimum": 50, "maximum": 40}}}, "/bindings/steps/minimum", "above the maximum"),
        ({"bindings": {"steps": {"minimum": 30}}}, "/bindings/steps", "from 30"),
        ({"bindings": {"steps": {"default": 0}}}, "/bindings/steps/default", "from 1"),
        ({"bindings": {"steps": {"kind": "boolean", "minimum": None}}}, "/bindings/steps", "true or false, not 20"),
        ({"bindings": {"cfg": {"isSeed": True}}}, "/bindings/cfg/isSeed", "a seed is of kind integer"),
        ({"bindings": {"prompt": {"examples": [3]}}}, "/bindings/prompt/examples/0", "must be text"),
        ({"bindings": {"prompt": {"description": "a\0b"}}}, "/bindings/prompt/description", "NUL"),
        ({"title": "a\0b"}, "/title", "NUL"),
        ({"description": "a\0b"}, "/description", "NUL"),
    ],
)
async def test_what_makes_no_template_is_told_where_the_caller_wrote_it(
    api: Service, more: Json, place: str, says: str
) -> None:
    answer = await api.http.post("/api/templates", json={"name": "mine", "workflow": EXPORT, **more})

    found = places(answer)
    assert place in found
    assert says in found[place]
    assert all(each.startswith(place.rpartition("/")[0]) for each in found)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b'{"workflow": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "nests too deeply"),
        (b'{"workflow": {"1": {"class_type": "A", "inputs": {"x": NaN}}}}', 400, "not JSON"),
        (b'{"workflow": {"1": {"class_type": "A", "inputs": {"x": 1e999}}}}', 400, "not JSON"),
        (b'{"workflow": {"1": {"class_type": "A", "inputs": {"x": ' + b"9" * 5000 + b"}}}}", 400, "not JSON"),
        (b'{"workflow": {"1": {"class_type": "A", "inputs": {"x": "\\ud800"}}}}', 400, "not JSON"),
        (b'{"workflow": {"1": {"class_type": "A\xff", "inputs": {}}}}', 400, "not UTF-8"),
        (b"\xef\xbb\xbf{}", 400, "not JSON"),
        (b"", 400, "empty"),
        (b"[]", 422, "JSON object"),
        (b'{"workflow": {"1": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}}', 422, "circle"),
    ],
    ids=["deep", "NaN", "1e999", "long number", "surrogate", "not UTF-8", "BOM", "empty", "list", "to itself"],
)
@pytest.mark.parametrize("path", ["/api/templates?dryRun=true", "/api/generate"])
async def test_bodies_no_program_should_send_are_refused_in_words(
    api: Service, path: str, body: bytes, status: int, says: str
) -> None:
    answer = await api.http.post(path, content=body)

    document = problem(answer, status, "malformed_body" if status == 400 else "invalid_request")
    assert says in document["detail"]


async def test_the_largest_workflow_that_is_taken_is_read_soon_and_one_node_more_is_refused(api: Service) -> None:
    node = {"class_type": "PreviewAny", "inputs": {"source": "x"}}
    largest = {str(number): node for number in range(10_000)}

    taken = await api.http.post("/api/templates?dryRun=true", json={"workflow": largest})
    refused = await api.http.post("/api/templates?dryRun=true", json={"workflow": largest | {"more": node}})

    assert taken.status_code == 200
    assert "10001 nodes" in places(refused)["/workflow"]
