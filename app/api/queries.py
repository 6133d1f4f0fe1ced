"""The query of a route: what it knows by name, and nothing else. Never judges a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import Depends, Request

from app.api.bodies import MAX_PROBLEMS
from app.errors import InvalidRequest, Problem

_TOKEN: Final = "token"  # noqa: S105 - the name of the parameter that signed URLs end with, which any route may have
_READING: Final = frozenset({"GET", "HEAD"})


async def refuse_unknown(request: Request) -> None:
    """A misspelt filter would show rows nobody asked for, a misspelt option would do less. Raises InvalidRequest."""
    known = set(_names(request.scope["route"].dependant))
    unknown = [name for name in request.query_params if name not in known and name != _TOKEN]
    if not unknown:
        return
    what = "filter" if request.method in _READING else "option"
    told = f"there are: {', '.join(sorted(known))}" if known else f"there is no {what} here; leave it out"
    raise InvalidRequest(*(Problem(f"?{name}", f"is no {what}; {told}") for name in unknown[:MAX_PROBLEMS]))


def _names(dependant: Any) -> Iterator[str]:
    """The names a route, and what it depends on, take from the query."""
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _names(each)


KNOWN_ONLY: Final = Depends(refuse_unknown)
"""For a route's `dependencies`."""
