"""Nodes that ComfyUI makes up while it runs: a person sees, and every number counts, the node they stand for."""

from __future__ import annotations

from itertools import pairwise

import pytest

from app.comfyui.messages import Executing, ExecutionCached, Message, NodeState, Progress, ProgressState
from app.comfyui.workflow import Plan, PlannedNode
from app.events import AggregateProgress, Moment, NodeProgress
from tests import recordings
from tests.following import PROMPT_ID, STARTED, claimed, follow, lived, states_of
from tests.recordings import Told

EXPANDED = recordings.complete("18_subgraph_expansion")
PARALLEL = recordings.complete("18b_async_nodes")
LOOP = Plan({"5": PlannedNode("Loop", "Loop", 20), "9": PlannedNode("Save", "SaveImage", 0)}, 1)
every_one = pytest.mark.parametrize("told", [*EXPANDED, *PARALLEL], ids=str)


def moments_of(told: Told) -> list[Moment]:
    return states_of(lived(told).events)


def inner(node: str, value: float, maximum: float, state: str = "running") -> NodeState:
    return NodeState(node, value, maximum, state, "5", "5")


def both_ways(node: str, value: float, maximum: float) -> tuple[Message, ...]:
    """A step as ComfyUI tells it, twice."""
    loop = NodeState("5", 0, 1, "running", "5")
    return (
        ProgressState(PROMPT_ID, (loop, inner(node, value, maximum))),
        Progress(value, maximum, PROMPT_ID, node),
    )


@every_one
def test_the_totals_of_a_recorded_expansion_never_change(told: Told) -> None:
    moments = moments_of(told)

    totals = {(each.total_steps, each.aggregate_progress.total) for each in moments if each.aggregate_progress}
    assert totals == {(told.plan.total_steps, len(told.plan.nodes))}


@every_one
def test_no_number_of_a_recorded_expansion_moves_back(told: Told) -> None:
    moments = moments_of(told)

    finished = [each.aggregate_progress.finished for each in moments if each.aggregate_progress]
    for numbers in ([each.step for each in moments], [each.percentage for each in moments], finished):
        assert numbers == sorted(numbers)


@every_one
def test_only_nodes_of_the_posted_graph_are_shown(told: Told) -> None:
    shown_nodes = {each.node_progress.node_id for each in moments_of(told) if each.node_progress}

    assert shown_nodes
    assert shown_nodes <= told.workflow.keys()


def test_the_recordings_hold_expansions_that_told_inner_steps() -> None:
    told_inside = [said.node for told in EXPANDED for said in told.messages if isinstance(said, Progress)]

    assert any(node is not None and "." in node for node in told_inside)


def test_the_steps_of_inner_samplers_add_up_to_those_planned() -> None:
    first = [said for value in range(1, 9) for said in both_ways("5.0.0.1", value, 8)]
    second = [said for value in range(1, 13) for said in both_ways("5.0.0.2", value, 12)]

    life = follow(claimed(), STARTED, *first, *second, plan=LOOP)

    shown_steps = sorted({event.step for event in states_of(life.events)})
    assert shown_steps == list(range(21))
    assert life.moment.total_steps == 20


def test_more_inner_steps_than_planned_neither_raise_the_total_nor_start_over() -> None:
    said = [
        each for node in ("5.0.3", "5.0.4", "5.0.5") for value in range(1, 16) for each in both_ways(node, value, 15)
    ]

    life = follow(claimed(), STARTED, *said, plan=LOOP)

    moments = [event for event in states_of(life.events) if event.status == "running"]
    assert {event.total_steps for event in moments} == {20}
    assert all(earlier.step <= later.step for earlier, later in pairwise(moments))
    assert life.moment.node_progress == NodeProgress("5", "Loop", "Loop", 20, 20)


def test_the_end_of_inner_nodes_does_not_finish_the_node_they_stand_for() -> None:
    life = follow(claimed(), STARTED, *both_ways("5.0.3", 15, 15), plan=LOOP)

    life.see(ProgressState(PROMPT_ID, (NodeState("5", 0, 1, "running"), inner("5.0.3", 15, 15, "finished"))))

    assert life.moment.aggregate_progress == AggregateProgress(0, 2)


def test_inner_nodes_without_steps_tell_no_progress() -> None:
    life = follow(claimed(), STARTED, Executing(PROMPT_ID, "5"), plan=LOOP)

    life.see(ProgressState(PROMPT_ID, (inner("5.0.1", 1, 1, "finished"),)), Progress(1, 1, PROMPT_ID, "5.0.2"))

    assert (life.moment.step, life.moment.percentage) == (0, 0.0)


def test_an_expansion_without_planned_steps_keeps_the_first_total_it_tells() -> None:
    plan = Plan({"5": PlannedNode("Loop", "Loop", 0), "9": PlannedNode("Save", "SaveImage", 0)}, 1)

    life = follow(claimed(), STARTED, *both_ways("5.0.1", 3, 4), *both_ways("5.0.2", 5, 9), plan=plan)

    assert (life.moment.step, life.moment.total_steps) == (4, 4)


def test_a_cached_share_counts_at_once() -> None:
    life = follow(claimed(), STARTED, ExecutionCached(PROMPT_ID, ("5",)), plan=LOOP)

    assert (life.moment.step, life.moment.total_steps) == (20, 20)
    assert life.moment.percentage > 90


@pytest.mark.parametrize("told", recordings.complete("03_cached"), ids=str)
def test_a_recorded_cached_node_is_finished_before_the_first_one_starts(told: Told) -> None:
    cached = next(said.nodes for said in told.messages if isinstance(said, ExecutionCached))

    counts = [event.aggregate_progress for event in moments_of(told) if event.aggregate_progress]

    reused = len(told.plan.nodes.keys() & set(cached))
    assert next((count.finished for count in counts if count.finished), 1) >= max(1, reused)
    assert {count.total for count in counts} == {len(told.plan.nodes)}


@pytest.mark.parametrize("name", ["03_cached", "02_batch_of_four", "01c_standard_txt2img"])
def test_the_expected_images_of_a_recorded_run_are_those_it_made(name: str) -> None:
    # How many pictures a node makes of a list of its own, no graph tells.
    foretold = [told for told in recordings.complete(name) if "ProbeList" not in str(told.workflow)]

    for told in foretold:
        totals = {event.image.total for event in moments_of(told)}
        assert totals == {lived(told).moment.image.total}
    assert foretold
