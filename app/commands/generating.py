"""`comfy-relay generate`: start one generation or a few, watch them, keep what they make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.commands import asking, interrupts, speech, terminal
from app.commands.completion import templates
from app.commands.connecting import async_client, telling
from app.commands.errors import ExitCode, Incomplete, Misuse
from app.commands.interrupts import Interrupts
from app.commands.options import HERE, AsJson, Key, Quiet, Url

if TYPE_CHECKING:
    from app.commands.saving import Shelf
    from app.commands.screens import Screen
    from app.commands.watching import Ended
    from comfy_relay import AsyncClient, Event, Generation

MAX_COUNT: Final = 100
"""More is a batch, which gives way to others."""

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
    has_previews: bool


def generate(
    prompt: Annotated[str | None, typer.Argument(help="What the picture shows.")] = None,
    template: Annotated[
        str | None, typer.Option("--template", "-t", help="Name of a template.", autocompletion=templates)
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="NAME=VALUE", help="A parameter of the template; again for another one."),
    ] = None,
    workflow: Annotated[
        Path | None, typer.Option(help="A graph in API format instead of a template; - reads it from a pipe.")
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|URL", help="An input file, or NAME=FILE for a certain parameter; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first one; further ones have the next.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=MAX_COUNT, help="How many.")] = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files, or the name of the file.")] = Path(),
    project: Annotated[str | None, typer.Option(help="A name of yours for what belongs together.")] = None,
    priority: Annotated[int | None, typer.Option(help="Higher goes first; 0 if not given.")] = None,
    deadline: Annotated[float | None, typer.Option(metavar="SECONDS", help="End it when it takes longer.")] = None,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="Kept with the record.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run even if ComfyUI has the same result already.")] = False,
    preview: Annotated[
        bool | None,
        typer.Option("--preview/--no-preview", help="Show the unfinished picture; by itself in kitty and iTerm2."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "--no-wait", help="Only start it, and print its id.")] = False,
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
    events: Annotated[bool, typer.Option("--events", help="With --json: print every event, too.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make a picture, show how it comes along, and save it. Prints the paths of the files.

    Ctrl-C has it canceled. Ends with 1 if it failed, 2 if it was asked for wrongly, 3 if there is no service, 130 after
    Ctrl-C.
    """
    with telling(words=_option):
        if workflow is not None and template is not None:
            raise Misuse("--workflow and --template: give one of them")
        if events and not as_json:
            raise Misuse("--events: is for --json")
        fields = {
            "prompt": prompt,
            "template": template,
            "workflow": asking.workflow(workflow),
            "seed": seed,
            "references": asking.references(reference or []) or None,
            "project_id": project,
            "priority": priority,
            "deadline_seconds": deadline,
            "force": force or None,
            "metadata": asking.json_object("--metadata", metadata),
        }
        window = terminal.Terminal() if as_json else terminal.here()
        wants_pictures = False if quiet else preview
        errand = Errand(
            fields={name: value for name, value in fields.items() if value is not None},
            assignments=tuple(parameters or ()),
            count=count,
            out=out,
            is_detached=detach,
            as_json=as_json,
            tells_events=events,
            has_previews=terminal.shows(window, wants_pictures),
        )
        from app.commands.screens import screen_of

        screen = screen_of(window, quiet=quiet, pictures=wants_pictures)
        failed = interrupts.run(_run(url, key, errand, screen))
        if failed:
            raise Incomplete(*failed)


async def _run(url: str, key: str | None, errand: Errand, screen: Screen) -> list[str]:
    """What failed, in words."""
    async with async_client(url, key) as client, interrupts.heard() as pressed:
        errand = replace(errand, fields=await _completed(client, errand))
        if errand.is_detached:
            await _started(client, errand, pressed)
            return []
        folder, stem = _place(errand)
        shelf = _shelf(folder)
        with screen:
            started = await _started(client, errand, pressed)
            found = await _watched(client, errand, screen, started, pressed, shelf, stem)
        for each in found:
            _tell(each, folder, as_json=errand.as_json)
        if pressed.asked.is_set():
            screen.say(_ends(found))
            raise typer.Exit(ExitCode.INTERRUPTED)
        return [_why(each.generation) for each in found if not each.generation.has_succeeded]


