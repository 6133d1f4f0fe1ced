"""The body of a new batch: bytes to the request of each item. Owns what is said of a bad one, item by item.

Ten thousand items are read one after the other, when their turn comes: until then each is the bytes it came as.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app.api.batch_expansion import Expanded, Plan, axes_of, expanded, misplaced
from app.api.batch_schemas import BatchCreate, BatchRetry
from app.api.bodies import FORM, generation_part, is_form_like, most, options_body, top, written_body
from app.batch_records import BATCH_PRIORITY
from app.batch_requests import BatchItem, BatchRequest
from app.errors import InvalidRequest, MalformedBody, Problem, pointer
from app.requests import Request

MAX_KEY_CHARS: Final = 200
TOGETHER: Final = 100
"""Items read before others have a turn: a millisecond of work."""

_HINT: Final = "`items`, or with a `base` and what varies"
_MAKING: Final = frozenset({"base", "matrix", "zip"})
"""The fields that the items are made of: while one of them is wrong, nobody can say what an item is."""

_EMPTY: Final = "has no items; send `items`, or a `base` with `matrix`, `zip` or `runs`"
_encode = msgspec.json.Encoder(order="deterministic").encode


async def batch_request(raw: bytes, idempotency_key: str | None, own_host: str | None, max_items: int) -> BatchRequest:
    """What is asked for, with everything that is wrong so far: what is wrong with the items is told with it.

    Raises MalformedBody, and InvalidRequest where it cannot be told what the items are.
    """
    parts = _parts(raw)
    items = _items(parts)
    asked, problems = _asked(parts)
    looked = await _looked_through(items, _joined(parts))
    matrix, groups = asked.matrix or {}, asked.zip or []
    vague = list(misplaced(matrix, groups))
    if not items and asked.base is None and not parts.keys() & _MAKING:
        vague.append(Problem("/items" if items is not None else "", _EMPTY))
    if vague or any(top(each) in _MAKING for each in problems):
        raise InvalidRequest(*most([*problems, *vague]), *looked.flaws.values())
    plan = Plan(
        base=_shared(asked),
        item=lambda number: {} if items is None or number in looked.broken else _decoded(items[number]),
        count=None if items is None else len(items),
        axes=axes_of(matrix, groups),
        runs=asked.runs or 1,
    )
    if plan.total > max_items:
        raise InvalidRequest(
            *problems, Problem("", f"makes {plan.total} items, and a batch takes {max_items}; split it up")
        )
    priority = BATCH_PRIORITY if asked.priority is None else asked.priority
    return BatchRequest(
        items=_requests(plan, priority, own_host, looked),
        total=plan.total,
        fingerprint=looked.digest,
        is_keyed=looked.is_keyed,
        idempotency_key=idempotency_key,
        priority=priority,
        max_in_flight=asked.max_in_flight,
        project_id=asked.project_id,
        metadata=asked.metadata or {},
        webhook=None if asked.webhook is None else asked.webhook.to_target(),
        problems=tuple(problems),
    )


def retry_request(raw: bytes) -> BatchRetry:
    """What is asked of a retry; no body asks for nothing more. Raises MalformedBody and InvalidRequest."""
    return options_body(raw, BatchRetry, "includeCanceled")


def _parts(raw: bytes) -> dict[str, msgspec.Raw]:
    if not raw:
        raise MalformedBody("The body is empty; send JSON.")
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise InvalidRequest(Problem("", f"send a JSON object with {_HINT}")) from error
    except (UnicodeDecodeError, RecursionError, msgspec.DecodeError) as error:
        raise MalformedBody(FORM if is_form_like(raw) else f"The body is not JSON we read: {error}.") from error


def _items(parts: dict[str, msgspec.Raw]) -> list[msgspec.Raw] | None:
    """The items, taken out of the body's parts, each still as its bytes."""
    raw = parts.pop("items", None)
    if raw is None or bytes(raw) == b"null":
        return None
    try:
        return msgspec.json.decode(raw, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(Problem("/items", "must be a list of bodies of generations")) from error


def _decoded(raw: msgspec.Raw) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    return body


def _joined(parts: Mapping[str, msgspec.Raw]) -> bytes:
    return b"{" + b",".join(_encode(name) + b":" + bytes(part) for name, part in parts.items()) + b"}"


def _asked(parts: Mapping[str, msgspec.Raw]) -> tuple[BatchCreate, list[Problem]]:
    """What is asked for beside the items, without the fields that are wrong, and what is wrong with those."""
    try:
        return written_body(_joined(parts), BatchCreate, _HINT), []
    except InvalidRequest as error:
        wrong = {top(each) for each in error.problems}
        if not wrong <= parts.keys():
            raise
        kept = {name: part for name, part in parts.items() if name not in wrong}
        return written_body(_joined(kept), BatchCreate, _HINT), list(error.problems)


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was found going through the items once: the batch's fingerprint, whether each item has a key, what is wrong
    with items by their number, and which of those are no objects.
    """

    digest: str
    is_keyed: bool
    flaws: Mapping[int, Problem]
    broken: Collection[int]


async def _looked_through(items: list[msgspec.Raw] | None, rest: bytes) -> _Looked:
    digest = hashlib.sha256(_encode(msgspec.json.decode(rest)))
    seen: dict[str, int] = {}
    flaws: dict[int, Problem] = {}
    broken: set[int] = set()
    for number, raw in enumerate(items or ()):
        try:
            body = _decoded(raw)
            digest.update(_encode(body))
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            flaws[number] = Problem(pointer("items", number), "must be the body of a generation, a JSON object")
            broken.add(number)
            continue
        key = body.get("key")
        if key is None:
            pass
        elif not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_CHARS:
            flaws[number] = Problem(pointer("items", number, "key"), f"must be a text of 1 to {MAX_KEY_CHARS} letters")
        elif seen.setdefault(key, number) != number:
            text = f"is the key of /items/{seen[key]}, too; give each item its own"
            flaws[number] = Problem(pointer("items", number, "key"), text)
        if number % TOGETHER == 0:
            await asyncio.sleep(0)
    return _Looked(digest.hexdigest(), bool(items) and len(seen) == len(items or ()), flaws, broken)


def _shared(asked: BatchCreate) -> Mapping[str, Any]:
    """What every item has that does not say otherwise."""
    base = dict(asked.base or {})
    if asked.project_id is not None and "project_id" not in base:
        base.setdefault("projectId", asked.project_id)
    if asked.webhook is not None and (of_items := asked.webhook.of_items()) is not None:
        base.setdefault("webhook", of_items)
    return base


def _requests(plan: Plan, priority: int, own_host: str | None, looked: _Looked) -> Iterator[BatchItem]:
    for item in expanded(plan):
        number = item.index // plan.for_each
        if (flaw := looked.flaws.get(number)) is not None:
            item.problems.append(flaw)
        if number in looked.broken:
            yield BatchItem(item.index, None, _at(item), None, tuple(item.problems))
            continue
        if item.body.get("priority") is None:
            item.body["priority"] = priority
        request, problems = _request(item, own_host)
        yield BatchItem(item.index, item.key, _at(item), request, problems, wants_seed=plan.runs > 1)


def _request(item: Expanded, own_host: str | None) -> tuple[Request | None, tuple[Problem, ...]]:
    problems = list(item.problems)
    try:
        request = generation_part(item.body).to_request(own_host=own_host)
    except InvalidRequest as error:
        problems += [Problem(item.at(each.pointer), each.message) for each in error.problems]
    return (None if problems else request), tuple(problems)


def _at(item: Expanded) -> Callable[[str], str]:
    return item.at
