"""The commands that look: models, backends, list, show. And cancel, which only asks."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.commands import speech
from app.commands.bars import duration
from app.commands.connecting import client, telling
from app.commands.errors import CommandError, Incomplete, Misuse
from app.commands.identities import SHORT_CHARS, Identities
from app.commands.options import HERE, AsJson, Key, Template, Url
from app.commands.printing import printable, shortened

if TYPE_CHECKING:
    from app.commands.identities import Found
    from comfy_relay import Backend, Batch, Generation

STATUSES: Final = ("pending", "queued", "running", "canceling", "succeeded", "failed", "canceled")
MAX_LISTED: Final = 10_000
TEMPLATE_COLUMNS: Final = 12
COLUMNS_WITH_TEMPLATES: Final = 72
"""A narrower terminal has no room for them beside prompts."""


def show_models(url: Url = HERE, key: Key = None, as_json: AsJson = False) -> None:
    """List the models, samplers and schedulers that the ComfyUI servers really have."""
    with telling(key), client(url, key) as relay:
        found = relay.models().raw
    if as_json:
        speech.document(found)
        return
    rows = [(category, name) for category, names in found.items() for name in names]
    speech.table(rows, ("CATEGORY", "NAME"), columns=_columns())


def show_backends(url: Url = HERE, key: Key = None, as_json: AsJson = False) -> None:
    """List the ComfyUI servers: whether they work, what they are, how much they have to do."""
    with telling(key), client(url, key) as relay:
        found = relay.backends()
    if as_json:
        speech.document({"items": [each.raw for each in found]})
        return
    head = ("NAME", "STATE", "VERSION", "RUNNING", "QUEUED", "FREE VRAM", "DEVICE")
    speech.table([_backend(each) for each in found], head, columns=_columns())


def list_generations(
    status: Annotated[
        list[str] | None, typer.Option(help="Only of this status; may be repeated.", metavar="|".join(STATUSES))
    ] = None,
    template: Template = None,
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    batch: Annotated[str | None, typer.Option(help="Only of the batch with this id.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="Only with this in the prompt.")] = None,
    after: Annotated[
        str | None, typer.Option(help="Only made after this time: 2026-11-21 or 2026-11-21T18:00.")
    ] = None,
    before: Annotated[str | None, typer.Option(help="Only made before this time.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MAX_LISTED, help="At most so many.")] = 20,
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List generations, newest first."""
    with telling(key, words=_option), client(url, key) as relay:
        if unknown := [each for each in status or () if each not in STATUSES]:
            raise Misuse(f"--status {unknown[0]}: is none; choose from {', '.join(STATUSES)}")
        found = relay.list(
            status=status or None,
            template=template,
            project_id=project,
            batch_id=batch,
            text=text,
            created_after=_time("--after", after),
            created_before=_time("--before", before),
            limit=limit,
        )
        generations = list(found)
    if as_json:
        speech.document({"items": [each.raw for each in generations]})
        return
    columns = _columns()
    lines = [("ID", "STATUS", "CREATED", "TOOK", "TEMPLATE", "PROMPT"), *(_row(each) for each in generations)]
    if columns is not None:
        lines = [lines[0], *(_short(each, line) for each, line in zip(generations, lines[1:], strict=True))]
        if columns < COLUMNS_WITH_TEMPLATES:
            lines = [(*line[:4], line[5]) for line in lines]
    speech.table(lines[1:], lines[0], columns=columns)


