"""The queries over generations, as SQLAlchemy statements that serve both databases.

Owns which rows are meant and in which order they come; runs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from app.db.columns import encode_json
from app.db.models import GENERATIONS, LATE, UNCLAIMED, WAITING
from app.db.rows import RECORD_COLUMNS
from app.records import TERMINAL, Generation, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.sql.dml import ReturningUpdate

_C: Final = GENERATIONS.c
_WAITING: Final = sa.text(WAITING)
_UNCLAIMED: Final = sa.text(UNCLAIMED)
_UNFINISHED: Final = tuple(sorted(status for status in Status if status not in TERMINAL))
#: Who goes first among the waiting: higher priority, then longer wait; the id settles what is equal.
_TURN: Final = (_C.priority.desc(), _C.created_at, _C.id)
_NO_LIMIT: Final = 2**31 - 1
#: A priority below every caller's.
LEAST: Final = -(2**31)
_IS_URGENT: Final = _C.priority >= sa.bindparam("least", type_=_C.priority.type)
_INSTANT: Final = _C.created_at.type
_ID: Final = _C.id.type


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the list of generations, newest first: the last record of the page before."""

    created_at: float
    id: str

    @classmethod
    def of(cls, record: Generation) -> Position:
        return cls(record.created_at, record.id)


@dataclass(frozen=True, slots=True)
class GenerationFilter:
    """Which generations to list; what is not given does not restrict.

    `created_after` is included, `created_before` is not, so that adjoining ranges neither overlap nor leave a gap.
    `text` is a substring of `prompt_text` in any case; on PostgreSQL the database's locale says what case is.
    `labels` are pairs of texts in the metadata; some without them may come as well: those that have them deeper
    inside, and on SQLite those that have them in another case.
    """

    status: tuple[Status, ...] = ()
    project_id: str | None = None
    batch_id: str | None = None
    template: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    text: str | None = None
    labels: tuple[tuple[str, str], ...] = ()

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        if self.status:
            yield _C.status.in_(self.status)
        for name in ("project_id", "batch_id", "template"):
            if (value := getattr(self, name)) is not None:
                yield _C[name] == value
        if self.created_after is not None:
            yield _C.created_at >= self.created_after
        if self.created_before is not None:
            yield _C.created_at < self.created_before
        if self.text:
            yield _C.prompt_text.icontains(self.text, autoescape=True)
        for name, value in self.labels:
            # As text, which both databases keep as it was written: PostgreSQL cannot look into JSON with a NUL in it.
            yield sa.cast(_C.metadata, sa.Text).contains(encode_json({name: value})[1:-1], autoescape=True)


def page(filters: GenerationFilter, limit: int, after: Position | None) -> sa.Select[Any]:
    """Newest first, from behind `after`."""
    query = sa.select(*RECORD_COLUMNS).where(*filters.conditions())
    if after is not None:
        query = query.where(_before(sa.literal(after.created_at, _INSTANT), sa.literal(after.id, _ID)))
    return query.order_by(_C.created_at.desc(), _C.id.desc()).limit(limit)


def unfinished(owner: str | None) -> sa.Select[Any]:
    """The claimed that have not ended, oldest first."""
    query = sa.select(*RECORD_COLUMNS).where(_C.status.in_(_UNFINISHED), _C.backend.is_not(None))
    if owner is not None:
        query = query.where(_C.owner == owner)
    return query.order_by(_C.created_at, _C.id)


def orphans(seen_before: float) -> sa.Select[Any]:
    """The claimed that have not ended and whose owner has not stamped them since."""
    seen_at = sa.func.coalesce(_C.owner_seen_at, _C.created_at)
    return unfinished(None).where(seen_at < sa.literal(seen_before, _INSTANT))


def turn(record: Generation) -> tuple[int, float, str]:
    """The order of `_TURN` for records in hand."""
    return (-record.priority, record.created_at, record.id)


