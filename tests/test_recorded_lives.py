"""What a real ComfyUI said, folded to its end: every recorded prompt, whole and cut at every point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pytest

from app import progress
from app.bus import Cursor, Entry, Subscription
from app.comfyui.messages import (
    Executing,
    ExecutionCached,
    ExecutionError,
    Message,
)
from app.events import (
    AggregateProgress,
    Canceled,
    Completed,
    Connected,
    Event,
    Failed,
    Moment,
    OutputReady,
    Progressed,
)
from app.observations import Accepted, CancelRequested, Finished
from app.records import ErrorCode, Generation, Status
from app.watching import START as BEFORE_ALL
from app.watching import Watch, opening
from tests import recordings
from tests.following import (
    check_stream,
    claimed,
    face,
    follow,
    inference_of,
    is_inference,
    lived,
    progress_types,
    states_of,
    steps_of,
)
from tests.recordings import Told

TOLD: Final = [told for name in recordings.NAMES for told in recordings.complete(name)]
ENDS: Final = {
    "execution_success": (Status.SUCCEEDED, None),
    "execution_error": (Status.FAILED, ErrorCode.EXECUTION_ERROR),
    "execution_interrupted": (Status.FAILED, ErrorCode.INTERRUPTED),
}
every_prompt = pytest.mark.parametrize("told", TOLD, ids=str)


def only(name: str, number: int = 0) -> Told:
    return recordings.complete(name)[number]


def ran_whole_plan(told: Told) -> bool:
    """Succeeded, and every planned node was announced: none hidden behind a cached or a blocked one."""
    announced = {node for said in told.messages for node in nodes_of(said)}
    is_blocked = any(isinstance(said, ExecutionError) for said in told.messages)
    return told.end == "execution_success" and not is_blocked and told.plan.nodes.keys() <= announced


def nodes_of(said: Message) -> tuple[str | None, ...]:
    match said:
        case ExecutionCached(nodes=nodes):
            return nodes
        case Executing(node=node):
            return (node,)
        case _:
            return ()


def expected_code(told: Told) -> ErrorCode | None:
    if told.entry.error is not None and told.entry.error.exception_type == "torch.OutOfMemoryError":
        return ErrorCode.OUT_OF_MEMORY
    return ENDS[told.end][1]


def published(told: Told) -> tuple[list[Entry], list[tuple[Generation, int]]]:
    """All entries of a prompt's log, and after each fact the record and how many entries there were."""
    log: list[Entry] = []
    joined = [(claimed(prompt_id=told.prompt_id), 0)]
    for life in steps_of(told, told.messages):
        for event in life.last.events:
            log.append(Entry(Cursor(f"1-{len(log) + 1:x}"), (1, len(log) + 1), event))
        joined.append((life.record, len(log)))
    return log, joined


def newest_state(record: Generation, log: list[Entry]) -> Entry:
    at_rest = Entry(BEFORE_ALL, (0, 0), Connected(**face(progress.at_rest(record))))
    return next((entry for entry in reversed(log) if isinstance(entry.event, Moment)), at_rest)


def outputs_in(log: Iterable[Entry]) -> list[int]:
    return [entry.event.output.index for entry in log if isinstance(entry.event, OutputReady)]


def viewed(events: Iterable[Event]) -> dict[str, object]:
    """What a client that draws the newest state has on its screen after these events, and the files it knows."""
    last = states_of(events)[-1]
    outputs = last.record.outputs if isinstance(last, Completed | Failed | Canceled) else ()
    return {**face(last), "outputs": outputs}


def test_the_recordings_hold_enough_prompts_of_every_end() -> None:
    ends = [told.end for told in TOLD]

    assert len(TOLD) >= 100
    assert {end: ends.count(end) >= 5 for end in ENDS} == dict.fromkeys(ENDS, True)


@every_prompt
def test_a_recorded_prompt_ends_as_its_history_says(told: Told) -> None:
    life = lived(told)

    code = life.record.error.code if life.record.error else None
    assert (life.record.status, code) == (ENDS[told.end][0], expected_code(told))
    assert {each.filename for each in life.record.outputs} == {
        file.filename for file in told.entry.files if file.type == "output"
    }
    check_stream(life.events)


@every_prompt
def test_only_the_last_word_about_a_recorded_prompt_asks_for_history(told: Told) -> None:
    life = lived(told)

    asked = [step.fetch_history for step in life.steps]
    assert asked.count(True) == 1
    assert asked[-2]
    assert [step.state.record.is_terminal for step in life.steps] == [False] * (len(asked) - 1) + [True]


@pytest.mark.parametrize("told", [told for told in TOLD if ran_whole_plan(told)], ids=str)
def test_every_planned_node_is_finished_before_the_end_of_a_run(told: Told) -> None:
    life = lived(told)

    size = len(told.plan.nodes)
    assert life.steps[-2].state.moment.aggregate_progress == AggregateProgress(size, size)
    assert life.steps[-2].state.moment.percentage == progress.MAX_BEFORE_COMPLETE


