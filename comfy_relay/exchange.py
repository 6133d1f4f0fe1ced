"""One request and its answer, with every second try that it takes. Owns what is tried again, when, and for how long.

A request is tried again when that cannot do a thing twice: because it only reads, because it carries an
`Idempotency-Key`, or because it was never sent. Computes only; others send, and wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from comfy_relay.arguments import as_json
from comfy_relay.effects import Answer, Head, Lost, Pause, Request, Steps, ask, opened, read_all
from comfy_relay.errors import NotARelay, Problem, RelayError, Unreachable
from comfy_relay.records import RecordT

T = TypeVar("T")

PROBLEM: Final = "urn:comfy-relay:problem:"
"""How the types of all problems begin."""

FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0

FIRST_CONTACT_S: Final = 2.0
"""A service that has never answered this client is looked for only so long: more likely than a restart is that it was
never started, or is somewhere else."""

_BUSY: Final = frozenset({"idempotency_in_progress", "still_running"})
"""Conflicts that pass."""

_GATEWAY: Final = frozenset({502, 504})
"""What proxies say when the service behind them is away."""

Query = Mapping[str, object]


@dataclass(slots=True)
class Core:
    """What all operations of one client share. `clock` is in seconds; `jitter` gives 0..1; `new_key` a fresh key.

    `away_since` is since when the service does not answer; None while it does, or was not asked yet.
    """

    base: str
    timeout_s: float
    retry_for_s: float
    clock: Callable[[], float]
    jitter: Callable[[], float]
    new_key: Callable[[], str]
    has_answered: bool = field(default=False)
    away_since: float | None = field(default=None)

    def heard_from(self) -> None:
        """The service is there."""
        self.has_answered, self.away_since = True, None

    def url(self, *parts: str) -> str:
        """The address of a route, given in its parts, which may hold any character."""
        return "/".join((self.base, *(quote(part, safe="") for part in parts)))

    def request(
        self,
        method: str,
        *parts: str,
        url: str | None = None,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        content: bytes | Path | None = None,
        timeout_s: float | None = None,
    ) -> Request:
        """A request of a route, or of a `url` of the service's. `body` is sent as JSON. Raises as `as_json`."""
        sent = dict(headers or {})
        if body is not None:
            content = as_json(body)
            sent["Content-Type"] = "application/json"
        return Request(
            method=method,
            url=url or self.url("api", *parts),
            query=tuple(_pairs(query or {})),
            headers=sent,
            body=content,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
        )


