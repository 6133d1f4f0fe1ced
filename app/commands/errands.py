"""What `comfy-relay generate` does: send one request or a few, watch them to their ends, print what was kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.commands import asking, interrupts, names, presence, speech, terminal
from app.commands.connecting import async_client
from app.commands.errors import Incomplete, Interrupted, Misuse
from app.commands.interrupts import Interrupts
from app.commands.saving import Shelf
from app.commands.screens import screen_of
from app.commands.terminal import shows
from app.commands.values import camel
from app.commands.watching import Ended, Watching

if TYPE_CHECKING:
    from comfy_relay import AsyncClient, Event, Generation

SEEDS: Final = 2**64

_OPTIONS: Final = {"projectId": "--project", "references": "--reference", "deadlineSeconds": "--deadline"}
_BY_OPTION: Final = frozenset({"template", "workflow", "priority", "metadata", "force", "seed"})


@dataclass(frozen=True, slots=True)
class Errand:
    """What was asked for: the fields of one request, how often, and what to do with what comes of it."""

    fields: dict[str, Any]
    assignments: tuple[str, ...]
    count: int
    out: Path
    is_detached: bool
    as_json: bool
    tells_events: bool
    quiet: bool
    pictures: bool | None


async def carried_out(url: str, key: str | None, errand: Errand) -> None:
    """Make it. Raises CommandError for anything but success, and RelayError."""
    if "workflow" in errand.fields and "template" in errand.fields:
        raise Misuse("--workflow and --template: give one of them")
    if errand.tells_events and not errand.as_json:
        raise Misuse("--events: is for --json")
    window = terminal.Terminal() if errand.as_json else terminal.here()
    screen = screen_of(window, quiet=errand.quiet, pictures=errand.pictures)
    going: set[str] = set()
    async with async_client(url, key) as client, interrupts.heard() as pressed:
        errand = replace(errand, fields=await _sent(client, await _completed(client, errand)))
        if errand.is_detached:
            started = await _started(client, errand, pressed, going)
            if not errand.quiet:
                speech.remark(f"comfy-relay fetch {' '.join(each.id for each in started)} -o {errand.out}")
            return
        folder, stem = _place(errand)
        shelf = shelf_in(folder)
        with interrupts.leaving(going), screen:
            async with presence.watched(client, screen):
                with pressed.starting(screen.say):
                    started = await _started(client, errand, pressed, going)
                shown, heard = shows(window, errand.pictures), _heard(errand)
                watching = Watching(client, screen, shelf, going, stem=stem, heard=heard, has_previews=shown)
                labels = {each.id: label(each, len(started), number) for number, each in enumerate(started)}
                await watching.watch(labels, pressed)
        found = [watching.found[each.id] for each in started]
        for each in found:
            tell(each, folder, as_json=errand.as_json)
        if pressed.asked.is_set():
            raise Interrupted(_ends(found))
        if failed := [why(each.generation) for each in found if not each.generation.has_succeeded]:
            raise Incomplete(*failed)


async def _completed(client: AsyncClient, errand: Errand) -> dict[str, Any]:
    """The fields with the parameters that were set, as values of the types the template has them in."""
    fields = dict(errand.fields)
    if not errand.assignments:
        return fields
    known: Any = {}
    if "workflow" not in fields:
        known = await asking.schemas_of(client, fields.get("template", asking.DEFAULT_TEMPLATE))
    return fields | asking.assignments("--set", errand.assignments, known)


async def _sent(client: AsyncClient, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with ids of uploads in the place of files, so that it is told which one the service does not take."""
    found = dict(fields)
    for name, value in fields.items():
        if isinstance(value, Path):
            found[name] = await asking.sent(client, value, f"--set {name}={value}")
    if references := fields.get("references"):
        found["references"] = [await _reference(client, each) for each in references]
    return found


async def _reference(client: AsyncClient, given: Any) -> Any:
    if isinstance(given, dict):
        return {**given, "source": await _reference(client, given["source"])}
    return await asking.sent(client, given, f"--reference {given}") if isinstance(given, Path) else given


async def _started(client: AsyncClient, errand: Errand, pressed: Interrupts, going: set[str]) -> list[Generation]:
    started: list[Generation] = []
    fields = dict(errand.fields)
    first = fields.get("seed")
    while len(started) < errand.count and not pressed.asked.is_set():
        if started and isinstance(first, int) and first >= 0:
            fields["seed"] = (first + len(started)) % SEEDS
        started.append(await client.generate(**fields))
        going.add(started[-1].id)
        if errand.is_detached:
            generation = started[-1]
            speech.entry(generation.raw) if errand.as_json else speech.put(generation.id)
    return started


def _heard(errand: Errand) -> Callable[[Event], None]:
    return (lambda event: speech.entry(event.raw)) if errand.tells_events else (lambda _: None)


def tell(ended: Ended, folder: Path, *, as_json: bool) -> None:
    """The paths of its files, or its record with them."""
    paths = [str(folder / each.file) for each in ended.files]
    if as_json:
        speech.entry({**ended.generation.raw, "files": paths})
    else:
        for path in paths:
            speech.put(path)


def _place(errand: Errand) -> tuple[Path, str | None]:
    """The folder, and what files in it are called if that was said."""
    if names.is_of_a_file(errand.out.name) and not errand.out.is_dir():
        return errand.out.parent, errand.out.stem
    return errand.out, None


def shelf_in(folder: Path) -> Shelf:
    """A folder that is made if need be. Raises Misuse."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misuse(f"{folder}: cannot be made ({error.strerror}); choose another place with -o") from error
    return Shelf(folder)


def label(generation: Generation, count: int = 1, number: int = 0) -> str:
    """What its bar is called."""
    name = generation.prompt or generation.template or "workflow"
    return f"{number + 1}/{count} {name}" if count > 1 else name


def why(generation: Generation) -> str:
    """It did not succeed."""
    error = generation.error
    return (
        f"{generation.id}: {generation.status}" if error is None else f"{generation.id}: {error.code}, {error.message}"
    )


def _ends(found: list[Ended]) -> str:
    canceled = sum(each.generation.status == "canceled" for each in found)
    done = sum(each.generation.has_succeeded for each in found)
    return f"Canceled {canceled}." if not done else f"Canceled {canceled}; {done} had been finished before."


def words(pointer: str) -> str:
    """What a person wrote, for a place in the request."""
    _, name, *rest = [*pointer.split("/"), ""]
    if name in {"params", ""} and rest and rest[0]:
        name = rest[0]
    if name == "prompt" or not name:
        return name or pointer or "request"
    return _OPTIONS.get(camel(name)) or (f"--{name}" if name in _BY_OPTION else f"--set {name}")
