"""The items of a batch, prepared: each a record with its graph, all of them checked before the first is written.

Owns what is remembered from item to item, the list of everything that is wrong, and how the prepared items wait to be
written: compressed, for ten thousand graphs are nearly the same. Gives way to other work every few milliseconds.
"""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from app.addresses import Allowed
from app.batch_requests import BatchItem, BatchRequest
from app.catalogue import Catalogue, Known
from app.comfyui.templates import Template
from app.comfyui.workflow import Workflow
from app.errors import AppError, BadSource, InvalidRequest, Problem
from app.offers import Judgement, Offers
from app.preparing import Preparer, check_webhook
from app.records import Generation
from app.requests import Prepared, Request
from app.uploads import Upload, Uploads

TOGETHER: Final = 4
"""Items prepared at a time: files they name are fetched side by side, and others wait a few milliseconds at most."""

MAX_PROBLEMS: Final = 1000
"""Past so many, one is told of each further item."""

MAX_ITEM_PROBLEMS: Final = 21
"""As many as the API names of one item, and how many more those are."""

Row = tuple[Generation, dict[str, Any], dict[str, Any]]
"""A record, its graph, and what was asked for."""

_PUBLIC: Final = Allowed()
_NO_SEED: Final = "asks for several runs, and this has no seed to tell them apart; leave `runs` out"
_NOT_ALL: Final = "{} more places of these items are wrong; they are named once these are repaired"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[Generation, dict[str, Any], dict[str, Any]]]).decode


class RememberedSources:
    """Input files by their source: each is fetched once for a batch, also where it cannot be had."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._found: dict[str, Upload | BadSource] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def from_source(self, source: str, own_host: str | None = None) -> Upload:
        async with self._locks.setdefault(source, asyncio.Lock()):
            if source not in self._found:
                try:
                    self._found[source] = await self._uploads.from_source(source, own_host)
                except BadSource as error:
                    self._found[source] = error
        found = self._found[source]
        if isinstance(found, BadSource):
            raise BadSource(found.detail)
        return found


class RememberedTemplates:
    """Templates by their name: looked up once for a batch, so that all its items have the same version."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._found: dict[tuple[str, int | None], Known | None] = {}

    async def find(self, name: str) -> Known | None:
        if (name, None) not in self._found:
            self._found[name, None] = await self._catalogue.find(name)
        return self._found[name, None]

    async def at(self, name: str, version: int) -> Known | None:
        if (name, version) not in self._found:
            self._found[name, version] = await self._catalogue.at(name, version)
        return self._found[name, version]

    def names(self) -> tuple[str, ...]:
        return self._catalogue.names()


class RememberedOffers:
    """What servers offer for a template's parameters: asked once for a batch."""

    def __init__(self, offers: Offers) -> None:
        self._offers = offers
        self._available: dict[int, tuple[Template, dict[str, tuple[str, ...]]]] = {}

    async def judged(self, graph: Workflow) -> Judgement:
        return await self._offers.judged(graph)

    def available(self, template: Template) -> dict[str, tuple[str, ...]]:
        if id(template) not in self._available:
            self._available[id(template)] = (template, self._offers.available(template))
        return self._available[id(template)][1]


@dataclass(slots=True)
class Parcels:
    """Rows in the order they came, a few to a compressed parcel. `add` when full, then `unpacked` once or more."""

    _packed: list[bytes | list[Row]]
    count: int = 0

    @classmethod
    def empty(cls) -> Parcels:
        return cls([])

    def add(self, rows: list[Row]) -> None:
        self.count += len(rows)
        try:
            self._packed.append(zlib.compress(_encode(rows), 1))
        except (UnicodeEncodeError, OverflowError):  # Lone surrogates and huge numbers: JSON can hold them, this not.
            self._packed.append(rows)

    def unpacked(self) -> Iterator[list[Row]]:
        for packed in self._packed:
            yield packed if isinstance(packed, list) else _decode(zlib.decompress(packed))


class BatchPreparer:
    """Prepares the items of one batch; made anew for each, since it remembers what it found."""

    def __init__(self, catalogue: Catalogue, offers: Offers, uploads: Uploads, receivers: Allowed = _PUBLIC) -> None:
        self._preparer = Preparer(
            RememberedTemplates(catalogue), RememberedOffers(offers), RememberedSources(uploads), receivers
        )
        self._receivers = receivers
        self._problems: dict[tuple[str, str], Problem] = {}
        self._untold = 0

    def check(self, asked: BatchRequest) -> None:
        """Note what is wrong with the batch itself, such as a receiver that nothing would ever be sent to."""
        problems = list(asked.problems)
        try:
            check_webhook(asked.webhook, self._receivers)
        except InvalidRequest as error:
            problems += error.problems
        self._problems |= {(each.pointer, each.message): each for each in problems}

    async def prepare(self, items: Iterable[BatchItem], batch_id: str, created_at: float) -> Parcels:
        """Every item as a row of that batch, made then. Raises InvalidRequest naming everything that is wrong."""
        parcels = Parcels.empty()
        async for together in _chunked(items):
            found = await asyncio.gather(*(self._one(item) for item in together))
            if not self._problems:
                rows = zip(together, found, strict=True)
                parcels.add([_row(item, each, batch_id, created_at) for item, each in rows if each is not None])
        if self._problems:
            more = [Problem("", _NOT_ALL.format(self._untold))] if self._untold else []
            raise InvalidRequest(*self._problems.values(), *more)
        return parcels

    async def _one(self, item: BatchItem) -> Prepared | None:
        if item.request is None:
            self._tell(item, item.problems)
            return None
        try:
            prepared = await self._preparer.prepare(item.request)
        except AppError as error:
            if (found := problems_of(error)) is None:
                raise
            self._tell(item, [replace(each, pointer=item.at(each.pointer)) for each in found])
            return None
        if item.wants_seed and prepared.record.seed is None:
            self._tell(item, [Problem("/runs", _NO_SEED)])
            return None
        return prepared

    def _tell(self, item: BatchItem, problems: Sequence[Problem]) -> None:
        """Each place once, whichever of its items found it wrong; many of few items, one of each of many."""
        most = MAX_ITEM_PROBLEMS if len(self._problems) < MAX_PROBLEMS else 1
        for problem in problems[:most]:
            self._problems.setdefault((problem.pointer, problem.message), problem)
        self._untold += max(0, len(problems) - most)


def problems_of(error: AppError) -> list[Problem] | None:
    """The wrong places an error names; None for one that is no fault of the request's."""
    found = error.extra.get("errors")
    if error.status != InvalidRequest.status or found is None:
        return None
    return [Problem(each["pointer"], each["message"]) for each in found]


def _row(item: BatchItem, prepared: Prepared, batch_id: str, created_at: float) -> Row:
    request: Request | None = item.request
    record = msgspec.structs.replace(
        prepared.record,
        batch_id=batch_id,
        batch_index=item.index,
        item_key=item.key,
        idempotency_key=None,
        fingerprint=request.fingerprint() if request is not None and item.key is not None else None,
        # In their order, whatever the clock's grain.
        created_at=round(created_at + item.index * 1e-6, 6),
    )
    return record, prepared.workflow, prepared.asked


async def _chunked(items: Iterable[BatchItem]) -> AsyncIterator[list[BatchItem]]:
    rest = iter(items)
    while together := list(itertools.islice(rest, TOGETHER)):
        yield together
        await asyncio.sleep(0)
