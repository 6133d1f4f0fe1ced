"""Everything that is wrong with a batch is named at once, whoever finds it."""

from __future__ import annotations

from typing import Any

from tests.api.asking import places
from tests.batching import TINY, batch, numbered, post_batch
from tests.conftest import Serve
from tests.service import Service


async def test_items_that_are_none_and_items_with_wrong_fields_are_named_together(api: Service) -> None:
    items: list[Any] = [{"prompt": "a"}, {"prompt": "b", "steps": -1}, {"prmpt": "x"}, 5, {"prompt": "c", "key": ""}]

    found = places(await post_batch(api, {"items": items}))

    assert found.keys() == {"/items/1/steps", "/items/2/prmpt", "/items/2/prompt", "/items/3", "/items/4/key"}
    assert (await api.http.get("/api/batches")).json()["items"] == []


async def test_what_is_wrong_with_the_batch_hides_nothing_that_is_wrong_with_its_items(api: Service) -> None:
    body = {"base": {"steps": 1}, "matrix": {"cfg": [4, -1, "x"], "nope": [1]}, "runs": 0, "maxInFlite": 1}

    found = places(await post_batch(api, body))

    assert found.keys() == {"/runs", "/maxInFlite", "/matrix/cfg/1", "/matrix/cfg/2", "/matrix/nope/0", "/base/prompt"}


async def test_a_receiver_that_cannot_be_told_is_named_beside_wrong_items(api: Service) -> None:
    body = {"items": [{"prompt": "x", "steps": 0}], "webhook": {"url": "http://127.0.0.1:9/x"}}

    assert places(await post_batch(api, body)).keys() == {"/webhook/url", "/items/0/steps"}


async def test_axes_that_are_wrong_are_named_with_the_keys_of_items(api: Service) -> None:
    body = {"items": [{"prompt": "x", "key": "a"}, {"prompt": "y", "key": "a"}], "matrix": {"cfg": []}, "runs": 0}

    assert places(await post_batch(api, body)).keys() == {"/matrix/cfg", "/items/1/key", "/runs"}


async def test_a_bad_item_in_the_place_of_one_on_record_is_refused(api: Service) -> None:
    await batch(api, {"items": numbered(2)}, "key")
    items = numbered(3)
    items[1]["key"] = 5

    answer = await post_batch(api, {"items": items}, "key")

    assert answer.status_code == 422


async def test_more_faults_than_are_named_are_counted(serve: Serve) -> None:
    api = await serve()
    unknown = {f"unknown{n}": n for n in range(30)}

    of_fields = places(await post_batch(api, {"items": [{"prompt": "x", **TINY}], **unknown}))
    of_webhook = places(
        await post_batch(api, {"items": [{"prompt": "x", "webhook": {"url": "https://e.x", **unknown}}]})
    )

    assert (len(of_fields), of_fields[""].split()[0]) == (21, "10")
    assert (len(of_webhook), of_webhook["/items/0"].split()[0]) == (21, "10")
