"""The moments of a generation's life at which a fault may strike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from app.comfyui.simulator import Simulator
from tests.service import Json, Service

SAMPLER = "3"
"""The sampler's node id in the built-in txt2img."""

REQUEST: dict[str, Any] = {"prompt": "a storm", "steps": 6, "width": 64, "height": 64}


@dataclass(frozen=True, slots=True)
class Moment:
    """`reach` brings a new generation to this moment and keeps it there; releasing the simulator lets it go on."""

    name: str
    reach: Callable[[Service, Simulator], Awaitable[Json]]
    max_in_flight: int = 4


async def _behind_another(api: Service, comfy: Simulator) -> Json:
    comfy.hold("executing", node=SAMPLER)
    await api.generate(**REQUEST | {"prompt": "the one in front"})
    await comfy.held()
    return await api.generate(**REQUEST)


async def _at_the_first_step(api: Service, comfy: Simulator) -> Json:
    comfy.hold("progress", node=SAMPLER)
    answer = await api.generate(**REQUEST)
    await comfy.held()
    return answer


async def _half_way(api: Service, comfy: Simulator) -> Json:
    comfy.hold("progress_state", node=SAMPLER)
    comfy.hold("executing", node="8")
    answer = await api.generate(**REQUEST)
    await comfy.held()
    return answer


async def _at_the_last_message(api: Service, comfy: Simulator) -> Json:
    comfy.hold("executing", node=None)
    answer = await api.generate(**REQUEST)
    await comfy.held()
    return answer


async def _while_files_are_kept(api: Service, comfy: Simulator) -> Json:
    comfy.faults.slow_view_s = 0.5
    answer = await api.generate(**REQUEST)
    await comfy.wait_for("finished", node=answer["comfyuiPromptId"])
    return answer


MOMENTS = (
    Moment("pending", _behind_another, max_in_flight=1),
    Moment("queued", _behind_another, max_in_flight=2),
    Moment("first step", _at_the_first_step),
    Moment("half-way", _half_way),
    Moment("last message", _at_the_last_message),
    Moment("keeping files", _while_files_are_kept),
)