class Patience:
    """How long one thing is tried again: `core.retry_for_s` from its first failure on, or to `until` on the clock."""

    def __init__(self, core: Core, until: float | None = None) -> None:
        self._core, self._until = core, until
        self.renew()

    def renew(self) -> None:
        """It went well: what fails next is a new trouble."""
        self._since: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def pause(self, cause: RelayError, asked_s: float = 0.0, limit_s: float | None = None) -> Steps[None]:
        """Wait a moment, `asked_s` at least; raise `cause` if that is longer than there is patience."""
        now = self._core.clock()
        self._since = now if self._since is None else self._since
        if isinstance(cause, Unreachable) and self._core.away_since is None:
            self._core.away_since = now
        limit = self._since + (self._core.retry_for_s if limit_s is None else limit_s)
        if self._until is not None:
            limit = min(limit, self._until)
        # A half is kept, so that a pause is one; the other is for many clients not to come back together.
        seconds = max(asked_s, self._pause_s * (0.5 + self._core.jitter() / 2))
        if now + seconds > limit:
            raise cause
        self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S)
        yield Pause(seconds)

    def after_loss(self, lost: Lost) -> Steps[None]:
        """The same, after the connection failed."""
        core = self._core
        is_new = not core.has_answered and not lost.was_sent
        limit_s = min(core.retry_for_s, FIRST_CONTACT_S) if is_new else None
        yield from self.pause(Unreachable(core.base, lost.why), limit_s=limit_s)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that a caller has given."""
    return {name: value for name, value in fields.items() if value is not None}


def answered(
    core: Core,
    request: Request,
    *,
    is_repeatable: bool = True,
    accepted: Collection[int] = (),
    accepted_after_loss: Collection[int] = (),
    until: float | None = None,
) -> Steps[Answer]:
    """The answer to a request, once there is one that is not "not now". Raises Unreachable or Problem.

    `accepted`: statuses that are no errors here; `accepted_after_loss`: nor after an answer got lost.
    `is_repeatable`: nothing happens twice if it is sent twice.
    """
    patience = Patience(core, until)
    while True:
        try:
            answer = yield from ask(request)
        except Lost as lost:
            if lost.was_sent and not is_repeatable:
                raise Unreachable(core.base, f"{lost.why}; what was asked for may have happened, look first") from lost
            if lost.was_sent:
                accepted = (*accepted, *accepted_after_loss)
            yield from patience.after_loss(lost)
            continue
        if answer.status in accepted or 200 <= answer.status < 300:
            core.heard_from()
            return answer
        yield from not_now(core, patience, answer, answer.content, is_repeatable=is_repeatable)


def begun(core: Core, request: Request, patience: Patience, accepted: Collection[int] = ()) -> Steps[Head]:
    """The same for an answer that is read bit by bit. Raises Unreachable or Problem."""
    while True:
        try:
            head = yield from opened(request)
            if head.status in accepted or 200 <= head.status < 300:
                core.heard_from()
                return head
            content = yield from read_all()
        except Lost as lost:
            yield from patience.after_loss(lost)
            continue
        yield from not_now(core, patience, head, content)


def not_now(core: Core, patience: Patience, head: Head, content: bytes, *, is_repeatable: bool = True) -> Steps[None]:
    """Pause, if the refusal is one that passes; raise it otherwise."""
    refusal = refusal_of(core, head, content)
    if isinstance(refusal, Problem):
        core.heard_from()
        passes = head.status == 429 or (is_repeatable and (head.status == 503 or refusal.code in _BUSY))
    else:
        passes = is_repeatable and head.status in _GATEWAY | {429, 503}
    if not passes:
        raise refusal
    yield from patience.pause(refusal, _retry_after_s(head))


def refusal_of(core: Core, head: Head, content: bytes) -> RelayError:
    """What an answer that is no success says."""
    found = _decoded(content)
    if found is not None and str(found.get("type")).startswith(PROBLEM):
        return Problem(head.status, found, _retry_after_s(head) or None)
    to = head.headers.get("location") if 300 <= head.status < 400 else None
    return NotARelay(core.base, head.status, f"it redirects to {to}" if to else "")


def found(
    core: Core,
    kind: type[RecordT],
    request: Request,
    *,
    is_repeatable: bool = True,
    accepted: Collection[int] = (),
    until: float | None = None,
) -> Steps[RecordT]:
    """The record that answers a request. Raises Unreachable or Problem."""
    answer = yield from answered(core, request, is_repeatable=is_repeatable, accepted=accepted, until=until)
    return record_of(core, kind, answer)


def record_of(core: Core, kind: type[RecordT], answer: Answer) -> RecordT:
    return shaped(core, kind, _decoded(answer.content), answer.status)


def shaped(core: Core, kind: type[RecordT], raw: object, status: int = 200) -> RecordT:
    """A decoded part of an answer as a record. Raises NotARelay where it is none."""
    if not isinstance(raw, dict):
        raise NotARelay(core.base, status)
    try:
        return kind.of(raw)
    except msgspec.ValidationError as error:
        raise NotARelay(core.base, status, str(error)) from error


def page_of(core: Core, kind: type[RecordT], answer: Answer) -> tuple[tuple[RecordT, ...], str | None]:
    """The items of a page, and the cursor of the next one."""
    raw = _decoded(answer.content) or {}
    items = raw.get("items")
    if not isinstance(items, list):
        raise NotARelay(core.base, answer.status)
    return tuple(shaped(core, kind, item) for item in items), raw.get("nextCursor")


def lines(core: Core, kind: type[RecordT], request: Request) -> Steps[tuple[RecordT, ...]]:
    """The records of an answer with one a line."""
    answer = yield from answered(core, request)
    return tuple(shaped(core, kind, _decoded(line), answer.status) for line in answer.content.splitlines())


def decoded(core: Core, answer: Answer) -> dict[str, Any]:
    """The object in an answer. Raises NotARelay where there is none."""
    raw = _decoded(answer.content)
    if raw is None:
        raise NotARelay(core.base, answer.status)
    return raw


def _decoded(content: bytes) -> dict[str, Any] | None:
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return raw if isinstance(raw, dict) else None


def _retry_after_s(head: Head) -> float:
    """Seconds of `Retry-After`; its other form, a date, is a proxy's and counts as none."""
    written = head.headers.get("retry-after", "")
    return float(written) if written.isascii() and written.isdigit() else 0.0


def _pairs(query: Query) -> list[tuple[str, str]]:
    pairs = []
    for name, value in query.items():
        several = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, _written(each)) for each in several if each is not None]
    return pairs


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
