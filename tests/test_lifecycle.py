"""Every rule for the life of a generation, one by one."""

from __future__ import annotations

from typing import Final

import pytest

from app.comfyui.history import Outcome
from app.comfyui.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    FeatureFlags,
    Message,
    NodeState,
    NodeText,
    Preview,
    Progress,
    ProgressState,
    Unknown,
)
from app.comfyui.messages import Status as QueueStatus
from app.events import Canceled, Completed, Failed, PreviewReady, StatusChanged
from app.lifecycle import Step
from app.observations import (
    Accepted,
    CancelRequested,
    Delivered,
    Finished,
    GaveUp,
    Missing,
    Observation,
    Place,
    Polled,
    Positioned,
    Refused,
)
from app.records import ErrorCode, Failure, Status
from tests.following import (
    ACCEPTED,
    ENDED,
    PROMPT_ID,
    SAMPLING,
    SAVED,
    STALLED,
    START,
    STARTED,
    TEXT_TO_IMAGE,
    claimed,
    entry,
    follow,
    output,
)

EVERYTHING: Final[list[Observation]] = [
    ACCEPTED,
    STARTED,
    ExecutionCached(PROMPT_ID, ("4", "5")),
    Executing(PROMPT_ID, "3", "3"),
    SAMPLING,
    ProgressState(PROMPT_ID, (NodeState("3", 6, 20, "running"), NodeState("6", 1, 1, "finished"))),
    Preview(b"picture", "image/jpeg", PROMPT_ID, "3"),
    SAVED,
    ExecutionSuccess(PROMPT_ID),
    ExecutionError(PROMPT_ID, "9", exception_type="ExecutionBlocked"),
    ExecutionInterrupted(PROMPT_ID),
    ENDED,
    Polled(Place.WAITING, 2),
    Polled(Place.RUNNING),
    Polled(Place.HISTORY),
    Positioned(3),
    Missing(),
    CancelRequested(),
    Delivered((output(0),)),
    QueueStatus(1),
]
ENDINGS: Final[list[Observation]] = [Finished(entry()), GaveUp(STALLED), Refused(STALLED)]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("seen", [*EVERYTHING, *ENDINGS])
def test_a_terminal_state_absorbs_everything(ending: Observation, seen: Observation) -> None:
    life = follow(claimed(), ending)

    life.see(seen)

    assert life.last == Step(life.steps[0].state)


@pytest.mark.parametrize("seen", EVERYTHING)
def test_the_same_observation_twice_yields_no_second_event(seen: Observation) -> None:
    life = follow(claimed(), Positioned(1), seen)

    life.see(seen)

    assert life.last.events == ()
    assert not life.last.is_durable


def test_status_moves_from_pending_over_queued_and_running_to_the_end() -> None:
    life = follow(claimed(), ACCEPTED, STARTED, ENDED, Finished(entry()))

    assert [step.state.record.status for step in life.steps] == ["queued", "running", "running", "succeeded"]
    assert [step.state.record.version for step in life.steps] == [1, 2, 2, 3]


@pytest.mark.parametrize("late", [ACCEPTED, Polled(Place.WAITING, 1), Positioned(1)])
def test_a_late_word_never_takes_a_running_generation_back(late: Observation) -> None:
    life = follow(claimed(), STARTED)

    life.see(late)

    assert life.record.status is Status.RUNNING
    assert life.last.events == ()


def test_accepted_clears_our_own_queue_position_but_not_the_one_at_comfyui() -> None:
    life = follow(claimed(), Positioned(4), ACCEPTED, Polled(Place.WAITING, 2), ACCEPTED)

    assert [step.state.moment.queue_position for step in life.steps] == [4, None, 2, 2]


def test_accepted_keeps_the_errors_of_output_nodes_that_were_dropped() -> None:
    life = follow(claimed(), Accepted(PROMPT_ID, {"9": {"errors": []}}), ACCEPTED)

    assert life.record.node_errors == {"9": {"errors": []}}


def test_a_prompt_id_of_the_servers_own_choice_is_the_one_that_counts() -> None:
    life = follow(claimed(), Accepted("another"))

    life.see(STARTED, ExecutionStart("another"))

    assert life.moment.comfyui_prompt_id == "another"
    assert [step.state.record.status for step in life.steps] == ["queued", "queued", "running"]


def test_a_refused_workflow_fails_with_the_reason() -> None:
    failure = Failure(ErrorCode.REJECTED, "Prompt outputs failed validation")

    life = follow(claimed(), Refused(failure))

    assert life.record.status is Status.FAILED
    assert isinstance(life.events[-1], Failed)
    assert life.record.error == failure


@pytest.mark.parametrize(
    "said",
    [
        ExecutionSuccess(PROMPT_ID),
        ExecutionError(PROMPT_ID, "9"),
        ExecutionError(PROMPT_ID, exception_type="ExecutionBlocked"),
        ExecutionInterrupted(PROMPT_ID),
    ],
)
def test_no_message_ends_a_generation_by_itself(said: Message) -> None:
    life = follow(claimed(), STARTED, said)

    assert life.record.status is Status.RUNNING
    assert not life.last.fetch_history


