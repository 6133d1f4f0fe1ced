"""Keys that are good for one generation, on both databases: what spends one, and when it is free again."""

from __future__ import annotations

import pytest

from app.asset_records import KEY_TTL_S
from app.requests import Request
from app.single_use import SingleUse
from app.v2_errors import KeySpent
from tests.api.asking import picture
from tests.conftest import Serve
from tests.service import Service


@pytest.fixture
async def api(serve: Serve, database_url: str) -> Service:
    return await serve(database_url=database_url)


async def test_a_key_is_free_again_after_a_day_and_its_first_generation_stays(api: Service) -> None:
    services = api.app.state.services
    request = Request(workflow=picture(), idempotency_key="a key")
    now = 0.0

    def wall() -> float:
        return now

    single_use = SingleUse(services.generations, services.generations._repository, wall=wall)
    first = (await single_use.submit(request)).record
    now = first.created_at + KEY_TTL_S - 1
    with pytest.raises(KeySpent):
        await single_use.submit(request)
    now = first.created_at + KEY_TTL_S + 1

    second = (await single_use.submit(request)).record

    assert second.id != first.id
    assert (await api.finished(first.id))["status"] == "succeeded"
    now = second.created_at
    with pytest.raises(KeySpent):
        await single_use.submit(request)


async def test_without_a_key_the_same_request_makes_as_many_generations_as_it_is_sent(api: Service) -> None:
    single_use = api.app.state.services.single_use

    made = [(await single_use.submit(Request(workflow=picture()))).record.id for _ in range(2)]

    assert len(set(made)) == 2
