"""The rules for prompts that are lost, canceled or given up, and for what was delivered before."""

from __future__ import annotations

import pytest

from app.events import OutputReady, StatusChanged
from app.lifecycle import Limits, Step
from app.observations import (
    CancelRequested,
    Delivered,
    Finished,
    GaveUp,
    Missing,
    Observation,
    Place,
    Polled,
    Unanswered,
)
from app.records import ErrorCode, Generation, Status
from tests.following import ACCEPTED, ENDED, SAMPLING, STALLED, STARTED, claimed, entry, follow, output, unclaimed


def test_a_prompt_that_is_missing_twice_is_submitted_again() -> None:
    life = follow(claimed(), ACCEPTED, STARTED, Delivered((output(0),))).see(Missing(), at=10).see(Missing(), at=13)

    record = life.record
    assert life.last.resubmit
    assert (record.status, record.attempt) == (Status.PENDING, 2)
    assert (record.backend, record.client_id, record.owner) == (None, None, None)
    assert (record.queued_at, record.started_at, record.outputs) == (None, None, ())
    assert life.moment.message == "Waiting to be submitted again (attempt 2)"


def test_a_prompt_that_is_missing_twice_within_the_grace_is_not_lost_yet() -> None:
    life = follow(claimed(), ACCEPTED).see(Missing(), at=10).see(Missing(), at=12.9)

    assert life.record.status is Status.QUEUED


@pytest.mark.parametrize("sign", [SAMPLING, Polled(Place.RUNNING), Polled(Place.WAITING, 1), ACCEPTED])
def test_a_sign_of_life_in_between_ends_the_search(sign: Observation) -> None:
    life = follow(claimed(), ACCEPTED).see(Missing(), at=10).see(sign, at=11).see(Missing(), at=14)

    assert life.record.attempt == 1
    assert not life.last.resubmit


def test_a_prompt_lost_on_every_attempt_fails() -> None:
    life = follow(claimed(attempt=3), ACCEPTED)

    life.see(Missing(), at=10).see(Missing(), at=13)

    assert life.record.error is not None
    assert (life.record.status, life.record.error.code) == (Status.FAILED, ErrorCode.LOST_BY_BACKEND)
    assert life.record.error.message == "ComfyUI lost the prompt 3 times; was it restarted?"


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_prompt_that_never_arrived_is_handed_back_without_using_an_attempt(attempt: int) -> None:
    life = follow(claimed(attempt=attempt)).see(Missing(), at=10).see(Missing(), at=13)

    assert life.last.resubmit
    assert life.last.is_durable
    assert (life.record.status, life.record.backend, life.record.attempt) == (Status.PENDING, None, attempt)


def test_a_prompt_posted_without_an_answer_and_never_found_uses_an_attempt() -> None:
    life = follow(claimed(), Unanswered()).see(Missing(), at=10).see(Missing(), at=13)

    assert life.last.resubmit
    assert life.record.attempt == 2


def test_a_prompt_that_never_gets_an_answer_fails_at_last() -> None:
    life = follow(claimed(attempt=3), Unanswered()).see(Missing(), at=10).see(Missing(), at=13)

    assert life.record.error is not None
    assert (life.record.status, life.record.error.code) == (Status.FAILED, ErrorCode.LOST_BY_BACKEND)


def test_the_limits_decide_when_a_prompt_is_lost() -> None:
    limits = Limits(max_attempts=1, lost_grace_s=0)

    life = follow(claimed(), ACCEPTED).see(Missing(), Missing(), limits=limits)

    assert life.record.status is Status.FAILED


@pytest.mark.parametrize("late", [SAMPLING, ACCEPTED, Polled(Place.RUNNING), ENDED, Missing()])
def test_late_words_about_a_lost_attempt_do_not_wake_a_generation_nobody_runs(late: Observation) -> None:
    life = follow(claimed(), ACCEPTED).see(Missing(), at=10).see(Missing(), at=13)
    before = life.state

    life.see(late, at=14).see(late, at=20)

    assert life.last == Step(before)


def test_a_missing_prompt_that_is_being_canceled_is_canceled() -> None:
    life = follow(claimed(), ACCEPTED, CancelRequested(), Missing())

    assert life.record.status is Status.CANCELED


def test_canceling_what_no_backend_has_ends_at_once() -> None:
    life = follow(unclaimed(), CancelRequested())

    assert life.record.status is Status.CANCELED
    assert not life.last.interrupt


@pytest.mark.parametrize("seen", [[], [ACCEPTED], [ACCEPTED, STARTED], [ACCEPTED, STARTED, ENDED]])
def test_canceling_what_a_backend_has_interrupts_it_first(seen: list[Observation]) -> None:
    life = follow(claimed(), *seen, CancelRequested())

    assert life.record.status is Status.CANCELING
    assert life.last.interrupt
    assert [type(event) for event in life.last.events] == [StatusChanged]


def test_canceling_again_interrupts_again_because_an_interrupt_can_get_lost() -> None:
    life = follow(claimed(), ACCEPTED, CancelRequested(), CancelRequested())

    assert life.last.interrupt
    assert not life.last.is_durable


def test_a_run_that_ended_before_the_cancel_came_is_a_success() -> None:
    life = follow(claimed(), ACCEPTED, CancelRequested(), STARTED, SAMPLING, ENDED, Finished(entry(), (output(0),)))

    assert [step.state.record.status for step in life.steps[1:-1]] == [Status.CANCELING] * 4
    assert life.record.status is Status.SUCCEEDED


@pytest.mark.parametrize(("record", "interrupts"), [(claimed(), True), (unclaimed(), False)])
def test_giving_up_ends_it_and_takes_it_from_its_backend(record: Generation, interrupts: bool) -> None:
    life = follow(record, GaveUp(STALLED))

    assert (life.record.status, life.record.error) == (Status.FAILED, STALLED)
    assert life.last.interrupt is interrupts


def test_delivered_outputs_are_told_once_by_their_index() -> None:
    life = follow(claimed(), STARTED, Delivered((output(0), output(1))))

    life.see(Delivered((output(1), output(2))))

    assert [event.output.index for event in life.events if isinstance(event, OutputReady)] == [0, 1, 2]
    assert [kept.index for kept in life.record.outputs] == [0, 1, 2]


def test_what_was_delivered_stays_when_history_has_forgotten_it() -> None:
    life = follow(claimed(), STARTED, Delivered((output(0),)), Finished(entry(), ()))

    assert [kept.index for kept in life.record.outputs] == [0]
