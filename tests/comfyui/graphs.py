"""Graphs for tests: small ones built by hand, and those that were sent to a real ComfyUI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.comfyui import recordings

if TYPE_CHECKING:
    from collections.abc import Iterator


def a_node(class_type: str, title: str | None = None, **inputs: Any) -> dict[str, Any]:
    node: dict[str, Any] = {"class_type": class_type, "inputs": inputs}
    return node if title is None else node | {"_meta": {"title": title}}


def txt2img(sampler: dict[str, Any] | None = None, batch_size: Any = 1) -> dict[str, Any]:
    return {
        "4": a_node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors"),
        "5": a_node("EmptyLatentImage", width=64, height=64, batch_size=batch_size),
        "3": sampler or a_node("KSampler", "Draw", model=["4", 0], latent_image=["5", 0], steps=20),
        "8": a_node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": a_node("SaveImage", images=["8", 0], filename_prefix="x"),
    }


def recorded_graphs() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every graph a real ComfyUI accepted, with its answer."""
    for name in recordings.NAMES:
        for line in recordings.lines(name):
            is_submit = line["dir"] == "http" and line["method"] == "POST" and line["path"].endswith("/prompt")
            if is_submit and line["status"] == 200:
                request = line["request"]
                request = json.loads(request["#raw"]) if "#raw" in request else request
                # Of very large graphs the recordings only hold the size.
                if "prompt" in request:
                    yield request["prompt"], line["response"]
