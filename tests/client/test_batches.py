"""Batches through the client, from the running service."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest

from comfy_relay import BatchCompleted, BatchConnected, Client, ItemEnded, Problem, Status, WaitTimeout
from tests.client.test_generations import LONG, TINY


def test_a_batch_of_prompts_comes_to_its_end(relay: Client) -> None:
    batch = relay.batch(["a lighthouse", {"prompt": "a harbour", "key": "h"}], base=TINY, metadata={"for": "shop"})
    ended = relay.wait_batch(batch)

    results = list(relay.batch_results(ended))
    assert (ended.total, ended.count("succeeded"), ended.ended, ended.metadata) == (2, 2, 2, {"for": "shop"})
    assert [(result.index, result.key, result.prompt) for result in results] == [
        (0, None, "a lighthouse"),
        (1, "h", "a harbour"),
    ]
    assert {each.id for each in relay.batch_generations(batch.id)} == {result.generation_id for result in results}
    assert relay.get_batch(batch.id) == ended
    assert batch.id in [each.id for each in relay.batches(limit=3)]


def test_products_groups_and_runs_are_multiplied(relay: Client) -> None:
    groups = [{"prompt": ["a lighthouse", "a harbour"], "negative_prompt": ["people", "boats"]}]

    batch = relay.batch(base={**TINY, "seed": 1}, matrix={"cfg": [4, 7]}, zip=groups, runs=2)

    events = list(relay.follow_batch(batch))
    assert isinstance(events[0], BatchConnected)
    assert isinstance(events[-1], BatchCompleted)
    items = [event.item for event in events if isinstance(event, ItemEnded)]
    assert {(item.prompt, item.params["negativePrompt"], item.params["cfg"], item.seed) for item in items} == {
        (prompt, negative, cfg, seed)
        for prompt, negative in (("a lighthouse", "people"), ("a harbour", "boats"))
        for cfg in (4, 7)
        for seed in (1, 2)
    }


def test_who_follows_a_batch_late_is_told_every_item(relay: Client) -> None:
    batch = relay.wait_batch(relay.batch(["a", "b", "c"], base=TINY))

    events = list(relay.follow_batch(batch))

    assert sorted(event.item.index for event in events if isinstance(event, ItemEnded)) == [0, 1, 2]
    assert list(relay.follow_batch(batch, after=events[-1].cursor)) == []


def test_a_bad_item_refuses_the_batch_and_every_bad_one_is_named(relay: Client) -> None:
    with pytest.raises(Problem) as raised:
        relay.batch(["fine", {"prompt": "bad", "steps": -1}, {"prompt": "worse", "cfg": "much"}])

    assert [place.pointer for place in raised.value.errors] == ["/items/1/steps", "/items/2/cfg"]
    assert "/items/1/steps" in str(raised.value)


def test_the_same_batch_under_the_same_key_goes_on(relay: Client) -> None:
    key = str(uuid4())

    batches = [relay.batch(["a"], base=TINY, idempotency_key=key) for _ in range(2)]

    assert batches[0].id == batches[1].id


def test_a_canceled_batch_ends_and_can_be_tried_again(relay: Client) -> None:
    batch = relay.batch(base={"prompt": "long", **LONG}, runs=3)
    with pytest.raises(WaitTimeout, match="goes on"):
        relay.wait_batch(batch, timeout_s=0.1)

    relay.cancel_batch(batch)
    canceled = relay.wait_batch(batch)
    again = relay.retry_batch(batch, include_canceled=True)
    relay.cancel_batch(again)

    assert canceled.status is Status.CANCELED
    assert not again.is_over
    assert relay.wait_batch(again).count("canceled") == 3


def test_the_archive_arrives_as_a_file_of_ones_choice(relay: Client, tmp_path: Path) -> None:
    batch = relay.wait_batch(relay.batch(["a", "b"], base=TINY))

    named, placed = (
        relay.download_archive(batch, tmp_path),
        relay.download_archive(batch.id, tmp_path / "to" / "my.zip"),
    )

    assert named == tmp_path / f"batch-{batch.id[:8]}.zip"
    with zipfile.ZipFile(placed) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert archive.testzip() is None
        assert len(archive.namelist()) == 3
    assert manifest["batchId"] == batch.id
    assert sorted(tmp_path.rglob("*.part")) == []
