"""From a batch's file and options to a plan of typed items: template schemas asked for, input files sent.

Owns what of the command line goes where: into every item, into the batch as a whole, or into the axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.commands import asking
from app.commands.batch_files import BatchFile, Row
from app.commands.batch_plan import Axis, Plan, checked, typed
from app.commands.errors import Misuse
from app.commands.values import FIELDS, Schemas, assigned, listed

if TYPE_CHECKING:
    from comfy_relay import AsyncClient

MAX_RUNS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A batch as it was asked for. `base` is what the options say of every item; `folder` is that of the file."""

    file: BatchFile
    folder: Path
    base: Mapping[str, Any]
    assignments: Sequence[str]
    matrix: Sequence[str]
    runs: int | None


async def planned(client: AsyncClient | None, order: Order, *, sends_files: bool = True) -> Plan:
    """What is to be made, as values that can be sent. Without a client, texts are taken for what they look like.

    Raises Misuse and RelayError.
    """
    base = {**_object(order.file, "base"), **order.base}
    rows = order.file.rows
    default = str(base.get("template", asking.DEFAULT_TEMPLATE))
    known = await _schemas(client, base, rows, default)
    shared = {} if "workflow" in base else known[default]
    own = asking.assignments("--set", order.assignments, shared)
    base |= own
    if rows is not None:
        rows = typed(rows, known, default)
    sender = _Sender(client if sends_files else None, order.folder)
    sent = [
        await sender.sent(row.fields, known.get(str(row.fields.get("template", default)), {})) for row in rows or ()
    ]
    plan = Plan(
        file=BatchFile(
            order.file.name,
            rows if rows is None else tuple(Row(row.line, fields) for row, fields in zip(rows, sent, strict=True)),
        ),
        base=await sender.sent(base, shared),
        axes=await _axes(order, shared, sender),
        runs=order.runs or _runs(order.file),
        whole=_whole(order.file, base),
    )
    checked(plan, own.keys())
    return plan


async def _schemas(
    client: AsyncClient | None, base: Mapping[str, Any], rows: Sequence[Row] | None, default: str
) -> dict[str, Schemas]:
    """Those of every template that is named, asked for once each."""
    named = {} if "workflow" in base else {default: None}
    named |= {str(row.fields["template"]): None for row in rows or () if "template" in row.fields}
    return {name: {} if client is None else await asking.schemas_of(client, name) for name in named}


async def _axes(order: Order, known: Schemas, sender: _Sender) -> list[Axis]:
    axes: list[Axis] = []
    seen: dict[str, str] = {}
    for name, values in _object(order.file, "matrix").items():
        if not isinstance(values, list) or not values:
            raise Misuse(f"{order.file.name}, matrix/{name}: must be a list of values")
        axes.append(Axis([{name: value} for value in values], f"{order.file.name}, matrix/{name}"))
    for number, group in enumerate(order.file.whole.get("zip") or ()):
        axes.append(_group(group, f"{order.file.name}, zip/{number}"))
    for text in order.matrix:
        name, written = assigned("--matrix", text)
        values = listed(f"--matrix {name}", written, known.get(name) or FIELDS.get(name))
        axes.append(Axis([{name: value} for value in values], f"--matrix {name}"))
    for axis in axes:
        for name in axis.choices[0]:
            if name in seen:
                raise Misuse(f"{axis.where}: {name} varies by {seen[name]} already; give one of them")
            seen[name] = axis.where
            if name in {"key", "params", "template"}:
                raise Misuse(f"{axis.where}: {name} cannot be varied; vary the parameters themselves")
    return [Axis([await sender.sent(choice, known) for choice in axis.choices], axis.where) for axis in axes]


def _group(group: Any, where: str) -> Axis:
    """Lists that go together, as one axis."""
    if not isinstance(group, dict) or not group or not all(isinstance(each, list) and each for each in group.values()):
        raise Misuse(f"{where}: must be an object of lists that go together")
    if len({len(values) for values in group.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(values)}" for name, values in group.items())
        raise Misuse(f"{where}: the lists go together and must be equally long: {lengths}")
    return Axis([dict(zip(group, values, strict=True)) for values in zip(*group.values(), strict=True)], where)


def _whole(file: BatchFile, base: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of the batch as a whole, in the client's words."""
    found = {"max_in_flight": file.whole.get("maxInFlight"), "metadata": file.whole.get("metadata")}
    found |= {"priority": base.get("priority"), "project_id": base.get("projectId")}
    return {name: value for name, value in found.items() if value is not None}


def _object(file: BatchFile, part: str) -> dict[str, Any]:
    found = file.whole.get(part) or {}
    if not isinstance(found, dict):
        raise Misuse(f"{file.name}, {part}: must be an object")
    return found


def _runs(file: BatchFile) -> int:
    runs = file.whole.get("runs", 1)
    if isinstance(runs, bool) or not isinstance(runs, int) or not 1 <= runs <= MAX_RUNS:
        raise Misuse(f"{file.name}, runs: must be a whole number from 1 to {MAX_RUNS}")
    return runs


class _Sender:
    """Puts ids of uploads in the place of files, each sent once. Without a client nothing is sent."""

    def __init__(self, client: AsyncClient | None, folder: Path) -> None:
        self._client, self._folder = client, folder
        self._ids: dict[Path, str] = {}

    async def sent(self, fields: Mapping[str, Any], known: Schemas) -> dict[str, Any]:
        found = dict(fields)
        for name, value in fields.items():
            if name == "references":
                found[name] = [await self._reference(each) for each in _several(value)]
            elif asking.is_media(known.get(name)) and isinstance(value, str | Path):
                found[name] = await self._id(value)
        return found

    async def _reference(self, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("source"), str | Path):
            return {**value, "source": await self._id(value["source"])}
        return await self._id(value) if isinstance(value, str | Path) else value

    async def _id(self, value: str | Path) -> str:
        """Of the file that is meant; the text itself where it is a URL or an id already."""
        path = value if isinstance(value, Path) else self._folder / value
        if self._client is None or not asking.is_there(path):
            return str(value)
        if path not in self._ids:
            self._ids[path] = await asking.sent(self._client, path, str(path))
        return self._ids[path]


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
