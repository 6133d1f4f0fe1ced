"""From the body of a batch to the bodies of its items: lists, products, groups and runs. Pure; judges no item's fields.

Items come one at a time, since ten thousand of them at once are large. Each knows where in the batch's body each of its
fields was written, so that what is wrong with it can be told there.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from app.errors import Problem, pointer

SEEDS: Final = 2**64
"""Seeds count round: ComfyUI takes 64 bits."""

Choice: TypeAlias = tuple[tuple[str, Any, str], ...]
"""One place on an axis: name, value, and where it was written, of each field it sets."""

_WORD: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
_SNAKE: Final = re.compile(r"_([a-z])")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be multiplied. `item(number)` is the body of one of `count` items; without items `count` is None."""

    base: Mapping[str, Any]
    item: Callable[[int], Mapping[str, Any]]
    count: int | None
    axes: Sequence[Sequence[Choice]]
    runs: int

    @property
    def for_each(self) -> int:
        """How many items come of each that was given."""
        return math.prod(map(len, self.axes)) * self.runs

    @property
    def total(self) -> int:
        return self.for_each * (1 if self.count is None else self.count)


@dataclass(slots=True)
class Expanded:
    """The body of an item. `at` tells where in the batch's body a place in it was written."""

    index: int
    key: Any
    body: dict[str, Any]
    home: str
    where: dict[str, str] = field(default_factory=dict)
    where_params: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def at(self, place: str) -> str:
        steps = place.split("/")[1:]
        for depth, known in ((2, self.where_params), (1, self.where)):
            if len(steps) >= depth and (depth == 1 or steps[0] == "params"):
                name = steps[depth - 1].replace("~1", "/").replace("~0", "~")
                for spelling in (name, _WORD.sub(r"_\1", name).lower(), _SNAKE.sub(lambda m: m[1].upper(), name)):
                    if spelling in known:
                        return "".join([known[spelling], *(f"/{step}" for step in steps[depth:])])
        return self.home + place


def axes_of(matrix: Mapping[str, Sequence[Any]], groups: Sequence[Mapping[str, Sequence[Any]]]) -> list[list[Choice]]:
    """The axes of a product: each list of the matrix is one, each group of lists of equal length another."""
    axes: list[list[Choice]] = []
    for name, values in matrix.items():
        axes.append([((name, value, pointer("matrix", name, place)),) for place, value in enumerate(values)])
    for number, group in enumerate(groups):
        length = min(map(len, group.values()), default=0)
        axes.append(
            [
                tuple((name, values[place], pointer("zip", number, name, place)) for name, values in group.items())
                for place in range(length)
            ]
        )
    return axes


def misplaced(matrix: Mapping[str, Sequence[Any]], groups: Sequence[Mapping[str, Sequence[Any]]]) -> Iterator[Problem]:
    """What is wrong with the axes themselves."""
    seen: dict[str, str] = {}
    places = [("matrix", name, values) for name, values in matrix.items()]
    places += [(f"zip/{number}", name, values) for number, group in enumerate(groups) for name, values in group.items()]
    for where, name, values in places:
        at = f"/{where}{pointer(name)}"
        if name in seen:
            yield Problem(at, f"is given twice, also as {seen[name]}; send one of them")
        elif name in {"key", "params"}:
            yield Problem(at, "cannot be varied; vary the parameters themselves")
        elif not values:
            yield Problem(at, "is empty; send at least one value, or leave it out")
        seen.setdefault(name, at)
    for number, group in enumerate(groups):
        if len({len(values) for values in group.values()}) > 1:
            lengths = ", ".join(f"{name} has {len(values)}" for name, values in group.items())
            yield Problem(
                pointer("zip", number), f"the lists of a group go together and must be equally long: {lengths}"
            )
        elif not group:
            yield Problem(pointer("zip", number), "is empty; send lists of equal length, or leave it out")


def expanded(plan: Plan) -> Iterator[Expanded]:
    """Every item in turn: the given ones in their order, each with every combination, each of those `runs` times."""
    index = 0
    for number in range(1 if plan.count is None else plan.count):
        given = plan.item(number)
        home = "/base" if plan.count is None else pointer("items", number)
        combinations = itertools.product(itertools.product(*plan.axes), range(plan.runs))
        for nth, (choices, run) in enumerate(combinations):
            item = _merged(plan.base, given, home, index)
            item.key = given.get("key")
            if plan.for_each > 1 and isinstance(item.key, str):
                item.key = f"{item.key}#{nth}"
            for choice in choices:
                _set(item, given, choice)
            _count_on(item.body, run)
            yield item
            index += 1


def _merged(base: Mapping[str, Any], given: Mapping[str, Any], home: str, index: int) -> Expanded:
    """What all items have, and over it what this one has."""
    own = {name: value for name, value in given.items() if name != "key"}
    item = Expanded(index, None, {**base, **own}, home)
    item.where = {name: pointer("base", name) for name in base} | {name: home + pointer(name) for name in own}
    shared, special = base.get("params"), own.get("params")
    if isinstance(shared, dict):
        kept = {name: value for name, value in shared.items() if name not in own}
        item.where_params = {name: pointer("base", "params", name) for name in kept}
        item.body["params"] = kept
        if isinstance(special, dict):
            item.body["params"] = {**kept, **special}
        elif "params" in own:
            item.body["params"] = special
    if isinstance(special, dict):
        item.where_params |= {name: f"{home}/params{pointer(name)}" for name in special}
        for name in special:
            if name not in own:
                item.body.pop(name, None)
    return item


def _set(item: Expanded, given: Mapping[str, Any], choice: Choice) -> None:
    """Vary what all items have; what an item has itself is not overwritten."""
    params = item.body.get("params")
    own_params = given.get("params")
    for name, value, where in choice:
        if name in given or (isinstance(own_params, dict) and name in own_params):
            item.problems.append(Problem(item.at(pointer(name)), f"is given twice, also as {where}; send one of them"))
        if isinstance(params, dict) and name in params:
            params = item.body["params"] = {each: kept for each, kept in params.items() if each != name}
        item.body[name] = value
        item.where[name] = where


def _count_on(body: dict[str, Any], run: int) -> None:
    """The seed of a further run: the next one; a seed we choose is another one anyway."""
    params = body.get("params")
    place = params if isinstance(params, dict) and "seed" in params else body
    seed = place.get("seed")
    if run and isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0:
        if place is body:
            body["seed"] = (seed + run) % SEEDS
        else:
            body["params"] = {**place, "seed": (seed + run) % SEEDS}
