"""Reads the packaged node definitions and the stand-in model names.

Owns the data files beside it. The definitions have the structure of ComfyUI 0.3.64's `/object_info`, without its prose.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.comfyui.simulator.nodes.base import Definition

ModelNames = dict[str, list[str]]


def model_names(replaced: Mapping[str, tuple[str, ...]]) -> ModelNames:
    """Model files by folder, as GET /models/{folder} lists them."""
    packaged: ModelNames = json.loads(_read("models.json"))
    return packaged | {folder: list(names) for folder, names in replaced.items()}


def definitions(models: ModelNames) -> dict[str, Definition]:
    """All built-in node definitions, with the model names filled in."""
    found: dict[str, Definition] = json.loads(_read("object_info.json"), object_hook=lambda part: _filled(part, models))
    return found


def options_of(config: list[Any]) -> list[Any] | None:
    """An input's choices, if it has some; spelt `[[...], {}]` or `["COMBO", {"options": [...]}]`."""
    if isinstance(config[0], list):
        return config[0]
    if config[0] == "COMBO":
        options: list[Any] = config[1].get("options", [])
        return options
    return None


def _filled(part: dict[str, Any], models: ModelNames) -> Any:
    return models.get(part["$models"], []) if "$models" in part else part


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