@pytest.mark.parametrize("seen", [ENDED, Polled(Place.HISTORY)])
def test_the_end_of_the_prompt_asks_for_its_history(seen: Observation) -> None:
    life = follow(claimed(), STARTED, seen)

    assert life.last.fetch_history
    assert life.moment.message == "Saving the results"


def test_history_is_asked_for_again_when_it_was_not_readable_at_first() -> None:
    life = follow(claimed(), STARTED, ENDED, Polled(Place.HISTORY))

    assert [step.fetch_history for step in life.steps] == [False, True, True]


def test_a_finished_prompt_nobody_heard_of_still_succeeds() -> None:
    life = follow(claimed(), Finished(entry(started_ms=1_000, ended_ms=3_500), (output(0),)))

    assert life.record.status is Status.SUCCEEDED
    assert life.record.started_at == life.record.queued_at
    assert isinstance(life.events[-1], Completed)


def test_a_run_that_began_unheard_began_its_length_before_its_end() -> None:
    life = follow(claimed()).see(Finished(entry(started_ms=1_000, ended_ms=3_500)), at=60)

    assert (life.record.started_at, life.record.completed_at) == (START + 57.5, START + 60)


@pytest.mark.parametrize(
    ("cached", "reused"), [((), False), (("4", "6", "7"), False), (tuple(TEXT_TO_IMAGE.nodes), True)]
)
def test_outputs_are_reused_only_if_every_node_was_cached(cached: tuple[str, ...], reused: bool) -> None:
    life = follow(claimed(), Finished(entry(cached=cached), (output(0),)))

    assert life.record.outputs_reused is reused


def test_interrupted_by_a_stranger_is_a_failure_of_its_own_kind() -> None:
    life = follow(claimed(), STARTED, Finished(entry(Outcome.INTERRUPTED)))

    assert life.record.error is not None
    assert (life.record.status, life.record.error.code) == (Status.FAILED, ErrorCode.INTERRUPTED)


def test_interrupted_at_our_request_is_canceled() -> None:
    life = follow(claimed(), STARTED, CancelRequested(), Finished(entry(Outcome.INTERRUPTED), (output(0),)))

    assert life.record.status is Status.CANCELED
    assert isinstance(life.events[-1], Canceled)
    assert len(life.record.outputs) == 1


def test_files_that_cannot_be_had_fail_a_run_that_succeeded() -> None:
    failure = Failure(ErrorCode.OUTPUTS_UNAVAILABLE, "ComfyUI finished but could not hand over: a.png")

    life = follow(claimed(), STARTED, Finished(entry(), (), failure))

    assert (life.record.status, life.record.error) == (Status.FAILED, failure)


@pytest.mark.parametrize(
    "said",
    [
        Executing(None, "3", "3"),
        Progress(1, 2, None, "3"),
        Preview(b"picture", "image/jpeg"),
        NodeText("3", "hello"),
        QueueStatus(1),
        FeatureFlags(),
        Unknown("crystools.monitor", "unknown type"),
        ExecutionStart("of somebody else"),
        ProgressState("of somebody else", (NodeState("3", 1, 2, "running"),)),
    ],
)
def test_what_is_not_said_of_this_prompt_changes_nothing(said: Message) -> None:
    life = follow(claimed(), ACCEPTED)
    before = life.state

    life.see(said)

    assert life.last == Step(before)


def test_files_of_a_node_are_to_be_kept_when_it_is_done_and_only_once() -> None:
    temporary = {"images": [{"filename": "t.png", "subfolder": "", "type": "temp"}]}

    life = follow(claimed(), SAVED, SAVED, Executed(PROMPT_ID, "8", "8", temporary), Executed(PROMPT_ID, "7"))

    assert [[file.filename for file in step.keep] for step in life.steps] == [["a.png"], [], [], []]
    assert [file.filename for file in life.state.files] == ["a.png", "t.png"]


def test_a_preview_is_passed_on() -> None:
    life = follow(claimed(), ACCEPTED, STARTED, Preview(b"picture", "image/jpeg", PROMPT_ID, "3"))

    expected = PreviewReady(generation_id="g", image=b"picture", mime_type="image/jpeg", node_id="3")
    assert life.last.events == (expected,)


def test_a_queue_position_that_moves_is_a_milestone() -> None:
    life = follow(claimed(), ACCEPTED, Polled(Place.WAITING, 3), Polled(Place.WAITING, 2))

    assert [type(event) for event in life.events] == [StatusChanged] * 3
    assert life.moment.message == "Queued at ComfyUI (position 2)"


def test_a_restarted_service_goes_on_from_the_record() -> None:
    record = claimed(status=Status.RUNNING, started_at=START, percentage=40.0, outputs=(output(0),))

    life = follow(record, Progress(1, 20, PROMPT_ID, "3"))

    assert life.moment.percentage == 40.0
    assert (life.moment.step, life.moment.image.current) == (1, 1)
