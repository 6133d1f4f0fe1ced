"""Generations through the client, from the running service."""

from __future__ import annotations

from itertools import islice
from typing import Any
from uuid import uuid4

import pytest

from comfy_relay import (
    Client,
    Completed,
    Connected,
    GenerationFailed,
    PreviewReady,
    Problem,
    Progressed,
    Status,
    WaitTimeout,
)
from tests.files import png

TINY: dict[str, Any] = {"steps": 1, "width": 64, "height": 64}
"""What ends at once."""

LONG: dict[str, Any] = {"steps": 100, "width": 64, "height": 64}
"""What takes three seconds."""

GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 2, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "two"}},
}


def test_run_gives_the_record_with_its_pictures(relay: Client) -> None:
    generation = relay.run("a lighthouse", seed=7, metadata={"order": 1}, **TINY)

    assert generation.status is Status.SUCCEEDED
    assert (generation.prompt, generation.seed, generation.metadata) == ("a lighthouse", 7, {"order": 1})
    assert generation.raw["imageUrls"] == list(generation.image_urls)
    assert relay.read(generation.images[0]).startswith(b"\x89PNG")


def test_generate_answers_at_once_and_wait_sees_the_end(relay: Client) -> None:
    accepted = relay.generate(workflow=GRAPH)
    ended = relay.wait(accepted.id)

    assert not accepted.is_over
    assert (ended.id, len(ended.images)) == (accepted.id, 2)
    assert relay.get(accepted) == ended


def test_a_generation_that_does_not_succeed_is_raised_with_its_record(relay: Client) -> None:
    with pytest.raises(GenerationFailed, match="timed_out") as raised:
        relay.run("too late", deadline_seconds=0.2, **LONG)

    assert raised.value.code == "timed_out"
    assert raised.value.generation.status is Status.FAILED


def test_waiting_ends_when_it_was_told_to_and_the_generation_goes_on(relay: Client) -> None:
    generation = relay.generate("long", **LONG)

    with pytest.raises(WaitTimeout) as raised:
        relay.wait(generation, timeout_s=0.2)

    assert raised.value.seen.id == generation.id
    assert relay.cancel(generation).status in {Status.CANCELING, Status.CANCELED}
    assert relay.wait(generation).status is Status.CANCELED


def test_following_tells_everything_from_connected_to_exactly_one_end(relay: Client) -> None:
    generation = relay.generate("followed", steps=10, width=64, height=64)

    events = list(relay.follow(generation))

    assert isinstance(events[0], Connected)
    assert [event.type for event in events if event.is_terminal] == ["complete"]
    end = events[-1]
    assert isinstance(end, Completed)
    assert end.generation.image_urls
    assert end.generation.raw["id"] == generation.id
    percentages = [event.percentage for event in events if isinstance(event, Progressed)]
    assert percentages == sorted(percentages)
    assert not any(isinstance(event, PreviewReady) for event in events)


def test_previews_come_with_their_pictures_for_who_asks_for_them(relay: Client) -> None:
    generation = relay.generate("previewed", steps=10, width=64, height=64)

    previews = [event for event in relay.follow(generation, previews=True) if isinstance(event, PreviewReady)]

    assert previews
    assert {preview.mime_type for preview in previews} == {"image/jpeg"}
    assert all(preview.picture.startswith(b"\xff\xd8") for preview in previews)


def test_following_may_be_left_and_taken_up_behind_any_event(relay: Client) -> None:
    generation = relay.generate("left", steps=10, width=64, height=64)

    seen = list(islice(relay.follow(generation), 3))
    rest = list(relay.follow(generation, after=seen[-1].cursor))

    assert isinstance(rest[-1], Completed)
    assert list(relay.follow(generation, after=rest[-1].cursor)) == []


def test_the_list_goes_over_pages_and_filters(relay: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfy_relay.generating.PAGE", 2)
    project = str(uuid4())
    made = [relay.run(f"number {n}", project_id=project, **TINY).id for n in range(5)]

    found = list(relay.list(project_id=project))

    assert [each.id for each in found] == made[::-1]
    assert [each.id for each in relay.list(project_id=project, limit=3)] == made[:1:-1]
    assert list(relay.list(project_id=project, status=[Status.FAILED, "canceled"])) == []
    assert [each.id for each in relay.list(project_id=project, text="number 3")] == [made[3]]
    assert next(iter(relay.list(project_id=project, created_after=found[1].created_at))).id == made[4]
    assert relay.project(project).counts == {"succeeded": 5}


def test_a_file_that_goes_nowhere_is_told_of(relay: Client) -> None:
    with pytest.raises(Problem) as refused:
        relay.generate("a lighthouse", references=[png()])

    assert [place.pointer for place in refused.value.errors] == ["/references/0"]


def test_another_try_has_other_parameters(relay: Client) -> None:
    first = relay.run("again", seed=3, **TINY)

    second = relay.wait(relay.retry(first, seed=4))

    assert (second.prompt, second.seed) == ("again", 4)
    assert second.id != first.id


def test_a_removed_generation_is_gone(relay: Client) -> None:
    generation = relay.run("removed", **TINY)

    relay.delete(generation)

    with pytest.raises(Problem) as raised:
        relay.get(generation)
    assert raised.value.code == "not_found"


def test_a_name_of_ones_own_gives_the_same_generation_again(relay: Client) -> None:
    key = str(uuid4())

    first = relay.generate("named", idempotency_key=key, **TINY)
    again = relay.generate("named", idempotency_key=key, **TINY)

    assert again.id == first.id


def test_the_graph_that_ran_can_be_read(relay: Client) -> None:
    generation = relay.generate(workflow=GRAPH)

    assert relay.workflow(generation)["2"]["class_type"] == "SaveImage"
