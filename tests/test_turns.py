"""Whose turn comes when, among those that were handed to one backend."""

from __future__ import annotations

from app.backends import Backend
from app.learning import turn_of
from tests.jobs import a_job, backend

__all__ = ["backend"]


async def test_a_turn_comes_after_the_rest_of_what_runs_and_all_that_was_handed_over_before(backend: Backend) -> None:
    jobs = [a_job(backend, "running", eta_s=7.0), *(a_job(backend, name) for name in ("first", "second", "third"))]

    turns = [turn_of(job, jobs, at=2.0) for job in jobs[1:]]

    assert turns == [(1, 7.0), (2, 17.0), (3, 27.0)]


async def test_what_is_urgent_has_its_turn_first(backend: Backend) -> None:
    jobs = [a_job(backend, "first"), a_job(backend, "urgent", priority=5), a_job(backend, "more", priority=9)]

    places = [turn_of(job, jobs, at=0.0)[0] for job in jobs]

    assert places == [3, 2, 1]


async def test_a_turn_behind_something_unknown_is_unknown(backend: Backend) -> None:
    jobs = [a_job(backend, "strange", expected_s=None), a_job(backend, "next")]

    assert turn_of(jobs[1], jobs, at=0.0) == (2, None)


async def test_what_no_longer_occupies_the_backend_is_not_waited_for(backend: Backend) -> None:
    jobs = [a_job(backend, "being kept", eta_s=60.0), a_job(backend, "next")]
    backend.free("being kept", 1.0)

    assert turn_of(jobs[1], jobs, at=0.0) == (1, 0.0)