def show(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Id of a generation or a batch; its beginning will do.")],
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show a generation or a batch: how it stands, what it was asked for, what came of it."""
    from comfy_relay import Generation

    with telling(key), client(url, key) as relay:
        found = Identities(relay).meant(wanted)
    if as_json:
        speech.document(found.raw)
        return
    told = _facts(found) if isinstance(found, Generation) else _batch_facts(found)
    facts = [(name, printable(fact)) for name, fact in told if fact]
    for name, fact in facts:
        speech.put(f"{name + ':':12} {fact}")


def cancel(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Of generations and batches; beginnings will do.")],
    url: Url = HERE,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """End generations and batches, wherever they are; what has ended stays as it is."""
    from comfy_relay import Generation

    ended: list[Found] = []
    wrong: list[str] = []
    with telling(key), client(url, key) as relay:
        known = Identities(relay)
        for each in ids:
            try:
                meant = known.meant(each)
            except CommandError as error:
                wrong += error.lines
            else:
                is_one = isinstance(meant, Generation)
                ended.append(relay.cancel(meant.id) if is_one else relay.cancel_batch(meant.id))
        if as_json:
            speech.document({"items": [each.raw for each in ended]})
        else:
            for found in ended:
                speech.put(f"{found.id}  {found.status}")
        if wrong:
            raise Incomplete(*wrong)


def _backend(each: Backend) -> tuple[str, ...]:
    state = "up" if each.healthy and each.listening else "no socket" if each.healthy else "down"
    free = "-" if each.vram_free_bytes is None else f"{each.vram_free_bytes / 1024**3:.1f} GB"
    load = ("-" if count is None else str(count) for count in (each.running, each.queued))
    return (each.name, state, each.version or "-", *load, free, each.last_error or each.device or "-")


def _short(each: Generation, row: tuple[str, ...]) -> tuple[str, ...]:
    """A row as a terminal has room for: what is left of it is for the prompt."""
    created = "-" if each.created_at is None else each.created_at.astimezone().strftime("%m-%d %H:%M")
    template = shortened(printable(row[4]), TEMPLATE_COLUMNS)
    return (each.id[:SHORT_CHARS], row[1], created, row[3], template, row[5])


def _row(each: Generation) -> tuple[str, ...]:
    status = f"running {each.percentage:.0f}%" if each.status == "running" else str(each.status)
    took = "-" if each.duration_seconds is None else duration(each.duration_seconds)
    return (each.id, status, _written(each.created_at), took, each.template or "workflow", each.prompt or "-")


def _facts(found: Generation) -> list[tuple[str, str]]:
    params = {name: value for name, value in found.params.items() if name not in {"prompt", "seed"}}
    error = "" if found.error is None else f"{found.error.code}: {found.error.message}"
    return [
        ("id", found.id),
        ("status", f"{found.status}, {found.message}" if found.message else str(found.status)),
        ("prompt", found.prompt or ""),
        ("seed", "" if found.seed is None else str(found.seed)),
        ("template", found.template or "a workflow of its own"),
        ("parameters", ", ".join(f"{name}={value}" for name, value in params.items())),
        ("project", found.project_id or ""),
        ("batch", found.batch_id or ""),
        ("backend", found.backend or ""),
        ("prompt id", found.comfyui_prompt_id),
        ("created", _written(found.created_at)),
        ("took", "" if found.duration_seconds is None else duration(found.duration_seconds)),
        ("error", error),
        *(("file", f"{output.filename} ({_extent(output.raw)})") for output in found.outputs),
    ]


def _batch_facts(found: Batch) -> list[tuple[str, str]]:
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items() if count)
    return [
        ("id", found.id),
        ("status", f"{found.status}, {found.percentage:.0f}%"),
        ("items", f"{found.total} ({counts})" if counts else str(found.total)),
        ("priority", str(found.priority)),
        ("project", found.project_id or ""),
        ("created", _written(found.created_at)),
        ("completed", _written(found.completed_at) if found.completed_at else ""),
    ]


def _extent(output: dict[str, Any]) -> str:
    size = output.get("sizeBytes")
    parts = [output.get("mimeType"), f"{output['width']}x{output['height']}" if output.get("width") else None]
    return ", ".join(filter(None, [*parts, f"{size} bytes" if size is not None else None]))


def _written(moment: datetime | None) -> str:
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _time(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError as error:
        raise Misuse(f"{option} {text}: is no time; write 2026-11-21 or 2026-11-21T18:00") from error


def _columns() -> int | None:
    """Of the terminal; None where none reads."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _option(pointer: str) -> str:
    names = {"?projectId": "--project", "?batchId": "--batch", "?q": "--text"}
    names |= {"?createdAfter": "--after", "?createdBefore": "--before"}
    return names.get(pointer) or pointer.replace("?", "--")
