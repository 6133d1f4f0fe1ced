"""`comfy-relay fetch`: wait for generations and batches that were started before, and save what they made.

Cancels nothing: whoever stops waiting may come again, and files that are there whole are not fetched again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.connecting import MAX_TOLD, async_client, client, telling
from app.commands.identities import SHORT_CHARS
from app.commands.options import HERE, AsJson, Key, Quiet, Url

if TYPE_CHECKING:
    from app.commands.identities import Found
    from app.commands.saving import Shelf
    from app.commands.screens import Screen
    from comfy_relay import AsyncClient, Batch, BatchResult


def fetch(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Of generations and batches; beginnings will do.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.")] = Path(),
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Wait for what was started before, as with --detach, and save it. Prints the paths of the files.

    Ctrl-C ends the waiting and cancels nothing; the same command goes on with it.

    Ends with 1 if any failed, 2 if it was asked for wrongly, 3 if there is no service, 130 after Ctrl-C.
    """
    from app.commands import interrupts
    from app.commands.identities import Identities

    with telling(key):
        with client(url, key) as relay:
            known = Identities(relay)
            found = {each.id: each for each in map(known.meant, ids)}
        interrupts.run(_fetched(url, key, list(found.values()), out, as_json=as_json, quiet=quiet))


async def _fetched(
    url: str, key: str | None, wanted: Sequence[Found], out: Path, *, as_json: bool, quiet: bool
) -> None:
    from app.commands import errands, interrupts, presence, terminal
    from app.commands.errors import Incomplete
    from app.commands.screens import screen_of
    from app.commands.watching import Watching
    from comfy_relay import Generation

    shelf, wrong = errands.shelf_in(out), []
    screen = screen_of(terminal.Terminal() if as_json else terminal.here(), quiet=quiet, pictures=False)
    generations = [each for each in wanted if isinstance(each, Generation)]
    fetched: list[_Fetching] = []
    async with async_client(url, key) as relay, interrupts.heard(is_patient=False):
        with screen:
            async with presence.watched(relay, screen):
                watching = Watching(relay, screen, shelf, {each.id for each in generations})
                await watching.watch({each.id: errands.label(each) for each in generations})
                for each in wanted:
                    if not isinstance(each, Generation):
                        fetched.append(_Fetching(relay, screen, shelf, each))
                        await fetched[-1].follow()
    for ended in (watching.found[each.id] for each in generations):
        errands.tell(ended, out, as_json=as_json)
        if not ended.generation.has_succeeded:
            wrong.append(errands.why(ended.generation))
    for batch in fetched:
        batch.tell(out, as_json=as_json)
        wrong += batch.failures()
    if wrong:
        raise Incomplete(*wrong)


class _Fetching:
    """One batch. `results` are its items that have an end, and `files` the names of what they made, by their places."""

    def __init__(self, relay: AsyncClient, screen: Screen, shelf: Shelf, batch: Batch) -> None:
        self._relay, self._screen, self._shelf, self._batch = relay, screen, shelf, batch
        self.results: dict[int, BatchResult] = {}
        self.files: dict[int, list[str]] = {}

    async def follow(self) -> None:
        """To its end, and until everything is saved. Raises RelayError and Unwritable."""
        from comfy_relay import events

        self._show()
        async with asyncio.TaskGroup() as group:
            drawing = group.create_task(self._redraw(), name="redraw")
            async with asyncio.TaskGroup() as saving:
                async for event in self._relay.follow_batch(self._batch):
                    match event:
                        case events.ItemEnded():
                            self._take(event.item, saving)
                        case events.BatchTold():
                            self._batch = event.batch
                async for result in self._relay.batch_results(self._batch, status=("succeeded", "failed", "canceled")):
                    self._take(result, saving)
            drawing.cancel()
        self._show()

    def tell(self, out: Path, *, as_json: bool) -> None:
        """Items in their order, or the paths of their files."""
        from app.commands import speech

        for index, result in sorted(self.results.items()):
            paths = [str(out / name) for name in self.files[index]]
            if as_json:
                speech.entry({"type": "item", **result.raw, "files": paths})
            else:
                for path in paths:
                    speech.put(path)

    def failures(self) -> list[str]:
        """Why items did not succeed."""
        wrong = [each for _, each in sorted(self.results.items()) if each.status != "succeeded"]
        return [
            f"{each.generation_id}: " + (f"{each.error.code}, {each.error.message}" if each.error else str(each.status))
            for each in wrong[:MAX_TOLD]
        ] + ([f"and {len(wrong) - MAX_TOLD} more"] if len(wrong) > MAX_TOLD else [])

    def _take(self, result: BatchResult, group: asyncio.TaskGroup) -> None:
        if result.index not in self.results:
            self.results[result.index] = result
            group.create_task(self._save(result), name="save")

    async def _save(self, result: BatchResult) -> None:
        from app.commands import names

        stem = names.stem(result.prompt, result.template, result.seed, result.index + 1)
        kept = await self._shelf.save(self._relay, result.outputs, stem)
        self.files[result.index] = [each.file for each in kept]

    async def _redraw(self) -> None:
        from app.commands.watching import REDRAW_S

        while True:
            self._show()
            self._screen.draw()
            await asyncio.sleep(REDRAW_S)

    def _show(self) -> None:
        from app.commands.bars import Bar

        done, total = len(self.files), self._batch.total
        label = f"batch {self._batch.id[:SHORT_CHARS]}"
        share = min(1.0, done / total) if total else 1.0
        running = self._batch.count("running")
        note = f"{running} running" if running and done < total else ""
        self._screen.show([Bar(label=label, share=share, count=f"{done}/{total}", note=note, marks=10)])
