"""Reads the recordings of a real ComfyUI (0.3.64) that lie in tests/recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent.parent / "recordings"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.jsonl")))


def lines(name: str) -> Iterator[dict[str, Any]]:
    with (FOLDER / f"{name}.jsonl").open() as recording:
        for line in recording:
            yield json.loads(line)


def received(name: str) -> Iterator[dict[str, Any]]:
    """What came in on the sockets, without openings and closings."""
    return (line for line in lines(name) if line["dir"] == "ws-in" and "event" not in line)


def history_entries(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every (prompt_id, entry) in an answer to GET /history or /history/{id}; shortened entries are left out."""
    for line in lines(name):
        is_history = line["dir"] == "http" and line["path"].removeprefix("/api").startswith("/history")
        if is_history and line["method"] == "GET" and isinstance(line.get("response"), dict):
            answer = line["response"]
            answer = json.loads(answer["#not_strict_json"]) if "#not_strict_json" in answer else answer
            yield from ((key, entry) for key, entry in answer.items() if isinstance(entry, dict) and "outputs" in entry)
