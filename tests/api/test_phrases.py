"""No words of a library's come through: what is wrong with a value is told for a person, with an example."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.asking import places
from tests.service import Service

TIME = "must be a date and time, such as 2030-01-31T12:00:00Z"
EMPTY = "is empty; send at least one entry"

BODIES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no events": ("/api/webhooks", {"url": "https://example.com/x", "events": []}, "/events", EMPTY),
    "many events": (
        *("/api/webhooks", {"url": "https://example.com/x", "events": ["batch.completed"] * 21}),
        *("/events", "has 21 entries; send at most 20"),
    ),
    "an integer": ("/api/generate", {"prompt": "x", "priority": "5"}, "/priority", "must be an integer, such as 10"),
    "a number": (
        "/api/generate",
        {"prompt": "x", "deadlineSeconds": "5"},
        *("/deadlineSeconds", "must be a number, such as 2.5"),
    ),
    "a truth": ("/api/generate", {"prompt": "x", "force": "yes"}, "/force", "must be a boolean: true or false"),
    "a text": ("/api/generate", {"prompt": "x", "projectId": 5}, "/projectId", "must be a string: text in quotes"),
    "a list": ("/api/generate", {"prompt": "x", "references": 5}, "/references", 'must be a list, such as ["a", "b"]'),
}

QUERIES: dict[str, tuple[str, str]] = {
    "/api/generations?createdAfter=yesterday": ("?createdAfter", TIME),
    "/api/generations?createdBefore=2030-13-01": ("?createdBefore", TIME),
    "/api/generations?limit=many": ("?limit", "must be an integer, such as 10"),
    "/api/generations/00000000-0000-4000-8000-000000000000?wait=long": ("?wait", "must be a number, such as 2.5"),
    "/api/templates/x?dryRun=perhaps": ("?dryRun", "must be a boolean: true or false"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_a_wrong_value_in_a_body_is_told_in_words_of_ours(api: Service, case: str) -> None:
    path, body, place, told = BODIES[case]

    assert places(await api.http.post(path, json=body)) == {place: told}


@pytest.mark.parametrize("url", QUERIES)
async def test_a_wrong_value_in_a_query_is_told_in_words_of_ours(api: Service, url: str) -> None:
    place, told = QUERIES[url]
    body = {"name": "x", "workflow": {}}

    answer = await (api.http.put(url, json=body) if "dryRun" in url else api.http.get(url))

    assert places(answer)[place] == told
