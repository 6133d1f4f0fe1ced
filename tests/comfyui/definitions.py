"""Node definitions for tests: those two real servers gave, and small ones built by hand."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from app.comfyui.definitions import Definitions


@cache
def recorded_classes(version: str) -> dict[str, Any]:
    packed = (Path(__file__).parents[1] / "data" / f"{version}.json.gz").read_bytes()
    classes: dict[str, Any] = json.loads(gzip.decompress(packed))
    return classes


def a_server(version: str = "0.3.64", more: dict[str, Any] | None = None) -> Definitions:
    """What a real server of this version has, and `more` classes by name."""
    return Definitions(recorded_classes(version) | (more or {}))


def a_class(*, output: tuple[str, ...] = ("IMAGE",), is_output: bool = False, **required: list[Any]) -> dict[str, Any]:
    return {"input": {"required": required}, "output": list(output), "output_node": is_output}
