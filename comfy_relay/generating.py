"""Operations on generations: start, wait, read, list, cancel, try again, remove. See Client for how they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from comfy_relay.arguments import at_most, header_text, identity
from comfy_relay.effects import Flow, Give, Pause, Steps
from comfy_relay.errors import GenerationFailed, WaitTimeout
from comfy_relay.exchange import Core, Query, answered, decoded, found, given, page_of
from comfy_relay.records import Generation, RecordT
from comfy_relay.sources import References, Senders, posted

HOLD_S: Final = 20.0
"""How long the service is asked to hold an answer back; proxies cut off what is silent for a minute."""

PAGE: Final = 100

BETWEEN_LOOKS_S: Final = 0.5
"""The pause after an answer that came too early, as it does when the service stops."""

Named: TypeAlias = str | Generation
"""A generation, or its id."""

Moment: TypeAlias = datetime | str
"""A time: a datetime (a naive one is of the local zone), or text as RFC 3339 has it."""
_STRICT: Final = {"Prefer": "handling=strict"}
"""For older front ends the service keeps what goes nowhere; who writes a script wants to be told of it."""


def generate(
    core: Core,
    /,
    prompt: str | None = None,
    *,
    template: str | None = None,
    workflow: Mapping[str, Any] | None = None,
    references: References | None = None,
    negative_prompt: str | None = None,
    width: int | None = None,
    height: int | None = None,
    steps: int | None = None,
    cfg: float | None = None,
    seed: int | None = None,
    model: str | None = None,
    params: Mapping[str, Any] | None = None,
    project_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    priority: int | None = None,
    deadline_seconds: float | None = None,
    idempotency_key: str | None = None,
    **parameters: Any,
) -> Steps[Generation]:
    """Start a generation; the record comes at once, with its id. Sent again after a drop, it still runs only once.

    `template` names a workflow template (default `txt2img`), `workflow` is a ComfyUI graph in API format instead.
    What else a template takes goes into `parameters`, or into `params` where a name would clash; a value that is a
    path, bytes or an open file is sent first. `references` are the input files. `priority`: higher goes first.
    `deadline_seconds`: it fails as `timed_out` if it is not done by then. With an `idempotency_key` of your own the
    same call made again, by another process even, gives the same generation. What the template or workflow has no place
    for is refused.
    """
    fields = given(
        prompt=prompt,
        template=template,
        workflow=workflow,
        references=references,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        steps=steps,
        cfg=cfg,
        seed=seed,
        model=model,
        params=params,
        project_id=project_id,
        metadata=metadata,
        priority=priority,
        deadline_seconds=deadline_seconds,
        **parameters,
    )
    body = yield from Senders(core).body(fields)
    headers = keyed(core, idempotency_key) | _STRICT
    return (yield from posted(core, Generation, "generate", headers, body))


def run(
    core: Core,
    /,
    prompt: str | None = None,
    *,
    template: str | None = None,
    workflow: Mapping[str, Any] | None = None,
    references: References | None = None,
    negative_prompt: str | None = None,
    width: int | None = None,
    height: int | None = None,
    steps: int | None = None,
    cfg: float | None = None,
    seed: int | None = None,
    model: str | None = None,
    params: Mapping[str, Any] | None = None,
    project_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    priority: int | None = None,
    deadline_seconds: float | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
    **parameters: Any,
) -> Steps[Generation]:
    """Start a generation, as `generate` does, and wait for its end, `timeout_s` at most.

    Raises GenerationFailed, with the record, if it did not succeed, and WaitTimeout.
    """
    generation = yield from generate(
        core,
        idempotency_key=idempotency_key,
        prompt=prompt,
        template=template,
        workflow=workflow,
        references=references,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        steps=steps,
        cfg=cfg,
        seed=seed,
        model=model,
        params=params,
        project_id=project_id,
        metadata=metadata,
        priority=priority,
        deadline_seconds=deadline_seconds,
        **parameters,
    )
    ended = yield from wait(core, generation, timeout_s=timeout_s)
    if not ended.has_succeeded:
        raise GenerationFailed(ended)
    return ended


def wait(core: Core, /, generation: Named, *, timeout_s: float | None = None) -> Steps[Generation]:
    """The record of a generation once it has ended, however it did. Goes on over drops and restarts of the service.

    Raises WaitTimeout after `timeout_s`; None waits as long as it takes.
    """
    deadline = None if timeout_s is None else core.clock() + timeout_s
    while True:
        left_s = HOLD_S if deadline is None else max(deadline - core.clock(), 0.0)
        hold_s, asked_at = min(HOLD_S, left_s), core.clock()
        route = ("generations", id_of(generation))
        request = core.request("GET", *route, query={"wait": round(hold_s, 3)}, timeout_s=hold_s + core.timeout_s)
        seen = yield from found(core, Generation, request, until=deadline)
        if seen.is_over:
            return seen
        if timeout_s is not None and deadline is not None and core.clock() >= deadline:
            raise WaitTimeout(seen, timeout_s)
        if core.clock() - asked_at < min(hold_s, BETWEEN_LOOKS_S):
            yield Pause(min(BETWEEN_LOOKS_S, left_s))


def get(core: Core, /, generation: Named) -> Steps[Generation]:
    """The record of a generation as it stands."""
    return (yield from found(core, Generation, core.request("GET", "generations", id_of(generation))))


def listed(
    core: Core,
    /,
    *,
    status: str | Sequence[str] | None = None,
    project_id: str | None = None,
    batch_id: str | None = None,
    template: str | None = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    text: str | None = None,
    limit: int | None = None,
) -> Flow[Generation]:
    """Generations, newest first, page after page; `limit` at most. `text` is part of the prompt."""
    query = {
        "status": [status] if isinstance(status, str) else status,
        "projectId": project_id,
        "batchId": batch_id,
        "template": template,
        "createdAfter": _time(created_after),
        "createdBefore": _time(created_before),
        "q": text,
    }
    yield from pages(core, Generation, ("generations",), query, limit)


def cancel(core: Core, /, generation: Named) -> Steps[Generation]:
    """Ask for the end of a generation; one that has ended stays as it is. The record says `canceling` until it has."""
    return (yield from found(core, Generation, core.request("POST", "generations", id_of(generation), "cancel")))


def retry(
    core: Core, /, generation: Named, *, idempotency_key: str | None = None, **overrides: Any
) -> Steps[Generation]:
    """A new generation from the same request, with the same seed; `overrides` are other parameters: `seed=-1`."""
    request = core.request(
        "POST", "generations", id_of(generation), "retry", headers=keyed(core, idempotency_key), body=overrides
    )
    return (yield from found(core, Generation, request))


def delete(core: Core, /, generation: Named) -> Steps[None]:
    """Remove a generation and its files for good; one that has not ended is canceled first."""
    yield from removed(core, "generations", id_of(generation))


def workflow(core: Core, /, generation: Named) -> Steps[dict[str, Any]]:
    """The graph that ran, in ComfyUI's API format."""
    answer = yield from answered(core, core.request("GET", "generations", id_of(generation), "workflow"))
    return decoded(core, answer)


def removed(core: Core, /, *route: str) -> Steps[None]:
    """DELETE, where a second one that finds nothing has found what the first one did."""
    yield from answered(core, core.request("DELETE", *route), accepted_after_loss=(404,))


def pages(
    core: Core, kind: type[RecordT], route: tuple[str, ...], query: Query, limit: int | None = None
) -> Flow[RecordT]:
    """The items of all pages, `limit` at most."""
    cursor, left = None, at_most("limit", limit)
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        request = core.request("GET", *route, query={**query, "limit": size, "cursor": cursor})
        items, cursor = page_of(core, kind, (yield from answered(core, request)))
        for item in items:
            yield Give(item)
        left = None if left is None else left - len(items)
        if cursor is None:
            return


def keyed(core: Core, key: str | None) -> dict[str, str]:
    """The header that lets a request be sent again without happening again."""
    return {"Idempotency-Key": core.new_key() if key is None else header_text("idempotency_key", key)}


def id_of(generation: Named) -> str:
    return identity("generation", generation, Generation)


def _time(moment: Moment | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if isinstance(moment, datetime) else moment
