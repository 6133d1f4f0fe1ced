"""Live prompts without a service around them: on a backend that was never talked to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from app import live as lives
from app.backends import Backend
from app.comfyui.client import connect
from app.comfyui.listener import Listener
from app.jobs import Job
from app.lifecycle import begin
from app.records import Status
from app.states import with_live
from app.timing import Forecast, Kind
from tests.following import TEXT_TO_IMAGE, claimed


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    """One that was never talked to."""
    url = "http://127.0.0.1:9"
    listener = Listener("gpu-0", url, lambda _: None, on_connected=lambda _: None, on_gap=lambda _: None)
    async with connect("gpu-0", url) as client:
        yield Backend(client, listener, None)


def a_job(backend: Backend, name: str, *, expected_s: float | None = 10.0, eta_s: float | None = None, **f: Any) -> Job:
    """A live prompt on that backend: one that waits, or with `eta_s` one that runs."""
    status = Status.RUNNING if eta_s is not None else Status.QUEUED
    record = msgspec.structs.replace(claimed(status=status, **f), id=name)
    state = begin(record, TEXT_TO_IMAGE, Kind("k", {"3": 1.0}))
    live = state.live
    if expected_s is not None:
        live = lives.with_forecast(live, Forecast({"3": expected_s}, {"3": 1.0}, {"3": 0.0}, frozenset(), 0.0))
    live = msgspec.structs.replace(live, eta_s=eta_s, eta_at=0.0)
    backend.in_flight.add(name)
    return Job(with_live(state, live), record, backend, 0.0, 0.0)
