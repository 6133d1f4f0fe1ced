"""Writes many rows in one transaction and says of each whether it was written. Never begins or commits.

Both ways are exact for every row, conflicts included. SQLite runs one prepared statement per row on the driver's
cursor (SQLAlchemy's `execute` costs twice as much, and `executemany` knows only the sum of rows). PostgreSQL takes
all rows of a shape in one round trip: `unnest` makes them a table, and RETURNING names those written.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.models import GENERATIONS
from app.db.outbox import insert_deliveries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.db.rows import RowWrite

_KEYS: Final = ("key_id", "key_version")
# One statement text per set of changed columns. The lifecycle knows about a dozen; the bound is for the unforeseen.
_STATEMENTS: Final = 256
_SQLITE: Final = sa.make_url("sqlite://").get_dialect()()
_POSTGRESQL: Final = sa.make_url("postgresql+asyncpg://").get_dialect()()


def write_rows(connection: sa.Connection, writes: Sequence[RowWrite]) -> list[bool]:
    """Insert or change each row. False: the id is taken, or the version is not the expected one any more.

    No two writes may be of the same generation: PostgreSQL's single statement would see only one of them. What is to
    be told of those written goes into the outbox.
    """
    write = _write_by_shape if connection.dialect.name == "postgresql" else _write_by_row
    written = write(connection, writes)
    told = [row for each, is_written in zip(writes, written, strict=True) if is_written for row in each.deliveries]
    insert_deliveries(connection, told)
    return written


def _write_by_row(connection: sa.Connection, writes: Sequence[RowWrite]) -> list[bool]:
    written = []
    cursor = connection.connection.cursor()
    try:
        for write in writes:
            cursor.execute(_row_sql(write.is_insert, write.columns), write.values + write.key)
            written.append(cursor.rowcount == 1)
    finally:
        cursor.close()
    return written


@lru_cache(maxsize=_STATEMENTS)
def _row_sql(is_insert: bool, columns: tuple[str, ...]) -> str:
    """SQL with a `?` for each column and then for each key; columns come in the table's order, as in `rows.py`."""
    values: dict[str, sa.BindParameter[Any]] = {name: sa.bindparam(f"new_{name}") for name in columns}
    statement: sa.Insert | sa.Update
    if is_insert:
        statement = sqlite.insert(GENERATIONS).values(values).on_conflict_do_nothing()
    else:
        statement = sa.update(GENERATIONS).values(values)
        for column, key in zip(("id", "version"), _KEYS, strict=True):
            statement = statement.where(GENERATIONS.c[column] == sa.bindparam(key))
    return str(statement.compile(dialect=_SQLITE))


def _write_by_shape(connection: sa.Connection, writes: Sequence[RowWrite]) -> list[bool]:
    shapes: defaultdict[tuple[bool, tuple[str, ...]], list[RowWrite]] = defaultdict(list)
    for write in writes:
        shapes[write.is_insert, write.columns].append(write)
    written: set[str] = set()
    for (is_insert, columns), alike in shapes.items():
        parameters = [f"new_{name}" for name in columns] + ([] if is_insert else [*_KEYS])
        arrays = map(list, zip(*(write.values + write.key for write in alike), strict=True))
        statement = _shape_statement(is_insert, columns)
        written.update(connection.scalars(statement, dict(zip(parameters, arrays, strict=True))))
    return [write.generation_id in written for write in writes]


@lru_cache(maxsize=_STATEMENTS)
def _shape_statement(is_insert: bool, columns: tuple[str, ...]) -> sa.Executable:
    stored = {f"new_{name}": _stored_type(name) for name in columns}
    if not is_insert:
        stored |= dict(zip(_KEYS, (_stored_type("id"), _stored_type("version")), strict=True))
    arrays = [sa.bindparam(name, type_=postgresql.ARRAY(type_)) for name, type_ in stored.items()]
    rows = sa.func.unnest(*arrays).table_valued(*stored, name="new_rows").render_derived()
    values = {name: _as_column(name, rows.c[f"new_{name}"]) for name in columns}
    if is_insert:
        insert = postgresql.insert(GENERATIONS).from_select(list(values), sa.select(*values.values()))
        return insert.on_conflict_do_nothing().returning(GENERATIONS.c.id)
    update = sa.update(GENERATIONS).values(values)
    update = update.where(GENERATIONS.c.id == rows.c.key_id, GENERATIONS.c.version == rows.c.key_version)
    return update.returning(GENERATIONS.c.id)


def _stored_type(name: str) -> sa.types.TypeEngine[Any]:
    """What PostgreSQL is sent for a column: JSON travels as text, for asyncpg knows no arrays of JSON text."""
    type_ = GENERATIONS.c[name].type
    stored = type_.load_dialect_impl(_POSTGRESQL) if isinstance(type_, sa.types.TypeDecorator) else type_
    return sa.Text() if isinstance(stored, sa.JSON) else stored


def _as_column(name: str, value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    type_ = GENERATIONS.c[name].type.dialect_impl(_POSTGRESQL)
    is_json = isinstance(type_, sa.types.TypeDecorator) and isinstance(type_.impl_instance, sa.JSON)
    return sa.cast(value, postgresql.JSON()) if is_json else value
