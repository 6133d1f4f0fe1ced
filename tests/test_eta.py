"""The remaining time: what it is made of, and that it counts down."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import live as lives
from app.comfyui.messages import Executing, ExecutionCached, NodeState, Progress, ProgressState
from app.comfyui.workflow import Plan, PlannedNode
from app.lifecycle import begin
from app.observations import CancelRequested, Observation, Place, Polled
from app.states import with_live
from app.timing import Forecast, Kind
from tests.following import (
    ACCEPTED,
    ENDED,
    PROMPT_ID,
    SAMPLING,
    START,
    STARTED,
    Followed,
    check_stream,
    claimed,
    follow,
    states_of,
)
from tests.test_lifecycle_properties import ends, facts, times

KIND = Kind("k", {"3": 1.0})
NONE_CACHED = ExecutionCached(PROMPT_ID, ())
LOADERS = ("4", "5", "6", "7")
WARM = Forecast({"3": 20.0, "8": 4.0}, {"3": 1.0}, {"3": 0.0}, frozenset(), 1.0)
COLD = Forecast({"4": 10.0, "3": 22.0, "8": 4.0}, {"3": 1.0}, {"3": 2.0}, frozenset({"4"}), 1.0)
TWO_SAMPLERS = Plan({"1": PlannedNode("Base", "KSampler", 20), "2": PlannedNode("Refiner", "KSampler", 10)}, 1)
UPSCALING = Plan({"1": PlannedNode("Upscale", "ImageUpscaleWithModel", 0), "2": PlannedNode("Save", "SaveImage", 0)}, 1)


def foreseen(forecast: Forecast | None = WARM, **turn: Any) -> Followed:
    """The standard graph, with what earlier runs tell of it."""
    life = Followed(begin(claimed(), follow(claimed()).state.live.plan, KIND))
    live = life.state.live if forecast is None else lives.with_forecast(life.state.live, forecast)
    life.state = with_live(life.state, lives.with_turn(live, **turn) if turn else live)
    return life


def step_of(node: str, value: float, maximum: float) -> Progress:
    return Progress(value, maximum, PROMPT_ID, node)


def finished(*nodes: str) -> ProgressState:
    return ProgressState(PROMPT_ID, tuple(NodeState(node, 1, 1, "finished") for node in nodes))


def sampling(life: Followed, upto: int, step_s: float, start: float = 0.0) -> Followed:
    for step in range(1, upto + 1):
        life.see(step_of("3", step, 20), at=start + step * step_s)
    return life


def test_a_run_begins_with_what_earlier_ones_took() -> None:
    life = foreseen().see(STARTED, NONE_CACHED, at=0)

    assert life.moment.eta_seconds == 25.0


def test_half_way_at_the_learned_speed_half_of_it_is_left() -> None:
    life = sampling(foreseen().see(STARTED, NONE_CACHED, Executing(PROMPT_ID, "3"), at=0), 10, step_s=1.0)

    assert life.moment.eta_seconds == 10.0 + 4.0 + 1.0


@pytest.mark.parametrize("step_s", [0.25, 0.5, 2.0, 3.0])
def test_half_way_at_another_speed_the_speed_of_this_run_is_believed(step_s: float) -> None:
    life = sampling(foreseen().see(STARTED, NONE_CACHED, Executing(PROMPT_ID, "3"), at=0), 10, step_s=step_s)

    left = 10 * step_s + 4.0 + 1.0
    assert life.moment.eta_seconds == pytest.approx(left, rel=0.25)


def test_a_sampler_learns_from_the_one_before_it_in_the_same_run() -> None:
    forecast = Forecast({"1": 20.0, "2": 10.0}, {"1": 1.0, "2": 1.0}, {"1": 0.0, "2": 0.0}, frozenset(), 0.0)
    life = Followed(begin(claimed(), TWO_SAMPLERS, Kind("k", {"1": 1.0, "2": 1.0})))
    life.state = with_live(life.state, lives.with_forecast(life.state.live, forecast))
    life.see(STARTED, NONE_CACHED, Executing(PROMPT_ID, "1"), at=0)

    for step in range(1, 21):
        life.see(step_of("1", step, 20), at=step * 0.5)
    life.see(Executing(PROMPT_ID, "2"), at=10)

    assert life.moment.eta_seconds == pytest.approx(5.0, rel=0.25)


def test_loaders_that_were_reused_last_time_count_only_when_they_are_not_now() -> None:
    hopeful = foreseen(COLD).see(STARTED, at=0)
    before = hopeful.moment.eta_seconds

    reused = foreseen(COLD).see(STARTED, ExecutionCached(PROMPT_ID, LOADERS), at=0)
    hopeful.see(NONE_CACHED, Executing(PROMPT_ID, "4"), at=0)
    for second in range(1, 6):
        hopeful.see(Polled(Place.RUNNING), at=second)

    assert before == reused.moment.eta_seconds == 22.0 + 4.0 + 1.0
    assert hopeful.moment.eta_seconds == pytest.approx(10.0 + 22.0 + 4.0 + 1.0 - 5.0, abs=1.0)


def test_a_node_that_says_nothing_uses_up_its_time_and_no_more() -> None:
    life = foreseen(COLD).see(STARTED, NONE_CACHED, Executing(PROMPT_ID, "4"), at=0)
    etas = [life.see(Polled(Place.RUNNING), at=second).moment.eta_seconds for second in (8, 10, 60)]

    assert etas == pytest.approx([29.0, 27.0, 27.0], abs=0.2)


def test_a_sampler_that_is_slow_to_begin_uses_up_its_lead() -> None:
    life = foreseen(COLD).see(STARTED, ExecutionCached(PROMPT_ID, LOADERS), Executing(PROMPT_ID, "3"), at=0)

    life.see(Polled(Place.RUNNING), at=1.5)

    assert life.moment.eta_seconds == 20.0 + 0.5 + 4.0 + 1.0


def test_at_the_end_only_keeping_what_was_made_is_left() -> None:
    life = sampling(foreseen().see(STARTED, NONE_CACHED, at=0), 20, step_s=1.0)

    life.see(finished("3"), Executing(PROMPT_ID, "8"), at=20).see(finished("8"), at=24).see(ENDED, at=24.2)

    assert life.moment.eta_seconds == pytest.approx(0.8, abs=0.21)


def test_the_remaining_time_rises_step_by_step_and_never_jumps() -> None:
    life = foreseen().see(STARTED, NONE_CACHED, Executing(PROMPT_ID, "3"), at=0)

    sampling(life, 20, step_s=6.0)

    shown_etas = [event.eta_seconds for event in states_of(life.events) if event.eta_seconds is not None]
    assert max(later - earlier for earlier, later in pairwise(shown_etas)) <= sum(WARM.seconds.values())
    assert max(shown_etas) < 120.0
    assert shown_etas[-1] < 10.0


def test_at_a_steady_speed_it_only_counts_down() -> None:
    life = sampling(foreseen().see(STARTED, NONE_CACHED, Executing(PROMPT_ID, "3"), at=0), 20, step_s=1.0)

    shown_etas = [event.eta_seconds for event in states_of(life.events) if event.eta_seconds is not None]
    assert shown_etas == sorted(shown_etas, reverse=True)
    assert len(set(shown_etas)) >= 20


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    life = foreseen().see(STARTED, NONE_CACHED, at=100).see(SAMPLING, at=0)
    other = foreseen(None).see(STARTED, at=100).see(step_of("3", 4, 20), SAMPLING, at=0)

    assert life.moment.eta_seconds is not None
    assert other.moment.eta_seconds == 0.0


def test_the_percentage_goes_by_what_the_nodes_took() -> None:
    life = foreseen(COLD).see(STARTED, NONE_CACHED, Executing(PROMPT_ID, "4"), at=0)

    life.see(finished("4"), at=10)

    assert life.moment.percentage == pytest.approx(100 * 10 / 36, abs=2)


def test_reused_loaders_leave_the_whole_bar_to_what_still_has_to_be_done() -> None:
    life = foreseen(COLD).see(STARTED, ExecutionCached(PROMPT_ID, LOADERS), at=0)

    assert 0 < life.moment.percentage < 5


def test_without_any_earlier_run_the_steps_of_this_one_tell() -> None:
    life = foreseen(None).see(STARTED, NONE_CACHED, at=0).see(finished(*LOADERS), at=30)
    early = [life.moment.eta_seconds, life.see(step_of("3", 1, 20), at=31).moment.eta_seconds]

    sampling(life, 10, step_s=1.0, start=30)

    assert early == [None, None]
    assert life.moment.eta_seconds == pytest.approx(10.0, abs=1.0)


def test_one_count_that_comes_late_tells_by_the_time_since_the_start() -> None:
    life = follow(claimed()).see(STARTED, at=0).see(step_of("3", 13, 20), at=6.5)

    assert life.moment.eta_seconds == pytest.approx(3.5, abs=1.0)


def test_too_little_work_gives_no_remaining_time() -> None:
    life = follow(claimed()).see(STARTED, at=0).see(step_of("3", 1, 20), at=6.5)

    assert life.moment.eta_seconds is None


def test_cached_samplers_do_not_make_the_remaining_time_look_short() -> None:
    life = follow(claimed(), plan=TWO_SAMPLERS).see(STARTED, ExecutionCached(PROMPT_ID, ("1",)), at=0)

    life.see(step_of("2", 1, 10), at=1).see(step_of("2", 5, 10), at=5)

    assert life.moment.eta_seconds == 5.0


def test_without_samplers_it_is_extrapolated_from_all_the_work_done() -> None:
    life = follow(claimed(), plan=UPSCALING).see(STARTED, at=0).see(step_of("1", 1, 2), at=5)

    assert life.moment.eta_seconds == 15.0


def test_while_queued_it_is_the_wait_and_the_run() -> None:
    life = foreseen(place=3, turn_at=START + 60).see(ACCEPTED, at=0)
    first = life.moment

    life.see(Polled(Place.WAITING, 3), at=20)

    assert (first.queue_position, first.eta_seconds) == (3, 60.0 + 25.0)
    assert (life.moment.queue_position, life.moment.eta_seconds) == (3, 40.0 + 25.0)
    assert life.last.events[-1:] != ()


def test_polling_corrects_the_first_place() -> None:
    life = foreseen(place=3, turn_at=None).see(ACCEPTED, at=0)

    life.see(Polled(Place.WAITING, 5), at=1)

    assert (life.moment.queue_position, life.moment.eta_seconds) == (5, None)


def test_nobody_guesses_while_nothing_is_known_of_those_in_front() -> None:
    unknown_wait = foreseen(place=2, turn_at=None).see(ACCEPTED, at=0)
    unknown_run = foreseen(None, place=2, turn_at=START + 9).see(ACCEPTED, at=0)

    assert (unknown_wait.moment.eta_seconds, unknown_run.moment.eta_seconds) == (None, None)


def test_a_generation_that_is_being_canceled_has_no_remaining_time() -> None:
    life = foreseen().see(STARTED, NONE_CACHED, at=0)
    before = life.moment.eta_seconds

    life.see(CancelRequested(), at=1)

    assert (before, life.moment.eta_seconds) == (25.0, None)


@given(st.lists(st.tuples(facts, times), max_size=40), st.sampled_from([WARM, COLD]), ends)
def test_nothing_that_can_be_told_breaks_what_was_foreseen(
    heard: list[tuple[Observation, float]], forecast: Forecast, end: Observation
) -> None:
    life = foreseen(forecast, place=1, turn_at=START + 5)

    for seen, at in heard:
        life.see(seen, at=at)
    life.see(end)

    check_stream(life.events)
    etas = [event.eta_seconds for event in states_of(life.events) if event.eta_seconds is not None]
    assert all(0 <= eta < 1e9 for eta in etas)
