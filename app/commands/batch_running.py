"""One run of a batch command: the batch posted, or found again, followed to its end, its files kept as they come.

Everything that must outlive this process is in the folder's state or at the service, so a run can end anywhere and the
next one goes on: an item that is kept is not fetched again, and nothing is made twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.commands import names, presence
from app.commands.bars import Bar
from app.commands.batch_plan import Item
from app.commands.batch_state import Accepted, Kept, State
from app.commands.interrupts import Interrupts
from app.commands.saving import Shelf
from app.commands.screens import Screen
from app.commands.watching import REDRAW_S, bar_of

if TYPE_CHECKING:
    from comfy_relay import AsyncClient, Batch, BatchResult

LOOK_S: Final = 1.0
"""How often is asked which items run, where there is a terminal to show it."""

MAX_SHOWN: Final = 8
"""Bars of items that run; those of more would push what was there out of the window."""

MARKS: Final = 10


class Settled:
    """An item that needs nothing more in this run: kept, failed or canceled. `why` tells of the last two."""

    __slots__ = ("item", "kept", "result", "why")

    def __init__(self, item: Item, result: BatchResult, kept: Kept | None = None, why: str = "") -> None:
        self.item, self.result, self.kept, self.why = item, result, kept, why


class Running:
    """`settled` is called once for each item of the plan, as it comes; `body` is what `client.batch` takes besides."""

    def __init__(
        self,
        client: AsyncClient,
        items: Sequence[Item],
        body: dict[str, Any],
        state: State,
        folder: Path,
        screen: Screen,
        *,
        label: str,
        rows: int,
        settled: Callable[[Settled], None] = lambda _: None,
    ) -> None:
        self._client, self._body, self._state, self._screen = client, body, state, screen
        self._shelf = Shelf(folder)
        self._numbers = {item.key: number for number, item in enumerate(items, 1)}
        self._items = {item.key: item for item in items}
        self._label, self._rows, self._tell = label, rows, settled
        self._standing: Batch | None = None
        self._under_way: set[str] = set()
        self._running: list[Bar] = []
        self.settled: dict[str, Settled] = {}

    async def post(self, *, retries_failed: bool) -> Batch | None:
        """Have the service take it, or go on with it; None where nothing is left to be made. Raises RelayError."""
        state = self._state
        if state.batch_id is not None and not await self._is_known(state.batch_id):
            await self._begin_anew()
        items = [each for key, each in self._items.items() if key not in self.settled]
        if not items:
            return None
        bodies = [{**item.body, "key": item.key} for item in items]
        batch = await self._client.batch(bodies, idempotency_key=state.header.idempotency_key, **self._body)
        if batch.id != state.batch_id:
            state.write(Accepted(batch.id))
        if batch.status == "canceling":
            self._screen.say("The batch is being canceled; waiting for that before it goes on.")
            batch = await self._client.wait_batch(batch)
        failed, canceled = batch.count("failed"), batch.count("canceled")
        if canceled or (retries_failed and failed):
            again = " and ".join(f"{n} {what}" for n, what in ((failed, "failed"), (canceled, "canceled")) if n)
            self._screen.say(f"Trying {again} again.")
            batch = await self._client.retry_batch(batch, include_canceled=bool(canceled))
        self._standing = batch
        return batch

    async def follow(self, batch: Batch, interrupts: Interrupts) -> None:
        """Until every item is settled; the first Ctrl-C has the batch canceled. Raises RelayError."""
        self._show()
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._redraw(), name="redraw"),
                group.create_task(self._cancel(batch, interrupts), name="cancel"),
            ]
            if self._rows:
                beside.append(group.create_task(self._look(batch), name="look"))
            async with asyncio.TaskGroup() as saving:
                await self._hear(batch, saving)
            for task in beside:
                task.cancel()
        self._running = []
        self._show()

    async def _begin_anew(self) -> None:
        """The service has lost the batch, with its database perhaps: what is here is not made again."""
        for number, (key, item) in enumerate(self._items.items()):
            if (kept := self._state.kept.get(key)) is not None and await self._is_kept(key):
                self._settle(Settled(item, _remembered(number, item, kept), kept))
        self._screen.say(f"The service does not know this batch any more; {len(self.settled)} items of it are here.")

    async def _is_known(self, batch_id: str) -> bool:
        from comfy_relay import Problem

        try:
            await self._client.get_batch(batch_id)
        except Problem as problem:
            if problem.code != "not_found":
                raise
            return False
        return True

    async def _is_kept(self, key: str) -> bool:
        kept = self._state.kept.get(key)
        return kept is not None and all([await self._shelf.is_whole(file) for file in kept.files])

    async def _hear(self, batch: Batch, saving: asyncio.TaskGroup) -> None:
        """First what had ended before, then each that ends, and at last whatever was told to nobody."""
        from comfy_relay import events

        is_first = True
        async for event in self._client.follow_batch(batch):
            match event:
                case events.ItemEnded():
                    self._take(event.item, saving)
                case events.BatchTold():
                    self._standing = event.batch
                    self._show()
            if is_first:
                is_first = False
                await self._catch_up(batch, saving)
        await self._catch_up(batch, saving)

    async def _catch_up(self, batch: Batch, saving: asyncio.TaskGroup) -> None:
        ended = ("succeeded", "failed", "canceled")
        async for result in self._client.batch_results(batch, status=ended):
            self._take(result, saving)

    def _take(self, result: BatchResult, group: asyncio.TaskGroup) -> None:
        """What is no part of the plan any more, such as a row that was taken out, is left alone."""
        item = self._items.get(result.key or "")
        if item is None or item.key in self.settled or item.key in self._under_way:
            return
        if result.status == "succeeded":
            self._under_way.add(item.key)
            group.create_task(self._keep(item, result), name="keep")
        else:
            error = result.error
            self._settle(Settled(item, result, why=f"{error.code}, {error.message}" if error else str(result.status)))

    async def _keep(self, item: Item, result: BatchResult) -> None:
        from comfy_relay import DamagedFile, Problem

        kept = self._state.kept.get(item.key)
        if kept is None or not await self._is_kept(item.key):
            stem = names.stem(result.prompt, result.template, result.seed, self._numbers[item.key])
            try:
                files = await self._shelf.save(self._client, result.outputs, stem)
            except (DamagedFile, Problem) as error:
                self._settle(Settled(item, result, why=f"could not be fetched: {error}"))
                return
            kept = Kept(key=item.key, generation_id=result.generation_id, files=files)
            self._state.write(kept)
        self._settle(Settled(item, result, kept))

    def _settle(self, settled: Settled) -> None:
        key = settled.item.key
        self._under_way.discard(key)
        self.settled[key] = settled
        self._show()
        self._tell(settled)

    def _show(self) -> None:
        total, settled = len(self._items), len(self.settled)
        canceled = sum(each.result.status == "canceled" for each in self.settled.values())
        wrong = sum(each.kept is None for each in self.settled.values()) - canceled
        standing = self._standing
        running = 0 if standing is None else standing.count("running")
        words = [
            f"{wrong} failed" if wrong else "",
            f"{canceled} canceled" if canceled else "",
            f"{running} running" if running and settled < total else "",
        ]
        whole = Bar(
            label=self._label,
            share=settled / total if total else 1.0,
            count=f"{settled}/{total}",
            note=", ".join(filter(None, words)),
            eta_s=standing.eta_seconds if standing is not None and settled < total else None,
            phase="canceling" if standing is not None and standing.status == "canceling" else "",
            marks=MARKS,
        )
        if settled < total and presence.is_away(self._client):
            self._screen.show([replace(whole, note=presence.NOTE, eta_s=None)])
        else:
            self._screen.show([whole, *self._running])

    async def _look(self, batch: Batch) -> None:
        """Which items run, and how far they are."""
        limit = min(MAX_SHOWN, self._rows)
        while True:
            found = self._client.batch_generations(batch, status="running", limit=limit)
            running = sorted([each async for each in found], key=lambda each: each.batch_index or 0)
            self._running = [
                bar_of(each, f"{self._numbers.get(each.item_key or '', 0):04d} {each.prompt or ''}", "", is_inner=True)
                for each in running
            ]
            self._show()
            await asyncio.sleep(LOOK_S)

    async def _redraw(self) -> None:
        while True:
            self._show()
            self._screen.draw()
            await asyncio.sleep(REDRAW_S)

    async def _cancel(self, batch: Batch, interrupts: Interrupts) -> None:
        await interrupts.asked.wait()
        self._screen.say(presence.canceling(self._client, "the batch"))
        await self._client.cancel_batch(batch)


def _remembered(index: int, item: Item, kept: Kept) -> BatchResult:
    from comfy_relay import BatchResult, Status

    prompt, seed = item.body.get("prompt"), item.body.get("seed")
    return BatchResult(
        index=index,
        key=kept.key,
        generation_id=kept.generation_id,
        status=Status.SUCCEEDED,
        prompt=prompt if isinstance(prompt, str) else None,
        seed=seed if isinstance(seed, int) else None,
    )
