"""Follows a generation through observations without a service around it, and knows what must hold at every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import msgspec

from app.comfyui.history import HistoryEntry, Outcome, OutputFile
from app.comfyui.messages import Executed, Executing, ExecutionError, ExecutionStart, Message, Progress
from app.comfyui.workflow import Plan, PlannedNode
from app.events import Event, Moment, Progressed, ProgressType
from app.lifecycle import Limits, State, Step, begin, observe
from app.observations import Accepted, Delivered, Finished, Observation
from app.records import ErrorCode, Failure, Generation, Output, OutputKind, Status
from tests.recordings import Told

START: Final = 1_800_000_000.0
"""When the followed generations are created, in epoch seconds."""

PROMPT_ID: Final = "0f679f11-e3de-45ec-a87a-392530089e3d"

TEXT_TO_IMAGE: Final = Plan(
    {
        "4": PlannedNode("Load Checkpoint", "CheckpointLoaderSimple", 0),
        "5": PlannedNode("EmptyLatentImage", "EmptyLatentImage", 0),
        "6": PlannedNode("CLIPTextEncode", "CLIPTextEncode", 0),
        "7": PlannedNode("CLIPTextEncode", "CLIPTextEncode", 0),
        "3": PlannedNode("KSampler", "KSampler", 20),
        "8": PlannedNode("VAEDecode", "VAEDecode", 0),
        "9": PlannedNode("Save Image", "SaveImage", 0),
    },
    1,
)
"""The standard graph: seven nodes, 20 steps, one picture."""

ACCEPTED: Final = Accepted(PROMPT_ID)
STARTED: Final = ExecutionStart(PROMPT_ID)
ENDED: Final = Executing(PROMPT_ID)
SAMPLING: Final = Progress(5, 20, PROMPT_ID, "3")
SAVED: Final = Executed(PROMPT_ID, "9", "9", {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]})
STALLED: Final = Failure(ErrorCode.STALLED, "No sign of life for 300 s")

_RANKS: Final = {
    Status.PENDING: 0,
    Status.QUEUED: 1,
    Status.RUNNING: 2,
    Status.CANCELING: 3,
    Status.SUCCEEDED: 4,
    Status.FAILED: 4,
    Status.CANCELED: 4,
}


def claimed(**fields: Any) -> Generation:
    """A pending generation that a backend was chosen for."""
    chosen = {"backend": "gpu-0", "client_id": "c", "owner": "me", "prompt_id": PROMPT_ID, **fields}
    return Generation(id="g", created_at=START, **chosen)


def unclaimed(**fields: Any) -> Generation:
    return claimed(backend=None, client_id=None, owner=None, **fields)


def output(index: int, **fields: Any) -> Output:
    chosen = {"node_id": "9", "kind": OutputKind.IMAGE, "filename": f"{index}.png", "mime_type": "image/png", **fields}
    return Output(index=index, size_bytes=1, sha256="0", **chosen)


def entry(outcome: Outcome = Outcome.SUCCESS, error: ExecutionError | None = None, **fields: Any) -> HistoryEntry:
    return HistoryEntry(PROMPT_ID, outcome, error=error, **fields)


@dataclass
class Followed:
    """A generation and everything that came of the observations folded into it so far."""

    state: State
    steps: list[Step] = field(default_factory=list)

    @property
    def record(self) -> Generation:
        return self.state.record

    @property
    def moment(self) -> Moment:
        return self.state.moment

    @property
    def events(self) -> list[Event]:
        return [event for step in self.steps for event in step.events]

    @property
    def last(self) -> Step:
        return self.steps[-1]

    def see(self, *seen: Observation, at: float | None = None, limits: Limits = Limits()) -> Followed:  # noqa: B008
        """Fold these facts in, 10 ms apart, or all of them `at` seconds after the start."""
        for one in seen:
            when = START + (0.01 * (len(self.steps) + 1) if at is None else at)
            step = observe(self.state, one, when, limits)
            check(self.state, step)
            self.steps.append(step)
            self.state = step.state
        return self


def follow(record: Generation, *seen: Observation, plan: Plan = TEXT_TO_IMAGE) -> Followed:
    return Followed(begin(record, plan)).see(*seen)


def states_of(events: Iterable[Event]) -> list[Moment]:
    return [event for event in events if isinstance(event, Moment)]


def progress_types(events: Iterable[Event]) -> list[str]:
    return [event.progress_type.value for event in events if isinstance(event, Progressed)]


def inference_of(life: Followed) -> list[tuple[int, int]]:
    return [(event.step, event.total_steps) for event in states_of(filter(is_inference, life.events))]


def is_inference(event: Event) -> bool:
    return isinstance(event, Progressed) and event.progress_type is ProgressType.INFERENCE


def face(event: Moment) -> dict[str, Any]:
    """The state an event carries, whatever else it carries."""
    return {name: getattr(event, name) for name in Moment.__struct_fields__}


def outputs_of(files: Iterable[OutputFile], first: int = 0) -> tuple[Output, ...]:
    return tuple(
        output(index, node_id=file.node_id, filename=file.filename, folder=file.type)
        for index, file in enumerate(files, start=first)
    )


def steps_of(told: Told, messages: Iterable[Message]) -> Iterator[Followed]:
    """The life of a prompt after each fact, with a service that keeps files when it is told to."""
    life = Followed(begin(claimed(prompt_id=told.prompt_id), told.plan))
    yield life.see(Accepted(told.prompt_id))
    for said in messages:
        yield life.see(said)
        if keep := life.last.keep:
            yield life.see(Delivered(outputs_of(keep, len(life.record.outputs))))
    kept = {file.filename for file in life.record.outputs}
    late = [file for file in told.entry.files if file.type == "output" and file.filename not in kept]
    yield life.see(Finished(told.entry, life.record.outputs + outputs_of(late, len(kept))))


def lived(told: Told, messages: Iterable[Message] | None = None) -> Followed:
    return list(steps_of(told, told.messages if messages is None else messages))[-1]


def check(before: State, step: Step) -> None:
    """What holds for every step from every state."""
    was, now, moment = before.record, step.state.record, step.state.moment
    assert _is_forward(was, now)
    assert not was.is_terminal or step == Step(before)
    assert now.version == was.version + step.is_durable
    assert step.is_durable or now is was
    _check_numbers(before.moment, moment)
    states = states_of(step.events)
    assert len(states) == (before.moment != moment)
    assert not states or face(states[-1]) == msgspec.structs.asdict(moment)
    assert sum(event.is_terminal for event in step.events) == (now.is_terminal and not was.is_terminal)
    assert not now.is_terminal or was.is_terminal or step.events[-1].is_terminal
    if step.is_durable:
        assert (now.step, now.total_steps, now.percentage) == (moment.step, moment.total_steps, moment.percentage)


def check_stream(events: Iterable[Event]) -> None:
    """What holds for all the events of one generation together."""
    states = states_of(events)
    assert all(earlier.percentage <= later.percentage for earlier, later in pairwise(states))
    assert all(face(earlier) != face(later) for earlier, later in pairwise(states))
    assert not any(event.is_terminal for event in states[:-1])


def _is_forward(was: Generation, now: Generation) -> bool:
    return (now.attempt, _RANKS[now.status]) >= (was.attempt, _RANKS[was.status])


def _check_numbers(was: Moment, now: Moment) -> None:
    assert 0 <= was.percentage <= now.percentage <= 100
    assert (now.percentage == 100) is (now.status is Status.SUCCEEDED)
    assert 0 <= now.step <= now.total_steps < 2**31
    assert now.eta_seconds is None or now.eta_seconds >= 0
    assert 0 <= now.image.current <= now.image.total
    if now.node_progress is not None:
        assert 0 <= now.node_progress.value <= now.node_progress.max
    if now.aggregate_progress is not None:
        assert 0 <= now.aggregate_progress.finished <= now.aggregate_progress.total
