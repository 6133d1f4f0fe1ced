"""The files that a job's workflow names by `core/ASSET` objects. Owns finding them and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from app.api.bodies import MAX_PROBLEMS
from app.assets import Assets
from app.errors import BadSource, InvalidRequest, NotFound, Problem, pointer
from app.references import is_asset
from app.v2_errors import EditorFormat, MissingAsset

_WRONG_PLACE: Final = "an asset stands where only a part of an input is; let it be the whole input"
_NO_ID: Final = 'names no asset; write {"__type": "core/ASSET", "info": {"id": "..."}} with an id out of an answer'


class _Place(NamedTuple):
    """A value somewhere in a workflow; an input of a node is three steps deep."""

    steps: tuple[str | int, ...]
    value: Any

    @property
    def pointer(self) -> str:
        return pointer("workflow", *self.steps)

    @property
    def is_input(self) -> bool:
        return len(self.steps) == 3 and self.steps[1] == "inputs" and isinstance(self.steps[2], str)


async def with_uploads(workflow: dict[str, Any], assets: Assets) -> dict[str, Any]:
    """The workflow with the id of an upload in each asset's place. The one given is not changed.

    Raises EditorFormat, MissingAsset naming each asset that is none, and InvalidRequest.
    """
    if isinstance(workflow.get("nodes"), list):
        raise EditorFormat
    places = [place for place in _values(workflow) if is_asset(place.value)]
    if misplaced := [Problem(each.pointer, _WRONG_PLACE) for each in places if not each.is_input]:
        raise InvalidRequest(*misplaced[:MAX_PROBLEMS])
    problems = []
    for place in places:
        node_id, _, name = place.steps
        asset_id = _named(place.value)
        if asset_id is None:
            problems.append(Problem(place.pointer, _NO_ID))
            continue
        try:
            upload = await assets.as_input(asset_id)
        except (NotFound, BadSource) as error:
            problems.append(Problem(place.pointer, error.detail))
        else:
            node = workflow[str(node_id)]
            changed = {**node, "inputs": {**node["inputs"], name: {**place.value, "info": {"id": upload.id}}}}
            workflow = {**workflow, str(node_id): changed}
    if problems:
        raise MissingAsset(problems[:MAX_PROBLEMS])
    return workflow


def _values(workflow: dict[str, Any]) -> Iterator[_Place]:
    """Everything in a workflow, without what is inside of assets. Not by recursion: foreign nesting has no limit."""
    waiting = [_Place((name,), value) for name, value in reversed(workflow.items())]
    while waiting:
        place = waiting.pop()
        yield place
        match place.value:
            case dict() as parts if not is_asset(parts):
                waiting += [_Place((*place.steps, name), part) for name, part in reversed(parts.items())]
            case list() as parts:
                waiting += [_Place((*place.steps, number), part) for number, part in enumerate(parts)]


def _named(asset: dict[str, Any]) -> str | None:
    told = asset.get("info")
    asset_id = told.get("id") if isinstance(told, dict) else None
    return asset_id if isinstance(asset_id, str) and asset_id else None
