"""Nothing anybody could send breaks the reader."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.comfyui.messages import (
    _READERS,
    Executed,
    Message,
    Progress,
    ProgressState,
    Unknown,
    decode,
    decode_binary,
    decode_text,
)

if TYPE_CHECKING:
    pass

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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
TYPES = [*_READERS, "other"]
KEYS = sorted(
    {"status", "exec_info", "queue_remaining", "sid", "nodes", "value", "max", "state", "node", "node_id", "prompt_id"}
    | {"display_node", "display_node_id", "output", "timestamp", "traceback", "exception_type"}
)
data_objects = st.dictionaries(
    st.sampled_from(KEYS),
    json_values | st.dictionaries(st.text(max_size=3), st.dictionaries(st.sampled_from(KEYS), json_values)),
)


@pytest.mark.parametrize(
    ("frame", "type_name"),
    [
        ("", ""),
        ("null", ""),
        ("[]", ""),
        ("{broken}", ""),
        ('{"type": "status"} trailing', ""),
        ("{}", ""),
        ('{"type": 7, "data": {}}', ""),
        ('{"type": ["status"], "data": {}}', ""),
        ('{"type": "status"}', "status"),
        ('{"type": "status", "data": null}', "status"),
        ('{"type": "executed", "data": []}', "executed"),
        ('{"type": "executed", "data": {"prompt_id": "p"}}', "executed"),
        ('{"type": "execution_start", "data": {"prompt_id": null}}', "execution_start"),
        ('{"type": "progress_state", "data": {"nodes": {}}}', "progress_state"),
        ('{"type": "progress_state", "data": 3}', "progress_state"),
        ('{"type": "crystools.monitor", "data": {}}', "crystools.monitor"),
        ("[" * 100_000, ""),
        ('{"type": "executed", "data": ' + '{"a":' * 100_000, ""),
        ('{"type": "status", "data": ' + "9" * 5_000 + "}", ""),
    ],
)
def test_what_cannot_be_read_is_unknown_under_the_name_it_came_with(frame: str, type_name: str) -> None:
    for message in (decode(frame), decode_text(frame.encode())):
        assert isinstance(message, Unknown)
        assert message.type_name == type_name
        assert message.why


def test_the_name_of_an_unknown_type_is_cut_short() -> None:
    message = decode(text("x" * 1_000_000, {}))

    assert message == Unknown("x" * 80, "unknown type")


def test_broken_utf8_and_lone_surrogates_are_replaced_by_text_that_can_be_written_again() -> None:
    frames: list[str | bytes] = [
        b'{"type": "executed", "data": {"prompt_id": "p", "node": "1", "output": {"text": ["\xff"]}}}',
        '{"type": "executed", "data": {"prompt_id": "p", "node": "1", "output": {"text": ["\\ud800"]}}}',
        '{"type": "executed", "data": {"prompt_id": "p", "node": "1", "output": {"text": ["\ud800"]}}}',
    ]

    messages = [decode_text(frame) for frame in frames]

    for message in messages:
        assert isinstance(message, Executed)
        assert message.output is not None
        assert msgspec.json.decode(msgspec.json.encode(message.output)) == message.output


def test_a_large_frame_is_read() -> None:
    output = {"text": ["x" * 8_000_000]}

    message = decode(text("executed", {"prompt_id": "p", "node": "1", "output": output}))

    assert message == Executed("p", "1", None, output)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\0\0",
        struct.pack(">I", 1),
        struct.pack(">II", 1, 1),
        struct.pack(">II", 1, 7) + b"picture",
        struct.pack(">II", 2, 1) + b"picture",
        struct.pack(">II", 3, 0xFFFFFFFF) + b"node",
        struct.pack(">II", 4, 0) + b"picture",
        struct.pack(">II", 4, 4) + b"nullpicture",
        struct.pack(">II", 0xFFFFFFFF, 0),
        preview_with_metadata([]),
        preview_with_metadata({"prompt_id": PROMPT_ID}),
        preview_with_metadata({**METADATA, "image_type": ["image/png"]}),
        preview_with_metadata({**METADATA, "image_type": "image/svg+xml"}),
        preview_with_metadata(METADATA, picture=b""),
        struct.pack(">II", 4, 100_000) + b"[" * 100_000 + b"picture",
    ],
)
def test_a_binary_frame_of_no_known_layout_is_unknown(frame: bytes) -> None:
    message = decode(frame)

    assert isinstance(message, Unknown)
    assert message.type_name.startswith("binary ")


def test_a_text_frame_cut_anywhere_is_unknown() -> None:
    whole = [
        text("executing", {"node": "1", "display_node": "1", "prompt_id": PROMPT_ID}),
        text("progress_state", {"prompt_id": PROMPT_ID, "nodes": {"1": node("1", 1, 2)}}),
        text("executed", {"node": "1", "prompt_id": PROMPT_ID, "output": {"text": ["\u00e9\ud83d\ude00"]}}),
    ]

    for frame in whole:
        raw = frame.encode()
        assert not isinstance(decode_text(raw), Unknown)
        assert all(isinstance(decode_text(raw[:end]), Unknown) for end in range(len(raw)))


def test_a_binary_frame_cut_anywhere_is_unknown_or_a_shorter_picture() -> None:
    whole = {
        preview_with_metadata(METADATA): 1,
        struct.pack(">II", 1, 2) + b"picture": 1,
        struct.pack(">II", 3, 2) + b"12half way": 0,
    }

    for frame, body_length in whole.items():
        shortest = len(frame) - len(frame.rpartition(b"picture")[1] or b"half way") + body_length
        for end in range(len(frame)):
            assert isinstance(decode(frame[:end]), Unknown) is (end < shortest), end


@given(
    st.binary()
    | st.text()
    | st.builds(lambda kind, rest: struct.pack(">I", kind) + rest, st.integers(0, 5), st.binary())
)
def test_no_frame_makes_the_reader_raise(frame: str | bytes) -> None:
    assert isinstance(decode(frame), Message)
    assert isinstance(decode_text(frame), Message)


@given(st.binary())
def test_no_metadata_make_the_reader_raise(header: bytes) -> None:
    frame = struct.pack(">II", 4, len(header)) + header + b"picture"

    assert isinstance(decode_binary(frame), Message)


@given(st.sampled_from(TYPES) | json_values, data_objects | json_values)
def test_whatever_the_data_are_only_finite_numbers_and_writable_text_come_out(type_name: object, data: object) -> None:
    message = decode(json.dumps({"type": type_name, "data": data}))

    match message:
        case Progress(value=value, maximum=maximum):
            assert 0 <= value <= maximum < float("inf")
            assert maximum > 0
        case ProgressState(nodes=nodes):
            assert all(0 <= state.value <= state.maximum < float("inf") for state in nodes)
            assert all(state.maximum > 0 for state in nodes)
        case Executed(output=output):
            assert b"NaN" not in json.dumps(output, allow_nan=False).encode()
        case _:
            pass
    msgspec.json.encode(message)