@every_prompt
def test_whoever_joins_a_recorded_prompt_at_any_point_sees_the_same_end(told: Told) -> None:
    life, joined = published(told)

    final = viewed([entry.event for entry in life])
    for record, count in joined:
        first = opening(record, newest_state(record, life[:count]), None)
        assert viewed([entry.event for entry in (*first, *life[count:])]) == final


@every_prompt
def test_whoever_resumes_a_recorded_prompt_at_any_point_gets_each_output_once(told: Told) -> None:
    life, joined = published(told)

    outputs = outputs_in(life)
    for record, count in joined[1:]:
        seen = max(1, count - 3)
        first = opening(record, newest_state(record, life[:count]), life[seen - 1].cursor)
        watch = Watch(first, Subscription(), first[0].order)
        news = [entry for entry in life[seen:] if watch.is_news(entry)]
        assert outputs_in(life[:seen]) + outputs_in(news) == outputs
        assert not any(entry.event.is_terminal for entry in news) or not watch.is_over


@every_prompt
def test_what_is_shown_at_every_point_has_been_published(told: Told) -> None:
    for life in steps_of(told, told.messages):
        states = states_of(life.events)
        assert not states or face(states[-1]) == face(life.moment)


def test_the_standard_graph_shows_its_steps_before_the_first_one() -> None:
    life = lived(only("01c_standard_txt2img"))

    before_sampling = [event for event in states_of(life.events) if event.step == 0 and event.status is Status.RUNNING]
    assert {event.total_steps for event in states_of(life.events)} == {4}
    assert len(before_sampling) > 3


def test_the_standard_graph_shows_inference_step_by_step_with_names() -> None:
    life = lived(only("01c_standard_txt2img"))

    types = progress_types(life.events)
    assert inference_of(life) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    sampler = [event.node_progress for event in life.events if is_inference(event) and isinstance(event, Progressed)]
    assert {(node.node_id, node.node_type) for node in sampler if node is not None} == {("3", "KSampler")}
    assert set(types) == {"inference", "aggregate"}
    names = {event.node_progress.node_name for event in states_of(life.events) if event.node_progress}
    assert names == {node.name for node in only("01c_standard_txt2img").plan.nodes.values()}


def test_cached_loaders_count_as_finished_at_once() -> None:
    life = lived(only("01c_standard_txt2img", 1))

    aggregates = [event.aggregate_progress for event in states_of(life.events) if event.aggregate_progress]
    assert [(each.finished, each.total) for each in aggregates][:3] == [(0, 7), (0, 7), (4, 7)]


def test_a_fully_cached_run_says_that_its_outputs_are_reused() -> None:
    reused = [lived(told).record.outputs_reused for told in recordings.complete("03_cached")]

    assert reused.count(True) >= 2
    assert reused[0] is False


def test_a_batch_of_four_counts_four_images_while_it_runs() -> None:
    told = only("02_batch_of_four")

    life = lived(told)

    assert told.plan.images == 4
    assert life.steps[-2].state.moment.image.current == 4
    assert life.moment.image.current == life.moment.image.total == 4


def test_a_blocked_branch_does_not_fail_the_prompt() -> None:
    told_of = [(told, said) for told in TOLD for said in told.messages if isinstance(said, ExecutionError)]
    blocked = [told for told, said in told_of if said.is_blocked_branch]

    assert blocked
    assert {lived(told).record.status for told in blocked} == {Status.SUCCEEDED}


def test_a_failed_prompt_names_its_node_and_one_line_without_paths() -> None:
    failures = [error for told in recordings.complete("05_runtime_errors") if (error := lived(told).record.error)]

    assert failures
    assert all(error.node_id and error.node_type and error.exception_type for error in failures)
    assert not any("\n" in error.message or "/comfyui" in error.message for error in failures)
    assert ErrorCode.OUT_OF_MEMORY in {error.code for error in failures}


def test_an_interrupted_prompt_is_canceled_only_if_we_asked_for_it() -> None:
    told = only("06b_interrupt_real_sampler")
    asked = [CancelRequested(), *told.messages]

    strangers, ours = (
        lived(told),
        follow(
            claimed(prompt_id=told.prompt_id), Accepted(told.prompt_id), *asked, Finished(told.entry), plan=told.plan
        ),
    )

    assert (strangers.record.status, ours.record.status) == (Status.FAILED, Status.CANCELED)


def test_the_inner_nodes_of_an_expansion_are_shown_as_the_node_they_stand_for() -> None:
    life = lived(only("18_subgraph_expansion"))

    shown_nodes = {event.node_progress.node_id for event in states_of(life.events) if event.node_progress}
    finished = [event.aggregate_progress.finished for event in states_of(life.events) if event.aggregate_progress]
    assert shown_nodes == {"10", "11"}
    assert finished == sorted(finished)
    assert life.steps[-2].state.moment.aggregate_progress == AggregateProgress(2, 2)


def test_nodes_that_run_in_parallel_add_up() -> None:
    life = lived(only("18b_async_nodes"))

    assert inference_of(life) == [(step, 9) for step in range(1, 10)]
