"""The numbers a watcher sees: percentage, steps, remaining time, counts, and the sentence beside them."""

from __future__ import annotations

import pytest

from app import progress
from app.comfyui.messages import Executed, Executing, ExecutionCached, NodeState, Progress, ProgressState
from app.comfyui.workflow import Plan, PlannedNode
from app.events import AggregateProgress, ImageCount, NodeProgress
from app.lifecycle import begin
from app.live import LARGEST
from app.observations import Delivered, Finished, Missing
from app.records import Status
from app.scale import ASIDE
from app.timing import Kind
from tests.following import (
    ACCEPTED,
    ENDED,
    PROMPT_ID,
    SAMPLING,
    STALLED,
    START,
    STARTED,
    Followed,
    claimed,
    entry,
    follow,
    inference_of,
    output,
    progress_types,
    states_of,
)

UPSCALING = Plan({"1": PlannedNode("Upscale", "ImageUpscaleWithModel", 0), "2": PlannedNode("Save", "SaveImage", 0)}, 1)
TWO_SAMPLERS = Plan(
    {"1": PlannedNode("Base", "KSampler", 20), "2": PlannedNode("Refiner", "KSampler", 10)},
    1,
)


def running(node: str, value: float, maximum: float, display_node: str | None = None) -> NodeState:
    return NodeState(node, value, maximum, "running", display_node)


def finished(*nodes: str) -> tuple[NodeState, ...]:
    return tuple(NodeState(node, 1, 1, "finished") for node in nodes)


def states(*nodes: NodeState) -> ProgressState:
    return ProgressState(PROMPT_ID, nodes)


def step_of(node: str | None, value: float, maximum: float) -> Progress:
    return Progress(value, maximum, PROMPT_ID, node)


def share(steps: float, others: int) -> float:
    """The percentage after so many of the 20 steps, and so many of the six nodes beside the sampler."""
    return round(100 * (steps + ASIDE * others) / (20 + ASIDE * 6), 1)


def test_samplers_weigh_their_steps_and_other_nodes_little() -> None:
    life = follow(claimed(), STARTED, states(*finished("4", "5", "6", "7"), running("3", 10, 20)))

    assert life.moment.percentage == share(10, others=4)


def test_a_hundred_small_nodes_do_not_outweigh_a_short_sampler() -> None:
    small = {str(number): PlannedNode("Small", "Small", 0) for number in range(100)}
    plan = Plan({**small, "s": PlannedNode("Draw", "KSampler", 4)}, 1)

    life = follow(claimed(), STARTED, states(*finished(*small), running("s", 0, 4)), plan=plan)

    assert life.moment.percentage == 20.0


def test_a_sampler_of_a_larger_picture_weighs_more() -> None:
    kind = Kind("k", {"1": 1.0, "2": 4.0})
    life = Followed(begin(claimed(), TWO_SAMPLERS, kind))

    life.see(STARTED, step_of("1", 20, 20))

    assert life.moment.percentage == round(100 * 20 / (20 + 4 * 10), 1)


def test_the_percentage_never_falls_when_a_node_starts_over() -> None:
    life = follow(claimed(), STARTED, step_of("3", 19, 20), step_of("3", 1, 20))

    assert (life.moment.step, life.moment.percentage) == (1, share(19, others=0))


def test_only_complete_shows_a_hundred() -> None:
    nodes = (*finished("4", "5", "6", "7", "8", "9"), NodeState("3", 20, 20, "finished"))

    life = follow(claimed(), STARTED, states(*nodes), ENDED, Finished(entry(), (output(0),)))

    assert [event.percentage for event in states_of(life.events)][-2:] == [progress.MAX_BEFORE_COMPLETE, 100.0]


def test_a_failure_keeps_the_percentage_it_had() -> None:
    life = follow(claimed(), STARTED, SAMPLING, Finished(entry(), (), STALLED))

    assert life.moment.percentage == share(5, others=0)


