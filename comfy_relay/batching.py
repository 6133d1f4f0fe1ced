"""Operations on batches: start, wait, follow, read, cancel, try again. See Client for how they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from comfy_relay.arguments import identity
from comfy_relay.batch_records import Batch, BatchResult
from comfy_relay.effects import Flow, Give, Pause, Steps
from comfy_relay.errors import WaitTimeout
from comfy_relay.events import BatchEvent
from comfy_relay.exchange import Core, found, given, lines
from comfy_relay.following import batch_events
from comfy_relay.generating import keyed, pages
from comfy_relay.records import Generation
from comfy_relay.sources import Senders, posted

FIRST_LOOK_S: Final = 0.2
MAX_LOOK_S: Final = 2.0
"""How often a batch that is waited for is looked at: more seldom the longer it takes."""

BEGINNING: Final = "0"
"""The cursor before the first item that ended."""

NamedBatch: TypeAlias = str | Batch
"""A batch, or its id."""


def batch(
    core: Core,
    /,
    items: Iterable[str | Mapping[str, Any]] | None = None,
    *,
    base: Mapping[str, Any] | None = None,
    matrix: Mapping[str, Sequence[Any]] | None = None,
    zip: Sequence[Mapping[str, Sequence[Any]]] | None = None,  # noqa: A002 - the service's word for it
    runs: int | None = None,
    max_in_flight: int | None = None,
    priority: int | None = None,
    project_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Steps[Batch]:
    """Start many generations as one, checked as a whole: one bad item refuses them all, and names every bad one.

    An item is a prompt, or what `generate` takes, with a `key` of yours or not. `base` is what every item has that
    does not say otherwise. Each list of `matrix` and each group of equally long lists in `zip` is an axis: every item
    is made with every combination, `runs` times. Files among references and parameters are sent first, each once.
    `max_in_flight`: so many items are worked on at a time. The same call with the same `idempotency_key`, or with the
    same keys on all items, goes on with the same batch.
    """
    if base is not None and not isinstance(base, Mapping):
        raise TypeError(f"base is a mapping of parameters, and not {type(base).__name__}")
    senders = Senders(core)
    body = given(
        items=None if items is None else (yield from _bodies(senders, items)),
        base=None if base is None else (yield from senders.body(base)),
        matrix=(yield from senders.sent(matrix)),
        zip=(yield from senders.sent(zip)),
        runs=runs,
        max_in_flight=max_in_flight,
        priority=priority,
        project_id=project_id,
        metadata=metadata,
    )
    return (yield from posted(core, Batch, "batches", keyed(core, idempotency_key), body))


def get_batch(core: Core, /, batch: NamedBatch) -> Steps[Batch]:
    """How a batch stands."""
    return (yield from found(core, Batch, core.request("GET", "batches", id_of(batch))))


def wait_batch(core: Core, /, batch: NamedBatch, *, timeout_s: float | None = None) -> Steps[Batch]:
    """The batch once none of its items is unfinished, however they ended. Raises WaitTimeout after `timeout_s`."""
    deadline = None if timeout_s is None else core.clock() + timeout_s
    pause_s = FIRST_LOOK_S
    while True:
        request = core.request("GET", "batches", id_of(batch))
        seen = yield from found(core, Batch, request, until=deadline)
        if seen.is_over:
            return seen
        left_s = MAX_LOOK_S if deadline is None else deadline - core.clock()
        if timeout_s is not None and left_s <= 0:
            raise WaitTimeout(seen, timeout_s)
        yield Pause(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, MAX_LOOK_S)


def follow_batch(core: Core, /, batch: NamedBatch, *, after: str | None = None) -> Flow[BatchEvent]:
    """The events of a batch: first BatchConnected, then ItemEnded for each item that ends and BatchProgressed, last
    BatchCompleted.

    Every item is told once, also those that had ended before, and over drops and restarts. `after` is the cursor of an
    event; it goes on behind it.
    """
    yield from batch_events(core, id_of(batch), after or BEGINNING)


def batches(core: Core, /, *, limit: int | None = None) -> Flow[Batch]:
    """Batches, newest first, page after page; `limit` at most."""
    yield from pages(core, Batch, ("batches",), {}, limit)


def batch_generations(
    core: Core, /, batch: NamedBatch, *, status: str | Sequence[str] | None = None, limit: int | None = None
) -> Flow[Generation]:
    """The generations of a batch, newest first, page after page."""
    query = {"status": [status] if isinstance(status, str) else status}
    yield from pages(core, Generation, ("batches", id_of(batch), "generations"), query, limit)


def batch_results(core: Core, /, batch: NamedBatch, *, status: str | Sequence[str] | None = None) -> Flow[BatchResult]:
    """Every item of a batch and what came of it, in the order of the items; those without an end are among them."""
    query = {"status": [status] if isinstance(status, str) else status}
    request = core.request("GET", "batches", id_of(batch), "results", query=query)
    for result in (yield from lines(core, BatchResult, request)):
        yield Give(result)


def cancel_batch(core: Core, /, batch: NamedBatch) -> Steps[Batch]:
    """Ask for the end of every item that has none yet; what has ended stays."""
    return (yield from found(core, Batch, core.request("POST", "batches", id_of(batch), "cancel")))


def retry_batch(core: Core, /, batch: NamedBatch, *, include_canceled: bool = False) -> Steps[Batch]:
    """Try the failed items again, with the same seeds; `include_canceled`: those that were canceled, too."""
    query = {"includeCanceled": include_canceled or None}
    return (yield from found(core, Batch, core.request("POST", "batches", id_of(batch), "retry", query=query)))


def id_of(batch: NamedBatch) -> str:
    return identity("batch", batch, Batch)


def _bodies(senders: Senders, items: Iterable[str | Mapping[str, Any]]) -> Steps[list[dict[str, Any]]]:
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise TypeError("items is a list of prompts, or of mappings of parameters; put a single one into a list")
    bodies: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        fields = {"prompt": item} if isinstance(item, str) else item
        if not isinstance(fields, Mapping):
            kind = type(item).__name__
            raise TypeError(f"items[{number}] is a prompt or a mapping of parameters, and not {kind}")
        bodies += [(yield from senders.body(fields))]
    return bodies
