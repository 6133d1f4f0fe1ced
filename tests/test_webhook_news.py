"""Which change of a record is which event, and what is remembered of it. Pure."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from app.api.webhook_schemas import AnyEvent, GenerationEvent
from app.records import ErrorCode, Failure, Generation, Output, OutputKind, Status
from app.webhook_news import (
    DEFAULT_EVENTS,
    EVENTS,
    GENERATION_EVENTS,
    MAX_METADATA_CHARS,
    GenerationNews,
    events_of,
    may_matter,
    milestones,
)
from tests.db.records import CREATED_AT, a_generation, next_version


def an_output(index: int) -> Output:
    return Output(
        index=index,
        node_id="9",
        kind=OutputKind.IMAGE,
        filename="a.png",
        mime_type="image/png",
        size_bytes=1,
        sha256="0",
        location="outputs/secret/place",
        text="content",
    )


def changed(before: Generation, **fields: Any) -> tuple[str, ...]:
    after = next_version(before, **fields)
    events = events_of(before, after)
    assert may_matter(before, after) or not events
    assert tuple(each.event for each in milestones(before, after)) == events
    return events


@pytest.mark.parametrize(
    ("was", "now", "event"),
    [
        (Status.PENDING, Status.QUEUED, "generation.queued"),
        (Status.PENDING, Status.RUNNING, "generation.running"),
        (Status.QUEUED, Status.RUNNING, "generation.running"),
        (Status.RUNNING, Status.SUCCEEDED, "generation.succeeded"),
        (Status.PENDING, Status.FAILED, "generation.failed"),
        (Status.CANCELING, Status.CANCELED, "generation.canceled"),
        (Status.RUNNING, Status.CANCELING, None),
        (Status.RUNNING, Status.PENDING, None),
        (Status.RUNNING, Status.RUNNING, None),
    ],
)
def test_a_status_is_an_event_when_it_is_reached(was: Status, now: Status, event: str | None) -> None:
    assert changed(a_generation(status=was), status=now) == (() if event is None else (event,))


def test_files_before_the_end_are_events_and_those_of_the_end_are_in_the_end() -> None:
    running = a_generation(status=Status.RUNNING, outputs=(an_output(0),))
    more = (an_output(0), an_output(1), an_output(2))

    assert changed(running, outputs=more) == ("generation.output", "generation.output")
    assert changed(running, outputs=more, status=Status.SUCCEEDED) == ("generation.succeeded",)
    assert changed(a_generation(), outputs=more[:1], status=Status.RUNNING) == (
        "generation.running",
        "generation.output",
    )
    assert changed(running, outputs=(), status=Status.PENDING) == ()


def test_an_event_of_a_file_has_that_file_and_the_end_has_all() -> None:
    running = a_generation(status=Status.RUNNING, outputs=(an_output(0),))
    early = next_version(running, outputs=(an_output(0), an_output(1)))
    done = next_version(early, status=Status.SUCCEEDED, completed_at=CREATED_AT)

    (file,), (end,) = milestones(running, early), milestones(early, done)

    assert isinstance(file.news, GenerationNews)
    assert isinstance(end.news, GenerationNews)
    assert [each.index for each in file.news.outputs] == [1]
    assert [each.index for each in end.news.outputs] == [0, 1]
    assert file.sequence < end.sequence


def test_what_is_remembered_is_thin() -> None:
    failed = a_generation(
        status=Status.FAILED,
        outputs=(an_output(0),),
        params={"prompt": "a very private prompt"},
        prompt_text="a very private prompt",
        metadata={"order": 7},
        error=Failure(ErrorCode.EXECUTION_ERROR, "a node failed", node_errors={"3": {}}),
    )

    (told,) = milestones(a_generation(status=Status.RUNNING), failed)
    written = msgspec.json.encode(told.news).decode()

    assert '"order":7' in written
    for absent in ("private", "secret/place", "content", "node_errors"):
        assert absent not in written


def test_metadata_that_is_long_or_cannot_be_written_is_left_out() -> None:
    for metadata in ({"text": "x" * MAX_METADATA_CHARS}, {"text": "\ud800"}):
        done = a_generation(status=Status.SUCCEEDED, metadata=metadata)

        (told,) = milestones(a_generation(status=Status.RUNNING), done)

        assert isinstance(told.news, GenerationNews)
        assert told.news.metadata is None


def test_the_lists_of_events_are_those_of_the_contract() -> None:
    assert set(get_args(GenerationEvent)) == set(GENERATION_EVENTS)
    assert set(get_args(AnyEvent)) == set(EVENTS)
    assert set(DEFAULT_EVENTS) < set(EVENTS)
