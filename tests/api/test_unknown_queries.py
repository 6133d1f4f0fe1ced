"""A query parameter that a route does not know is refused: it would be a filter that filters nothing."""

from __future__ import annotations

import pytest

from tests.api.asking import places
from tests.batching import batch, numbered
from tests.service import Service

LISTS = (
    "/api/generations",
    "/api/batches",
    "/api/batches/{batch}/generations",
    "/api/batches/{batch}/results",
    "/api/batches/{batch}/deliveries",
    "/api/generations/{generation}/deliveries",
    "/api/webhooks",
    "/api/projects",
    "/api/templates",
    "/api/backends",
    "/api/models",
)


@pytest.mark.parametrize("path", LISTS)
async def test_a_filter_that_a_list_does_not_have_is_refused_and_those_it_has_are_named(
    api: Service, path: str
) -> None:
    started = await batch(api, {"items": numbered(1)})
    (item,) = (await api.http.get(started["urls"]["generations"])).json()["items"]
    url = path.format(batch=started["id"], generation=item["id"])

    answer = await api.http.get(url, params={"foo": "1", "token": "t"})

    found = places(answer)
    assert found.keys() == {"?foo"}
    assert found["?foo"].startswith("is no filter; ")
    assert ("limit" in found["?foo"]) == ((await api.http.get(url, params={"limit": "1"})).status_code == 200)


async def test_a_filter_of_another_list_is_none_of_this_one(api: Service) -> None:
    found = places(await api.http.get("/api/batches", params={"status": "succeeded"}))

    assert found == {"?status": "is no filter; there are: cursor, limit"}
