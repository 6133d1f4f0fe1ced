"""What `comfy-relay batch` does: read the file, run or count what it asks for, tell of each item, and sum it up."""

from __future__ import annotations

import itertools
import os
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from app.commands import asking, batch_files, batch_state, interrupts, presence, speech, terminal
from app.commands.batch_asking import Order, planned
from app.commands.batch_plan import Item, Plan, items_of
from app.commands.batch_running import Running, Settled
from app.commands.batch_state import Header, State
from app.commands.batch_telling import Telling
from app.commands.connecting import async_client, telling
from app.commands.errors import Incomplete, Interrupted, Misuse
from app.commands.interrupts import Interrupts
from app.commands.printing import printable
from app.commands.screens import screen_of

if TYPE_CHECKING:
    from comfy_relay import AsyncClient

MANIFEST: Final = "manifest.json"
MAX_TOLD: Final = 20
SHOWN_IN_A_DRY_RUN: Final = 5
MAX_ITEMS: Final = 100_000
"""As many as a service can be set to take in a batch."""

USUAL_ITEMS: Final = 10_000
"""As many as it takes if it is not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the options say of the run itself."""

    out: Path
    max_in_flight: int | None
    retries_failed: bool
    starts_anew: bool
    is_detached: bool
    as_json: bool
    quiet: bool


def order_of(
    file: Path,
    *,
    kind: str | None,
    base: Mapping[str, Any],
    workflow: Path | None,
    assignments: Sequence[str],
    matrix: Sequence[str],
    runs: int | None,
) -> Order:
    """What a file and the options ask for. Raises Misuse."""
    if workflow is not None and base.get("template") is not None:
        raise Misuse("--workflow and --template: give one of them")
    name = "standard input" if str(file) == "-" else file.name
    read = batch_files.read(asking.content(file), name, batch_files.kind_of(name, kind))
    whole = {field: read.whole.get(field) for field in ("priority", "projectId")}
    shared = {**whole, **{field: value for field, value in base.items() if value is not None}}
    shared["workflow"] = asking.workflow(workflow)
    return Order(
        file=read,
        folder=file.parent,
        base={field: value for field, value in shared.items() if value is not None},
        assignments=assignments,
        matrix=matrix,
        runs=runs,
    )


async def tried(url: str, key: str | None, order: Order, *, as_json: bool) -> None:
    """Count, and show the first items. Nothing is sent, not even input files."""
    from comfy_relay import Unreachable

    async with async_client(url, key) as client:
        try:
            plan = await planned(client, order, sends_files=False)
        except Unreachable:  # Then texts are taken for what they look like.
            plan = await planned(None, order, sends_files=False)
    _check_count(plan)
    if plan.total > USUAL_ITEMS:
        said = f"{plan.file.name}: makes {plan.total} items, and a batch takes {USUAL_ITEMS}"
        speech.remark(f"{said}, unless the service is set otherwise; split it up")
    first = list(itertools.islice(items_of(plan), SHOWN_IN_A_DRY_RUN))
    if as_json:
        shown = [{"key": each.key, "place": each.place, **plan.base, **each.body} for each in first]
        speech.document({"total": plan.total, "items": shown})
        return
    speech.put(f"{plan.total} items{_product(plan)}")
    for each in first:
        body = {**plan.base, **each.body, **({"workflow": "..."} if "workflow" in plan.base else {})}
        speech.put(f"  {each.place}: {', '.join(f'{name}={printable(str(v))}' for name, v in body.items())}")
    if plan.total > len(first):
        speech.put(f"  and {plan.total - len(first)} more")


def _check_count(plan: Plan) -> None:
    """Raises Misuse for more items than any service takes."""
    if plan.total > MAX_ITEMS:
        raise Misuse(f"{plan.file.name}: makes {plan.total} items, and a batch takes {MAX_ITEMS}; split it up")


def _product(plan: Plan) -> str:
    factors = [f"{len(plan.file.rows)} rows"] if plan.file.rows else []
    factors += [f"{len(axis.choices)} of {axis.where}" for axis in plan.axes]
    factors += [f"{plan.runs} runs"] if plan.runs > 1 else []
    return f" ({' x '.join(factors)})" if len(factors) > 1 else ""


async def carried_out(url: str, key: str | None, order: Order, choices: Choices) -> None:
    """Make what is not made yet. Raises CommandError for anything but success, and RelayError."""
    async with async_client(url, key) as client, interrupts.heard() as pressed:
        plan = await planned(client, order)
        _check_count(plan)
        items = list(items_of(plan))
        new = Header(idempotency_key=str(uuid.uuid4()), fingerprint=plan.fingerprint, source=order.file.name)
        _check_manifest(choices.out / MANIFEST)
        with batch_state.opened(choices.out, new, starts_anew=choices.starts_anew) as state:
            _check_same(state, new, choices.out)
            with telling(key, words=_words(items, order.file.name)):
                await _in_folder(client, plan, items, state, choices, pressed)


