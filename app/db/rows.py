"""How a record becomes stored values, and a row a record again. Owns that mapping; runs no statement.

Values are made where the caller stands, before they join a batch with others': one that cannot be stored fails
its own caller alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.db.models import GENERATIONS
from app.records import Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import sqlalchemy as sa

#: The columns of a record, in the order `to_record` reads them; `workflow` and `request` are not among them.
FIELDS: Final = Generation.__struct_fields__
RECORD_COLUMNS: Final = tuple(GENERATIONS.c[name] for name in FIELDS)
# In the table's order, which the statements of `bulk` count on.
_INSERTED: Final = (*FIELDS, "workflow", "request")
_INSERTED_HELD: Final = (*FIELDS, "held_at", "workflow", "request")


@dataclass(frozen=True, slots=True)
class RowWrite:
    """One row to insert, or to change if it still has the expected version. `values` are ready for the driver."""

    generation_id: str
    columns: tuple[str, ...]
    values: tuple[Any, ...]
    #: Empty for a new row, else the stored id and the version it must have.
    key: tuple[Any, ...] = ()
    #: Rows of the outbox that go with it, in the same transaction.
    deliveries: tuple[dict[str, Any], ...] = ()

    @property
    def is_insert(self) -> bool:
        return not self.key


class RowEncoder:
    """Makes the stored values of one database's dialect."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._processors: dict[str, Callable[[Any], Any]] = {
            column.name: column.type.dialect_impl(dialect).bind_processor(dialect) or _unchanged
            for column in GENERATIONS.c
        }

    def insertion(
        self,
        record: Generation,
        workflow: Mapping[str, Any],
        request: Mapping[str, Any],
        *,
        held_at: float | None = None,
    ) -> RowWrite:
        """The row of a new record, held back by its batch if `held_at` is given."""
        values = [getattr(record, name) for name in FIELDS]
        if held_at is None:
            columns, values = _INSERTED, [*values, workflow, request]
        else:
            columns, values = _INSERTED_HELD, [*values, held_at, workflow, request]
        return RowWrite(record.id, columns, self._encoded(columns, values))

    def change(self, before: Generation, after: Generation, deliveries: tuple[dict[str, Any], ...] = ()) -> RowWrite:
        """Only the columns that differ, so that a status does not carry the parameters to disk once more."""
        if after.id != before.id or after.version != before.version + 1:
            raise ValueError("a change keeps the id and raises the version by one")
        changed = tuple(name for name in FIELDS if getattr(before, name) != getattr(after, name))
        values = self._encoded(changed, [getattr(after, name) for name in changed])
        key = self._encoded(("id", "version"), (before.id, before.version))
        return RowWrite(before.id, changed, values, key, deliveries)

    def _encoded(self, columns: tuple[str, ...], values: Sequence[Any]) -> tuple[Any, ...]:
        processors = self._processors
        return tuple([processors[name](value) for name, value in zip(columns, values, strict=True)])


def to_record(row: Sequence[Any]) -> Generation:
    """The record of a row selected with `RECORD_COLUMNS`."""
    return Generation(**dict(zip(FIELDS, row, strict=True)))


def _unchanged(value: Any) -> Any:
    return value
