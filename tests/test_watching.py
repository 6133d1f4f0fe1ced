"""What one watcher gets: how his stream opens, what is news to him, and where it ends."""

from __future__ import annotations

import asyncio

import pytest

from app import progress
from app.bus import Cursor, Entry, Subscription
from app.events import (
    Canceled,
    Completed,
    Connected,
    Event,
    Failed,
    OutputReady,
    PreviewReady,
    Progressed,
    StatusChanged,
)
from app.observations import Finished
from app.records import Generation, Status
from app.watching import END, START, Watch, ending, opening
from tests.following import ACCEPTED, SAMPLING, STARTED, claimed, entry, face, follow, output


def entry_of(event: Event, place: int) -> Entry:
    return Entry(Cursor(f"1-{place}"), (1, place), event)


def at_rest(record: Generation) -> Entry:
    return Entry(START, (0, 0), Connected(**face(progress.at_rest(record))))


def progressed() -> Progressed:
    event = follow(claimed(), ACCEPTED, STARTED, SAMPLING).events[-1]
    assert isinstance(event, Progressed)
    return event


def completed() -> tuple[Generation, Completed]:
    life = follow(claimed(), ACCEPTED, STARTED, SAMPLING, Finished(entry(), (output(0),)))
    event = life.events[-1]
    assert isinstance(event, Completed)
    return life.record, event


def picture() -> PreviewReady:
    return PreviewReady(generation_id="g", image=b"", mime_type="image/jpeg")


def finished_record(status: Status) -> Generation:
    return claimed(status=status, percentage=100.0 if status is Status.SUCCEEDED else 40.0, step=4, total_steps=20)


async def watched(watch: Watch) -> list[Entry]:
    async with asyncio.timeout(5):
        return [entry async for entry in watch]


def test_a_generation_nothing_was_published_of_opens_with_its_record() -> None:
    record = claimed(total_steps=20)

    (connected,) = opening(record, at_rest(record), None)

    assert isinstance(connected.event, Connected)
    assert (connected.cursor, connected.event.status, connected.event.total_steps) == (START, Status.PENDING, 20)


def test_a_running_generation_opens_with_its_newest_numbers() -> None:
    newest = entry_of(progressed(), 7)

    (connected,) = opening(claimed(status=Status.RUNNING), newest, None)

    assert face_of(connected) == face_of(newest)
    assert connected.event == Connected(**face(progressed()))
    assert (connected.cursor, connected.order) == (newest.cursor, newest.order)


def test_whoever_resumes_keeps_his_cursor_until_he_has_seen_what_he_missed() -> None:
    (connected,) = opening(claimed(status=Status.RUNNING), entry_of(progressed(), 7), "1-4")

    assert (connected.cursor, connected.order) == ("1-4", (1, 7))


def test_a_generation_that_is_over_opens_with_its_end() -> None:
    record, event = completed()

    connected, end = opening(record, entry_of(event, 9), None)

    assert isinstance(connected.event, Connected)
    assert (end.cursor, end.event) == (END, event)


def test_the_opening_of_a_success_leaves_the_hundred_to_complete() -> None:
    record, event = completed()

    connected, end = opening(record, entry_of(event, 9), None)

    assert isinstance(connected.event, Connected)
    assert isinstance(end.event, Completed)
    assert (connected.event.status, connected.event.percentage) == (Status.SUCCEEDED, progress.MAX_BEFORE_COMPLETE)
    assert end.event.percentage == 100.0


@pytest.mark.parametrize("newest", [None, progressed()])
def test_an_end_only_the_database_knows_is_told_all_the_same(newest: Progressed | None) -> None:
    record, _ = completed()
    last = at_rest(record) if newest is None else entry_of(newest, 7)

    connected, end = opening(record, last, None)

    assert isinstance(connected.event, Connected)
    assert connected.event.status is Status.SUCCEEDED
    assert isinstance(end.event, Completed)
    assert (end.cursor, end.event.record, end.event.step) == (END, record, record.step)


def test_an_end_the_database_read_came_too_early_for_is_told_all_the_same() -> None:
    _, event = completed()

    opened = opening(claimed(status=Status.RUNNING), entry_of(event, 9), None)

    assert [type(each.event) for each in opened] == [Connected, Completed]


@pytest.mark.parametrize(
    ("status", "kind"), [(Status.SUCCEEDED, Completed), (Status.FAILED, Failed), (Status.CANCELED, Canceled)]
)
def test_the_end_of_a_record_is_made_from_the_record_alone(status: Status, kind: type[Event]) -> None:
    record = finished_record(status)

    event = ending(record)

    assert isinstance(event, kind)
    assert event == ending(record)
    assert getattr(event, "record", None) == record


async def test_a_finished_generation_is_not_waited_for() -> None:
    record, event = completed()

    watch = Watch(opening(record, entry_of(event, 9), None), Subscription(), (1, 9))

    assert watch.is_over
    assert [type(each.event) for each in await watched(watch)] == [Connected, Completed]


async def test_a_watcher_gets_the_opening_then_news_until_the_end() -> None:
    subscription = Subscription()
    watch = Watch(opening(claimed(), at_rest(claimed()), None), subscription, (0, 0))
    changed, moved, (_, end) = StatusChanged(**face(progressed())), progressed(), completed()

    subscription.deliver([entry_of(changed, 1), entry_of(moved, 2), entry_of(end, 3), entry_of(changed, 4)])

    assert [each.event for each in await watched(watch)][1:] == [changed, moved, end]


async def test_what_the_opening_shows_is_not_told_again_but_an_output_is() -> None:
    subscription = Subscription()
    newest = entry_of(progressed(), 3)
    watch = Watch(opening(claimed(status=Status.RUNNING), newest, "1-1"), subscription, newest.order)
    delivered = OutputReady(generation_id="g", output=output(0))

    subscription.deliver([entry_of(delivered, 2), newest, entry_of(completed()[1], 4)])

    assert [type(each.event) for each in await watched(watch)] == [Connected, OutputReady, Completed]


@pytest.mark.parametrize(
    ("event", "place", "is_news"),
    [
        (progressed(), 2, False),
        (progressed(), 3, False),
        (progressed(), 4, True),
        (picture(), 2, False),
        (picture(), 4, True),
        (OutputReady(generation_id="g", output=output(0)), 2, True),
    ],
)
def test_news_is_what_the_opening_does_not_cover(event: Event, place: int, is_news: bool) -> None:
    watch = Watch((entry_of(progressed(), 3),), Subscription(), (1, 3))

    assert watch.is_news(entry_of(event, place)) is is_news


async def test_a_subscription_that_ends_early_ends_the_watch() -> None:
    subscription = Subscription()
    watch = Watch(opening(claimed(), at_rest(claimed()), None), subscription, (0, 0))

    subscription.deliver([entry_of(progressed(), 1)])
    subscription.end()

    assert [type(each.event) for each in await watched(watch)] == [Connected, Progressed]


def face_of(shown: Entry) -> dict[str, object]:
    assert isinstance(shown.event, Connected | Progressed)
    return face(shown.event)