def _check_manifest(path: Path) -> None:
    """Other things have a `manifest.json`, too; theirs is not written over."""
    try:
        is_ours = "batchId" in msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        is_ours = not path.exists()
    if not is_ours:
        raise Misuse(f"{path}: belongs to something else; choose another folder with -o")


def _check_same(state: State, new: Header, out: Path) -> None:
    """A folder is one batch's: its rows may change, for each is known by what it asks for; nothing else may."""
    if state.header.source != new.source:
        raise Misuse(f"{out}: holds the batch of {state.header.source}; choose another -o, or start over with --fresh")
    if state.header.fingerprint != new.fingerprint:
        raise Misuse(
            f"{out}: holds a batch made with another --template, --set, --workflow or base; "
            "choose another -o, or start over with --fresh"
        )


async def _in_folder(
    client: AsyncClient, plan: Plan, items: list[Item], state: State, choices: Choices, pressed: Interrupts
) -> None:
    window = terminal.Terminal() if choices.as_json else terminal.here()
    limit = {"max_in_flight": choices.max_in_flight} if choices.max_in_flight else {}
    screen = screen_of(window, quiet=choices.quiet, pictures=False)
    telling = Telling(items, choices.out, as_json=choices.as_json)
    running = Running(
        client,
        items,
        {"base": plan.base, **plan.whole, **limit},
        state,
        choices.out,
        screen,
        label=plan.file.name,
        rows=max(0, window.rows - 4) if window.is_live and not choices.quiet else 0,
        settled=telling.take,
    )
    going: set[str] = set()
    with interrupts.leaving(going, "; the same command goes on with it"), screen:
        async with presence.watched(client, screen):
            with pressed.starting(screen.say):
                batch = await running.post(retries_failed=choices.retries_failed)
            if choices.as_json and batch is not None:
                speech.entry({"type": "batch", **batch.raw})
            if batch is not None and not choices.is_detached:
                going.add(batch.id)
                await running.follow(batch, pressed)
                going.clear()
    if choices.is_detached:
        if not choices.as_json:
            speech.put(state.batch_id or "")
        if batch is not None and not choices.quiet:
            speech.remark(f"comfy-relay fetch {batch.id} -o {choices.out}")
        return
    telling.finish()
    _finished(running, state.batch_id, items, choices)
    _judged(running, items, choices, was_interrupted=pressed.asked.is_set())


def _finished(running: Running, batch_id: str | None, items: list[Item], choices: Choices) -> None:
    """Write the manifest, under its name only when it is whole, and tell where it is."""
    entries = [_entry(number, item, running.settled.get(item.key)) for number, item in enumerate(items)]
    kept = sum(each.kept is not None for each in running.settled.values())
    facts = {"batchId": batch_id, "total": len(items), "isComplete": kept == len(items), "items": entries}
    path = choices.out / MANIFEST
    part = path.with_name(f".{MANIFEST}.{os.getpid()}.part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n")
    part.replace(path)
    if choices.as_json:
        wrong = len(running.settled) - kept
        speech.entry({"type": "complete", "total": len(items), "kept": kept, "failed": wrong, "manifest": str(path)})
    elif sys.stdout.isatty():
        speech.put(str(path))


def _entry(number: int, item: Item, settled: Settled | None) -> dict[str, Any]:
    shared: dict[str, Any] = {"index": number, "key": item.key, "place": item.place}
    if settled is None:
        return {**shared, "status": "unknown", "files": []}
    result = settled.result
    files = settled.kept.files if settled.kept else ()
    return {
        **shared,
        "generationId": result.generation_id,
        "status": result.status,
        "template": result.template,
        "prompt": result.prompt,
        "seed": result.seed,
        "params": result.params,
        "files": [{"file": each.file, "sha256": each.sha256, "sizeBytes": each.size_bytes} for each in files],
        "error": result.raw.get("error"),
        **({"why": settled.why} if settled.why else {}),
    }


def _judged(running: Running, items: list[Item], choices: Choices, *, was_interrupted: bool) -> None:
    """Raises what the command ends with, unless all is well."""
    wrong = [each for each in running.settled.values() if each.kept is None]
    kept = len(running.settled) - len(wrong)
    if was_interrupted:
        raise Interrupted(f"Canceled; {kept} of {len(items)} are in {choices.out}. The same command goes on with it.")
    if wrong:
        told = [f"{each.item.place}: {each.why}" for each in wrong[:MAX_TOLD]]
        more = [f"and {len(wrong) - MAX_TOLD} more, all in {MANIFEST}"] if len(wrong) > MAX_TOLD else []
        raise Incomplete(f"{len(wrong)} of {len(items)} failed; --retry-failed tries them again", *told, *more)


def _words(items: list[Item], name: str) -> Callable[[str], str]:
    """A person's words for a place in the request: the line of the file, or the option."""

    def words(pointer: str) -> str:
        parts = pointer.split("/")
        if len(parts) > 2 and parts[1] == "items" and parts[2].isdigit() and int(parts[2]) < len(items):
            return items[int(parts[2])].words("/" + "/".join(parts[3:]))
        if len(parts) > 2 and parts[1] == "base":
            return f"--set {parts[2]}, or base"
        return pointer.lstrip("/") or name

    return words
