"""Files that list what a batch is to make: CSV, lines of JSON, YAML or JSON, read to rows that know their lines. Pure.

A row's columns are parameters and the fields of a request. Judges only the file's own form; what a row asks for is
judged by the service, and told by the line here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Final

import msgspec
import yaml  # type: ignore[import-untyped]

from app.commands.errors import Misuse
from app.commands.values import camel

MAX_VALUES: Final = 2_000_000
"""Of a file of YAML: aliases make more of it than was written, and a few lines of them more than any memory holds."""

MAX_TOLD: Final = 20
"""Wrong lines told at once."""


class Kind(StrEnum):
    """What a file is written in."""

    CSV = "csv"
    JSONL = "jsonl"
    YAML = "yaml"
    JSON = "json"


_SUFFIXES: Final = {
    ".csv": Kind.CSV,
    ".tsv": Kind.CSV,
    ".jsonl": Kind.JSONL,
    ".ndjson": Kind.JSONL,
    ".yaml": Kind.YAML,
    ".yml": Kind.YAML,
    ".json": Kind.JSON,
}
_WHOLE: Final = frozenset(
    {"base", "items", "matrix", "zip", "runs", "maxInFlight", "priority", "projectId", "metadata"}
)


@dataclass(frozen=True, slots=True)
class Row:
    """One item as it was written. `line` counts from 1; 0 where the file does not tell. `is_text`: cells of a CSV."""

    line: int
    fields: dict[str, Any]
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class BatchFile:
    """`rows` None: the file lists none, only what varies. `whole` is what it says of the batch as a whole."""

    name: str
    rows: tuple[Row, ...] | None
    whole: Mapping[str, Any] = field(default_factory=dict)

    def place(self, row: Row | None, number: int) -> str:
        """What a person calls the place of the row that comes `number`th from 0."""
        return f"{self.name} line {row.line}" if row is not None and row.line else f"{self.name} item {number + 1}"


def kind_of(name: str, given: str | None = None) -> Kind:
    """By its name, unless given. Raises Misuse."""
    if given is not None and given not in set(Kind):
        raise Misuse(f"--format {given}: is none; choose from {', '.join(Kind)}")
    kind = Kind(given) if given else _SUFFIXES.get(PurePath(name).suffix.lower())
    if kind is None:
        raise Misuse(
            f"{name}: is called like no file of a batch; name it .csv, .jsonl, .yaml or .json, or give --format"
        )
    return kind


def read(raw: bytes, name: str, kind: Kind) -> BatchFile:
    """What a file says. Raises Misuse naming the wrong lines."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Misuse(f"{name} line {line}: is not UTF-8; save the file as UTF-8") from error
    match kind:
        case Kind.CSV:
            return BatchFile(name, _some(name, tuple(_csv_rows(text, name))))
        case Kind.JSONL:
            return BatchFile(name, _some(name, _jsonl_rows(text, name)))
        case Kind.YAML:
            return _yaml_file(text, name)
        case Kind.JSON:
            return _json_file(text, name)


def _some(name: str, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    if not rows:
        raise Misuse(f"{name}: has no rows; write one for each picture that is wanted")
    return rows


def _csv_rows(text: str, name: str) -> Iterator[Row]:
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=lambda each: (head.count(each), each == ","))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    begun = 1
    try:
        for cells in reader:
            line, begun = begun, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = _columns(cells, f"{name} line {line}")
                continue
            if len(cells) > len(columns):
                raise Misuse(
                    f"{name} line {line}: has {len(cells)} cells, and there are {len(columns)} columns;"
                    " put a text with commas in double quotes"
                )
            # A cell left empty is a parameter left out.
            yield Row(line, {column: cell for column, cell in zip(columns, cells, strict=False) if cell != ""}, True)
    except csv.Error as error:
        raise Misuse(f"{name} line {reader.line_num}: is no CSV ({error})") from error


