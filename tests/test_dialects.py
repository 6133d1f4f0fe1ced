"""The three shapes in which servers report progress, and mixtures of them, tell the same story."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import pytest

from app.comfyui.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionStart,
    Message,
    Progress,
    ProgressState,
)
from tests import recordings
from tests.following import check_stream, face, inference_of, lived
from tests.recordings import Told

Dialect: TypeAlias = Callable[[Iterable[Message]], list[Message]]


def to_progress_only(messages: Iterable[Message]) -> list[Message]:
    return [said for said in messages if not isinstance(said, ProgressState)]


def to_states_only(messages: Iterable[Message]) -> list[Message]:
    return [
        said
        for said in messages
        if not isinstance(said, Progress) and not (isinstance(said, Executing) and said.node is not None)
    ]


def to_legacy(messages: Iterable[Message]) -> list[Message]:
    """Only `executing` and the foreign `execution_progress`, which has no node."""
    return [
        Progress(said.value, said.maximum, said.prompt_id) if isinstance(said, Progress) else said
        for said in to_progress_only(messages)
    ]


def to_bare_legacy(messages: Iterable[Message]) -> list[Message]:
    """Only `execution_progress` between the beginning and the end."""
    kept = (ExecutionStart, ExecutionCached, Executed, Progress)
    return [
        said
        for said in to_legacy(messages)
        if isinstance(said, kept) or said == Executing(getattr(said, "prompt_id", None))
    ]


DIALECTS: Final = [to_progress_only, to_states_only, to_legacy, to_bare_legacy]
SAMPLED: Final = [*recordings.complete("01b_real_ksampler"), *recordings.complete("01c_standard_txt2img")]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("told", SAMPLED, ids=str)
def test_every_dialect_of_progress_tells_the_same_story(told: Told, dialect: Dialect) -> None:
    full = lived(told)

    life = lived(told, dialect(told.messages))

    assert face(life.moment) == face(full.moment)
    assert inference_of(life) == inference_of(full)
    check_stream(life.events)


@pytest.mark.parametrize("told", SAMPLED, ids=str)
def test_a_mixture_of_dialects_tells_the_same_story(told: Told) -> None:
    full, half = lived(told), len(told.messages) // 2
    mixed = to_legacy(told.messages[:half]) + to_states_only(told.messages[half:])

    life = lived(told, mixed)

    assert face(life.moment) == face(full.moment)
    assert life.moment.total_steps == full.moment.total_steps
    check_stream(life.events)
