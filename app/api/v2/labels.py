"""The labels of jobs: short texts by name, given with a job and listed by. Owns their rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import Request

from app.errors import Problem, pointer
from app.v2_errors import BadLabelFilter, BadLabels

MAX_LABELS: Final = 16
MAX_FILTERS: Final = 3
MAX_VALUE_BYTES: Final = 256
"""The limits that the vendor's own client tells of."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
# Controls, and marks of writing direction.
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_FILTER: Final = re.compile(r"metadata\[(.*)\]", re.DOTALL)


def given_labels(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """The labels of a new job. Raises BadLabels."""
    given = dict(metadata or {})
    if len(given) > MAX_LABELS:
        raise BadLabels([Problem("/metadata", f"has {len(given)} labels; send at most {MAX_LABELS}")])
    if wrong := [Problem(pointer("metadata", name), flaw) for name, flaw in _flaws(given)]:
        raise BadLabels(wrong)
    return given


def asked_labels(http: Request) -> tuple[tuple[str, str], ...]:
    """The labels to list by: `metadata[name]=value` of the query. Raises BadLabelFilter."""
    pairs = [(found[1], value) for name, value in http.query_params.multi_items() if (found := _FILTER.fullmatch(name))]
    if len(pairs) > MAX_FILTERS:
        raise BadLabelFilter([Problem("?metadata", f"names {len(pairs)} labels; send at most {MAX_FILTERS}")])
    if wrong := [Problem(f"?metadata[{name}]", flaw) for pair in pairs for name, flaw in _flaws(dict([pair]))]:
        raise BadLabelFilter(wrong)
    return tuple(pairs)


def is_filter(name: str) -> bool:
    """Whether a query parameter names a label to list by."""
    return _FILTER.fullmatch(name) is not None


def _flaws(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            yield name, "a label's name has 1 to 40 letters, digits, `_`, `-` or `.`"
        elif not isinstance(value, str):
            yield name, "a label is a text; put it in quotes"
        elif len(value.encode()) > MAX_VALUE_BYTES:
            yield name, f"a label has at most {MAX_VALUE_BYTES} bytes of UTF-8; shorten it"
        elif _UNFIT.search(value):
            yield name, "a label has no control characters and no marks of writing direction; remove them"
