"""The life of one generation: one pure function folds every fact learned into its state.

`observe(state, seen, at)` is idempotent and never raises: terminal states absorb, the status only moves forward, the
percentage never falls. Messages of the socket and answers of polling are observations alike; sockets hint, history
decides. No asyncio, no network, no clock: the time of each fact is handed in.

    pending ──> queued ──> running ──> succeeded | failed | canceled
       └──────────┴───────────┴──> canceling ──> canceled (or the truth, if the run ended first)
    back to pending only when a backend lost the prompt: a new attempt
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, assert_never

import msgspec

from app import live as lives
from app import progress
from app.comfyui.history import OutputFile
from app.comfyui.messages import FeatureFlags, NodeText, Unknown
from app.comfyui.messages import Status as QueueStatus
from app.comfyui.workflow import Plan
from app.events import Event, OutputReady, Progressed, StatusChanged
from app.hearing import ending, hear, running
from app.observations import (
    Absent,
    Accepted,
    CancelRequested,
    Command,
    Delivered,
    Finished,
    GaveUp,
    Missing,
    Observation,
    Place,
    Polled,
    Positioned,
    Refused,
    Submission,
    Unanswered,
)
from app.records import ErrorCode, Failure, Generation, Output, Status
from app.states import EARLY, NOTHING, Changes, Effects, State, with_live
from app.timing import Kind
from app.verdicts import end_event, ended, verdict
from app.wording import counted

__all__ = ["Limits", "State", "Step", "begin", "observe"]


@dataclass(frozen=True, slots=True)
class Limits:
    """`lost_grace_s`: how long a prompt must be in neither queue nor history before it counts as lost."""

    max_attempts: int = 3
    lost_grace_s: float = 3.0


_DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from one observation: the new state, the events to publish, and what the shell must do next.

    `is_durable`: the record changed and must be written before the events are published. `keep`: files to fetch
    now. `interrupt`: take the prompt away from ComfyUI; said again with each cancel, as an interrupt can get lost.
    `resubmit`: it is pending again.
    """

    state: State
    events: tuple[Event, ...] = ()
    is_durable: bool = False
    fetch_history: bool = False
    keep: tuple[OutputFile, ...] = ()
    interrupt: bool = False
    resubmit: bool = False


def begin(record: Generation, plan: Plan, kind: Kind | None = None) -> State:
    """The state of a generation that is now followed, freshly made or read from the database."""
    live = lives.fresh(plan, 0.0 if record.is_terminal else record.percentage, kind=kind)
    return State(record, live, progress.moment(live, record))


def observe(state: State, seen: Observation, at: float, limits: Limits = _DEFAULT_LIMITS) -> Step:
    """Fold one fact, learned `at` (epoch seconds), into a generation."""
    if state.record.is_terminal:
        return Step(state)
    after, effects = _fold(state, seen, at, limits)
    if after is state and effects is NOTHING:
        return Step(state)
    return _step(state, after, effects, at)


def _fold(state: State, seen: Observation, at: float, limits: Limits) -> tuple[State, Effects]:
    match seen:
        case QueueStatus() | FeatureFlags() | NodeText() | Unknown():
            return state, NOTHING
        case Refused() | Positioned() | CancelRequested() | Delivered() | Finished() | GaveUp():
            return _fold_command(state, seen, at)
        case _ if state.record.status is Status.PENDING and state.record.backend is None:
            # A late word about an attempt that was given up: believed, it would leave a running row without an owner.
            return state, NOTHING
        case Accepted() | Unanswered() | Polled() | Missing() | Absent():
            return _fold_submission(state, seen, at, limits)
        case _:
            return hear(state, seen, at)


def _fold_command(state: State, seen: Command, at: float) -> tuple[State, Effects]:
    record = state.record
    match seen:
        case Refused(failure):
            return state, Effects(ended(Status.FAILED, at, error=failure))
        case Positioned(position):
            return (_placed(state, position) if record.status is Status.PENDING else state), NOTHING
        case CancelRequested() if record.status is Status.PENDING and record.backend is None:
            return state, Effects(ended(Status.CANCELED, at))
        case CancelRequested():
            return state, Effects({"status": Status.CANCELING}, interrupt=True)
        case Delivered(outputs):
            return _delivered(state, outputs)
        case Finished():
            return state, Effects(verdict(seen, record, state.live.plan, at))
        case GaveUp(failure):
            return state, Effects(ended(Status.FAILED, at, error=failure), interrupt=record.backend is not None)
        case _:
            assert_never(seen)


def _fold_submission(state: State, seen: Submission, at: float, limits: Limits) -> tuple[State, Effects]:
    match seen:
        case Accepted():
            return _accepted(_found(state), seen, at)
        case Polled(place, position):
            return _polled(_found(state), place, position, at)
        case Unanswered(instead):
            return replace(state, instead=instead), NOTHING
        case Missing():
            return _missing(state, at, limits)
        case Absent():
            return _given_up(state, at, limits, "went away with")
        case _:
            assert_never(seen)


