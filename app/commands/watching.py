"""Generations that a command has started, followed to their ends side by side: bars, previews, files kept.

Owns one run of such a command. What it is told goes to a screen, what is finished is in `found`; prints nothing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.commands import names, presence
from app.commands.bars import Bar, duration
from app.commands.batch_state import KeptFile
from app.commands.interrupts import Interrupts
from app.commands.saving import Shelf
from app.commands.screens import Screen

if TYPE_CHECKING:
    from comfy_relay import AsyncClient, Generation
    from comfy_relay.events import Event, Moment

REDRAW_S: Final = 0.1
"""As often as anybody can see."""


class Ended(NamedTuple):
    """A generation that has its end, and the files that were kept of it."""

    generation: Generation
    files: tuple[KeptFile, ...]


class Watching:
    """`stem` None: files are called by prompt and seed. `heard` gets every event. `found` has the ends, by id.

    `going` are the ids without an end; one is taken out when it has its end.
    """

    def __init__(
        self,
        client: AsyncClient,
        screen: Screen,
        shelf: Shelf,
        going: set[str],
        *,
        stem: str | None = None,
        heard: Callable[[Event], None] = lambda _: None,
        has_previews: bool = False,
    ) -> None:
        self._client, self._screen, self._shelf, self._stem = client, screen, shelf, stem
        self._heard, self._has_previews = heard, has_previews
        self._bars: dict[str, Bar] = {}
        self._going = going
        self.found: dict[str, Ended] = {}

    async def watch(self, labels: Mapping[str, str], interrupts: Interrupts | None = None) -> None:
        """Follow generations, by id, to their ends; the first of `interrupts` has them canceled. Raises RelayError."""
        self._bars = {generation_id: Bar(label=label, phase="sent") for generation_id, label in labels.items()}
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(self._redraw(), name="redraw")]
            if interrupts is not None:
                beside.append(group.create_task(self._cancel(interrupts), name="cancel"))
            following = [group.create_task(self._follow(each), name="follow") for each in labels]
            await asyncio.gather(*following)
            for task in beside:
                task.cancel()

    async def _follow(self, generation_id: str) -> None:
        from comfy_relay import events

        async for event in self._client.follow(generation_id, previews=self._has_previews):
            self._heard(event)
            match event:
                case events.PreviewReady():
                    self._screen.picture(event.picture)
                case events.Ended():
                    self._going.discard(generation_id)
                    self._show(generation_id, event, "saving" if event.generation.outputs else "")
                    await self._finish(event.generation)
                case events.Moment():
                    self._show(generation_id, event, noted(event))

    async def _finish(self, generation: Generation) -> None:
        files: tuple[KeptFile, ...] = ()
        if generation.has_succeeded:
            stem = self._stem or names.stem(generation.prompt, generation.template, generation.seed)
            files = await self._shelf.save(self._client, generation.outputs, stem)
            await self._show_picture(self._shelf.folder, files)
        took = "" if generation.duration_seconds is None else f" in {duration(generation.duration_seconds)}"
        note = f"done{took}" if generation.has_succeeded else str(generation.status)
        self._bars[generation.id] = _over(self._bars[generation.id], note, str(generation.status))
        self._present()
        self.found[generation.id] = Ended(generation, files)

    async def _show_picture(self, folder: Path, files: tuple[KeptFile, ...]) -> None:
        pictures = [each for each in files if each.file.endswith((".png", ".jpg", ".webp"))]
        if self._has_previews and pictures:
            self._screen.picture(await asyncio.to_thread((folder / pictures[0].file).read_bytes))

    def _show(self, generation_id: str, moment: Moment, note: str) -> None:
        label = self._bars[generation_id].label
        self._bars[generation_id] = bar_of(moment, label, note)
        self._present()

    def _present(self) -> None:
        bars = dict(self._bars)
        if presence.is_away(self._client):
            bars |= {each: replace(bars[each], note=presence.NOTE, eta_s=None) for each in self._going if each in bars}
        self._screen.show(list(bars.values()))

    async def _redraw(self) -> None:
        while True:
            self._present()
            self._screen.draw()
            await asyncio.sleep(REDRAW_S)

    async def _cancel(self, interrupts: Interrupts) -> None:
        await interrupts.asked.wait()
        left = sorted(self._going)
        many = "the generation" if len(left) == 1 else f"{len(left)} generations"
        self._screen.say(presence.canceling(self._client, many))
        await asyncio.gather(*(self._client.cancel(each) for each in left))


def noted(moment: Moment) -> str:
    """What goes on, in a few words."""
    if moment.status in {"pending", "queued"}:
        place = moment.queue_position
        return f"{moment.status}, {place} in line" if place else str(moment.status)
    if moment.status == "canceling":
        return "canceling"
    node = moment.node_progress
    return node.node_name or node.node_type if node else "running"


def bar_of(moment: Any, label: str, note: str, *, is_inner: bool = False) -> Bar:
    """The bar of a generation, from an event or from its record."""
    return Bar(
        label=label,
        share=moment.percentage / 100,
        count=f"{moment.step}/{moment.total_steps}" if moment.total_steps else "",
        note=note,
        eta_s=moment.eta_seconds,
        is_inner=is_inner,
        phase=str(moment.status),
    )


def _over(bar: Bar, note: str, phase: str) -> Bar:
    share = 1.0 if phase == "succeeded" else bar.share
    return Bar(label=bar.label, share=share, count=bar.count, note=note, phase=f"{phase}, kept")