def test_the_percentage_survives_a_lost_attempt() -> None:
    life = follow(claimed(), ACCEPTED, SAMPLING).see(Missing(), at=10).see(Missing(), at=20)

    assert life.last.resubmit
    assert life.moment.percentage == share(5, others=0)


def test_steps_are_summed_over_all_samplers() -> None:
    life = follow(claimed(), step_of("1", 20, 20), Executing(PROMPT_ID, "2"), step_of("2", 3, 10), plan=TWO_SAMPLERS)

    assert (life.moment.step, life.moment.total_steps) == (23, 30)


def test_a_samplers_own_count_beats_the_planned_one() -> None:
    life = follow(claimed(), step_of("1", 5, 8), plan=TWO_SAMPLERS)

    assert (life.moment.step, life.moment.total_steps) == (5, 18)


def test_a_sampler_that_finished_unheard_has_done_all_its_steps() -> None:
    life = follow(claimed(), states(NodeState("1", 25, 25, "finished"), running("2", 1, 10)), plan=TWO_SAMPLERS)

    assert (life.moment.step, life.moment.total_steps) == (26, 35)


def test_steps_that_were_heard_only_at_their_end_are_inference_all_the_same() -> None:
    life = follow(claimed(), STARTED, states(running("3", 4, 20)), states(NodeState("3", 20, 20, "finished")))

    assert inference_of(life) == [(4, 20), (20, 20)]


def test_without_a_sampler_the_steps_are_those_of_the_node_at_work() -> None:
    life = follow(claimed(), STARTED, step_of("1", 3, 9), plan=UPSCALING)

    assert inference_of(life) == [(3, 9)]
    assert life.moment.message == "Upscale: step 3 of 9"


def test_another_nodes_own_progress_is_told_as_such_beside_a_sampler() -> None:
    life = follow(claimed(), STARTED, step_of("8", 1, 4), step_of("8", 2, 4))

    assert progress_types(life.events) == ["node", "node"]
    assert life.moment.step == 0


def test_a_success_shows_every_step_done() -> None:
    life = follow(claimed(), STARTED, SAMPLING, Finished(entry(), (output(0),)))

    assert (life.moment.step, life.moment.total_steps) == (20, 20)
    assert (life.record.step, life.record.total_steps, life.record.percentage) == (20, 20, 100.0)


def test_cached_nodes_count_as_finished() -> None:
    life = follow(claimed(), ExecutionCached(PROMPT_ID, ("4", "5", "of no interest")))

    assert life.moment.aggregate_progress == AggregateProgress(2, 7)
    assert life.moment.percentage == share(0, others=2)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), -3.0])
def test_an_impossible_value_counts_as_none_done(value: float) -> None:
    life = follow(claimed(), STARTED, step_of("3", value, 20))

    assert life.moment.step == 0


