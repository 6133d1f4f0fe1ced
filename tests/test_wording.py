"""The one sentence beside the numbers."""

from __future__ import annotations

import pytest

from app import progress
from app.comfyui.messages import NodeState, ProgressState
from app.records import Failure, Output, OutputKind, Status
from tests.following import PROMPT_ID, SAMPLING, STALLED, STARTED, claimed, follow, output


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ((), "Done: 0 images"),
        ((output(0),), "Done: 1 image"),
        ((output(0), output(1, kind=OutputKind.VIDEO)), "Done: 1 image"),
        ((output(0, kind=OutputKind.VIDEO), output(1, kind=OutputKind.AUDIO)), "Done: 2 files"),
    ],
)
def test_the_end_is_told_in_what_was_made(outputs: tuple[Output, ...], message: str) -> None:
    moment = progress.at_rest(claimed(status=Status.SUCCEEDED, outputs=outputs, percentage=100.0))

    assert moment.message == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": Status.CANCELING}, "Canceling"),
        ({"status": Status.CANCELED}, "Canceled"),
        ({"status": Status.FAILED}, "Failed"),
        ({"status": Status.FAILED, "error": STALLED}, "No sign of life for 300 s"),
        ({"status": Status.QUEUED}, "Queued at ComfyUI"),
    ],
)
def test_each_status_has_its_sentence(fields: dict[str, Status | Failure], message: str) -> None:
    assert progress.at_rest(claimed(**fields)).message == message


def test_a_node_at_work_tells_its_step_and_a_finished_one_only_its_name() -> None:
    life = follow(claimed(), STARTED, SAMPLING)
    at_work = life.moment.message

    life.see(ProgressState(PROMPT_ID, (NodeState("3", 20, 20, "finished"),)))

    assert (at_work, life.moment.message) == ("KSampler: step 5 of 20", "KSampler")