def _before(created_at: sa.ColumnElement[float], generation_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """(created_at, id) < the given; as a row comparison both databases use the index for it."""
    return sa.tuple_(_C.created_at, _C.id) < sa.tuple_(created_at, generation_id)


def _count(waiting: sa.Select[Any]) -> sa.Select[Any]:
    """How many, in an order nobody asked for: it makes SQLite take the index of those waiting, which is all it reads.

    Unordered (and without a limit it drops the order) it takes the index of statuses and reads every row: three times
    slower with 10,000 waiting.
    """
    in_turn = waiting.order_by(*_TURN).limit(sa.literal(_NO_LIMIT, sa.Integer)).subquery()
    return sa.select(sa.func.count()).select_from(in_turn)


def _ahead() -> sa.Select[Any]:
    priority = sa.bindparam("priority", type_=_C.priority.type)
    place = _before(sa.bindparam("created_at", type_=_INSTANT), sa.bindparam("id", type_=_ID))
    ahead = sa.or_(_C.priority > priority, sa.and_(_C.priority == priority, place))
    return _count(sa.select(_C.id).where(_WAITING, ahead))


def _claim() -> ReturningUpdate[Any]:
    able = sa.or_(_C.able.is_(None), _C.able.like(sa.bindparam("able_pattern", type_=sa.Text), escape="\\"))
    turn_ = sa.select(_C.id).where(_WAITING, _IS_URGENT, able).order_by(*_TURN)
    turn_ = turn_.limit(sa.bindparam("rows", type_=sa.Integer))
    # Run once, and locks what it returns; PostgreSQL may run a subquery in the condition again for every row.
    chosen = turn_.with_for_update(skip_locked=True).cte("chosen").prefix_with("MATERIALIZED", dialect="postgresql")
    owner: dict[str, sa.BindParameter[Any]] = {
        name: sa.bindparam(f"new_{name}") for name in ("backend", "client_id", "owner", "owner_seen_at")
    }
    update = sa.update(GENERATIONS).values(**owner, version=_C.version + 1)
    return update.where(_C.id.in_(sa.select(chosen.c.id))).returning(*RECORD_COLUMNS, _C.workflow)


def able_pattern(backend: str) -> str:
    """What `able` looks like where it names this server."""
    escaped = backend.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%,{escaped},%"


def release(backends: Sequence[str]) -> sa.Update:
    """Let anybody run what waits for servers that are not among these."""
    named = sa.or_(sa.false(), *(_C.able.like(able_pattern(name), escape="\\") for name in backends))
    return sa.update(GENERATIONS).where(_UNCLAIMED, _C.able.is_not(None), ~named).values(able=None)


def _stamp() -> sa.Update:
    """No change of version: a stamp is no fact about a generation, and must not lose a race against one."""
    values: dict[str, sa.BindParameter[Any]] = {
        name: sa.bindparam(f"new_{name}") for name in ("step", "total_steps", "percentage", "owner_seen_at")
    }
    return sa.update(GENERATIONS).values(**values).where(_C.id == sa.bindparam("value"), _C.completed_at.is_(None))


# Made once: SQLAlchemy takes longer to build a statement than the database to run it.
BY_ID: Final = sa.select(*RECORD_COLUMNS).where(_C.id == sa.bindparam("value"))
BY_PROMPT_ID: Final = sa.select(*RECORD_COLUMNS).where(_C.prompt_id == sa.bindparam("value"))
BY_IDEMPOTENCY_KEY: Final = sa.select(*RECORD_COLUMNS).where(_C.idempotency_key == sa.bindparam("value"))
OVERDUE: Final = sa.select(*RECORD_COLUMNS).where(
    _UNCLAIMED, sa.text(LATE), _C.deadline_at <= sa.bindparam("now", type_=_INSTANT)
)
WORKFLOW: Final = sa.select(_C.workflow).where(_C.id == sa.bindparam("value"))
REQUEST: Final = sa.select(_C.request).where(_C.id == sa.bindparam("value"))
STAMP: Final = _stamp()
DELETE: Final = sa.delete(GENERATIONS).where(_C.id == sa.bindparam("value"))
#: No change of version: what a request was called is no fact about the generation it made.
FORGET_KEY: Final = (
    sa.update(GENERATIONS)
    .values(idempotency_key=None)
    .where(_C.idempotency_key == sa.bindparam("value"), _C.created_at < sa.bindparam("before", type_=_INSTANT))
)
#: Of those waiting: the number with at least the priority `:least`, the first `:rows` ids, the number before
#: `:priority, :created_at, :id`.
WAITING_COUNT: Final = _count(sa.select(_C.id).where(_WAITING, _IS_URGENT))
WAITING_ORDER: Final = sa.select(_C.id).where(_WAITING).order_by(*_TURN).limit(sa.bindparam("rows", type_=sa.Integer))
WAITING_AHEAD: Final = _ahead()
#: How many of a batch it holds back that come before one of its own.
_HELD_AHEAD: Final = (
    sa.select(sa.func.count())
    .select_from(GENERATIONS)
    .where(
        _C.batch_id == sa.bindparam("batch_id"),
        _C.held_at.is_not(None),
        _UNCLAIMED,
        _before(sa.bindparam("created_at", type_=_INSTANT), sa.bindparam("id", type_=_ID)),
    )
)
#: Both in one look: between two of them the batch may let go of some, which would be counted twice or not at all.
ITEMS_AHEAD: Final = sa.select(WAITING_AHEAD.scalar_subquery() + _HELD_AHEAD.scalar_subquery())
#: Binds the first `:rows` in turn, of at least the priority `:least`, to `:new_backend`, `:new_client_id`,
#: `:new_owner`, `:new_owner_seen_at`.
CLAIM: Final = _claim()
