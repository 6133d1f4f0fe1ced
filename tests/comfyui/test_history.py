"""Every history entry a real ComfyUI gave is read, and so is what is left of a damaged one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.comfyui.history import HistoryEntry, Outcome, OutputFile, OutputText, parse_entry, parse_outputs
from app.comfyui.messages import ExecutionError
from tests.comfyui import recordings

ENTRIES = [(name, *entry) for name in recordings.NAMES for entry in recordings.history_entries(name)]
OUTCOMES = {
    "execution_success": Outcome.SUCCESS,
    "execution_error": Outcome.ERROR,
    "execution_interrupted": Outcome.INTERRUPTED,
}


def file_items(entry: dict[str, Any]) -> list[tuple[str, str, str]]:
    lists = [items for ui in entry["outputs"].values() for items in ui.values() if isinstance(items, list)]
    files = [item for items in lists for item in items if isinstance(item, dict) and "filename" in item]
    return [(item["filename"], item["subfolder"], item["type"]) for item in files]


def entry_of(messages: list[Any], **others: Any) -> dict[str, Any]:
    return {"outputs": {}, "status": {"status_str": "error", "completed": False, "messages": messages}, **others}


@pytest.mark.parametrize("name", recordings.NAMES)
def test_every_recorded_entry_is_read_completely(name: str) -> None:
    for prompt_id, raw in recordings.history_entries(name):
        entry = parse_entry(prompt_id, raw)

        messages = raw["status"]["messages"]
        assert entry.prompt_id == prompt_id
        assert entry.outcome is OUTCOMES[messages[-1][0]]
        assert (entry.error is not None) is (entry.outcome is Outcome.ERROR)
        assert (entry.started_ms, entry.ended_ms) == (messages[0][1]["timestamp"], messages[-1][1]["timestamp"])
        assert entry.cached == tuple(messages[1][1]["nodes"])
        assert [(file.filename, file.subfolder, file.type) for file in entry.files] == file_items(raw)


def test_the_recordings_hold_all_three_outcomes() -> None:
    outcomes = Counter(parse_entry(prompt_id, raw).outcome for _, prompt_id, raw in ENTRIES)

    assert outcomes == Counter({Outcome.SUCCESS: 45, Outcome.ERROR: 6, Outcome.INTERRUPTED: 4})


def test_a_recorded_failure_names_its_node_and_keeps_what_was_made_before() -> None:
    failed = [parse_entry(prompt_id, raw) for _, prompt_id, raw in ENTRIES]
    failed = [entry for entry in failed if entry.error and entry.files]

    assert failed
    error = failed[0].error
    assert error is not None
    assert error.prompt_id == failed[0].prompt_id
    assert error.exception_type
    assert error.node_id
    assert error.traceback


def test_the_recorded_entry_with_nan_keeps_its_text() -> None:
    texts = [parse_entry(prompt_id, raw).texts for name, prompt_id, raw in ENTRIES if name == "05_runtime_errors"]

    assert (OutputText("1", "nan"),) in texts


def test_all_recorded_kinds_of_files_are_found_under_their_keys() -> None:
    entries = [parse_entry(prompt_id, raw) for _, prompt_id, raw in ENTRIES]

    keys = {file.key for entry in entries for file in entry.files}
    animated = {file.filename.rpartition(".")[2] for entry in entries for file in entry.files if file.is_animated}

    assert keys == {"images", "latents", "files", "video", "gifs", "audio"}
    assert animated == {"webp", "png", "mp4"}


def test_files_are_told_by_their_shape_and_odd_items_are_skipped() -> None:
    ui: dict[str, Any] = {
        "images": [
            {"filename": "a.png", "subfolder": "s", "type": "temp", "metadata": {}},
            {"filename": "b.png"},
            {"filename": ""},
            {"filename": 3, "type": "output"},
            {"filename": "c.png", "type": "etc"},
            {"filename": "c.png", "type": ["output"]},
            {"filename": "c.png", "subfolder": 1},
            None,
            "d.png",
            ["e.png"],
        ],
        "3d": [{"filename": "m.glb", "subfolder": None, "type": "output"}, "m.glb"],
        "gifs": {"filename": "no list"},
        "text": ["hello", "", 3, None, {"filename": "t.txt", "subfolder": "", "type": "output"}],
        "animated": [True],
    }

    files, texts = parse_outputs("7", ui)

    assert files == [
        OutputFile("7", "a.png", "s", "temp", "images", is_animated=True),
        OutputFile("7", "b.png", "", "output", "images", is_animated=True),
        OutputFile("7", "m.glb", "", "output", "3d", is_animated=True),
        OutputFile("7", "t.txt", "", "output", "text", is_animated=True),
    ]
    assert texts == [OutputText("7", "hello")]


@pytest.mark.parametrize("ui", [None, [], "text", {"text": "text"}, {"animated": True}, {"images": None}])
def test_ui_values_of_the_wrong_kind_hold_nothing(ui: object) -> None:
    assert parse_outputs("7", ui) == ([], [])


def test_interrupted_and_failed_are_told_apart_by_the_last_message() -> None:
    start = ["execution_start", {"prompt_id": "p", "timestamp": 1}]
    interrupted = parse_entry("p", entry_of([start, ["execution_interrupted", {"timestamp": 2}]]))
    failed = parse_entry("p", entry_of([start, ["execution_error", {"exception_message": "no", "timestamp": 3}]]))

    assert interrupted == HistoryEntry("p", Outcome.INTERRUPTED, started_ms=1, ended_ms=2)
    error = ExecutionError("p", exception_message="no")
    assert failed == HistoryEntry("p", Outcome.ERROR, error=error, started_ms=1, ended_ms=3)


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [
        ({}, Outcome.ERROR),
        ({"outputs": None, "status": None}, Outcome.ERROR),
        ({"outputs": {"1": {"images": [{"filename": "a.png"}]}}}, Outcome.SUCCESS),
        ({"status": {"status_str": "success"}}, Outcome.SUCCESS),
        ({"status": {"status_str": "error"}}, Outcome.ERROR),
        ({"status": {"status_str": "success", "messages": [["third.party", {}]]}}, Outcome.SUCCESS),
        ({"status": {"status_str": "success", "messages": [[], None, ["execution_success"], [1, 2]]}}, Outcome.SUCCESS),
        ({"status": {"status_str": 7, "messages": "none"}, "outputs": []}, Outcome.ERROR),
    ],
)
def test_an_entry_without_messages_ends_as_its_status_or_its_files_say(raw: dict[str, Any], outcome: Outcome) -> None:
    assert parse_entry("p", raw).outcome is outcome


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["outputs", "status", "messages", "status_str", "filename", "type", "text", "timestamp"]),
            inner,
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["outputs", "status", "meta"]), json_values))
def test_no_entry_makes_the_reader_raise(raw: dict[str, Any]) -> None:
    assert isinstance(parse_entry("p", raw), HistoryEntry)
