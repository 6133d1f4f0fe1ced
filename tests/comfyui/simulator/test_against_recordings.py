"""The simulator says what a real ComfyUI was recorded saying.

| recording | how it is covered |
|---|---|
| replayed ones | every request of the transcript is sent again and every frame and answer compared (`REPLAYED`) |
| others | measurements, or a process to kill: the behaviour is tested directly (`DESCRIBED` names the module) |
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.comfyui.simulator.nodes import standard_nodes
from app.comfyui.simulator.nodes.models import model_names
from tests.comfyui.simulator.normal import Normaliser, frame_of, plain_name
from tests.comfyui.simulator.pacing import Pace, paced
from tests.comfyui.simulator.probe_nodes import PROBE_NODES
from tests.comfyui.simulator.replay import RECORDINGS, Exchange, Line, Replay, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator

REPLAYED = (
    "01_simple_success",
    "01b_real_ksampler",
    "01c_standard_txt2img",
    "02_batch_of_four",
    "03_cached",
    "04_validation_errors",
    "05_runtime_errors",
    "06_interrupt",
    "06b_interrupt_real_sampler",
    "07_queue_delete_clear",
    "08_three_prompts_one_client",
    "09_two_clients",
    "10_prompt_ids",
    "12_feature_flags_and_binary",
    "13_outputs_and_view",
    "14_upload",
    "16_priority",
    "18_subgraph_expansion",
    "18b_async_nodes",
    "19_queue_history_free",
    "23_log_subscription",
)

DESCRIBED = {
    "06c_cancel_races": "test_cancelling",
    "11_reconnect": "test_sockets",
    "11b_reconnect_race": "test_sockets",
    "15_kill_and_restart": "test_lives",
    "17_large": "test_limits",
    "20_origin_and_handshake": "test_limits",
    "21_slow_reader": "test_sockets",
    "22_poison": "test_poison",
    "24_server_options": "test_dialects",
}

RECORDED_MODELS = {"checkpoints": ("probe_sd15_random.safetensors",)}

WHOLE_BODIES = ("/prompt", "/features", "/upload/image", "/upload/mask", "/embeddings", "/internal/files/nope")


def test_every_recording_is_covered() -> None:
    recordings = {path.stem for path in RECORDINGS.glob("*.jsonl")}

    assert recordings == set(REPLAYED) | set(DESCRIBED)


@pytest.mark.parametrize("name", REPLAYED)
async def test_a_recorded_scene_plays_the_same(name: str) -> None:
    lines = _played_lines(name)
    pace = Pace(lines)
    nodes = paced(standard_nodes(model_names(RECORDED_MODELS)) | PROBE_NODES, pace)
    async with Simulator(SimulatorOptions(nodes=nodes, models=RECORDED_MODELS)) as comfy:
        replay = Replay(comfy, lines, pace)

        async with asyncio.timeout(40):
            await replay.run()

    recorded, ours = _normalisers(replay)
    for exchange in replay.exchanges:
        _compare_answer(exchange, recorded, ours)
    for conn, ears in replay.ears.items():
        heard = [frame for ear in ears for frame in ear.heard]
        said = [
            frame_of(line) for line in lines if line["dir"] == "ws-in" and line["conn"] == conn and "event" not in line
        ]
        told = recorded.frames(said)
        assert ours.frames(heard) == told, conn
        assert {_shape(frame.data) for frame in heard if frame.kind == "status"} == {
            _shape(frame.data) for frame in said if frame.kind == "status"
        }


def _played_lines(name: str) -> list[Line]:
    """From 06b on its second half many frames were left out of the transcript."""
    lines = lines_of(name)
    cuts = [index for index, line in enumerate(lines) if line["dir"] == "note" and line["text"].startswith("again: ")]
    return lines[: cuts[0]] if cuts and name.startswith("06b") else lines


def _normalisers(replay: Replay) -> tuple[Normaliser, Normaliser]:
    names = {recorded: f"prompt {index}" for index, recorded in enumerate(replay.ids)}
    ours = {replay.ids[recorded]: name for recorded, name in names.items()}
    bases = _number_bases(replay)
    return Normaliser(names, bases[0]), Normaliser(ours, bases[1])


def _number_bases(replay: Replay) -> tuple[int, int]:
    """The first number each server gave of its own."""
    for exchange in replay.exchanges:
        number = exchange.line["response"].get("number") if isinstance(exchange.line["response"], dict) else None
        if isinstance(number, int):
            return number, json.loads(exchange.response.content)["number"]
    return 0, 0


def _compare_answer(exchange: Exchange, recorded: Normaliser, ours: Normaliser) -> None:
    line, response = exchange.line, exchange.response
    where = f"{line['method']} {line['path']} {line['query']} {line['request']}"
    assert response.status_code == line["status"], where
    for header in ("Content-Type", "Content-Disposition", "Accept-Ranges", "Content-Range", "Allow"):
        if header in line["headers"] and "Transfer-Encoding" not in line["headers"]:
            assert _named(response.headers.get(header)) == _named(line["headers"][header]), where
    if not line["headers"].get("Content-Type", "").startswith("application/json") or line["response"] is None:
        return
    body = json.loads(response.content)
    if isinstance(line["response"], dict) and any(key.startswith("#") for key in line["response"]):
        return
    assert type(body) is type(line["response"]) or _is_shortened(line), where
    if line["path"] in WHOLE_BODIES or _is_whole(line["response"]):
        assert ours.value(body) == recorded.value(line["response"]), where
    elif line["path"] == "/system_stats":
        assert _shape(body) == _shape(line["response"])


def _named(header: str | None) -> str | None:
    """File names and sizes differ; that a file has a type and a name does not."""
    return None if header is None else re.sub(r"\d+", "0", plain_name(header))


def _is_shortened(line: dict[str, Any]) -> bool:
    """Some answers were recorded as a mere list of ids."""
    return str(line["path"]).startswith(("/history", "/queue"))


def _is_whole(body: Any) -> bool:
    """Is this a /history or /queue answer as it was sent?"""
    if not isinstance(body, dict):
        return False
    items = list(body.get("queue_running", ())) + list(body.get("queue_pending", ()))
    if "queue_running" in body:
        return all(isinstance(item, list) and len(item) == 5 for item in items)
    return bool(body) and all(_is_entry(entry) for entry in body.values())


def _is_entry(entry: Any) -> bool:
    match entry:
        case {"prompt": [_, _, _, _, _]}:
            return True
        case _:
            return False


def _shape(value: Any) -> Any:
    """Keys in their order, and nothing of the values."""
    if isinstance(value, dict):
        return tuple((key, _shape(item)) for key, item in value.items())
    return tuple(_shape(item) for item in value[:1]) if isinstance(value, list) else "value"


def _definitions(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in lines_of("19_queue_history_free"):
        if line["dir"] == "http" and line["path"] == f"/object_info/{name}":
            yield name, line["response"][name]


@pytest.mark.parametrize("name", ["SaveImage", "KSampler", "ProbeSteps"])
async def test_node_definitions_have_the_recorded_structure(name: str) -> None:
    recorded = dict(_definitions(name))[name]
    async with Simulator(SimulatorOptions(nodes=PROBE_NODES)) as comfy:
        import httpx

        async with httpx.AsyncClient(trust_env=False) as http:
            ours = (await http.get(f"{comfy.url}/object_info/{name}")).json()[name]

    assert [key for key in recorded if key != "output_tooltips"] == list(ours)
    assert recorded["input_order"] == ours["input_order"]
    for group, inputs in recorded["input"].items():
        for key, spec in inputs.items():
            if group == "hidden":
                assert ours["input"][group][key] == spec
                continue
            settings = {name: value for name, value in spec[1].items() if name != "tooltip"} if spec[1:] else {}
            assert ours["input"][group][key][0] == spec[0]
            assert (ours["input"][group][key][1:] or [{}])[0] == settings