async def _completed(client: AsyncClient, errand: Errand) -> dict[str, Any]:
    """The fields with the parameters that were set, as values of the types the template has them in."""
    fields = dict(errand.fields)
    if not errand.assignments:
        return fields
    known: Any = {}
    if "workflow" not in fields:
        known = asking.schemas(await client.template(fields.get("template", asking.DEFAULT_TEMPLATE)))
    return fields | asking.assignments("--set", errand.assignments, known)


async def _started(client: AsyncClient, errand: Errand, pressed: Interrupts) -> list[Generation]:
    started: list[Generation] = []
    fields = dict(errand.fields)
    first = fields.get("seed")
    while len(started) < errand.count and not pressed.asked.is_set():
        if isinstance(first, int) and first >= 0:
            fields["seed"] = (first + len(started)) % SEEDS
        started.append(await client.generate(**fields))
        if errand.is_detached:
            generation = started[-1]
            speech.entry(generation.raw) if errand.as_json else speech.put(generation.id)
    return started


async def _watched(
    client: AsyncClient,
    errand: Errand,
    screen: Screen,
    started: list[Generation],
    pressed: Interrupts,
    shelf: Shelf,
    stem: str | None,
) -> list[Ended]:
    """All of them, in the order in which they were started."""
    from app.commands.watching import Watching

    found: dict[str, Ended] = {}

    def ended(end: Ended) -> None:
        found[end.generation.id] = end

    def heard(event: Event) -> None:
        if errand.tells_events:
            speech.entry(event.raw)

    watching = Watching(client, screen, shelf, stem=stem, ended=ended, heard=heard, has_previews=errand.has_previews)
    await watching.watch({each.id: _label(each, len(started), n) for n, each in enumerate(started)}, pressed)
    return [found[each.id] for each in started if each.id in found]


def _tell(ended: Ended, folder: Path, *, as_json: bool) -> None:
    paths = [str(folder / each.file) for each in ended.files]
    if as_json:
        speech.entry({**ended.generation.raw, "files": paths})
    else:
        for path in paths:
            speech.put(path)


def _place(errand: Errand) -> tuple[Path, str | None]:
    """The folder, and what files in it are called if that was said."""
    if errand.out.suffix and not errand.out.is_dir():
        return errand.out.parent, errand.out.stem
    return errand.out, None


def _shelf(folder: Path) -> Shelf:
    from app.commands.saving import Shelf

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misuse(f"{folder}: cannot be made ({error.strerror}); choose another place with -o") from error
    return Shelf(folder)


def _label(generation: Generation, count: int, number: int) -> str:
    name = generation.prompt or generation.template or "workflow"
    return f"{number + 1}/{count} {name}" if count > 1 else name


def _why(generation: Generation) -> str:
    error = generation.error
    return (
        f"{generation.id}: {generation.status}" if error is None else f"{generation.id}: {error.code}, {error.message}"
    )


def _ends(found: list[Ended]) -> str:
    canceled = sum(each.generation.status == "canceled" for each in found)
    done = sum(each.generation.has_succeeded for each in found)
    return f"Canceled {canceled}." if not done else f"Canceled {canceled}; {done} had been finished before."


def _option(pointer: str) -> str:
    """What a person wrote, for a place in the request."""
    _, name, *rest = [*pointer.split("/"), ""]
    if name in {"params", ""} and rest and rest[0]:
        name = rest[0]
    if name == "prompt" or not name:
        return name or pointer or "request"
    return _OPTIONS.get(name) or (f"--{name}" if name in _BY_OPTION else f"--set {name}")
