"""From rows, what all of them have and what varies to the items of a batch. Pure.

Each item's key tells what it asks for, so that the same item has the same key in every run of a command: what was made
is known again after rows were added, and a range made longer. Owns also the way back, from a place in the request to
the words of the file and the command line.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.commands.batch_files import BatchFile, Row
from app.commands.errors import Misuse
from app.commands.values import FIELDS, Schemas, meant

SEEDS: Final = 2**64
"""Seeds count round: ComfyUI takes 64 bits."""

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies. `where` is what a person wrote it as."""

    choices: Sequence[Mapping[str, Any]]
    where: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be multiplied: every row with every combination of choices, each of those `runs` times.

    `whole` is what the client is told of the batch besides its items.
    """

    file: BatchFile
    base: Mapping[str, Any]
    axes: Sequence[Axis]
    runs: int = 1
    whole: Mapping[str, Any] = field(default_factory=dict)

    @property
    def for_each(self) -> int:
        return math.prod(len(axis.choices) for axis in self.axes) * self.runs

    @property
    def total(self) -> int:
        return self.for_each * (1 if self.file.rows is None else len(self.file.rows))

    @property
    def fingerprint(self) -> str:
        """Of what all items have: with another one every item is another."""
        return hashlib.sha256(_encode(self.base)).hexdigest()


@dataclass(frozen=True, slots=True)
class Item:
    """One generation to be made: what it has besides the base. `varied` is the part of it that no row has."""

    key: str
    body: dict[str, Any]
    place: str
    varied: Mapping[str, str] = field(default_factory=dict)

    def words(self, pointer: str) -> str:
        """Where a person wrote what is at this place of the item's body."""
        name, _, rest = pointer.removeprefix("/").partition("/")
        if name == "params":
            name, _, rest = rest.partition("/")
        if name in self.varied:
            return self.varied[name]
        return ", ".join(filter(None, (self.place, "/".join(filter(None, (name, rest))))))


def items_of(plan: Plan) -> Iterator[Item]:
    """Every item in turn."""
    rows: Sequence[Row | None] = (None,) if plan.file.rows is None else plan.file.rows
    seen: Counter[str] = Counter()
    combinations = tuple(itertools.product(*(_choices(axis) for axis in plan.axes)))
    shared = plan.fingerprint
    for number, row in enumerate(rows):
        own = dict(row.fields) if row else {}
        named = own.pop("key", None)
        place = plan.file.place(row, number)
        for choices, run in itertools.product(combinations, range(plan.runs)):
            changed = {name: value for choice, _ in choices for name, value in choice.items()}
            where = {name: where for choice, where in choices for name in choice}
            body = _counted_on({**own, **changed}, plan.base, run)
            key = _key(named, {**changed, **_seed_of(body, run)}, body, shared, is_varied=plan.for_each > 1)
            seen[key] += 1
            yield Item(key if seen[key] == 1 else f"{key}-{seen[key]}", body, place, where)


def checked(plan: Plan, is_set: Collection[str] = ()) -> None:
    """Raises Misuse naming rows with a key that another one has, and what is given more than once: by a row, by an
    axis, or, as `is_set` are, for all items.
    """
    keys: dict[Any, str] = {}
    varied = {name: axis.where for axis in plan.axes for choice in axis.choices[:1] for name in choice}
    wrong = [f"{varied[name]}: {_set(name)}" for name in varied if name in is_set]
    for number, row in enumerate(plan.file.rows or ()):
        place = plan.file.place(row, number)
        key = row.fields.get("key")
        if key is not None and keys.setdefault(key, place) != place:
            wrong.append(f"{place}: has the key {key!r} of {keys[key]}; give each its own")
        for name in row.fields:
            if name in varied:
                wrong.append(f"{place}, {name}: varies by {varied[name]}; give one of them")
            if name in is_set:
                wrong.append(f"{place}, {name}: {_set(name)}")
    if wrong:
        raise Misuse(*wrong[:20], *([f"and {len(wrong) - 20} more"] if len(wrong) > 20 else []))


def _set(name: str) -> str:
    return f"is set by --set {name}, too; give one of them"


def typed(rows: Iterable[Row], schemas: Mapping[str, Schemas], template: str) -> tuple[Row, ...]:
    """Rows whose text cells have become values. `schemas` are those of each template; `template` is that of rows that
    name none.
    """
    return tuple(_typed(row, schemas, template) if row.is_text else row for row in rows)


def _typed(row: Row, schemas: Mapping[str, Schemas], template: str) -> Row:
    known = {**schemas.get(str(row.fields.get("template", template)), {}), **FIELDS}
    return Row(row.line, {name: meant(str(text), known.get(name)) for name, text in row.fields.items()})


def _choices(axis: Axis) -> list[tuple[Mapping[str, Any], str]]:
    return [(choice, axis.where) for choice in axis.choices]


def _counted_on(body: dict[str, Any], base: Mapping[str, Any], run: int) -> dict[str, Any]:
    """The seed of a further run is the next one; a seed the service chooses is another one anyway."""
    seed = body.get("seed", base.get("seed"))
    if run and isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0:
        return {**body, "seed": (seed + run) % SEEDS}
    return body


def _seed_of(body: Mapping[str, Any], run: int) -> dict[str, Any]:
    return {"seed": body["seed"]} if run and "seed" in body else {}


def _key(named: Any, changed: Mapping[str, Any], body: Mapping[str, Any], shared: str, *, is_varied: bool) -> str:
    if named is None:
        return hashlib.sha256(shared.encode() + _encode(body)).hexdigest()[:20]
    return f"{named}#{hashlib.sha256(_encode(changed)).hexdigest()[:8]}" if is_varied else str(named)
