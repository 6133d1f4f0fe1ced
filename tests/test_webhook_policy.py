"""When a delivery is tried again, when it is given up, when a receiver is disabled: arithmetic, without a clock."""

from __future__ import annotations

from typing import Any

import pytest

from app.webhook_policy import Again, GivenUp, Outcome, Policy
from app.webhook_records import BROKEN_AFTER, Delivery, Lane

NOW = 1_795_000_000.0
DAY_S = 86_400.0
POLICY = Policy(retry_s=5, retry_max_s=21_600, check_s=300, disable_s=5 * DAY_S)
EVEN = 0.5
"""Dice that change nothing."""


def a_delivery(**fields: Any) -> Delivery:
    given: dict[str, Any] = {
        "id": "msg_1",
        "lane": "w",
        "target": "w",
        "webhook_id": "w",
        "subject": "g",
        "sequence": 1,
        "event": "generation.succeeded",
        "news": "{}",
        "attempts": 1,
        "next_attempt_at": NOW,
        "give_up_at": NOW + 3 * DAY_S,
        "occurred_at": NOW,
        "created_at": NOW,
    }
    return Delivery(**(given | fields))


def failure(status: int | None = 500, at: float = NOW, **more: Any) -> Outcome:
    return Outcome(at, 0.0, status, f"it answered {status}", **more)


def again(delivery: Delivery, trouble: Lane | None = None, outcome: Outcome | None = None, dice: float = EVEN) -> Again:
    verdict = POLICY.verdict(outcome or failure(), delivery, trouble, dice)
    assert isinstance(verdict, Again)
    return verdict


def test_pauses_double_up_to_the_longest_and_go_on_for_days() -> None:
    now, pauses = NOW, []
    for attempt in range(1, 100):
        verdict = POLICY.verdict(failure(at=now), a_delivery(attempts=attempt, webhook_id=None), None, EVEN)
        if isinstance(verdict, GivenUp):
            break
        pauses.append(verdict.at - now)
        now = verdict.at

    assert pauses[:4] == [5, 10, 20, 40]
    assert max(pauses) == 21_600
    assert now == NOW + 3 * DAY_S
    assert 20 < len(pauses) < 40


@pytest.mark.parametrize(("dice", "pause_s"), [(0.0, 3.75), (0.5, 5.0), (1.0, 6.25)])
def test_what_failed_together_is_not_tried_together(dice: float, pause_s: float) -> None:
    assert again(a_delivery(), dice=dice).at == NOW + pause_s


def test_a_lane_breaks_after_failures_in_a_row_and_waits_as_long_as_it_has_been_broken() -> None:
    lanes = [again(a_delivery(), Lane("w", BROKEN_AFTER - 2, NOW - 60, 0)).lane]
    lanes += [again(a_delivery(), Lane("w", 9, NOW - since, 0)).lane for since in (1, 60, 9999)]

    assert [lane.is_broken for lane in lanes] == [False, True, True, True]
    assert [lane.blocked_until - NOW for lane in lanes] == [0, 5, 60, 300]
    assert {lane.failing_since for lane in lanes[:1]} == {NOW - 60}


@pytest.mark.parametrize(("asked_s", "waits_s"), [(90, 90), (1, 5), (10 * DAY_S, DAY_S), (-5, 5)])
def test_retry_after_is_honoured_up_to_a_day_for_the_whole_lane(asked_s: float, waits_s: float) -> None:
    verdict = again(a_delivery(), outcome=failure(503, retry_after_s=asked_s))

    assert verdict.at == NOW + waits_s
    assert verdict.lane.blocked_until == NOW + min(max(asked_s, 0), DAY_S)


def test_410_ends_it_and_says_so() -> None:
    verdict = POLICY.verdict(failure(410), a_delivery(), None, EVEN)

    assert isinstance(verdict, GivenUp)
    assert (verdict.is_gone, verdict.disable_for) == (True, "it answered 410 Gone")


def test_a_registered_receiver_without_success_for_days_is_disabled_with_the_reason() -> None:
    trouble = Lane("w", 99, NOW - 5 * DAY_S, NOW)

    registered = POLICY.verdict(failure(), a_delivery(), trouble, EVEN)
    named = POLICY.verdict(failure(), a_delivery(webhook_id=None), trouble, EVEN)

    assert isinstance(registered, GivenUp)
    assert registered.disable_for == "nothing could be delivered for 5 days; at last: it answered 500"
    assert isinstance(named, Again)


def test_the_last_attempt_is_made_when_the_time_is_over() -> None:
    late = a_delivery(attempts=30, give_up_at=NOW + 7, webhook_id=None)

    assert again(late).at == NOW + 7
    assert isinstance(POLICY.verdict(failure(at=NOW + 7), late, None, EVEN), GivenUp)
