"""What the servers have to offer: their models, samplers and node classes, and which of them could run a graph.

Owns the sum over all servers. A server that has told nothing yet counts as one that could do anything: it is its word
that decides then. Nothing here queues or sends a prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from app.backends import Backend, BackendPool
from app.comfyui.checks import Finding, check, merged
from app.comfyui.definitions import Definitions
from app.comfyui.errors import ComfyError
from app.comfyui.templates import Template
from app.comfyui.workflow import Workflow

ASK_S: Final = 2.0
"""How long a server may take to tell how it is; a person waits for the answer."""

STALE_S: Final = 10.0
"""Definitions younger than this are believed when they say that something is missing; others are read anew first."""

MODELS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "checkpoints": (("CheckpointLoaderSimple", "ckpt_name"),),
    "diffusionModels": (("UNETLoader", "unet_name"),),
    "loras": (("LoraLoader", "lora_name"), ("LoraLoaderModelOnly", "lora_name")),
    "vaes": (("VAELoader", "vae_name"),),
    "textEncoders": (("CLIPLoader", "clip_name"), ("DualCLIPLoader", "clip_name1"), ("TripleCLIPLoader", "clip_name1")),
    "clipVision": (("CLIPVisionLoader", "clip_name"),),
    "controlNets": (("ControlNetLoader", "control_net_name"),),
    "upscaleModels": (("UpscaleModelLoader", "model_name"),),
    "styleModels": (("StyleModelLoader", "style_model_name"),),
    "hypernetworks": (("HypernetworkLoader", "hypernetwork_name"),),
    "audioEncoders": (("AudioEncoderLoader", "audio_encoder_name"),),
    "samplers": (("KSampler", "sampler_name"), ("KSamplerSelect", "sampler_name")),
    "schedulers": (("KSampler", "scheduler"), ("BasicScheduler", "scheduler")),
}
"""Category to the inputs that list its members."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """`able`: the servers that could run a graph, None for any. `findings`: why none could, in a caller's words."""

    able: tuple[str, ...] | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """How a server is. `running` and `queued` count everybody's prompts; None where it could not be asked."""

    name: str
    healthy: bool
    listening: bool
    version: str | None
    device: str | None
    vram_total_bytes: int | None
    vram_free_bytes: int | None
    running: int | None
    queued: int | None
    in_flight: int
    last_error: str | None


class Offers:
    """The sum of what the servers of a pool offer."""

    def __init__(self, pool: BackendPool) -> None:
        self._pool = pool

    def choices(self, class_type: str, input_name: str) -> tuple[str, ...]:
        """What any server offers for this input; first what all of them do, in the first one's order."""
        offers = [each for known in self._definitions() if (each := known.choices(class_type, input_name))]
        every = dict.fromkeys(choice for offer in offers for choice in offer)
        common = set(every).intersection(*offers)
        return tuple(sorted(every, key=lambda choice: choice not in common))

    def models(self) -> dict[str, tuple[str, ...]]:
        """Every category of `MODELS` with what any server has of it."""
        return {
            category: tuple(dict.fromkeys(choice for place in places for choice in self.choices(*place)))
            for category, places in MODELS.items()
        }

    def available(self, template: Template) -> dict[str, tuple[str, ...]]:
        """What the servers really offer for each parameter that has a list of choices there."""
        available: dict[str, tuple[str, ...]] = {}
        for name, parameter in template.parameters.items():
            for class_type, input_name in () if parameter.kind.is_media else template.bound_classes(name):
                if choices := self.choices(class_type, input_name):
                    available[name] = choices
        return available

    async def conditions(self) -> list[Condition]:
        """How every server is, asked now and within `ASK_S`."""
        return await asyncio.gather(*map(_condition, self._pool.all))

    def best_definitions(self) -> Definitions | None:
        """Those of the server that knows the most node classes."""
        return max(self._definitions(), key=len, default=None)

    async def judged(self, graph: Workflow) -> Judgement:
        """Which servers could run the graph. A refusal is only pronounced on fresh definitions."""
        judgement = self._judge(graph)
        if judgement.findings:
            await self.refresh(STALE_S)
            judgement = self._judge(graph)
        return judgement

    async def refresh(self, max_age_s: float) -> None:
        """Read definitions older than that anew, from all servers that answer."""
        await asyncio.gather(*(backend.refresh(max_age_s) for backend in self._pool.all))

    def _judge(self, graph: Workflow) -> Judgement:
        found: dict[str, tuple[Finding, ...]] = {}
        for backend in self._pool.all:
            definitions = backend.definitions
            found[backend.name] = () if definitions is None else _certain(check(graph, definitions), definitions)
        able = tuple(name for name, findings in found.items() if not findings)
        if not able:
            return Judgement(findings=merged(found))
        return Judgement(able=None if len(able) == len(found) else able)

    def _definitions(self) -> list[Definitions]:
        return [each.definitions for each in self._pool.all if each.definitions is not None]


async def _condition(backend: Backend) -> Condition:
    queue = stats = None
    with contextlib.suppress(TimeoutError, ComfyError):
        async with asyncio.timeout(ASK_S):
            queue, stats = await asyncio.gather(backend.client.queue(), backend.client.system_stats())
    device = stats.devices[0] if stats is not None and stats.devices else None
    return Condition(
        name=backend.name,
        healthy=backend.is_healthy,
        listening=backend.is_listening,
        version=backend.version,
        device=backend.device,
        vram_total_bytes=device.vram_total_bytes if device else None,
        vram_free_bytes=device.vram_free_bytes if device else None,
        running=len(queue.running) if queue else None,
        queued=len(queue.pending) if queue else None,
        in_flight=len(backend.in_flight),
        last_error=backend.last_error,
    )


def _certain(findings: tuple[Finding, ...], definitions: Definitions) -> tuple[Finding, ...]:
    """Without what a node pack's own rules may allow after all; there the server's word decides."""
    return tuple(
        each
        for each in findings
        if each.code.is_certain or each.class_type not in definitions or not definitions[each.class_type].is_custom
    )