@pytest.mark.parametrize("maximum", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_maximum_says_nothing(maximum: float) -> None:
    life = follow(claimed(), STARTED, step_of("3", 3, maximum))

    assert life.last.events == ()


def test_a_value_beyond_its_maximum_is_the_maximum() -> None:
    life = follow(claimed(), STARTED, step_of("3", 31, 20))

    assert (life.moment.step, life.moment.total_steps) == (20, 20)


def test_a_node_that_counts_bytes_keeps_its_share_and_storable_numbers() -> None:
    life = follow(claimed(), step_of("1", 3e18, 6e18), plan=UPSCALING)

    assert (life.moment.step, life.moment.total_steps) == (LARGEST / 2, LARGEST)
    assert life.moment.percentage == 25.0


def test_progress_without_a_node_belongs_to_the_node_at_work() -> None:
    life = follow(claimed(), Executing(PROMPT_ID, "2"), step_of(None, 3, 10), plan=TWO_SAMPLERS)

    assert life.moment.node_progress is not None
    assert (life.moment.node_progress.node_id, life.moment.node_progress.value) == ("2", 3)


def test_progress_without_any_node_belongs_to_the_first_sampler_not_done() -> None:
    life = follow(claimed(), ExecutionCached(PROMPT_ID, ("1",)), step_of(None, 3, 10), plan=TWO_SAMPLERS)

    assert (life.moment.step, life.moment.total_steps) == (23, 30)


def test_a_server_without_node_states_finishes_a_node_by_starting_the_next() -> None:
    life = follow(claimed(), *(Executing(PROMPT_ID, node) for node in ("4", "5", "5", "6")))

    assert life.moment.aggregate_progress == AggregateProgress(2, 7)


def test_a_server_with_node_states_says_itself_what_is_done() -> None:
    life = follow(claimed(), states(running("4", 0, 1)), Executing(PROMPT_ID, "5"))

    assert life.moment.aggregate_progress == AggregateProgress(0, 7)


@pytest.mark.parametrize("late", [Executing(PROMPT_ID, "4"), step_of("4", 1, 3), states(running("4", 1, 3))])
def test_a_late_word_of_a_finished_node_does_not_bring_it_back(late: Executing | Progress | ProgressState) -> None:
    life = follow(claimed(), states(*finished("4"), running("3", 2, 20)))

    life.see(late)

    assert life.last.events == ()


def test_a_node_that_only_waits_is_not_at_work() -> None:
    life = follow(claimed(), states(running("4", 0, 1), NodeState("5", 0, 1, "pending")))

    assert life.moment.node_progress is not None
    assert life.moment.node_progress.node_id == "4"


@pytest.mark.parametrize("node", ["3.0.0.1", "9.1", "404"])
def test_the_output_of_an_inner_node_does_not_finish_the_node_it_stands_for(node: str) -> None:
    life = follow(claimed(), Executed(PROMPT_ID, node, "3"))

    assert life.moment.aggregate_progress == AggregateProgress(0, 7)


def test_an_inner_node_is_shown_as_the_node_it_stands_for() -> None:
    life = follow(claimed(), states(running("3", 0, 1), running("3.0.0.1", 2, 8, "3")))

    assert life.moment.node_progress == NodeProgress("3", "KSampler", "KSampler", 2, 20)


def test_nodes_the_plan_does_not_know_are_not_shown() -> None:
    life = follow(claimed(), STARTED, states(running("404", 2, 8)), step_of("404", 3, 8), Executing(PROMPT_ID, "404"))

    assert life.moment.node_progress is None


def test_images_are_counted_as_they_are_delivered() -> None:
    files = [{"filename": name, "subfolder": "", "type": "output"} for name in ("a.png", "b.PNG", "c.mp4")]

    life = follow(claimed(), Executed(PROMPT_ID, "9", "9", {"images": files}))

    assert life.moment.image == ImageCount(2, 2)


def test_a_failed_run_shows_how_many_of_the_expected_images_there_are() -> None:
    four = Plan(UPSCALING.nodes, 4)

    life = follow(claimed(), STARTED, Delivered((output(0),)), Finished(entry(), (), STALLED), plan=four)

    assert life.moment.image == ImageCount(1, 4)


def test_a_record_at_rest_shows_the_numbers_of_its_last_change() -> None:
    record = claimed(status=Status.RUNNING, step=7, total_steps=20, percentage=31.5)

    moment = progress.at_rest(record)

    assert (moment.step, moment.total_steps, moment.percentage) == (7, 20, 31.5)
    assert (moment.message, moment.node_progress, moment.aggregate_progress) == ("Started", None, None)


def test_a_waiting_record_at_rest_shows_its_place() -> None:
    moment = progress.at_rest(claimed(), 3)

    assert (moment.queue_position, moment.message) == (3, "Waiting for a free backend (position 3)")


def test_a_terminal_state_shows_no_node_no_place_and_no_remaining_time() -> None:
    life = follow(claimed(), STARTED, SAMPLING, Finished(entry(), (output(0),)))

    moment = life.moment
    assert (moment.node_progress, moment.queue_position, moment.eta_seconds) == (None, None, None)
    assert life.record.completed_at is not None
    assert life.record.completed_at > START