def _columns(cells: list[str], place: str) -> list[str]:
    columns = [camel(cell) for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    if "" in columns:
        raise Misuse(f"{place}: column {columns.index('') + 1} has no name; the first line names the parameters")
    if doubled := {column for column in columns if columns.count(column) > 1}:
        raise Misuse(f"{place}: {', '.join(sorted(doubled))} is there twice; name each column once")
    return columns


def _jsonl_rows(text: str, name: str) -> tuple[Row, ...]:
    rows, wrong = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(Row(number, _named(msgspec.json.decode(line.encode(), type=dict[str, Any]))))
            except (ValueError, RecursionError) as error:
                wrong.append(f"{name} line {number}: is no JSON object ({error})")
    if wrong:
        raise Misuse(*_first(wrong))
    return tuple(rows)


def _json_file(text: str, name: str) -> BatchFile:
    try:
        found = msgspec.json.decode(text.encode())
    except (ValueError, RecursionError) as error:
        raise Misuse(f"{name}: is no JSON ({error}); a file with an object on each line is called .jsonl") from error
    items = _items(found, name)
    return _file(name, items if items is None else _rows(name, items, [0] * len(items)), found)


def _yaml_file(text: str, name: str) -> BatchFile:
    loader = _Loader(text)
    try:
        document = loader.get_single_node()
        if document is None:
            raise Misuse(f"{name}: is empty; list what is to be made")
        _check_size(document, name)
        found = loader.construct_document(document)
        lines = _item_lines(document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name} line {mark.line + 1}" if mark else name
        raise Misuse(f"{place}: is no YAML ({getattr(error, 'problem', None) or error})") from error
    except RecursionError as error:
        raise Misuse(f"{name}: is nested too deeply") from error
    finally:
        loader.dispose()
    items = _items(found, name)
    return _file(name, items if items is None else _rows(name, items, lines), found)


def _check_size(document: yaml.Node, name: str) -> None:
    """Raises Misuse for aliases that stand for too much, or for what they are in."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known == 0:
            raise Misuse(f"{name} line {node.start_mark.line + 1}: holds itself; write out what is meant")
        if known is None:
            sizes[id(node)] = 0
            inside = node.value if isinstance(node, yaml.CollectionNode) else ()
            parts = (part for each in inside for part in (each if isinstance(each, tuple) else (each,)))
            known = sizes[id(node)] = 1 + sum(map(size, parts))
        return known

    if size(document) > MAX_VALUES:
        raise Misuse(
            f"{name}: its aliases make more than {MAX_VALUES} values of it; write fewer, or a file for each part"
        )


def _items(found: Any, name: str) -> list[Any] | None:
    items = found.get("items") if isinstance(found, dict) else found if isinstance(found, list) else None
    if items is not None and not isinstance(items, list):
        raise Misuse(f"{name}: `items` must be a list")
    return items


def _rows(name: str, items: list[Any], lines: list[int]) -> tuple[Row, ...]:
    shape = BatchFile(name, None)
    rows, wrong = [], []
    for number, (line, each) in enumerate(zip(lines, items, strict=True)):
        if isinstance(each, dict) and all(isinstance(field, str) for field in each):
            rows.append(Row(line, _named(each)))
        else:
            place = shape.place(Row(line, {}), number)
            wrong.append(f"{place}: must be an object, parameters with their values")
    if wrong:
        raise Misuse(*_first(wrong))
    return tuple(rows)


def _file(name: str, rows: tuple[Row, ...] | None, found: Any) -> BatchFile:
    if isinstance(found, list):
        return BatchFile(name, _some(name, rows or ()))
    if not isinstance(found, dict):
        raise Misuse(f"{name}: must be a list of items, or an object with `items` or `base`")
    whole = {camel(str(part)): value for part, value in found.items() if part != "items"}
    if unknown := sorted(whole.keys() - _WHOLE):
        raise Misuse(f"{name}: {', '.join(unknown)} means nothing here; what all items have belongs into `base`")
    if rows is None and "base" not in whole:
        raise Misuse(f"{name}: has no items; give `items`, or a `base` with `matrix` or `runs`")
    return BatchFile(name, rows if rows is None else _some(name, rows), whole)


def _item_lines(document: yaml.Node) -> list[int]:
    """The line of each item of a list, or of the list called `items`."""
    node = document
    if isinstance(document, yaml.MappingNode):
        node = next((value for key, value in document.value if key.value == "items"), document)
    return [each.start_mark.line + 1 for each in node.value] if isinstance(node, yaml.SequenceNode) else []


def _named(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {camel(name): value for name, value in fields.items() if value is not None}


def _first(wrong: list[str]) -> list[str]:
    more = len(wrong) - MAX_TOLD
    return wrong if more <= 0 else [*wrong[:MAX_TOLD], f"and {more} more"]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML that is JSON at heart: a date stays the text it is written as."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