def _accepted(state: State, seen: Accepted, at: float) -> tuple[State, Effects]:
    record = state.record
    changes: Changes = {"prompt_id": seen.prompt_id, "queued_at": record.queued_at or at}
    if seen.node_errors:
        changes["node_errors"] = seen.node_errors
    if record.status is not Status.PENDING:
        return state, Effects(changes)
    # The position it had was the one in our own queue; the server's own answer comes with the first poll.
    return _placed(state, state.live.place), Effects(changes | {"status": Status.QUEUED})


def _polled(state: State, place: Place, position: int | None, at: float) -> tuple[State, Effects]:
    record = state.record
    match place:
        case Place.RUNNING:
            return running(state, lives.later(state.live), at)
        case Place.HISTORY:
            return ending(state)
        case Place.WAITING if record.status in EARLY:
            state = with_live(state, lives.later(state.live))
            return _placed(state, position), Effects({"status": Status.QUEUED, "queued_at": record.queued_at or at})
        case Place.WAITING:
            return state, NOTHING
        case _:
            assert_never(place)


def _missing(state: State, at: float, limits: Limits) -> tuple[State, Effects]:
    record = state.record
    if record.status is Status.CANCELING:
        return state, Effects(ended(Status.CANCELED, at))
    if state.missing_since is None:
        return replace(state, missing_since=at), NOTHING
    if at - state.missing_since < limits.lost_grace_s:
        return state, NOTHING
    return _given_up(state, at, limits, "lost")


def _given_up(state: State, at: float, limits: Limits, deed: str) -> tuple[State, Effects]:
    """The attempt is over without an end: another one, if there are any left. `deed` is what the server did with it."""
    record = state.record
    if record.status is Status.CANCELING:
        return state, Effects(ended(Status.CANCELED, at))
    # One that never reached the server has not been lost by it: trying elsewhere costs no attempt. One that was posted
    # without an answer may have been what ended the server.
    was_there = record.status is not Status.PENDING or state.instead is not None
    if was_there and record.attempt >= limits.max_attempts:
        times = counted(record.attempt, "time")
        why = "was it restarted?" if state.instead is None else f"to the last posting came {state.instead}"
        lost = Failure(ErrorCode.LOST_BY_BACKEND, f"ComfyUI {deed} the prompt {times}; {why}")
        return state, Effects(ended(Status.FAILED, at, error=lost))
    return _again(state, record.attempt + was_there)


def _again(state: State, attempt: int) -> tuple[State, Effects]:
    """Back into our queue. What the lost attempt delivered goes: the next one delivers all of it again."""
    live = lives.fresh(state.live.plan, state.live.percentage, kind=state.live.kind)
    changes: Changes = {"status": Status.PENDING, "attempt": attempt, "outputs": ()}
    changes |= dict.fromkeys(("backend", "client_id", "owner", "queued_at", "started_at"))
    return State(state.record, live, state.moment), Effects(changes, resubmit=True)


def _delivered(state: State, outputs: tuple[Output, ...]) -> tuple[State, Effects]:
    known = {output.index for output in state.record.outputs}
    fresh = tuple({output.index: output for output in outputs if output.index not in known}.values())
    if not fresh:
        return state, NOTHING
    events = tuple(OutputReady(generation_id=state.record.id, output=output) for output in fresh)
    return state, Effects({"outputs": state.record.outputs + fresh}, events)


def _found(state: State) -> State:
    return state if state.missing_since is None else replace(state, missing_since=None)


def _placed(state: State, position: int | None) -> State:
    if state.live.queue_position == position:
        return state
    return replace(state, live=msgspec.structs.replace(state.live, queue_position=position))


def _step(before: State, after: State, effects: Effects, at: float) -> Step:
    """Bring the numbers up to date, write the new version of the record, and say what changed."""
    record = before.record
    changed = {key: value for key, value in effects.changes.items() if getattr(record, key) != value}
    events = effects.events
    if changed or after.live is not before.live:
        after = _shown(after, changed, at)
        events += _announced(before, after)
    return Step(after, events, bool(changed), effects.fetch_history, effects.keep, effects.interrupt, effects.resubmit)


def _shown(after: State, changed: Mapping[str, object], at: float) -> State:
    """`after` with its public face, and with the next version of its record if that changed."""
    record = after.record
    if changed:
        record = msgspec.structs.replace(record, version=record.version + 1, **changed)
    live = progress.measured(after.live, record, at)
    moment = progress.moment(live, record)
    if changed:
        numbers = {"step": moment.step, "total_steps": moment.total_steps, "percentage": moment.percentage}
        record = msgspec.structs.replace(record, **numbers)
    return State(record, live, moment, after.files, after.missing_since, after.preview, after.instead)


def _announced(before: State, after: State) -> tuple[Event, ...]:
    was, now = before.moment, after.moment
    if was == now:
        return ()
    if after.record.is_terminal:
        return (end_event(now, after.record),)
    shown = msgspec.structs.asdict(now)
    if was.status is not now.status or was.queue_position != now.queue_position:
        return (StatusChanged(**shown),)
    return (Progressed(**shown, progress_type=progress.progress_type(before.live, after.live)),)
