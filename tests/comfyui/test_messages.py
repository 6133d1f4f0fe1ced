"""Every frame a real ComfyUI sent is read, and so are its odder relatives."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.comfyui.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    FeatureFlags,
    Message,
    NodeState,
    NodeText,
    Preview,
    Progress,
    ProgressState,
    Status,
    Unknown,
    decode,
    decode_text,
)
from tests.comfyui import recordings

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT_ID = "0f679f11-e3de-45ec-a87a-392530089e3d"
METADATA = {"node_id": "5", "prompt_id": PROMPT_ID, "image_type": "image/jpeg", "parent_node_id": None}


def text(type_name: str, data: object) -> str:
    return json.dumps({"type": type_name, "data": data})


def preview_with_metadata(metadata: object, picture: bytes = b"picture") -> bytes:
    header = json.dumps(metadata).encode()
    return struct.pack(">II", 4, len(header)) + header + picture


def node(node_id: str, value: Any, maximum: Any, **others: Any) -> dict[str, Any]:
    return {
        "value": value,
        "max": maximum,
        "state": "running",
        "node_id": node_id,
        "prompt_id": PROMPT_ID,
        "display_node_id": node_id,
        "parent_node_id": None,
        "real_node_id": node_id,
        **others,
    }


EXPECTED: dict[str, Callable[[dict[str, Any]], Message]] = {
    "status": lambda data: Status(data["status"]["exec_info"]["queue_remaining"], data.get("sid")),
    "execution_start": lambda data: ExecutionStart(data["prompt_id"], data["timestamp"]),
    "execution_cached": lambda data: ExecutionCached(data["prompt_id"], tuple(data["nodes"])),
    "executing": lambda data: Executing(data.get("prompt_id"), data["node"], data.get("display_node")),
    "progress": lambda data: Progress(data["value"], data["max"], data["prompt_id"], data["node"]),
    "progress_state": lambda data: ProgressState(data["prompt_id"], tuple(map(expected_node, data["nodes"].values()))),
    "executed": lambda data: Executed(data["prompt_id"], data["node"], data["display_node"], data["output"]),
    "execution_success": lambda data: ExecutionSuccess(data["prompt_id"], data["timestamp"]),
    "execution_error": lambda data: ExecutionError(
        data["prompt_id"],
        data["node_id"],
        data["node_type"],
        data["exception_type"],
        data["exception_message"],
        tuple(data["traceback"]),
    ),
    "execution_interrupted": lambda data: ExecutionInterrupted(data["prompt_id"], data["node_id"], data["node_type"]),
    "feature_flags": FeatureFlags,
}


def expected(type_name: str, data: dict[str, Any]) -> Message:
    """What the recorded message has to become, written down a second time and without any tolerance."""
    return EXPECTED[type_name](data) if type_name in EXPECTED else Unknown(type_name, "unknown type")


def expected_node(state: dict[str, Any]) -> NodeState:
    return NodeState(
        state["node_id"],
        state["value"],
        state["max"],
        state["state"],
        state["display_node_id"],
        state["parent_node_id"],
    )


@pytest.mark.parametrize("name", recordings.NAMES)
def test_every_recorded_text_frame_becomes_its_message(name: str) -> None:
    frames = [line["json"] for line in recordings.received(name) if "json" in line]

    as_text = [decode(json.dumps(frame)) for frame in frames]
    as_bytes = [decode_text(json.dumps(frame).encode()) for frame in frames]
    compact = [decode_text(msgspec.json.encode(frame)) for frame in frames]

    assert as_text == as_bytes == compact == [expected(frame["type"], frame["data"]) for frame in frames]


def test_the_only_unknown_types_in_the_recordings_are_logs_and_a_third_partys_event() -> None:
    frames = [line["json"] for name in recordings.NAMES for line in recordings.received(name) if "json" in line]

    unknown = {message.type_name for frame in frames if isinstance(message := decode(json.dumps(frame)), Unknown)}

    assert len(frames) == 2902
    assert unknown == {"logs", "probe.event"}


def test_the_recorded_frame_with_nan_is_read_without_it() -> None:
    raw = [line["raw"] for name in recordings.NAMES for line in recordings.received(name) if "raw" in line]

    messages = [decode(frame) for frame in raw]

    output = {"text": ["nan"], "loss": [None, None, 1.5]}
    assert messages == [Executed("6dd2f351-d4c6-46d9-af59-05416adec331", "1", "1", output)]


@pytest.mark.parametrize("name", recordings.NAMES)
def test_every_recorded_binary_frame_becomes_its_message(name: str) -> None:
    frames = [line["bin"] for line in recordings.received(name) if "b64" in line.get("bin", {})]

    for frame in frames:
        raw = base64.b64decode(frame["b64"])
        message = decode(raw)

        match frame["event_type"]:
            case 1:
                assert message == Preview(raw[8:], f"image/{frame['image_format']}")
                assert len(raw[8:]) == frame["image_len"]
            case 3:
                assert message == NodeText(frame["node_id"], frame["text"])
            case 4:
                metadata = frame["metadata"]
                picture = raw[-frame["image_len"] :]
                assert message == Preview(picture, metadata["image_type"], metadata["prompt_id"], metadata["node_id"])
            case other:
                pytest.fail(f"a binary type nobody expected: {other}")


def test_the_recordings_hold_64_whole_binary_frames_and_17_too_large_to_keep() -> None:
    frames = [line["bin"] for name in recordings.NAMES for line in recordings.received(name) if "bin" in line]

    whole = [frame for frame in frames if "b64" in frame]

    assert (len(whole), len(frames) - len(whole)) == (64, 17)


def test_execution_progress_is_progress_without_a_node() -> None:
    message = decode(text("execution_progress", {"value": 3, "max": 20, "prompt_id": PROMPT_ID}))

    assert message == Progress(3, 20, PROMPT_ID)


def test_numbers_as_ids_become_strings() -> None:
    message = decode(text("executing", {"node": 3, "display_node": 3.5, "prompt_id": 17}))

    assert message == Executing("17", "3", "3.5")


def test_the_greeting_after_a_reconnect_has_a_node_and_no_prompt_id() -> None:
    assert decode(text("executing", {"node": "4"})) == Executing(None, "4")


def test_a_milestone_survives_a_timestamp_of_the_wrong_kind() -> None:
    message = decode(text("execution_success", {"prompt_id": PROMPT_ID, "timestamp": "yesterday"}))

    assert message == ExecutionSuccess(PROMPT_ID, None)


@pytest.mark.parametrize(
    "data",
    [
        {"value": 1, "max": 0},
        {"value": -1, "max": 4},
        {"value": True, "max": 4},
        {"value": "1", "max": 4},
        {"value": None, "max": 4},
        {"max": 4},
        {"value": float("nan"), "max": 4},
        {"value": 1, "max": float("inf")},
        {"value": 10**400, "max": 10**401},
    ],
)
def test_progress_that_says_nothing_usable_is_dropped(data: dict[str, Any]) -> None:
    message = decode(text("progress", data))

    assert message == Unknown("progress", "no usable value and max")


def test_progress_beyond_its_maximum_stands_at_the_maximum() -> None:
    assert decode(text("progress", {"value": 5, "max": 4, "node": "1"})) == Progress(4, 4, None, "1")


@pytest.mark.parametrize(
    ("value", "maximum"), [(float("nan"), 4), (1, float("inf")), (-1, 4), (1, 0), ("1", 4), (None, None)]
)
def test_a_node_with_unusable_numbers_stands_at_0_of_1_and_spoils_no_other(value: object, maximum: object) -> None:
    nodes = {"1": node("1", value, maximum), "2": node("2", 2, 4)}

    message = decode(text("progress_state", {"prompt_id": PROMPT_ID, "nodes": nodes}))

    states = (NodeState("1", 0, 1, "running", "1"), NodeState("2", 2, 4, "running", "2"))
    assert message == ProgressState(PROMPT_ID, states)


def test_an_odd_progress_state_is_read_as_far_as_it_goes() -> None:
    nodes = {"1": None, "2": {}, "3": node("elsewhere", 9, 4, state=None, display_node_id=7)}

    message = decode(text("progress_state", {"nodes": nodes, "prompt_id": 17}))

    states = (
        NodeState("1", 0, 1, "running"),
        NodeState("2", 0, 1, "running"),
        NodeState("3", 4, 4, "running", "7"),
    )
    assert message == ProgressState("17", states)


def test_a_preview_with_metadata_names_its_prompt_and_node() -> None:
    assert decode(preview_with_metadata(METADATA)) == Preview(b"picture", "image/jpeg", PROMPT_ID, "5")
