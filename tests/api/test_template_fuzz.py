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

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import QUICK, places, problem
from tests.api.standing import standing
from tests.api.wild import EXPORT, KEPT, bindings, generation_bodies, graphs, template_bodies
from tests.service import Json, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUNDED = settings(
    derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
ANSWER_S: Final = 10.0
"""Longer than any answer may take."""


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

    statuses = await explore(api, 300, template_bodies, ask)

    listed = (await api.http.get("/api/templates")).json()["items"]
    assert KEPT in {each["name"] for each in listed}

    assert statuses[200] + statuses[201] > 10
    assert statuses[422] > 50


async def test_any_correction_of_a_sound_workflow_gets_a_template_or_a_problem(api: Service) -> None:
    def ask(asked: Asked, written: Any, _: int) -> None:
        asked("POST", "/api/templates?dryRun=true", {"workflow": EXPORT, "bindings": written})

    statuses = await explore(api, 200, bindings, ask)

    assert statuses[200] > 20
    assert statuses[422] > 20


async def test_any_body_for_a_generation_gets_a_generation_or_a_problem(api: Service) -> None:
    def ask(asked: Asked, body: Any, _: int) -> None:
        answer = asked("POST", "/api/generate", body)
        if answer.is_success:
            record = f"/api/generations/{answer.json()['id']}"
            assert asked("GET", record).json()["template"] == body.get("template")
            assert asked("GET", f"{record}/workflow").json()

    statuses = await explore(api, 400, generation_bodies, ask)

    assert statuses[202] > 10
    assert statuses[422] > 50


async def test_any_graph_of_real_nodes_is_taken_or_refused_by_name_as_a_workflow_and_as_a_template(
    api: Service,
) -> None:
    def ask(asked: Asked, graph: Any, _: int) -> None:
        asked("POST", "/api/generate", {"workflow": graph})
        asked("POST", "/api/templates?dryRun=true", {"workflow": graph})

    statuses = await explore(api, 180, graphs(), ask)

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
