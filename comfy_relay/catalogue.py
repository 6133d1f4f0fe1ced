"""What the service answers about itself: templates, models, servers, projects, readiness. Immutable values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from comfy_relay.records import Record


class Parameter(Record, frozen=True, kw_only=True):
    """A parameter of a template. `bindings` are pairs of node id and input; `reason` is why it was inferred."""

    name: str
    kind: str = ""
    description: str = ""
    required: bool = False
    bindings: tuple[tuple[str, str], ...] = ()
    reason: str | None = None


class Template(Record, frozen=True, kw_only=True):
    """A workflow with named parameters. `parameters_schema` is JSON Schema, `example` are parameters that work.

    `version` grows with every change of a caller's own; None for built-in ones, and for what is not stored (a dry run).
    """

    name: str
    title: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    built_in: bool = False
    version: int | None = None
    created_at: datetime | None = None
    parameters: tuple[Parameter, ...] = ()
    parameters_schema: dict[str, Any] = msgspec.field(default_factory=dict)
    example: dict[str, Any] = msgspec.field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Models(Record, frozen=True, kw_only=True):
    """What the ComfyUI servers really have, by category; what this client has no name for is in `raw`."""

    checkpoints: tuple[str, ...] = ()
    diffusion_models: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    vaes: tuple[str, ...] = ()
    text_encoders: tuple[str, ...] = ()
    clip_vision: tuple[str, ...] = ()
    control_nets: tuple[str, ...] = ()
    upscale_models: tuple[str, ...] = ()
    style_models: tuple[str, ...] = ()
    hypernetworks: tuple[str, ...] = ()
    audio_encoders: tuple[str, ...] = ()
    samplers: tuple[str, ...] = ()
    schedulers: tuple[str, ...] = ()


class Backend(Record, frozen=True, kw_only=True):
    """One ComfyUI server. `listening`: its socket has proved itself alive. `running` and `queued` are everybody's
    prompts there, None if it could not be asked; `in_flight` are generations of this service.
    """

    name: str
    healthy: bool = False
    listening: bool = False
    version: str | None = None
    device: str | None = None
    vram_total_bytes: int | None = None
    vram_free_bytes: int | None = None
    running: int | None = None
    queued: int | None = None
    in_flight: int = 0
    last_error: str | None = None


class Project(Record, frozen=True, kw_only=True):
    """A name for generations that belong together. `counts` by status are there where one project is asked for."""

    id: str
    title: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    created_at: datetime | None = None
    counts: dict[str, int] | None = None


class Health(Record, frozen=True, kw_only=True):
    """The process lives."""

    status: str = ""


class BackendCondition(Record, frozen=True, kw_only=True):
    """How one ComfyUI server is, as readiness tells it."""

    healthy: bool = False
    listening: bool = False
    version: str | None = None
    in_flight: int = 0
    last_error: str | None = None


class Readiness(Record, frozen=True, kw_only=True):
    """Whether a job could be finished now, and part by part why."""

    ready: bool
    database: bool = False
    storage: bool = False
    bus: bool = False
    backends: dict[str, BackendCondition] = msgspec.field(default_factory=dict)
