"""What a simulated ComfyUI is like: fixed for its whole life, as a server's command line is.

Owns no behaviour. What may change while it runs is in `faults`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.comfyui.simulator.nodes.base import Node

DEFAULT_MAX_UPLOAD_BYTES = 100 * 1024 * 1024
"""ComfyUI's own default of `--max-upload-size`."""


class Dialect(StrEnum):
    """How a node's progress is told. MODERN is ComfyUI 0.3.64 and 0.8.0; the rest are older servers and forks."""

    MODERN = "modern"
    """`progress_state` and `progress`."""
    PROGRESS_ONLY = "progress_only"
    """`progress` alone, as before 0.3.41."""
    STATE_ONLY = "state_only"
    """`progress_state` alone."""
    LEGACY = "legacy"
    """`execution_progress {value, max, prompt_id}` in place of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """Settings of one simulator. Times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free port; it stays the same over restarts."""
    step_s: float = 0.05
    """Time of one sampler step."""
    load_s: float = 0.0
    """Time a loader node takes; nothing when its result is cached."""
    dialect: Dialect = Dialect.MODERN
    previews: bool = True
    """A preview frame per sampler step (`--preview-method latent2rgb`); ComfyUI's own default is none."""
    cache: bool = True
    """Keep the results of the previous prompt, as ComfyUI does by default; False is `--cache-none`."""
    data_dir: Path | None = None
    """Parent of `output`, `input` and `temp`; None makes a temporary folder that is removed at the end."""
    version: str = "0.3.64-simulator"
    max_upload_bytes: int = DEFAULT_MAX_UPLOAD_BYTES
    nodes: Mapping[str, Node] = field(default_factory=dict)
    """Extra node classes by name; they replace built-in ones of the same name."""
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Replaces the stand-in model names of a folder, such as `{"checkpoints": ("mine.safetensors",)}`."""
